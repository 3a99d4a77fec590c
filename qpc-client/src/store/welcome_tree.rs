//! Trees of groups that welcomes need which come without, read from the server before the welcome is applied. One is kept
//! until the group is joined, or as long as the welcome: it may be refused first and accepted later.

use qpc_proto::id::{ConversationName, Seq};
use rusqlite::{OptionalExtension, Transaction};

use super::{StoreError, entry, row};
use crate::fresh;

/// Keeps one, of the commit at this place.
pub(crate) fn put(tx: &Transaction<'_>, name: &ConversationName, seq: Seq, tree: &[u8]) -> Result<(), StoreError> {
    let now = fresh::now_ms();
    tx.execute("DELETE FROM welcome_tree WHERE received_ms < ?1", [row::signed(entry::kept_since(now))])?;
    tx.prepare_cached("INSERT OR REPLACE INTO welcome_tree (name, seq, received_ms, tree) VALUES (?1, ?2, ?3, ?4)")?
        .execute((name.to_string(), row::signed(seq.0), row::signed(now), tree))?;
    Ok(())
}

/// The one of the commit at this place.
pub(crate) fn get(tx: &Transaction<'_>, name: &ConversationName, seq: Seq) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = tx.prepare_cached("SELECT tree FROM welcome_tree WHERE name = ?1 AND seq = ?2")?;
    Ok(select.query_one((name.to_string(), row::signed(seq.0)), |row| row.get(0)).optional()?)
}

/// The group is joined: all of it.
pub(crate) fn remove(tx: &Transaction<'_>, name: &ConversationName) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM welcome_tree WHERE name = ?1")?.execute([name.to_string()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::ConversationId;

    use super::*;
    use crate::{home::HomeKey, store::schema};

    #[test]
    fn a_tree_is_kept_until_its_group_is_joined_or_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let name = |number| ConversationName {
            domain: "a.example".parse().unwrap(),
            id: ConversationId::new(1, [number; 10]),
        };
        put(&tx, &name(1), Seq(4), b"four").unwrap();
        put(&tx, &name(1), Seq(5), b"five").unwrap();
        put(&tx, &name(2), Seq(4), b"another").unwrap();
        assert_eq!(get(&tx, &name(1), Seq(4)).unwrap().unwrap(), b"four");
        remove(&tx, &name(1)).unwrap();
        assert_eq!(get(&tx, &name(1), Seq(5)).unwrap(), None);
        assert!(get(&tx, &name(2), Seq(4)).unwrap().is_some());
        tx.execute("UPDATE welcome_tree SET received_ms = 1", []).unwrap();
        put(&tx, &name(3), Seq(1), b"new").unwrap();
        assert_eq!(get(&tx, &name(2), Seq(4)).unwrap(), None);
    }
}
