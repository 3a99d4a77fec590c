//! Logs in maps.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::{ChainValue, EntryContent, LogEntry},
    id::{AccountId, ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
};

use super::World;
use crate::store::{
    Departure, GroupState, LogPlace, StoreFault, TreePage,
    tables::{Ends, EntryRow, Fallible, LogId, LogRow, LogTables, LogView, MemberRow, Range},
};

#[derive(Default)]
pub(super) struct Logs {
    names: HashMap<ConversationName, LogId>,
    pub(super) rows: BTreeMap<LogId, Log>,
    next: i64,
    /// Conversations of a member, in order of id.
    memberships: HashMap<AccountId, BTreeSet<(ConversationId, LogId)>>,
    /// Devices that are gone, or too far behind, and have a leaf still: whether their account is gone, and when something was
    /// done about it.
    pub(super) departed: BTreeMap<(LogId, DeviceId), (bool, Option<Epoch>)>,
}

pub(super) struct Log {
    pub(super) row: LogRow,
    pub(super) entries: VecDeque<EntryRow>,
    pub(super) ends: Ends,
    pub(super) members: BTreeMap<AccountId, MemberRow>,
    counters: HashMap<DeviceId, Counter>,
    ids: HashMap<MessageId, Seq>,
    pub(super) cursors: BTreeMap<DeviceId, Cursor>,
    group_info: Option<Bytes>,
    /// The group's state, and how many proposals are in it.
    group: Option<(u64, GroupState)>,
    /// By the commits that made them.
    welcome_trees: BTreeMap<Seq, Bytes>,
}

#[derive(Clone, Copy)]
pub(super) struct Cursor {
    pub(super) seq: Seq,
    pub(super) until: Option<Seq>,
}

impl Log {
    pub(super) fn name(&self) -> &ConversationName {
        &self.row.name
    }

    pub(super) fn is_inbox(&self) -> bool {
        self.row.kind == crate::store::tables::LogKind::Inbox
    }

    /// The place of a stored entry in `entries`.
    fn index(&self, seq: Seq) -> Option<usize> {
        let index = seq.0.checked_sub(self.ends.floor.0)?.checked_sub(1)?;
        usize::try_from(index).ok()
    }

    pub(super) fn entry(&self, seq: Seq) -> Option<&EntryRow> {
        self.entries.get(self.index(seq)?)
    }

    /// Removes the first entry and moves the floor there.
    pub(super) fn drop_front(&mut self) {
        if let Some(EntryRow { entry, .. }) = self.entries.pop_front() {
            self.ends.floor = entry.seq;
            self.ends.floor_chain = entry.chain;
            self.ids.remove(&entry.id);
        }
        let floor = self.ends.floor;
        self.welcome_trees.retain(|seq, _| *seq > floor);
        self.members.retain(|_, member| member.until.is_none_or(|until| until > floor));
        self.cursors.retain(|_, cursor| cursor.until.is_none_or(|until| until > floor));
    }
}

impl Logs {
    pub(super) fn forget_device(&mut self, device: DeviceId) {
        for log in self.rows.values_mut() {
            log.cursors.remove(&device);
        }
    }

    pub(super) fn row(&self, log: LogId) -> Fallible<LogRow> {
        Ok(self.get(log)?.row.clone())
    }

    /// Empties a log, which goes on after this entry and chain.
    pub(super) fn restart(&mut self, log: LogId, floor: Seq, chain: ChainValue) -> Fallible<()> {
        let log = self.get_mut(log)?;
        log.entries.clear();
        log.ids.clear();
        log.welcome_trees.clear();
        log.ends = Ends { head: floor, chain, floor, floor_chain: chain, ..log.ends };
        Ok(())
    }

    fn get(&self, log: LogId) -> Fallible<&Log> {
        self.rows.get(&log).ok_or_else(|| StoreFault::Engine("no such log".into()))
    }

    fn get_mut(&mut self, log: LogId) -> Fallible<&mut Log> {
        self.rows.get_mut(&log).ok_or_else(|| StoreFault::Engine("no such log".into()))
    }
}

/// The size of a tree, and a part of it.
pub(super) fn tree_page(tree: &Bytes, offset: usize, most: usize) -> TreePage {
    let begin = offset.min(tree.len());
    let end = begin.saturating_add(most).min(tree.len());
    TreePage { size: u64::try_from(tree.len()).unwrap_or(u64::MAX), bytes: tree.slice(begin..end) }
}

impl LogTables for World {
    fn log(&mut self, name: &ConversationName) -> Fallible<Option<(LogId, LogRow)>> {
        let Some(id) = self.logs.names.get(name).copied() else { return Ok(None) };
        Ok(Some((id, self.logs.get(id)?.row.clone())))
    }

    fn insert_log(&mut self, row: &LogRow) -> Fallible<LogId> {
        self.logs.next = self.logs.next.saturating_add(1);
        let id = LogId(self.logs.next);
        let genesis = ChainValue::genesis(&row.name);
        let ends = Ends { head: Seq(0), chain: genesis, epoch: Epoch(0), floor: Seq(0), floor_chain: genesis };
        let log = Log {
            row: row.clone(),
            entries: VecDeque::new(),
            ends,
            members: BTreeMap::new(),
            counters: HashMap::new(),
            ids: HashMap::new(),
            cursors: BTreeMap::new(),
            welcome_trees: BTreeMap::new(),
            group_info: None,
            group: None,
        };
        self.logs.rows.insert(id, log);
        self.logs.names.insert(row.name.clone(), id);
        Ok(id)
    }

    fn remove_log(&mut self, id: LogId) -> Fallible<()> {
        if let Some(log) = self.logs.rows.remove(&id) {
            self.logs.names.remove(&log.row.name);
        }
        self.followers.forget_log(id);
        Ok(())
    }

    fn ends(&mut self, log: LogId) -> Fallible<Ends> {
        Ok(self.logs.get(log)?.ends)
    }

    fn log_view(&mut self, name: &ConversationName, account: AccountId) -> Fallible<Option<LogView>> {
        let Some(id) = self.logs.names.get(name).copied() else { return Ok(None) };
        let Log { row, ends, members, .. } = self.logs.get(id)?;
        let (Ends { head, floor, floor_chain, .. }, member) = (*ends, members.get(&account).copied());
        Ok(Some(LogView { log: id, kind: row.kind, head, floor, floor_chain, member }))
    }

    fn set_epoch(&mut self, log: LogId, epoch: Epoch, group_info: &Bytes) -> Fallible<()> {
        let log = self.logs.get_mut(log)?;
        log.ends.epoch = epoch;
        log.group_info = Some(group_info.clone());
        Ok(())
    }

    fn group_info(&mut self, log: LogId) -> Fallible<Option<Bytes>> {
        Ok(self.logs.get(log)?.group_info.clone())
    }

    fn group_proposals(&mut self, log: LogId) -> Fallible<Option<u64>> {
        Ok(self.logs.get(log)?.group.as_ref().map(|(proposals, _)| *proposals))
    }

    fn group(&mut self, log: LogId) -> Fallible<Option<GroupState>> {
        Ok(self.logs.get(log)?.group.as_ref().map(|(_, state)| state.clone()))
    }

    fn put_group(&mut self, log: LogId, proposals: u64, state: &GroupState) -> Fallible<()> {
        let log = self.logs.get_mut(log)?;
        let stored = log.group.take().and_then(|(_, state)| state.tree);
        let state = GroupState { core: state.core.clone(), tree: state.tree.clone().or(stored) };
        log.group = Some((proposals, state));
        Ok(())
    }

    fn put_welcome_tree(&mut self, log: LogId, seq: Seq, tree: &Bytes) -> Fallible<()> {
        self.logs.get_mut(log)?.welcome_trees.insert(seq, tree.clone());
        Ok(())
    }

    fn welcome_tree(&mut self, log: LogId, seq: Seq, offset: usize, most: usize) -> Fallible<Option<TreePage>> {
        Ok(self.logs.get(log)?.welcome_trees.get(&seq).map(|tree| tree_page(tree, offset, most)))
    }

    fn put_departed(&mut self, log: LogId, device: DeviceId, account_gone: bool) -> Fallible<()> {
        self.logs.departed.insert((log, device), (account_gone, None));
        Ok(())
    }

    fn set_departed_epoch(&mut self, log: LogId, device: DeviceId, epoch: Epoch) -> Fallible<()> {
        if let Some((_, done)) = self.logs.departed.get_mut(&(log, device)) {
            *done = Some(epoch);
        }
        Ok(())
    }

    fn remove_departed(&mut self, log: LogId, device: DeviceId) -> Fallible<()> {
        self.logs.departed.remove(&(log, device));
        Ok(())
    }

    fn departed(&mut self, limit: usize) -> Fallible<Vec<Departure>> {
        let mut due = Vec::new();
        for ((log, device), (account_gone, done)) in &self.logs.departed {
            let log = self.logs.get(*log)?;
            if *done != Some(log.ends.epoch) && due.len() < limit {
                let conversation = log.row.name.clone();
                due.push(Departure { conversation, device: *device, account_gone: *account_gone });
            }
        }
        Ok(due)
    }

    fn append(&mut self, log: LogId, row: &EntryRow) -> Fallible<()> {
        let log = self.logs.get_mut(log)?;
        log.ends.head = row.entry.seq;
        log.ends.chain = row.entry.chain;
        if let Some(sender) = row.entry.sender
            && row.entry.counter != Counter(0)
        {
            log.counters.insert(sender, row.entry.counter);
            log.ids.insert(row.entry.id, row.entry.seq);
        }
        log.entries.push_back(row.clone());
        Ok(())
    }

    fn entry_by_id(&mut self, log: LogId, id: MessageId) -> Fallible<Option<LogEntry>> {
        let log = self.logs.get(log)?;
        Ok(log.ids.get(&id).and_then(|seq| log.entry(*seq)).map(|row| row.entry.clone()))
    }

    fn chain_at(&mut self, log: LogId, seq: Seq) -> Fallible<Option<ChainValue>> {
        Ok(self.logs.get(log)?.entry(seq).map(|row| row.entry.chain))
    }

    fn entries(&mut self, (log, _): (LogId, &ConversationName), range: Range) -> Fallible<Vec<EntryRow>> {
        let log = self.logs.get(log)?;
        let skip = log.index(range.after.next()).unwrap_or(log.entries.len());
        let mut bytes = 0_usize;
        let mut entries = Vec::new();
        for row in log.entries.iter().skip(skip).take(range.limit) {
            if row.entry.seq > range.upto || bytes >= range.max_bytes {
                break;
            }
            if let EntryContent::Body(body) = &row.entry.content {
                bytes = bytes.saturating_add(body.len());
            }
            entries.push(row.clone());
        }
        Ok(entries)
    }

    fn last_counter(&mut self, log: LogId, device: DeviceId) -> Fallible<Counter> {
        Ok(self.logs.get(log)?.counters.get(&device).copied().unwrap_or_default())
    }

    fn member(&mut self, log: LogId, account: AccountId) -> Fallible<Option<MemberRow>> {
        Ok(self.logs.get(log)?.members.get(&account).copied())
    }

    fn members(&mut self, log: LogId) -> Fallible<Arc<[MemberRow]>> {
        Ok(self.logs.get(log)?.members.values().filter(|row| row.until.is_none()).copied().collect())
    }

    fn audience(&mut self, log: LogId) -> Fallible<Arc<[AccountId]>> {
        Ok(self.members(log)?.iter().map(|row| row.account).collect())
    }

    fn member_addresses(&mut self, log: LogId) -> Fallible<Vec<(Address, Role)>> {
        let members = self.members(log)?;
        let named = members.iter().filter_map(|member| {
            let (account, _) = self.accounts.rows.get(&member.account)?;
            Some((account.address.clone(), member.role))
        });
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        Ok(named)
    }

    fn put_member(&mut self, log: LogId, member: MemberRow) -> Fallible<()> {
        let row = self.logs.get_mut(log)?;
        row.members.insert(member.account, member);
        let key = (row.row.name.id, log);
        let of = self.logs.memberships.entry(member.account).or_default();
        if member.until.is_none() {
            of.insert(key)
        } else {
            of.remove(&key)
        };
        self.wake_ups.hearers.logs.push(LogPlace(log.0));
        Ok(())
    }

    fn remove_memberships(&mut self, account: AccountId) -> Fallible<()> {
        for log in self.logs.rows.values_mut() {
            log.members.remove(&account);
        }
        self.logs.memberships.remove(&account);
        Ok(())
    }

    fn logs_of(
        &mut self,
        account: AccountId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Fallible<Vec<(LogId, LogRow)>> {
        let keys = self.logs.memberships.get(&account).into_iter().flatten();
        let page = keys.filter(|(id, _)| after.is_none_or(|after| *id > after)).take(limit);
        page.map(|(_, log)| Ok((*log, self.logs.get(*log)?.row.clone()))).collect()
    }

    fn start_cursor(&mut self, log: LogId, device: DeviceId, seq: Seq) -> Fallible<()> {
        self.logs.get_mut(log)?.cursors.insert(device, Cursor { seq, until: None });
        Ok(())
    }

    fn raise_cursor(&mut self, log: LogId, device: DeviceId, seq: Seq) -> Fallible<bool> {
        let Some(log) = self.logs.rows.get_mut(&log) else { return Ok(false) };
        let seq = seq.min(log.ends.head);
        let Some(cursor) = log.cursors.get_mut(&device) else { return Ok(false) };
        cursor.seq = cursor.seq.max(seq);
        if cursor.until.is_some_and(|until| seq >= until) {
            log.cursors.remove(&device);
        }
        Ok(true)
    }

    fn end_cursor(&mut self, log: LogId, device: DeviceId, until: Seq) -> Fallible<()> {
        let cursors = &mut self.logs.get_mut(log)?.cursors;
        if let Some(cursor) = cursors.get_mut(&device) {
            cursor.until = Some(until);
            if cursor.seq >= until {
                cursors.remove(&device);
            }
        }
        Ok(())
    }
}
