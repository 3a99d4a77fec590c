//! How often this device came back by itself into a group whose change it could not follow: somebody who makes such
//! changes can't keep it busy for ever.

use rusqlite::Transaction;

use super::{Local, StoreError, row};

/// So often within a day, of one conversation.
const RETURNS_MAX: i64 = 10;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Did it leave the group so, at any time?
pub(crate) fn has(tx: &Transaction<'_>, conversation: Local) -> Result<bool, StoreError> {
    tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM returned WHERE conversation = ?1)")?
        .query_one([conversation], |row| row.get(0))
        .map_err(StoreError::from)
}

/// Notes that it is about to; `false` where it was too often.
pub(crate) fn may(tx: &Transaction<'_>, conversation: Local, now: u64) -> Result<bool, StoreError> {
    let since = row::signed(now.saturating_sub(DAY_MS));
    tx.prepare_cached("DELETE FROM returned WHERE conversation = ?1 AND at_ms < ?2")?.execute((conversation, since))?;
    let noted: i64 = tx
        .prepare_cached("SELECT count(*) FROM returned WHERE conversation = ?1")?
        .query_one([conversation], |row| row.get(0))?;
    if noted >= RETURNS_MAX {
        return Ok(false);
    }
    tx.prepare_cached("INSERT INTO returned (conversation, at_ms) VALUES (?1, ?2)")?
        .execute((conversation, row::signed(now)))?;
    Ok(true)
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
        assert!(!has(&tx, one).unwrap());
        for number in 0..10 {
            assert!(may(&tx, one, first + number).unwrap(), "{number}");
        }
        assert!(!may(&tx, one, first + 10).unwrap());
        assert!(may(&tx, other, first + 10).unwrap(), "each for itself");
        assert!(!may(&tx, one, first + DAY_MS).unwrap());
        assert!(may(&tx, one, first + DAY_MS + 1).unwrap(), "the first was a day ago");
        assert!(!may(&tx, one, first + DAY_MS + 1).unwrap());
        assert!(has(&tx, one).unwrap());
    }
}
