//! What a message refers to and what has become of it: fields of a message's object that are left away where there is
//! nothing to say.

use serde::{Deserialize, Serialize};

/// What a message refers to and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Details {
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Quote>,
    /// Of an edit whose message is not here: that message's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edits: Option<String>,
    /// When its words were last replaced, by its sender's clock, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<String>,
    /// Who deleted it: its sender, or an owner or admin of the group. Its kind is `deleted` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<String>,
    /// It was said before, in another place perhaps; by whom is not told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarded: bool,
    /// When it disappears from all homes, RFC 3339; absent for one that stays, or that waits to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disappears: Option<String>,
    /// Who is named in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Mention>,
    /// Does somebody else name this account in it?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mentioned: bool,
    /// Those of most people first, at most 12.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// How many other emoji there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_reactions: u64,
    /// Does everybody have it in view?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// How many of the others have it, of a message of one's own: accounts that have said so.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delivered_to: u64,
    /// How many of them have read it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub read_by: u64,
    /// What can be chosen, where it is a poll; the question is its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
}

/// A message that another one answers, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Its id.
    pub id: String,
    /// Who sent it; `None` where it is not here.
    pub sender: Option<String>,
    /// Its first words, on one line; `None` where it is not here.
    pub body: Option<String>,
    /// Sent by this account?
    pub own: bool,
}

/// Somebody who is named in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// Who.
    pub address: String,
    /// Where in the message's body, in bytes of UTF-8.
    pub start: usize,
    /// How many bytes.
    pub length: usize,
}

/// An emoji on a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Which: what its senders call one, at most 32 bytes.
    pub emoji: String,
    /// How many accounts.
    pub count: u64,
    /// This account, too?
    pub own: bool,
}

/// What can be chosen in a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// May several be chosen?
    pub several: bool,
    /// Do later votes count no more?
    pub closed: bool,
    /// How many accounts have voted.
    pub voters: u64,
    /// In the order in which they are numbered, from 1.
    pub options: Vec<PollOption>,
}

/// One answer of a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollOption {
    /// Its words.
    pub text: String,
    /// How many accounts choose it.
    pub votes: u64,
    /// This account, too?
    pub own: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
