//! Appending: order, counters, ids, epochs.

use std::{collections::BTreeMap, sync::Arc, thread};

use qpc_proto::{
    chain::{ChainValue, EntryContent, EntryKind},
    id::{Counter, Epoch, Seq},
};

use super::{
    Backend,
    world::{World, genesis, inbox_of, wait},
};
use crate::store::*;

pub fn entries_are_chained_and_gap_free(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let answers = [world.say(&alice, &talk, "one"), world.say(&bob, &talk, "two"), world.say(&alice, &talk, "three")];
    let entries = world.entries(&bob, &talk);
    assert_eq!(entries.len(), 4);
    for (answer, entry) in answers.iter().zip(&entries[1..]) {
        assert_eq!((answer.seq, answer.chain, answer.stored_ms), (entry.seq, entry.chain, entry.stored_ms));
    }
    assert_eq!(entries.iter().map(|entry| entry.counter.0).collect::<Vec<_>>(), [1, 2, 1, 3]);
    assert_eq!(entries[2].sender, Some(bob.device()));
    assert_eq!(entries[2].epoch, Epoch(1));
    assert!(matches!(&entries[2].content, EntryContent::Body(body) if body == "two"));
    assert!(world.entries(&alice, &talk) == entries);
}

pub fn the_same_message_is_stored_once(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let first = world.message(&alice, &talk, b"one");
    let answer = world.append(&alice, &first).unwrap();
    world.say(&alice, &talk, "two");
    world.commit(&bob, &world.next_commit(&bob, &talk, &[], &[])).unwrap();
    // Answered alike, though there are later ones and the epoch has moved on; even at another time.
    let late = Append { now_ms: first.now_ms + 1000, ..first };
    assert_eq!(world.append(&alice, &late), Ok(answer));
    assert_eq!(world.entries(&bob, &talk).len(), 4);
    let commit = world.next_commit(&bob, &talk, &[], &[]);
    let answer = world.commit(&bob, &commit).unwrap();
    assert_eq!(world.commit(&bob, &commit), Ok(answer));
}

pub fn a_used_counter_or_id_is_a_conflict(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let sent = world.message(&alice, &talk, b"one");
    world.append(&alice, &sent).unwrap();
    let conflict = Err(AppendError::IdConflict);
    let other_body = Append { body: b"two".as_slice().into(), ..sent.clone() };
    let other_id = Append { id: world.message_id(), ..sent.clone() };
    let other_counter = Append { counter: sent.counter.next(), ..sent.clone() };
    let other_kind = Append { kind: EntryKind::Proposal, ..sent.clone() };
    for wrong in [other_body, other_id, other_counter, other_kind] {
        assert_eq!(world.append(&alice, &wrong), conflict);
    }
    let of_bob = Append { counter: Counter(1), ..sent };
    assert_eq!(world.append(&bob, &of_bob), conflict);
    assert_eq!(world.entries(&bob, &talk).len(), 2);
}

pub fn counters_have_no_gaps(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let send = |actor: &Actor, counter| world.append(actor, &world.numbered(&talk, Counter(counter), Epoch(1), b"x"));
    assert_eq!(send(&alice, 3), Err(AppendError::CounterGap(Counter(1))));
    assert_eq!(send(&alice, 0), Err(AppendError::CounterGap(Counter(1))));
    assert_eq!(send(&bob, 2), Err(AppendError::CounterGap(Counter(0))));
    send(&alice, 2).unwrap();
    send(&bob, 1).unwrap();
    // Each device counts for itself.
    send(&world.another_device(&alice), 1).unwrap();
    send(&alice, 3).unwrap();
}

pub fn messages_of_another_epoch_are_refused(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    for epoch in [0, 2] {
        let message = world.numbered(&talk, Counter(2), Epoch(epoch), b"x");
        assert_eq!(world.append(&alice, &message), Err(AppendError::WrongEpoch(Epoch(1))));
    }
    // A refused message may be made anew under its id.
    let refused = world.numbered(&talk, Counter(2), Epoch(0), b"x");
    world.append(&alice, &refused).unwrap_err();
    world.append(&alice, &Append { epoch: Epoch(1), body: b"y".as_slice().into(), ..refused }).unwrap();
}

pub fn strangers_find_no_conversation(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, eve) = (world.person("alice"), world.person("bob"), world.person("eve"));
    let talk = world.friends(&alice, &bob);
    for name in [talk.clone(), world.name(), inbox_of(&alice), inbox_of(&eve)] {
        let message = world.numbered(&name, Counter(1), Epoch(1), b"x");
        assert_eq!(world.append(&eve, &message), Err(AppendError::NotFound));
        let commit = CommitAppend {
            conversation: name.clone(),
            id: world.message_id(),
            counter: Counter(1),
            bundle: super::world::bundle(1, &[], &[]),
            now_ms: 1,
        };
        assert_eq!(world.commit(&eve, &commit), Err(AppendError::NotFound));
    }
    for name in [talk, world.name(), inbox_of(&alice)] {
        assert_eq!(world.page(&eve, &name, 0).err(), Some(ReadError::NotFound));
        assert_eq!(world.positions(&eve, &[(&name, 0)]), Ok(vec![None]));
    }
}

pub fn counters_outlive_many_entries(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let early = world.message(&bob, &talk, b"early");
    let answer = world.append(&bob, &early).unwrap();
    let replies: Vec<_> = (2..=700)
        .map(|counter| world.store.append(&alice, world.numbered(&talk, Counter(counter), Epoch(1), b"more")))
        .collect();
    for reply in replies {
        wait(reply).unwrap();
    }
    let check = |world: &World| {
        assert_eq!(world.info(&alice, &talk).counter, Counter(700));
        assert_eq!(world.info(&bob, &talk).counter, Counter(1));
        assert_eq!(world.append(&bob, &early), Ok(answer));
        let gap = world.numbered(&talk, Counter(3), Epoch(1), b"x");
        assert_eq!(world.append(&bob, &gap), Err(AppendError::CounterGap(Counter(1))));
    };
    check(&world);
    if let Some(world) = world.reopened(backend) {
        check(&world);
        world.say(&bob, &talk, "two");
        assert_eq!(world.entries(&alice, &talk).len(), 702);
    }
}

pub fn the_sink_sees_the_order_of_the_log(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let group = world.group(&alice, &[&bob, &carol]);
    world.told();
    let replies: Vec<_> = (1..=50)
        .map(|counter| world.store.append(&bob, world.numbered(&group, Counter(counter), Epoch(1), b"x")))
        .collect();
    let answers: Vec<_> = replies.into_iter().map(|reply| wait(reply).unwrap()).collect();
    let told = world.told();
    assert_eq!(told.len(), 50);
    for (answer, told) in answers.iter().zip(&told) {
        assert_eq!((told.entry.seq, told.entry.chain), (answer.seq, answer.chain));
        let Audience::Members(members) = &told.audience else { panic!("an inbox entry") };
        assert_eq!(members.len(), 3);
        assert_eq!(told.withheld_from, None);
    }
}

pub fn verbs_take_effect_in_the_order_of_calls(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    // Nothing is awaited in between.
    let one = world.store.append(&alice, world.numbered(&talk, Counter(2), Epoch(1), b"one"));
    let gap = world.store.append(&alice, world.numbered(&talk, Counter(4), Epoch(1), b"four"));
    let two = world.store.append(&alice, world.numbered(&talk, Counter(3), Epoch(1), b"two"));
    let revoke = world.store.revoke_device(&alice, alice.device());
    let late = world.store.append(&alice, world.numbered(&talk, Counter(4), Epoch(1), b"late"));
    assert_eq!(wait(one).unwrap().seq, Seq(2));
    assert_eq!(wait(gap), Err(AppendError::CounterGap(Counter(2))));
    assert_eq!(wait(two).unwrap().seq, Seq(3));
    assert_eq!(wait(revoke), Ok(()));
    assert_eq!(wait(late), Err(AppendError::DeviceGone));
}

pub fn many_senders_at_once_leave_no_gap(backend: &dyn Backend) {
    let world = World::new(backend);
    let people: Vec<_> = (0..6).map(|n| world.person(&format!("person{n}"))).collect();
    let group = world.group(&people[0], &people[1..].iter().collect::<Vec<_>>());
    let head = world.info(&people[0], &group).head;
    world.told();
    let work: Vec<_> = people
        .iter()
        .map(|actor| {
            let first = world.info(actor, &group).counter.0 + 1;
            let messages: Vec<_> =
                (first..first + 40).map(|n| world.numbered(&group, Counter(n), Epoch(1), b"x")).collect();
            (actor.clone(), messages)
        })
        .collect();
    let store: &Arc<dyn Store> = &world.store;
    thread::scope(|scope| {
        for (actor, messages) in &work {
            scope.spawn(move || {
                for message in messages {
                    wait(store.append(actor, message.clone())).unwrap();
                }
            });
        }
    });
    let entries = world.entries(&people[0], &group);
    assert_eq!(entries.len() as u64, head.0 + 240);
    let mut last: BTreeMap<_, Counter> = BTreeMap::new();
    for entry in &entries {
        let before = last.insert(entry.sender, entry.counter).unwrap_or_default();
        assert_eq!(entry.counter, before.next(), "a device's own order");
    }
    let told: Vec<_> = world.told().iter().map(|told| told.entry.seq).collect();
    let added = entries.iter().map(|entry| entry.seq).filter(|seq| *seq > head);
    assert_eq!(told, added.collect::<Vec<_>>());
    let chain = entries.iter().fold(genesis(&group), |chain, entry| ChainValue::after(&chain, &entry.header()));
    assert_eq!(chain, entries.last().unwrap().chain);
}
