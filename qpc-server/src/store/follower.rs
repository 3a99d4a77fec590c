//! Logs that other domains read for their people, and the copies of theirs that are kept here (D11).
//!
//! The hub keeps, of each domain and log, how far that domain has come: one more reader with one cursor. Whoever follows
//! appends what it is handed to a copy with the same places and the same chain.

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::{ChainValue, Digest, EntryKind, LogEntry},
    id::{AccountId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
};

use super::{AppendError, Appended, ConversationKind, GroupState, GroupVersion, LogPlace, StoreFault};

/// A log of which a domain lacks something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Which.
    pub log: ConversationName,
    /// Where the next search goes on.
    pub place: LogPlace,
}

/// What a copy begins with: a group as a commit made it.
#[derive(Clone, PartialEq, Eq)]
pub struct CopyBase {
    /// What the conversation is.
    pub kind: ConversationKind,
    /// The place of the commit.
    pub seq: Seq,
    /// The chain before it.
    pub chain: ChainValue,
    /// Of the group after it.
    pub group_info: Bytes,
    /// The first part of the tree after it.
    pub tree: Bytes,
    /// Bytes of the whole tree.
    pub tree_size: u64,
}

/// What a domain is handed of a log next.
#[derive(Clone)]
pub struct FeedPage {
    /// Until the domain has the first entry.
    pub base: Option<CopyBase>,
    /// Those after the domain's place.
    pub entries: Vec<LogEntry>,
    /// That place.
    pub after: Seq,
    /// The last entry that it may read.
    pub head: Seq,
    /// Of the group's current epoch, where that was asked for or made in these entries, and they reach the head.
    pub group_info: Bytes,
}

/// Where a copy ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyPlace {
    /// The last entry.
    pub head: Seq,
    /// The chain there.
    pub chain: ChainValue,
    /// What the conversation is.
    pub kind: ConversationKind,
}

/// Entries for a copy, as they were judged.
#[derive(Clone)]
pub struct CopyAppend {
    /// Of which conversation.
    pub log: ConversationName,
    /// What the judgement stands on.
    pub from: CopyFrom,
    /// Those that follow.
    pub entries: Vec<CopiedEntry>,
    /// What they do to the group.
    pub change: Option<CopyChange>,
    /// Of the current epoch, where it came along.
    pub group_info: Bytes,
    /// The server's clock.
    pub now_ms: u64,
}

/// What entries of a copy were judged on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFrom {
    /// The copy as it is: its last entry, and the group's state.
    Place(Seq, GroupVersion),
    /// It begins, or begins anew, after this entry and chain.
    Base {
        /// What the conversation is.
        kind: ConversationKind,
        /// The entry before the first.
        after: Seq,
        /// The chain there.
        chain: ChainValue,
        /// The one of the hub's domain, in a conversation of two: it may not be known here yet.
        met: Option<Met>,
        /// The conversation that the group continues, as its context says.
        continues: Option<ConversationName>,
    },
}

/// Somebody of the hub's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Names it here, if it is new.
    pub id: AccountId,
    /// `name@domain`.
    pub address: Address,
    /// The account identity key.
    pub account_key: [u8; 32],
}

/// An entry, and whose device sent it; `None` for the hub itself.
#[derive(Clone)]
pub struct CopiedEntry {
    /// As the hub has it.
    pub entry: LogEntry,
    /// By the group's leaves.
    pub sender: Option<Address>,
    /// The sender is of this server's domain: it must have sent it through here.
    pub own: bool,
}

/// What entries do to a copy's group.
#[derive(Clone)]
pub struct CopyChange {
    /// Afterwards.
    pub version: GroupVersion,
    /// Afterwards; without its tree, that stays.
    pub state: GroupState,
    /// Accounts of this domain that came in with an entry, and their keys.
    pub added: Vec<(Address, [u8; 32], Seq)>,
    /// Accounts of this domain whose access ended with an entry.
    pub ended: Vec<(Address, Seq)>,
    /// Everybody in the group afterwards who has not left, with their roles.
    pub members: Vec<(Address, Role)>,
    /// The trees that commits made by which devices of this domain came in.
    pub trees: Vec<(Seq, Bytes)>,
}

/// Why entries were not taken into a copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The copy is not as it was judged.
    #[error("the copy has changed since")]
    Moved,
    /// A device of this server's domain has not sent this.
    #[error("message {0} is not by whom the hub says")]
    Forged(MessageId),
    /// Nobody of this server's domain is in it, or wants to be.
    #[error("nobody of here has agreed to be in it")]
    Nobody,
    /// An account that is one of this server's own, or has another key than it must.
    #[error("somebody is not who the hub says")]
    Person,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// What a device sends to another server, through this one.
#[derive(Clone)]
pub struct Outgoing {
    /// Into which conversation.
    pub conversation: ConversationName,
    /// Its id.
    pub id: MessageId,
    /// Its counter.
    pub counter: Counter,
    /// What it is.
    pub kind: EntryKind,
    /// Made in this epoch.
    pub epoch: Epoch,
    /// Of the body.
    pub digest: Digest,
    /// What is sent to the hub, where it waits for its turn; empty for what is sent at once.
    pub request: Bytes,
    /// It is the first of a conversation that is to be made.
    pub founds: bool,
    /// Messages of a device that may wait, and of all for one domain.
    pub most: (usize, u64),
    /// The server's clock.
    pub now_ms: u64,
}

/// What became of something for another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It is in the log.
    Stored(Appended),
    /// It waits, or is under way.
    Waits,
}

/// Why nothing was queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// As in an append.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// As much waits as may.
    #[error("too much waits for the other server")]
    Full,
}

impl From<StoreFault> for QueueError {
    fn from(fault: StoreFault) -> Self {
        Self::Append(AppendError::Fault(fault))
    }
}

/// A message that waits for its turn.
#[derive(Clone)]
pub struct Waiting {
    /// Orders them.
    pub row: i64,
    /// Whose.
    pub sender: Address,
    /// With which device.
    pub device: DeviceId,
    /// The encoded `Send`.
    pub request: Bytes,
}

/// What the hub said to a message that waited: nothing where it took it, the encoded `Error` otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub row: i64,
    /// Why not.
    pub refusal: Option<Bytes>,
}

/// An account of which a domain is to be told which devices it has: none, where it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// By which it is taken off.
    pub row: i64,
    /// Whose.
    pub address: Address,
    /// Encoded, of all its devices.
    pub certificates: Vec<Bytes>,
}

/// What a domain is to be told next.
#[derive(Clone)]
pub struct Due {
    /// Which devices accounts have.
    pub announcements: Vec<Announcement>,
    /// What people have sent there, in order.
    pub waiting: Vec<Waiting>,
}

/// How much waits for a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Messages that wait to be sent there.
    pub outgoing: u64,
    /// Since when the oldest one waits, milliseconds since 1970.
    pub oldest_ms: Option<u64>,
}
