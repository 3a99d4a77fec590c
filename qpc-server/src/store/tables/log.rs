//! Rows of logs: entries, members, cursors, and what upkeep does to them.

use std::sync::Arc;

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::{ChainValue, LogEntry},
    id::{AccountId, ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
};

use super::Fallible;
use crate::store::{Departure, GroupState, TreePage};

/// Names a log inside an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct LogId(pub(in crate::store) i64);

/// What a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum LogKind {
    /// A conversation of two.
    Direct,
    /// A conversation of any number.
    Group,
    /// Of one account's devices.
    Personal,
    /// Of one device.
    Inbox,
}

/// What does not change with each entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct LogRow {
    pub(in crate::store) name: ConversationName,
    pub(in crate::store) kind: LogKind,
    /// The device that made a conversation, and the id it made it with.
    pub(in crate::store) creation: Option<(DeviceId, MessageId)>,
    pub(in crate::store) created_ms: u64,
    /// The conversation that a group continues, whose members have agreed to be in this one, too.
    pub(in crate::store) continues: Option<ConversationName>,
}

/// Both ends of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Ends {
    /// The last entry, the chain there, and the group's epoch.
    pub(in crate::store) head: Seq,
    pub(in crate::store) chain: ChainValue,
    pub(in crate::store) epoch: Epoch,
    /// The last entry that is gone, and the chain there.
    pub(in crate::store) floor: Seq,
    pub(in crate::store) floor_chain: ChainValue,
}

/// An account's right to read a log, and its role while it is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct MemberRow {
    pub(in crate::store) account: AccountId,
    pub(in crate::store) role: Role,
    /// The first entry it may read.
    pub(in crate::store) from: Seq,
    /// The last entry it may read; `None` for a member.
    pub(in crate::store) until: Option<Seq>,
}

/// A log as one account finds it: all that decides how much of it the account may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct LogView {
    pub(in crate::store) log: LogId,
    pub(in crate::store) kind: LogKind,
    /// As in [`Ends`].
    pub(in crate::store) head: Seq,
    pub(in crate::store) floor: Seq,
    pub(in crate::store) floor_chain: ChainValue,
    /// The account's row, where it has one.
    pub(in crate::store) member: Option<MemberRow>,
}

/// An entry, and whose block withholds its body.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::store) struct EntryRow {
    pub(in crate::store) entry: LogEntry,
    pub(in crate::store) withheld_from: Option<AccountId>,
}

/// Which entries to read: after one seq up to and including another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Range {
    pub(in crate::store) after: Seq,
    pub(in crate::store) upto: Seq,
    pub(in crate::store) limit: usize,
    /// Ends after the entry with which the bodies reach this many bytes.
    pub(in crate::store) max_bytes: usize,
}

/// Logs, members, cursors.
pub(in crate::store) trait LogTables {
    fn log(&mut self, name: &ConversationName) -> Fallible<Option<(LogId, LogRow)>>;
    fn insert_log(&mut self, log: &LogRow) -> Fallible<LogId>;
    /// Removes an inbox with everything in it.
    fn remove_log(&mut self, log: LogId) -> Fallible<()>;
    fn ends(&mut self, log: LogId) -> Fallible<Ends>;
    fn log_view(&mut self, name: &ConversationName, account: AccountId) -> Fallible<Option<LogView>>;
    /// Sets the epoch after a commit and keeps its group info.
    fn set_epoch(&mut self, log: LogId, epoch: Epoch, group_info: &Bytes) -> Fallible<()>;

    /// The group info that came with the epoch.
    fn group_info(&mut self, log: LogId) -> Fallible<Option<Bytes>>;
    /// Proposals of the epoch that are in the group's stored state; `None` where there is no state.
    fn group_proposals(&mut self, log: LogId) -> Fallible<Option<u64>>;
    /// The group's stored state, whole.
    fn group(&mut self, log: LogId) -> Fallible<Option<GroupState>>;
    /// Replaces it; a tree that does not come along stays.
    fn put_group(&mut self, log: LogId, proposals: u64, state: &GroupState) -> Fallible<()>;

    /// Keeps the tree that a commit made for those it welcomed, as long as its entry.
    fn put_welcome_tree(&mut self, log: LogId, seq: Seq, tree: &Bytes) -> Fallible<()>;
    /// At most so many bytes of it from an offset on.
    fn welcome_tree(&mut self, log: LogId, seq: Seq, offset: usize, most: usize) -> Fallible<Option<TreePage>>;

    /// A device that is gone has a leaf in the group still.
    fn put_departed(&mut self, log: LogId, device: DeviceId, account_gone: bool) -> Fallible<()>;
    /// Its removal was proposed in this epoch, or can't be.
    fn set_departed_epoch(&mut self, log: LogId, device: DeviceId, epoch: Epoch) -> Fallible<()>;
    /// Its leaf is gone.
    fn remove_departed(&mut self, log: LogId, device: DeviceId) -> Fallible<()>;
    /// Those about whom nothing was done in the group's current epoch.
    fn departed(&mut self, limit: usize) -> Fallible<Vec<Departure>>;

    /// Adds an entry whose seq follows the head.
    fn append(&mut self, log: LogId, row: &EntryRow) -> Fallible<()>;
    /// An entry that a device made, by its id.
    fn entry_by_id(&mut self, log: LogId, id: MessageId) -> Fallible<Option<LogEntry>>;
    /// The chain after a stored entry.
    fn chain_at(&mut self, log: LogId, seq: Seq) -> Fallible<Option<ChainValue>>;
    /// Of a log with its name. Ascending, without gaps.
    fn entries(&mut self, log: (LogId, &ConversationName), range: Range) -> Fallible<Vec<EntryRow>>;
    /// The last counter of a device in a conversation, whether its entry is still there or not.
    fn last_counter(&mut self, log: LogId, device: DeviceId) -> Fallible<Counter>;

    fn member(&mut self, log: LogId, account: AccountId) -> Fallible<Option<MemberRow>>;
    /// Those who are members now.
    fn members(&mut self, log: LogId) -> Fallible<Arc<[MemberRow]>>;
    /// The accounts that are members now.
    fn audience(&mut self, log: LogId) -> Fallible<Arc<[AccountId]>>;
    /// Those who are members now, by name, in order of address.
    fn member_addresses(&mut self, log: LogId) -> Fallible<Vec<(Address, Role)>>;
    /// Adds or replaces an account's row.
    fn put_member(&mut self, log: LogId, member: MemberRow) -> Fallible<()>;
    /// Removes all rows of an account: it is a member nowhere and may read nothing.
    fn remove_memberships(&mut self, account: AccountId) -> Fallible<()>;
    /// Conversations an account is a member of, with an id greater than `after`, in order.
    fn logs_of(
        &mut self,
        account: AccountId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Fallible<Vec<(LogId, LogRow)>>;

    /// The device reads what comes after `seq`.
    fn start_cursor(&mut self, log: LogId, device: DeviceId, seq: Seq) -> Fallible<()>;
    /// Moves a cursor forward, never back nor past the head; one that has reached its end goes. Says whether there is one.
    fn raise_cursor(&mut self, log: LogId, device: DeviceId, seq: Seq) -> Fallible<bool>;
    /// The device reads nothing after `until`; a cursor that is there already goes.
    fn end_cursor(&mut self, log: LogId, device: DeviceId, until: Seq) -> Fallible<()>;
}

/// Upkeep.
pub(in crate::store) trait UpkeepTables {
    /// Strips at most `limit` message bodies stored before a time; says how many rows it looked at.
    fn strip_bodies(&mut self, before_ms: u64, limit: usize) -> Fallible<usize>;
    /// Removes at most `limit` entries from the front of conversations; says how many rows it looked at.
    fn drop_entries(&mut self, before_ms: u64, limit: usize) -> Fallible<usize>;
    /// Removes at most `limit` entries from the front of inboxes: what is acknowledged and was stored before one
    /// time, and whatever was stored before another. Says how many rows it looked at.
    fn drop_inbox_entries(&mut self, read_before_ms: u64, all_before_ms: u64, limit: usize) -> Fallible<usize>;
    /// Removes invites that ended before a time.
    fn drop_invites(&mut self, before_ms: u64) -> Fallible<()>;
    /// Gives at most this many pages back to the file system; says whether there are more.
    fn release_pages(&mut self, pages: usize) -> Fallible<bool>;
    /// Stored and unacknowledged entries of devices seen since, and when the oldest was stored.
    fn undelivered(&mut self, seen_since_ms: u64) -> Fallible<(u64, Option<u64>)>;
    /// Active accounts.
    fn count_accounts(&mut self) -> Fallible<u64>;
    /// Writes something that changes nothing.
    fn probe(&mut self) -> Fallible<()>;
}
