//! Contacts and direct pairs in SQL.

use qpc_proto::{
    address::Address,
    id::{AccountId, ConversationName, DeviceId},
};
use rusqlite::{Row, params};

use super::{
    error::size,
    log::ask,
    rows::Rows,
    statements::{address, domain, id},
};
use crate::store::tables::{ContactTables, Fallible, HeldWelcome, Say, Stance};

fn say_number(say: Say) -> i64 {
    match say {
        Say::Nothing => 0,
        Say::Pending => 1,
        Say::Accepted => 2,
        Say::Declined => 3,
    }
}

/// Reads a stance from three columns.
fn stance(row: &Row<'_>, column: usize) -> rusqlite::Result<Stance> {
    Ok(Stance {
        say: match row.get(column)? {
            0 => Say::Nothing,
            1 => Say::Pending,
            2 => Say::Accepted,
            3 => Say::Declined,
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
        },
        blocked: row.get(column.saturating_add(1))?,
        request_used: row.get(column.saturating_add(2))?,
    })
}

fn pair(one: AccountId, other: AccountId) -> (AccountId, AccountId) {
    (one.min(other), one.max(other))
}

impl ContactTables for Rows<'_> {
    fn stance(&mut self, owner: AccountId, peer: AccountId) -> Fallible<Stance> {
        if let Some(stance) = self.cache.as_mut().and_then(|cache| cache.stances.get(&(owner, peer))) {
            return Ok(*stance);
        }
        let sql = "SELECT say, blocked, request_used FROM contacts WHERE owner = ?1 AND peer = ?2";
        let found = self.one(sql, [owner.as_bytes(), peer.as_bytes()], |row| stance(row, 0))?.unwrap_or_default();
        if let Some(cache) = self.cache.as_mut() {
            cache.stances.put((owner, peer), found);
        }
        Ok(found)
    }

    fn set_stance(&mut self, owner: AccountId, peer: AccountId, stance: Stance) -> Fallible<()> {
        if stance == Stance::default() {
            self.run("DELETE FROM contacts WHERE owner = ?1 AND peer = ?2", [owner.as_bytes(), peer.as_bytes()])?;
        } else {
            let sql = "INSERT OR REPLACE INTO contacts (owner, peer, say, blocked, request_used) \
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            self.run(
                sql,
                params![owner.as_bytes(), peer.as_bytes(), say_number(stance.say), stance.blocked, stance.request_used],
            )?;
        }
        if let Some(cache) = self.cache.as_mut() {
            cache.stances.put((owner, peer), stance);
        }
        self.effects.wake_ups.hearers.pairs.push([owner, peer]);
        Ok(())
    }

    fn contacts_after(
        &mut self,
        owner: AccountId,
        after: Option<&Address>,
        limit: usize,
    ) -> Fallible<Vec<(AccountId, Address, Stance)>> {
        let sql = "SELECT c.peer, a.name, a.domain, c.say, c.blocked, c.request_used FROM contacts c \
                   JOIN accounts a ON a.id = c.peer WHERE c.owner = ?1 AND (a.name, a.domain) > (?2, ?3) \
                   ORDER BY a.name, a.domain LIMIT ?4";
        let (name, domain) = after.map_or(("", ""), |after| (after.name.as_str(), after.domain.as_str()));
        self.many(sql, params![owner.as_bytes(), name, domain, size(limit)], |row| {
            Ok((id(row, 0)?, address(row, 1)?, stance(row, 3)?))
        })
    }

    fn forget_contacts(&mut self, account: AccountId, keep_blocks: bool) -> Fallible<()> {
        let of = "(owner = ?1 OR peer = ?1)";
        let keep = if keep_blocks { "NOT blocked" } else { "1" };
        self.run(&format!("DELETE FROM contacts WHERE {of} AND {keep}"), [account.as_bytes()])?;
        self.run(&format!("UPDATE contacts SET say = 0, request_used = 0 WHERE {of}"), [account.as_bytes()])?;
        self.run("DELETE FROM held_welcomes WHERE owner = ?1 OR peer = ?1", [account.as_bytes()])?;
        self.forget_stances();
        Ok(())
    }

    fn move_contacts(&mut self, from: AccountId, to: AccountId) -> Fallible<()> {
        let ids = [from.as_bytes(), to.as_bytes()];
        self.run("UPDATE contacts SET owner = ?2 WHERE owner = ?1", ids)?;
        self.run("UPDATE contacts SET peer = ?2 WHERE peer = ?1", ids)?;
        self.forget_stances();
        Ok(())
    }

    fn direct(&mut self, one: AccountId, other: AccountId) -> Fallible<Option<ConversationName>> {
        let (low, high) = pair(one, other);
        let sql = "SELECT domain, conversation FROM directs WHERE low = ?1 AND high = ?2";
        self.one(sql, [low.as_bytes(), high.as_bytes()], |row| {
            Ok(ConversationName { domain: domain(row, 0)?, id: id(row, 1)? })
        })
    }

    fn set_direct(&mut self, one: AccountId, other: AccountId, conversation: &ConversationName) -> Fallible<()> {
        let (low, high) = pair(one, other);
        let sql = "INSERT INTO directs (low, high, domain, conversation) VALUES (?1, ?2, ?3, ?4)";
        let values = params![low.as_bytes(), high.as_bytes(), conversation.domain.as_str(), conversation.id.as_bytes()];
        self.run(sql, values)?;
        Ok(())
    }

    fn free_directs(&mut self, account: AccountId) -> Fallible<()> {
        self.run("DELETE FROM directs WHERE low = ?1 OR high = ?1", [account.as_bytes()])?;
        Ok(())
    }

    fn count_held(&mut self, owner: AccountId, from: AccountId) -> Fallible<usize> {
        let sql = "SELECT count(*) FROM held_welcomes WHERE owner = ?1 AND peer = ?2";
        let held = ask(self, sql, [owner.as_bytes(), from.as_bytes()])?;
        Ok(usize::try_from(held).unwrap_or(usize::MAX))
    }

    fn hold_welcome(&mut self, owner: AccountId, from: AccountId, held: &HeldWelcome) -> Fallible<()> {
        let sql = "INSERT INTO held_welcomes (owner, peer, device, sender, message_id, notice) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![
            owner.as_bytes(),
            from.as_bytes(),
            held.device.as_bytes(),
            held.sender.as_bytes(),
            held.id.as_bytes(),
            held.notice.as_ref()
        ];
        self.run(sql, values)?;
        Ok(())
    }

    fn take_held(&mut self, owner: AccountId, from: AccountId) -> Fallible<Vec<HeldWelcome>> {
        let ids = [owner.as_bytes(), from.as_bytes()];
        let sql = "SELECT device, sender, message_id, notice FROM held_welcomes \
                   WHERE owner = ?1 AND peer = ?2 ORDER BY row";
        let held = self.many(sql, ids, |row| {
            Ok(HeldWelcome {
                device: id::<DeviceId>(row, 0)?,
                sender: id(row, 1)?,
                id: id(row, 2)?,
                notice: row.get::<_, Vec<u8>>(3)?.into(),
            })
        })?;
        self.run("DELETE FROM held_welcomes WHERE owner = ?1 AND peer = ?2", ids)?;
        Ok(held)
    }
}

impl Rows<'_> {
    fn forget_stances(&mut self) {
        if let Some(cache) = self.cache.as_mut() {
            cache.stances.clear();
        }
    }
}
