//! Conversations that are over and not read to their end yet: what is said there then.

use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError};

/// Notes what is to be said.
pub(crate) fn put(tx: &Transaction<'_>, conversation: Local, text: &str) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO ending (conversation, text) VALUES (?1, ?2)")?
        .execute((conversation, text))?;
    Ok(())
}

/// What is to be said, which is said once.
pub(crate) fn take(tx: &Transaction<'_>, conversation: Local) -> Result<Option<String>, StoreError> {
    let mut delete = tx.prepare_cached("DELETE FROM ending WHERE conversation = ?1 RETURNING text")?;
    Ok(delete.query_one([conversation], |row| row.get(0)).optional()?)
}
