//! Creations and commits on their way to the server, and direct conversations that somebody wants.
//!
//! The request is durable before it is sent. A definite answer settles it; without one the same bytes go out
//! again on the next connection, and the server answers them alike.

use std::{convert::Infallible, sync::Arc, time::Duration};

use prost::Message;
use qpc_proto::{
    address::Address,
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    continuation::Continued,
    error::Code,
    id::{ConversationName, Counter, DeviceId, Epoch, Seq},
    role::RoleTable,
    suite::Suite,
    v1::{self, ContactState, request::Method},
};
use rusqlite::Transaction;
use tokio::time::sleep;

use super::{elsewhere, session::End};
use crate::{
    api::Event,
    apply::{self, Applied, ApplyError},
    core::Core,
    fresh,
    mls::{CommitError, CreateError, GroupError, HubSender, Invitee, Mls, NewGroup, Violation},
    store::{
        Local, StoreError, contact,
        conversation::{self, Conversation, Kind, State},
        entry, founding, message, missed, outbox,
        pending::{self, Pending},
        report,
        returned::{self, Left},
        unjoined,
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
    /// Others come first: make it anew in this epoch, or after this long.
    Reserved(Epoch, Duration),
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
            let local = request.conversation;
            match submit(core, link, request).await {
                Ok(_) => {}
                Err(error) => {
                    elsewhere::note_unreachable(core, local, &error).await?;
                    pause = Some(passing(error)?);
                }
            }
        }
        let wanted = core.store.run(wanted).await?;
        for conversation in wanted {
            let local = conversation.local;
            if let Err(error) = create_direct(core, link, conversation).await? {
                elsewhere::note_unreachable(core, local, &error).await?;
                pause = Some(passing(error)?);
            }
        }
        tokio::select! {
            biased;
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

/// Conversations that are wanted, with something to say in them.
fn wanted(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    let mut wanted = conversation::in_state(tx, State::Wanted)?;
    let queued = outbox::by_conversation(tx)?;
    wanted.retain(|conversation| queued.iter().any(|(local, _)| *local == conversation.local));
    Ok(wanted)
}

/// Makes the direct conversation that somebody wants. The inner error may pass.
async fn create_direct(core: &Arc<Core>, link: &Link, wanted: Conversation) -> Result<Result<(), CallError>, End> {
    let Some(peer) = wanted.peer.clone() else { return create_personal(core, link, wanted.local).await };
    let theirs = link.call(v1::ClaimKeyPackages { address: peer.to_string(), ..Default::default() });
    let (theirs, own) = tokio::join!(theirs, claim_own(core, link));
    let claimed = match theirs {
        Ok(claimed) => claimed.key_packages,
        Err(CallError::Refused(refused)) if refused.code == Some(Code::NotFound) => {
            refuse(core, wanted.local, format!("there is no {peer}, or nobody has logged in with that name yet"))
                .await?;
            return Ok(Ok(()));
        }
        Err(CallError::Refused(refused)) if refused.code == Some(Code::DomainUnknown) => {
            refuse(core, wanted.local, elsewhere::not_federated(&peer.domain)).await?;
            return Ok(Ok(()));
        }
        Err(error) if error.is_final() => {
            refuse(core, wanted.local, error.to_string()).await?;
            return Ok(Ok(()));
        }
        Err(error) => return Ok(Err(error)),
    };
    let own = match own {
        Ok(own) => own,
        Err(error) => return Ok(Err(error)),
    };
    let (me, teller, hub) = (core.me.clone(), Arc::clone(core), link.hub.clone());
    let staged = core
        .store
        .run_and(
            move |tx| stage_between(tx, &me, wanted.local, (&claimed, &own), hub.as_ref()),
            move |(_, applied)| teller.tell(applied),
        )
        .await?;
    match staged.0 {
        Some(request) => Ok(submit(core, link, request).await.map(|_| ())),
        None => Ok(Ok(())),
    }
}

/// Makes the conversation of this account's devices. The inner error may pass.
async fn create_personal(core: &Arc<Core>, link: &Link, local: Local) -> Result<Result<(), CallError>, End> {
    let own = match claim_own(core, link).await {
        Ok(own) => own,
        Err(error) => return Ok(Err(error)),
    };
    let (me, teller, hub) = (core.me.clone(), Arc::clone(core), link.hub.clone());
    let (request, _) = core
        .store
        .run_and(
            move |tx| stage_between(tx, &me, local, (&[], &own), hub.as_ref()),
            move |(_, applied)| teller.tell(applied),
        )
        .await?;
    match request {
        Some(request) => Ok(submit(core, link, request).await.map(|_| ())),
        None => Ok(Ok(())),
    }
}

/// Key packages of this account's other devices, so that what is made here reaches them at once. Where there are none
/// to be had, they join by themselves.
pub(crate) async fn claim_own(core: &Core, link: &Link) -> Result<Vec<v1::ClaimedKeyPackage>, CallError> {
    let address = core.me.address().to_string();
    match link.call(v1::ClaimKeyPackages { address, ..Default::default() }).await {
        Ok(claimed) => Ok(claimed.key_packages),
        Err(CallError::Refused(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What a group is made as.
pub(crate) struct Founding<'f> {
    pub(crate) name: &'f ConversationName,
    pub(crate) suite: Suite,
    pub(crate) hub: Option<&'f HubSender>,
    pub(crate) me: &'f Address,
    /// The group that it continues.
    pub(crate) continues: Option<&'f Continued>,
}

/// Makes a group of these people and this account's other devices; without those where they are in the way.
pub(crate) fn found(
    mls: &Mls<'_>,
    &Founding { name, suite, hub, me, continues }: &Founding<'_>,
    people: &[Invitee<'_>],
    own: &[v1::ClaimedKeyPackage],
) -> Result<NewGroup, CreateError> {
    let roles = RoleTable::owned_by(me.clone()).continuing(continues.cloned());
    let all: Vec<_> = people.iter().cloned().chain(invitees(me, own)).collect();
    match mls.create_group(name, suite, &roles, hub, &all) {
        Err(error) if !own.is_empty() && !matches!(error, CreateError::Exists) => {
            tracing::debug!(%error, "this account's other devices join by themselves");
            mls.create_group(name, suite, &roles, hub, people)
        }
        made => made,
    }
}

/// Makes the group and the request of a conversation that is wanted, with these key packages of the other person and of
/// this account's other devices.
pub(crate) fn stage_between(
    tx: &Transaction<'_>,
    me: &Me,
    local: Local,
    (claimed, own): (&[v1::ClaimedKeyPackage], &[v1::ClaimedKeyPackage]),
    hub: Option<&HubSender>,
) -> Result<(Option<Pending>, Applied), ApplyError> {
    let mut out = Applied::default();
    let wanted = conversation::get(tx, local)?;
    // Their welcome may have come in the meantime.
    if wanted.state != State::Wanted {
        return Ok((None, out));
    }
    // Of two domains one is the hub, so that two people have one conversation.
    let domain = wanted.peer.as_ref().map_or(&me.address().domain, |peer| Address::hub_of(me.address(), peer));
    let name = ConversationName { domain: domain.clone(), id: fresh::conversation_id().map_err(StoreError::from)? };
    // Another hub's key is not known here: that one proposes nothing then.
    let hub = hub.filter(|_| name.domain == me.address().domain);
    let people = wanted.peer.iter().flat_map(|peer| invitees(peer, claimed));
    let invitees: Vec<_> = people.collect();
    // Between two, and with oneself, all devices that there will be have to follow it: the suite that each knows.
    let founding = Founding { name: &name, suite: Suite::Classical, hub, me: me.address(), continues: None };
    let made = me.with_mls(tx, |mls| found(mls, &founding, &invitees, own));
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
    let request = create_request(&name, wanted.kind, wanted.peer.as_ref(), staged)?;
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
    new: NewGroup,
) -> Result<Pending, StoreError> {
    let id = fresh::message_id()?;
    let counter = Counter(new.staged.as_ref().map_or(0, |_| 1));
    let request = v1::CreateConversation {
        conversation: Some(name.to_wire()),
        kind: kind.to_wire().into(),
        peer: peer.map(ToString::to_string).unwrap_or_default(),
        message_id: id.to_bytes(),
        group_info: new.group_info.into(),
        commit: new.staged.map(|staged| staged.to_wire()),
        again: false,
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
    let commit = matches!(request.method, Some(Method::SubmitCommit(_)));
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
                Ok((seq, chain)) if is_joining(tx, &pending, commit)? => joined(tx, &me, &pending, seq, &chain),
                Ok((seq, chain)) => accepted(tx, &pending, seq, &chain),
                Err(refused) if is_joining(tx, &pending, commit)? => not_joined(tx, &me, &pending, refused),
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

/// Is this the commit by which the device joins? Any other is made in a group that it is in.
fn is_joining(tx: &Transaction<'_>, pending: &Pending, commit: bool) -> Result<bool, StoreError> {
    Ok(commit && conversation::get(tx, pending.conversation)?.state == State::Creating)
}

/// This device is in: it reads what comes after its commit.
pub(crate) fn joined(
    tx: &Transaction<'_>,
    me: &Me,
    pending: &Pending,
    seq: Seq,
    chain: &[u8],
) -> Result<(Submitted, Applied), ApplyError> {
    let mut out = Applied { follow: true, outbox: true, ..Applied::default() };
    let conversation = conversation::get(tx, pending.conversation)?;
    let (local, name) = (conversation.local, conversation.named()?);
    if !pending::remove(tx, local, pending.id)? {
        return Ok((Submitted::Accepted(seq), out));
    }
    let chain = ChainValue::parse(chain).ok_or(StoreError::Corrupt("a chain value of the server"))?;
    conversation::set_position(tx, local, seq, &chain)?;
    if conversation.kind != Kind::Personal && returned::last(tx, local)?.is_none() {
        missed::begins_before_joining(tx, local)?;
    }
    out.own |= missed::ends(tx, local, seq)?;
    keep_own(tx, me, &conversation, pending, (seq, chain))?;
    conversation::raise_counter(tx, local, pending.counter)?;
    conversation::set_state(tx, local, State::Active)?;
    conversation::set_waiting(tx, local, None)?;
    conversation::set_renewed(tx, local, fresh::now_ms())?;
    unjoined::remove(tx, name)?;
    report::remove(tx, local)?;
    #[cfg(feature = "simulation")]
    me.with_mls(tx, |mls| crate::simulation::entered(name, &mut mls.group(name)));
    let known = conversation.peer.as_ref().map(|peer| contact::get(tx, peer)).transpose()?.flatten();
    conversation::set_request(tx, local, known.is_some_and(|known| known.state == ContactState::Pending))?;
    if conversation.kind != Kind::Personal {
        let texts = match returned::last(tx, local)? {
            Some(left) => come_back(tx, me, name, &left)?,
            None => vec!["This device has joined.".to_owned()],
        };
        for text in texts {
            out.events.push(Event::Message(message::notice(tx, local, &text)?));
        }
    }
    Ok((Submitted::Accepted(seq), out))
}

/// Keeps the commit by which this device has come in as one that it has read: others may not be able to follow it, and say so.
fn keep_own(
    tx: &Transaction<'_>,
    me: &Me,
    conversation: &Conversation,
    pending: &Pending,
    (seq, chain): (Seq, ChainValue),
) -> Result<(), StoreError> {
    let own = || StoreError::Corrupt("our own request");
    let request = v1::Request::decode(pending.request.clone()).map_err(|_| own())?;
    let Some(Method::SubmitCommit(v1::SubmitCommit { commit: Some(bundle), .. })) = request.method else {
        return Err(own());
    };
    let commit = LogEntry {
        conversation: conversation.named()?.clone(),
        seq,
        kind: EntryKind::Commit,
        epoch: Epoch(bundle.epoch),
        sender: Some(me.identity.device),
        counter: pending.counter,
        id: pending.id,
        // The server did not say.
        stored_ms: 0,
        chain,
        content: EntryContent::Body(bundle.commit),
    };
    entry::keep(tx, conversation.local, &commit)?;
    Ok(())
}

/// What is told to somebody whose device has come back: who came and went meanwhile, too, which no commit has told.
fn come_back(tx: &Transaction<'_>, me: &Me, name: &ConversationName, left: &Left) -> Result<Vec<String>, ApplyError> {
    let members = me.with_mls(tx, |mls| apply::members(&mut mls.group(name)))?;
    Ok(std::iter::once("This device has come back.".to_owned()).chain(apply::meanwhile(&members, left)).collect())
}

/// This device is not in: it is as before, and comes with another commit, or never.
fn not_joined(
    tx: &Transaction<'_>,
    me: &Me,
    pending: &Pending,
    refused: Box<Refused>,
) -> Result<(Submitted, Applied), ApplyError> {
    let out = Applied::default();
    let conversation = conversation::get(tx, pending.conversation)?;
    let local = conversation.local;
    if pending::remove(tx, local, pending.id)? {
        me.with_mls(tx, |mls| mls.group(conversation.named()?).delete().map_err(ApplyError::from))?;
        conversation::set_state(tx, local, State::Awaiting)?;
    }
    Ok(match refused.code {
        Some(Code::WrongEpoch) => (Submitted::Raced(refused.epoch), out),
        Some(Code::CommitReserved) => (Submitted::Reserved(refused.epoch, refused.retry_after), out),
        _ => (Submitted::Refused(refused), out),
    })
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
        conversation::set_waiting(tx, conversation.local, None)?;
        founding::keep(tx, pending, fresh::now_ms())?;
        if let Some(peer) = &conversation.peer {
            let known = contact::get(tx, peer)?.map_or(ContactState::Unspecified, |contact| contact.state);
            if known == ContactState::Unspecified {
                apply::set_contact(tx, peer, ContactState::Requested, &mut out)?;
            }
        }
    }
    if seq == Seq(0) || conversation.state == State::Awaiting || seq <= conversation.seq {
        // A group of one has no first entry that could come back, and what this device was out of does not either.
        pending::remove(tx, conversation.local, pending.id)?;
        conversation::raise_counter(tx, conversation.local, pending.counter)?;
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
        (Some(Code::CommitReserved), _) => Ok((Submitted::Reserved(refused.epoch, refused.retry_after), out)),
        (Some(Code::ConversationExists), Some(theirs)) => {
            if still {
                await_welcome(tx, &conversation, &theirs)?;
                out.elsewhere = true;
            }
            Ok((Submitted::Theirs, out))
        }
        _ => {
            if still && creating {
                match conversation.kind {
                    Kind::Direct | Kind::Personal => {
                        conversation::set_state(tx, conversation.local, State::Wanted)?;
                        apply::refuse_all(tx, &conversation, &refused.to_string(), &mut out)?;
                    }
                    Kind::Group | Kind::Inbox => {
                        apply::refuse_all(tx, &conversation, &refused.to_string(), &mut out)?;
                        if message::is_empty(tx, conversation.local)? {
                            conversation::remove(tx, conversation.local)?;
                        } else {
                            conversation::set_state(tx, conversation.local, State::Ended)?;
                        }
                    }
                }
            }
            Ok((Submitted::Refused(refused), out))
        }
    }
}

/// Somebody was first: what waits here goes into theirs, once this device is welcomed to it. To another device's of its own
/// account it goes by itself.
fn await_welcome(
    tx: &Transaction<'_>,
    conversation: &Conversation,
    theirs: &ConversationName,
) -> Result<(), StoreError> {
    tracing::debug!(conversation = %theirs.id, "the conversation that was made first is used");
    if conversation.kind == Kind::Personal {
        unjoined::put(tx, theirs, Kind::Personal)?;
    }
    conversation::set_state(tx, conversation.local, State::Awaiting)?;
    let waiting = match conversation.kind {
        Kind::Personal => "waiting until this device has joined the others",
        _ => "waiting for the other person's conversation to reach this device",
    };
    conversation::set_waiting(tx, conversation.local, Some(waiting))?;
    Ok(())
}
