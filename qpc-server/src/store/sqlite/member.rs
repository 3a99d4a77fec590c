//! Members, how they see a log, and the counters of their devices in SQL, behind the writer's cache.
//!
//! Counters have no row that a message would have to change: they are those of the last checkpoint,
//! written every so many entries, and of the entries since.

use std::collections::{HashMap, HashSet};

use qpc_proto::{
    address::Address,
    chain::ChainValue,
    id::{AccountId, ConversationName, Counter, DeviceId, Seq},
    role::Role,
};
use rusqlite::{Row, params};

use super::{
    cache::{Members, Senders},
    error::int,
    log::{COUNTER_SQL, ask, kind},
    rows::Rows,
    statements::{address, id, number},
};
use crate::store::tables::{Fallible, LogId, LogTables, LogView, MemberRow};

/// Entries between two checkpoints of the counters: what a load reads at most.
const SENDERS_EVERY: u64 = 64;

const MEMBER_COLUMNS: &str = "account, role, from_seq, until_seq";

fn role_number(role: Role) -> i32 {
    role.to_wire().into()
}

fn member_row(row: &Row<'_>) -> rusqlite::Result<MemberRow> {
    Ok(MemberRow {
        account: id(row, 0)?,
        role: Role::from_wire(row.get(1)?),
        from: Seq(number(row, 2)?),
        until: row.get::<_, Option<i64>>(3)?.map(|until| Seq(super::error::num(until))),
    })
}

/// A row of [`MEMBER_COLUMNS`], null for who has none, and what the log is.
fn view_row(row: &Row<'_>) -> rusqlite::Result<LogView> {
    let member = row.get_ref(0)?.as_blob_or_null()?.map(|_| member_row(row)).transpose()?;
    let floor = Seq(number(row, 6)?);
    Ok(LogView {
        log: LogId(row.get(4)?),
        kind: kind(row, 5)?,
        head: row.get::<_, Option<i64>>(8)?.map_or(floor, |head| Seq(super::error::num(head))),
        floor,
        floor_chain: ChainValue(row.get(7)?),
        member,
    })
}

impl Rows<'_> {
    /// In one statement, because who comes back asks it of many logs; of the entries it touches the index alone.
    pub(super) fn view_of(&self, name: &ConversationName, account: AccountId) -> Fallible<Option<LogView>> {
        let sql = format!(
            "SELECT {MEMBER_COLUMNS}, l.id, l.kind, l.floor_seq, l.floor_chain, \
             (SELECT max(seq) FROM entries WHERE log = l.id) \
             FROM logs l LEFT JOIN members m ON m.log = l.id AND m.account = ?3 WHERE l.name = ?1 AND l.domain = ?2"
        );
        self.one(&sql, params![name.id.as_bytes(), name.domain.as_str(), account.as_bytes()], view_row)
    }

    /// An account's row, member or not any more.
    pub(super) fn member_of(&mut self, log: LogId, account: AccountId) -> Fallible<Option<MemberRow>> {
        if self.cache.is_some() {
            let members = self.members_of(log)?;
            // In the order of accounts, as loaded.
            if let Ok(index) = members.rows.binary_search_by_key(&account, |row| row.account) {
                return Ok(members.rows.get(index).copied());
            }
        }
        let sql = format!("SELECT {MEMBER_COLUMNS} FROM members WHERE log = ?1 AND account = ?2");
        self.one(&sql, params![log.0, account.as_bytes()], member_row)
    }

    /// Those who are members now.
    pub(super) fn members_of(&mut self, log: LogId) -> Fallible<Members> {
        if let Some(members) = self.state(log)?.and_then(|state| state.members.clone()) {
            return Ok(members);
        }
        let sql = format!("SELECT {MEMBER_COLUMNS} FROM members WHERE log = ?1 AND until_seq IS NULL ORDER BY account");
        let rows = self.many(&sql, [log.0], member_row)?;
        let members = Members { audience: rows.iter().map(|row| row.account).collect(), rows: rows.into() };
        if let Some(state) = self.state(log)? {
            state.members = Some(members.clone());
        }
        self.settle(log);
        Ok(members)
    }

    /// Those who are members now, by name, in order of address.
    pub(super) fn named_members(&mut self, log: LogId) -> Fallible<Vec<(Address, Role)>> {
        let sql = "SELECT a.name, a.domain, m.role FROM members m JOIN accounts a ON a.id = m.account \
                   WHERE m.log = ?1 AND m.until_seq IS NULL ORDER BY a.name, a.domain";
        self.many(sql, [log.0], |row| Ok((address(row, 0)?, Role::from_wire(row.get(2)?))))
    }

    pub(super) fn store_member(&mut self, log: LogId, member: MemberRow) -> Fallible<()> {
        let sql = format!("INSERT OR REPLACE INTO members (log, {MEMBER_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5)");
        let values = params![
            log.0,
            member.account.as_bytes(),
            role_number(member.role),
            int(member.from.0),
            member.until.map(|until| int(until.0)),
        ];
        self.run(&sql, values)?;
        self.forget_members(log);
        Ok(())
    }

    pub(super) fn forget_memberships(&mut self, account: AccountId) -> Fallible<()> {
        let logs = self.many("SELECT log FROM members WHERE account = ?1", [account.as_bytes()], |row| row.get(0))?;
        self.run("DELETE FROM members WHERE account = ?1", [account.as_bytes()])?;
        logs.into_iter().for_each(|log| self.forget_members(LogId(log)));
        Ok(())
    }

    fn forget_members(&mut self, log: LogId) {
        if let Some(state) = self.cache.as_mut().and_then(|cache| cache.log(log)) {
            state.members = None;
        }
        self.settle(log);
    }

    fn settle(&mut self, log: LogId) {
        if let Some(cache) = self.cache.as_mut() {
            cache.settle(log);
        }
    }

    pub(super) fn counter_of(&mut self, log: LogId, device: DeviceId) -> Fallible<Counter> {
        if self.cache.is_some() {
            self.load_senders(log)?;
            let senders = self.state(log)?.and_then(|state| state.senders.as_ref());
            return Ok(senders.and_then(|senders| senders.counters.get(&device)).copied().unwrap_or_default());
        }
        ask(self, COUNTER_SQL, params![log.0, device.as_bytes()]).map(Counter)
    }

    /// Has the counters of a log in the writer's cache.
    fn load_senders(&mut self, log: LogId) -> Fallible<()> {
        if self.state(log)?.is_none_or(|state| state.senders.is_some()) {
            return Ok(());
        }
        let counter = |row: &Row<'_>| Ok((id::<DeviceId>(row, 0)?, Counter(number(row, 1)?)));
        let sql = "SELECT device, counter FROM senders WHERE log = ?1";
        let mut counters: HashMap<_, _> = self.many(sql, [log.0], counter)?.into_iter().collect();
        let as_of = ask(self, "SELECT senders_as_of FROM logs WHERE id = ?1", [log.0])?;
        let sql =
            "SELECT sender, max(counter) FROM entries WHERE log = ?1 AND seq > ?2 AND counter > 0 GROUP BY sender";
        let since = self.many(sql, params![log.0, int(as_of)], counter)?;
        let changed: HashSet<_> = since.iter().map(|(device, _)| *device).collect();
        counters.extend(since);
        if let Some(state) = self.state(log)? {
            state.senders = Some(Senders { counters, changed, as_of: Seq(as_of) });
        }
        self.settle(log);
        Ok(())
    }

    /// Notes the counter of an entry that has just been stored.
    pub(super) fn note_counter(&mut self, log: LogId, device: DeviceId, counter: Counter, seq: Seq) -> Fallible<()> {
        let Some(senders) = self.state(log)?.and_then(|state| state.senders.as_mut()) else {
            // Not loaded: the entry itself will tell, when it is asked for.
            return Ok(());
        };
        let known = senders.counters.insert(device, counter).is_some();
        senders.changed.insert(device);
        let due = seq.0.saturating_sub(senders.as_of.0) >= SENDERS_EVERY;
        if !known {
            self.settle(log);
        }
        if due { self.checkpoint_senders(log) } else { Ok(()) }
    }

    /// Writes the counters that have changed, so that they no longer depend on entries.
    pub(super) fn checkpoint_senders(&mut self, log: LogId) -> Fallible<()> {
        self.load_senders(log)?;
        let head = self.ends(log)?.head;
        let Some(senders) = self.state(log)?.and_then(|state| state.senders.as_mut()) else { return Ok(()) };
        let changed: Vec<_> = senders
            .changed
            .drain()
            .filter_map(|device| senders.counters.get(&device).map(|counter| (device, *counter)))
            .collect();
        senders.as_of = head;
        for (device, counter) in changed {
            let sql = "INSERT OR REPLACE INTO senders (log, device, counter) VALUES (?1, ?2, ?3)";
            self.run(sql, params![log.0, device.as_bytes(), int(counter.0)])?;
        }
        self.run("UPDATE logs SET senders_as_of = ?2 WHERE id = ?1", params![log.0, int(head.0)])?;
        Ok(())
    }
}
