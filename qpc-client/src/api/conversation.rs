//! Conversations: with whom, how far they were read, and where they go on.

use serde::{Deserialize, Serialize};

use super::{Message, Standing};

/// A conversation in the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Conversation {
    /// `id@domain`.
    pub conversation: String,
    /// The person's address, or the group's title.
    pub title: String,
    /// What a group is about; empty where nobody has said.
    #[serde(default)]
    pub topic: String,
    /// `direct`, `group` or `personal`.
    pub kind: ConversationKind,
    /// Addresses, in order.
    pub members: Vec<String>,
    /// Messages nobody has been shown.
    pub unread: u64,
    /// The newest message.
    pub last: Option<Message>,
    /// Between two: how things stand with the other's key in this conversation.
    #[serde(flatten)]
    pub standing: Option<Standing>,
    /// A stranger's request that waits for an answer.
    pub request: bool,
    /// Is this account still in it?
    pub active: bool,
    /// Does it ring no bell in this home?
    #[serde(default)]
    pub muted: bool,
    /// Are its keys exchanged by the post-quantum suite?
    #[serde(default)]
    pub post_quantum: bool,
    /// Has the group a picture?
    #[serde(default)]
    pub picture: bool,
    /// Seconds that messages stay before they disappear; 0 for ever.
    #[serde(default)]
    pub lifetime_s: u32,
    /// `id@domain` of the group that this one continues, because its server is gone.
    #[serde(default)]
    pub continues: Option<String>,
    /// `id@domain` of the group in which people go on: this one was continued there, or counts as the second of two that
    /// continue the same.
    #[serde(default)]
    pub continued_in: Option<String>,
}

/// Two or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Two people.
    Direct,
    /// A group.
    #[default]
    Group,
    /// The account's own, with its devices alone: its title is the account's address.
    Personal,
}
