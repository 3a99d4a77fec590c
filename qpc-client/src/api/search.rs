//! Looking for messages.

use serde::{Deserialize, Serialize};

use super::Message;

/// What to look for, for [`Command::Search`](super::Command::Search). What is absent is no condition; all others have to hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Search {
    /// Words, each found where a word begins with it, and phrases between quotes, found as they stand. Letters are alike with
    /// and without accents, large and small. At most 32.
    #[serde(default)]
    pub words: String,
    /// In this conversation alone: a person or a group.
    #[serde(default)]
    pub to: Option<String>,
    /// Said by this person; `me` for one's own.
    #[serde(default)]
    pub from: Option<String>,
    /// Said at this time or later, milliseconds since 1970.
    #[serde(default)]
    pub since_ms: Option<u64>,
    /// Said before it.
    #[serde(default)]
    pub until_ms: Option<u64>,
    /// Only messages that stand in this home before this one, as in [`Message::local`]: the next page.
    #[serde(default)]
    pub before: Option<i64>,
    /// At most this many, and at most 1,000.
    pub limit: u32,
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// Its words around those that were found, in pieces; empty where none were looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excerpt: Vec<Part>,
}

/// A piece of an excerpt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// As it stands in the message.
    pub text: String,
    /// Is it what was looked for?
    pub found: bool,
}
