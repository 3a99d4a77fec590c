//! Parts of logs that this device was not given, and that other devices of its account may have read.

use qpc_proto::id::Seq;
use rusqlite::Transaction;

use super::{
    Local, StoreError, conversation,
    due::{self, What},
    row,
};

/// This device has read so far, and goes on at a later place that is not known yet.
pub(crate) fn begins(tx: &Transaction<'_>, conversation: Local, read: Seq) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO missed (conversation, after_seq, until_seq) \
         SELECT ?1, ?2, NULL WHERE NOT EXISTS (SELECT 1 FROM missed WHERE conversation = ?1 AND until_seq IS NULL)",
    )?
    .execute((conversation, row::signed(read.0)))?;
    Ok(())
}

/// This device comes into a conversation by itself, for the first time. Where it has yet to ask for what was said before it
/// came, this is part of that; where it has asked, whoever answered may not have had it, and it is asked for again.
pub(crate) fn begins_before_joining(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    match due::get(tx, What::History)? {
        Some(_) => Ok(()),
        None => begins(tx, conversation, Seq(0)),
    }
}

/// It reads on after this place. Where the account has other devices, they are to be asked for what is between; says whether
/// they are. Where it has none, nothing is to be had, and it is forgotten.
pub(crate) fn ends(tx: &Transaction<'_>, conversation: Local, until: Seq) -> Result<bool, StoreError> {
    tx.prepare_cached("DELETE FROM missed WHERE conversation = ?1 AND until_seq IS NULL AND after_seq >= ?2")?
        .execute((conversation, row::signed(until.0)))?;
    if conversation::personal(tx)?.is_none() {
        tx.prepare_cached("DELETE FROM missed WHERE conversation = ?1 AND until_seq IS NULL")?
            .execute([conversation])?;
        return Ok(false);
    }
    let noted = tx
        .prepare_cached("UPDATE missed SET until_seq = ?2 WHERE conversation = ?1 AND until_seq IS NULL")?
        .execute((conversation, row::signed(until.0)))?;
    if noted > 0 {
        due::put(tx, What::History)?;
    }
    Ok(noted > 0)
}

/// Is an entry in such a part?
pub(crate) fn has(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT 1 FROM missed WHERE conversation = ?1 AND after_seq < ?2 AND until_seq >= ?2 LIMIT 1",
    )?;
    Ok(select.exists((conversation, row::signed(seq.0)))?)
}

/// The others have said what they have of all of them.
pub(crate) fn told(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM missed WHERE until_seq IS NOT NULL", [])?;
    Ok(())
}
