//! Groups in which somebody waits to be told what they are called: whoever may tells, after a while of their own, unless
//! another has.

use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, row};

/// Somebody waits; a time that was set before stays.
pub(crate) fn put(tx: &Transaction<'_>, conversation: Local, due_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO undescribed (conversation, due_ms) VALUES (?1, ?2)")?
        .execute((conversation, row::signed(due_ms)))?;
    Ok(())
}

/// The one that is due first, and when.
pub(crate) fn first(tx: &Transaction<'_>) -> Result<Option<(Local, u64)>, StoreError> {
    let mut select = tx.prepare_cached("SELECT conversation, due_ms FROM undescribed ORDER BY due_ms LIMIT 1")?;
    let found = select.query_one([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).optional()?;
    Ok(found.map(|(conversation, due_ms)| (conversation, u64::try_from(due_ms).unwrap_or_default())))
}

/// It was told.
pub(crate) fn remove(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM undescribed WHERE conversation = ?1")?.execute([conversation])?;
    Ok(())
}
