//! Logs that other domains read, copies, and what is on its way to other domains, in maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use qpc_proto::{
    address::{Address, Domain},
    chain::ChainValue,
    id::{ConversationName, DeviceId, MessageId, Seq},
    role::Role,
};

use super::World;
use crate::store::{
    TreePage, Waiting,
    tables::{AccountState, AccountTables, Fallible, FollowerRow, FollowerTables, LogId, LogRow, OutgoingRow},
};

#[derive(Default)]
pub(super) struct Followers {
    rows: BTreeMap<(LogId, Domain), FollowerRow>,
    /// Place, group info and tree.
    bases: BTreeMap<(LogId, Domain), (Seq, Bytes, Bytes)>,
    outer: BTreeMap<LogId, Vec<(Address, Role)>>,
    inboxes: BTreeMap<(DeviceId, Domain), Seq>,
    outgoing: BTreeMap<i64, Sent>,
    announcements: BTreeMap<i64, (Domain, Address)>,
    /// Of other servers, that were heard of.
    restores: BTreeMap<Domain, u64>,
    last: i64,
}

struct Sent {
    log: ConversationName,
    id: MessageId,
    row: OutgoingRow,
    request: Bytes,
    added_ms: u64,
}

impl Followers {
    pub(super) fn forget_log(&mut self, log: LogId) {
        self.rows.retain(|(of, _), _| *of != log);
        self.bases.retain(|(of, _), _| *of != log);
        self.outer.remove(&log);
    }

    /// Bases that begin with an entry that is gone.
    pub(super) fn forget_bases(&mut self, log: LogId, upto: Seq) {
        self.bases.retain(|(of, _), (at, ..)| *of != log || *at > upto);
    }

    pub(super) fn forget_device(&mut self, device: DeviceId) {
        self.inboxes.retain(|(of, _), _| *of != device);
        self.outgoing.values_mut().filter(|sent| sent.row.device == device).for_each(|sent| sent.row.waits = false);
    }
}

impl FollowerTables for World {
    fn followers(&mut self, log: LogId) -> Fallible<Option<Arc<[Domain]>>> {
        let reading = |((of, domain), row): (&(LogId, Domain), &FollowerRow)| {
            (*of == log && row.until.is_none()).then(|| domain.clone())
        };
        let domains: Arc<[Domain]> = self.followers.rows.iter().filter_map(reading).collect();
        Ok(Some(domains).filter(|domains| !domains.is_empty()))
    }

    fn follower(&mut self, log: LogId, domain: &Domain) -> Fallible<Option<FollowerRow>> {
        Ok(self.followers.rows.get(&(log, domain.clone())).copied())
    }

    fn put_follower(&mut self, log: LogId, domain: &Domain, row: FollowerRow) -> Fallible<()> {
        self.followers.rows.insert((log, domain.clone()), row);
        Ok(())
    }

    fn set_follower(&mut self, log: LogId, domain: &Domain, seq: Seq) -> Fallible<()> {
        if let Some(row) = self.followers.rows.get_mut(&(log, domain.clone())) {
            row.seq = seq;
        }
        Ok(())
    }

    fn remove_follower(&mut self, log: LogId, domain: &Domain) -> Fallible<()> {
        self.followers.rows.remove(&(log, domain.clone()));
        self.followers.bases.remove(&(log, domain.clone()));
        Ok(())
    }

    fn put_base(&mut self, log: LogId, domain: &Domain, seq: Seq, (info, tree): (&Bytes, &Bytes)) -> Fallible<()> {
        self.followers.bases.insert((log, domain.clone()), (seq, info.clone(), tree.clone()));
        Ok(())
    }

    fn base(&mut self, log: LogId, domain: &Domain) -> Fallible<Option<(Seq, Bytes)>> {
        Ok(self.followers.bases.get(&(log, domain.clone())).map(|(seq, info, _)| (*seq, info.clone())))
    }

    fn base_tree(&mut self, log: LogId, domain: &Domain, offset: usize, most: usize) -> Fallible<Option<TreePage>> {
        Ok(self
            .followers
            .bases
            .get(&(log, domain.clone()))
            .map(|(_, _, tree)| super::log::tree_page(tree, offset, most)))
    }

    fn step_back(&mut self, domain: &Domain) -> Fallible<()> {
        for ((log, _), row) in self.followers.rows.iter_mut().filter(|((_, of), _)| of == domain) {
            let has = self.logs.rows.get(log).is_some_and(|log| !log.is_inbox() && log.ends.floor < row.seq);
            if has {
                row.seq = Seq(row.seq.0.saturating_sub(1));
            }
        }
        Ok(())
    }

    fn peer_restore(&mut self, domain: &Domain) -> Fallible<u64> {
        Ok(self.followers.restores.get(domain).copied().unwrap_or(0))
    }

    fn set_peer_restore(&mut self, domain: &Domain, at_ms: u64) -> Fallible<()> {
        self.followers.restores.insert(domain.clone(), at_ms);
        Ok(())
    }

    fn followed_by(
        &mut self,
        domain: &Domain,
        after: LogId,
        limit: usize,
    ) -> Fallible<Vec<(LogId, LogRow, FollowerRow)>> {
        let rows = self.followers.rows.iter().filter(|((log, of), _)| of == domain && *log > after).take(limit);
        rows.map(|((log, _), row)| Ok((*log, self.logs.row(*log)?, *row))).collect()
    }

    fn restart_log(&mut self, log: LogId, floor: Seq, chain: ChainValue) -> Fallible<()> {
        self.logs.restart(log, floor, chain)
    }

    fn outer_members(&mut self, log: LogId) -> Fallible<Vec<(Address, Role)>> {
        Ok(self.followers.outer.get(&log).cloned().unwrap_or_default())
    }

    fn set_outer_members(&mut self, log: LogId, members: &[(Address, Role)]) -> Fallible<()> {
        let mut members = members.to_vec();
        members.sort_unstable();
        self.followers.outer.insert(log, members);
        Ok(())
    }

    fn inbox_read(&mut self, domain: &Domain, device: DeviceId) -> Fallible<Seq> {
        Ok(self.followers.inboxes.get(&(device, domain.clone())).copied().unwrap_or(Seq(0)))
    }

    fn set_inbox_read(&mut self, domain: &Domain, device: DeviceId, seq: Seq) -> Fallible<()> {
        self.followers.inboxes.insert((device, domain.clone()), seq);
        Ok(())
    }

    fn forget_inboxes_read(&mut self, domain: &Domain) -> Fallible<()> {
        self.followers.inboxes.retain(|(_, of), _| of != domain);
        Ok(())
    }

    fn outgoing(&mut self, log: &ConversationName, id: MessageId) -> Fallible<Option<OutgoingRow>> {
        let mut sent = self.followers.outgoing.values();
        Ok(sent.find(|sent| sent.log == *log && sent.id == id).map(|sent| sent.row.clone()))
    }

    fn outgoing_row(&mut self, row: i64) -> Fallible<Option<(ConversationName, MessageId, OutgoingRow)>> {
        Ok(self.followers.outgoing.get(&row).map(|sent| (sent.log.clone(), sent.id, sent.row.clone())))
    }

    fn put_outgoing(
        &mut self,
        log: &ConversationName,
        id: MessageId,
        row: &OutgoingRow,
        request: &Bytes,
        now_ms: u64,
    ) -> Fallible<i64> {
        self.followers.last = self.followers.last.saturating_add(1);
        let number = self.followers.last;
        let row = OutgoingRow { row: number, ..row.clone() };
        let sent = Sent { log: log.clone(), id, row, request: request.clone(), added_ms: now_ms };
        self.followers.outgoing.insert(number, sent);
        Ok(number)
    }

    fn outgoing_sent(&mut self, row: i64) -> Fallible<()> {
        if let Some(sent) = self.followers.outgoing.get_mut(&row) {
            sent.row.waits = false;
        }
        Ok(())
    }

    fn remove_outgoing(&mut self, row: i64) -> Fallible<()> {
        self.followers.outgoing.remove(&row);
        Ok(())
    }

    fn remove_outgoing_from(&mut self, device: DeviceId, log: &ConversationName, row: i64) -> Fallible<()> {
        let goes = |number: i64, sent: &Sent| {
            sent.row.device == device && sent.log == *log && (number == row || (number > row && sent.row.waits))
        };
        self.followers.outgoing.retain(|number, sent| !goes(*number, sent));
        Ok(())
    }

    fn drop_outgoing(&mut self, before_ms: u64) -> Fallible<()> {
        self.followers.outgoing.retain(|_, sent| sent.row.waits || sent.added_ms >= before_ms);
        Ok(())
    }

    fn waiting_for(&mut self, domain: &Domain, after: i64, limit: usize) -> Fallible<Vec<Waiting>> {
        let due = self.followers.outgoing.range(after.saturating_add(1)..);
        let due = due.filter(|(_, sent)| sent.row.waits && sent.log.domain == *domain).take(limit);
        let due: Vec<_> = due.map(|(row, sent)| (*row, sent.row.device, sent.request.clone())).collect();
        let mut waiting = Vec::with_capacity(due.len());
        for (row, device, request) in due {
            let account = match self.device(device)? {
                Some(of) => self.account(of.account)?,
                None => None,
            };
            if let Some(account) = account {
                waiting.push(Waiting { row, sender: account.address, device, request });
            }
        }
        Ok(waiting)
    }

    fn waiting_of(&mut self, device: DeviceId, limit: usize) -> Fallible<usize> {
        let waits = |sent: &&Sent| sent.row.waits && sent.row.device == device;
        Ok(self.followers.outgoing.values().filter(waits).take(limit).count())
    }

    fn put_announcement(&mut self, domain: &Domain, of: &Address) -> Fallible<()> {
        let to_be_told = (domain.clone(), of.clone());
        self.followers.announcements.retain(|_, known| *known != to_be_told);
        self.followers.last = self.followers.last.saturating_add(1);
        self.followers.announcements.insert(self.followers.last, to_be_told);
        Ok(())
    }

    fn announce_members(&mut self, domain: &Domain) -> Fallible<()> {
        let theirs = self.logs.rows.values().filter(|log| !log.is_inbox() && log.name().domain == *domain);
        let here = theirs.flat_map(|log| log.members.values()).filter(|member| member.until.is_none());
        let accounts = here.filter_map(|member| self.accounts.rows.get(&member.account));
        let active = accounts.filter(|(account, _)| account.state == AccountState::Active);
        let addresses: BTreeSet<_> = active.map(|(account, _)| account.address.clone()).collect();
        addresses.iter().try_for_each(|address| self.put_announcement(domain, address))
    }

    fn announcements(&mut self, domain: &Domain, limit: usize) -> Fallible<Vec<(i64, Address)>> {
        let due = self.followers.announcements.iter().filter(|(_, (to, _))| to == domain).take(limit);
        Ok(due.map(|(row, (_, of))| (*row, of.clone())).collect())
    }

    fn remove_announcement(&mut self, row: i64) -> Fallible<()> {
        self.followers.announcements.remove(&row);
        Ok(())
    }

    fn is_waiting_full(&mut self, domain: &Domain, most: u64) -> Fallible<bool> {
        Ok(self.backlog_of(domain)?.0 >= most)
    }

    fn backlog_of(&mut self, domain: &Domain) -> Fallible<(u64, Option<u64>)> {
        let waiting = || self.followers.outgoing.values().filter(|sent| sent.row.waits && sent.log.domain == *domain);
        Ok((u64::try_from(waiting().count()).unwrap_or(u64::MAX), waiting().map(|sent| sent.added_ms).next()))
    }
}
