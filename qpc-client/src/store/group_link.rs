//! Links into groups as this device knows them, and who came in by them: what it lets people in by, whatever the server
//! says.

use qpc_proto::{
    address::Address,
    limits::{LINK_USES_MAX, LINKS_KNOWN_MAX},
    link::{JoinRequest, LinkKey},
    v1,
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{Local, StoreError, row};

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupLink {
    pub(crate) key: LinkKey,
    /// By which people call it, in this home.
    pub(crate) number: u32,
    pub(crate) maker: Address,
    pub(crate) expires_ms: u64,
    pub(crate) uses: u32,
    pub(crate) used: u32,
    pub(crate) withdrawn: bool,
}

impl GroupLink {
    /// May somebody come in by it?
    pub(crate) fn counts(&self, now_ms: u64) -> bool {
        !self.withdrawn && self.expires_ms > now_ms && self.used < self.uses
    }

    /// What the group's members are told of it.
    pub(crate) fn to_wire(&self) -> v1::GroupLink {
        v1::GroupLink {
            key: self.key.to_bytes(),
            maker: self.maker.to_string(),
            expires_ms: self.expires_ms,
            uses: self.uses,
            used: self.used,
            withdrawn: self.withdrawn,
        }
    }
}

/// All of a group that would not have ended by now, withdrawn ones too, in order of their numbers.
pub(crate) fn all(tx: &Transaction<'_>, conversation: Local, now_ms: u64) -> Result<Vec<GroupLink>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT * FROM group_link WHERE conversation = ?1 AND expires_ms > ?2 ORDER BY number LIMIT ?3",
    )?;
    let mut rows = select.query((conversation, row::signed(now_ms), known_max()))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub(crate) fn get(tx: &Transaction<'_>, conversation: Local, key: LinkKey) -> Result<Option<GroupLink>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM group_link WHERE conversation = ?1 AND key = ?2")?;
    select.query_one((conversation, key.as_bytes()), |row| Ok(read(row))).optional()?.transpose()
}

/// Takes what somebody who may says of a link: what several say adds up. Says whether that is news.
pub(crate) fn merge(
    tx: &Transaction<'_>,
    conversation: Local,
    told: &v1::GroupLink,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let (Some(key), Ok(maker)) = (LinkKey::parse(&told.key), Address::parse(&told.maker)) else { return Ok(false) };
    if told.expires_ms <= now_ms || !(1..=LINK_USES_MAX).contains(&told.uses) {
        return Ok(false);
    }
    forget_ended(tx, conversation, now_ms)?;
    // How long and for how many is said once, when it is made.
    let inserted = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO group_link (conversation, key, number, maker, expires_ms, uses, used, withdrawn) \
             SELECT ?1, ?2, coalesce((SELECT max(number) FROM group_link WHERE conversation = ?1), 0) + 1, ?3, ?4, ?5, \
             0, 0 WHERE (SELECT count(*) FROM group_link WHERE conversation = ?1) < ?6",
        )?
        .execute((
            conversation,
            key.as_bytes(),
            maker.to_string(),
            row::signed(told.expires_ms),
            told.uses,
            known_max(),
        ))?;
    let updated = tx
        .prepare_cached(
            "UPDATE group_link SET used = min(uses, max(used, ?3)), withdrawn = max(withdrawn, ?4) \
             WHERE conversation = ?1 AND key = ?2 AND (used < min(uses, ?3) OR withdrawn < ?4)",
        )?
        .execute((conversation, key.as_bytes(), told.used, told.withdrawn))?;
    Ok(inserted.saturating_add(updated) > 0)
}

/// Notes that somebody came in by a link; nothing for a request that was noted before.
pub(crate) fn used(tx: &Transaction<'_>, conversation: Local, request: &JoinRequest) -> Result<(), StoreError> {
    let key = request.link();
    let noted = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO link_use (conversation, key, address, asked_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((conversation, key.as_bytes(), request.address().to_string(), row::signed(request.asked_ms())))?;
    if noted > 0 {
        tx.prepare_cached("UPDATE group_link SET used = min(uses, used + 1) WHERE conversation = ?1 AND key = ?2")?
            .execute((conversation, key.as_bytes()))?;
    }
    Ok(())
}

/// Has this very request let somebody in before?
pub(crate) fn was_used(tx: &Transaction<'_>, conversation: Local, request: &JoinRequest) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT 1 FROM link_use WHERE conversation = ?1 AND key = ?2 AND address = ?3 AND asked_ms = ?4",
    )?;
    let key = request.link();
    let values = (conversation, key.as_bytes(), request.address().to_string(), row::signed(request.asked_ms()));
    Ok(select.exists(values)?)
}

/// This account is out of the group.
pub(crate) fn forget(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    forget_ended(tx, conversation, u64::MAX)
}

fn forget_ended(tx: &Transaction<'_>, conversation: Local, now_ms: u64) -> Result<(), StoreError> {
    let gone = tx
        .prepare_cached("DELETE FROM group_link WHERE conversation = ?1 AND expires_ms <= ?2")?
        .execute((conversation, row::signed(now_ms)))?;
    if gone > 0 {
        tx.prepare_cached(
            "DELETE FROM link_use WHERE conversation = ?1 \
             AND key NOT IN (SELECT key FROM group_link WHERE conversation = ?1)",
        )?
        .execute([conversation])?;
    }
    Ok(())
}

fn known_max() -> i64 {
    i64::try_from(LINKS_KNOWN_MAX).unwrap_or(i64::MAX)
}

fn read(row: &Row<'_>) -> Result<GroupLink, StoreError> {
    let key: Vec<u8> = row.get("key")?;
    Ok(GroupLink {
        key: LinkKey::parse(&key).ok_or(StoreError::Corrupt("a link's key"))?,
        number: row.get("number")?,
        maker: row::address(&row.get::<_, String>("maker")?)?,
        expires_ms: row::number(row, "expires_ms")?,
        uses: row.get("uses")?,
        used: row.get("used")?,
        withdrawn: row.get("withdrawn")?,
    })
}

#[cfg(test)]
mod tests {
    use qpc_proto::{
        id::{ConversationName, DeviceId},
        link::{Asker, InviteLink},
    };

    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{self, Kind, New, State},
            schema,
        },
    };

    fn with_group(test: impl FnOnce(&Transaction<'_>, Local)) {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = connection.transaction().unwrap();
        let new = New { name: None, kind: Kind::Group, peer: None, title: "tea".into(), state: State::Active };
        let local = conversation::insert(&tx, &new).unwrap();
        test(&tx, local);
    }

    fn link(seed: u8) -> InviteLink {
        let id = qpc_proto::id::ConversationId::new(5, [1; 10]);
        InviteLink::new(ConversationName { domain: "a.example".parse().unwrap(), id }, &[seed; 32])
    }

    fn told(seed: u8, used: u32, withdrawn: bool) -> v1::GroupLink {
        let (key, maker) = (link(seed).key().to_bytes(), "alice@a.example".to_owned());
        v1::GroupLink { key, maker, expires_ms: 1_000, uses: 3, used, withdrawn }
    }

    #[test]
    fn what_several_say_of_a_link_adds_up() {
        with_group(|tx, local| {
            assert!(merge(tx, local, &told(1, 0, false), 10).unwrap());
            assert!(!merge(tx, local, &told(1, 0, false), 10).unwrap());
            assert!(merge(tx, local, &told(2, 2, false), 10).unwrap(), "another made at the same time");
            assert!(merge(tx, local, &told(2, 9, false), 10).unwrap());
            assert!(!merge(tx, local, &told(2, 1, false), 10).unwrap());
            assert!(merge(tx, local, &told(1, 0, true), 10).unwrap());
            // Who has not heard that it was withdrawn does not bring it back, nor make it last longer.
            let mut longer = told(1, 0, false);
            (longer.expires_ms, longer.uses) = (9_000, 900);
            assert!(!merge(tx, local, &longer, 10).unwrap());
            let all = all(tx, local, 10).unwrap();
            let seen: Vec<_> = all.iter().map(|one| (one.number, one.used, one.withdrawn, one.counts(10))).collect();
            assert_eq!(seen, [(1, 0, true, false), (2, 3, false, false)]);
            assert!(all.iter().all(|one| one.expires_ms == 1_000 && one.uses == 3));
        });
    }

    #[test]
    fn what_is_no_link_or_one_too_many_is_passed_over() {
        with_group(|tx, local| {
            let wrong = [
                v1::GroupLink { key: vec![1; 31].into(), ..told(1, 0, false) },
                v1::GroupLink { maker: "nobody".into(), ..told(1, 0, false) },
                v1::GroupLink { uses: 0, ..told(1, 0, false) },
                v1::GroupLink { uses: LINK_USES_MAX + 1, ..told(1, 0, false) },
                v1::GroupLink { expires_ms: 10, ..told(1, 0, false) },
            ];
            for wrong in wrong {
                assert!(!merge(tx, local, &wrong, 10).unwrap());
            }
            for seed in 0..=u8::try_from(LINKS_KNOWN_MAX).unwrap() {
                merge(tx, local, &told(seed, 0, false), 10).unwrap();
            }
            assert_eq!(all(tx, local, 10).unwrap().len(), LINKS_KNOWN_MAX);
            // Those whose time is over make room.
            let later = v1::GroupLink { expires_ms: 3_000, ..told(200, 0, false) };
            assert!(merge(tx, local, &later, 1_000).unwrap());
            assert_eq!(all(tx, local, 1_000).unwrap().len(), 1);
        });
    }

    #[test]
    fn a_request_is_counted_once() {
        with_group(|tx, local| {
            merge(tx, local, &told(1, 0, false), 10).unwrap();
            let bob = "bob@a.example".parse().unwrap();
            let asker = Asker { address: &bob, account_key: &[7; 32], device: DeviceId::new(1, [3; 10]) };
            let request = |at| JoinRequest::verify(&link(1).ask(&asker, at)).unwrap();
            for at in [20, 20, 30] {
                used(tx, local, &request(at)).unwrap();
            }
            assert_eq!(get(tx, local, link(1).key()).unwrap().unwrap().used, 2);
            let seen = [20, 30, 40].map(|at| was_used(tx, local, &request(at)).unwrap());
            assert_eq!(seen, [true, true, false]);
            forget(tx, local).unwrap();
            assert!(!was_used(tx, local, &request(20)).unwrap() && all(tx, local, 0).unwrap().is_empty());
        });
    }
}
