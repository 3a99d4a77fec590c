//! Contact requests: asked, answered, implied.

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::Address,
    chain::{EntryContent, EntryKind, LogEntry},
    id::ConversationName,
    limits::REQUEST_BODY_MAX,
    v1::{ContactEvent, ContactNotice, ContactState, WelcomeNotice},
};

use super::{
    Backend,
    world::{World, wait},
};
use crate::store::*;

fn body(entry: &LogEntry) -> Bytes {
    let EntryContent::Body(body) = &entry.content else { panic!("no body") };
    body.clone()
}

/// The last thing in somebody's inbox, which must be a welcome.
pub fn last_welcome(world: &World, actor: &Actor) -> WelcomeNotice {
    let inbox = world.inbox(actor);
    let last = inbox.last().unwrap();
    assert_eq!(last.kind, EntryKind::Welcome);
    WelcomeNotice::decode(body(last)).unwrap()
}

pub fn state(world: &World, owner: &Actor, peer: &Actor) -> Option<ContactState> {
    let contacts = wait(world.store.list_contacts(owner, None, 100)).unwrap();
    contacts.into_iter().find(|contact| contact.address == *peer.address()).map(|contact| contact.state)
}

fn assert_told_of_acceptance(world: &World, actor: &Actor, by: &Actor) {
    let inbox = world.inbox(actor);
    let last = inbox.last().expect("an inbox entry");
    assert_eq!((last.kind, last.sender), (EntryKind::Contact, Some(by.device())));
    let notice = ContactNotice::decode(body(last)).unwrap();
    assert_eq!((notice.address, notice.event), (by.address().to_string(), ContactEvent::Accepted.into()));
}

pub fn a_stranger_places_one_small_message(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.create(&alice, world.new_direct(&bob));
    let welcome = last_welcome(&world, &bob);
    assert!(welcome.contact_request);
    assert_eq!((welcome.from.as_str(), welcome.seq), ("alice@localhost", 1));
    assert_eq!(ConversationName::parse(welcome.conversation.as_ref()).unwrap(), talk);
    assert_eq!(state(&world, &alice, &bob), Some(ContactState::Requested));
    assert_eq!(state(&world, &bob, &alice), Some(ContactState::Pending));

    let pending = Err(AppendError::ContactPending);
    let too_large = world.message(&alice, &talk, &vec![0; REQUEST_BODY_MAX + 1]);
    assert_eq!(world.append(&alice, &too_large), pending);
    let proposal = world.proposal(&alice, &talk, false);
    assert_eq!(world.append(&alice, &proposal), pending);
    assert_eq!(world.commit(&alice, &world.next_commit(&alice, &talk, &[], &[])), pending);
    let request = world.message(&alice, &talk, &vec![0; REQUEST_BODY_MAX]);
    let answer = world.append(&alice, &request).unwrap();
    assert_eq!(world.append(&alice, &request), Ok(answer));
    assert_eq!(world.append(&alice, &world.message(&alice, &talk, b"x")), pending);
    // Another device of hers is no other stranger.
    let other = world.another_device(&alice);
    assert_eq!(world.append(&other, &world.message(&other, &talk, b"x")), pending);
    assert_eq!(world.entries(&bob, &talk).len(), 2);
}

pub fn accepting_lets_the_other_write_and_tells_them(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&alice);
    let talk = world.create(&alice, world.new_direct(&bob));
    world.say(&alice, &talk, "may I?");
    world.answer(&bob, &alice, Consent::Accept).unwrap();
    for device in [&alice, &tablet] {
        assert_told_of_acceptance(&world, device, &bob);
    }
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        assert_eq!(state(&world, one, other), Some(ContactState::Accepted));
    }
    world.say(&alice, &talk, "thank you");
    // Said twice, told once.
    let told = world.inbox(&alice).len();
    world.answer(&bob, &alice, Consent::Accept).unwrap();
    assert_eq!(world.inbox(&alice).len(), told);
}

pub fn writing_back_accepts(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.create(&alice, world.new_direct(&bob));
    world.say(&alice, &talk, "may I?");
    // A refused message accepts nobody.
    let gap = world.numbered(&talk, qpc_proto::id::Counter(2), qpc_proto::id::Epoch(1), b"x");
    world.append(&bob, &gap).unwrap_err();
    assert_eq!(state(&world, &bob, &alice), Some(ContactState::Pending));
    world.say(&bob, &talk, "of course");
    assert_told_of_acceptance(&world, &alice, &bob);
    world.say(&alice, &talk, "thank you");
    assert_eq!(state(&world, &alice, &bob), Some(ContactState::Accepted));
}

pub fn creating_back_accepts_and_names_the_one_conversation(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    // Both at the same moment.
    let one = world.new_direct(&bob);
    let other = world.new_direct(&alice);
    let name = one.conversation.clone();
    let (one, other) = (world.store.create_conversation(&alice, one), world.store.create_conversation(&bob, other));
    assert_eq!(wait(one).unwrap().seq.0, 1);
    assert_eq!(wait(other), Err(CreateConversationError::DirectExists(name.clone())));
    assert_told_of_acceptance(&world, &alice, &bob);
    world.say(&alice, &name, "one");
    world.say(&alice, &name, "two");
    world.say(&bob, &name, "three");
    let contacts = wait(world.store.list_contacts(&alice, None, 10)).unwrap();
    assert_eq!(contacts.len(), 1);
    assert_eq!((contacts[0].state, &contacts[0].conversation), (ContactState::Accepted, &Some(name.clone())));
    // The asker creating again changes nothing.
    let again = wait(world.store.create_conversation(&alice, world.new_direct(&bob)));
    assert_eq!(again, Err(CreateConversationError::DirectExists(name)));
}

pub fn a_decline_looks_like_waiting(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.create(&alice, world.new_direct(&bob));
    world.say(&alice, &talk, "may I?");
    let inbox = world.inbox(&alice).len();
    world.answer(&bob, &alice, Consent::Decline).unwrap();
    world.answer(&bob, &alice, Consent::Decline).unwrap();
    assert_eq!(world.inbox(&alice).len(), inbox);
    assert_eq!(state(&world, &alice, &bob), Some(ContactState::Requested));
    assert_eq!(state(&world, &bob, &alice), Some(ContactState::Declined));
    assert_eq!(world.append(&alice, &world.message(&alice, &talk, b"x")), Err(AppendError::ContactPending));
    world.answer(&bob, &alice, Consent::Accept).unwrap();
    world.say(&alice, &talk, "after all");
}

pub fn what_was_not_asked_cannot_be_answered(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let not_found = Err(ContactError::NotFound);
    assert_eq!(world.answer(&bob, &alice, Consent::Accept), not_found);
    assert_eq!(world.answer(&bob, &alice, Consent::Decline), not_found);
    assert_eq!(world.answer(&bob, &bob, Consent::Block), not_found);
    let nobody = Actor::authenticated(alice.account(), alice.device(), super::world::address("nobody"));
    assert_eq!(world.answer(&bob, &nobody, Consent::Block), not_found);
    assert_eq!(world.answer(&bob, &alice, Consent::Unblock), Ok(()));
    world.answer(&bob, &alice, Consent::Block).unwrap();
    assert_eq!(world.answer(&bob, &alice, Consent::Accept), not_found);
    assert_eq!(state(&world, &bob, &alice), Some(ContactState::Blocked));
    world.answer(&bob, &alice, Consent::Unblock).unwrap();
    assert_eq!(state(&world, &bob, &alice), None);
}

pub fn contacts_are_listed_in_pages(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    for name in ["dave", "bob", "carol", "b-2", "b.1"] {
        world.friends(&alice, &world.person(name));
    }
    let (mut after, mut seen): (Option<Address>, Vec<String>) = (None, Vec::new());
    loop {
        let page = wait(world.store.list_contacts(&alice, after.clone(), 2)).unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.address.clone());
        seen.extend(page.iter().map(|contact| contact.address.name.as_str().to_owned()));
    }
    assert_eq!(seen, ["b-2", "b.1", "bob", "carol", "dave"]);
}
