//! Messages that everybody in a conversation has in view: the last ones that were pinned.

use qpc_proto::id::MessageId;
use rusqlite::Transaction;

use super::{Local, StoreError, change::Target};

/// Pins of one conversation; the oldest goes.
pub(crate) const PINS_MAX: u32 = 50;

/// Says whether it was otherwise before.
pub(super) fn set(tx: &Transaction<'_>, target: &Target, removed: bool) -> Result<bool, StoreError> {
    if removed { remove(tx, target.conversation, target.id) } else { put(tx, target.conversation, target.id) }
}

pub(super) fn put(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<bool, StoreError> {
    let added = tx
        .prepare_cached("INSERT OR IGNORE INTO pin (conversation, id) VALUES (?1, ?2)")?
        .execute((conversation, id.as_bytes()))?;
    tx.prepare_cached(
        "DELETE FROM pin WHERE conversation = ?1 AND place NOT IN \
         (SELECT place FROM pin WHERE conversation = ?1 ORDER BY place DESC LIMIT ?2)",
    )?
    .execute((conversation, PINS_MAX))?;
    Ok(added > 0)
}

pub(super) fn remove(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<bool, StoreError> {
    let removed = tx
        .prepare_cached("DELETE FROM pin WHERE conversation = ?1 AND id = ?2")?
        .execute((conversation, id.as_bytes()))?;
    Ok(removed > 0)
}

pub(super) fn is_pinned(tx: &Transaction<'_>, conversation: Local, id: &[u8]) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("SELECT 1 FROM pin WHERE conversation = ?1 AND id = ?2")?.exists((conversation, id))?)
}
