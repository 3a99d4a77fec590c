//! Members whose leaving a change of the group has overtaken: to be removed by whoever may.

use std::collections::BTreeSet;

use qpc_proto::address::Address;
use rusqlite::Transaction;

use super::{Local, StoreError, row};

/// Notes one.
pub(crate) fn put(tx: &Transaction<'_>, conversation: Local, address: &Address) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO unheard (conversation, address) VALUES (?1, ?2)")?
        .execute((conversation, address.to_string()))?;
    Ok(())
}

/// All of a conversation.
pub(crate) fn of(tx: &Transaction<'_>, conversation: Local) -> Result<BTreeSet<Address>, StoreError> {
    let mut select = tx.prepare_cached("SELECT address FROM unheard WHERE conversation = ?1")?;
    let addresses = select.query_map([conversation], |row| row.get::<_, String>(0))?;
    addresses.map(|address| row::address(&address?)).collect()
}

/// They are out.
pub(crate) fn remove(tx: &Transaction<'_>, conversation: Local, address: &Address) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM unheard WHERE conversation = ?1 AND address = ?2")?
        .execute((conversation, address.to_string()))?;
    Ok(())
}

/// The conversation has ended.
pub(crate) fn forget(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM unheard WHERE conversation = ?1")?.execute([conversation])?;
    Ok(())
}
