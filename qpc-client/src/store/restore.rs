//! The last restore of the server that this device has heard of, and whether it was given back what it lacked.

use rusqlite::{OptionalExtension, Transaction};

use super::{StoreError, row};

/// A restore, as the server says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restored {
    /// When, milliseconds since 1970; 0 where there was none.
    pub(crate) at_ms: u64,
    /// Until when conversations wait, at most, for what their members have.
    pub(crate) until_ms: u64,
}

/// Notes a restore that is news; says whether something may be to be offered.
pub(crate) fn hear(tx: &Transaction<'_>, restored: Restored) -> Result<bool, StoreError> {
    if restored.at_ms == 0 {
        return Ok(false);
    }
    let known: Option<(i64, bool)> = tx
        .prepare_cached("SELECT at_ms, offered FROM server_restore")?
        .query_one([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (at, until) = (row::signed(restored.at_ms), row::signed(restored.until_ms));
    match known {
        Some((known, offered)) if known == at => Ok(!offered),
        _ => {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO server_restore (one, at_ms, until_ms, offered) VALUES (1, ?1, ?2, 0)",
            )?
            .execute([at, until])?;
            Ok(true)
        }
    }
}

/// It was offered all that this device has.
pub(crate) fn offered(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE server_restore SET offered = 1")?.execute([])?;
    Ok(())
}

/// May the server lack something still that others will give it?
pub(crate) fn is_under_way(tx: &Transaction<'_>, now_ms: u64) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached("SELECT 1 FROM server_restore WHERE until_ms > ?1")?;
    Ok(select.exists([row::signed(now_ms)])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{home::HomeKey, store::schema};

    #[test]
    fn each_restore_is_news_until_all_was_offered() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let restored = |at_ms| Restored { at_ms, until_ms: at_ms + 10 };
        assert!(!hear(&tx, Restored { at_ms: 0, until_ms: 0 }).unwrap());
        assert!(!is_under_way(&tx, 0).unwrap());
        assert!(hear(&tx, restored(5)).unwrap() && hear(&tx, restored(5)).unwrap());
        assert!(is_under_way(&tx, 14).unwrap() && !is_under_way(&tx, 15).unwrap());
        offered(&tx).unwrap();
        assert!(!hear(&tx, restored(5)).unwrap());
        assert!(is_under_way(&tx, 14).unwrap());
        assert!(hear(&tx, restored(20)).unwrap());
    }
}
