//! Entries as they came, kept for 30 days, and the chain values that the server has promised.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    chain::{ChainValue, LogEntry},
    id::Seq,
    v1,
};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, answered, row};
use crate::fresh;

/// How long raw entries are kept (D7).
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What the server had answered for an entry's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Nothing.
    None,
    /// This entry.
    Kept,
    /// Another one.
    Broken,
}

/// Keeps an entry; tells whether it is the one the server has promised for its place.
pub(crate) fn keep(tx: &Transaction<'_>, conversation: Local, entry: &LogEntry) -> Result<Promise, StoreError> {
    let seq = row::signed(entry.seq.0);
    tx.prepare_cached(
        "INSERT OR REPLACE INTO entry (conversation, seq, received_ms, chain, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((conversation, seq, row::signed(fresh::now_ms()), entry.chain.0, entry.to_wire().encode_to_vec()))?;
    answered::came(tx, conversation, entry.seq)?;
    let promised: Option<Vec<u8>> = tx
        .prepare_cached("DELETE FROM promise WHERE conversation = ?1 AND seq = ?2 RETURNING chain")?
        .query_one((conversation, seq), |row| row.get(0))
        .optional()?;
    Ok(match promised {
        None => Promise::None,
        Some(chain) if chain == entry.chain.0 => Promise::Kept,
        Some(_) => Promise::Broken,
    })
}

/// Notes what the server answered for a place; tells whether it fits the entry that came there, if it came.
pub(crate) fn promise(
    tx: &Transaction<'_>,
    conversation: Local,
    seq: Seq,
    chain: &ChainValue,
) -> Result<bool, StoreError> {
    let place = (conversation, row::signed(seq.0));
    let came: Option<Vec<u8>> = tx
        .prepare_cached("SELECT chain FROM entry WHERE conversation = ?1 AND seq = ?2")?
        .query_one(place, |row| row.get(0))
        .optional()?;
    if let Some(came) = came {
        return Ok(came == chain.0);
    }
    // A place that was passed long ago is no longer kept and can't be compared.
    let reached: i64 = tx
        .prepare_cached("SELECT seq FROM conversation WHERE local = ?1")?
        .query_one([conversation], |row| row.get(0))?;
    if reached < place.1 {
        tx.prepare_cached("INSERT OR REPLACE INTO promise (conversation, seq, chain) VALUES (?1, ?2, ?3)")?
            .execute((conversation, place.1, chain.0))?;
    }
    Ok(true)
}

/// What came before this is not kept.
pub(super) fn kept_since(now_ms: u64) -> u64 {
    now_ms.saturating_sub(u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX))
}

/// Removes what is older than it needs to be, a little at a time; says whether there is more.
pub(crate) fn prune(tx: &Transaction<'_>, most: u32) -> Result<bool, StoreError> {
    let before = kept_since(fresh::now_ms());
    let removed = tx
        .prepare_cached(
            "DELETE FROM entry WHERE (conversation, seq) IN \
             (SELECT conversation, seq FROM entry WHERE received_ms < ?1 ORDER BY received_ms LIMIT ?2)",
        )?
        .execute((row::signed(before), most))?;
    Ok(u32::try_from(removed).is_ok_and(|removed| removed == most))
}

/// An entry that is still kept.
pub(crate) fn get(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<Option<v1::Entry>, StoreError> {
    let bytes: Option<Vec<u8>> = tx
        .prepare_cached("SELECT bytes FROM entry WHERE conversation = ?1 AND seq = ?2")?
        .query_one((conversation, row::signed(seq.0)), |row| row.get(0))
        .optional()?;
    let decode = |bytes: Vec<u8>| v1::Entry::decode(bytes.as_slice()).map_err(|_| StoreError::Corrupt("an entry"));
    bytes.map(decode).transpose()
}

/// Entries after a place that are still kept whole, in a row: at most so many, and no more once their bytes reach so many.
pub(crate) fn after(
    tx: &Transaction<'_>,
    conversation: Local,
    after: Seq,
    (most, most_bytes): (usize, usize),
) -> Result<Vec<v1::Entry>, StoreError> {
    let (mut all, mut bytes, mut at) = (Vec::new(), 0_usize, after);
    while all.len() < most && bytes < most_bytes {
        at = at.next();
        let Some(entry) = get(tx, conversation, at)? else { break };
        if !matches!(entry.content, Some(v1::entry::Content::Body(_))) {
            break;
        }
        bytes = bytes.saturating_add(entry.encoded_len());
        all.push(entry);
    }
    Ok(all)
}

/// The chain after an entry that is still kept.
pub(crate) fn chain_at(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<Option<ChainValue>, StoreError> {
    let chain: Option<Vec<u8>> = tx
        .prepare_cached("SELECT chain FROM entry WHERE conversation = ?1 AND seq = ?2")?
        .query_one((conversation, row::signed(seq.0)), |row| row.get(0))
        .optional()?;
    chain.map(|chain| row::chain(&chain)).transpose()
}

/// The bodies of welcomes that are still kept, oldest first.
pub(crate) fn welcomes(tx: &Transaction<'_>) -> Result<Vec<Bytes>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT e.bytes FROM entry e JOIN conversation c ON c.local = e.conversation WHERE c.kind = 0 ORDER BY e.seq",
    )?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(0)?;
        let wire = v1::Entry::decode(bytes.as_slice()).map_err(|_| StoreError::Corrupt("an entry"))?;
        if let (v1::EntryKind::Welcome, Some(v1::entry::Content::Body(body))) = (wire.kind(), wire.content) {
            all.push(body);
        }
    }
    Ok(all)
}
