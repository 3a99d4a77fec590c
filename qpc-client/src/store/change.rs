//! What changes an earlier message, done to it: judged by who says so, in the order of the log, so that every device
//! ends with the same.
//!
//! Of a target that is not in the conversation nothing is made. A message that was deleted changes no more.

use qpc_proto::{
    content::{Kind as Said, Words},
    id::MessageId,
};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, pin, poll, reaction, revision};

/// What is done to an earlier message.
#[derive(Clone, PartialEq)]
pub(crate) enum Change {
    Edit(Words),
    Delete,
    React { emoji: String, removed: bool },
    Pin { removed: bool },
    Vote(Vec<u32>),
    ClosePoll,
}

/// Who says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) account: &'a str,
    /// May they delete what others have said?
    pub(crate) moderates: bool,
    /// May they say what everybody has in view?
    pub(crate) pins: bool,
    /// Their clock.
    pub(crate) time_ms: u64,
    /// The account of this home, which may be named in new words.
    pub(crate) me: &'a str,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The message is another one than before: its place in this home.
    Changed(i64),
    /// It is as it was: they may not do that, or it was so already, or there is no room.
    None,
    /// There is no such message in the conversation.
    NoTarget,
}

/// A message that a change is for.
pub(super) struct Target {
    pub(super) local: i64,
    pub(super) conversation: Local,
    pub(super) id: MessageId,
    pub(super) sender: String,
    pub(super) kind: String,
}

impl Change {
    /// What a content does to which message; `None` where it is something that is said.
    pub(crate) fn of(said: &Said) -> Option<(MessageId, Self)> {
        Some(match said {
            Said::Edit(id, words) => (*id, Self::Edit(words.clone())),
            Said::Delete(id) => (*id, Self::Delete),
            Said::Reaction { to, emoji, removed } => (*to, Self::React { emoji: emoji.clone(), removed: *removed }),
            Said::Pin { id, removed } => (*id, Self::Pin { removed: *removed }),
            Said::Vote(id, choices) => (*id, Self::Vote(choices.clone())),
            Said::PollClose(id) => (*id, Self::ClosePoll),
            Said::Text(_)
            | Said::Receipt(..)
            | Said::Attachment(_)
            | Said::GroupState(_)
            | Said::OwnDevices(_)
            | Said::GroupLinks(_)
            | Said::Poll(_)
            | Said::Lifetime(_)
            | Said::Unknown => return None,
        })
    }
}

/// Can a message of this kind be changed? Others do not stand at every member's, or are the client's own words.
pub(crate) fn is_changeable(kind: &str) -> bool {
    matches!(kind, "text" | "attachment" | "poll")
}

/// Does it.
pub(crate) fn apply(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
    change: &Change,
    by: By<'_>,
) -> Result<Effect, StoreError> {
    let Some(target) = find(tx, conversation, id)? else { return Ok(Effect::NoTarget) };
    if !is_changeable(&target.kind) {
        return Ok(Effect::None);
    }
    let changed = match change {
        Change::Edit(words) => revision::edit(tx, &target, words, by)?,
        Change::Delete => revision::delete(tx, &target, by)?,
        Change::React { emoji, removed: false } => reaction::add(tx, &target, by.account, emoji)?,
        Change::React { emoji, removed: true } => reaction::remove(tx, &target, by.account, emoji)?,
        Change::Pin { removed } => by.pins && pin::set(tx, &target, *removed)?,
        Change::Vote(choices) => poll::vote(tx, &target, by.account, choices)?,
        Change::ClosePoll => target.sender == by.account && poll::close(tx, &target)?,
    };
    Ok(if changed { Effect::Changed(target.local) } else { Effect::None })
}

fn find(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<Option<Target>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT local, sender, kind FROM message WHERE conversation = ?1 AND id = ?2")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Target { local: row.get(0)?, conversation, id, sender: row.get(1)?, kind: row.get(2)? })
    };
    Ok(select.query_one((conversation, id.as_bytes()), read).optional()?)
}

#[cfg(test)]
mod tests;
