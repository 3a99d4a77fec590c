//! Messages as they are shown.

use serde::{Deserialize, Serialize};

use super::{Attached, Details};

/// One message as it is shown: an object of `listen --json`, whose fields stand in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `id@domain` of the conversation.
    pub conversation: String,
    /// Place in the conversation's log.
    pub seq: u64,
    /// The message's id.
    pub id: String,
    /// The MLS sender's address.
    pub sender: String,
    /// The sender's clock, RFC 3339.
    pub time: String,
    /// `text`, `edit`, ... or `unknown`; `notice` for what the client itself has to say.
    pub kind: String,
    /// The words, or a description of what is no text.
    pub body: String,
    /// The person's address or the group's title.
    pub title: String,
    /// Sent by this account?
    pub own: bool,
    /// Order of arrival in this home, for [`Command::MarkShown`](super::Command::MarkShown).
    pub local: i64,
    /// The file that it tells of, which [`Command::FileGet`](super::Command::FileGet) fetches by the message's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Box<Attached>>,
    /// What it refers to and what has become of it.
    #[serde(flatten)]
    pub details: Box<Details>,
}

/// A message that can't be sent yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// To whom.
    pub to: String,
    /// How many.
    pub messages: u64,
    /// For what, for a person.
    pub reason: String,
    /// Its own server has it, and sends it without this program.
    #[serde(default)]
    pub queued: bool,
}
