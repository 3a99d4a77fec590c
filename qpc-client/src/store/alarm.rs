//! What a person must know and nothing may wash away: each text once.

use rusqlite::Transaction;

use super::{StoreError, row::signed};
use crate::fresh;

/// Raises an alarm; says whether it is new.
pub(crate) fn raise(tx: &Transaction<'_>, text: &str) -> Result<bool, StoreError> {
    let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO alarm (text, raised_ms) VALUES (?1, ?2)")?;
    Ok(insert.execute((text, signed(fresh::now_ms())))? > 0)
}

/// All of them, oldest first.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<String>, StoreError> {
    let mut select = tx.prepare_cached("SELECT text FROM alarm ORDER BY raised_ms, text")?;
    let texts = select.query_map([], |row| row.get(0))?;
    Ok(texts.collect::<Result<_, _>>()?)
}
