//! Ephemeral events: sealed for the group of an epoch, opened as what their leaf says, and by nobody else.

use qpc_proto::{
    ephemeral::{self, Presently, Sealed},
    id::{Epoch, Seq},
    v1::Availability,
};

use super::*;
use crate::ephemeral::Keys;

fn said(read: u64) -> Presently {
    Presently {
        typing: true,
        delivered: Seq(read),
        read: Seq(read),
        availability: Availability::Unspecified,
        asks: false,
    }
}

fn key(person: &Person, name: &ConversationName) -> EphemeralKey {
    person.on(name, |group| group.ephemeral_key().unwrap())
}

fn id(person: &Person) -> DeviceId {
    person.device.verified().device()
}

/// What comes out, and whose it is.
fn opened(key: &EphemeralKey, sealed: &[u8], sender: DeviceId) -> Option<(String, Presently)> {
    let opened = key.open(&Sealed::parse(sealed).ok()?, sender);
    opened.map(|(address, said)| (address.name.to_string(), said))
}

#[test]
fn the_others_open_it_as_the_leafs_and_as_nobody_elses() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_of(&[&alice, &bob, &carol]);
    let sealed = key(&alice, &name).seal(7, &said(3)).unwrap();
    assert_eq!(sealed.len(), ephemeral::SEALED_LEN);
    let (bobs, carols) = (key(&bob, &name), key(&carol, &name));
    assert_eq!(bobs.accounts(), 3);
    for key in [&bobs, &carols] {
        assert_eq!(opened(key, &sealed, id(&alice)), Some(("alice".into(), said(3))));
        // The server says that another device has sent it: a member speaks for another one, or the server does.
        assert_eq!(opened(key, &sealed, id(&bob)), None);
    }
    // One's own, given back.
    assert_eq!(opened(&key(&alice, &name), &sealed, id(&alice)), None);
    // Any byte that is another one: of the header, the ciphertext, the tag.
    for place in 0..sealed.len() {
        let mut altered = sealed.to_vec();
        altered[place] ^= 1;
        assert_eq!(opened(&bobs, &altered, id(&alice)), None, "byte {place}");
    }
    assert_ne!(key(&alice, &name).seal(7, &said(3)).unwrap(), sealed, "a nonce twice");
}

#[test]
fn another_epoch_and_another_conversation_have_other_keys() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let sealed = key(&alice, &name).seal(7, &said(3)).unwrap();
    let before = key(&bob, &name);
    let commit = alice.on(&name, |group| group.update().unwrap().to_wire().commit);
    alice.merges(&name);
    bob.follows(&name, &commit).unwrap();
    let now = key(&bob, &name);
    assert_eq!(now.epoch(), before.epoch().next());
    assert!(opened(&before, &sealed, id(&alice)).is_some());
    assert!(opened(&now, &sealed, id(&alice)).is_none());
    // The same bytes, said to be of the later epoch.
    let mut moved = sealed.to_vec();
    moved[..8].copy_from_slice(&now.epoch().0.to_be_bytes());
    assert!(opened(&now, &moved, id(&alice)).is_none());
}

#[test]
fn a_counter_is_news_once_and_only_above_those_before() {
    let mut keys = Keys::default();
    let name = conversation(1);
    let leaf = (Epoch(1), 2);
    assert!(!keys.is_news(&name, leaf, 5), "of a conversation without a key");
    keys.know(&name, Epoch(1));
    let news: Vec<_> = [5, 5, 4, 6].into_iter().map(|counter| keys.is_news(&name, leaf, counter)).collect();
    assert_eq!(news, [true, false, false, true]);
    assert!(keys.is_news(&name, (Epoch(1), 3), 1), "of another leaf");
    assert!(keys.is_news(&name, (Epoch(2), 2), 1), "in another epoch");
}
