//! What a home holds, as it is written out to be kept or read elsewhere, and taken in again: lines of JSON, each a [`Record`].

use serde::{Deserialize, Serialize};

use super::{ConversationKind, Mention};

/// The form that records have; one of another number is not taken in.
pub const ARCHIVE_FORMAT: u32 = 1;

/// Something to do about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Archive {
    /// The conversations, by the order in which they came.
    Conversations {
        /// People or groups; none for all.
        of: Vec<String>,
    },
    /// The next messages of a conversation, in the order in which they stand in this home.
    Messages {
        /// As in [`Shelf::number`].
        number: i64,
        /// After this one, as [`Records::next`] said; absent for the first ones.
        #[serde(default)]
        after: Option<i64>,
    },
    /// Takes conversations and messages in. What is here already stays as it is.
    Import {
        /// Conversations and messages; a message after its conversation.
        records: Vec<Record>,
        /// Nothing follows: what came is put into order.
        last: bool,
    },
}

/// A conversation in the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shelf {
    /// By which its messages are asked for.
    pub number: i64,
    /// What is told of it.
    pub conversation: ArchivedConversation,
    /// How many messages it has here.
    pub messages: u64,
}

/// A page of messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Records {
    /// In order.
    pub messages: Vec<ArchivedMessage>,
    /// What there is and could not be read.
    pub failed: Vec<Unreadable>,
    /// After which to go on; absent where nothing follows.
    pub next: Option<i64>,
}

/// A line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Record {
    /// The first one.
    Export {
        /// [`ARCHIVE_FORMAT`].
        format: u32,
        /// Whose home it was.
        account: String,
        /// When, RFC 3339.
        time: String,
    },
    /// A conversation, before its messages.
    Conversation(ArchivedConversation),
    /// A message.
    Message(Box<ArchivedMessage>),
    /// What there was and could not be read.
    Failed(Unreadable),
    /// The last one. Where it lacks, the export was cut off.
    End {
        /// How many there are.
        messages: u64,
        /// How many files were saved beside.
        files: u64,
        /// How many things could not be read or fetched.
        failed: u64,
    },
}

/// What could not be written out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Which, for a person: a conversation's title, a message's place in this home, a file's name.
    pub which: String,
    /// Why.
    pub why: String,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArchivedConversation {
    /// `id@domain`; empty where the server has not been asked for it yet.
    pub conversation: String,
    /// Two or many.
    pub kind: ConversationKind,
    /// The person's address, or the group's title.
    pub title: String,
    /// What a group is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Between two: the other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Who is in it now, in order; empty where that is not known any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Seconds that messages stay before they disappear; 0 for ever.
    #[serde(default, skip_serializing_if = "is_none")]
    pub lifetime_s: u32,
}

/// A message, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArchivedMessage {
    /// `id@domain` of the conversation.
    pub conversation: String,
    /// Place in the conversation's log; 0 where the server has not stored it yet.
    #[serde(default)]
    pub seq: u64,
    /// The message's id.
    pub id: String,
    /// The MLS sender's address.
    pub sender: String,
    /// The sender's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// The same for people, RFC 3339. Not read.
    #[serde(default)]
    pub time: String,
    /// `text`, `attachment`, `poll`, `deleted`, ...
    pub kind: String,
    /// The words, or a description of what is no text.
    pub body: String,
    /// Sent by the account whose home it was? Not read: that is told by the sender.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// Has nobody been shown it?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// The id of the message that it answers, or that it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// It was said before, in another place perhaps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarded: bool,
    /// When its words were last replaced, by its sender's clock, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_ms: Option<u64>,
    /// Who deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<String>,
    /// When it disappears, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Does everybody have it in view?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Who is named in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Mention>,
    /// Who reacted with what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<ArchivedReaction>,
    /// What can be chosen, where it is a poll; the question is its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<ArchivedPoll>,
    /// The file that it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ArchivedFile>,
}

/// An emoji on a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedReaction {
    /// Which.
    pub emoji: String,
    /// Whose.
    pub accounts: Vec<String>,
}

/// A poll with its votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedPoll {
    /// The answers, in the order in which they are numbered, from 1.
    pub options: Vec<String>,
    /// May several be chosen?
    #[serde(default)]
    pub several: bool,
    /// Do later votes count no more?
    #[serde(default)]
    pub closed: bool,
    /// Who chose what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<ArchivedVote>,
}

/// What somebody chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedVote {
    /// Who.
    pub account: String,
    /// Numbers of answers, from 1.
    pub choices: Vec<u32>,
}

/// A file: what its message tells of it, and where it was saved. By the digest and the key it can be fetched again, as long as
/// a server keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArchivedFile {
    /// As its sender calls it.
    pub name: String,
    /// Of the file, in bytes, as its sender says.
    pub size: u64,
    /// As its sender says; nothing to rely on.
    pub media_type: String,
    /// Where it lies, from the place of this export; absent where it was not fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<String>,
    /// BLAKE3 of the ciphertext, base64.
    pub digest: String,
    /// Of this file alone, base64.
    pub key: String,
    /// A small JPEG of a picture, base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preview: String,
    /// How the file was encrypted.
    pub format: u32,
    /// Of the ciphertext, in bytes.
    pub blob_size: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none(number: &u32) -> bool {
    *number == 0
}
