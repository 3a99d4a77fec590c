//! Contacts: consent has a direction, a block shows to nobody but its owner.

use qpc_proto::{
    address::{Address, Domain},
    chain::EntryKind,
    id::AccountId,
    v1::{ContactEvent, ContactNotice},
};

use super::{
    inbox::{self, Notice},
    participant, present,
};
use crate::store::{
    Actor, Consent, ContactDecision, ContactError, ContactInfo, Refusal, StoreFault, rules,
    tables::{Say, Stance, Tables},
};

pub(in crate::store) fn answer_contact(
    tables: &mut dyn Tables,
    actor: &Actor,
    decision: &ContactDecision,
) -> Result<(), ContactError> {
    present(tables, actor)?;
    let peer = participant(tables, &decision.peer)?.ok_or(ContactError::NotFound)?.id;
    if peer == actor.account() {
        return Err(ContactError::NotFound);
    }
    let mine = tables.stance(actor.account(), peer)?;
    match (decision.answer, mine.say) {
        (Consent::Block, _) => {
            tables.set_stance(actor.account(), peer, Stance { blocked: true, ..mine })?;
        }
        (Consent::Unblock, _) => {
            tables.set_stance(actor.account(), peer, Stance { blocked: false, ..mine })?;
            release(tables, actor, peer, decision.now_ms)?;
        }
        // Under a block a request does not show, so it can't be answered.
        (Consent::Accept | Consent::Decline, _) if mine.blocked => return Err(ContactError::NotFound),
        (Consent::Accept, Say::Accepted) | (Consent::Decline, Say::Declined) => {}
        (Consent::Accept, Say::Pending | Say::Declined) => accept(tables, actor, peer, mine, decision.now_ms)?,
        (Consent::Decline, Say::Pending) => {
            tables.set_stance(actor.account(), peer, Stance { say: Say::Declined, ..mine })?;
        }
        (Consent::Accept, Say::Nothing) | (Consent::Decline, Say::Nothing | Say::Accepted) => {
            return Err(ContactError::NotFound);
        }
    }
    if tables.stance(actor.account(), peer)? != mine {
        tell_own(tables, actor, peer, decision.now_ms)?;
    }
    Ok(())
}

/// Tells the actor's other devices that it stands otherwise to somebody than before.
pub(super) fn tell_own(tables: &mut dyn Tables, actor: &Actor, peer: AccountId, now_ms: u64) -> Result<(), StoreFault> {
    let Some(peer) = tables.account(peer)? else { return Ok(()) };
    let notice =
        ContactNotice { address: peer.address.to_string(), event: ContactEvent::Changed.into(), ..Default::default() };
    for device in tables.devices_of(actor.account())? {
        if device.id != actor.device() {
            let notice = Notice::contact(&notice, actor.device(), now_ms);
            inbox::deliver(tables, &actor.address().domain, &device, notice)?;
        }
    }
    Ok(())
}

/// Lets the peer write, and tells its devices so that what waits there is sent.
fn accept(
    tables: &mut dyn Tables,
    actor: &Actor,
    peer: AccountId,
    mine: Stance,
    now_ms: u64,
) -> Result<(), StoreFault> {
    tables.set_stance(actor.account(), peer, Stance { say: Say::Accepted, ..mine })?;
    let notice = ContactNotice {
        address: actor.address().to_string(),
        event: ContactEvent::Accepted.into(),
        ..Default::default()
    };
    inbox::tell_account(tables, peer, || Notice::contact(&notice, actor.device(), now_ms))
}

/// Writing to somebody who has asked accepts them, unless they are blocked.
pub(super) fn accept_by_writing(
    tables: &mut dyn Tables,
    actor: &Actor,
    peer: AccountId,
    now_ms: u64,
) -> Result<(), StoreFault> {
    let mine = tables.stance(actor.account(), peer)?;
    match mine.say {
        Say::Pending | Say::Declined if !mine.blocked => {
            accept(tables, actor, peer, mine, now_ms)?;
            tell_own(tables, actor, peer, now_ms)
        }
        _ => Ok(()),
    }
}

/// Delivers the welcomes that a block held back from the actor's devices.
fn release(tables: &mut dyn Tables, actor: &Actor, peer: AccountId, now_ms: u64) -> Result<(), StoreFault> {
    let domain: &Domain = &actor.address().domain;
    for held in tables.take_held(actor.account(), peer)? {
        if let Some(device) = tables.device(held.device)? {
            let notice = Notice {
                kind: EntryKind::Welcome,
                sender: Some(held.sender),
                id: Some(held.id),
                body: held.notice,
                now_ms,
            };
            inbox::deliver(tables, domain, &device, notice)?;
        }
    }
    Ok(())
}

pub(in crate::store) fn list_contacts(
    tables: &mut dyn Tables,
    actor: &Actor,
    after: Option<&Address>,
    limit: usize,
) -> Result<Vec<ContactInfo>, Refusal> {
    present(tables, actor)?;
    let mut contacts = Vec::new();
    for (peer, address, mine) in tables.contacts_after(actor.account(), after, limit)? {
        let theirs = tables.stance(peer, actor.account())?;
        contacts.push(ContactInfo {
            address,
            state: rules::contact_state(mine, theirs),
            conversation: tables.direct(actor.account(), peer)?,
        });
    }
    Ok(contacts)
}
