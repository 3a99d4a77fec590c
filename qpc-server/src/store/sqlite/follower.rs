//! Logs that other domains read, copies, and what is on its way to other domains, in SQL.

use std::sync::Arc;

use bytes::Bytes;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, Digest, EntryKind},
    id::{ConversationName, Counter, DeviceId, MessageId, Seq},
    role::Role,
};
use rusqlite::{Row, params};

use super::{
    account::state_number,
    error::{corrupt, int, num, size},
    log::{INBOX, LOG_COLUMNS, bytes, log_row, tree_page},
    rows::Rows,
    statements::{address, domain, id, number},
};
use crate::store::{
    TreePage, Waiting,
    tables::{AccountState, Fallible, FollowerRow, FollowerTables, LogId, LogRow, OutgoingRow},
};

const OUTGOING_COLUMNS: &str = "row, device, counter, kind, digest, request IS NOT NULL";

fn follower_row(row: &Row<'_>, column: usize) -> rusqlite::Result<FollowerRow> {
    let until = row.get::<_, Option<i64>>(column.saturating_add(1))?.map(|until| Seq(num(until)));
    Ok(FollowerRow { seq: Seq(number(row, column)?), until })
}

fn outgoing_row(row: &Row<'_>) -> rusqlite::Result<OutgoingRow> {
    let malformed = || rusqlite::Error::IntegralValueOutOfRange(3, 0);
    Ok(OutgoingRow {
        row: row.get(0)?,
        device: id(row, 1)?,
        counter: Counter(number(row, 2)?),
        kind: EntryKind::from_number(row.get(3)?).ok_or_else(malformed)?,
        digest: Digest::parse(row.get_ref(4)?.as_blob()?).ok_or_else(malformed)?,
        waits: row.get(5)?,
    })
}

impl Rows<'_> {
    /// Has the writer ask again who reads a log.
    fn forget_followers(&mut self, log: LogId) {
        if let Some(cache) = self.cache.as_mut() {
            cache.followed = None;
            if let Some(state) = cache.log(log) {
                state.followers = None;
            }
        }
    }

    /// Whether any log is read by another domain. Without that nothing of a log is looked up.
    fn any_followed(&mut self) -> Fallible<bool> {
        if let Some(known) = self.cache.as_ref().and_then(|cache| cache.followed) {
            return Ok(known);
        }
        let any = self.one("SELECT 1 FROM followers LIMIT 1", [], |_| Ok(()))?.is_some();
        if let Some(cache) = self.cache.as_mut() {
            cache.followed = Some(any);
        }
        Ok(any)
    }
}

impl FollowerTables for Rows<'_> {
    fn followers(&mut self, log: LogId) -> Fallible<Option<Arc<[Domain]>>> {
        if !self.any_followed()? {
            return Ok(None);
        }
        if let Some(known) = self.state(log)?.and_then(|state| state.followers.clone()) {
            return Ok(Some(known).filter(|domains| !domains.is_empty()));
        }
        let sql = "SELECT domain FROM followers WHERE log = ?1 AND until_seq IS NULL ORDER BY domain";
        let domains: Arc<[Domain]> = self.many(sql, [log.0], |row| domain(row, 0))?.into();
        if let Some(state) = self.state(log)? {
            state.followers = Some(Arc::clone(&domains));
        }
        Ok(Some(domains).filter(|domains| !domains.is_empty()))
    }

    fn follower(&mut self, log: LogId, domain: &Domain) -> Fallible<Option<FollowerRow>> {
        let sql = "SELECT seq, until_seq FROM followers WHERE log = ?1 AND domain = ?2";
        self.one(sql, params![log.0, domain.as_str()], |row| follower_row(row, 0))
    }

    fn put_follower(&mut self, log: LogId, domain: &Domain, row: FollowerRow) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO followers (log, domain, seq, until_seq) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, params![log.0, domain.as_str(), int(row.seq.0), row.until.map(|until| int(until.0))])?;
        self.forget_followers(log);
        Ok(())
    }

    fn set_follower(&mut self, log: LogId, domain: &Domain, seq: Seq) -> Fallible<()> {
        let sql = "UPDATE followers SET seq = ?3 WHERE log = ?1 AND domain = ?2";
        self.run(sql, params![log.0, domain.as_str(), int(seq.0)])?;
        Ok(())
    }

    fn remove_follower(&mut self, log: LogId, domain: &Domain) -> Fallible<()> {
        self.run("DELETE FROM follower_bases WHERE log = ?1 AND domain = ?2", params![log.0, domain.as_str()])?;
        self.run("DELETE FROM followers WHERE log = ?1 AND domain = ?2", params![log.0, domain.as_str()])?;
        self.forget_followers(log);
        Ok(())
    }

    fn put_base(&mut self, log: LogId, domain: &Domain, seq: Seq, (info, tree): (&Bytes, &Bytes)) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO follower_bases (log, domain, seq, group_info, tree) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        self.run(sql, params![log.0, domain.as_str(), int(seq.0), info.as_ref(), tree.as_ref()])?;
        Ok(())
    }

    fn base(&mut self, log: LogId, domain: &Domain) -> Fallible<Option<(Seq, Bytes)>> {
        let sql = "SELECT seq, group_info FROM follower_bases WHERE log = ?1 AND domain = ?2";
        self.one(sql, params![log.0, domain.as_str()], |row| Ok((Seq(number(row, 0)?), bytes(row, 1)?)))
    }

    fn base_tree(&mut self, log: LogId, domain: &Domain, offset: usize, most: usize) -> Fallible<Option<TreePage>> {
        let sql = "SELECT length(tree), substr(tree, ?3 + 1, ?4) FROM follower_bases WHERE log = ?1 AND domain = ?2";
        self.one(sql, params![log.0, domain.as_str(), size(offset), size(most)], tree_page)
    }

    fn step_back(&mut self, domain: &Domain) -> Fallible<()> {
        let sql = "UPDATE followers SET seq = seq - 1 WHERE domain = ?1 AND EXISTS \
                   (SELECT 1 FROM logs l WHERE l.id = followers.log AND l.kind <> ?2 AND l.floor_seq < followers.seq)";
        self.run(sql, params![domain.as_str(), INBOX])?;
        Ok(())
    }

    fn peer_restore(&mut self, domain: &Domain) -> Fallible<u64> {
        let sql = "SELECT at_ms FROM peer_restores WHERE domain = ?1";
        Ok(self.one(sql, [domain.as_str()], |row| number(row, 0))?.unwrap_or(0))
    }

    fn set_peer_restore(&mut self, domain: &Domain, at_ms: u64) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO peer_restores (domain, at_ms) VALUES (?1, ?2)";
        self.run(sql, params![domain.as_str(), int(at_ms)])?;
        Ok(())
    }

    fn followed_by(
        &mut self,
        domain: &Domain,
        after: LogId,
        limit: usize,
    ) -> Fallible<Vec<(LogId, LogRow, FollowerRow)>> {
        let sql = format!(
            "SELECT {LOG_COLUMNS}, f.seq, f.until_seq FROM followers f JOIN logs l ON l.id = f.log \
             WHERE f.domain = ?1 AND f.log > ?2 ORDER BY f.log LIMIT ?3"
        );
        self.many(&sql, params![domain.as_str(), after.0, size(limit)], |row| {
            let (log, log_row, _) = log_row(row)?;
            Ok((log, log_row, follower_row(row, 12)?))
        })
    }

    fn restart_log(&mut self, log: LogId, floor: Seq, chain: ChainValue) -> Fallible<()> {
        for sql in ["DELETE FROM entries WHERE log = ?1", "DELETE FROM welcome_trees WHERE log = ?1"] {
            self.run(sql, [log.0])?;
        }
        self.run(
            "UPDATE logs SET floor_seq = ?2, floor_chain = ?3 WHERE id = ?1",
            params![log.0, int(floor.0), chain.0],
        )?;
        if let Some(cache) = self.cache.as_mut() {
            cache.forget_log(log);
        }
        self.effects.delta.stale = true;
        Ok(())
    }

    fn outer_members(&mut self, log: LogId) -> Fallible<Vec<(Address, Role)>> {
        let sql = "SELECT name, domain, role FROM outer_members WHERE log = ?1 ORDER BY name, domain";
        self.many(sql, [log.0], |row| Ok((address(row, 0)?, Role::from_wire(row.get(2)?))))
    }

    fn set_outer_members(&mut self, log: LogId, members: &[(Address, Role)]) -> Fallible<()> {
        self.run("DELETE FROM outer_members WHERE log = ?1", [log.0])?;
        let sql = "INSERT INTO outer_members (log, name, domain, role) VALUES (?1, ?2, ?3, ?4)";
        for (address, role) in members {
            let role: i32 = role.to_wire().into();
            self.run(sql, params![log.0, address.name.as_str(), address.domain.as_str(), role])?;
        }
        Ok(())
    }

    fn inbox_read(&mut self, domain: &Domain, device: DeviceId) -> Fallible<Seq> {
        let sql = "SELECT seq FROM inboxes_read WHERE device = ?1 AND domain = ?2";
        let known = self.one(sql, params![device.as_bytes(), domain.as_str()], |row| number(row, 0))?;
        Ok(Seq(known.unwrap_or_default()))
    }

    fn set_inbox_read(&mut self, domain: &Domain, device: DeviceId, seq: Seq) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO inboxes_read (device, domain, seq) VALUES (?1, ?2, ?3)";
        self.run(sql, params![device.as_bytes(), domain.as_str(), int(seq.0)])?;
        Ok(())
    }

    fn forget_inboxes_read(&mut self, domain: &Domain) -> Fallible<()> {
        self.run("DELETE FROM inboxes_read WHERE domain = ?1", [domain.as_str()])?;
        Ok(())
    }

    fn outgoing(&mut self, log: &ConversationName, id: MessageId) -> Fallible<Option<OutgoingRow>> {
        let sql = format!(
            "SELECT {OUTGOING_COLUMNS} FROM outgoing WHERE message_id = ?1 AND conversation = ?2 AND domain = ?3"
        );
        self.one(&sql, params![id.as_bytes(), log.id.as_bytes(), log.domain.as_str()], outgoing_row)
    }

    fn outgoing_row(&mut self, number: i64) -> Fallible<Option<(ConversationName, MessageId, OutgoingRow)>> {
        let sql = format!("SELECT {OUTGOING_COLUMNS}, conversation, domain, message_id FROM outgoing WHERE row = ?1");
        self.one(&sql, [number], |row| {
            let log = ConversationName { domain: domain(row, 7)?, id: id(row, 6)? };
            Ok((log, id(row, 8)?, outgoing_row(row)?))
        })
    }

    fn put_outgoing(
        &mut self,
        log: &ConversationName,
        id: MessageId,
        row: &OutgoingRow,
        request: &Bytes,
        now_ms: u64,
    ) -> Fallible<i64> {
        let sql = "INSERT INTO outgoing (conversation, domain, device, message_id, counter, kind, digest, added_ms, \
                   request) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let values = params![
            log.id.as_bytes(),
            log.domain.as_str(),
            row.device.as_bytes(),
            id.as_bytes(),
            int(row.counter.0),
            i64::from(row.kind as u8),
            row.digest.0,
            int(now_ms),
            row.waits.then_some(request.as_ref()),
        ];
        self.run(sql, values)?;
        Ok(self.connection.last_insert_rowid())
    }

    fn outgoing_sent(&mut self, row: i64) -> Fallible<()> {
        self.run("UPDATE outgoing SET request = NULL WHERE row = ?1", [row])?;
        Ok(())
    }

    fn remove_outgoing(&mut self, row: i64) -> Fallible<()> {
        self.run("DELETE FROM outgoing WHERE row = ?1", [row])?;
        Ok(())
    }

    fn remove_outgoing_from(&mut self, device: DeviceId, log: &ConversationName, row: i64) -> Fallible<()> {
        let sql = "DELETE FROM outgoing WHERE device = ?1 AND conversation = ?2 AND domain = ?3 \
                   AND (row = ?4 OR (row > ?4 AND request IS NOT NULL))";
        self.run(sql, params![device.as_bytes(), log.id.as_bytes(), log.domain.as_str(), row])?;
        Ok(())
    }

    fn drop_outgoing(&mut self, before_ms: u64) -> Fallible<()> {
        self.run("DELETE FROM outgoing WHERE request IS NULL AND added_ms < ?1", [int(before_ms)])?;
        Ok(())
    }

    fn waiting_for(&mut self, domain: &Domain, after: i64, limit: usize) -> Fallible<Vec<Waiting>> {
        let sql = "SELECT o.row, o.device, o.request, a.name, a.domain FROM outgoing o JOIN devices d ON d.id = o.device \
                   JOIN accounts a ON a.id = d.account \
                   WHERE o.domain = ?1 AND o.row > ?2 AND o.request IS NOT NULL ORDER BY o.row LIMIT ?3";
        self.many(sql, params![domain.as_str(), after, size(limit)], |row| {
            Ok(Waiting { row: row.get(0)?, sender: address(row, 3)?, device: id(row, 1)?, request: bytes(row, 2)? })
        })
    }

    fn waiting_of(&mut self, device: DeviceId, limit: usize) -> Fallible<usize> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM outgoing WHERE device = ?1 AND request IS NOT NULL LIMIT ?2)";
        let count = super::log::ask(self, sql, params![device.as_bytes(), size(limit)])?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn put_announcement(&mut self, domain: &Domain, of: &Address) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO announcements (domain, address) VALUES (?1, ?2)";
        self.run(sql, params![domain.as_str(), of.to_string()])?;
        Ok(())
    }

    fn announce_members(&mut self, domain: &Domain) -> Fallible<()> {
        let sql = "INSERT OR REPLACE INTO announcements (domain, address) \
                   SELECT DISTINCT ?1, a.name || '@' || a.domain FROM logs l JOIN members m ON m.log = l.id \
                   JOIN accounts a ON a.id = m.account AND a.state = ?2 \
                   WHERE l.domain = ?1 AND l.kind <> ?3 AND m.until_seq IS NULL";
        self.run(sql, params![domain.as_str(), state_number(AccountState::Active), INBOX])?;
        Ok(())
    }

    fn announcements(&mut self, domain: &Domain, limit: usize) -> Fallible<Vec<(i64, Address)>> {
        let sql = "SELECT row, address FROM announcements WHERE domain = ?1 ORDER BY row LIMIT ?2";
        let rows = self.many(sql, params![domain.as_str(), size(limit)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let address = |(row, text): (i64, String)| Ok((row, Address::parse(&text).map_err(|_| corrupt("address"))?));
        rows.into_iter().map(address).collect()
    }

    fn remove_announcement(&mut self, row: i64) -> Fallible<()> {
        self.run("DELETE FROM announcements WHERE row = ?1", [row])?;
        Ok(())
    }

    fn is_waiting_full(&mut self, domain: &Domain, most: u64) -> Fallible<bool> {
        // Rows only grow: the distance of the outermost is never less than the number, and costs nothing to find.
        let end = "SELECT row FROM outgoing WHERE domain = ?1 AND request IS NOT NULL ORDER BY row";
        let spread = format!("SELECT ({end} DESC LIMIT 1) - ({end} LIMIT 1) + 1");
        let spread = self.one(&spread, [domain.as_str()], |row| row.get::<_, Option<i64>>(0))?.flatten();
        Ok(spread.is_some_and(|spread| num(spread) >= most) && self.backlog_of(domain)?.0 >= most)
    }

    fn backlog_of(&mut self, domain: &Domain) -> Fallible<(u64, Option<u64>)> {
        let sql = "SELECT count(*) FROM outgoing WHERE domain = ?1 AND request IS NOT NULL";
        let count = super::log::ask(self, sql, [domain.as_str()])?;
        let sql = "SELECT added_ms FROM outgoing WHERE domain = ?1 AND request IS NOT NULL ORDER BY row LIMIT 1";
        Ok((count, self.one(sql, [domain.as_str()], |row| number(row, 0))?))
    }
}
