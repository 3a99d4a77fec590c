//! What this device says: composed, sealed, sent.

use std::sync::Arc;

use qpc_proto::{
    ephemeral::{Event, Presently},
    id::{ConversationName, Seq},
    limits::EPHEMERAL_MEMBERS_MAX,
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
        typing: told.typing && state.is_typing(name),
        delivered: if told.delivered { here.delivered } else { Seq(0) },
        read: if told.read { here.read } else { Seq(0) },
        availability,
        asks: due.asks,
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
    let Some(key) = state.keys.current(tx, &core.me, (name, conversation.epoch))? else { return Ok(None) };
    if key.accounts() > EPHEMERAL_MEMBERS_MAX {
        return Ok(None);
    }
    let counter = state.says(name, said);
    drop(state);
    let sealed = key.seal(counter, &said)?;
    Ok(Some(Event { conversation: name.clone(), sealed, sender: None }))
}
