//! Rows of logs that other domains read, of copies, and of what is on its way to other domains.

use std::sync::Arc;

use bytes::Bytes;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, Digest, EntryKind},
    id::{ConversationName, Counter, DeviceId, MessageId, Seq},
    role::Role,
};

use super::{Fallible, LogId, LogRow};
use crate::store::{TreePage, Waiting};

/// How far a domain has come in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct FollowerRow {
    /// It has everything up to this.
    pub(in crate::store) seq: Seq,
    /// It may read no further: nobody of it is a member any more.
    pub(in crate::store) until: Option<Seq>,
}

/// Something that a device here has sent to another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct OutgoingRow {
    pub(in crate::store) row: i64,
    pub(in crate::store) device: DeviceId,
    pub(in crate::store) counter: Counter,
    pub(in crate::store) kind: EntryKind,
    pub(in crate::store) digest: Digest,
    /// It waits to be sent.
    pub(in crate::store) waits: bool,
}

/// Followers, copies, what goes out.
pub(in crate::store) trait FollowerTables {
    /// The domains that read a log; `None` where there are none, which costs nothing to find.
    fn followers(&mut self, log: LogId) -> Fallible<Option<Arc<[Domain]>>>;
    fn follower(&mut self, log: LogId, domain: &Domain) -> Fallible<Option<FollowerRow>>;
    fn put_follower(&mut self, log: LogId, domain: &Domain, row: FollowerRow) -> Fallible<()>;
    /// Moves a follower to another place.
    fn set_follower(&mut self, log: LogId, domain: &Domain, seq: Seq) -> Fallible<()>;
    /// Removes it with its base.
    fn remove_follower(&mut self, log: LogId, domain: &Domain) -> Fallible<()>;
    /// The group that the domain's copy begins with: group info and tree.
    fn put_base(&mut self, log: LogId, domain: &Domain, seq: Seq, group: (&Bytes, &Bytes)) -> Fallible<()>;
    /// The place and the group info of a base.
    fn base(&mut self, log: LogId, domain: &Domain) -> Fallible<Option<(Seq, Bytes)>>;
    /// At most so many bytes of a base's tree from an offset on.
    fn base_tree(&mut self, log: LogId, domain: &Domain, offset: usize, most: usize) -> Fallible<Option<TreePage>>;
    /// Takes one entry off what a domain is known to have of each conversation that has that entry still.
    fn step_back(&mut self, domain: &Domain) -> Fallible<()>;
    /// The last restore of a domain's server that was heard of, milliseconds since 1970; 0 for none.
    fn peer_restore(&mut self, domain: &Domain) -> Fallible<u64>;
    fn set_peer_restore(&mut self, domain: &Domain, at_ms: u64) -> Fallible<()>;
    /// Logs that a domain reads, in order, after one of them.
    fn followed_by(
        &mut self,
        domain: &Domain,
        after: LogId,
        limit: usize,
    ) -> Fallible<Vec<(LogId, LogRow, FollowerRow)>>;

    /// Empties a log, which goes on after this entry and chain.
    fn restart_log(&mut self, log: LogId, floor: Seq, chain: ChainValue) -> Fallible<()>;
    /// Members of a copy who are of other domains.
    fn outer_members(&mut self, log: LogId) -> Fallible<Vec<(Address, Role)>>;
    fn set_outer_members(&mut self, log: LogId, members: &[(Address, Role)]) -> Fallible<()>;
    /// How far a domain's inbox for a device here was read.
    fn inbox_read(&mut self, domain: &Domain, device: DeviceId) -> Fallible<Seq>;
    fn set_inbox_read(&mut self, domain: &Domain, device: DeviceId, seq: Seq) -> Fallible<()>;
    /// All inboxes of a domain are read from their beginning.
    fn forget_inboxes_read(&mut self, domain: &Domain) -> Fallible<()>;

    fn outgoing(&mut self, log: &ConversationName, id: MessageId) -> Fallible<Option<OutgoingRow>>;
    fn outgoing_row(&mut self, row: i64) -> Fallible<Option<(ConversationName, MessageId, OutgoingRow)>>;
    /// Adds one with what is to be sent, which is nothing where it does not wait; gives its row.
    fn put_outgoing(
        &mut self,
        log: &ConversationName,
        id: MessageId,
        row: &OutgoingRow,
        request: &Bytes,
        now_ms: u64,
    ) -> Fallible<i64>;
    /// It was taken by the hub, and waits no more.
    fn outgoing_sent(&mut self, row: i64) -> Fallible<()>;
    fn remove_outgoing(&mut self, row: i64) -> Fallible<()>;
    /// Removes one, and all behind it that wait of the same device in the same conversation.
    fn remove_outgoing_from(&mut self, device: DeviceId, log: &ConversationName, row: i64) -> Fallible<()>;
    /// Removes what was taken by a hub before a time, and never came back in a copy.
    fn drop_outgoing(&mut self, before_ms: u64) -> Fallible<()>;
    /// Those that wait for a domain, in order, after a row.
    fn waiting_for(&mut self, domain: &Domain, after: i64, limit: usize) -> Fallible<Vec<Waiting>>;
    /// How many of a device wait, at most counted to a limit.
    fn waiting_of(&mut self, device: DeviceId, limit: usize) -> Fallible<usize>;
    /// A domain is to be told of an account of here.
    fn put_announcement(&mut self, domain: &Domain, of: &Address) -> Fallible<()>;
    /// So it is of all of here who are in conversations of its own.
    fn announce_members(&mut self, domain: &Domain) -> Fallible<()>;
    /// Whom a domain is to be told of, in order, and by which row each is taken off.
    fn announcements(&mut self, domain: &Domain, limit: usize) -> Fallible<Vec<(i64, Address)>>;
    fn remove_announcement(&mut self, row: i64) -> Fallible<()>;
    /// Whether so many wait for a domain. It is asked with each message.
    fn is_waiting_full(&mut self, domain: &Domain, most: u64) -> Fallible<bool>;
    /// How many wait for a domain, and since when the oldest does.
    fn backlog_of(&mut self, domain: &Domain) -> Fallible<(u64, Option<u64>)>;
}
