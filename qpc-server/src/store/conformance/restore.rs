//! After a restore: who is awaited, what is refused meanwhile, and what is given back.

use bytes::Bytes;
use qpc_proto::{
    chain::{EntryContent, EntryKind, LogEntry},
    id::{ConversationName, Counter, Seq},
    role::Role,
};

use super::{
    Backend,
    world::{World, inbox_of, state, wait},
};
use crate::store::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const WAIT_MS: u64 = 1_000;

/// The world is one that was restored just now.
fn restore(world: &World) -> Restored {
    let at_ms = world.now_ms.get();
    let restored = Restored { at_ms, until_ms: at_ms + WAIT_MS };
    wait(world.store.await_offers(restored)).unwrap();
    restored
}

fn awaited(world: &World) -> (u64, u64) {
    let awaited = wait(world.store.awaited()).unwrap();
    (awaited.conversations, awaited.devices)
}

/// The entries that a sender said after what the server has, and the offer of them.
fn said_since(world: &World, actor: &Actor, sender: &Actor, log: &ConversationName, texts: &[&str]) -> Offered {
    let end = wait(world.store.log_end(actor, log)).unwrap();
    let (counter, epoch) = (world.info(sender, log).counter, world.version(actor, log).epoch);
    let (mut seq, mut chain) = (end.head, end.chain);
    let entries = texts.iter().zip(1..).map(|(text, n)| {
        seq = seq.next();
        let mut entry = LogEntry {
            conversation: log.clone(),
            seq,
            kind: EntryKind::Message,
            epoch,
            sender: Some(sender.device()),
            counter: Counter(counter.0 + n),
            id: world.message_id(),
            stored_ms: 5,
            chain,
            content: EntryContent::Body(Bytes::copy_from_slice(text.as_bytes())),
        };
        chain = chain.after(&entry.header());
        entry.chain = chain;
        CopiedEntry { entry, sender: Some(sender.address().clone()), own: false }
    });
    let append = CopyAppend {
        log: log.clone(),
        entries: entries.collect(),
        from: CopyFrom::Place(end.head, world.version(actor, log)),
        change: None,
        group_info: Bytes::new(),
        now_ms: world.now_ms.get(),
    };
    Offered { append, complete: true }
}

fn offer(world: &World, actor: &Actor, offered: Offered) -> Result<Seq, OfferError> {
    wait(world.store.offer(actor, offered))
}

pub fn a_restored_conversation_is_read_only_until_its_devices_have_come(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let before = world.message(&alice, &talk, b"before");
    world.append(&alice, &before).unwrap();
    assert_eq!((wait(world.store.restored()), awaited(&world)), (Ok(None), (0, 0)));
    let nothing = |actor: &Actor| said_since(&world, actor, actor, &talk, &[]);
    assert_eq!(offer(&world, &alice, nothing(&alice)), Err(OfferError::NotAwaited), "it was never restored");

    let restored = restore(&world);
    assert_eq!((wait(world.store.restored()), awaited(&world)), (Ok(Some(restored)), (1, 2)));
    let next = world.message(&alice, &talk, b"next");
    assert_eq!(world.append(&alice, &next), Err(AppendError::ReadOnly));
    assert_eq!(world.commit(&alice, &world.next_commit(&alice, &talk, &[], &[])), Err(AppendError::ReadOnly));
    let again = world.append(&alice, &before).unwrap();
    assert_eq!(again.seq, wait(world.store.log_end(&bob, &talk)).unwrap().head, "what is stored is answered as ever");
    offer(&world, &alice, nothing(&alice)).unwrap();
    assert_eq!(world.append(&alice, &next), Err(AppendError::ReadOnly), "bob may have more");
    offer(&world, &bob, nothing(&bob)).unwrap();
    assert_eq!(awaited(&world), (0, 0));
    world.append(&alice, &next).unwrap();
    assert_eq!(offer(&world, &bob, nothing(&bob)), Err(OfferError::NotAwaited));
}

pub fn a_restored_conversation_waits_for_a_time_and_for_those_who_were_here_of_late(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let old = world.another_device(&alice);
    let talk = world.friends(&alice, &bob);
    let of_her_own = world.group(&alice, &[]);
    world.now_ms.set(world.now_ms.get() + 8 * DAY_MS);
    for device in [&alice, &bob] {
        wait(world.store.touch_device(device, world.now_ms.get())).unwrap();
    }
    let restored = restore(&world);
    assert_eq!(awaited(&world), (2, 2), "not for the tablet in the drawer");
    world.now_ms.set(restored.until_ms - 1);
    let next = |world: &World, log| world.message(&alice, log, b"next");
    assert_eq!(world.append(&alice, &next(&world, &talk)), Err(AppendError::ReadOnly));
    // Whoever is in it may give something back while it waits, awaited or not.
    offer(&world, &old, said_since(&world, &old, &old, &of_her_own, &["from the drawer"])).unwrap();
    wait(world.store.revoke_device(&bob, bob.device())).unwrap();
    assert_eq!(awaited(&world), (2, 1), "nor for who is gone");
    world.now_ms.set(restored.until_ms);
    world.append(&alice, &next(&world, &talk)).unwrap();
    world.append(&alice, &next(&world, &of_her_own)).unwrap();
    assert_eq!(
        offer(&world, &old, said_since(&world, &old, &old, &of_her_own, &["late"])),
        Err(OfferError::NotAwaited)
    );
    let late = said_since(&world, &alice, &alice, &of_her_own, &["late as well"]);
    offer(&world, &alice, late).unwrap();
    assert_eq!(awaited(&world), (1, 1));
    // Another restore begins anew.
    restore(&world);
    assert_eq!(awaited(&world), (2, 1));
}

pub fn what_is_given_back_is_stored_as_it_was(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, eve) = (world.person("alice"), world.person("bob"), world.person("eve"));
    let talk = world.friends(&alice, &bob);
    world.say(&alice, &talk, "before");
    restore(&world);
    let lost = said_since(&world, &bob, &alice, &talk, &["one", "two"]);
    assert_eq!(offer(&world, &eve, lost.clone()), Err(OfferError::NotFound));
    assert_eq!(wait(world.store.log_end(&eve, &talk)), Err(OfferError::NotFound));
    assert_eq!(wait(world.store.log_end(&eve, &inbox_of(&bob))), Err(OfferError::NotFound));
    assert_eq!(wait(world.store.log_end(&bob, &inbox_of(&bob))).unwrap().kind, None);
    // Whoever gives something back can't make up what a device has sent twice, or left out.
    let mut gap = lost.clone();
    gap.append.entries[0].entry.counter = gap.append.entries[1].entry.counter;
    let mut twice = lost.clone();
    twice.append.entries[1].entry.id = twice.append.entries[0].entry.id;
    let mut known = lost.clone();
    known.append.entries[0].entry.id = world.entries(&alice, &talk).last().unwrap().id;
    for forged in [gap, twice, known] {
        assert_eq!(offer(&world, &bob, forged), Err(OfferError::OutOfOrder));
    }
    world.told();
    offer(&world, &bob, lost.clone()).unwrap();
    let told: Vec<_> = world.told().into_iter().map(|committed| committed.entry.seq).collect();
    let given: Vec<_> = lost.append.entries.iter().map(|copied| copied.entry.clone()).collect();
    assert_eq!(told, given.iter().map(|entry| entry.seq).collect::<Vec<_>>(), "whoever is here is handed them");
    let stored = world.entries(&alice, &talk);
    assert!(stored[stored.len() - 2..] == given[..], "not as it was");
    assert_eq!(offer(&world, &alice, lost), Err(OfferError::Moved), "they are there");
    offer(&world, &alice, said_since(&world, &alice, &alice, &talk, &[])).unwrap();
    // Counters go on where they were.
    world.say(&alice, &talk, "three");
    let world = match world.reopened(backend) {
        Some(world) => world,
        None => return,
    };
    assert_eq!(awaited(&world), (0, 0));
    world.say(&alice, &talk, "four");
    assert!(wait(world.store.restored()).unwrap().is_some());
}

pub fn what_was_made_after_the_backup_is_made_again_while_a_restore_is_under_way(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let old = world.another_device(&bob);
    world.friends(&alice, &bob);
    world.friends(&alice, &carol);
    world.now_ms.set(world.now_ms.get() + 8 * DAY_MS);
    for device in [&alice, &bob, &carol] {
        wait(world.store.touch_device(device, world.now_ms.get())).unwrap();
    }
    let again = |new: NewConversation| NewConversation { again: true, now_ms: world.now_ms.get(), ..new };
    let make = |new: &NewConversation| wait(world.store.create_conversation(&alice, new.clone()));
    let (of_two, of_one) = (again(world.new_group(&[&bob])), again(world.new_group(&[])));
    assert_eq!(make(&of_two), Err(CreateConversationError::NotAwaited), "it was never restored");
    let restored = restore(&world);
    let before = awaited(&world);
    let made = make(&of_two).unwrap();
    make(&of_one).unwrap();
    // Two for the members of the first, without the device in the drawer, and one for the other.
    assert_eq!(awaited(&world), (before.0 + 2, 3));
    assert_eq!(make(&of_two).unwrap(), made, "the same answer");
    let crew = &of_two.conversation;
    let next = || world.message(&alice, crew, b"next");
    assert_eq!(world.append(&alice, &next()), Err(AppendError::ReadOnly));
    assert_eq!(world.append(&alice, &world.message(&alice, &of_one.conversation, b"next")), Err(AppendError::ReadOnly));

    // Who comes into it by what is given back may have more of it.
    let mut given = said_since(&world, &bob, &bob, crew, &["one"]);
    let role = |one: &&Actor| if one.account() == alice.account() { Role::Owner } else { Role::Member };
    let members = [&alice, &bob, &carol].map(|one| (one.address().clone(), role(&one)));
    given.append.change = Some(CopyChange {
        version: world.version(&bob, crew),
        state: state("with carol", Some("tree of three")),
        added: vec![(carol.address().clone(), [9; 32], given.append.entries[0].entry.seq)],
        ended: Vec::new(),
        members: members.into(),
        trees: Vec::new(),
    });
    offer(&world, &bob, given).unwrap();
    offer(&world, &alice, said_since(&world, &alice, &alice, crew, &[])).unwrap();
    assert_eq!(world.append(&alice, &next()), Err(AppendError::ReadOnly), "carol may have more");
    offer(&world, &carol, said_since(&world, &carol, &carol, crew, &[])).unwrap();
    world.append(&alice, &next()).unwrap();
    assert_eq!(offer(&world, &old, said_since(&world, &old, &old, crew, &[])), Err(OfferError::NotAwaited));

    world.now_ms.set(restored.until_ms);
    let late = again(world.new_group(&[&bob]));
    assert_eq!(make(&late), Err(CreateConversationError::NotAwaited), "the time is over");
    assert_eq!(make(&of_two).unwrap(), made, "what is there is answered as ever");
}
