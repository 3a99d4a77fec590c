//! The operator's lists in SQL.

use qpc_proto::{
    address::AccountName,
    id::{AccountId, ConversationName},
};
use rusqlite::params;

use super::{
    account::{account, invite, state_number},
    error::{corrupt, size},
    log::{INBOX, LOG_COLUMNS, log_row},
    rows::Rows,
    statements::number,
};
use crate::store::{
    InviteToken, SetupUse, StoreFault,
    tables::{AccountRow, AccountState, AccountTables, Fallible, InviteRow, LogId, LogRow, OperatorTables},
};

/// The states of accounts that somebody has.
fn had() -> [i64; 2] {
    [AccountState::Active, AccountState::Suspended].map(state_number)
}

impl OperatorTables for Rows<'_> {
    fn own_accounts(&mut self, after: Option<&AccountName>, limit: usize) -> Fallible<Vec<AccountRow>> {
        let sql = "SELECT id, name, domain, key, state FROM accounts \
                   WHERE name > ?1 AND state <> ?2 AND row > 0 ORDER BY name LIMIT ?3";
        let after = after.map_or("", AccountName::as_str);
        self.many(sql, params![after, state_number(AccountState::Guest), size(limit)], account)
    }

    fn set_account_state(&mut self, id: AccountId, state: AccountState) -> Fallible<()> {
        self.run(
            "UPDATE accounts SET state = ?2 WHERE id = ?1 AND row > 0",
            params![id.as_bytes(), state_number(state)],
        )?;
        // What is known of a device says how its account stands.
        for device in self.devices_of(id)? {
            self.forget_device_row(device.id);
        }
        Ok(())
    }

    fn setup_use(&mut self) -> Fallible<Vec<SetupUse>> {
        let sql = "SELECT setup_version, count(*) FROM accounts WHERE state IN (?1, ?2) AND row > 0 \
                   GROUP BY setup_version ORDER BY setup_version";
        self.many(sql, had(), |row| Ok(SetupUse { version: row.get(0)?, accounts: number(row, 1)? }))
    }

    fn accounts_of_setup(&mut self, version: u32, limit: usize) -> Fallible<Vec<AccountName>> {
        let sql = "SELECT name FROM accounts WHERE state IN (?1, ?2) AND row > 0 AND setup_version = ?3 \
                   ORDER BY name LIMIT ?4";
        let [active, suspended] = had();
        let names = self.many(sql, params![active, suspended, version, size(limit)], |row| row.get::<_, String>(0))?;
        names.iter().map(|name| AccountName::parse(name).map_err(|_| corrupt("name"))).collect()
    }

    fn invites_from(&mut self, first: Option<InviteToken>, limit: usize) -> Fallible<Vec<InviteRow>> {
        let sql = "SELECT uses, expires_ms, name, token FROM invites WHERE token >= ?1 ORDER BY token LIMIT ?2";
        let first = first.map_or([0; 32], |token| token.0);
        let rows = self.many(sql, params![first, size(limit)], |row| {
            Ok((InviteToken(row.get(3)?), row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        rows.into_iter().map(|(token, uses, expires_ms, name)| invite(token, (uses, expires_ms, name))).collect()
    }

    fn conversations(&mut self, after: Option<&ConversationName>, limit: usize) -> Fallible<Vec<(LogId, LogRow)>> {
        let sql = format!(
            "SELECT {LOG_COLUMNS} FROM logs l WHERE (l.name, l.domain) > (?1, ?2) AND l.kind <> ?3 \
             ORDER BY l.name, l.domain LIMIT ?4"
        );
        let id = after.map_or(&[][..], |after| after.id.as_bytes().as_slice());
        let domain = after.map_or("", |after| after.domain.as_str());
        let rows = self.many(&sql, params![id, domain, INBOX, size(limit)], log_row)?;
        Ok(rows.into_iter().map(|(log, row, _)| (log, row)).collect())
    }

    fn stored_bytes(&mut self, log: LogId) -> Fallible<u64> {
        let sql = "SELECT coalesce(sum(length(content)), 0) FROM entries WHERE log = ?1 AND removed = 0";
        let bytes = self.one(sql, [log.0], |row| number(row, 0))?;
        bytes.ok_or_else(|| StoreFault::Engine("a sum gave no row".into()))
    }
}
