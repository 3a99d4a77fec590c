//! Creations and commits on their way to the server, and direct conversations that somebody wants.
//!
//! The request is durable before it is sent. A definite answer settles it; without one the same bytes go out
//! again on the next connection, and the server answers them alike.

use std::{convert::Infallible, sync::Arc, time::Duration};

use prost::Message;
use qpc_proto::{
    address::Address,
    chain::ChainValue,
    error::Code,
    id::{ConversationName, Counter, DeviceId, Epoch, Seq},
    role::RoleTable,
    v1::{self, ContactState, request::Method},
};
use rusqlite::Transaction;
use tokio::time::sleep;

use super::session::End;
use crate::{
    apply::{self, Applied, ApplyError},
    core::Core,
    fresh,
    mls::{CommitError, CreateError, GroupError, HubSender, Invitee, Violation},
    store::{
        Local, StoreError, contact,
        conversation::{self, Conversation, Kind, State},
        entry, outbox,
        pending::{self, Pending},
    },
    transport::{CallError, Link, Refused},
    trust::Me,
};

/// Pause before something that was refused for now is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// It is, or will be, this entry.
    Accepted(Seq),
    /// Another commit came first: catch up to this epoch and make it anew.
    Raced(Epoch),
    /// The two have a conversation that the other made; theirs is used.
    Theirs,
    /// For good.
    Refused(Box<Refused>),
}

/// Submits again what the last connection left, and creates what is wanted, whenever there is something.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    loop {
        let mut pause = None;
        let left = core.store.run(pending::all).await?;
        let held = core.held();
        for request in left.into_iter().filter(|request| !held.contains(&request.conversation)) {
            match submit(core, link, request).await {
                Ok(_) => {}
                Err(error) => pause = Some(passing(error)?),
            }
        }
        let wanted = core.store.run(wanted).await?;
        for conversation in wanted {
            if let Err(error) = create_direct(core, link, conversation).await? {
                pause = Some(passing(error)?);
            }
        }
        tokio::select! {
            () = core.errands.notified() => {}
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

/// How long to wait after a refusal that passes; the end of the session otherwise.
fn passing(error: CallError) -> Result<Duration, CallError> {
    match error {
        CallError::Refused(refused) if refused.code.is_some_and(Code::retryable) => Ok(refused.retry_after.max(PAUSE)),
        error => Err(error),
    }
}

/// Direct conversations that are wanted, with something to say in them.
fn wanted(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    let mut wanted = conversation::in_state(tx, State::Wanted)?;
    let queued = outbox::by_conversation(tx)?;
    wanted.retain(|conversation| queued.iter().any(|(local, _)| *local == conversation.local));
    Ok(wanted)
}

/// Makes the direct conversation that somebody wants. The inner error may pass.
async fn create_direct(core: &Arc<Core>, link: &Link, wanted: Conversation) -> Result<Result<(), CallError>, End> {
    let Some(peer) = wanted.peer.clone() else { return Ok(Ok(())) };
    let claimed = match link.call(v1::ClaimKeyPackages { address: peer.to_string() }).await {
        Ok(claimed) => claimed.key_packages,
        Err(CallError::Refused(refused)) if refused.code == Some(Code::NotFound) => {
            refuse(core, wanted.local, format!("there is no {peer}, or nobody has logged in with that name yet"))
                .await?;
            return Ok(Ok(()));
        }
        Err(error) if error.is_final() => {
            refuse(core, wanted.local, error.to_string()).await?;
            return Ok(Ok(()));
        }
        Err(error) => return Ok(Err(error)),
    };
    let (me, teller, hub) = (core.me.clone(), Arc::clone(core), link.hub.clone());
    let staged = core
        .store
        .run_and(
            move |tx| stage_direct(tx, &me, wanted.local, &claimed, hub.as_ref()),
            move |(_, applied)| teller.tell(applied),
        )
        .await?;
    match staged.0 {
        Some(request) => Ok(submit(core, link, request).await.map(|_| ())),
        None => Ok(Ok(())),
    }
}

pub(crate) fn stage_direct(
    tx: &Transaction<'_>,
    me: &Me,
    local: Local,
    claimed: &[v1::ClaimedKeyPackage],
    hub: Option<&HubSender>,
) -> Result<(Option<Pending>, Applied), ApplyError> {
    let mut out = Applied::default();
    let wanted = conversation::get(tx, local)?;
    // Their welcome may have come in the meantime.
    let (State::Wanted, Some(peer)) = (wanted.state, wanted.peer.clone()) else { return Ok((None, out)) };
    let name = ConversationName {
        domain: me.address().domain.clone(),
        id: fresh::conversation_id().map_err(StoreError::from)?,
    };
    let invitees = invitees(&peer, claimed);
    let roles = RoleTable::owned_by(me.address().clone());
    let made = me.with_mls(tx, |mls| mls.create_group(&name, &roles, hub, &invitees));
    let staged = match made {
        Ok(new) => new,
        Err(error) => {
            let reason = not_created(tx, me, error, &mut out)?;
            apply::refuse_all(tx, &wanted, &reason, &mut out)?;
            return Ok((None, out));
        }
    };
    if let Some(staged) = &staged.staged {
        me.pin_all(tx, &staged.change.added)?;
    }
    let request = create_request(&name, Kind::Direct, Some(&peer), staged)?;
    conversation::set_name(tx, local, &name)?;
    let pending = Pending { conversation: local, ..request };
    pending::put(tx, &pending)?;
    conversation::set_state(tx, local, State::Creating)?;
    Ok((Some(pending), out))
}

/// Raises the alarm where a group was not made because of a device that is not to be believed; gives the reason.
pub(crate) fn not_created(
    tx: &Transaction<'_>,
    me: &Me,
    error: CreateError,
    out: &mut Applied,
) -> Result<String, ApplyError> {
    let reason = error.to_string();
    match error {
        CreateError::Commit(CommitError::Group(GroupError::Fault(fault))) => return Err(fault.into()),
        CreateError::Commit(CommitError::Refused(refusal)) => out.refused(tx, me, &refusal)?,
        // In a new group, both have come from the server just now.
        CreateError::Commit(CommitError::NotAllowed(Violation::TwoKeys(address))) => out.alarm(
            tx,
            format!(
                "Refused: the server handed out devices of {address} that two different account keys have signed. Somebody \
                 may be trying to listen in; the server may be taking part in it."
            ),
        )?,
        CreateError::Commit(_) | CreateError::Exists => {}
    }
    Ok(reason)
}

/// An account's devices, as the server handed out their key packages. What is said to be of no device is left out.
pub(crate) fn invitees<'a>(account: &'a Address, claimed: &'a [v1::ClaimedKeyPackage]) -> Vec<Invitee<'a>> {
    let device = |claimed: &'a v1::ClaimedKeyPackage| {
        let device = DeviceId::parse(&claimed.device_id).ok()?;
        Some(Invitee { address: account, device, key_package: &claimed.key_package })
    };
    claimed.iter().filter_map(device).collect()
}

/// The request that creates a conversation; its `conversation` is to be filled in.
pub(crate) fn create_request(
    name: &ConversationName,
    kind: Kind,
    peer: Option<&Address>,
    new: crate::mls::NewGroup,
) -> Result<Pending, StoreError> {
    let id = fresh::message_id()?;
    let counter = Counter(new.staged.as_ref().map_or(0, |_| 1));
    let request = v1::CreateConversation {
        conversation: Some(name.to_wire()),
        kind: match kind {
            Kind::Direct => v1::ConversationKind::Direct.into(),
            Kind::Group | Kind::Inbox => v1::ConversationKind::Group.into(),
        },
        peer: peer.map(ToString::to_string).unwrap_or_default(),
        message_id: id.to_bytes(),
        group_info: new.group_info.into(),
        commit: new.staged.map(|staged| staged.to_wire()),
    };
    let request = v1::Request { method: Some(Method::CreateConversation(request)) };
    Ok(Pending { conversation: 0, id, counter, request: request.encode_to_vec().into() })
}

async fn refuse(core: &Arc<Core>, local: Local, reason: String) -> Result<(), End> {
    let teller = Arc::clone(core);
    core.store
        .run_and(
            move |tx| {
                let mut out = Applied::default();
                let conversation = conversation::get(tx, local)?;
                apply::refuse_all(tx, &conversation, &reason, &mut out)?;
                Ok::<_, StoreError>(out)
            },
            move |applied| teller.tell(applied),
        )
        .await?;
    Ok(())
}

/// Sends a request and settles it by its answer. After an error its outcome is unknown, and it stays.
pub(crate) async fn submit(core: &Arc<Core>, link: &Link, pending: Pending) -> Result<Submitted, CallError> {
    let request = v1::Request::decode(pending.request.clone()).map_err(|_| CallError::Protocol("our own request"))?;
    let answered = match request.method {
        Some(Method::CreateConversation(create)) => {
            link.call(create).await.map(|answer| (Seq(answer.seq), answer.chain))
        }
        Some(Method::SubmitCommit(commit)) => link.call(commit).await.map(|answer| (Seq(answer.seq), answer.chain)),
        _ => return Err(CallError::Protocol("our own request")),
    };
    let answered = match answered {
        Ok(answer) => Ok(answer),
        Err(CallError::Refused(refused)) if refused.code.is_none_or(|code| !code.retryable()) => Err(refused),
        Err(error) => return Err(error),
    };
    let (me, teller) = (core.me.clone(), Arc::clone(core));
    let settled = core
        .store
        .run_and(
            move |tx| match answered {
                Ok((seq, chain)) => accepted(tx, &pending, seq, &chain),
                Err(refused) => not_accepted(tx, &me, &pending, refused),
            },
            move |(_, applied)| teller.tell(applied),
        )
        .await;
    match settled {
        Ok((submitted, _)) => Ok(submitted),
        Err(error) => {
            tracing::error!(%error, "an answer could not be stored");
            Err(CallError::Timeout)
        }
    }
}

pub(crate) fn accepted(
    tx: &Transaction<'_>,
    pending: &Pending,
    seq: Seq,
    chain: &[u8],
) -> Result<(Submitted, Applied), ApplyError> {
    let mut out = Applied { follow: true, outbox: true, ..Applied::default() };
    let conversation = conversation::get(tx, pending.conversation)?;
    let still = pending::id_of(tx, conversation.local)? == Some(pending.id);
    if !still {
        return Ok((Submitted::Accepted(seq), out));
    }
    if conversation.state == State::Creating {
        conversation::set_state(tx, conversation.local, State::Active)?;
        if let Some(peer) = &conversation.peer {
            let known = contact::get(tx, peer)?.map_or(ContactState::Unspecified, |contact| contact.state);
            if known == ContactState::Unspecified {
                apply::set_contact(tx, peer, ContactState::Requested, &mut out)?;
            }
        }
    }
    if seq == Seq(0) {
        // A group of one has no first entry that could come back.
        pending::remove(tx, conversation.local, pending.id)?;
    } else if let Some(chain) = ChainValue::parse(chain) {
        conversation::raise_counter(tx, conversation.local, pending.counter)?;
        entry::promise(tx, conversation.local, seq, &chain)?;
    }
    Ok((Submitted::Accepted(seq), out))
}

fn not_accepted(
    tx: &Transaction<'_>,
    me: &Me,
    pending: &Pending,
    refused: Box<Refused>,
) -> Result<(Submitted, Applied), ApplyError> {
    let mut out = Applied { outbox: true, ..Applied::default() };
    let conversation = conversation::get(tx, pending.conversation)?;
    let still = pending::remove(tx, conversation.local, pending.id)?;
    let creating = conversation.state == State::Creating;
    if still {
        let name = conversation.named()?.clone();
        me.with_mls(tx, |mls| {
            let mut group = mls.group(&name);
            if creating {
                return group.delete().map_err(ApplyError::from);
            }
            match group.discard_pending() {
                Err(GroupError::Fault(fault)) => Err(fault.into()),
                // Without a group there is nothing to discard.
                _ => Ok(()),
            }
        })?;
        if creating {
            conversation::forget_name(tx, conversation.local)?;
        }
    }
    match (refused.code, refused.conversation.clone()) {
        (Some(Code::WrongEpoch), _) => Ok((Submitted::Raced(refused.epoch), out)),
        (Some(Code::ConversationExists), Some(theirs)) => {
            if still {
                await_welcome(tx, conversation.local, &theirs)?;
            }
            Ok((Submitted::Theirs, out))
        }
        _ => {
            if still && creating {
                match conversation.kind {
                    Kind::Direct => {
                        conversation::set_state(tx, conversation.local, State::Wanted)?;
                        apply::refuse_all(tx, &conversation, &refused.to_string(), &mut out)?;
                    }
                    Kind::Group | Kind::Inbox => conversation::remove(tx, conversation.local)?,
                }
            }
            Ok((Submitted::Refused(refused), out))
        }
    }
}

/// The other was first: what waits here goes into theirs, once this device is welcomed to it.
fn await_welcome(tx: &Transaction<'_>, local: Local, theirs: &ConversationName) -> Result<(), StoreError> {
    tracing::debug!(conversation = %theirs.id, "the other person's conversation is used");
    conversation::set_state(tx, local, State::Awaiting)?;
    conversation::set_waiting(tx, local, Some("waiting for the other person's conversation to reach this device"))?;
    Ok(())
}
