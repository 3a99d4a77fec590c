//! What a message refers to and what has become of it, read for people; and told to another device of the account.

use prost::Message;
use qpc_proto::{
    content::{Content, Kind as Said, Words},
    id::MessageId,
    v1,
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{Local, StoreError, pin, poll, reaction, receipt, row};
use crate::{api, fresh};

/// Characters of a quoted message.
const QUOTE_MAX: usize = 80;
/// Bytes of reactions and votes that another device is told of one message.
const TOLD_MAX: usize = 8 * 1024;

/// Columns of a message that are read here.
pub(super) const COLUMNS: &str =
    "m.conversation, m.reply_to, m.forwarded, m.mentions, m.mentioned, m.edited_ms, m.deleted_by, m.expires_ms";

/// Of a message whose row this is.
pub(super) fn read(tx: &Transaction<'_>, row: &Row<'_>) -> Result<api::Details, StoreError> {
    let conversation: Local = row.get("conversation")?;
    let id: Vec<u8> = row.get("id")?;
    let kind: String = row.get("kind")?;
    let refers: Option<Vec<u8>> = row.get("reply_to")?;
    let (mut reply_to, mut edits) = (None, None);
    match refers {
        Some(target) if kind == "edit" => edits = Some(row::message_id(&target)?.to_string()),
        Some(target) => reply_to = Some(quote(tx, conversation, &target)?),
        None => {}
    }
    let edited_ms: Option<i64> = row.get("edited_ms")?;
    let expires_ms: Option<i64> = row.get("expires_ms")?;
    let body: String = row.get("body")?;
    let mentions = mentions(&row.get::<_, Vec<u8>>("mentions")?, body)?;
    let (reactions, other_reactions) = reaction::shown(tx, conversation, &id)?;
    let (delivered_to, read_by) = receipt::counts(tx, conversation, row)?;
    Ok(api::Details {
        delivered_to,
        read_by,
        reply_to,
        edits,
        edited: edited_ms.map(|ms| fresh::rfc3339(u64::try_from(ms).unwrap_or_default())),
        deleted_by: row.get("deleted_by")?,
        forwarded: row.get("forwarded")?,
        disappears: expires_ms.map(|ms| fresh::rfc3339(u64::try_from(ms).unwrap_or_default())),
        mentions,
        mentioned: row.get("mentioned")?,
        reactions,
        other_reactions,
        pinned: pin::is_pinned(tx, conversation, &id)?,
        poll: if kind == "poll" { poll::shown(tx, conversation, &id)? } else { None },
    })
}

fn mentions(encoded: &[u8], body: String) -> Result<Vec<api::Mention>, StoreError> {
    if encoded.is_empty() {
        return Ok(Vec::new());
    }
    let wire = v1::Text::decode(encoded).map_err(|_| StoreError::Corrupt("mentions"))?;
    let named = Words::read(body, wire.mentions).mentions.into_iter();
    Ok(named
        .map(|mention| api::Mention {
            address: mention.address.to_string(),
            start: mention.place.start,
            length: mention.place.len(),
        })
        .collect())
}

fn quote(tx: &Transaction<'_>, conversation: Local, target: &[u8]) -> Result<api::Quote, StoreError> {
    let found: Option<(String, String, bool)> = tx
        .prepare_cached(
            "SELECT sender, body, own FROM message WHERE conversation = ?1 AND id = ?2 AND kind <> 'notice'",
        )?
        .query_one((conversation, target), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let id = row::message_id(target)?.to_string();
    Ok(match found {
        Some((sender, body, own)) => api::Quote { id, sender: Some(sender), body: Some(first_words(&body)), own },
        None => api::Quote { id, sender: None, body: None, own: false },
    })
}

fn first_words(body: &str) -> String {
    let line = body.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let mut words: String = line.chars().take(QUOTE_MAX).collect();
    if words.len() < body.trim().len() {
        words.push('…');
    }
    words
}

/// As another device of the account is told of it, beside its text; `None` for nothing.
pub(super) fn told(
    tx: &Transaction<'_>,
    conversation: Local,
    row: &Row<'_>,
    told: &mut v1::HistoryMessage,
) -> Result<(), StoreError> {
    let id: Vec<u8> = row.get("id")?;
    let mut state = v1::MessageState {
        edited_ms: u64::try_from(row.get::<_, Option<i64>>("edited_ms")?.unwrap_or_default()).unwrap_or_default(),
        deleted_by: row.get::<_, Option<String>>("deleted_by")?.unwrap_or_default(),
        reply_to: row.get::<_, Option<Vec<u8>>>("reply_to")?.unwrap_or_default().into(),
        forwarded: row.get("forwarded")?,
        mentions: v1::Text::decode(row.get::<_, Vec<u8>>("mentions")?.as_slice())
            .map_err(|_| StoreError::Corrupt("mentions"))?
            .mentions,
        reactions: reaction::told(tx, conversation, &id, TOLD_MAX)?,
        pinned: pin::is_pinned(tx, conversation, &id)?,
        expires_ms: u64::try_from(row.get::<_, Option<i64>>("expires_ms")?.unwrap_or_default()).unwrap_or_default(),
        ..Default::default()
    };
    if told.kind == "poll"
        && let Some((poll, votes, closed)) = poll::told(tx, conversation, &id, TOLD_MAX)?
    {
        (state.votes, state.poll_closed) = (votes, closed);
        told.content = Content::new(told.sent_ms, Said::Poll(poll)).encode().unwrap_or_default().into();
    }
    told.state = (state != v1::MessageState::default()).then_some(state);
    Ok(())
}

/// What another device of the account has told of a message that has just come from it.
pub(super) fn take(
    tx: &Transaction<'_>,
    conversation: Local,
    (local, id): (i64, MessageId),
    told: &v1::HistoryMessage,
    me: &str,
) -> Result<(), StoreError> {
    let state = told.state.clone().unwrap_or_default();
    if let Ok(Content { kind: Said::Poll(poll), .. }) = Content::decode(&told.content) {
        poll::take(tx, conversation, id, (&poll, &state))?;
    }
    let reply_to = MessageId::parse(&state.reply_to).ok();
    let edited_ms = (state.edited_ms > 0).then(|| row::signed(state.edited_ms));
    let deleted_by = (!state.deleted_by.is_empty()).then_some(&state.deleted_by);
    let expires_ms = (state.expires_ms > 0).then(|| row::signed(state.expires_ms));
    tx.prepare_cached(
        "UPDATE message SET reply_to = ?2, forwarded = ?3, edited_ms = ?4, deleted_by = ?5, expires_ms = ?6 \
         WHERE local = ?1",
    )?
    .execute((
        local,
        reply_to.as_ref().map(MessageId::as_bytes),
        state.forwarded,
        edited_ms,
        deleted_by,
        expires_ms,
    ))?;
    super::message::name(tx, local, &Words::read(told.body.clone(), state.mentions), me)?;
    reaction::take(tx, conversation, id, &state.reactions)?;
    if state.pinned {
        pin::put(tx, conversation, id)?;
    }
    super::orphan::adopt(tx, conversation, id, me)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_one_line_of_a_few_words() {
        assert_eq!(first_words("hello"), "hello");
        assert_eq!(first_words("\n  hello \nthere"), "hello…");
        assert_eq!(first_words(&"ö".repeat(QUOTE_MAX + 1)), format!("{}…", "ö".repeat(QUOTE_MAX)));
        assert_eq!(first_words(""), "");
    }
}
