//! Upkeep over maps: plain walks, since nothing here is large.

use qpc_proto::chain::{EntryContent, EntryKind};

use super::World;
use crate::store::{
    rules,
    tables::{EntryRow, Fallible, UpkeepTables},
};

impl UpkeepTables for World {
    fn strip_bodies(&mut self, before_ms: u64, limit: usize) -> Fallible<usize> {
        let rows = self.logs.rows.values_mut().filter(|log| !log.is_inbox()).flat_map(|log| &mut log.entries);
        let old = rows.filter(|row| {
            row.entry.stored_ms < before_ms
                && row.entry.kind == EntryKind::Message
                && matches!(row.entry.content, EntryContent::Body(_))
        });
        let mut stripped = 0_usize;
        for row in old.take(limit) {
            row.entry.content = EntryContent::Removed(rules::digest(&row.entry));
            stripped = stripped.saturating_add(1);
        }
        Ok(stripped)
    }

    fn drop_entries(&mut self, before_ms: u64, limit: usize) -> Fallible<usize> {
        let mut dropped = 0_usize;
        for (id, log) in self.logs.rows.iter_mut().filter(|(_, log)| !log.is_inbox()) {
            let floor = log.ends.floor;
            while dropped < limit && log.entries.front().is_some_and(|row| row.entry.stored_ms < before_ms) {
                log.drop_front();
                dropped = dropped.saturating_add(1);
            }
            if log.ends.floor > floor {
                let behind = log.cursors.iter().filter(|(_, at)| at.until.is_none() && at.seq < log.ends.floor);
                for (device, _) in behind {
                    self.logs.departed.entry((*id, *device)).or_insert((false, None));
                }
                self.followers.forget_bases(*id, log.ends.floor);
            }
        }
        Ok(dropped)
    }

    fn drop_inbox_entries(&mut self, read_before_ms: u64, all_before_ms: u64, limit: usize) -> Fallible<usize> {
        let mut dropped = 0_usize;
        for log in self.logs.rows.values_mut().filter(|log| log.is_inbox()) {
            let acknowledged = log.cursors.values().map(|cursor| cursor.seq).next().unwrap_or_default();
            let old = |row: &EntryRow| {
                let before_ms =
                    if row.entry.seq <= acknowledged { read_before_ms.max(all_before_ms) } else { all_before_ms };
                row.entry.stored_ms < before_ms
            };
            while dropped < limit && log.entries.front().is_some_and(old) {
                log.drop_front();
                dropped = dropped.saturating_add(1);
            }
        }
        Ok(dropped)
    }

    fn drop_invites(&mut self, before_ms: u64) -> Fallible<()> {
        self.accounts.invites.retain(|_, invite| invite.expires_ms.is_none_or(|end| end >= before_ms));
        Ok(())
    }

    fn release_pages(&mut self, _pages: usize) -> Fallible<bool> {
        Ok(false)
    }

    fn undelivered(&mut self, seen_since_ms: u64) -> Fallible<(u64, Option<u64>)> {
        let mut undelivered = 0_u64;
        let mut oldest: Option<u64> = None;
        for log in self.logs.rows.values() {
            for (device, cursor) in &log.cursors {
                let row = self.accounts.devices.get(device).and_then(Option::as_ref);
                if row.is_none_or(|row| row.last_seen_ms < seen_since_ms) {
                    continue;
                }
                let head = cursor.until.map_or(log.ends.head, |until| until.min(log.ends.head));
                let after = cursor.seq.max(log.ends.floor);
                undelivered = undelivered.saturating_add(head.0.saturating_sub(after.0));
                if let Some(first) = log.entry(after.next()).filter(|row| row.entry.seq <= head) {
                    oldest = Some(oldest.map_or(first.entry.stored_ms, |oldest| oldest.min(first.entry.stored_ms)));
                }
            }
        }
        Ok((undelivered, oldest))
    }

    fn count_accounts(&mut self) -> Fallible<u64> {
        let active = self.accounts.rows.values().filter(|(row, _)| row.state.is_had());
        Ok(u64::try_from(active.count()).unwrap_or(u64::MAX))
    }

    fn probe(&mut self) -> Fallible<()> {
        Ok(())
    }
}
