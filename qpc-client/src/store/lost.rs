//! Conversations that a restored server does not know: they are neither followed nor written to before somebody has made
//! them again, or the time for that is over.

use std::collections::HashSet;

use rusqlite::Transaction;

use super::{
    Local, StoreError,
    conversation::{self, Conversation},
};

/// Notes that the server does not know it.
pub(crate) fn put(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO lost (conversation) VALUES (?1)")?.execute([conversation])?;
    Ok(())
}

/// It is there again, or never will be.
pub(crate) fn remove(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM lost WHERE conversation = ?1")?.execute([conversation])?;
    Ok(())
}

/// All of them.
pub(crate) fn locals(tx: &Transaction<'_>) -> Result<HashSet<Local>, StoreError> {
    let mut select = tx.prepare_cached("SELECT conversation FROM lost")?;
    let locals = select.query_map([], |row| row.get(0))?;
    Ok(locals.collect::<Result<_, _>>()?)
}

/// Those that this account is in still, direct ones first: a group may need its members to be contacts.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    conversation::lost(tx)
}
