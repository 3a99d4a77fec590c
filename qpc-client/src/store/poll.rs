//! Polls: what can be chosen, and what each account has chosen last, until whoever asks closes it.

use std::collections::BTreeSet;

use prost::Message;
use qpc_proto::{id::MessageId, limits::POLL_OPTIONS_MAX, v1};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, change::Target};
use crate::api;

/// Accounts whose votes count in one poll.
pub(crate) const VOTERS_MAX: u32 = 5_000;
/// Options that a question needs.
pub(crate) const OPTIONS_MIN: usize = 2;

/// Keeps what can be chosen.
pub(crate) fn put(tx: &Transaction<'_>, conversation: Local, id: MessageId, poll: &v1::Poll) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO poll (conversation, id, poll) VALUES (?1, ?2, ?3)")?.execute((
        conversation,
        id.as_bytes(),
        poll.encode_to_vec(),
    ))?;
    Ok(())
}

pub(super) fn remove(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<(), StoreError> {
    for table in ["poll", "vote"] {
        tx.execute(&format!("DELETE FROM {table} WHERE conversation = ?1 AND id = ?2"), (conversation, id.as_bytes()))?;
    }
    Ok(())
}

fn find(tx: &Transaction<'_>, conversation: Local, id: &[u8]) -> Result<Option<(v1::Poll, bool)>, StoreError> {
    let found: Option<(Vec<u8>, bool)> = tx
        .prepare_cached("SELECT poll, closed FROM poll WHERE conversation = ?1 AND id = ?2")?
        .query_one((conversation, id), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found
        .map(|(poll, closed)| {
            Ok((v1::Poll::decode(poll.as_slice()).map_err(|_| StoreError::Corrupt("a poll"))?, closed))
        })
        .transpose()
}

/// Can this be chosen of a poll?
pub(crate) fn can_be_chosen(poll: &v1::Poll, choices: &[u32]) -> bool {
    let different: BTreeSet<_> = choices.iter().collect();
    let there = |choice: &u32| usize::try_from(*choice).is_ok_and(|place| place < poll.options.len());
    choices.len() <= if poll.several { POLL_OPTIONS_MAX } else { 1 }
        && different.len() == choices.len()
        && choices.iter().all(there)
}

/// What an account chooses from now on; says whether that counts.
pub(super) fn vote(tx: &Transaction<'_>, target: &Target, account: &str, choices: &[u32]) -> Result<bool, StoreError> {
    let (conversation, id) = (target.conversation, target.id.as_bytes());
    match find(tx, conversation, id)? {
        Some((poll, false)) if can_be_chosen(&poll, choices) => {}
        _ => return Ok(false),
    }
    if choices.is_empty() {
        let removed = tx
            .prepare_cached("DELETE FROM vote WHERE conversation = ?1 AND id = ?2 AND account = ?3")?
            .execute((conversation, id, account))?;
        return Ok(removed > 0);
    }
    put_vote(tx, (conversation, target.id), account, choices)
}

fn put_vote(
    tx: &Transaction<'_>,
    (conversation, id): (Local, MessageId),
    account: &str,
    choices: &[u32],
) -> Result<bool, StoreError> {
    let wire = v1::Vote { choices: choices.to_vec(), ..Default::default() }.encode_to_vec();
    let put = tx
        .prepare_cached(
            "INSERT INTO vote (conversation, id, account, choices) SELECT ?1, ?2, ?3, ?4 \
             WHERE EXISTS (SELECT 1 FROM vote WHERE conversation = ?1 AND id = ?2 AND account = ?3) \
                OR (SELECT count(*) FROM vote WHERE conversation = ?1 AND id = ?2) < ?5 \
             ON CONFLICT (conversation, id, account) DO UPDATE SET choices = excluded.choices",
        )?
        .execute((conversation, id.as_bytes(), account, wire, VOTERS_MAX))?;
    Ok(put > 0)
}

/// Says whether it was open.
pub(super) fn close(tx: &Transaction<'_>, target: &Target) -> Result<bool, StoreError> {
    let closed = tx
        .prepare_cached("UPDATE poll SET closed = 1 WHERE conversation = ?1 AND id = ?2 AND closed = 0")?
        .execute((target.conversation, target.id.as_bytes()))?;
    Ok(closed > 0)
}

fn votes(tx: &Transaction<'_>, conversation: Local, id: &[u8]) -> Result<Vec<v1::VoteState>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT account, choices FROM vote WHERE conversation = ?1 AND id = ?2 ORDER BY account")?;
    let mut rows = select.query((conversation, id))?;
    let mut votes = Vec::new();
    while let Some(row) = rows.next()? {
        let vote = v1::Vote::decode(row.get::<_, Vec<u8>>(1)?.as_slice()).map_err(|_| StoreError::Corrupt("a vote"))?;
        votes.push(v1::VoteState { account: row.get(0)?, choices: vote.choices });
    }
    Ok(votes)
}

/// As people see it.
pub(super) fn shown(tx: &Transaction<'_>, conversation: Local, id: &[u8]) -> Result<Option<api::Poll>, StoreError> {
    let Some((poll, closed)) = find(tx, conversation, id)? else { return Ok(None) };
    let me: Option<String> = tx.query_one("SELECT address FROM identity", [], |row| row.get(0)).optional()?;
    let votes = votes(tx, conversation, id)?;
    let options = (0_u32..).zip(&poll.options).map(|(place, text)| {
        let chosen = votes.iter().filter(|vote| vote.choices.contains(&place));
        api::PollOption {
            text: text.clone(),
            votes: u64::try_from(chosen.clone().count()).unwrap_or(u64::MAX),
            own: chosen.into_iter().any(|vote| Some(&vote.account) == me.as_ref()),
        }
    });
    let options = options.collect();
    Ok(Some(api::Poll {
        several: poll.several,
        closed,
        voters: u64::try_from(votes.len()).unwrap_or(u64::MAX),
        options,
    }))
}

/// As another device of the account is told: the poll, who chose what in no more than so many bytes, and whether it is closed.
pub(super) fn told(
    tx: &Transaction<'_>,
    conversation: Local,
    id: &[u8],
    mut bytes: usize,
) -> Result<Option<(v1::Poll, Vec<v1::VoteState>, bool)>, StoreError> {
    let Some((poll, closed)) = find(tx, conversation, id)? else { return Ok(None) };
    let mut votes = votes(tx, conversation, id)?;
    votes.retain(|vote| match bytes.checked_sub(vote.encoded_len().saturating_add(8)) {
        Some(left) => {
            bytes = left;
            true
        }
        None => false,
    });
    Ok(Some((poll, votes, closed)))
}

/// What another device of the account has told.
pub(super) fn take(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
    (poll, state): (&v1::Poll, &v1::MessageState),
) -> Result<(), StoreError> {
    put(tx, conversation, id, poll)?;
    for vote in state.votes.iter().filter(|vote| !vote.choices.is_empty() && can_be_chosen(poll, &vote.choices)) {
        put_vote(tx, (conversation, id), &vote.account, &vote.choices)?;
    }
    if state.poll_closed {
        tx.execute("UPDATE poll SET closed = 1 WHERE conversation = ?1 AND id = ?2", (conversation, id.as_bytes()))?;
    }
    Ok(())
}
