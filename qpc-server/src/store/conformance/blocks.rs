//! Blocks: enforced by the store, invisible to the blocked.

use qpc_proto::{
    chain::{Digest, EntryContent},
    v1::ContactState,
};

use super::{
    Backend,
    contacts::{last_welcome, state},
    world::World,
};
use crate::store::*;

pub fn a_block_withholds_bodies_and_shows_nothing(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    world.say(&alice, &talk, "before");
    world.answer(&bob, &alice, Consent::Block).unwrap();
    world.told();
    let inbox = world.inbox(&alice).len();
    world.say(&alice, &talk, "during");
    world.commit(&alice, &world.next_commit(&alice, &talk, &[], &[])).unwrap();
    let told = world.told();
    assert_eq!(told[0].withheld_from, Some(bob.account()));
    // Handshakes go through, or the conversation could never go on.
    assert_eq!(told[1].withheld_from, None);
    // Writing to somebody who is blocked does not end the block.
    world.say(&bob, &talk, "you are blocked");
    assert_eq!(world.told()[0].withheld_from, None);
    assert_eq!(world.inbox(&alice).len(), inbox);
    assert_eq!(state(&world, &bob, &alice), Some(ContactState::Blocked));
    assert_eq!(state(&world, &alice, &bob), Some(ContactState::Accepted));

    world.answer(&bob, &alice, Consent::Unblock).unwrap();
    world.say(&alice, &talk, "after");
    let check = |world: &World| {
        let of_bob = world.entries(&bob, &talk);
        let bodies: Vec<_> = of_bob.iter().map(|entry| matches!(entry.content, EntryContent::Body(_))).collect();
        assert_eq!(bodies, [true, true, false, true, true, true]);
        assert!(of_bob[2].content == EntryContent::Removed(Digest::of(b"during")));
        let of_alice = world.entries(&alice, &talk);
        assert!(of_alice.iter().all(|entry| matches!(entry.content, EntryContent::Body(_))));
        assert_eq!(of_alice.last().unwrap().chain, of_bob.last().unwrap().chain);
    };
    check(&world);
    if let Some(world) = world.reopened(backend) {
        check(&world);
    }
}

pub fn a_blocked_request_is_stored_and_its_welcome_held(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.answer(&bob, &alice, Consent::Block).unwrap();
    let talk = world.create(&alice, world.new_direct(&bob));
    world.say(&alice, &talk, "may I?");
    assert!(world.inbox(&bob).is_empty());
    assert_eq!(state(&world, &alice, &bob), Some(ContactState::Requested));
    assert_eq!(world.append(&alice, &world.message(&alice, &talk, b"x")), Err(AppendError::ContactPending));

    world.answer(&bob, &alice, Consent::Unblock).unwrap();
    let welcome = last_welcome(&world, &bob);
    assert!(welcome.contact_request);
    assert_eq!(state(&world, &bob, &alice), Some(ContactState::Pending));
    assert!(matches!(world.entries(&bob, &talk)[1].content, EntryContent::Removed(_)));
    world.answer(&bob, &alice, Consent::Accept).unwrap();
    world.say(&alice, &talk, "thank you");
    // Delivered once.
    world.answer(&bob, &alice, Consent::Unblock).unwrap();
    assert_eq!(world.inbox(&bob).len(), 1);
}

pub fn a_blocked_contact_can_be_added_without_a_word(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.friends(&alice, &bob);
    world.answer(&bob, &alice, Consent::Block).unwrap();
    let inbox = world.inbox(&bob).len();
    let group = world.create(&alice, world.new_group(&[&bob]));
    assert_eq!(world.info(&alice, &group).members.len(), 2);
    assert_eq!(world.inbox(&bob).len(), inbox);
    world.answer(&bob, &alice, Consent::Unblock).unwrap();
    assert_eq!(last_welcome(&world, &bob).seq, 1);
}

pub fn a_block_holds_so_many_welcomes(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.friends(&alice, &bob);
    world.answer(&bob, &alice, Consent::Block).unwrap();
    let inbox = world.inbox(&bob).len();
    for _ in 0..70 {
        world.create(&alice, world.new_group(&[&bob]));
    }
    world.answer(&bob, &alice, Consent::Unblock).unwrap();
    assert_eq!(world.inbox(&bob).len(), inbox + 64);
}
