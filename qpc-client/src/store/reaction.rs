//! Reactions: of each account on a message a set of emoji, as large as it may be, whoever sends more.

use qpc_proto::{id::MessageId, limits::EMOJI_MAX, v1};
use rusqlite::Transaction;

use super::{Local, StoreError, change::Target};
use crate::api;

/// Emoji of one account on one message; a further one does not count.
pub(crate) const REACTIONS_OF_ONE_MAX: u32 = 20;
/// Reactions on one message; a further one does not count.
pub(crate) const REACTIONS_MAX: u32 = 1_000;
/// Emoji that are shown of a message: those of most people.
const REACTIONS_SHOWN: u32 = 12;

/// Says whether it was not there before, and there is room.
pub(super) fn add(tx: &Transaction<'_>, target: &Target, account: &str, emoji: &str) -> Result<bool, StoreError> {
    if emoji.is_empty() || emoji.len() > EMOJI_MAX {
        return Ok(false);
    }
    let (all, own): (u32, u32) = tx
        .prepare_cached(
            "SELECT count(*), coalesce(sum(account = ?3), 0) FROM reaction WHERE conversation = ?1 AND id = ?2",
        )?
        .query_one((target.conversation, target.id.as_bytes(), account), |row| Ok((row.get(0)?, row.get(1)?)))?;
    if all >= REACTIONS_MAX || own >= REACTIONS_OF_ONE_MAX {
        tracing::debug!("a reaction that does not count any more");
        return Ok(false);
    }
    put(tx, (target.conversation, target.id), account, emoji)
}

fn put(
    tx: &Transaction<'_>,
    (conversation, id): (Local, MessageId),
    account: &str,
    emoji: &str,
) -> Result<bool, StoreError> {
    let added = tx
        .prepare_cached("INSERT OR IGNORE INTO reaction (conversation, id, emoji, account) VALUES (?1, ?2, ?3, ?4)")?
        .execute((conversation, id.as_bytes(), emoji, account))?;
    Ok(added > 0)
}

/// Says whether it was there.
pub(super) fn remove(tx: &Transaction<'_>, target: &Target, account: &str, emoji: &str) -> Result<bool, StoreError> {
    let removed = tx
        .prepare_cached("DELETE FROM reaction WHERE conversation = ?1 AND id = ?2 AND emoji = ?3 AND account = ?4")?
        .execute((target.conversation, target.id.as_bytes(), emoji, account))?;
    Ok(removed > 0)
}

pub(super) fn remove_all(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM reaction WHERE conversation = ?1 AND id = ?2")?
        .execute((conversation, id.as_bytes()))?;
    Ok(())
}

/// Those of most people, and how many other ones there are.
pub(super) fn shown(
    tx: &Transaction<'_>,
    conversation: Local,
    id: &[u8],
) -> Result<(Vec<api::Reaction>, u64), StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT r.emoji, count(*) AS n, \
             coalesce(sum(r.account = (SELECT address FROM identity)), 0) AS own, count(*) OVER () AS emojis \
         FROM reaction r WHERE r.conversation = ?1 AND r.id = ?2 \
         GROUP BY r.emoji ORDER BY n DESC, r.emoji LIMIT ?3",
    )?;
    let mut rows = select.query((conversation, id, REACTIONS_SHOWN))?;
    let (mut shown, mut emojis) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        emojis = super::row::number(row, "emojis")?;
        let own: i64 = row.get("own")?;
        shown.push(api::Reaction { emoji: row.get("emoji")?, count: super::row::number(row, "n")?, own: own > 0 });
    }
    let there = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    Ok((shown, emojis.saturating_sub(there)))
}

/// As another device of the account is told, in no more than so many bytes.
pub(super) fn told(
    tx: &Transaction<'_>,
    conversation: Local,
    id: &[u8],
    mut bytes: usize,
) -> Result<Vec<v1::EmojiState>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT emoji, account FROM reaction WHERE conversation = ?1 AND id = ?2 ORDER BY emoji, account",
    )?;
    let mut rows = select.query((conversation, id))?;
    let mut told: Vec<v1::EmojiState> = Vec::new();
    while let Some(row) = rows.next()? {
        let (emoji, account): (String, String) = (row.get(0)?, row.get(1)?);
        // With their fields' numbers and lengths.
        let size = emoji.len().saturating_add(account.len()).saturating_add(12);
        let Some(left) = bytes.checked_sub(size) else { break };
        bytes = left;
        match told.last_mut().filter(|last| last.emoji == emoji) {
            Some(last) => last.accounts.push(account),
            None => told.push(v1::EmojiState { emoji, accounts: vec![account] }),
        }
    }
    Ok(told)
}

/// What another device of the account has told.
pub(super) fn take(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
    told: &[v1::EmojiState],
) -> Result<(), StoreError> {
    let most = usize::try_from(REACTIONS_MAX).unwrap_or_default();
    let all = told.iter().flat_map(|one| one.accounts.iter().map(|account| (account, &one.emoji)));
    for (account, emoji) in all.take(most).filter(|(_, emoji)| !emoji.is_empty() && emoji.len() <= EMOJI_MAX) {
        put(tx, (conversation, id), account, emoji)?;
    }
    Ok(())
}
