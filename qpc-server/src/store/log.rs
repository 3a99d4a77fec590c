//! Logs as the store knows them: conversations and device inboxes.
//!
//! A log is a sequence of [`LogEntry`], gap-free from 1, chained, read by cursors (D5).
//! An inbox is a log that is named by its device and has that one reader.

use std::sync::Arc;

use bytes::Bytes;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, EntryKind, LogEntry},
    id::{AccountId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
    v1,
};

use super::{Actor, GroupChange, GroupState, Judged, LinkRefusal, StoreFault};

/// What a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationKind {
    /// Of two accounts, one for each pair.
    Direct,
    /// Of any number.
    Group,
    /// Of one account alone; each has at most one.
    Personal,
}

impl ConversationKind {
    /// The wire's enum.
    #[must_use]
    pub fn to_wire(self) -> v1::ConversationKind {
        match self {
            Self::Direct => v1::ConversationKind::Direct,
            Self::Group => v1::ConversationKind::Group,
            Self::Personal => v1::ConversationKind::Personal,
        }
    }
}

/// A message, proposal or failure report to append.
#[derive(Clone)]
pub struct Append {
    /// Where.
    pub conversation: ConversationName,
    /// Chosen by the sender; stored once (invariant 2).
    pub id: MessageId,
    /// The device's next one, or an earlier one again (invariant 11).
    pub counter: Counter,
    /// The epoch the body was made in; of a report, that of the commit.
    pub epoch: Epoch,
    /// [`EntryKind::Message`], [`EntryKind::Proposal`] or [`EntryKind::Report`].
    pub kind: EntryKind,
    /// Opaque.
    pub body: Bytes,
    /// The sender's account leaves with this entry.
    pub leave: bool,
    /// The group with a proposal waiting in it; only of a proposal.
    pub group: Option<Judged<GroupState>>,
    /// The commit that can't be followed; only of a report.
    pub reports: Option<Seq>,
    /// The server's clock.
    pub now_ms: u64,
}

/// Where a log's rows lie in the store: cursors that are written in this order share pages. Means nothing elsewhere,
/// and may mean another log once this one is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPlace(pub i64);

/// How far a device has acknowledged a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    reader: Reader,
    log: ConversationName,
    place: LogPlace,
    seq: Seq,
}

/// Whose cursor it is: a device that has proved its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reader {
    device: DeviceId,
    account: AccountId,
}

impl From<&Actor> for Reader {
    fn from(actor: &Actor) -> Self {
        Self { device: actor.device(), account: actor.account() }
    }
}

impl Acknowledged {
    /// `place` is what [`Position`] said of the log.
    #[must_use]
    pub fn by(reader: Reader, log: ConversationName, place: LogPlace, seq: Seq) -> Self {
        Self { reader, log, place, seq }
    }

    /// Whose device it is.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.reader.account
    }

    /// Whose cursor it is.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.reader.device
    }

    /// The log that is read.
    #[must_use]
    pub fn log(&self) -> &ConversationName {
        &self.log
    }

    /// The last entry that the device has.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Where the log's rows lie.
    #[must_use]
    pub fn place(&self) -> LogPlace {
        self.place
    }
}

/// A commit and all that becomes visible with it.
#[derive(Clone)]
pub struct CommitAppend {
    /// Where.
    pub conversation: ConversationName,
    /// The commit's id.
    pub id: MessageId,
    /// As in [`Append`].
    pub counter: Counter,
    /// As on the wire.
    pub bundle: CommitBundle,
    /// The server's clock.
    pub now_ms: u64,
}

/// What a commit carries.
#[derive(Clone)]
pub struct CommitBundle {
    /// The epoch it applies to; the group's is one higher afterwards.
    pub epoch: Epoch,
    /// Opaque.
    pub commit: Bytes,
    /// For the devices below; empty when nobody is added.
    pub welcome: Bytes,
    /// Who is sent the welcome, through their inboxes.
    pub welcome_devices: Vec<DeviceId>,
    /// Of the new epoch; the newest one is kept.
    pub group_info: Bytes,
    /// Accounts that become members. Each must have consented to the actor.
    pub added: Vec<(Address, Role)>,
    /// Accounts whose access ends with this commit.
    pub removed: Vec<Address>,
    /// Those of them who are let in because they have asked by a link.
    pub asked: Vec<Address>,
    /// What it does; `None` where it could not be judged, because the group is in another epoch.
    pub judged: Option<Judged<GroupChange>>,
}

/// A conversation to be.
#[derive(Clone)]
pub struct NewConversation {
    /// Made by the client.
    pub conversation: ConversationName,
    /// The other account, of a direct conversation, or the actor's own, of its personal one; `None` makes a group.
    pub peer: Option<Address>,
    /// Of the first entry.
    pub id: MessageId,
    /// Adds the first members, counter 1 of the creator; `None` in a group of one.
    pub commit: Option<CommitBundle>,
    /// Of epoch 0, where there is no commit.
    pub group_info: Bytes,
    /// The group of epoch 0, where there is no commit.
    pub group: Option<GroupState>,
    /// The conversation that the group continues, as its context says.
    pub continues: Option<ConversationName>,
    /// It was made before, and was lost with what came after a backup.
    pub again: bool,
    /// The server's clock.
    pub now_ms: u64,
}

/// Where an entry was stored: the same answer for the same entry, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its place; 0 for a conversation created without an entry.
    pub seq: Seq,
    /// The chain after it.
    pub chain: ChainValue,
    /// When it was stored, milliseconds since 1970.
    pub stored_ms: u64,
}

/// An entry that is durable, on its way to the readers that are there.
#[derive(Clone)]
pub struct Committed {
    /// The entry, its body shared.
    pub entry: Arc<LogEntry>,
    /// Who reads it.
    pub audience: Audience,
    /// The reader whose block withholds the body, in a direct conversation.
    pub withheld_from: Option<AccountId>,
    /// Other domains that read the log.
    pub followers: Option<Arc<[Domain]>>,
}

/// Who reads an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// All devices of these accounts.
    Members(Arc<[AccountId]>),
    /// One device: its inbox.
    Device(AccountId, DeviceId),
}

/// A page to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLog {
    /// Which log; the actor's inbox is one.
    pub log: ConversationName,
    /// Entries after this.
    pub after: Seq,
    /// At most this many.
    pub limit: usize,
    /// The page ends after the entry with which its bodies reach this many bytes.
    pub max_bytes: usize,
}

/// Entries of a log. A withheld body is given as removed.
#[derive(Clone)]
pub struct LogPage {
    /// Ascending, without gaps; the first follows `after`, or the floor where that is higher.
    pub entries: Vec<LogEntry>,
    /// The last entry the actor may read.
    pub head: Seq,
    /// The last entry that is out of reach: removed by retention, or older than the actor's membership.
    pub floor: Seq,
    /// The chain there.
    pub floor_chain: ChainValue,
}

/// Where a log stands for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Where entries will start after: the asked one, or the floor where that is higher, or the
    /// head where that is lower.
    pub after: Seq,
    /// The chain at `after`.
    pub chain: ChainValue,
    /// The last entry the actor may read.
    pub head: Seq,
    /// For the order of what is acknowledged.
    pub place: LogPlace,
}

/// A conversation as a member sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationInfo {
    /// Its name.
    pub conversation: ConversationName,
    /// What it is.
    pub kind: ConversationKind,
    /// Everybody in it, in order of address.
    pub members: Vec<(Address, Role)>,
    /// The group's epoch.
    pub epoch: Epoch,
    /// The last entry.
    pub head: Seq,
    /// The last counter of the asking device.
    pub counter: Counter,
}

/// What upkeep removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Bodies of messages stored before this lose their content.
    pub bodies_before_ms: u64,
    /// Entries stored before this are removed whole, where all before them are.
    pub entries_before_ms: u64,
    /// Rows in one batch.
    pub batch: usize,
}

/// Figures for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreFigures {
    /// Stored and unacknowledged entries, summed over devices seen since the asked time.
    pub undelivered: u64,
    /// When the oldest of them was stored, milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    /// Verbs waiting for the writer.
    pub queue: u64,
}

/// Why an entry was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No such conversation, or the actor is no member.
    #[error("no such conversation")]
    NotFound,
    /// The acting device was revoked.
    #[error("the device no longer exists")]
    DeviceGone,
    /// Made in another epoch than the current one, which is given.
    #[error("the group is in epoch {0}")]
    WrongEpoch(Epoch),
    /// Not the next counter; the last one is given.
    #[error("the last counter is {0}")]
    CounterGap(Counter),
    /// The counter was used for another message, or the id in another place.
    #[error("the counter or id was used for another message")]
    IdConflict,
    /// The one message a stranger may place has been placed, or this one is too large for it.
    #[error("the other person has not accepted yet")]
    ContactPending,
    /// What is reported is no commit of that epoch by somebody else.
    #[error("what is reported is no commit of another device's in that epoch")]
    NoSuchCommit,
    /// Somebody to be added has not accepted the actor, or does not exist.
    #[error("somebody to be added is no contact")]
    NotContact,
    /// Somebody to be let in by a link has not asked, or the link does not count any more.
    #[error(transparent)]
    Link(#[from] LinkRefusal),
    /// The actor's role does not allow this, or the conversation's kind does not, or it is a direct one whose
    /// other account was deleted or reset.
    #[error("the actor's role does not allow this")]
    Forbidden,
    /// A device to be added is not enrolled for its account.
    #[error("a device to be added is not enrolled")]
    NotEnrolled,
    /// The change was not judged, or on another state of the group than the one that is stored.
    #[error("the group has changed since the change was judged")]
    Unjudged,
    /// The conversation waits for what its members have of it, after a restore.
    #[error("the conversation waits for what its members have")]
    ReadOnly,
    /// More members than a conversation may have, or a welcome for a device of nobody added.
    #[error("the membership change is not acceptable")]
    Membership,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Why a conversation was not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateConversationError {
    /// The pair has a direct conversation already.
    #[error("the two have a direct conversation")]
    DirectExists(ConversationName),
    /// Nothing is made again, because no restore is under way.
    #[error("no restore is under way")]
    NotAwaited,
    /// As in an append; [`AppendError::IdConflict`] where the name is in use by another creation.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl From<StoreFault> for CreateConversationError {
    fn from(fault: StoreFault) -> Self {
        Self::Append(AppendError::Fault(fault))
    }
}

/// How an account that is in a conversation stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It reads and sends.
    Member,
    /// The other one of the two has not accepted yet: one request may be sent, and no more.
    Unanswered,
}

/// Who is in a conversation, for what is ephemeral in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hearers {
    /// Which log it is.
    pub place: LogPlace,
    /// The accounts that are members now.
    pub members: Arc<[AccountId]>,
    /// The two of a direct conversation.
    pub pair: Option<[AccountId; 2]>,
    /// Of two, each has accepted the other, and neither has blocked the other.
    pub open: bool,
}

/// What has changed about who hears what is ephemeral.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HearersChanged {
    /// Somebody came into these, left them, or has another role.
    pub logs: Vec<LogPlace>,
    /// One of these has said something else of the other.
    pub pairs: Vec<[AccountId; 2]>,
}

/// Why a log can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No such log, or none of the actor's.
    #[error("no such log")]
    NotFound,
    /// The acting device was revoked.
    #[error("the device no longer exists")]
    DeviceGone,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}
