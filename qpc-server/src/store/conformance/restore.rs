//! After a restore: who is awaited, what is refused meanwhile, and what is given back.

use bytes::Bytes;
use qpc_proto::{
    address::{Address, Domain},
    chain::{EntryContent, EntryKind, LogEntry},
    id::{ConversationId, ConversationName, Counter, Seq},
    role::Role,
};

use super::{
    Backend,
    copies::accepts,
    guests::guest,
    theirs::{Theirs, copy, hub},
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
    Offered { append, met: Vec::new(), complete: true }
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

pub fn a_restored_conversation_waits_for_the_domains_that_follow_it(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let bob = guest(&world, "bob@b.example");
    let [b, c] = ["b.example", "c.example"].map(|domain| Domain::parse(domain).unwrap());
    let (room, plain) = (world.group(&alice, &[&bob]), world.group(&alice, &[]));
    let waiting =
        |world: &World, of: &Domain, limit: usize| wait(world.store.awaited_of(of, LogPlace::default(), limit));
    assert_eq!(waiting(&world, &b, 9), Ok((Vec::new(), None)), "it was never restored");
    let restored = restore(&world);
    // With the one of the two, in which they have become acquainted.
    assert_eq!(wait(world.store.awaited()), Ok(Awaited { conversations: 3, devices: 1, domains: 1 }));
    let (mut logs, next) = waiting(&world, &b, 1).unwrap();
    let talk = logs.pop().unwrap();
    assert_eq!(Some(talk.place), next);
    let (logs, next) = wait(world.store.awaited_of(&b, talk.place, 2)).unwrap();
    assert_eq!((logs.into_iter().map(|feed| feed.log).collect::<Vec<_>>(), next), (vec![room.clone()], None));
    let all = [&talk.log, &room, &plain];
    assert_eq!(waiting(&world, &c, 9), Ok((Vec::new(), None)));
    for log in all {
        offer(&world, &alice, said_since(&world, &alice, &alice, log, &[])).unwrap();
    }
    world.append(&alice, &world.message(&alice, &plain, b"next")).unwrap();
    let next = world.message(&alice, &room, b"next");
    assert_eq!(world.append(&alice, &next), Err(AppendError::ReadOnly), "bob's server may have more");

    // It gives in parts, as a device does.
    let part =
        |texts: &[&str], complete: bool| Offered { complete, ..said_since(&world, &alice, &alice, &room, texts) };
    let take = |of: &Domain, offered: Offered| wait(world.store.take_back(of, offered));
    let head = wait(world.store.log_end(&alice, &room)).unwrap().head.0;
    assert_eq!(take(&b, part(&["one", "two"], false)), Ok(Seq(head + 2)));
    let mut twice = part(&["three", "four"], false);
    twice.append.entries[1].entry.counter = twice.append.entries[0].entry.counter;
    assert_eq!(take(&b, twice), Err(OfferError::OutOfOrder));
    assert_eq!(wait(world.store.awaited()).unwrap().conversations, 2);
    assert_eq!(take(&b, part(&[], true)), Ok(Seq(head + 2)));
    assert_eq!(wait(world.store.awaited()).unwrap(), Awaited { conversations: 1, devices: 0, domains: 1 });
    let of_two = said_since(&world, &alice, &alice, &talk.log, &[]);
    take(&b, of_two).unwrap();
    assert_eq!(wait(world.store.awaited()).unwrap(), Awaited::default());
    assert_eq!(take(&b, part(&["five"], true)), Err(OfferError::NotAwaited));
    world.say(&alice, &room, "next");

    // Whoever comes in by what is given back is known again, and their domain awaited.
    restore(&world);
    let carol = Address::parse("carol@c.example").unwrap();
    let mut joined = part(&["in"], false);
    let members = [(alice.address(), Role::Owner), (bob.address(), Role::Member), (&carol, Role::Member)];
    let head = joined.append.entries[0].entry.seq;
    joined.append.change = Some(CopyChange {
        version: world.version(&alice, &room),
        state: state("since", None),
        added: vec![(carol.clone(), [6; 32], head)],
        ended: Vec::new(),
        members: members.map(|(who, role)| (who.clone(), role)).into(),
        trees: Vec::new(),
    });
    joined.met = vec![Met { id: world.new_account("x", Admission::Open).id, address: carol, account_key: [6; 32] }];
    assert_eq!(waiting(&world, &c, 9).unwrap().0.len(), 0);
    assert_eq!(take(&b, joined), Ok(head));
    assert_eq!(waiting(&world, &c, 9).unwrap().0.len(), 1);
    assert_eq!(wait(world.store.follows(&c, &room)), Ok(true));

    // One that does not come is waited for as long as a device is.
    restore(&world);
    world.now_ms.set(world.now_ms.get().max(restored.until_ms) + WAIT_MS);
    for log in all {
        offer(&world, &alice, said_since(&world, &alice, &alice, log, &[])).unwrap();
    }
    world.say(&alice, &room, "without it");
    assert_eq!(waiting(&world, &b, 9).unwrap().0.len(), 2);
    if let Some(world) = world.reopened(backend) {
        assert_eq!(waiting(&world, &b, 9).unwrap().0.len(), 2);
    }
}

pub fn a_restored_server_takes_what_went_through_it_before(backend: &dyn Backend) {
    let world = World::new(backend);
    let bob = world.person("bob");
    accepts(&world, &bob, "alice@a.example");
    let mut log = Theirs::new(&world);
    let beginning = log.beginning(ConversationKind::Group, &bob);
    copy(&world, beginning).unwrap();
    let at = |log: &mut Theirs<'_>, stored_ms: u64, now_ms: u64| {
        let (id, body) = (log.world.message_id(), b"mine");
        let before = (log.head, log.chain);
        let mut entry = log.entry(EntryKind::Message, (bob.device(), before.0.0), id, body);
        entry.stored_ms = stored_ms;
        let own = CopiedEntry { entry, sender: Some(bob.address().clone()), own: true };
        let copied = copy(log.world, CopyAppend { now_ms, ..log.append(vec![own]) });
        if copied.is_err() {
            (log.head, log.chain) = before;
        }
        copied.map_err(|error| matches!(error, CopyError::Forged(of) if of == id))
    };
    assert_eq!(at(&mut log, 5, 1_000), Err(true), "it was never restored");
    // Its hub was: it may not know bob, nor that it has said what it says now.
    // Nor does the place of what it has for him go on where it was.
    let notice = |log: &Theirs<'_>, seq: u64| {
        let own = LogEntry {
            conversation: ConversationName { domain: bob.address().domain.clone(), ..inbox_of(&bob) },
            seq: Seq(seq),
            kind: EntryKind::Contact,
            epoch: Default::default(),
            sender: None,
            counter: Counter(0),
            id: log.world.message_id(),
            stored_ms: 5,
            chain: log.chain,
            content: EntryContent::Body(Bytes::new()),
        };
        wait(log.world.store.take_notices(&hub(), bob.device(), vec![own], 9)).unwrap()
    };
    assert_eq!((notice(&log, 5), notice(&log, 1)), ((Seq(5), 1), (Seq(5), 0)), "it was read");
    let told = |of: &Domain| wait(world.store.due(of, 0, 9)).unwrap().announcements;
    assert!(told(&hub()).is_empty());
    assert!(wait(world.store.peer_restored(&hub(), 500)).unwrap());
    assert_eq!(notice(&log, 1), (Seq(1), 1), "and is read anew");
    assert_eq!(told(&hub()).into_iter().map(|due| due.address).collect::<Vec<_>>(), [bob.address().clone()]);
    assert!(told(&Domain::parse("c.example").unwrap()).is_empty());
    wait(world.store.await_offers(Restored { at_ms: 1_000, until_ms: 2_000 })).unwrap();
    assert_eq!(at(&mut log, 1_500, 1_999), Ok(Seq(2)), "while it is under way, whatever the hub's clock says");
    assert_eq!(at(&mut log, 1_001, 2_000), Err(true), "it went through here since, if at all");
    assert_eq!(at(&mut log, 1_000, 2_000), Ok(Seq(3)));
    let read = |after: u64, most: (usize, usize)| wait(world.store.read_copy(&log.name, Seq(after), most));
    let seqs = |read: Result<Vec<LogEntry>, ReadError>| read.map(|all| all.iter().map(|entry| entry.seq.0).collect());
    assert_eq!(
        seqs(read(0, (100, usize::MAX))),
        Ok(vec![1, 2, 3]),
        "and gives all of it back, where the hub has lost it"
    );
    assert_eq!((seqs(read(1, (1, usize::MAX))), seqs(read(1, (9, 1)))), (Ok(vec![2]), Ok(vec![2])));
    assert_eq!(seqs(read(3, (100, usize::MAX))), Ok(Vec::new()));
    let unknown = ConversationName { domain: hub(), id: ConversationId::new(2, [2; 10]) };
    assert!(matches!(wait(world.store.read_copy(&unknown, Seq(0), (9, 9))), Err(ReadError::NotFound)));
    assert!(matches!(wait(world.store.read_copy(&inbox_of(&bob), Seq(0), (9, 9))), Err(ReadError::NotFound)));
}
