//! Conversations that the account is in and this device is not, yet: it joins them by itself.

use qpc_proto::id::ConversationName;
use rusqlite::Transaction;

use super::{StoreError, conversation::Kind, row};

/// So many are noted at most: a server could name any number.
const UNJOINED_MAX: u64 = 10_000;

/// Notes one; whether it is joined already is looked at when its turn comes.
pub(crate) fn put(tx: &Transaction<'_>, name: &ConversationName, kind: Kind) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO unjoined (name, kind) SELECT ?1, ?2 WHERE (SELECT count(*) FROM unjoined) < ?3",
    )?
    .execute((name.to_string(), kind as i64, row::signed(UNJOINED_MAX)))?;
    Ok(())
}

/// All, in order of their ids: conversations made first come first.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<(ConversationName, Kind)>, StoreError> {
    let mut select = tx.prepare_cached("SELECT name, kind FROM unjoined ORDER BY name")?;
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    rows.map(|row| {
        let (name, kind) = row?;
        Ok((row::name(&name)?, Kind::read(kind)?))
    })
    .collect()
}

/// It is joined, or nothing is to be joined.
pub(crate) fn remove(tx: &Transaction<'_>, name: &ConversationName) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM unjoined WHERE name = ?1")?.execute([name.to_string()])?;
    Ok(())
}
