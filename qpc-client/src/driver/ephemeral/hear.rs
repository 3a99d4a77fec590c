//! What others say: opened, looked at, told.

use std::sync::Arc;

use qpc_proto::{
    ephemeral::{EphemeralError, Event as Wire, Sealed},
    id::{DeviceId, Seq},
    v1::Availability,
};
use rusqlite::Transaction;

use super::{
    End,
    say::{RECEIPTS_MAX, is_open},
};
use crate::{
    api::Event,
    apply::ApplyError,
    core::Core,
    ephemeral::Ahead,
    fresh,
    store::{
        conversation::{self, Conversation, Kind},
        receipt::{self, Positions},
    },
};

/// By how much an event's time may differ from this machine's for what passes: one that is older was kept back.
const FRESH_MS: u64 = 5 * 60 * 1_000;

/// Hears one event. One that is not understood is nothing.
pub(super) async fn hear(core: &Arc<Core>, event: Result<Wire, EphemeralError>) -> Result<(), End> {
    let Ok(event) = event else { return Ok(()) };
    let listener = Arc::clone(core);
    let told = core.store.run(move |tx| Ok::<_, ApplyError>(receive(tx, &listener, &event)?.unwrap_or_default()));
    tell(core, told.await?);
    Ok(())
}

/// Looks again at receipts of what was not here when they came.
pub(super) async fn catch_up(core: &Arc<Core>) -> Result<(), End> {
    let ahead = core.ephemerals.lock().take_ahead();
    if ahead.is_empty() {
        return Ok(());
    }
    let listener = Arc::clone(core);
    let told = core.store.run(move |tx| {
        let mut events = Vec::new();
        for ahead in ahead {
            if let Some(conversation) = conversation::by_name(tx, &ahead.conversation)? {
                let said = Positions { delivered: ahead.delivered, read: ahead.read };
                events.extend(raise(tx, &listener, &conversation, (ahead.account, ahead.device), said)?);
            }
        }
        Ok::<_, ApplyError>(events)
    });
    tell(core, told.await?);
    Ok(())
}

fn tell(core: &Core, events: Vec<Event>) {
    if events.iter().any(|event| matches!(event, Event::Receipt { .. })) {
        core.progressed();
    }
    events.into_iter().for_each(|event| core.events.tell(event));
}

/// What there is to tell of an event; `None` where it is none of this conversation's members, or an old one.
fn receive(tx: &Transaction<'_>, core: &Core, event: &Wire) -> Result<Option<Vec<Event>>, ApplyError> {
    let (Some(sender), Ok(sealed)) = (event.sender, Sealed::parse(&event.sealed)) else { return Ok(None) };
    let Some(conversation) = conversation::by_name(tx, &event.conversation)?.filter(is_open) else { return Ok(None) };
    let (name, header) = (&event.conversation, sealed.header);
    let mut state = core.ephemerals.lock();
    let Some(current) = state.keys.current(tx, &core.me, (name, conversation.epoch))? else { return Ok(None) };
    let key = if header.epoch == current.epoch() { Some(current) } else { state.keys.before(name, header.epoch) };
    let Some(key) = key else { return Ok(None) };
    let Some((address, said)) = key.open(&sealed, sender) else { return Ok(None) };
    if address == core.me.address() || !state.keys.is_news(name, (header.epoch, header.leaf), header.counter) {
        return Ok(None);
    }
    let account = address.to_string();
    let mut events = Vec::new();
    let sent_ms = header.counter.checked_div(1_000).unwrap_or_default();
    if sent_ms.abs_diff(fresh::now_ms()) <= FRESH_MS {
        events.extend(state.typist((name, &conversation.title), &account, said.typing));
        if conversation.kind == Kind::Direct && said.availability != Availability::Unspecified {
            events.extend(state.is_there(&account, said.availability == Availability::Online));
        }
    }
    if said.asks && key.accounts() <= RECEIPTS_MAX {
        state.asked(name);
        core.ephemerals.woken.notify_one();
    }
    drop(state);
    let said = Positions { delivered: said.delivered, read: said.read };
    events.extend(raise(tx, core, &conversation, (account, sender), said)?);
    Ok(Some(events))
}

/// Notes how far somebody is. Nobody has what was not said yet; it may be on its way here.
fn raise(
    tx: &Transaction<'_>,
    core: &Core,
    conversation: &Conversation,
    (account, device): (String, DeviceId),
    said: Positions,
) -> Result<Option<Event>, ApplyError> {
    let here = conversation.seq;
    let known = |said: Seq| said.min(here);
    if said.delivered > here || said.read > here {
        let name = conversation.named()?.clone();
        let (delivered, read) = (said.delivered, said.read);
        let ahead = Ahead { conversation: name, account: account.clone(), device, delivered, read };
        core.ephemerals.lock().is_ahead(ahead);
    }
    let said = Positions { delivered: known(said.delivered), read: known(said.read) };
    let now = receipt::raise(tx, conversation.local, (&account, device), said, fresh::now_ms())?;
    Ok(now.map(|now| Event::Receipt {
        conversation: conversation.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        title: conversation.title.clone(),
        address: account,
        delivered: now.delivered.0,
        read: now.read.0,
    }))
}
