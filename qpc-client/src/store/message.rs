//! Messages as people see them, in the order in which they came to this home; those of before it came stand before them.

use prost::Message as _;
use qpc_proto::{
    content::{Content, Kind as Said, Words},
    id::{MessageId, Seq},
    v1,
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{Local, StoreError, details, own_change, row};
use crate::{api, fresh};

/// What a new row needs.
#[derive(Debug, Clone)]
pub(crate) struct New<'a> {
    pub(crate) conversation: Local,
    /// 0 for one that the server has not stored yet.
    pub(crate) seq: Seq,
    pub(crate) id: MessageId,
    pub(crate) sender: &'a str,
    pub(crate) own: bool,
    pub(crate) time_ms: u64,
    pub(crate) kind: &'a str,
    pub(crate) body: &'a str,
    pub(crate) shown: bool,
}

/// Columns of a message as it is shown, and where they come from.
pub(super) const SHOWN: &str = "m.local, m.seq, m.id, m.sender, m.own, m.time_ms, m.kind, m.body, c.name, c.title, \
                     a.file_name, a.media_type, a.size \
                     FROM message m JOIN conversation c ON c.local = m.conversation \
                     LEFT JOIN attachment a ON a.conversation = m.conversation AND a.id = m.id";

/// A question for messages with everything that is shown of them.
fn select(filter: &str) -> String {
    format!("SELECT {}, {SHOWN} {filter}", details::COLUMNS)
}

/// Adds a message; `None` where its id is there already: nothing is shown twice (invariant 5).
pub(crate) fn insert(tx: &Transaction<'_>, new: &New<'_>) -> Result<Option<i64>, StoreError> {
    let inserted = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO message (conversation, seq, id, sender, own, time_ms, kind, body, shown) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            new.conversation,
            row::signed(new.seq.0),
            new.id.as_bytes(),
            new.sender,
            new.own,
            row::signed(new.time_ms),
            new.kind,
            new.body,
            new.shown,
        ))?;
    Ok((inserted > 0).then(|| tx.last_insert_rowid()))
}

/// Adds something that the client itself has to say.
pub(crate) fn notice(tx: &Transaction<'_>, conversation: Local, text: &str) -> Result<api::Message, StoreError> {
    let new = New {
        conversation,
        seq: Seq(0),
        id: fresh::message_id()?,
        sender: "",
        own: false,
        time_ms: fresh::now_ms(),
        kind: "notice",
        body: text,
        shown: true,
    };
    let local = insert(tx, &new)?.ok_or(StoreError::Corrupt("an id that is not new"))?;
    get(tx, local)
}

/// Notes what a message that was just added answers, whom it names, and whether it is a copy.
pub(crate) fn refer(tx: &Transaction<'_>, local: i64, content: &Content, me: &str) -> Result<(), StoreError> {
    let refers = match &content.kind {
        // Of one that is not here: it stands for itself.
        Said::Edit(target, _) => Some(target),
        _ => content.reply_to.as_ref(),
    };
    if refers.is_some() || content.forwarded {
        tx.prepare_cached("UPDATE message SET reply_to = ?2, forwarded = ?3 WHERE local = ?1")?.execute((
            local,
            refers.map(MessageId::as_bytes),
            content.forwarded,
        ))?;
    }
    match &content.kind {
        Said::Text(words) | Said::Edit(_, words) => name(tx, local, words, me),
        _ => Ok(()),
    }
}

/// Notes whom a message names: of a file not in its text, which is not the words alone.
pub(super) fn name(tx: &Transaction<'_>, local: i64, words: &Words, me: &str) -> Result<(), StoreError> {
    let named = words.mentions.iter().any(|mention| mention.address.to_string() == me);
    let wire = v1::Text { text: String::new(), mentions: words.mentions_to_wire() }.encode_to_vec();
    tx.prepare_cached(
        "UPDATE message SET mentions = iif(kind = 'attachment', x'', ?2), mentioned = ?3 AND NOT own WHERE local = ?1",
    )?
    .execute((local, wire, named))?;
    Ok(())
}

/// One message.
pub(crate) fn get(tx: &Transaction<'_>, local: i64) -> Result<api::Message, StoreError> {
    let found = collect(tx, "WHERE m.local = ?1", [local])?.pop();
    found.ok_or(StoreError::Corrupt("a message that is not there"))
}

/// A message by its id.
pub(crate) fn by_id(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
) -> Result<Option<api::Message>, StoreError> {
    Ok(collect(tx, "WHERE m.conversation = ?1 AND m.id = ?2", (conversation, id.as_bytes()))?.pop())
}

/// Messages of a conversation whose ids, without dashes, begin or end so, newest first; a few where there are several.
pub(crate) fn called(
    tx: &Transaction<'_>,
    conversation: Local,
    digits: &str,
    most: u32,
) -> Result<Vec<api::Message>, StoreError> {
    let filter = "WHERE m.conversation = ?1 AND m.kind <> 'notice' \
                  AND (substr(lower(hex(m.id)), -length(?2)) = ?2 OR substr(lower(hex(m.id)), 1, length(?2)) = ?2) \
                  ORDER BY m.local DESC LIMIT ?3";
    collect(tx, filter, (conversation, digits, most))
}

/// The last message of a conversation that can be changed, of this account alone or of anybody.
pub(crate) fn last_said(
    tx: &Transaction<'_>,
    conversation: Local,
    own: bool,
) -> Result<Option<api::Message>, StoreError> {
    let filter = "WHERE m.conversation = ?1 AND m.kind IN ('text', 'attachment', 'poll') AND (m.own OR NOT ?2) \
                  ORDER BY m.local DESC LIMIT 1";
    Ok(collect(tx, filter, (conversation, own))?.pop())
}

/// What is pinned in a conversation, in the order in which it was.
pub(crate) fn pinned(tx: &Transaction<'_>, conversation: Local) -> Result<Vec<api::Message>, StoreError> {
    let filter = "JOIN pin p ON p.conversation = m.conversation AND p.id = m.id \
                  WHERE m.conversation = ?1 ORDER BY p.place";
    collect(tx, filter, [conversation])
}

/// Where a message of ours was stored; gives it the first time it is told.
pub(crate) fn stored(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
    seq: Seq,
) -> Result<Option<api::Message>, StoreError> {
    let local: Option<i64> = tx
        .prepare_cached(
            "UPDATE message SET seq = ?3, expires_ms = iif(lifetime_s > 0, ?4 + lifetime_s * 1000, NULL) \
             WHERE conversation = ?1 AND id = ?2 AND own = 1 AND seq = 0 RETURNING local",
        )?
        .query_one((conversation, id.as_bytes(), row::signed(seq.0), row::signed(fresh::now_ms())), |row| row.get(0))
        .optional()?;
    local.map(|local| get(tx, local)).transpose()
}

/// The server may have lost a message of ours that it had stored: it waits again.
pub(super) fn unsent(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE message SET seq = 0, expires_ms = NULL WHERE conversation = ?1 AND id = ?2 AND own = 1")?
        .execute((conversation, id.as_bytes()))?;
    Ok(())
}

/// Has this home heard anything of before an entry by itself, and so the entry, too?
pub(crate) fn begins_before(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT 1 FROM message WHERE conversation = ?1 AND told = 0 AND seq > 0 AND seq < ?2 LIMIT 1",
    )?;
    Ok(select.exists((conversation, row::signed(seq.0)))?)
}

/// Was nothing ever said there?
pub(crate) fn is_empty(tx: &Transaction<'_>, conversation: Local) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached("SELECT 1 FROM message WHERE conversation = ?1 LIMIT 1")?;
    Ok(!select.exists([conversation])?)
}

/// Does this home know a message of ours by this id?
pub(crate) fn is_own(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached("SELECT 1 FROM message WHERE conversation = ?1 AND id = ?2 AND own = 1")?;
    Ok(select.exists((conversation, id.as_bytes()))?)
}

/// Messages nobody has been shown, oldest first.
pub(crate) fn unshown(
    tx: &Transaction<'_>,
    conversation: Option<Local>,
    limit: u32,
) -> Result<Vec<api::Message>, StoreError> {
    let filter = "WHERE m.shown = 0 AND (?1 IS NULL OR m.conversation = ?1) ORDER BY m.local LIMIT ?2";
    collect(tx, filter, (conversation, limit))
}

/// Marks as shown, up to and including a place. Where the account has other devices, they are to be told.
pub(crate) fn mark_shown(tx: &Transaction<'_>, conversation: Option<Local>, local: i64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO read_untold (conversation, seq) \
         SELECT conversation, max(seq) FROM message \
         WHERE shown = 0 AND seq > 0 AND local <= ?2 AND (?1 IS NULL OR conversation = ?1) \
         AND EXISTS (SELECT 1 FROM conversation WHERE kind = 3) GROUP BY conversation \
         ON CONFLICT (conversation) DO UPDATE SET seq = max(seq, excluded.seq)",
    )?
    .execute((conversation, local))?;
    tx.prepare_cached(
        "UPDATE message SET shown = 1 WHERE shown = 0 AND local <= ?2 AND (?1 IS NULL OR conversation = ?1)",
    )?
    .execute((conversation, local))?;
    Ok(())
}

/// Another device says that everything up to an entry was read; says whether that is news.
pub(crate) fn read_up_to(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<bool, StoreError> {
    let changed = tx
        .prepare_cached("UPDATE message SET shown = 1 WHERE shown = 0 AND conversation = ?1 AND seq BETWEEN 1 AND ?2")?
        .execute((conversation, row::signed(seq.0)))?;
    Ok(changed > 0)
}

/// Takes what other devices have not been told of, at most so many.
pub(crate) fn take_read_untold(tx: &Transaction<'_>, limit: u32) -> Result<Vec<v1::ReadUpTo>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT r.conversation, r.seq, c.name FROM read_untold r JOIN conversation c ON c.local = r.conversation \
         ORDER BY r.conversation LIMIT ?1",
    )?;
    let mut rows = select.query([limit])?;
    let (mut told, mut taken) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        taken.push(row.get::<_, Local>("conversation")?);
        if let Some(conversation) = row.get::<_, Option<String>>("name")? {
            told.push(v1::ReadUpTo { conversation, seq: row::number(row, "seq")? });
        }
    }
    for conversation in taken {
        tx.prepare_cached("DELETE FROM read_untold WHERE conversation = ?1")?.execute([conversation])?;
    }
    Ok(told)
}

/// The last messages of a conversation, or the last of those before one, oldest first.
pub(crate) fn last(
    tx: &Transaction<'_>,
    conversation: Local,
    limit: u32,
    before: Option<i64>,
) -> Result<Vec<api::Message>, StoreError> {
    let filter = "WHERE m.conversation = ?1 AND m.local < ?3 ORDER BY m.local DESC LIMIT ?2";
    let mut messages = collect(tx, filter, (conversation, limit, before.unwrap_or(i64::MAX)))?;
    messages.reverse();
    Ok(messages)
}

/// The first messages of a conversation after one, oldest first.
pub(crate) fn after(
    tx: &Transaction<'_>,
    conversation: Local,
    after: i64,
    limit: u32,
) -> Result<Vec<api::Message>, StoreError> {
    collect(tx, "WHERE m.conversation = ?1 AND m.local > ?3 ORDER BY m.local LIMIT ?2", (conversation, limit, after))
}

/// How many of a conversation nobody has been shown.
pub(crate) fn unread(tx: &Transaction<'_>, conversation: Local) -> Result<u64, StoreError> {
    let mut select = tx.prepare_cached("SELECT count(*) AS n FROM message WHERE shown = 0 AND conversation = ?1")?;
    let mut rows = select.query([conversation])?;
    rows.next()?.map_or(Ok(0), |row| row::number(row, "n"))
}

fn collect(tx: &Transaction<'_>, filter: &str, values: impl rusqlite::Params) -> Result<Vec<api::Message>, StoreError> {
    own_change::with_all(tx, |tx| {
        let mut select = tx.prepare_cached(&select(filter))?;
        let mut rows = select.query(values)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(tx, row)?);
        }
        Ok(all)
    })
}

pub(super) fn read(tx: &Transaction<'_>, row: &Row<'_>) -> Result<api::Message, StoreError> {
    let file = match row.get::<_, Option<String>>("file_name")? {
        Some(name) => {
            let (size, media_type) = (row::number(row, "size")?, row.get("media_type")?);
            Some(Box::new(api::Attached { name, size, media_type }))
        }
        None => None,
    };
    Ok(api::Message {
        conversation: row.get::<_, Option<String>>("name")?.unwrap_or_default(),
        title: row.get("title")?,
        seq: row::number(row, "seq")?,
        id: row::message_id(&row.get::<_, Vec<u8>>("id")?)?.to_string(),
        sender: row.get("sender")?,
        own: row.get("own")?,
        time: fresh::rfc3339(row::number(row, "time_ms")?),
        kind: row.get("kind")?,
        body: row.get("body")?,
        local: row.get("local")?,
        file,
        details: Box::new(details::read(tx, row)?),
    })
}
