//! Groups that this device left because it could not follow a change, to come back by itself: how it had them then, by
//! which it judges what it is shown, and how often, so that nobody keeps it busy for ever.

use std::collections::BTreeSet;

use qpc_proto::{address::Address, id::Epoch};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, row};

/// So often within a day, of one conversation.
const RETURNS_MAX: i64 = 10;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A group as this device had it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) epoch: Epoch,
    /// Accounts; empty where it missed none of who came and went.
    pub(crate) members: BTreeSet<Address>,
}

/// May it come back, or did it too often?
pub(crate) fn may(tx: &Transaction<'_>, conversation: Local, now_ms: u64) -> Result<bool, StoreError> {
    let noted: i64 = tx
        .prepare_cached("SELECT count(*) FROM returned WHERE conversation = ?1 AND at_ms >= ?2")?
        .query_one((conversation, row::signed(now_ms.saturating_sub(DAY_MS))), |row| row.get(0))?;
    Ok(noted < RETURNS_MAX)
}

/// It leaves, and is about to come back.
pub(crate) fn put(tx: &Transaction<'_>, conversation: Local, now_ms: u64, left: &Left) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM returned WHERE conversation = ?1 AND at_ms < ?2")?
        .execute((conversation, row::signed(now_ms.saturating_sub(DAY_MS))))?;
    insert(tx, conversation, now_ms, left)
}

/// The same where others have taken it out, and it could follow that: such a return does not count, else anybody could use
/// up those that it needs. The next one takes its place.
pub(crate) fn put_uncounted(tx: &Transaction<'_>, conversation: Local, left: &Left) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM returned WHERE conversation = ?1 AND at_ms = 0")?.execute([conversation])?;
    insert(tx, conversation, 0, left)
}

fn insert(tx: &Transaction<'_>, conversation: Local, at_ms: u64, left: &Left) -> Result<(), StoreError> {
    let members: Vec<_> = left.members.iter().map(ToString::to_string).collect();
    tx.prepare_cached("INSERT INTO returned (conversation, at_ms, epoch, members) VALUES (?1, ?2, ?3, ?4)")?
        .execute((conversation, row::signed(at_ms), row::signed(left.epoch.0), members.join("\n")))?;
    Ok(())
}

/// How it had the group when it left it the last time, if it ever did.
pub(crate) fn last(tx: &Transaction<'_>, conversation: Local) -> Result<Option<Left>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT epoch, members FROM returned WHERE conversation = ?1 ORDER BY rowid DESC LIMIT 1")?;
    let found = select.query_one([conversation], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let Some((epoch, members)) = found.optional()? else { return Ok(None) };
    let epoch = Epoch(u64::try_from(epoch).map_err(|_| StoreError::Corrupt("a negative epoch"))?);
    Ok(Some(Left { epoch, members: members.lines().map(row::address).collect::<Result<_, _>>()? }))
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::{ConversationId, ConversationName};

    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{self, Kind, New, State},
            schema,
        },
    };

    #[test]
    fn a_device_comes_back_ten_times_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let [one, other] = [1, 2].map(|number| {
            let id = ConversationId::new(1, [number; 10]);
            let name = Some(ConversationName { domain: "a.example".parse().unwrap(), id });
            let new = New { name, kind: Kind::Group, peer: None, title: "title".into(), state: State::Active };
            conversation::insert(&tx, &new).unwrap()
        });
        let first = 20 * DAY_MS;
        let left = |epoch| Left { epoch: Epoch(epoch), members: ["a@a.example".parse().unwrap()].into() };
        let leaves = |of, now, epoch| {
            let may = may(&tx, of, now).unwrap();
            if may {
                put(&tx, of, now, &left(epoch)).unwrap();
            }
            may
        };
        assert_eq!(last(&tx, one).unwrap(), None);
        for number in 0..10 {
            assert!(leaves(one, first + number, number), "{number}");
        }
        assert!(!leaves(one, first + 10, 10));
        assert!(leaves(other, first + 10, 77), "each for itself");
        for epoch in 80..100 {
            put_uncounted(&tx, other, &left(epoch)).unwrap();
            assert_eq!(last(&tx, other).unwrap(), Some(left(epoch)));
        }
        for number in 1..10 {
            assert!(leaves(other, first + 10, 100 + number), "{number} counted, and no other");
        }
        assert!(!leaves(other, first + 10, 110));
        assert_eq!(last(&tx, one).unwrap(), Some(left(9)));
        assert!(!leaves(one, first + DAY_MS, 10));
        assert!(leaves(one, first + DAY_MS + 1, 10), "the first was a day ago");
        assert!(!leaves(one, first + DAY_MS + 1, 11));
        assert_eq!(last(&tx, one).unwrap(), Some(left(10)));
    }
}
