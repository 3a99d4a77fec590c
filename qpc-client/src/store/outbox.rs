//! What is to be sent: durable before anything is tried, and the very bytes that were tried, until the
//! server has taken them or refused them for good.

use bytes::Bytes;
use qpc_proto::{
    chain::EntryKind,
    id::{Counter, Epoch, MessageId},
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{Local, StoreError, release, row};

/// Something to send.
#[derive(Clone)]
pub(crate) struct Outgoing {
    /// Its place in the queue.
    pub(crate) place: i64,
    pub(crate) conversation: Local,
    pub(crate) id: MessageId,
    /// What to encrypt.
    pub(crate) content: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// This account leaves with it.
    pub(crate) leave: bool,
    pub(crate) sealed: Option<Sealed>,
}

/// The bytes to send, as often as it takes.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) counter: Counter,
    pub(crate) epoch: Epoch,
    pub(crate) body: Bytes,
}

const COLUMNS: &str = "SELECT o.place, o.conversation, o.id, o.content, o.counter, o.epoch, o.body, o.leave, \
                       o.entry_kind FROM outbox o";

/// Queues a message.
pub(crate) fn put(tx: &Transaction<'_>, conversation: Local, id: MessageId, content: &[u8]) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO outbox (conversation, id, content) VALUES (?1, ?2, ?3)")?.execute((
        conversation,
        id.as_bytes(),
        content,
    ))?;
    Ok(())
}

/// Queues what the server had acknowledged and may have lost, before all that waits, with the bytes that were sent.
pub(super) fn put_first(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
    (content, kind): (&[u8], EntryKind),
    sealed: &Sealed,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO outbox (place, conversation, id, content, entry_kind, counter, epoch, body, doubtful) \
         VALUES ((SELECT coalesce(min(place), 0) - 1 FROM outbox), ?1, ?2, ?3, ?4, ?5, ?6, ?7, 1)",
    )?
    .execute((
        conversation,
        id.as_bytes(),
        content,
        kind as i64,
        row::signed(sealed.counter.0),
        row::signed(sealed.epoch.0),
        sealed.body.as_ref(),
    ))?;
    Ok(())
}

/// Queues this account's leaving.
pub(crate) fn put_leave(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO outbox (conversation, id, content, leave, entry_kind) VALUES (?1, ?2, x'', 1, ?3)",
        (conversation, id.as_bytes(), EntryKind::Proposal as i64),
    )?;
    Ok(())
}

/// A new connection: nothing is in flight on it, and what was on the last one may be at the server.
pub(crate) fn ground_all(tx: &Transaction<'_>) -> Result<(), StoreError> {
    #[cfg(feature = "simulation")]
    if crate::simulation::has(crate::simulation::Bug::EncryptsAnew) {
        tx.execute("UPDATE outbox SET counter = NULL, epoch = NULL, body = NULL WHERE flying = 1", [])?;
    }
    tx.execute("UPDATE outbox SET flying = 0, doubtful = 1 WHERE flying = 1", [])?;
    release::forget_asked(tx)
}

/// What may be sent now and is not in flight, in order, at most `limit`: those that `wanted` takes by their
/// conversation and whether they are encrypted. Where this device has to come back first, that is what was encrypted before:
/// it may have been taken.
pub(crate) fn next(
    tx: &Transaction<'_>,
    limit: usize,
    wanted: impl Fn(Local, bool) -> bool,
) -> Result<Vec<Outgoing>, StoreError> {
    let filter = "JOIN conversation c ON c.local = o.conversation \
                  WHERE o.flying = 0 AND c.distrusted = 0 AND c.epoch >= c.hold_epoch \
                  AND ((c.state = 3 AND c.waiting IS NULL) OR (c.state = 2 AND o.body IS NOT NULL)) \
                  AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.conversation = o.conversation) \
                  AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.id = o.id AND u.over = 0) \
                  ORDER BY o.place";
    let mut select = tx.prepare_cached(&format!("{COLUMNS} {filter}"))?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let outgoing = read(row)?;
        if wanted(outgoing.conversation, outgoing.sealed.is_some()) {
            all.push(outgoing);
        }
        if all.len() >= limit {
            break;
        }
    }
    Ok(all)
}

/// Keeps the bytes of a message, before they are sent.
pub(crate) fn seal(tx: &Transaction<'_>, place: i64, sealed: &Sealed) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE outbox SET counter = ?2, epoch = ?3, body = ?4 WHERE place = ?1")?.execute((
        place,
        row::signed(sealed.counter.0),
        row::signed(sealed.epoch.0),
        sealed.body.as_ref(),
    ))?;
    Ok(())
}

/// Notes that it is on its way on this connection, or no longer.
pub(crate) fn set_flying(tx: &Transaction<'_>, place: i64, flying: bool) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE outbox SET flying = ?2 WHERE place = ?1")?.execute((place, flying))?;
    Ok(())
}

/// This device's own server keeps it, and sends it on to the one that orders the conversation. Says whether that is news.
pub(crate) fn set_queued(tx: &Transaction<'_>, id: MessageId) -> Result<bool, StoreError> {
    let mut update = tx.prepare_cached("UPDATE outbox SET queued = 1 WHERE id = ?1 AND queued = 0")?;
    Ok(update.execute([id.as_bytes()])? > 0)
}

/// Is all that waits in a conversation kept by this device's own server?
pub(crate) fn all_queued(tx: &Transaction<'_>, conversation: Local) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached("SELECT 1 FROM outbox WHERE conversation = ?1 AND queued = 0")?;
    Ok(!select.exists([conversation])?)
}

/// The server may have what was encrypted of a conversation, whatever it answers from here on.
pub(crate) fn doubt(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.execute("UPDATE outbox SET doubtful = 1 WHERE conversation = ?1", [conversation])?;
    Ok(())
}

/// After a definite refusal: what is left of the conversation is encrypted anew, from the first that was refused.
pub(crate) fn unseal_from(tx: &Transaction<'_>, conversation: Local, place: i64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE outbox SET counter = NULL, epoch = NULL, body = NULL, flying = 0, queued = 0 \
         WHERE conversation = ?1 AND place >= ?2",
    )?
    .execute((conversation, place))?;
    Ok(())
}

/// The highest counter given to what is still here; `None` where nothing was encrypted.
pub(crate) fn last_counter(tx: &Transaction<'_>, conversation: Local) -> Result<Option<Counter>, StoreError> {
    let mut select = tx.prepare_cached("SELECT max(counter) AS counter FROM outbox WHERE conversation = ?1")?;
    let mut rows = select.query([conversation])?;
    match rows.next()? {
        Some(row) if row.get::<_, Option<i64>>("counter")?.is_some() => Ok(Some(Counter(row::number(row, "counter")?))),
        _ => Ok(None),
    }
}

pub(crate) fn by_id(tx: &Transaction<'_>, id: MessageId) -> Result<Option<Outgoing>, StoreError> {
    let mut select = tx.prepare_cached(&format!("{COLUMNS} WHERE o.id = ?1"))?;
    select.query_one([id.as_bytes()], |row| Ok(read(row))).optional()?.transpose()
}

/// May the server have it, whatever has come of it since?
pub(crate) fn may_have_left(tx: &Transaction<'_>, id: MessageId) -> Result<bool, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT 1 FROM outbox WHERE id = ?1 AND (body IS NOT NULL OR doubtful = 1 OR queued = 1)")?;
    Ok(select.exists([id.as_bytes()])?)
}

/// Puts a message behind all others: only now may it be sent.
pub(crate) fn put_last(tx: &Transaction<'_>, outgoing: &Outgoing) -> Result<(), StoreError> {
    remove(tx, outgoing.id)?;
    put(tx, outgoing.conversation, outgoing.id, &outgoing.content)
}

/// It has been sent, or never will be.
pub(crate) fn remove(tx: &Transaction<'_>, id: MessageId) -> Result<bool, StoreError> {
    let removed = tx.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id.as_bytes()])?;
    Ok(removed > 0)
}

/// What is queued for a conversation, in order.
pub(crate) fn of_conversation(tx: &Transaction<'_>, conversation: Local) -> Result<Vec<MessageId>, StoreError> {
    ids(tx, "SELECT id FROM outbox WHERE conversation = ?1 ORDER BY place", conversation)
}

/// What of it was not encrypted, or has to be anew: the server has none of it.
pub(crate) fn unsealed(tx: &Transaction<'_>, conversation: Local) -> Result<Vec<MessageId>, StoreError> {
    ids(tx, "SELECT id FROM outbox WHERE conversation = ?1 AND body IS NULL ORDER BY place", conversation)
}

fn ids(tx: &Transaction<'_>, sql: &str, conversation: Local) -> Result<Vec<MessageId>, StoreError> {
    let mut select = tx.prepare_cached(sql)?;
    let ids = select.query_map([conversation], |row| row.get::<_, Vec<u8>>(0))?;
    ids.map(|id| row::message_id(&id?)).collect()
}

/// Are so many queued, leaves included, that no further message may be?
pub(crate) fn is_full(tx: &Transaction<'_>, max: u64) -> Result<bool, StoreError> {
    // Places only grow: the distance of the outermost is never less than the number, and costs nothing to find.
    let spread: i64 = tx
        .prepare_cached("SELECT coalesce((SELECT max(place) FROM outbox) - (SELECT min(place) FROM outbox) + 1, 0)")?
        .query_one([], |row| row.get(0))?;
    Ok(u64::try_from(spread).unwrap_or(u64::MAX) >= max && count(tx)? >= max)
}

/// How many are queued.
pub(crate) fn count(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let mut select = tx.prepare_cached("SELECT count(*) AS n FROM outbox")?;
    let mut rows = select.query([])?;
    rows.next()?.map_or(Ok(0), |row| row::number(row, "n"))
}

/// How many are queued for each conversation that has any.
pub(crate) fn by_conversation(tx: &Transaction<'_>) -> Result<Vec<(Local, u64)>, StoreError> {
    counted(tx, "SELECT conversation, count(*) AS n FROM outbox GROUP BY conversation ORDER BY min(place)")
}

/// As [`by_conversation`], without what devices of the account tell each other: a person waits for none of it.
pub(crate) fn of_persons(tx: &Transaction<'_>) -> Result<Vec<(Local, u64)>, StoreError> {
    counted(
        tx,
        "SELECT o.conversation, count(*) AS n FROM outbox o JOIN conversation c ON c.local = o.conversation \
         WHERE c.kind <> 3 OR EXISTS (SELECT 1 FROM message m WHERE m.conversation = o.conversation AND m.id = o.id) \
             OR EXISTS (SELECT 1 FROM own_change c WHERE c.id = o.id) \
         GROUP BY o.conversation ORDER BY min(o.place)",
    )
}

fn counted(tx: &Transaction<'_>, sql: &str) -> Result<Vec<(Local, u64)>, StoreError> {
    let mut select = tx.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push((row.get("conversation")?, row::number(row, "n")?));
    }
    Ok(all)
}

/// The same without those whose file is still on its way: who waits for words does not wait for files.
pub(crate) fn of_persons_without_files(tx: &Transaction<'_>) -> Result<Vec<(Local, u64)>, StoreError> {
    counted(
        tx,
        "SELECT o.conversation, count(*) AS n FROM outbox o JOIN conversation c ON c.local = o.conversation \
         WHERE (c.kind <> 3 OR EXISTS (SELECT 1 FROM message m WHERE m.conversation = o.conversation AND m.id = o.id) \
             OR EXISTS (SELECT 1 FROM own_change c WHERE c.id = o.id)) \
         AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.id = o.id AND u.over = 0) \
         GROUP BY o.conversation ORDER BY min(o.place)",
    )
}

/// Is anything of this conversation encrypted and not answered?
pub(crate) fn has_sealed(tx: &Transaction<'_>, conversation: Local) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached("SELECT 1 FROM outbox WHERE conversation = ?1 AND body IS NOT NULL")?;
    Ok(select.exists([conversation])?)
}

fn read(row: &Row<'_>) -> Result<Outgoing, StoreError> {
    let sealed = match row.get::<_, Option<Vec<u8>>>("body")? {
        None => None,
        Some(body) => Some(Sealed {
            counter: Counter(row::number(row, "counter")?),
            epoch: Epoch(row::number(row, "epoch")?),
            body: body.into(),
        }),
    };
    Ok(Outgoing {
        place: row.get("place")?,
        conversation: row.get("conversation")?,
        id: row::message_id(&row.get::<_, Vec<u8>>("id")?)?,
        content: row.get("content")?,
        kind: i32::try_from(row.get::<_, i64>("entry_kind")?)
            .ok()
            .and_then(EntryKind::from_number)
            .ok_or(StoreError::Corrupt("a kind of entry"))?,
        leave: row.get("leave")?,
        sealed,
    })
}
