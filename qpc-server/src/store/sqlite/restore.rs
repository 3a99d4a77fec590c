//! Restores, and the devices and domains that conversations wait for since, in SQL.

use qpc_proto::{
    address::Domain,
    id::{AccountId, DeviceId},
};
use rusqlite::{Connection, params};

use super::{
    account::state_number,
    error::{fault, int, size},
    log::{INBOX, LOG_COLUMNS, log_row},
    rows::Rows,
    statements::number,
};
use crate::store::{
    Awaited, Restored,
    tables::{AccountState, Fallible, LogId, LogRow, RestoreTables},
};

/// Notes a restore; see [`RestoreTables::await_devices`].
pub(super) fn note(connection: &Connection, restored: Restored, within_ms: u64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM awaited", [])?;
    connection.execute("DELETE FROM awaited_domains", [])?;
    connection.execute(
        "INSERT OR REPLACE INTO restores (one, at_ms, until_ms, seen_since_ms) \
         VALUES (1, ?1, ?2, (SELECT coalesce(max(last_seen_ms), 0) - ?3 FROM devices))",
        [int(restored.at_ms), int(restored.until_ms), int(within_ms)],
    )?;
    connection.execute(&format!("{AWAIT} TRUE"), [state_number(AccountState::Active)])?;
    connection.execute(AWAIT_DOMAINS, [INBOX])?;
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

/// And for the domains that follow them.
const AWAIT_DOMAINS: &str = "\
    INSERT OR IGNORE INTO awaited_domains (log, domain) \
    SELECT f.log, f.domain FROM followers f JOIN logs l ON l.id = f.log AND l.kind <> ?1 \
    WHERE f.until_seq IS NULL";

/// Who is awaited.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<Awaited> {
    let sql = "SELECT (SELECT count(*) FROM (SELECT log FROM awaited UNION SELECT log FROM awaited_domains)), \
               (SELECT count(DISTINCT device) FROM awaited), (SELECT count(DISTINCT domain) FROM awaited_domains)";
    connection.query_row(sql, [], |row| {
        Ok(Awaited { conversations: number(row, 0)?, devices: number(row, 1)?, domains: number(row, 2)? })
    })
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
        let sql = "SELECT until_ms FROM restores \
                   WHERE EXISTS (SELECT 1 FROM awaited) OR EXISTS (SELECT 1 FROM awaited_domains)";
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
        let sql = "SELECT 1 FROM awaited WHERE log = ?1 UNION ALL SELECT 1 FROM awaited_domains WHERE log = ?1 LIMIT 1";
        Ok(self.one(sql, [log.0], |_| Ok(()))?.is_some())
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

    fn await_domain(&mut self, log: LogId, domain: &Domain) -> Fallible<()> {
        let sql = "INSERT OR IGNORE INTO awaited_domains (log, domain) VALUES (?1, ?2)";
        self.run(sql, params![log.0, domain.as_str()])?;
        self.forget_awaited();
        Ok(())
    }

    fn awaits_domain(&mut self, log: LogId, domain: &Domain) -> Fallible<bool> {
        let sql = "SELECT 1 FROM awaited_domains WHERE log = ?1 AND domain = ?2";
        Ok(self.one(sql, params![log.0, domain.as_str()], |_| Ok(()))?.is_some())
    }

    fn domain_arrived(&mut self, log: LogId, domain: &Domain) -> Fallible<()> {
        let sql = "DELETE FROM awaited_domains WHERE log = ?1 AND domain = ?2";
        self.run(sql, params![log.0, domain.as_str()])?;
        self.forget_awaited();
        Ok(())
    }

    fn awaited_of(&mut self, domain: &Domain, after: LogId, limit: usize) -> Fallible<Vec<(LogId, LogRow)>> {
        let sql = format!(
            "SELECT {LOG_COLUMNS} FROM awaited_domains a JOIN logs l ON l.id = a.log \
             WHERE a.domain = ?1 AND a.log > ?2 ORDER BY a.log LIMIT ?3"
        );
        self.many(&sql, params![domain.as_str(), after.0, size(limit)], |row| {
            let (log, log_row, _) = log_row(row)?;
            Ok((log, log_row))
        })
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
