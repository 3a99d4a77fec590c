//! Creations and commits on their way: at most one a conversation, kept until the server has said yes
//! or no, so that the same bytes are sent again when nobody knows whether it has.

use bytes::Bytes;
use qpc_proto::id::{Counter, MessageId};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, row};

/// One on its way.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) conversation: Local,
    pub(crate) id: MessageId,
    pub(crate) counter: Counter,
    /// The encoded `CreateConversation` or `SubmitCommit`, as a `Request`.
    pub(crate) request: Bytes,
}

pub(crate) fn put(tx: &Transaction<'_>, pending: &Pending) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO pending (conversation, id, counter, request) VALUES (?1, ?2, ?3, ?4)")?.execute(
        (pending.conversation, pending.id.as_bytes(), row::signed(pending.counter.0), pending.request.as_ref()),
    )?;
    Ok(())
}

pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Pending>, StoreError> {
    let mut select = tx.prepare_cached("SELECT conversation, id, counter, request FROM pending ORDER BY id")?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(Pending {
            conversation: row.get("conversation")?,
            id: row::message_id(&row.get::<_, Vec<u8>>("id")?)?,
            counter: Counter(row::number(row, "counter")?),
            request: row.get::<_, Vec<u8>>("request")?.into(),
        });
    }
    Ok(all)
}

/// Removes it; tells whether it was there.
pub(crate) fn remove(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<bool, StoreError> {
    let removed = tx
        .prepare_cached("DELETE FROM pending WHERE conversation = ?1 AND id = ?2")?
        .execute((conversation, id.as_bytes()))?;
    Ok(removed > 0)
}

/// The id of what is on its way, if anything is.
pub(crate) fn id_of(tx: &Transaction<'_>, conversation: Local) -> Result<Option<MessageId>, StoreError> {
    let id: Option<Vec<u8>> = tx
        .prepare_cached("SELECT id FROM pending WHERE conversation = ?1")?
        .query_one([conversation], |row| row.get(0))
        .optional()?;
    id.map(|id| row::message_id(&id)).transpose()
}
