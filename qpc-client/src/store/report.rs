//! That this device can't follow a group, on its way to the other members: at most one a conversation, kept until it is in
//! again, so that the same bytes are sent when nobody knows whether the server has them.

use bytes::Bytes;
use qpc_proto::id::{Counter, Epoch, MessageId};
use rusqlite::Transaction;

use super::{Local, StoreError, row};

/// One on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) conversation: Local,
    pub(crate) id: MessageId,
    /// Of the commit that it is about.
    pub(crate) epoch: Epoch,
    pub(crate) body: Bytes,
    /// The number it is sent with, once it was.
    pub(crate) counter: Option<Counter>,
    /// When the server said that it has it.
    pub(crate) answered_ms: Option<u64>,
}

/// Puts it on its way, in the place of an earlier one.
pub(crate) fn put(tx: &Transaction<'_>, report: &Outgoing) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO report (conversation, id, epoch, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute((report.conversation, report.id.as_bytes(), row::signed(report.epoch.0), report.body.as_ref()))?;
    Ok(())
}

pub(crate) fn get(tx: &Transaction<'_>, conversation: Local) -> Result<Option<Outgoing>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT id, epoch, body, counter, answered_ms FROM report WHERE conversation = ?1")?;
    let mut rows = select.query([conversation])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let counter: Option<i64> = row.get("counter")?;
    let answered: Option<i64> = row.get("answered_ms")?;
    Ok(Some(Outgoing {
        conversation,
        id: row::message_id(&row.get::<_, Vec<u8>>("id")?)?,
        epoch: Epoch(row::number(row, "epoch")?),
        body: row.get::<_, Vec<u8>>("body")?.into(),
        counter: counter.and_then(|counter| u64::try_from(counter).ok()).map(Counter),
        answered_ms: answered.and_then(|at| u64::try_from(at).ok()),
    }))
}

/// Gives it the number it is sent with, from now on.
pub(crate) fn number(tx: &Transaction<'_>, conversation: Local, counter: Option<Counter>) -> Result<(), StoreError> {
    let counter = counter.map(|counter| row::signed(counter.0));
    tx.prepare_cached("UPDATE report SET counter = ?2 WHERE conversation = ?1")?.execute((conversation, counter))?;
    Ok(())
}

/// The server has it.
pub(crate) fn answered(tx: &Transaction<'_>, conversation: Local, now_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE report SET answered_ms = ?2 WHERE conversation = ?1")?
        .execute((conversation, row::signed(now_ms)))?;
    Ok(())
}

/// The device is in again, or comes by itself; says whether one was on its way.
pub(crate) fn remove(tx: &Transaction<'_>, conversation: Local) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM report WHERE conversation = ?1")?.execute([conversation])? > 0)
}
