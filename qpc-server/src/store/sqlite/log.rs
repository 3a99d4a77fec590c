//! Logs and their entries in SQL, behind the writer's cache of heads.

use std::sync::Arc;

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::{ChainValue, Digest, EntryContent, EntryKind, LogEntry},
    id::{AccountId, ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
};
use rusqlite::{OptionalExtension, Row, params};

use super::{
    cache::LogState,
    error::{corrupt, fault, int, size},
    rows::Rows,
    statements::{domain, id, maybe_id, number},
};
use crate::store::{
    Departure, GroupState, LogPlace, TreePage,
    tables::{Ends, EntryRow, Fallible, LogId, LogKind, LogRow, LogTables, LogView, MemberRow, Range},
};

pub(super) const LOG_COLUMNS: &str = "l.id, l.name, l.domain, l.kind, l.creator, l.creation, l.created_ms, l.epoch, \
                           l.floor_seq, l.floor_chain, l.continues, l.continues_domain";
const ENTRY_COLUMNS: &str =
    "seq, kind, epoch, sender, counter, message_id, stored_ms, chain, withheld_from, removed, content";

fn kind_number(kind: LogKind) -> i64 {
    match kind {
        LogKind::Direct => 1,
        LogKind::Group => 2,
        LogKind::Inbox => 3,
        LogKind::Personal => 4,
    }
}

/// The number of inboxes in column `kind`.
pub(super) const INBOX: i64 = 3;

/// Reads what a log is.
pub(super) fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<LogKind> {
    match row.get(column)? {
        1 => Ok(LogKind::Direct),
        2 => Ok(LogKind::Group),
        INBOX => Ok(LogKind::Inbox),
        4 => Ok(LogKind::Personal),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}

pub(super) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

/// A row of `logs`, whose head is where its floor is until the entries are looked at.
pub(super) fn log_row(row: &Row<'_>) -> rusqlite::Result<(LogId, LogRow, Ends)> {
    let log = LogRow {
        name: ConversationName { domain: domain(row, 2)?, id: id(row, 1)? },
        kind: kind(row, 3)?,
        creation: maybe_id(row, 4)?.zip(maybe_id(row, 5)?),
        created_ms: number(row, 6)?,
        continues: match maybe_id(row, 10)? {
            Some(id) => Some(ConversationName { domain: domain(row, 11)?, id }),
            None => None,
        },
    };
    let (floor, floor_chain) = (Seq(number(row, 8)?), ChainValue(row.get(9)?));
    let ends = Ends { head: floor, chain: floor_chain, epoch: Epoch(number(row, 7)?), floor, floor_chain };
    Ok((LogId(row.get(0)?), log, ends))
}

/// The size of a tree, and a part of it.
pub(super) fn tree_page(row: &Row<'_>) -> rusqlite::Result<TreePage> {
    // No part of an empty blob is a blob.
    let part = row.get_ref(1)?.as_blob_or_null()?.unwrap_or_default();
    Ok(TreePage { size: number(row, 0)?, bytes: Bytes::copy_from_slice(part) })
}

/// A row of `entries`.
pub(super) fn entry_row(row: &Row<'_>, name: &ConversationName) -> rusqlite::Result<EntryRow> {
    let kind = row.get::<_, i32>(1)?;
    let content = row.get_ref(10)?.as_blob()?;
    let content = if row.get(9)? {
        Digest::parse(content).map(EntryContent::Removed)
    } else {
        Some(EntryContent::Body(Bytes::copy_from_slice(content)))
    };
    let malformed = || rusqlite::Error::IntegralValueOutOfRange(1, i64::from(kind));
    let entry = LogEntry {
        conversation: name.clone(),
        seq: Seq(number(row, 0)?),
        kind: EntryKind::from_number(kind).ok_or_else(malformed)?,
        epoch: Epoch(number(row, 2)?),
        sender: maybe_id(row, 3)?,
        counter: Counter(number(row, 4)?),
        id: id(row, 5)?,
        stored_ms: number(row, 6)?,
        chain: ChainValue(row.get(7)?),
        content: content.ok_or_else(malformed)?,
    };
    Ok(EntryRow { entry, withheld_from: maybe_id(row, 8)? })
}

impl Rows<'_> {
    /// A log with its ends, from the database.
    fn load(&mut self, filter: &str, params: impl rusqlite::Params) -> Fallible<Option<(LogId, LogRow, Ends)>> {
        let sql = format!("SELECT {LOG_COLUMNS} FROM logs l WHERE {filter}");
        let Some((log, row, mut ends)) = self.one(&sql, params, log_row)? else { return Ok(None) };
        if let Some((head, chain)) = self.last_entry(log)? {
            ends.head = head;
            ends.chain = chain;
        }
        Ok(Some((log, row, ends)))
    }

    pub(super) fn last_entry(&mut self, log: LogId) -> Fallible<Option<(Seq, ChainValue)>> {
        let sql = "SELECT seq, chain FROM entries WHERE log = ?1 ORDER BY seq DESC LIMIT 1";
        self.one(sql, [log.0], |row| Ok((Seq(number(row, 0)?), ChainValue(row.get(1)?))))
    }

    fn load_by_id(&mut self, log: LogId) -> Fallible<(LogRow, Ends)> {
        let (_, row, ends) = self.load("l.id = ?1", [log.0])?.ok_or_else(|| corrupt("log id"))?;
        Ok((row, ends))
    }

    /// The writer's state of a log, loaded if need be; `None` for a reader.
    pub(super) fn state(&mut self, log: LogId) -> Fallible<Option<&mut LogState>> {
        match &mut self.cache {
            None => return Ok(None),
            Some(cache) => {
                if cache.log(log).is_none() {
                    let (row, ends) = self.load_by_id(log)?;
                    if let Some(cache) = self.cache.as_mut() {
                        cache.put_log(log, LogState::new(row, ends));
                    }
                }
            }
        }
        Ok(self.cache.as_mut().and_then(|cache| cache.log(log)))
    }

    fn name(&mut self, log: LogId) -> Fallible<ConversationName> {
        match self.state(log)? {
            Some(state) => Ok(state.row.name.clone()),
            None => self.load_by_id(log).map(|(row, _)| row.name),
        }
    }

    /// The row number of the next entry. It never goes back, so that upkeep can go forward by it.
    fn next_entry(&mut self) -> Fallible<i64> {
        let known = self.cache.as_ref().and_then(|cache| cache.next_entry);
        let next = match known {
            Some(next) => next,
            None => {
                let sql = "SELECT max(coalesce((SELECT max(id) FROM entries), 0), \
                           coalesce((SELECT max(value) FROM upkeep), 0)) + 1";
                self.one(sql, [], |row| row.get(0))?.unwrap_or(1)
            }
        };
        if let Some(cache) = self.cache.as_mut() {
            cache.next_entry = Some(next.saturating_add(1));
        }
        Ok(next)
    }
}

impl LogTables for Rows<'_> {
    fn log(&mut self, name: &ConversationName) -> Fallible<Option<(LogId, LogRow)>> {
        if let Some(log) = self.cache.as_mut().and_then(|cache| cache.names.get(name).copied()) {
            return Ok(self.state(log)?.map(|state| (log, state.row.clone())));
        }
        let params = params![name.id.as_bytes(), name.domain.as_str()];
        let Some((log, row, ends)) = self.load("l.name = ?1 AND l.domain = ?2", params)? else { return Ok(None) };
        if let Some(cache) = self.cache.as_mut() {
            cache.names.put(name.clone(), log);
            if cache.log(log).is_none() {
                cache.put_log(log, LogState::new(row.clone(), ends));
            }
        }
        Ok(Some((log, row)))
    }

    fn insert_log(&mut self, row: &LogRow) -> Fallible<LogId> {
        let genesis = ChainValue::genesis(&row.name);
        let sql = "INSERT INTO logs (name, domain, kind, creator, creation, created_ms, floor_chain, continues, continues_domain) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let values = params![
            row.name.id.as_bytes(),
            row.name.domain.as_str(),
            kind_number(row.kind),
            row.creation.as_ref().map(|(device, _)| device.as_bytes()),
            row.creation.as_ref().map(|(_, id)| id.as_bytes()),
            int(row.created_ms),
            genesis.0,
            row.continues.as_ref().map(|before| before.id.as_bytes()),
            row.continues.as_ref().map(|before| before.domain.as_str()),
        ];
        self.run(sql, values)?;
        let log = LogId(self.connection.last_insert_rowid());
        if let Some(cache) = self.cache.as_mut() {
            let ends = Ends { head: Seq(0), chain: genesis, epoch: Epoch(0), floor: Seq(0), floor_chain: genesis };
            cache.names.put(row.name.clone(), log);
            cache.put_log(log, LogState::new(row.clone(), ends));
        }
        Ok(log)
    }

    fn remove_log(&mut self, log: LogId) -> Fallible<()> {
        let name = self.name(log)?;
        for sql in [
            "DELETE FROM entries WHERE log = ?1",
            "DELETE FROM cursors WHERE log = ?1",
            "DELETE FROM logs WHERE id = ?1",
        ] {
            self.run(sql, [log.0])?;
        }
        if let Some(cache) = self.cache.as_mut() {
            cache.names.pop(&name);
            cache.forget_log(log);
        }
        self.effects.delta.stale = true;
        Ok(())
    }

    fn ends(&mut self, log: LogId) -> Fallible<Ends> {
        match self.state(log)? {
            Some(state) => Ok(state.ends),
            None => self.load_by_id(log).map(|(_, ends)| ends),
        }
    }

    fn log_view(&mut self, name: &ConversationName, account: AccountId) -> Fallible<Option<LogView>> {
        self.view_of(name, account)
    }

    fn set_epoch(&mut self, log: LogId, epoch: Epoch, group_info: &Bytes) -> Fallible<()> {
        self.run("UPDATE logs SET epoch = ?2 WHERE id = ?1", params![log.0, int(epoch.0)])?;
        let sql = "INSERT OR REPLACE INTO group_infos (log, body) VALUES (?1, ?2)";
        self.run(sql, params![log.0, group_info.as_ref()])?;
        if let Some(state) = self.state(log)? {
            state.ends.epoch = epoch;
        }
        Ok(())
    }

    fn group_info(&mut self, log: LogId) -> Fallible<Option<Bytes>> {
        self.one("SELECT body FROM group_infos WHERE log = ?1", [log.0], |row| bytes(row, 0))
    }

    fn group_proposals(&mut self, log: LogId) -> Fallible<Option<u64>> {
        self.one("SELECT proposals FROM group_states WHERE log = ?1", [log.0], |row| number(row, 0))
    }

    fn group(&mut self, log: LogId) -> Fallible<Option<GroupState>> {
        let sql = "SELECT s.core, t.body FROM group_states s JOIN group_trees t ON t.log = s.log WHERE s.log = ?1";
        self.one(sql, [log.0], |row| Ok(GroupState { core: bytes(row, 0)?, tree: Some(bytes(row, 1)?) }))
    }

    fn put_group(&mut self, log: LogId, proposals: u64, state: &GroupState) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO group_states (log, proposals, core) VALUES (?1, ?2, ?3)";
        self.run(sql, params![log.0, int(proposals), state.core.as_ref()])?;
        if let Some(tree) = &state.tree {
            let sql = "INSERT OR REPLACE INTO group_trees (log, body) VALUES (?1, ?2)";
            self.run(sql, params![log.0, tree.as_ref()])?;
        }
        Ok(())
    }

    fn put_welcome_tree(&mut self, log: LogId, seq: Seq, tree: &Bytes) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO welcome_trees (log, seq, body) VALUES (?1, ?2, ?3)";
        self.run(sql, params![log.0, int(seq.0), tree.as_ref()])?;
        Ok(())
    }

    fn welcome_tree(&mut self, log: LogId, seq: Seq, offset: usize, most: usize) -> Fallible<Option<TreePage>> {
        let sql = "SELECT length(body), substr(body, ?3 + 1, ?4) FROM welcome_trees WHERE log = ?1 AND seq = ?2";
        self.one(sql, params![log.0, int(seq.0), size(offset), size(most)], tree_page)
    }

    fn put_departed(&mut self, log: LogId, device: DeviceId, account_gone: bool) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO departed (log, device, account_gone) VALUES (?1, ?2, ?3)";
        self.run(sql, params![log.0, device.as_bytes(), account_gone])?;
        Ok(())
    }

    fn set_departed_epoch(&mut self, log: LogId, device: DeviceId, epoch: Epoch) -> Fallible<()> {
        let sql = "UPDATE departed SET epoch = ?3 WHERE log = ?1 AND device = ?2";
        self.run(sql, params![log.0, device.as_bytes(), int(epoch.0)])?;
        Ok(())
    }

    fn remove_departed(&mut self, log: LogId, device: DeviceId) -> Fallible<()> {
        self.run("DELETE FROM departed WHERE log = ?1 AND device = ?2", params![log.0, device.as_bytes()])?;
        Ok(())
    }

    fn departed(&mut self, limit: usize) -> Fallible<Vec<Departure>> {
        let sql = "SELECT l.name, l.domain, d.device, d.account_gone FROM departed d JOIN logs l ON l.id = d.log \
                   WHERE d.epoch IS NOT l.epoch ORDER BY d.log, d.device LIMIT ?1";
        self.many(sql, [size(limit)], |row| {
            let conversation = ConversationName { domain: domain(row, 1)?, id: id(row, 0)? };
            Ok(Departure { conversation, device: id(row, 2)?, account_gone: row.get(3)? })
        })
    }

    fn append(&mut self, log: LogId, row: &EntryRow) -> Fallible<()> {
        let entry = &row.entry;
        let (removed, content) = match &entry.content {
            EntryContent::Body(body) => (false, body.as_ref()),
            EntryContent::Removed(digest) => (true, digest.0.as_slice()),
        };
        let next = self.next_entry()?;
        let sql = "INSERT INTO entries (id, log, seq, kind, epoch, sender, counter, message_id, stored_ms, chain, \
                   withheld_from, removed, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        let values = params![
            next,
            log.0,
            int(entry.seq.0),
            i64::from(entry.kind as u8),
            int(entry.epoch.0),
            entry.sender.as_ref().map(DeviceId::as_bytes),
            int(entry.counter.0),
            entry.id.as_bytes(),
            int(entry.stored_ms),
            entry.chain.0,
            row.withheld_from.as_ref().map(AccountId::as_bytes),
            removed,
            content,
        ];
        self.run(sql, values)?;
        if let Some(state) = self.state(log)? {
            state.ends.head = entry.seq;
            state.ends.chain = entry.chain;
        }
        self.count_appended(log)?;
        if let Some(sender) = entry.sender
            && entry.counter != Counter(0)
        {
            self.note_counter(log, sender, entry.counter, entry.seq)?;
        }
        Ok(())
    }

    fn entry_by_id(&mut self, log: LogId, id: MessageId) -> Fallible<Option<LogEntry>> {
        let name = self.name(log)?;
        let sql = format!(
            "SELECT {ENTRY_COLUMNS} FROM entries INDEXED BY entries_message_id \
             WHERE message_id = ?1 AND counter > 0 AND log = ?2"
        );
        let row = self.one(&sql, params![id.as_bytes(), log.0], |row| entry_row(row, &name))?;
        Ok(row.map(|row| row.entry))
    }

    fn chain_at(&mut self, log: LogId, seq: Seq) -> Fallible<Option<ChainValue>> {
        let sql = "SELECT chain FROM entries WHERE log = ?1 AND seq = ?2";
        self.one(sql, params![log.0, int(seq.0)], |row| row.get(0).map(ChainValue))
    }

    fn entries(&mut self, (log, name): (LogId, &ConversationName), range: Range) -> Fallible<Vec<EntryRow>> {
        let sql = format!(
            "SELECT {ENTRY_COLUMNS} FROM entries WHERE log = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(fault)?;
        let values = params![log.0, int(range.after.0), int(range.upto.0), size(range.limit)];
        let mut rows = statement.query(values).map_err(fault)?;
        let (mut bytes, mut entries) = (0_usize, Vec::new());
        while bytes < range.max_bytes {
            let Some(row) = rows.next().map_err(fault)? else { break };
            let row = entry_row(row, name).map_err(fault)?;
            if let EntryContent::Body(body) = &row.entry.content {
                bytes = bytes.saturating_add(body.len());
            }
            entries.push(row);
        }
        Ok(entries)
    }

    fn last_counter(&mut self, log: LogId, device: DeviceId) -> Fallible<Counter> {
        self.counter_of(log, device)
    }

    fn member(&mut self, log: LogId, account: AccountId) -> Fallible<Option<MemberRow>> {
        self.member_of(log, account)
    }

    fn members(&mut self, log: LogId) -> Fallible<Arc<[MemberRow]>> {
        self.members_of(log).map(|members| members.rows)
    }

    fn audience(&mut self, log: LogId) -> Fallible<Arc<[AccountId]>> {
        self.members_of(log).map(|members| members.audience)
    }

    fn member_addresses(&mut self, log: LogId) -> Fallible<Vec<(Address, Role)>> {
        self.named_members(log)
    }

    fn put_member(&mut self, log: LogId, member: MemberRow) -> Fallible<()> {
        self.effects.wake_ups.hearers.logs.push(LogPlace(log.0));
        self.store_member(log, member)
    }

    fn remove_memberships(&mut self, account: AccountId) -> Fallible<()> {
        self.forget_memberships(account)
    }

    fn logs_of(
        &mut self,
        account: AccountId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Fallible<Vec<(LogId, LogRow)>> {
        let sql = format!(
            "SELECT {LOG_COLUMNS} FROM members m JOIN logs l ON l.id = m.log \
             WHERE m.account = ?1 AND m.until_seq IS NULL AND l.name > ?2 ORDER BY l.name LIMIT ?3"
        );
        let after = after.as_ref().map_or(&[][..], |after| after.as_bytes().as_slice());
        let rows = self.many(&sql, params![account.as_bytes(), after, size(limit)], log_row)?;
        Ok(rows.into_iter().map(|(log, row, _)| (log, row)).collect())
    }

    fn start_cursor(&mut self, log: LogId, device: DeviceId, seq: Seq) -> Fallible<()> {
        self.change_cursor(log, device, |_| Some((seq, None)))
    }

    fn raise_cursor(&mut self, log: LogId, device: DeviceId, seq: Seq) -> Fallible<bool> {
        let Some(known) = self.cursor_row(log, device)? else { return Ok(false) };
        let seq = seq.min(self.ends(log)?.head).max(known.seq);
        self.replace_cursor(log, device, Some(known), Some((seq, known.until)))?;
        Ok(true)
    }

    fn end_cursor(&mut self, log: LogId, device: DeviceId, until: Seq) -> Fallible<()> {
        self.change_cursor(log, device, |before| before.map(|(seq, _)| (seq, Some(until))))
    }
}

/// The name of a log and where it stands, for the checker.
pub(super) fn all_logs(connection: &rusqlite::Connection) -> rusqlite::Result<Vec<(LogId, LogRow, Ends)>> {
    let mut statement = connection.prepare(&format!("SELECT {LOG_COLUMNS} FROM logs l ORDER BY l.id"))?;
    statement.query_map([], log_row)?.collect()
}

/// Hands over the entries of a log in order, as they are stored.
pub(super) fn each_entry(
    connection: &rusqlite::Connection,
    (log, name): (LogId, &ConversationName),
    mut visit: impl FnMut(rusqlite::Result<EntryRow>),
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {ENTRY_COLUMNS} FROM entries WHERE log = ?1 ORDER BY seq"))?;
    let mut rows = statement.query([log.0])?;
    while let Some(row) = rows.next()? {
        visit(entry_row(row, name));
    }
    Ok(())
}

/// The last counter that a device's own entries and checkpoint give.
pub(super) const COUNTER_SQL: &str = "SELECT max(coalesce((SELECT counter FROM senders WHERE log = ?1 AND device = ?2), 0), \
     coalesce((SELECT max(counter) FROM entries WHERE log = ?1 AND sender = ?2 AND \
     seq > (SELECT senders_as_of FROM logs WHERE id = ?1)), 0))";

/// Asks for one number, by a statement that always gives a row.
pub(super) fn ask(rows: &Rows<'_>, sql: &str, params: impl rusqlite::Params) -> Fallible<u64> {
    let mut statement = rows.connection.prepare_cached(sql).map_err(fault)?;
    Ok(statement.query_row(params, |row| number(row, 0)).optional().map_err(fault)?.unwrap_or_default())
}
