//! Retention and figures.

use qpc_proto::{
    chain::{Digest, EntryContent},
    id::{ConversationName, Counter, Epoch, Seq},
};

use super::{
    Backend,
    world::{World, inbox_of, verify, wait},
};
use crate::store::*;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Runs retention until nothing is due.
pub fn retain(world: &World, bodies_before_ms: u64, entries_before_ms: u64) {
    for _ in 0..10_000 {
        if !wait(world.store.retention_step(Retention { bodies_before_ms, entries_before_ms, batch: 3 })).unwrap() {
            return;
        }
    }
    panic!("retention never ends");
}

pub fn retention_takes_bodies_then_entries_and_keeps_the_chain(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let (talk, other) = (world.friends(&alice, &bob), world.group(&alice, &[]));
    let start = world.now_ms.get();
    let mut answers = Vec::new();
    for hour in 1..=10 {
        world.now_ms.set(start + hour * HOUR_MS);
        let message = world.message(&alice, &talk, format!("hour {hour}").as_bytes());
        answers.push((message.clone(), world.append(&alice, &message).unwrap()));
    }
    // Entry 1 is the commit, entry n + 1 the message of hour n.
    retain(&world, start + 6 * HOUR_MS, start);
    let entries = world.entries(&bob, &talk);
    let bodies: Vec<_> = entries.iter().map(|entry| matches!(entry.content, EntryContent::Body(_))).collect();
    assert_eq!(bodies, [true, false, false, false, false, false, true, true, true, true, true]);
    assert!(entries[3].content == EntryContent::Removed(Digest::of(b"hour 3")));
    // The same message still has the same answer.
    assert_eq!(world.append(&alice, &answers[2].0), Ok(answers[2].1));
    assert_eq!(world.position(&bob, &talk, 4).chain, entries[3].chain);

    retain(&world, start + 6 * HOUR_MS, start + 3 * HOUR_MS);
    let page = world.page(&bob, &talk, 1).unwrap();
    verify(&page);
    assert_eq!((page.floor, page.floor_chain), (Seq(3), entries[2].chain));
    assert_eq!(page.entries.len(), 8);
    let position = world.position(&bob, &talk, 1);
    assert_eq!((position.after, position.chain), (Seq(3), entries[2].chain));

    retain(&world, u64::MAX, u64::MAX);
    let page = world.page(&bob, &talk, 0).unwrap();
    assert_eq!((page.entries.len(), page.floor, page.head), (0, Seq(11), Seq(11)));
    let next = |world: &World| {
        let at = world.say(&alice, &talk, "goes on");
        let page = world.page(&bob, &talk, 0).unwrap();
        verify(&page);
        assert_eq!(page.head, at.seq);
        // Retention goes on as well.
        retain(world, u64::MAX, u64::MAX);
        assert_eq!(world.page(&bob, &talk, 0).unwrap().floor, at.seq);
    };
    next(&world);
    assert_eq!(world.info(&alice, &other).head, Seq(0));
    let Some(world) = world.reopened(backend) else { return };
    next(&world);
}

pub fn whoever_is_behind_what_is_kept_is_to_be_taken_out(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let group = world.group(&alice, &[&bob]);
    let (read, unread) = (world.say(&alice, &group, "read by bob"), world.say(&alice, &group, "and not"));
    for (reader, seq) in [(&alice, unread.seq), (&bob, read.seq)] {
        world.acknowledge(reader, &group, seq.0);
    }
    let due = |world: &World| -> Vec<_> {
        let due = wait(world.store.departures(10)).unwrap();
        let due = due.into_iter().filter(|gone| gone.conversation == group);
        due.map(|gone| (gone.device, gone.account_gone)).collect()
    };
    // Bob has read all that is gone.
    world.now_ms.set(world.now_ms.get() + HOUR_MS);
    let later = world.say(&alice, &group, "an hour later");
    world.acknowledge(&alice, &group, later.seq.0);
    world.acknowledge(&bob, &group, unread.seq.0);
    retain(&world, u64::MAX, world.now_ms.get());
    assert_eq!(due(&world), []);
    retain(&world, u64::MAX, u64::MAX);
    let behind = [(bob.device(), false)];
    assert_eq!(due(&world), behind);
    let world = if backend.persistent() { world.reopened(backend).unwrap() } else { world };
    assert_eq!(due(&world), behind);
    // He is out, or came in anew.
    world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&bob])).unwrap();
    assert_eq!(due(&world), []);
}

pub fn counters_outlive_their_entries(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let sent = world.message(&bob, &talk, b"one");
    world.append(&bob, &sent).unwrap();
    retain(&world, u64::MAX, u64::MAX);
    let check = |world: &World| {
        assert_eq!(world.info(&alice, &talk).counter, Counter(1));
        assert_eq!(world.info(&bob, &talk).counter, Counter(1));
        // Its entry is gone, so it can't be compared; it is not stored again.
        assert_eq!(world.append(&bob, &sent), Err(AppendError::IdConflict));
        let gap = world.numbered(&talk, Counter(3), Epoch(1), b"x");
        assert_eq!(world.append(&bob, &gap), Err(AppendError::CounterGap(Counter(1))));
    };
    check(&world);
    if let Some(world) = world.reopened(backend) {
        check(&world);
    }
}

pub fn an_inbox_keeps_what_is_not_acknowledged_until_commits_days(backend: &dyn Backend) {
    let world = World::new(backend);
    let bob = world.person("bob");
    for name in ["alice", "carol", "dave"] {
        world.create(&world.person(name), world.new_direct(&bob));
    }
    let inbox = inbox_of(&bob);
    retain(&world, u64::MAX, 0);
    assert_eq!(world.inbox(&bob).len(), 3);
    world.acknowledge(&bob, &inbox, 2);
    // A cursor never falls back, nor does it go beyond the head.
    world.acknowledge(&bob, &inbox, 1);
    retain(&world, 0, 0);
    assert_eq!(world.inbox(&bob).len(), 3);
    retain(&world, u64::MAX, 0);
    let page = world.page(&bob, &inbox, 0).unwrap();
    verify(&page);
    assert_eq!((page.floor, page.entries.len()), (Seq(2), 1));
    world.acknowledge(&bob, &inbox, 99);
    retain(&world, u64::MAX, 0);
    assert_eq!(world.page(&bob, &inbox, 0).unwrap().floor, Seq(3));
    world.create(&world.person("erin"), world.new_direct(&bob));
    assert_eq!(world.inbox(&bob).last().unwrap().seq, Seq(4));

    // A device that never comes back: what waits for it goes in the end, and one that does is told what is gone.
    let young_ms = world.now_ms.get() + HOUR_MS;
    world.now_ms.set(young_ms);
    world.create(&world.person("frank"), world.new_direct(&bob));
    let chain = world.inbox(&bob)[0].chain;
    retain(&world, young_ms, young_ms);
    let told = |world: &World| {
        let page = world.page(&bob, &inbox, 3).unwrap();
        verify(&page);
        assert_eq!((page.floor, page.floor_chain, page.entries.len()), (Seq(4), chain, 1));
        let position = world.position(&bob, &inbox, 3);
        assert_eq!((position.after, position.chain, position.head), (Seq(4), chain, Seq(5)));
        // This one, and the commit that frank's own device has not acknowledged.
        assert_eq!(wait(world.store.figures(0, young_ms)).unwrap().undelivered, 2);
    };
    told(&world);
    if let Some(world) = world.reopened(backend) {
        told(&world);
    }
}

pub fn undelivered_entries_are_counted(backend: &dyn Backend) {
    const DAY_MS: u64 = 24 * HOUR_MS;
    let world = World::new(backend);
    let figures = |since| wait(world.store.figures(since, world.now_ms.get())).unwrap();
    let undelivered = || figures(0).undelivered;
    assert_eq!(figures(0), StoreFigures::default());
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    assert_eq!((undelivered(), wait(world.store.count_accounts()).unwrap()), (0, 3));
    // The request in bob's inbox, and the creating commit for the creator's own device.
    let talk = world.create(&alice, world.new_direct(&bob));
    assert_eq!(undelivered(), 2);
    assert_eq!(figures(0).oldest_ms, Some(world.now_ms.get()));
    world.acknowledge(&bob, &inbox_of(&bob), 1);
    world.acknowledge(&alice, &talk, 1);
    assert_eq!((undelivered(), figures(0).oldest_ms), (0, None));

    world.say(&bob, &talk, "hello");
    let first_ms = world.now_ms.get();
    world.now_ms.set(first_ms + 5);
    world.say(&bob, &talk, "there");
    // Two messages for two devices, and the acceptance in alice's inbox.
    assert_eq!(undelivered(), 5);
    assert_eq!(figures(0).oldest_ms, Some(first_ms));
    world.acknowledge(&bob, &talk, 3);
    world.acknowledge(&alice, &talk, 2);
    assert_eq!(undelivered(), 2);
    world.acknowledge(&alice, &talk, 3);
    world.acknowledge(&alice, &inbox_of(&alice), 1);
    assert_eq!(undelivered(), 0);

    // Who is removed waits for what they may still read.
    let group = world.group(&alice, &[&carol]);
    for (actor, log) in [(&alice, inbox_of(&alice)), (&carol, inbox_of(&carol)), (&alice, group.clone())] {
        world.acknowledge(actor, &log, 99);
    }
    let before = undelivered();
    world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&carol])).unwrap();
    world.say(&alice, &group, "alone");
    assert_eq!(undelivered(), before + 3);
    world.acknowledge(&carol, &group, 99);
    assert_eq!(undelivered(), before + 2);
    // Devices that were not here for long do not count, nor do those that are gone.
    let later = world.now_ms.get() + 10 * DAY_MS;
    wait(world.store.touch_device(&bob, later)).unwrap();
    assert_eq!(figures(later - DAY_MS).undelivered, 0);
    wait(world.store.delete_account(&alice, world.now_ms.get())).unwrap();
    assert_eq!(undelivered(), 2);
}

/// A log's place is where to look first. It may have become another's since it was asked.
pub fn a_cursor_is_found_by_its_place_or_by_its_name(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let (talk, other) = (world.friends(&alice, &bob), world.group(&alice, &[]));
    let undelivered = || wait(world.store.figures(0, 0)).unwrap().undelivered;
    let place = |log| world.position(&alice, log, 0).place;
    let record = |reader: &Actor, log: &ConversationName, place, seq| {
        wait(world.store.record_cursors(vec![Acknowledged::by(reader.into(), log.clone(), place, Seq(seq))])).unwrap();
    };
    for text in ["one", "two", "three"] {
        world.say(&alice, &talk, text);
    }
    let before = undelivered();
    // Where it is, nowhere, and where bob reads nothing, which the name makes good. Again, and back, it says nothing new.
    for (read, place) in [(1, place(&talk)), (2, LogPlace(i64::MAX)), (3, place(&other))] {
        for seq in [read + 1, read + 1, 1] {
            record(&bob, &talk, place, seq);
        }
        assert_eq!(undelivered(), before - read);
    }
    // Who may not read a log has no cursor there, whatever the place.
    let left = undelivered();
    record(&bob, &other, place(&other), 9);
    record(&bob, &other, LogPlace(i64::MAX), 9);
    world.say(&alice, &other, "alone");
    assert_eq!(undelivered(), left + 1);
}
