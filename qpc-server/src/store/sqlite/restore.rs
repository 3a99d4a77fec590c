//! Restores, and the devices that conversations wait for since, in SQL.

use qpc_proto::id::{AccountId, DeviceId};
use rusqlite::{Connection, params};

use super::{
    account::state_number,
    error::{fault, int},
    rows::Rows,
    statements::number,
};
use crate::store::{
    Awaited, Restored,
    tables::{AccountState, Fallible, LogId, RestoreTables},
};

/// Notes a restore; see [`RestoreTables::await_devices`].
pub(super) fn note(connection: &Connection, restored: Restored, within_ms: u64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM awaited", [])?;
    connection.execute(
        "INSERT OR REPLACE INTO restores (one, at_ms, until_ms, seen_since_ms) \
         VALUES (1, ?1, ?2, (SELECT coalesce(max(last_seen_ms), 0) - ?3 FROM devices))",
        [int(restored.at_ms), int(restored.until_ms), int(within_ms)],
    )?;
    connection.execute(&format!("{AWAIT} TRUE"), [state_number(AccountState::Active)])?;
    Ok(())
}

/// Has conversations of this server wait for those of their members' devices that had been seen of late; a condition follows.
const AWAIT: &str = "\
    INSERT OR IGNORE INTO awaited (log, device) \
    SELECT m.log, d.id FROM members m \
    JOIN accounts a ON a.id = m.account AND a.state = ?1 \
    JOIN logs l ON l.id = m.log AND l.domain = a.domain \
    JOIN devices d ON d.account = m.account \
    WHERE m.until_seq IS NULL AND d.last_seen_ms >= (SELECT seen_since_ms FROM restores) AND";

/// Who is awaited.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<Awaited> {
    let sql = "SELECT count(DISTINCT log), count(DISTINCT device) FROM awaited";
    connection.query_row(sql, [], |row| Ok(Awaited { conversations: number(row, 0)?, devices: number(row, 1)? }))
}

impl RestoreTables for Rows<'_> {
    fn restored(&mut self) -> Fallible<Option<Restored>> {
        self.one("SELECT at_ms, until_ms FROM restores", [], |row| {
            Ok(Restored { at_ms: number(row, 0)?, until_ms: number(row, 1)? })
        })
    }

    fn await_devices(&mut self, restored: Restored, within_ms: u64) -> Fallible<()> {
        note(self.connection, restored, within_ms).map_err(fault)?;
        self.forget_awaited();
        Ok(())
    }

    fn await_members(&mut self, log: LogId, members: &[AccountId]) -> Fallible<()> {
        for account in members {
            let of = params![state_number(AccountState::Active), log.0, account.as_bytes()];
            self.run(&format!("{AWAIT} m.log = ?2 AND m.account = ?3"), of)?;
        }
        self.forget_awaited();
        Ok(())
    }

    fn awaited_until(&mut self) -> Fallible<Option<u64>> {
        if let Some(until) = self.cache.as_ref().and_then(|cache| cache.awaited_until) {
            return Ok(until);
        }
        let sql = "SELECT until_ms FROM restores WHERE EXISTS (SELECT 1 FROM awaited)";
        let until = self.one(sql, [], |row| number(row, 0))?;
        if let Some(cache) = &mut self.cache {
            cache.awaited_until = Some(until);
        }
        Ok(until)
    }

    fn count_awaited(&mut self) -> Fallible<Awaited> {
        count(self.connection).map_err(fault)
    }

    fn awaits(&mut self, log: LogId) -> Fallible<bool> {
        Ok(self.one("SELECT 1 FROM awaited WHERE log = ?1 LIMIT 1", [log.0], |_| Ok(()))?.is_some())
    }

    fn awaits_device(&mut self, log: LogId, device: DeviceId) -> Fallible<bool> {
        let sql = "SELECT 1 FROM awaited WHERE log = ?1 AND device = ?2";
        Ok(self.one(sql, params![log.0, device.as_bytes()], |_| Ok(()))?.is_some())
    }

    fn arrived(&mut self, log: LogId, device: DeviceId) -> Fallible<()> {
        self.run("DELETE FROM awaited WHERE log = ?1 AND device = ?2", params![log.0, device.as_bytes()])?;
        self.forget_awaited();
        Ok(())
    }

    fn arrived_everywhere(&mut self, device: DeviceId) -> Fallible<()> {
        if self.awaited_until()?.is_some() {
            self.run("DELETE FROM awaited WHERE device = ?1", [device.as_bytes()])?;
            self.forget_awaited();
        }
        Ok(())
    }
}

impl Rows<'_> {
    /// The last one may have come.
    fn forget_awaited(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.awaited_until = None;
        }
    }
}
