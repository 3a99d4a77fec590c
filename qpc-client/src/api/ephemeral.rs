//! What people do at this moment, who has read what, and what of it is told.

use serde::{Deserialize, Serialize};

/// Something to do about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Ephemeral {
    /// The person is writing, or no more. To be said again while it lasts: with each key if it is convenient, because what
    /// is sent of it is little. It ends by itself with a message, or after seven seconds.
    Typing {
        /// A person or a group.
        to: String,
        /// Are they?
        typing: bool,
    },
    /// Who has a message of a conversation, and who has read it.
    Readers {
        /// A person or a group.
        to: String,
        /// As in [`super::Command::Reply`].
        message: String,
    },
    /// What is told to others; with a change, what is from now on.
    Tell {
        /// What to change.
        #[serde(default)]
        change: Option<(Tell, bool)>,
    },
}

/// What can be told to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tell {
    /// That the person is there; to contacts alone.
    Presence,
    /// That they are writing.
    Typing,
    /// That messages have come.
    Delivered,
    /// That messages were read.
    Read,
}

/// What is told to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Off unless it was switched on.
    pub presence: bool,
    /// On unless it was switched off, like the others.
    pub typing: bool,
    /// That messages have come.
    pub delivered: bool,
    /// That messages were read, which says that they have come, too.
    pub read: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self { presence: false, typing: true, delivered: true, read: true }
    }
}

/// Somebody who has a message. Times are when this home learned of it, RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Who.
    pub address: String,
    /// Since when they have it.
    pub delivered: Option<String>,
    /// Since when they have read it; `None` where they have not, or do not tell.
    pub read: Option<String>,
}
