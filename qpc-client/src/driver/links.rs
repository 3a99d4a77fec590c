//! Who asks by a link to be let into a group is let in by whichever device comes first of those that may: after a random
//! moment, so that not all try at once. And this device's own requests are sent, until they are answered.
//!
//! What is to be done is in the store, here and on the server; a wake-up that is lost costs time, nothing else.

use std::{convert::Infallible, sync::Arc, time::Duration};

use prost::Message;
use qpc_proto::{error::Code, id::ConversationName, link::JoinRequest, suite::Suite, v1};
use rusqlite::Transaction;
use tokio::time::sleep;

use super::{
    change::{ChangeError, change},
    pending::invitees,
    session::End,
};
use crate::{
    apply::{self, Applied, ApplyError, Judged},
    core::Core,
    fresh,
    mls::{CommitError, Group, GroupError},
    store::{
        Local, StoreError,
        asked::{self, Asked},
        conversation::{self, State},
        join_due,
    },
    transport::{CallError, Link},
    trust::Me,
};

/// Longest moment before somebody is let in.
const MOMENT: Duration = Duration::from_millis(1500);
/// Pause before what could not be done is tried again.
const PAUSE: Duration = Duration::from_secs(30);
/// So much later than a link's end it is told: clocks differ, and the server's counts.
const SLACK_MS: u64 = 60_000;

/// Is there anything to do when a connection begins? What whoever is gone was sending is sent again.
pub(super) fn are_due(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    asked::ground_all(tx)?;
    Ok(!asked::all(tx)?.is_empty() || !join_due::all(tx)?.is_empty())
}

/// Lets in and asks until the connection ends; at once where something is due.
pub(super) async fn run(core: &Arc<Core>, link: &Link, due: bool) -> Result<Infallible, End> {
    if !due {
        core.links.notified().await;
    }
    loop {
        let left = ask(core, link).await? | let_in(core, link).await?;
        let ends = core.store.run(next_end).await?;
        let wait = ends.into_iter().chain(left.then_some(PAUSE)).min();
        tokio::select! {
            biased;
            () = core.links.notified() => {}
            () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}

/// Sends requests of this device that the server does not have; says whether something is left for another time.
async fn ask(core: &Arc<Core>, link: &Link) -> Result<bool, End> {
    let mut left = false;
    for Asked { name, request, expires_ms, flying } in core.store.run(asked::all).await? {
        match expires_ms {
            None if flying => {}
            None => match ask_once(link, &request).await {
                Ok(expires_ms) => core.store.run(move |tx| asked::waits(tx, &name, expires_ms)).await?,
                Err(CallError::Refused(refused)) if refused.code.is_some_and(Code::retryable) => left = true,
                // The welcome is on its way.
                Err(error) if error.code() == Some(Code::AlreadyMember) => {
                    core.store.run(move |tx| asked::remove(tx, &name)).await?;
                }
                Err(CallError::Refused(refused)) => not_let_in(core, name, refused.code).await?,
                Err(error) => return Err(error.into()),
            },
            Some(end) if end.saturating_add(SLACK_MS) <= fresh::now_ms() => {
                not_let_in(core, name, Some(Code::LinkExpired)).await?;
            }
            Some(_) => {}
        }
    }
    Ok(left)
}

/// Sends a request; gives when its link ends.
pub(crate) async fn ask_once(link: &Link, request: &[u8]) -> Result<u64, CallError> {
    let request = v1::JoinRequest::decode(request).map_err(|_| CallError::Protocol("a request that was not kept"))?;
    Ok(link.call(v1::AskToJoin { request: Some(request) }).await?.expires_ms)
}

async fn not_let_in(core: &Arc<Core>, name: ConversationName, code: Option<Code>) -> Result<(), End> {
    let teller = Arc::clone(core);
    core.store
        .run_and(
            move |tx| {
                let mut out = Applied::default();
                apply::not_let_in(tx, &name, code, &mut out)?;
                Ok::<_, StoreError>(out)
            },
            move |applied| teller.tell(applied),
        )
        .await?;
    Ok(())
}

/// How long until the first link ends by which this device waits.
fn next_end(tx: &Transaction<'_>) -> Result<Option<Duration>, StoreError> {
    let ends = asked::all(tx)?.into_iter().filter_map(|asked| asked.expires_ms);
    let left = |end: u64| end.saturating_add(SLACK_MS).saturating_sub(fresh::now_ms()).max(1);
    Ok(ends.min().map(|end| Duration::from_millis(left(end))))
}

/// A group in which somebody may wait.
struct Place {
    local: Local,
    name: ConversationName,
    suite: Suite,
}

/// Lets in who waits; says whether something is left for another time.
async fn let_in(core: &Arc<Core>, link: &Link) -> Result<bool, End> {
    let due = core.store.run(join_due::all).await?;
    if due.is_empty() {
        return Ok(false);
    }
    sleep(fresh::jitter(MOMENT)).await;
    let mut left = false;
    for (local, times) in due {
        let me = core.me.clone();
        let here = match core.store.run(move |tx| place(tx, &me, local)).await? {
            Some(place) => answer(core, link, &place).await?,
            None => false,
        };
        if !here {
            core.store.run(move |tx| join_due::done(tx, local, times)).await?;
        }
        left |= here;
    }
    Ok(left)
}

/// The group, if this account may add people to it.
fn place(tx: &Transaction<'_>, me: &Me, local: Local) -> Result<Option<Place>, ApplyError> {
    let conversation = conversation::get(tx, local)?;
    let (Some(name), State::Active) = (conversation.name, conversation.state) else { return Ok(None) };
    me.with_mls(tx, |mls| {
        let mut group = mls.group(&name);
        if !apply::may_add(&mut group, me.address())? {
            return Ok(None);
        }
        match group.suite() {
            Ok(suite) => Ok(Some(Place { local, name, suite })),
            Err(GroupError::Fault(fault)) => Err(fault.into()),
            Err(GroupError::NoGroup | GroupError::Removed) => Ok(None),
        }
    })
}

/// Answers all requests of a group; says whether something is left for another time.
async fn answer(core: &Arc<Core>, link: &Link, place: &Place) -> Result<bool, End> {
    let listed = match link.call(v1::ListJoinRequests { conversation: Some(place.name.to_wire()) }).await {
        Ok(listed) => listed,
        Err(CallError::Refused(refused)) => return Ok(refused.code.is_some_and(Code::retryable)),
        Err(error) => return Err(error.into()),
    };
    let mut left = false;
    for wire in listed.requests {
        let (local, name, teller) = (place.local, place.name.clone(), Arc::clone(core));
        let (judged, _) = core
            .store
            .run_and(
                move |tx| {
                    let mut out = Applied::default();
                    let judged = apply::judge(tx, local, &name, &wire, fresh::now_ms())?;
                    if judged == Judged::Forged {
                        out.alarm(tx, forged(&name))?;
                    }
                    Ok::<_, StoreError>((judged, out))
                },
                move |(_, applied): &(_, Applied)| teller.tell(applied),
            )
            .await?;
        if let Judged::LetIn(request) = judged {
            left |= !admit(core, link, place, *request).await?;
        }
    }
    Ok(left)
}

fn forged(name: &ConversationName) -> String {
    format!(
        "The server passed on a request to be let into the group {name} that nobody with a link has made: not let in."
    )
}

/// Lets one in; `false` where it is to be tried again.
async fn admit(core: &Arc<Core>, link: &Link, place: &Place, request: JoinRequest) -> Result<bool, End> {
    let claim = v1::ClaimKeyPackages { address: request.address().to_string(), suite: place.suite.to_wire() };
    let claimed = match link.call(claim).await {
        Ok(claimed) if place.suite == Suite::Classical || claimed.devices_without.is_empty() => claimed.key_packages,
        // A device of theirs does not know the suite of this group: they ask again once it does.
        Ok(_) => return Ok(true),
        Err(CallError::Refused(refused)) => return Ok(!refused.code.is_some_and(Code::retryable)),
        Err(error) => return Err(error.into()),
    };
    let operation = Arc::new(move |_: &Transaction<'_>, group: &mut Group<'_>| {
        group.let_in(&request, &invitees(request.address(), &claimed))
    });
    match change(core, link, place.local, operation).await {
        Ok(()) => Ok(true),
        // Another device was faster.
        Err(ChangeError::Mls(CommitError::AlreadyMember(_))) => Ok(true),
        Err(ChangeError::Mls(error)) => {
            tracing::debug!(%error, "somebody who asks can't be let in");
            Ok(true)
        }
        // The link is over, or they were let in.
        Err(ChangeError::Refused(refused)) => {
            tracing::debug!(%refused, "somebody who asks may not be let in");
            Ok(!refused.code.is_some_and(Code::retryable))
        }
        // What is lost ends the connection by itself, and a request whose outcome is unknown goes out again.
        Err(ChangeError::Busy | ChangeError::Hub(_) | ChangeError::Call(_)) => Ok(false),
        Err(ChangeError::Apply(error)) => Err(error.into()),
    }
}
