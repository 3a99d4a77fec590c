//! What a client tells while it runs.

use serde::{Deserialize, Serialize};

use super::{Message, Standing, Transfer};

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A message was stored in this home.
    Message(Message),
    /// A message is another one than before: its words, its reactions, its pin, its poll, or it was deleted. As it is now.
    Changed(Message),
    /// A message has come to its end and is gone from this home.
    Disappeared {
        /// `id@domain` of its conversation.
        conversation: String,
        /// Its id.
        id: String,
    },
    /// What became of a message of the outbox.
    Outbox {
        /// Its id.
        id: String,
        /// Stored by the server, waiting, or refused.
        state: OutboxState,
        /// Why it waits or was refused, for a person.
        reason: Option<String>,
    },
    /// How far a file has come: a few times a second, and at its end.
    Transfer(Transfer),
    /// The connection came or went.
    Online {
        /// Connected and authenticated?
        online: bool,
        /// Why not, for a person.
        problem: Option<String>,
    },
    /// Something a person must see: a fork, a rollback, a changed key, a ghost device.
    Alarm {
        /// For a person.
        text: String,
    },
    /// A contact's state changed.
    Contact {
        /// Who.
        address: String,
        /// As in [`super::Contact::state`].
        state: String,
    },
    /// Messages of before this device came have come from another one of the account.
    History {
        /// How many.
        messages: u64,
        /// Whether these were the last ones.
        complete: bool,
    },
    /// Messages were read on another device of the account.
    Read {
        /// Of which conversation.
        conversation: String,
    },
    /// Somebody is writing something, or no more. It comes again while it lasts.
    Typing {
        /// In which conversation.
        conversation: String,
        /// Its title.
        title: String,
        /// Who.
        address: String,
        /// Are they?
        typing: bool,
    },
    /// Somebody has received or read more than before.
    Receipt {
        /// In which conversation.
        conversation: String,
        /// Its title.
        title: String,
        /// Who.
        address: String,
        /// They have all messages up to this place in its log.
        delivered: u64,
        /// They have read all up to this one.
        read: u64,
    },
    /// A contact who tells that is there, or is not any more.
    Presence {
        /// Who.
        address: String,
        /// Are they?
        online: bool,
    },
    /// A person has marked somebody's key as compared, accepted another, or taken a mark back.
    Verification {
        /// Whose.
        address: String,
        /// How things stand now.
        #[serde(flatten)]
        standing: Standing,
    },
}

/// What became of an outgoing message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxState {
    /// The server has acknowledged it.
    Sent,
    /// Its own server has it, and sends it on to the one that orders the conversation.
    Queued,
    /// It waits for something other than the connection, such as an acceptance.
    Waiting,
    /// It will never be sent.
    Refused,
}
