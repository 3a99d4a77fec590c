//! Other words for a message, and none at all: what is left of it then is that there was one.

use qpc_proto::{content::Kind as Said, content::Words, v1};
use rusqlite::Transaction;

use super::{
    StoreError, attachment,
    change::{By, Target},
    message, pin, poll, reaction, row,
};
use crate::words::{DELETED, describe};

/// What a deleted message is, for programs.
pub(crate) const DELETED_KIND: &str = "deleted";

/// Other words, or another caption, by the message's own sender. Says whether it is another message than before.
pub(super) fn edit(tx: &Transaction<'_>, target: &Target, words: &Words, by: By<'_>) -> Result<bool, StoreError> {
    if target.sender != by.account {
        tracing::debug!("somebody edits what somebody else has said");
        return Ok(false);
    }
    let body = match target.kind.as_str() {
        "text" => words.text.clone(),
        "attachment" => match attachment::told(tx, target.conversation, target.id.as_bytes())? {
            Some(file) => describe(&Said::Attachment(v1::Attachment { caption: words.text.clone(), ..file })),
            None => return Ok(false),
        },
        _ => return Ok(false),
    };
    tx.prepare_cached("UPDATE message SET body = ?2, edited_ms = ?3 WHERE local = ?1")?.execute((
        target.local,
        body,
        row::signed(by.time_ms),
    ))?;
    message::name(tx, target.local, words, by.me)?;
    Ok(true)
}

/// Takes a message out, with everything that was attached to it.
pub(super) fn delete(tx: &Transaction<'_>, target: &Target, by: By<'_>) -> Result<bool, StoreError> {
    if target.sender != by.account && !by.moderates {
        tracing::debug!("somebody deletes what somebody else has said, and may not");
        return Ok(false);
    }
    tx.prepare_cached(
        "UPDATE message SET kind = ?2, body = ?3, deleted_by = ?4, edited_ms = NULL, reply_to = NULL, forwarded = 0, \
         mentions = x'', mentioned = 0, shown = 1 WHERE local = ?1",
    )?
    .execute((target.local, DELETED_KIND, DELETED, by.account))?;
    let (conversation, id) = (target.conversation, target.id);
    attachment::remove(tx, conversation, id)?;
    reaction::remove_all(tx, conversation, id)?;
    pin::remove(tx, conversation, id)?;
    poll::remove(tx, conversation, id)?;
    Ok(true)
}
