//! Groups in which somebody may wait to be let in by a link: the server has to be asked who.

use rusqlite::Transaction;

use super::{Local, StoreError};

/// Somebody may wait.
pub(crate) fn put(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO join_due (conversation, times) VALUES (?1, 1) \
         ON CONFLICT (conversation) DO UPDATE SET times = times + 1",
    )?
    .execute([conversation])?;
    Ok(())
}

/// All, and how often each fell due.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<(Local, i64)>, StoreError> {
    let mut select = tx.prepare_cached("SELECT conversation, times FROM join_due ORDER BY conversation")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All who waited when it had fallen due so often were answered.
pub(crate) fn done(tx: &Transaction<'_>, conversation: Local, times: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM join_due WHERE conversation = ?1 AND times = ?2")?.execute((conversation, times))?;
    Ok(())
}
