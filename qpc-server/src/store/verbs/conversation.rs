//! Creating a conversation: a group, or the one direct conversation of a pair.

use std::collections::BTreeSet;

use qpc_proto::{
    address::Address,
    chain::{ChainValue, EntryKind},
    id::{AccountId, Counter, Epoch, Seq},
    role::Role,
};

use super::{
    contact, follower, group,
    inbox::{self, Draft},
    membership::{self, Made},
    participant, present, restore,
};
use crate::store::{
    Actor, AppendError, Appended, Audience, CommitBundle, CreateConversationError, NewConversation, StoreFault,
    rules::{self, Claim},
    tables::{AccountState, LogId, LogKind, LogRow, MemberRow, Say, Stance, Tables},
};

pub(in crate::store) fn create_conversation(
    tables: &mut dyn Tables,
    actor: &Actor,
    new: &NewConversation,
) -> Result<Appended, CreateConversationError> {
    present(tables, actor).map_err(AppendError::from)?;
    let creator = tables.account(actor.account())?.ok_or(AppendError::DeviceGone)?;
    // Somebody of another domain makes one with somebody of the hub's.
    let hub = match (creator.state, &new.peer) {
        (AccountState::Guest, Some(peer)) => &peer.domain,
        _ => &actor.address().domain,
    };
    if new.conversation.domain != *hub || (creator.state == AccountState::Guest && new.peer.is_none()) {
        return Err(AppendError::Forbidden.into());
    }
    if let Some((log, row)) = tables.log(&new.conversation)? {
        return Ok(created_before(tables, actor, new, (log, &row))?);
    }
    if new.again && !restore::is_under_way(tables, new.now_ms)? {
        return Err(CreateConversationError::NotAwaited);
    }
    let (kind, pair) = match &new.peer {
        Some(address) if address == actor.address() => (LogKind::Personal, Some(judge_personal(tables, actor, new)?)),
        Some(address) => (LogKind::Direct, Some(judge_peer(tables, actor, new, address)?)),
        None => (LogKind::Group, None),
    };
    let continues = new.continues.as_ref();
    let role = if kind == LogKind::Direct { Role::Member } else { Role::Owner };
    let me = MemberRow { account: actor.account(), role, from: Seq(1), until: None };
    let change = match &new.commit {
        Some(bundle) if bundle.epoch != Epoch(0) => return Err(AppendError::WrongEpoch(Epoch(0)).into()),
        Some(bundle) if !bundle.removed.is_empty() => return Err(AppendError::Membership.into()),
        Some(bundle) => {
            let made = &bundle.judged.as_ref().ok_or(AppendError::Unjudged)?.change;
            let place = membership::Place {
                log: None,
                name: &new.conversation,
                kind,
                continues,
                members: &[me],
                now_ms: new.now_ms,
            };
            Some((bundle, membership::judge(tables, actor, &place, (bundle, made))?))
        }
        None => None,
    };
    let first = new.group.as_ref();
    if change.is_none() && first.is_none() {
        return Err(AppendError::Unjudged.into());
    }

    let row = LogRow {
        name: new.conversation.clone(),
        kind,
        creation: Some((actor.device(), new.id)),
        created_ms: new.now_ms,
        continues: continues.cloned(),
    };
    let log = tables.insert_log(&row)?;
    tables.put_member(log, me)?;
    tables.start_cursor(log, actor.device(), Seq(0))?;
    if let Some(peer) = pair {
        if kind == LogKind::Direct {
            ask(tables, actor, peer, new.now_ms)?;
        }
        tables.set_direct(actor.account(), peer, &new.conversation)?;
    }
    let Some((bundle, change)) = change else {
        tables.set_epoch(log, Epoch(0), &new.group_info)?;
        if let Some(state) = first {
            group::put(tables, log, 0, state)?;
        }
        let at = Appended { seq: Seq(0), chain: ChainValue::genesis(&new.conversation), stored_ms: new.now_ms };
        let made = Made { log, row: &row, id: new.id, at, now_ms: new.now_ms };
        membership::name_to_others(tables, actor, &made, (actor.account(), false), &BTreeSet::new())?;
        await_members(tables, new, log)?;
        return Ok(at);
    };
    // Before the entry is there, so that the creator's domain is told of it.
    follower::came(tables, &creator, (log, Seq(1)), (change.base_tree(), &bundle.group_info))?;
    let at = first_entry(tables, actor, new, log, bundle)?;
    let made = Made { log, row: &row, id: new.id, at, now_ms: new.now_ms };
    membership::apply(tables, actor, &made, bundle, change)?;
    let welcomed = bundle.welcome_devices.iter().copied().collect();
    membership::name_to_others(tables, actor, &made, (actor.account(), false), &welcomed)?;
    await_members(tables, new, log)?;
    Ok(at)
}

/// What was made again goes on once its members have given back what else it had.
fn await_members(tables: &mut dyn Tables, new: &NewConversation, log: LogId) -> Result<(), StoreFault> {
    if !new.again {
        return Ok(());
    }
    let members: Vec<_> = tables.members(log)?.iter().map(|member| member.account).collect();
    tables.await_members(log, &members)?;
    for domain in tables.followers(log)?.unwrap_or_default().iter() {
        tables.await_domain(log, domain)?;
    }
    Ok(())
}

fn first_entry(
    tables: &mut dyn Tables,
    actor: &Actor,
    new: &NewConversation,
    log: LogId,
    bundle: &CommitBundle,
) -> Result<Appended, StoreFault> {
    let draft = Draft {
        kind: EntryKind::Commit,
        epoch: bundle.epoch,
        sender: Some(actor.device()),
        counter: Counter(1),
        id: new.id,
        body: bundle.commit.clone(),
        now_ms: new.now_ms,
    };
    let audience = Audience::Members(tables.audience(log)?);
    inbox::write(tables, (log, &new.conversation), draft, audience, None)
}

/// The name is in use: by this very creation, or by another?
fn created_before(
    tables: &mut dyn Tables,
    actor: &Actor,
    new: &NewConversation,
    (log, row): (LogId, &LogRow),
) -> Result<Appended, AppendError> {
    if row.creation != Some((actor.device(), new.id)) {
        return Err(AppendError::IdConflict);
    }
    match (&new.commit, tables.entry_by_id(log, new.id)?) {
        (None, None) => {
            Ok(Appended { seq: Seq(0), chain: ChainValue::genesis(&new.conversation), stored_ms: row.created_ms })
        }
        (Some(bundle), Some(stored)) => {
            let claim =
                Claim { sender: actor.device(), counter: Counter(1), kind: EntryKind::Commit, epoch: bundle.epoch };
            rules::again(&stored, &claim, &bundle.commit)
        }
        _ => Err(AppendError::IdConflict),
    }
}

/// Who the other one is, if a direct conversation may be made with them.
fn judge_peer(
    tables: &mut dyn Tables,
    actor: &Actor,
    new: &NewConversation,
    address: &Address,
) -> Result<AccountId, CreateConversationError> {
    let peer = participant(tables, address)?
        .map(|row| row.id)
        .filter(|peer| *peer != actor.account())
        .ok_or(AppendError::NotContact)?;
    if let Some(exists) = tables.direct(actor.account(), peer)? {
        // Two people who write to each other at the same moment end in one conversation, as contacts.
        contact::accept_by_writing(tables, actor, peer, new.now_ms)?;
        return Err(CreateConversationError::DirectExists(exists));
    }
    match new.commit.as_ref().map(|bundle| bundle.added.as_slice()) {
        Some([(added, _)]) if added == address => Ok(peer),
        _ => Err(AppendError::Membership.into()),
    }
}

/// The actor's account, if it has no personal conversation yet. Only its own devices begin it.
fn judge_personal(
    tables: &mut dyn Tables,
    actor: &Actor,
    new: &NewConversation,
) -> Result<AccountId, CreateConversationError> {
    if let Some(exists) = tables.direct(actor.account(), actor.account())? {
        return Err(CreateConversationError::DirectExists(exists));
    }
    match &new.commit {
        Some(bundle) if !bundle.added.is_empty() => Err(AppendError::Membership.into()),
        _ => Ok(actor.account()),
    }
}

/// Lets the peer write to the one who asks, and asks the peer.
fn ask(tables: &mut dyn Tables, asker: &Actor, peer: AccountId, now_ms: u64) -> Result<(), StoreFault> {
    consent(tables, asker.account(), peer)?;
    contact::tell_own(tables, asker, peer, now_ms)
}

/// Whoever makes a conversation of two has accepted the other one, who is asked.
pub(super) fn consent(tables: &mut dyn Tables, asker: AccountId, asked: AccountId) -> Result<(), StoreFault> {
    let mine = tables.stance(asker, asked)?;
    tables.set_stance(asker, asked, Stance { say: Say::Accepted, ..mine })?;
    let theirs = tables.stance(asked, asker)?;
    if theirs.say == Say::Nothing {
        tables.set_stance(asked, asker, Stance { say: Say::Pending, ..theirs })?;
    }
    Ok(())
}
