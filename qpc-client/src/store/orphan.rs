//! Changes of messages that are still to be told by another device of the account: done to them once they come.

use qpc_proto::{content::Content, id::MessageId};
use rusqlite::Transaction;

use super::{
    Local, StoreError,
    change::{self, By, Change},
    row,
};

/// Changes that are kept so; the oldest goes.
const ORPHANS_MAX: u32 = 1_000;

/// Keeps one.
pub(crate) fn put(
    tx: &Transaction<'_>,
    conversation: Local,
    (id, content): (MessageId, &Content),
    target: MessageId,
    by: By<'_>,
) -> Result<(), StoreError> {
    let content = content.encode().map_err(|_| StoreError::Corrupt("a change that is too long"))?;
    tx.prepare_cached(
        "INSERT INTO orphan (conversation, id, target, account, content, moderates, pins) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((conversation, id.as_bytes(), target.as_bytes(), by.account, content, by.moderates, by.pins))?;
    tx.prepare_cached("DELETE FROM orphan WHERE place NOT IN (SELECT place FROM orphan ORDER BY place DESC LIMIT ?1)")?
        .execute([ORPHANS_MAX])?;
    Ok(())
}

/// Its message has come: does those that wait for it. What was shown as a message of its own is none any more.
pub(super) fn adopt(tx: &Transaction<'_>, conversation: Local, target: MessageId, me: &str) -> Result<(), StoreError> {
    let mut select = tx.prepare_cached(
        "DELETE FROM orphan WHERE conversation = ?1 AND target = ?2 RETURNING place, id, account, content, moderates, pins",
    )?;
    let rows = select.query_map((conversation, target.as_bytes()), |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, Vec<u8>>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, Vec<u8>>(3)?,
            row.get::<_, bool>(4)?,
            row.get::<_, bool>(5)?,
        ))
    })?;
    let mut orphans = rows.collect::<Result<Vec<_>, _>>()?;
    orphans.sort_by_key(|orphan| orphan.0);
    for (_, id, account, content, moderates, pins) in orphans {
        let Ok(content) = Content::decode(&content) else { continue };
        let Some((_, change)) = Change::of(&content.kind) else { continue };
        let by = By { account: &account, moderates, pins, time_ms: content.sent_ms, me };
        change::apply(tx, conversation, target, &change, by)?;
        tx.execute(
            "DELETE FROM message WHERE conversation = ?1 AND id = ?2 AND kind = 'edit'",
            (conversation, row::message_id(&id)?.as_bytes()),
        )?;
    }
    Ok(())
}

/// Nothing more is told: what waits will wait for ever.
pub(super) fn forget(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM orphan", [])?;
    Ok(())
}
