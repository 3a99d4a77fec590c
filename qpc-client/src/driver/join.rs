//! Conversations of the account that this device is not in: joined by itself, by external commits (RFC 9420 section
//! 12.4.3.2). A new device finds all of them in the server's list; later ones its inbox names.
//!
//! The commit and its request are durable before they are sent, as every change of a group; the group counts only once
//! the server has accepted it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::BytesMut;
use qpc_proto::{
    error::Code,
    id::{ConversationName, Counter},
    limits::TREE_MAX,
    v1,
};
use rusqlite::Transaction;
use tokio::time::{sleep, timeout};

use super::{
    change::submit_commit,
    contacts,
    pending::{Submitted, submit},
    report,
    roster::{self, Pages},
    session::End,
};
use crate::{
    api::Event,
    apply::{self, Applied, ApplyError},
    core::Core,
    fresh,
    mls::{Coming, JoinError, Violation},
    store::{
        StoreError,
        conversation::{self, Kind, State},
        due::{self, What},
        message, outbox,
        pending::{self, Pending},
        returned, unjoined,
    },
    transport::{CallError, Link},
    trust::Me,
};

/// How often a commit is made anew when others are first, before the conversation waits for another round.
const ATTEMPTS: usize = 8;
/// Longest moment before that.
const MOMENT: Duration = Duration::from_millis(300);
/// Longest wait for a turn to join.
const TURN: Duration = Duration::from_secs(1);
/// So long a device that has to join waits for what else there is for it.
const WELCOME: Duration = Duration::from_secs(10);
/// Pause before conversations that could not be joined are tried again.
const PAUSE: Duration = Duration::from_secs(30);

/// Joins until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    loop {
        // A welcome that is on its way spares the group a commit, and is good for what was said since.
        let mut caught_up = core.caught_up.subscribe();
        drop(timeout(WELCOME, caught_up.wait_for(|caught_up| *caught_up)).await);
        let left = match round(core, link).await {
            Ok(left) => left,
            // It passes, or the device is gone: then the connection ends by itself, after whatever else it has to say.
            Err(End::Call(CallError::Refused(refused))) => {
                tracing::debug!(%refused, "what the account is in could not be read");
                true
            }
            Err(end) => return Err(end),
        };
        tokio::select! {
            biased;
            () = core.elsewhere.notified() => {}
            () = sleep(PAUSE), if left => {}
        }
    }
}

/// Asks what has to be asked, and joins what is to be joined; says whether something is left for another time.
async fn round(core: &Arc<Core>, link: &Link) -> Result<bool, End> {
    // Before the conversations: they are shown as requests, or not, by what is said here.
    contacts::when_due(core, link).await?;
    list_when_due(core, link).await?;
    let mut left = false;
    for (name, kind) in core.store.run(unjoined::all).await? {
        left |= !join(core, link, &name, kind).await?;
    }
    // What waited for all to be joined.
    core.own.notify_one();
    Ok(left)
}

/// Notes the conversations of the account that are not known here, if it has to be asked.
async fn list_when_due(core: &Arc<Core>, link: &Link) -> Result<(), End> {
    let Some(times) = core.store.run(|tx| due::get(tx, What::Conversations)).await? else { return Ok(()) };
    let mut pages = Pages::new(link);
    while let Some(page) = pages.next().await? {
        core.store.run(move |tx| page.iter().try_for_each(|listed| note(tx, listed))).await?;
    }
    core.store.run(move |tx| due::done(tx, What::Conversations, times)).await?;
    // What waited for the list.
    core.own.notify_one();
    core.progressed();
    Ok(())
}

fn note(tx: &Transaction<'_>, listed: &v1::Conversation) -> Result<(), StoreError> {
    match (ConversationName::parse(listed.conversation.as_ref()), Kind::from_wire(listed.kind())) {
        // Who is alone in a conversation of two has lost the other one: it is over.
        (Ok(_), Some(Kind::Direct)) if listed.members.len() < 2 => Ok(()),
        (Ok(name), Some(kind)) if !is_in(tx, &name)? => unjoined::put(tx, &name, kind),
        _ => Ok(()),
    }
}

/// Is this device in it, or about to be? What it follows no further stays as it is: a person has been told.
fn is_in(tx: &Transaction<'_>, name: &ConversationName) -> Result<bool, StoreError> {
    let known = conversation::by_name(tx, name)?;
    Ok(known.is_some_and(|known| matches!(known.state, State::Creating | State::Active)))
}

/// Joins one; `false` where it has to be tried again.
async fn join(core: &Arc<Core>, link: &Link, name: &ConversationName, kind: Kind) -> Result<bool, End> {
    for _ in 0..ATTEMPTS {
        if !is_settled(core, name).await? {
            return Ok(false);
        }
        if !report::and_wait(core, link, name).await? {
            return Ok(false);
        }
        let group = match read(link, name).await {
            Ok(group) => group,
            // This account is not in it any more.
            Err(CallError::Refused(refused)) if refused.code == Some(Code::NotFound) => {
                is_out(core, name).await?;
                return Ok(true);
            }
            Err(CallError::Refused(refused)) if refused.code == Some(Code::WrongEpoch) => continue,
            Err(CallError::Refused(refused)) => {
                tracing::debug!(%refused, "a group could not be read");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(request) = stage(core, name.clone(), kind, group).await? else { return Ok(true) };
        let _hold = core.hold(request.conversation);
        match submit(core, link, request).await {
            Ok(Submitted::Accepted(_)) => return Ok(true),
            Ok(Submitted::Raced(_)) => sleep(fresh::jitter(MOMENT)).await,
            // It does not see the epochs go by; but when it comes again it knows its turn.
            Ok(Submitted::Reserved(_, wait)) => sleep(wait.min(TURN)).await,
            Ok(Submitted::Refused(refused)) => {
                tracing::debug!(%refused, "a device may not join");
                match refused.code {
                    // The server has more of this device's entries than the home knows of: the next attempt counts on.
                    Some(Code::CounterGap | Code::IdConflict) => count_on(core, link, name).await?,
                    Some(Code::NotFound) => {
                        is_out(core, name).await?;
                        return Ok(true);
                    }
                    // Who is alone in a conversation of two has lost the other one: it is over.
                    Some(Code::Forbidden) if kind == Kind::Direct => {
                        is_out(core, name).await?;
                        return Ok(true);
                    }
                    // It is in it once the other one has accepted, of which the inbox tells.
                    Some(Code::ContactPending) => {
                        forget(core, name).await?;
                        return Ok(true);
                    }
                    _ => return Ok(false),
                }
            }
            Ok(Submitted::Theirs) => return Ok(false),
            Err(CallError::Refused(refused)) if refused.code.is_some_and(Code::retryable) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Takes the server's word for this device's last counter.
pub(super) async fn count_on(core: &Arc<Core>, link: &Link, name: &ConversationName) -> Result<(), End> {
    let Some(listed) = roster::find(link, name).await? else { return Ok(()) };
    let name = name.clone();
    core.store
        .run(move |tx| match conversation::by_name(tx, &name)? {
            Some(known) => conversation::set_counter(tx, known.local, Counter(listed.counter)),
            None => Ok(()),
        })
        .await?;
    Ok(())
}

/// Waits until the server has said of everything that was encrypted for the group as it was, and of a commit of then, whether
/// it has it: what this device does next has the next number.
async fn is_settled(core: &Arc<Core>, name: &ConversationName) -> Result<bool, End> {
    let name = name.clone();
    let settled = core.wait_for(core.transport.timeout, move |tx| {
        let unsettled = match conversation::by_name(tx, &name)? {
            // Its commit of before; the one by which it comes in belongs to another state.
            Some(known) if known.state == State::Awaiting => {
                outbox::has_sealed(tx, known.local)? || pending::id_of(tx, known.local)?.is_some()
            }
            _ => false,
        };
        Ok((!unsettled).then_some(()))
    });
    Ok(settled.await?.is_some())
}

/// The account is not in it any more: what this device was about to come into has ended.
async fn is_out(core: &Arc<Core>, name: &ConversationName) -> Result<(), End> {
    let (me, teller, name) = (core.me.clone(), Arc::clone(core), name.clone());
    core.store
        .run_and(
            move |tx| {
                let mut out = Applied::default();
                unjoined::remove(tx, &name)?;
                if let Some(known) = conversation::by_name(tx, &name)?
                    && matches!(known.kind, Kind::Group | Kind::Direct)
                    && known.state == State::Awaiting
                {
                    let told = message::notice(tx, known.local, "You are no longer in this conversation.")?;
                    out.events.push(Event::Message(told));
                    me.with_mls(tx, |mls| apply::end(tx, &known, &mut mls.group(&name), &mut out))?;
                }
                Ok::<_, ApplyError>(out)
            },
            move |applied| teller.tell(applied),
        )
        .await?;
    Ok(())
}

async fn forget(core: &Arc<Core>, name: &ConversationName) -> Result<(), End> {
    let name = name.clone();
    Ok(core.store.run(move |tx| unjoined::remove(tx, &name)).await?)
}

/// A group as the server shows it.
struct Shown {
    group_info: bytes::Bytes,
    tree: BytesMut,
}

/// Reads a group, all of one epoch.
async fn read(link: &Link, name: &ConversationName) -> Result<Shown, CallError> {
    let request =
        |offset, epoch| v1::ReadGroup { conversation: Some(name.to_wire()), offset, epoch, ..Default::default() };
    let first = link.call(request(0, 0)).await?;
    let size = usize::try_from(first.tree_size).ok().filter(|size| *size <= TREE_MAX);
    let size = size.ok_or(CallError::Protocol("a group that is larger than a group can be"))?;
    let mut tree = BytesMut::from(first.tree.as_ref());
    while tree.len() < size {
        let offset = u64::try_from(tree.len()).unwrap_or(u64::MAX);
        let page = link.call(request(offset, first.epoch)).await?;
        if page.tree.is_empty() || page.epoch != first.epoch {
            return Err(CallError::Protocol("a page of a group without anything in it"));
        }
        tree.extend_from_slice(&page.tree);
    }
    Ok(Shown { group_info: first.group_info, tree })
}

async fn stage(core: &Arc<Core>, name: ConversationName, kind: Kind, group: Shown) -> Result<Option<Pending>, End> {
    let (me, teller) = (core.me.clone(), Arc::clone(core));
    let staged = core
        .store
        .run_and(
            move |tx| stage_join(tx, &me, &name, kind, (&group.group_info, &group.tree)),
            move |(_, applied)| teller.tell(applied),
        )
        .await?;
    Ok(staged.0)
}

/// Makes the commit, with its request; nothing where this device is in already, or refuses to be.
pub(crate) fn stage_join(
    tx: &Transaction<'_>,
    me: &Me,
    name: &ConversationName,
    kind: Kind,
    (group_info, tree): (&[u8], &[u8]),
) -> Result<(Option<Pending>, Applied), ApplyError> {
    let mut out = Applied::default();
    if is_in(tx, name)? {
        unjoined::remove(tx, name)?;
        return Ok((None, out));
    }
    let left = match conversation::by_name(tx, name)? {
        Some(known) => returned::last(tx, known.local)?,
        None => None,
    };
    let coming = left.map_or(Coming::First, |left| Coming::Again { after: left.epoch });
    let joining = match me.with_mls(tx, |mls| mls.join_by_commit(name, coming, group_info, tree)) {
        Ok(joining) => joining,
        Err(error) => {
            not_joined(tx, me, name, error, &mut out)?;
            return Ok((None, out));
        }
    };
    me.pin_all(tx, joining.joined.members.iter().map(|member| &member.device))?;
    let Some(conversation) = apply::enter(tx, me, name, kind, &joining.joined, &mut out)? else {
        me.with_mls(tx, |mls| mls.group(name).delete())?;
        unjoined::remove(tx, name)?;
        return Ok((None, out));
    };
    conversation::set_state(tx, conversation.local, State::Creating)?;
    conversation::set_epoch(tx, conversation.local, joining.joined.epoch)?;
    let counter: Counter = conversation.counter.next();
    let pending = submit_commit(name, conversation.local, counter, &joining.staged)?;
    pending::put(tx, &pending)?;
    Ok((Some(pending), out))
}

/// Says why a group is not joined, where a person has to know. It is not tried again until something has changed.
fn not_joined(
    tx: &Transaction<'_>,
    me: &Me,
    name: &ConversationName,
    error: JoinError,
    out: &mut Applied,
) -> Result<(), ApplyError> {
    match error {
        JoinError::Fault(fault) => return Err(fault.into()),
        JoinError::AlreadyMember => {}
        JoinError::Refused(refusal) => out.refused(tx, me, &refusal)?,
        JoinError::NotAllowed(Violation::Stranger(_)) => out.alarm(
            tx,
            format!(
                "The server names the conversation {name} as yours, and none of your devices is in it: not joined."
            ),
        )?,
        error => out.alarm(tx, format!("This device can't join the conversation {name} of your account: {error}."))?,
    }
    Ok(unjoined::remove(tx, name)?)
}
