//! Retention, counting and space in SQL.
//!
//! Entries have row numbers that only rise, so the oldest come first in every log at once; upkeep goes
//! forward by them and remembers how far it has come.

use std::collections::BTreeMap;

use qpc_proto::{
    chain::{Digest, EntryKind},
    id::Seq,
};
use rusqlite::params;

use super::{
    cursor::CursorRow,
    error::{fault, int, num, size},
    figures::Slice,
    log::{INBOX, ask},
    rows::Rows,
    statements::{Statements, number},
};
use crate::store::tables::{AccountState, Fallible, LogId, UpkeepTables};

const STRIPPED: &str = "bodies stripped up to";
const DROPPED: &str = "entries dropped up to";

struct Old {
    id: i64,
    log: LogId,
    seq: i64,
    chain: [u8; 32],
    /// In a conversation, not in an inbox.
    shared: bool,
}

impl Rows<'_> {
    fn mark(&self, name: &str) -> Fallible<i64> {
        ask(self, "SELECT value FROM upkeep WHERE name = ?1", [name]).map(int)
    }

    fn set_mark(&self, name: &str, value: i64) -> Fallible<()> {
        self.run("INSERT OR REPLACE INTO upkeep (name, value) VALUES (?1, ?2)", params![name, value])?;
        Ok(())
    }

    /// Entries after a row number, while they are older than a time.
    fn old(&self, after: i64, before_ms: u64, limit: usize) -> Fallible<Vec<Old>> {
        let sql = "SELECT e.id, e.log, e.seq, e.chain, l.kind, e.stored_ms FROM entries e \
                   JOIN logs l ON l.id = e.log WHERE e.id > ?1 ORDER BY e.id LIMIT ?2";
        let rows = self.many(sql, params![after, size(limit)], |row| {
            let old = Old {
                id: row.get(0)?,
                log: LogId(row.get(1)?),
                seq: row.get(2)?,
                chain: row.get(3)?,
                shared: row.get::<_, i64>(4)? != INBOX,
            };
            Ok((old, number(row, 5)?))
        })?;
        Ok(rows.into_iter().take_while(|(_, stored_ms)| *stored_ms < before_ms).map(|(old, _)| old).collect())
    }

    /// Moves the floor of a log, and lets go of rights and cursors that end there.
    fn raise_floor(&mut self, log: LogId, seq: i64, chain: [u8; 32]) -> Fallible<()> {
        let sql = "UPDATE logs SET floor_seq = ?2, floor_chain = ?3 WHERE id = ?1";
        self.run(sql, params![log.0, seq, chain])?;
        self.run("DELETE FROM members WHERE log = ?1 AND until_seq <= ?2", params![log.0, seq])?;
        self.run("DELETE FROM welcome_trees WHERE log = ?1 AND seq <= ?2", params![log.0, seq])?;
        self.run("DELETE FROM cursors WHERE log = ?1 AND until_seq <= ?2", params![log.0, seq])?;
        if let Some(state) = self.state(log)? {
            state.ends.floor = Seq(num(seq));
            state.ends.floor_chain.0 = chain;
        }
        self.effects.delta.stale = true;
        Ok(())
    }
}

impl UpkeepTables for Rows<'_> {
    fn strip_bodies(&mut self, before_ms: u64, limit: usize) -> Fallible<usize> {
        let after = self.mark(STRIPPED)?;
        let old = self.old(after, before_ms, limit)?;
        let Some(last) = old.last() else { return Ok(0) };
        for row in &old {
            let sql = "SELECT content FROM entries WHERE id = ?1 AND kind = ?2 AND NOT removed";
            let digest = self.one(sql, params![row.id, i64::from(EntryKind::Message as u8)], |row| {
                Ok(Digest::of(row.get_ref(0)?.as_blob()?))
            })?;
            if let Some(digest) = digest {
                self.run("UPDATE entries SET removed = 1, content = ?2 WHERE id = ?1", params![row.id, digest.0])?;
            }
        }
        self.set_mark(STRIPPED, last.id)?;
        Ok(old.len())
    }

    fn drop_entries(&mut self, before_ms: u64, limit: usize) -> Fallible<usize> {
        let after = self.mark(DROPPED)?;
        let old = self.old(after, before_ms, limit)?;
        let Some(last) = old.last() else { return Ok(0) };
        let mut floors = BTreeMap::new();
        for row in old.iter().filter(|row| row.shared) {
            // Counters must not depend on entries that are about to go.
            if num(row.seq) > ask(self, "SELECT senders_as_of FROM logs WHERE id = ?1", [row.log.0])? {
                self.checkpoint_senders(row.log)?;
            }
            self.run("DELETE FROM entries WHERE id = ?1", [row.id])?;
            floors.insert(row.log, row);
        }
        for (log, last) in floors {
            self.raise_floor(log, last.seq, last.chain)?;
            // Who has not read that far can't follow the group from there.
            let sql = "INSERT OR IGNORE INTO departed (log, device, account_gone) \
                       SELECT log, device, 0 FROM cursors WHERE log = ?1 AND seq < ?2 AND until_seq IS NULL";
            self.run(sql, params![log.0, last.seq])?;
            // Nor can a copy begin there.
            self.run("DELETE FROM follower_bases WHERE log = ?1 AND seq <= ?2", params![log.0, last.seq])?;
        }
        self.set_mark(DROPPED, last.id)?;
        Ok(old.len())
    }

    fn drop_inbox_entries(&mut self, read_before_ms: u64, all_before_ms: u64, limit: usize) -> Fallible<usize> {
        let after = self.cache.as_ref().map_or(0, |cache| cache.inboxes_after);
        let sql = "SELECT l.id, c.seq FROM logs l JOIN cursors c ON c.log = l.id \
                   WHERE l.kind = ?1 AND l.id > ?2 ORDER BY l.id LIMIT ?3";
        let inboxes: Vec<(i64, i64)> =
            self.many(sql, params![INBOX, after, size(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (mut looked, mut reached) = (0_usize, after);
        for (log, acknowledged) in &inboxes {
            let left = limit.saturating_sub(looked);
            let sql = "SELECT id, seq, chain, stored_ms FROM entries WHERE log = ?1 \
                       AND (seq <= ?2 OR stored_ms < ?4) ORDER BY seq LIMIT ?3";
            let rows: Vec<(i64, i64, [u8; 32], u64)> =
                self.many(sql, params![log, acknowledged, size(left), int(all_before_ms)], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, number(row, 3)?))
                })?;
            // A clock that was set back leaves old entries behind young ones: a log loses its front alone.
            let mut next = rows.first().map_or(0, |row| row.1);
            let mut old = |row: &(i64, i64, [u8; 32], u64)| {
                let follows = row.1 == next;
                next = next.saturating_add(1);
                let read = *acknowledged >= row.1;
                follows && row.3 < if read { read_before_ms.max(all_before_ms) } else { all_before_ms }
            };
            let mut dropped = 0_usize;
            for (id, ..) in rows.iter().take_while(|row| old(row)) {
                self.run("DELETE FROM entries WHERE id = ?1", [id])?;
                dropped = dropped.saturating_add(1);
            }
            if let Some((_, seq, chain, _)) = dropped.checked_sub(1).and_then(|last| rows.get(last)) {
                self.raise_floor(LogId(*log), *seq, *chain)?;
            }
            // Looking at an inbox counts as one, or many empty ones would make one long step.
            looked = looked.saturating_add(dropped.max(1));
            if dropped < left {
                reached = *log;
            }
            if looked >= limit {
                break;
            }
        }
        let round_is_over = looked < limit;
        if let Some(cache) = self.cache.as_mut() {
            cache.inboxes_after = if round_is_over { 0 } else { reached };
        }
        Ok(looked.min(limit))
    }

    fn drop_invites(&mut self, before_ms: u64) -> Fallible<()> {
        self.run("DELETE FROM invites WHERE expires_ms < ?1", [int(before_ms)])?;
        Ok(())
    }

    fn release_pages(&mut self, pages: usize) -> Fallible<bool> {
        let free = ask(self, "PRAGMA freelist_count", [])?;
        // New rows will take a few: giving those back would only grow the file again.
        if free < num(size(pages)) {
            return Ok(false);
        }
        self.connection.give_pages_back(pages)?;
        Ok(true)
    }

    fn undelivered(&mut self, seen_since_ms: u64) -> Fallible<(u64, Option<u64>)> {
        let figures = self.figures;
        let rows = &*self;
        // The snapshot of a transaction begins with its first read.
        let pin = || ask(rows, "SELECT count(*) FROM upkeep", []).map(|_| ());
        figures.read(seen_since_ms, pin, |after, most| rows.count_undelivered(seen_since_ms, after, most))
    }

    fn count_accounts(&mut self) -> Fallible<u64> {
        let had = [AccountState::Active, AccountState::Suspended].map(super::account::state_number);
        ask(self, "SELECT count(*) FROM accounts WHERE state IN (?1, ?2)", had)
    }

    fn probe(&mut self) -> Fallible<()> {
        self.set_mark("probe", 0)
    }
}

impl Rows<'_> {
    /// Goes through so many cursors after a log as they are stored, so that each page is read once, to the end of a log.
    /// The entry that has waited longest is the first that was appended, which the index tells without a look at the
    /// entries.
    fn count_undelivered(&self, seen_since_ms: u64, after: Option<LogId>, most: usize) -> Fallible<Slice> {
        let sql = "SELECT c.log, c.seq, c.until_seq, \
                          EXISTS (SELECT 1 FROM devices d WHERE d.id = c.device AND d.last_seen_ms >= ?1) \
                   FROM cursors c WHERE c.log > ?2 ORDER BY c.log";
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        let after = after.map_or(i64::MIN, |log| log.0);
        let mut rows = statement.query([int(seen_since_ms), after]).map_err(fault)?;
        let (mut undelivered, mut oldest, mut looked_at, mut through) = (0_u64, None, 0_usize, None);
        let mut log: Option<Waiting> = None;
        while let Some(row) = rows.next().map_err(fault)? {
            let id = row.get(0).map_err(fault)?;
            let of = match log.take_if(|of| of.log == id) {
                Some(of) => of,
                None => {
                    through = log.as_ref().map(|of| LogId(of.log));
                    oldest = [oldest, self.first_waiting(log.take())?].into_iter().flatten().min();
                    if looked_at >= most {
                        break;
                    }
                    self.waiting(id)?
                }
            };
            looked_at = looked_at.saturating_add(1);
            let seq = number(row, 1).map(Seq).map_err(fault)?;
            let until = row.get::<_, Option<i64>>(2).map_err(fault)?.map(|until| Seq(num(until)));
            let counts: bool = row.get(3).map_err(fault)?;
            let waiting = if counts { CursorRow { seq, until }.waiting(of.floor, of.head) } else { 0 };
            undelivered = undelivered.saturating_add(waiting);
            let first = (waiting > 0).then_some(seq.max(of.floor).next());
            log = Some(Waiting { first: [of.first, first].into_iter().flatten().min(), ..of });
        }
        if log.is_some() {
            // The cursors have ended.
            through = None;
        }
        let oldest: Option<i64> = [oldest, self.first_waiting(log)?].into_iter().flatten().min();
        let sql = "SELECT stored_ms FROM entries WHERE id = ?1";
        let oldest_ms = oldest.map(|id| self.one(sql, [id], |row| number(row, 0))).transpose()?.flatten();
        Ok(Slice { through, undelivered, oldest_ms })
    }

    fn waiting(&self, log: i64) -> Fallible<Waiting> {
        let sql = "SELECT floor_seq, coalesce((SELECT max(seq) FROM entries WHERE log = ?1), floor_seq) \
                   FROM logs WHERE id = ?1";
        let ends = self.one(sql, [log], |row| Ok((Seq(number(row, 0)?), Seq(number(row, 1)?))))?;
        // A cursor of no log waits for nothing.
        let (floor, head) = ends.unwrap_or((Seq(u64::MAX), Seq(0)));
        Ok(Waiting { log, floor, head, first: None })
    }

    /// Where the first entry of a log is that somebody waits for.
    fn first_waiting(&self, log: Option<Waiting>) -> Fallible<Option<i64>> {
        let Some((log, first)) = log.and_then(|of| Some((of.log, of.first?))) else { return Ok(None) };
        self.one("SELECT id FROM entries WHERE log = ?1 AND seq = ?2", [log, int(first.0)], |row| row.get(0))
    }
}

/// What a log's readers wait for, as far as its cursors have been seen.
struct Waiting {
    log: i64,
    floor: Seq,
    head: Seq,
    /// The first entry that somebody waits for.
    first: Option<Seq>,
}
