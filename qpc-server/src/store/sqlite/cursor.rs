//! Cursors in SQL, and what they add to the figure of undelivered entries.

use qpc_proto::id::{DeviceId, Seq};
use rusqlite::params;

use super::{
    error::{int, num},
    log::ask,
    rows::Rows,
    statements::number,
};
use crate::store::tables::{AccountTables, Fallible, LogId, LogTables};

/// How far a device has read a log, and where its reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CursorRow {
    pub(super) seq: Seq,
    pub(super) until: Option<Seq>,
}

impl CursorRow {
    /// Entries that are stored and not acknowledged.
    pub(super) fn waiting(&self, floor: Seq, head: Seq) -> u64 {
        let head = self.until.map_or(head, |until| until.min(head));
        head.0.saturating_sub(self.seq.max(floor).0)
    }
}

impl Rows<'_> {
    pub(super) fn cursor_row(&mut self, log: LogId, device: DeviceId) -> Fallible<Option<CursorRow>> {
        let sql = "SELECT seq, until_seq FROM cursors WHERE log = ?1 AND device = ?2";
        self.one(sql, params![log.0, device.as_bytes()], |row| {
            let until = row.get::<_, Option<i64>>(1)?.map(|until| Seq(num(until)));
            Ok(CursorRow { seq: Seq(number(row, 0)?), until })
        })
    }

    /// The same for one that is to be looked up.
    pub(super) fn change_cursor(
        &mut self,
        log: LogId,
        device: DeviceId,
        change: impl FnOnce(Option<(Seq, Option<Seq>)>) -> Option<(Seq, Option<Seq>)>,
    ) -> Fallible<()> {
        let before = self.cursor_row(log, device)?;
        let after = change(before.map(|row| (row.seq, row.until)));
        self.replace_cursor(log, device, before, after)
    }

    /// Changes, makes or removes a cursor that is known. One that has reached its end goes.
    pub(super) fn replace_cursor(
        &mut self,
        log: LogId,
        device: DeviceId,
        before: Option<CursorRow>,
        after: Option<(Seq, Option<Seq>)>,
    ) -> Fallible<()> {
        let after = after
            .filter(|(seq, until)| until.is_none_or(|until| *seq < until))
            .map(|(seq, until)| CursorRow { seq, until });
        // An update dirties no page of the index by device, which a replacement would.
        let sql = match (before, after) {
            (before, after) if before == after => return Ok(()),
            (Some(_), Some(_)) => "UPDATE cursors SET seq = ?3, until_seq = ?4 WHERE log = ?1 AND device = ?2",
            (None, Some(_)) => "INSERT INTO cursors (log, device, seq, until_seq) VALUES (?1, ?2, ?3, ?4)",
            (_, None) => "DELETE FROM cursors WHERE log = ?1 AND device = ?2",
        };
        match after {
            Some(CursorRow { seq, until }) => {
                self.run(sql, params![log.0, device.as_bytes(), int(seq.0), until.map(|until| int(until.0))])?
            }
            None => self.run(sql, params![log.0, device.as_bytes()])?,
        };
        self.count_change(log, device, before, after)
    }

    fn count_change(
        &mut self,
        log: LogId,
        device: DeviceId,
        before: Option<CursorRow>,
        after: Option<CursorRow>,
    ) -> Fallible<()> {
        let reads_on = |row: Option<CursorRow>| row.is_some_and(|row| row.until.is_none());
        if reads_on(before) != reads_on(after)
            && let Some(state) = self.state(log)?
        {
            state.readers = None;
        }
        let Some(since) = self.effects.delta.since else { return Ok(()) };
        if self.device(device)?.is_some_and(|row| row.last_seen_ms >= since) {
            let ends = self.ends(log)?;
            let waiting = |row: Option<CursorRow>| row.map_or(0, |row| int(row.waiting(ends.floor, ends.head)));
            let change = waiting(after).saturating_sub(waiting(before));
            self.effects.delta.undelivered.push((log, change));
        }
        Ok(())
    }

    /// An entry has been appended: it waits for each device that reads on.
    pub(super) fn count_appended(&mut self, log: LogId) -> Fallible<()> {
        let Some(since) = self.effects.delta.since else { return Ok(()) };
        let generation = self.cache.as_ref().map_or(0, |cache| cache.generation);
        let known = self.state(log)?.and_then(|state| state.readers).filter(|(of, _)| *of == generation);
        let readers = match known {
            Some((_, readers)) => readers,
            None => {
                let sql = "SELECT count(*) FROM cursors c JOIN devices d ON d.id = c.device \
                           WHERE c.log = ?1 AND c.until_seq IS NULL AND d.last_seen_ms >= ?2";
                let readers = ask(self, sql, params![log.0, int(since)])?;
                if let Some(state) = self.state(log)? {
                    state.readers = Some((generation, readers));
                }
                readers
            }
        };
        self.effects.delta.undelivered.push((log, int(readers)));
        Ok(())
    }
}
