//! Accounts, devices, invites and key packages in SQL.

use bytes::Bytes;
use qpc_proto::{
    address::{AccountName, Address},
    id::{AccountId, DeviceId},
    suite::Suite,
};
use rusqlite::{Row, params};

use super::{
    error::{corrupt, int, size},
    rows::Rows,
    statements::{address, id, number},
};
use crate::{
    clock,
    store::{
        InviteToken, KeyPackageCount, LoginRecord, NewDevice, PasswordRecord, StoreFault,
        tables::{AccountRow, AccountState, AccountTables, DeviceRow, Fallible, InviteRow},
    },
};

/// A device, with the state of its account.
const DEVICE_COLUMNS: &str = "d.id, d.account, d.key, d.name, d.enrolled_ms, d.last_seen_ms, \
                              (SELECT a.state FROM accounts a WHERE a.id = d.account)";

/// Number of an account's state. The decoy has none of these, so that no query takes it for an account.
pub(super) fn state_number(state: AccountState) -> i64 {
    match state {
        AccountState::Active => 1,
        AccountState::Reset => 2,
        AccountState::Deleted => 3,
        AccountState::Guest => 4,
        AccountState::Suspended => 5,
    }
}

pub(super) fn account(row: &Row<'_>) -> rusqlite::Result<AccountRow> {
    Ok(AccountRow {
        id: id(row, 0)?,
        address: address(row, 1)?,
        key: row.get(3)?,
        state: match row.get(4)? {
            1 => AccountState::Active,
            2 => AccountState::Reset,
            3 => AccountState::Deleted,
            4 => AccountState::Guest,
            5 => AccountState::Suspended,
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(4, other)),
        },
    })
}

fn device(row: &Row<'_>) -> rusqlite::Result<DeviceRow> {
    Ok(DeviceRow {
        id: id(row, 0)?,
        account: id(row, 1)?,
        key: row.get(2)?,
        name: row.get(3)?,
        enrolled_ms: number(row, 4)?,
        last_seen_ms: number(row, 5)?,
        suspended: row.get::<_, Option<i64>>(6)? == Some(state_number(AccountState::Suspended)),
    })
}

/// An invite of the columns `uses`, `expires_ms` and `name`.
pub(super) fn invite(token: InviteToken, columns: (u32, Option<i64>, Option<String>)) -> Fallible<InviteRow> {
    let (uses, expires_ms, name) = columns;
    let name = name.map(|name| AccountName::parse(&name).map_err(|_| corrupt("name"))).transpose()?;
    Ok(InviteRow { token, uses, expires_ms: expires_ms.map(super::error::num), name })
}

fn password(row: &Row<'_>, column: usize) -> rusqlite::Result<PasswordRecord> {
    let at = |offset: usize| column.saturating_add(offset);
    Ok(PasswordRecord {
        opaque_record: row.get::<_, Vec<u8>>(at(0))?.into(),
        setup_version: row.get(at(1))?,
        ksf_version: row.get(at(2))?,
        wrapped_account_secret: row.get::<_, Vec<u8>>(at(3))?.into(),
    })
}

impl AccountTables for Rows<'_> {
    fn account(&mut self, id: AccountId) -> Fallible<Option<AccountRow>> {
        let sql = "SELECT id, name, domain, key, state FROM accounts WHERE id = ?1 AND row > 0";
        self.one(sql, [id.as_bytes()], account)
    }

    fn account_named(&mut self, name: &AccountName) -> Fallible<Option<AccountRow>> {
        let sql = "SELECT id, name, domain, key, state FROM accounts WHERE name = ?1 AND state <> ?2 AND row > 0";
        self.one(sql, params![name.as_str(), state_number(AccountState::Guest)], account)
    }

    fn account_at(&mut self, of: &Address) -> Fallible<Option<AccountRow>> {
        let sql = "SELECT id, name, domain, key, state FROM accounts WHERE name = ?1 AND domain = ?2 AND row > 0";
        self.one(sql, [of.name.as_str(), of.domain.as_str()], account)
    }

    fn insert_account(&mut self, account: &AccountRow, password: &PasswordRecord) -> Fallible<()> {
        let sql = "INSERT INTO accounts (row, id, name, domain, key, state, opaque_record, setup_version, ksf_version, \
                   wrapped_secret) VALUES ((SELECT max(coalesce(max(row), 0), 0) + 1 FROM accounts), ?1, ?2, ?3, ?4, \
                   ?5, ?6, ?7, ?8, ?9)";
        self.run(
            sql,
            params![
                account.id.as_bytes(),
                account.address.name.as_str(),
                account.address.domain.as_str(),
                account.key,
                state_number(account.state),
                password.opaque_record.as_ref(),
                password.setup_version,
                password.ksf_version,
                password.wrapped_account_secret.as_ref(),
            ],
        )?;
        Ok(())
    }

    fn end_account(&mut self, id: AccountId, state: AccountState) -> Fallible<()> {
        self.set_password(id, &PasswordRecord::default())?;
        self.run("UPDATE accounts SET state = ?2 WHERE id = ?1", params![id.as_bytes(), state_number(state)])?;
        Ok(())
    }

    fn remove_account(&mut self, id: AccountId) -> Fallible<()> {
        self.run("DELETE FROM accounts WHERE id = ?1 AND row > 0", [id.as_bytes()])?;
        Ok(())
    }

    fn set_password(&mut self, id: AccountId, password: &PasswordRecord) -> Fallible<()> {
        let sql = "UPDATE accounts SET opaque_record = ?2, setup_version = ?3, ksf_version = ?4, wrapped_secret = ?5 \
                   WHERE id = ?1 AND row > 0";
        self.run(
            sql,
            params![
                id.as_bytes(),
                password.opaque_record.as_ref(),
                password.setup_version,
                password.ksf_version,
                password.wrapped_account_secret.as_ref(),
            ],
        )?;
        Ok(())
    }

    fn login_record(&mut self, name: &AccountName) -> Fallible<LoginRecord> {
        // One search of a covering index, then one row read, whether the name is known or not. Active and suspended are the
        // states whose last two bits are 01: a list of both would be two searches, of which a known name takes one.
        let sql = "SELECT row, id, key, opaque_record, setup_version, ksf_version, wrapped_secret, state FROM accounts \
                   WHERE row = coalesce((SELECT row FROM accounts WHERE name = ?1 AND state & 3 = 1), 0)";
        let found = self.one(sql, [name.as_str()], |row| {
            let known = row.get::<_, i64>(0)? > 0;
            let account = if known { Some(id(row, 1)?) } else { None };
            let suspended = row.get::<_, i64>(7)? == state_number(AccountState::Suspended);
            Ok(LoginRecord { account, suspended, account_key: row.get(2)?, password: password(row, 3)? })
        })?;
        Ok(found.unwrap_or_else(|| LoginRecord {
            account: None,
            suspended: false,
            account_key: [0; 32],
            password: PasswordRecord::default(),
        }))
    }

    fn set_decoy(&mut self, password: &PasswordRecord) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO accounts (row, id, name, domain, key, state, opaque_record, setup_version, \
                   ksf_version, wrapped_secret) VALUES (0, zeroblob(16), '', '', zeroblob(32), 0, ?1, ?2, ?3, ?4)";
        self.run(
            sql,
            params![
                password.opaque_record.as_ref(),
                password.setup_version,
                password.ksf_version,
                password.wrapped_account_secret.as_ref(),
            ],
        )?;
        Ok(())
    }

    fn add_reset_peers(&mut self, account: AccountId, peers: &[AccountId]) -> Fallible<()> {
        for peer in peers {
            let sql = "INSERT OR IGNORE INTO reset_peers (account, peer) VALUES (?1, ?2)";
            self.run(sql, [account.as_bytes(), peer.as_bytes()])?;
        }
        Ok(())
    }

    fn take_reset_peers(&mut self, account: AccountId) -> Fallible<Vec<AccountId>> {
        let sql = "SELECT peer FROM reset_peers WHERE account = ?1 ORDER BY peer";
        let peers = self.many(sql, [account.as_bytes()], |row| id(row, 0))?;
        self.run("DELETE FROM reset_peers WHERE account = ?1", [account.as_bytes()])?;
        Ok(peers)
    }

    fn device(&mut self, id: DeviceId) -> Fallible<Option<DeviceRow>> {
        if let Some(row) = self.cache.as_mut().and_then(|cache| cache.devices.get(&id)) {
            return Ok(Some(row.clone()));
        }
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM devices d WHERE d.id = ?1 AND d.account IS NOT NULL");
        let row = self.one(&sql, [id.as_bytes()], device)?;
        if let (Some(cache), Some(row)) = (self.cache.as_mut(), &row) {
            cache.devices.put(id, row.clone());
        }
        Ok(row)
    }

    fn device_known(&mut self, id: DeviceId) -> Fallible<bool> {
        Ok(self.one("SELECT 1 FROM devices WHERE id = ?1", [id.as_bytes()], |_| Ok(()))?.is_some())
    }

    fn devices_of(&mut self, account: AccountId) -> Fallible<Vec<DeviceRow>> {
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM devices d WHERE d.account = ?1 ORDER BY d.row");
        self.many(&sql, [account.as_bytes()], device)
    }

    fn certificates_of(&mut self, account: AccountId) -> Fallible<Vec<Bytes>> {
        let sql = "SELECT certificate FROM devices WHERE account = ?1 ORDER BY row";
        self.many(sql, [account.as_bytes()], |row| Ok(row.get::<_, Vec<u8>>(0)?.into()))
    }

    fn insert_device(&mut self, account: AccountId, device: &NewDevice) -> Fallible<()> {
        let sql = "INSERT INTO devices (id, account, key, certificate, name, enrolled_ms, last_seen_ms) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.run(
            sql,
            params![
                device.id.as_bytes(),
                account.as_bytes(),
                device.key,
                device.certificate.as_ref(),
                device.name,
                int(device.now_ms),
                int(clock::day(device.now_ms)),
            ],
        )?;
        Ok(())
    }

    fn set_last_seen(&mut self, id: DeviceId, last_seen_ms: u64) -> Fallible<()> {
        let sql = "UPDATE devices SET last_seen_ms = ?2 WHERE id = ?1";
        self.run(sql, params![id.as_bytes(), int(last_seen_ms)])?;
        self.forget_device_row(id);
        Ok(())
    }

    fn remove_device(&mut self, id: DeviceId) -> Fallible<()> {
        for sql in [
            "UPDATE devices SET account = NULL, key = zeroblob(0), certificate = zeroblob(0), name = '' WHERE id = ?1",
            "DELETE FROM key_packages WHERE device = ?1",
            "DELETE FROM last_resorts WHERE device = ?1",
            "DELETE FROM held_welcomes WHERE device = ?1",
            "DELETE FROM cursors WHERE device = ?1",
            "DELETE FROM inboxes_read WHERE device = ?1",
            // One that is on its way may yet come back in a copy.
            "UPDATE outgoing SET request = NULL WHERE device = ?1 AND request IS NOT NULL",
        ] {
            self.run(sql, [id.as_bytes()])?;
        }
        self.forget_device_row(id);
        Ok(())
    }

    fn invite(&mut self, token: InviteToken) -> Fallible<Option<InviteRow>> {
        let sql = "SELECT uses, expires_ms, name FROM invites WHERE token = ?1";
        let found = self.one(sql, [token.0], |row| {
            Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<String>>(2)?))
        })?;
        found.map(|columns| invite(token, columns)).transpose()
    }

    fn put_invite(&mut self, invite: &InviteRow) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO invites (token, uses, expires_ms, name) VALUES (?1, ?2, ?3, ?4)";
        let name = invite.name.as_ref().map(AccountName::as_str);
        self.run(sql, params![invite.token.0, invite.uses, invite.expires_ms.map(int), name])?;
        Ok(())
    }

    fn remove_invite(&mut self, token: InviteToken) -> Fallible<()> {
        self.run("DELETE FROM invites WHERE token = ?1", [token.0])?;
        Ok(())
    }

    fn remove_reset_tokens(&mut self, name: &AccountName) -> Fallible<()> {
        self.run("DELETE FROM invites WHERE name = ?1", [name.as_str()])?;
        Ok(())
    }

    fn add_key_packages(&mut self, device: DeviceId, suite: Suite, packages: &[Bytes], keep: usize) -> Fallible<()> {
        for package in packages {
            let sql = "INSERT INTO key_packages (device, suite, body) VALUES (?1, ?2, ?3)";
            self.run(sql, params![device.as_bytes(), suite.number(), package.as_ref()])?;
        }
        let sql = "DELETE FROM key_packages WHERE row IN \
                   (SELECT row FROM key_packages WHERE device = ?1 AND suite = ?2 ORDER BY row DESC LIMIT -1 OFFSET ?3)";
        self.run(sql, params![device.as_bytes(), suite.number(), size(keep)])?;
        Ok(())
    }

    fn set_last_resort(&mut self, device: DeviceId, suite: Suite, package: &Bytes) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO last_resorts (device, suite, body) VALUES (?1, ?2, ?3)";
        self.run(sql, params![device.as_bytes(), suite.number(), package.as_ref()])?;
        Ok(())
    }

    fn take_key_package(&mut self, device: DeviceId, suite: Suite) -> Fallible<Option<Bytes>> {
        let body = |row: &Row<'_>| row.get::<_, Vec<u8>>(0).map(Bytes::from);
        let whose = params![device.as_bytes(), suite.number()];
        let sql = "DELETE FROM key_packages WHERE row = \
                   (SELECT min(row) FROM key_packages WHERE device = ?1 AND suite = ?2) RETURNING body";
        if let Some(package) = self.one(sql, whose, body)? {
            return Ok(Some(package));
        }
        self.one("SELECT body FROM last_resorts WHERE device = ?1 AND suite = ?2", whose, body)
    }

    fn count_key_packages(&mut self, device: DeviceId, suite: Suite) -> Fallible<KeyPackageCount> {
        let sql = "SELECT (SELECT count(*) FROM key_packages WHERE device = ?1 AND suite = ?2), \
                   EXISTS (SELECT 1 FROM last_resorts WHERE device = ?1 AND suite = ?2)";
        let count = self.one(sql, params![device.as_bytes(), suite.number()], |row| {
            Ok(KeyPackageCount { one_time: row.get(0)?, last_resort: row.get(1)? })
        })?;
        count.ok_or_else(|| StoreFault::Engine("a count gave no row".into()))
    }
}

impl Rows<'_> {
    /// A device has changed or is gone, and with it who is counted as a reader.
    pub(super) fn forget_device_row(&mut self, id: DeviceId) {
        if let Some(cache) = self.cache.as_mut() {
            cache.devices.pop(&id);
            cache.generation = cache.generation.wrapping_add(1);
        }
        self.effects.delta.stale = true;
    }
}
