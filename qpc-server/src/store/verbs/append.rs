//! Appending to a conversation: messages, proposals, commits.

use bytes::Bytes;
use qpc_proto::{
    chain::EntryKind,
    id::{AccountId, ConversationName, MessageId, Seq},
};

use super::{
    contact, group,
    inbox::{self, Draft},
    membership::{self, Made},
    present, restore,
};
use crate::store::{
    Actor, Append, AppendError, Appended, Audience, CommitAppend,
    rules::{self, Claim},
    tables::{LogId, LogKind, LogRow, MemberRow, Range, Say, Stance, Tables},
};

/// A conversation and the actor's row in it, member or not any more.
struct Place {
    log: LogId,
    row: LogRow,
    me: MemberRow,
}

fn place(tables: &mut dyn Tables, actor: &Actor, name: &ConversationName) -> Result<Place, AppendError> {
    let (log, row) = tables.log(name)?.filter(|(_, row)| row.kind != LogKind::Inbox).ok_or(AppendError::NotFound)?;
    let me = tables.member(log, actor.account())?.ok_or(AppendError::NotFound)?;
    Ok(Place { log, row, me })
}

/// Is this entry stored already, or may it be the next one?
///
/// The stored one is looked for first: a resend is answered alike even when its sender has left since or
/// the epoch has moved on (invariant 2).
fn stored_or_next(
    tables: &mut dyn Tables,
    place: &Place,
    claim: &Claim,
    (id, now_ms): (MessageId, u64),
    body: &Bytes,
) -> Result<Option<Appended>, AppendError> {
    if let Some(stored) = tables.entry_by_id(place.log, id)? {
        return rules::again(&stored, claim, body).map(Some);
    }
    if place.me.until.is_some() {
        return Err(AppendError::NotFound);
    }
    restore::writable(tables, place.log, now_ms)?;
    let last = tables.last_counter(place.log, claim.sender)?;
    let epoch = tables.ends(place.log)?.epoch;
    rules::next(claim, last, epoch)?;
    Ok(None)
}

/// The other one of a direct conversation, and what it says of the actor.
fn other(tables: &mut dyn Tables, actor: &Actor, place: &Place) -> Result<Option<(AccountId, Stance)>, AppendError> {
    if place.row.kind != LogKind::Direct {
        return Ok(None);
    }
    let audience = tables.audience(place.log)?;
    // Who is alone in it has lost the other one: the conversation is over.
    let other = audience.iter().copied().find(|account| *account != actor.account()).ok_or(AppendError::Forbidden)?;
    Ok(Some((other, tables.stance(other, actor.account())?)))
}

/// What a report names is a commit of its epoch, made by another device.
fn reported(tables: &mut dyn Tables, place: &Place, claim: &Claim, commit: Option<Seq>) -> Result<(), AppendError> {
    let at = commit.filter(|at| *at > Seq(0)).ok_or(AppendError::NoSuchCommit)?;
    let range = Range { after: Seq(at.0.saturating_sub(1)), upto: at, limit: 1, max_bytes: usize::MAX };
    let found = tables.entries((place.log, &place.row.name), range)?;
    let fits = found.first().is_some_and(|row| {
        let entry = &row.entry;
        entry.kind == EntryKind::Commit && entry.epoch == claim.epoch && entry.sender != Some(claim.sender)
    });
    if fits { Ok(()) } else { Err(AppendError::NoSuchCommit) }
}

pub(in crate::store) fn append(
    tables: &mut dyn Tables,
    actor: &Actor,
    append: &Append,
) -> Result<Appended, AppendError> {
    present(tables, actor)?;
    let place = place(tables, actor, &append.conversation)?;
    let claim = Claim { sender: actor.device(), counter: append.counter, kind: append.kind, epoch: append.epoch };
    if let Some(stored) = stored_or_next(tables, &place, &claim, (append.id, append.now_ms), &append.body)? {
        return Ok(stored);
    }
    match (append.kind, append.leave, place.row.kind) {
        (EntryKind::Message | EntryKind::Proposal, false, _) | (EntryKind::Proposal, true, LogKind::Group) => {}
        (EntryKind::Report, false, _) => reported(tables, &place, &claim, append.reports)?,
        _ => return Err(AppendError::Forbidden),
    }
    let proposed = match append.kind {
        EntryKind::Proposal => Some(group::judged(tables, place.log, append.group.as_ref())?),
        _ => None,
    };
    let mut withheld_from = None;
    if let Some((peer, theirs)) = other(tables, actor, &place)? {
        if theirs.say != Say::Accepted {
            rules::request(theirs, append.kind, append.body.len())?;
            tables.set_stance(peer, actor.account(), Stance { request_used: true, ..theirs })?;
        }
        if append.kind == EntryKind::Message {
            contact::accept_by_writing(tables, actor, peer, append.now_ms)?;
            // Handshakes are not withheld: without them the blocker could never read again.
            withheld_from = theirs.blocked.then_some(peer);
        }
    }
    let draft = Draft {
        kind: append.kind,
        epoch: append.epoch,
        sender: Some(actor.device()),
        counter: append.counter,
        id: append.id,
        body: append.body.clone(),
        now_ms: append.now_ms,
    };
    let audience = Audience::Members(tables.audience(place.log)?);
    let at = inbox::write(tables, (place.log, &place.row.name), draft, audience, withheld_from)?;
    if let (Some(state), Some(judged)) = (proposed, &append.group) {
        group::put(tables, place.log, judged.basis.proposals.saturating_add(1), state)?;
    }
    if append.leave {
        membership::end_access(tables, place.log, place.me, at.seq)?;
    }
    Ok(at)
}

pub(in crate::store) fn commit(
    tables: &mut dyn Tables,
    actor: &Actor,
    commit: &CommitAppend,
) -> Result<Appended, AppendError> {
    present(tables, actor)?;
    let place = place(tables, actor, &commit.conversation)?;
    let bundle = &commit.bundle;
    let claim = Claim { sender: actor.device(), counter: commit.counter, kind: EntryKind::Commit, epoch: bundle.epoch };
    #[cfg(feature = "planted-bugs")]
    if crate::store::planted::accepts_two_commits() {
        let epoch = tables.ends(place.log)?.epoch;
        if bundle.epoch.0.checked_add(1) == Some(epoch.0) && tables.entry_by_id(place.log, commit.id)?.is_none() {
            let audience = Audience::Members(tables.audience(place.log)?);
            let draft = draft(actor, commit);
            return Ok(inbox::write(tables, (place.log, &place.row.name), draft, audience, None)?);
        }
    }
    if let Some(stored) = stored_or_next(tables, &place, &claim, (commit.id, commit.now_ms), &bundle.commit)? {
        return Ok(stored);
    }
    if let Some((_, theirs)) = other(tables, actor, &place)? {
        if !bundle.added.is_empty() || !bundle.removed.is_empty() {
            return Err(AppendError::Forbidden);
        }
        if theirs.say != Say::Accepted {
            return Err(AppendError::ContactPending);
        }
    }
    if place.row.kind == LogKind::Personal && !bundle.added.is_empty() {
        return Err(AppendError::Forbidden);
    }
    let made = group::judged(tables, place.log, bundle.judged.as_ref())?;
    let members = tables.members(place.log)?;
    let at = membership::Place {
        log: Some(place.log),
        name: &place.row.name,
        kind: place.row.kind,
        continues: place.row.continues.as_ref(),
        members: &members,
        now_ms: commit.now_ms,
    };
    let change = membership::judge(tables, actor, &at, (bundle, made))?;
    let draft = draft(actor, commit);
    // Those who are removed read this entry as their last; those who are added start after it.
    let audience = Audience::Members(tables.audience(place.log)?);
    let at = inbox::write(tables, (place.log, &place.row.name), draft, audience, None)?;
    let made = Made { log: place.log, row: &place.row, id: commit.id, at, now_ms: commit.now_ms };
    membership::apply(tables, actor, &made, bundle, change)?;
    Ok(at)
}

fn draft(actor: &Actor, commit: &CommitAppend) -> Draft {
    Draft {
        kind: EntryKind::Commit,
        epoch: commit.bundle.epoch,
        sender: Some(actor.device()),
        counter: commit.counter,
        id: commit.id,
        body: commit.bundle.commit.clone(),
        now_ms: commit.now_ms,
    }
}
