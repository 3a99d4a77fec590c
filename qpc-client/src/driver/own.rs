//! What this device tells the others of its account, in their personal conversation: what was read and compared here, and
//! what was said before one of them came. It goes through the outbox like any message.

use std::{convert::Infallible, sync::Arc, time::Duration};

use qpc_proto::{
    content::{Content, Kind as Said},
    id::DeviceId,
    limits::OWN_DEVICES_MAX,
    v1,
};
use rusqlite::Transaction;
use tokio::time::{Instant, sleep};

use super::session::End;
use crate::{
    core::Core,
    fresh,
    store::{
        Local, StoreError, conversation,
        due::{self, What},
        history, message, outbox, unjoined, verification,
    },
    transport::{CallError, Link},
    trust::Me,
};

/// What happens within this time is told together.
const MOMENT: Duration = Duration::from_millis(300);
/// A new device asks for what was said before as soon as it is in its conversations, and after this long in any case: there
/// may be one that it can't come into.
const JOINING: Duration = Duration::from_secs(60);
/// A question that nobody has answered to the end within this time is asked anew, at the next connection.
const PATIENCE_MS: u64 = 10 * 60 * 1000;
/// Between two looks at whether what was missed is read, or pages of an answer have left.
const PAUSE: Duration = Duration::from_millis(200);
/// Pages of an answer that wait in the outbox, at most.
const PAGES_AHEAD: usize = 4;
/// Bytes of a page; a message above it has one of its own.
const PAGE_BYTES: usize = OWN_DEVICES_MAX / 4 * 3;
/// Of each kind in one message.
const NEWS_MAX: u32 = 100;

/// Tells until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    let began = Instant::now();
    give_up(core, link).await?;
    let mut first = true;
    loop {
        let (me, arriving) = (core.me.clone(), began.elapsed() < JOINING);
        let missed = !*core.caught_up.borrow();
        let now = At { first, joining: arriving, reading: arriving && missed };
        let next = core.store.run(move |tx| step(tx, &me, now)).await?;
        first = false;
        if next != Next::Nothing {
            // A conversation that does not exist yet is made first.
            core.errands.notify_one();
            core.outbox.notify_one();
        }
        match next {
            Next::Nothing | Next::Said => {
                core.own.notified().await;
                sleep(MOMENT).await;
            }
            Next::Later(pause) => {
                tokio::select! {
                    biased;
                    () = core.own.notified() => {}
                    () = sleep(pause) => {}
                }
            }
        }
    }
}

/// Where nobody has answered in time, and nobody is left who could: each other device waits itself, and has said what it has.
/// Then there is no more to be had, and what there is is everything.
async fn give_up(core: &Core, link: &Link) -> Result<(), End> {
    if !core.store.run(is_overdue).await? {
        return Ok(());
    }
    let listed = match link.call(v1::ListDevices {}).await {
        Ok(listed) => listed.devices,
        Err(CallError::Refused(refused)) => {
            tracing::debug!(%refused, "the account's devices could not be read");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let all: Result<Vec<_>, _> = listed.iter().map(|device| DeviceId::parse(&device.device_id)).collect();
    let Ok(mut others) = all else { return Ok(()) };
    others.retain(|device| *device != core.me.identity.device);
    core.store
        .run(move |tx| match history::all_in_part(tx, &others)? {
            true => history::answered(tx, fresh::now_ms()),
            false => Ok(()),
        })
        .await?;
    Ok(())
}

/// Has this device asked, and is not answered to the end after that long?
fn is_overdue(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    let wanted = history::wanted(tx)?;
    Ok(wanted.is_some_and(|(_, asked_ms)| fresh::now_ms() >= PATIENCE_MS.saturating_add(asked_ms)))
}

/// What to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// There was nothing to say.
    Nothing,
    /// All was said.
    Said,
    /// There will be more, after this long.
    Later(Duration),
}

/// Whether this device asks for what was said before it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Now,
    /// Once it is in its conversations: what is said until then, the others have to tell as well.
    Soon,
    No,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct At {
    /// It is its first step.
    pub(crate) first: bool,
    /// The device may still be about to come into conversations.
    pub(crate) joining: bool,
    /// It may still read what it has missed: only then it has everything that another one asks for.
    pub(crate) reading: bool,
}

/// Puts what is to be told into the outbox.
pub(crate) fn step(tx: &Transaction<'_>, me: &Me, at: At) -> Result<Next, StoreError> {
    let asks = asks(tx, at)?;
    // Whoever joins says when it is done.
    let soon = Next::Later(JOINING);
    let personal = match conversation::personal(tx)? {
        Some(personal) => personal,
        None if asks == Asks::Now => conversation::want_personal(tx, me.address())?,
        None if asks == Asks::Soon => return Ok(soon),
        None => return Ok(Next::Nothing),
    };
    let mut told = v1::OwnDevices {
        read: message::take_read_untold(tx, NEWS_MAX)?,
        marks: verification::take_untold(tx, NEWS_MAX)?,
        ..Default::default()
    };
    if asks == Asks::Now {
        let request = fresh::random()?;
        history::ask(tx, &request)?;
        told.history_wanted = request.to_vec().into();
    }
    let mut next = Next::Nothing;
    if told != v1::OwnDevices::default() {
        say(tx, personal.local, told)?;
        next = Next::Said;
    }
    if asks == Asks::Soon {
        next = soon;
    }
    Ok(answer(tx, personal.local, at.reading)?.unwrap_or(next))
}

/// Is it time to ask for what was said before this device came?
fn asks(tx: &Transaction<'_>, at: At) -> Result<Asks, StoreError> {
    // The personal conversation may be in the list that is being read.
    if due::get(tx, What::Conversations)?.is_some() {
        return Ok(Asks::No);
    }
    if let Some(times) = due::get(tx, What::History)? {
        if at.joining && !unjoined::all(tx)?.is_empty() {
            return Ok(Asks::Soon);
        }
        due::done(tx, What::History, times)?;
        return Ok(Asks::Now);
    }
    Ok(if at.first && is_overdue(tx)? { Asks::Now } else { Asks::No })
}

/// Answers another device's question, some pages at a time.
fn answer(tx: &Transaction<'_>, personal: Local, reading: bool) -> Result<Option<Next>, StoreError> {
    let Some(asked) = history::asked(tx)? else { return Ok(None) };
    let wait = asked.begin_ms.saturating_sub(fresh::now_ms());
    if wait > 0 {
        return Ok(Some(Next::Later(Duration::from_millis(wait))));
    }
    if !reading && outbox::of_conversation(tx, personal)?.len() < PAGES_AHEAD {
        let page = history::page(tx, &asked, PAGE_BYTES)?;
        say(tx, personal, v1::OwnDevices { history: Some(page), ..Default::default() })?;
    }
    Ok(Some(Next::Later(PAUSE)))
}

fn say(tx: &Transaction<'_>, personal: Local, told: v1::OwnDevices) -> Result<(), StoreError> {
    let content = Content::new(fresh::now_ms(), Said::OwnDevices(told));
    let content = content.encode().map_err(|_| StoreError::Corrupt("more than devices can tell each other at once"))?;
    outbox::put(tx, personal, fresh::message_id()?, &content)
}
