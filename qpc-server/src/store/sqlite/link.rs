//! Links into groups, and who waits by them, in SQL.

use qpc_proto::{id::AccountId, link::LinkKey};
use rusqlite::{Row, params};

use super::{
    error::int,
    log::ask,
    rows::Rows,
    statements::{id, number},
};
use crate::store::tables::{Fallible, JoinRow, LinkRow, LinkTables, LogId};

const LINK_COLUMNS: &str = "key, expires_ms, uses_left, withdrawn";
const JOIN_COLUMNS: &str = "account, link, request";

fn link_key(row: &Row<'_>, column: usize) -> rusqlite::Result<LinkKey> {
    LinkKey::parse(row.get_ref(column)?.as_blob()?).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, 0))
}

fn link_row(row: &Row<'_>) -> rusqlite::Result<LinkRow> {
    Ok(LinkRow { key: link_key(row, 0)?, expires_ms: number(row, 1)?, uses_left: row.get(2)?, withdrawn: row.get(3)? })
}

fn join_row(row: &Row<'_>) -> rusqlite::Result<JoinRow> {
    Ok(JoinRow { account: id(row, 0)?, link: link_key(row, 1)?, request: row.get::<_, Vec<u8>>(2)?.into() })
}

impl LinkTables for Rows<'_> {
    fn link(&mut self, log: LogId, key: LinkKey) -> Fallible<Option<LinkRow>> {
        let sql = format!("SELECT {LINK_COLUMNS} FROM group_links WHERE log = ?1 AND key = ?2");
        self.one(&sql, params![log.0, key.as_bytes()], link_row)
    }

    fn links(&mut self, log: LogId) -> Fallible<Vec<LinkRow>> {
        self.many(&format!("SELECT {LINK_COLUMNS} FROM group_links WHERE log = ?1 ORDER BY key"), [log.0], link_row)
    }

    fn put_link(&mut self, log: LogId, link: &LinkRow) -> Fallible<()> {
        let sql = "INSERT INTO group_links (log, key, expires_ms, uses_left, withdrawn) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (log, key) DO UPDATE SET expires_ms = ?3, uses_left = ?4, withdrawn = ?5";
        let values = params![log.0, link.key.as_bytes(), int(link.expires_ms), link.uses_left, link.withdrawn];
        self.run(sql, values)?;
        Ok(())
    }

    fn remove_link(&mut self, log: LogId, key: LinkKey) -> Fallible<()> {
        self.run("DELETE FROM group_links WHERE log = ?1 AND key = ?2", params![log.0, key.as_bytes()])?;
        Ok(())
    }

    fn drop_links(&mut self, before_ms: u64) -> Fallible<()> {
        self.run("DELETE FROM group_links WHERE expires_ms < ?1", [int(before_ms)])?;
        Ok(())
    }

    fn join_request(&mut self, log: LogId, account: AccountId) -> Fallible<Option<JoinRow>> {
        let sql = format!("SELECT {JOIN_COLUMNS} FROM join_requests WHERE log = ?1 AND account = ?2");
        self.one(&sql, params![log.0, account.as_bytes()], join_row)
    }

    fn join_requests(&mut self, log: LogId) -> Fallible<Vec<JoinRow>> {
        let sql = format!("SELECT {JOIN_COLUMNS} FROM join_requests WHERE log = ?1 ORDER BY account");
        self.many(&sql, [log.0], join_row)
    }

    fn count_joins_asked(&mut self, account: AccountId, after_ms: u64) -> Fallible<usize> {
        let sql = "SELECT count(*) FROM join_requests j JOIN group_links l ON l.log = j.log AND l.key = j.link \
                   WHERE j.account = ?1 AND l.expires_ms > ?2";
        let asked = ask(self, sql, params![account.as_bytes(), int(after_ms)])?;
        Ok(usize::try_from(asked).unwrap_or(usize::MAX))
    }

    fn put_join_request(&mut self, log: LogId, request: &JoinRow) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO join_requests (log, account, link, request) VALUES (?1, ?2, ?3, ?4)";
        let values = params![log.0, request.account.as_bytes(), request.link.as_bytes(), request.request.as_ref()];
        self.run(sql, values)?;
        Ok(())
    }

    fn remove_join_request(&mut self, log: LogId, account: AccountId) -> Fallible<()> {
        self.run("DELETE FROM join_requests WHERE log = ?1 AND account = ?2", params![log.0, account.as_bytes()])?;
        Ok(())
    }

    fn remove_joins_asked(&mut self, account: AccountId) -> Fallible<()> {
        self.run("DELETE FROM join_requests WHERE account = ?1", [account.as_bytes()])?;
        Ok(())
    }
}
