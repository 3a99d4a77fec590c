//! Changes of this device's own that the log has not brought back yet.
//!
//! They are shown at once, on top of what the log has made of a message, and done to it when the log has come to their
//! place: so that somebody else's change in between counts as it does everywhere. One that is refused leaves no trace.

use qpc_proto::{
    content::Content,
    id::{MessageId, Seq},
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{
    Local, StoreError,
    change::{self, By, Change, Effect},
    row,
};

/// A change of our own.
pub(crate) struct Own {
    pub(crate) conversation: Local,
    pub(crate) target: MessageId,
    pub(crate) change: Change,
    account: String,
    time_ms: u64,
    moderates: bool,
    pins: bool,
}

/// What this account may do where it makes a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct May {
    pub(crate) moderates: bool,
    pub(crate) pins: bool,
}

/// Notes a change that is in the outbox.
pub(crate) fn put(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
    (target, content): (MessageId, &[u8]),
    (account, may): (&str, May),
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO own_change (conversation, id, target, account, content, moderates, pins) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((conversation, id.as_bytes(), target.as_bytes(), account, content, may.moderates, may.pins))?;
    Ok(())
}

/// The server has stored it; the log has yet to come there.
pub(crate) fn stored(tx: &Transaction<'_>, id: MessageId, seq: Seq) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE own_change SET seq = ?2 WHERE id = ?1")?.execute((id.as_bytes(), row::signed(seq.0)))?;
    Ok(())
}

/// The server may have lost it: it waits again.
pub(super) fn unsent(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    stored(tx, id, Seq(0))
}

/// Is this a change of ours, of which the log has not told?
pub(crate) fn is_there(tx: &Transaction<'_>, id: MessageId) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("SELECT 1 FROM own_change WHERE id = ?1")?.exists([id.as_bytes()])?)
}

/// Takes it out: the log has brought it, or it was refused.
pub(crate) fn take(tx: &Transaction<'_>, id: MessageId) -> Result<Option<Own>, StoreError> {
    tx.prepare_cached("DELETE FROM own_change WHERE id = ?1 RETURNING *")?
        .query_one([id.as_bytes()], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

/// The oldest one that the log has passed without bringing it: what it passed over is not known here.
pub(crate) fn passed(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<Option<MessageId>, StoreError> {
    let id: Option<Vec<u8>> = tx
        .prepare_cached(
            "SELECT id FROM own_change WHERE conversation = ?1 AND seq BETWEEN 1 AND ?2 ORDER BY seq LIMIT 1",
        )?
        .query_one((conversation, row::signed(seq.0)), |row| row.get(0))
        .optional()?;
    id.map(|id| row::message_id(&id)).transpose()
}

/// Those for a message, in order.
pub(crate) fn of_target(tx: &Transaction<'_>, target: MessageId) -> Result<Vec<MessageId>, StoreError> {
    let mut select = tx.prepare_cached("SELECT id FROM own_change WHERE target = ?1 ORDER BY place")?;
    let ids = select.query_map([target.as_bytes()], |row| row.get::<_, Vec<u8>>(0))?;
    ids.map(|id| row::message_id(&id?)).collect()
}

/// Does it to its message.
pub(crate) fn apply(tx: &Transaction<'_>, own: &Own, may: Option<May>) -> Result<Effect, StoreError> {
    let May { moderates, pins } = may.unwrap_or(May { moderates: own.moderates, pins: own.pins });
    let by = By { account: &own.account, moderates, pins, time_ms: own.time_ms, me: &own.account };
    change::apply(tx, own.conversation, own.target, &own.change, by)
}

/// Reads the store as it would be if all changes of our own had been brought.
pub(super) fn with_all<T>(
    tx: &Transaction<'_>,
    read: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let all = all(tx)?;
    if all.is_empty() {
        return read(tx);
    }
    tx.execute_batch("SAVEPOINT shown")?;
    let done = all.iter().try_for_each(|own| apply(tx, own, None).map(drop));
    let outcome = done.and_then(|()| read(tx));
    tx.execute_batch("ROLLBACK TO shown; RELEASE shown")?;
    outcome
}

fn all(tx: &Transaction<'_>) -> Result<Vec<Own>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM own_change ORDER BY place")?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn read(row: &Row<'_>) -> Result<Own, StoreError> {
    let wrong = || StoreError::Corrupt("a change of our own");
    let content = Content::decode(&row.get::<_, Vec<u8>>("content")?).map_err(|_| wrong())?;
    let (target, change) = Change::of(&content.kind).ok_or_else(wrong)?;
    Ok(Own {
        conversation: row.get("conversation")?,
        target,
        change,
        account: row.get("account")?,
        time_ms: content.sent_ms,
        moderates: row.get("moderates")?,
        pins: row.get("pins")?,
    })
}
