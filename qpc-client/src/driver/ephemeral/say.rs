//! What this device says: composed, sealed, sent.

use std::sync::Arc;

use qpc_proto::{
    ephemeral::{Event, Presently},
    id::{ConversationName, Seq},
    v1::{Availability, ContactState},
};
use rusqlite::Transaction;

use super::End;
use crate::{
    apply::ApplyError,
    core::Core,
    ephemeral::Due,
    store::{
        contact,
        conversation::{self, Conversation, Kind, State, Trusted},
        receipt, tell,
    },
    transport::Link,
};

/// Accounts of a conversation up to which receipts are said there: each of all is handed to all others.
pub(super) const RECEIPTS_MAX: usize = 8;
/// Accounts up to which it is said that somebody is writing.
const TYPING_MAX: usize = 16;

/// Says what is due.
pub(super) async fn say(core: &Arc<Core>, link: &Link) -> Result<(), End> {
    let due = core.ephemerals.lock().take_due();
    if due.is_empty() {
        return Ok(());
    }
    let composer = Arc::clone(core);
    let events = core.store.run(move |tx| {
        let events = due.iter().map(|(name, due)| compose(tx, &composer, name, *due));
        Ok::<_, ApplyError>(events.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect::<Vec<_>>())
    });
    for event in events.await? {
        if !link.send_datagram(&event.encode()) {
            core.ephemerals.goes_on_stream(event.to_wire());
        }
    }
    Ok(())
}

/// Is anything said and heard in a conversation?
pub(super) fn is_open(conversation: &Conversation) -> bool {
    let kind = matches!(conversation.kind, Kind::Direct | Kind::Group);
    kind && conversation.state == State::Active && conversation.trusted == Trusted::Yes && !conversation.request
}

fn compose(tx: &Transaction<'_>, core: &Core, name: &ConversationName, due: Due) -> Result<Option<Event>, ApplyError> {
    let Some(conversation) = conversation::by_name(tx, name)?.filter(is_open) else { return Ok(None) };
    let told = tell::told(tx)?;
    let here = receipt::own(tx, conversation.local)?;
    let mut state = core.ephemerals.lock();
    let Some(key) = state.keys.current(tx, &core.me, (name, conversation.epoch))? else { return Ok(None) };
    let (few, some) = (key.accounts() <= RECEIPTS_MAX, key.accounts() <= TYPING_MAX);
    let last = state.last_said(name);
    let availability = match &conversation.peer {
        Some(peer) if told.presence && conversation.kind == Kind::Direct => {
            let contact = contact::get(tx, peer)?;
            let accepted = contact.is_some_and(|contact| contact.state == ContactState::Accepted);
            if accepted { Availability::Online } else { Availability::Unspecified }
        }
        // Whoever was told that the person is there is told that this is over.
        _ if last.is_some_and(|last| last.what.availability == Availability::Online) => Availability::Away,
        _ => Availability::Unspecified,
    };
    let said = Presently {
        typing: told.typing && some && state.is_typing(name),
        delivered: if told.delivered && few { here.delivered } else { Seq(0) },
        read: if told.read && few { here.read } else { Seq(0) },
        availability,
        asks: due.asks && few,
    };
    let nothing = Presently {
        typing: false,
        delivered: Seq(0),
        read: Seq(0),
        availability: Availability::Unspecified,
        asks: false,
    };
    let before = last.map_or(nothing, |last| Presently { asks: false, ..last.what });
    // Where only that is withdrawn which was told of messages, there is nothing to withdraw.
    let same = said == before;
    if same && (!due.again || said == nothing) {
        return Ok(None);
    }
    let counter = state.says(name, said);
    drop(state);
    let sealed = key.seal(counter, &said)?;
    Ok(Some(Event { conversation: name.clone(), sealed, sender: None }))
}
