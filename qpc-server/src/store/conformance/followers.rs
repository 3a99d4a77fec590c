//! Logs that other domains read.

use bytes::Bytes;
use qpc_proto::{
    address::{Address, Domain},
    chain::EntryKind,
    id::{ConversationName, Seq},
};

use super::{
    Backend,
    guests::guest,
    world::{World, genesis, inbox_of, wait},
};
use crate::store::*;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn behind(world: &World, of: &Domain) -> Vec<ConversationName> {
    let (mut all, mut after) = (Vec::new(), Some(LogPlace::default()));
    while let Some(place) = after {
        let (some, next) = wait(world.store.feed(of, place, 2)).unwrap();
        all.extend(some.into_iter().map(|feed| feed.log));
        after = next;
    }
    all
}

fn page(world: &World, of: &Domain, log: &ConversationName) -> Result<FeedPage, ReadError> {
    wait(world.store.feed_page(of, log, false, (100, usize::MAX)))
}

/// Whether it has people in it now.
fn follows(world: &World, of: &Domain, log: &ConversationName) -> bool {
    wait(world.store.follows(of, log)).unwrap()
}

fn seqs(page: &FeedPage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq.0).collect()
}

fn has(world: &World, of: &Domain, log: &ConversationName, seq: u64) {
    wait(world.store.followers_have(of, vec![(log.clone(), Seq(seq))])).unwrap();
}

/// A commit as a hub judges one that brings somebody of another domain in.
fn with_tree(mut commit: CommitAppend, tree: &'static str) -> CommitAppend {
    commit.bundle.judged.as_mut().unwrap().change.base_tree = Some(Bytes::from_static(tree.as_bytes()));
    commit
}

pub fn a_domain_reads_what_its_people_may_from_where_the_first_came_in(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, carol) = (world.person("alice"), world.person("carol"));
    let (bob, ben) = (guest(&world, "bob@b.example"), guest(&world, "ben@b.example"));
    let (b, c) = (domain("b.example"), domain("c.example"));
    let room = world.group(&alice, &[&carol, &bob, &ben]);
    let plain = world.create(&alice, world.new_group(&[&carol]));
    world.say(&alice, &plain, "among us");
    world.told();
    assert!(!follows(&world, &b, &plain));
    world.commit(&alice, &with_tree(world.next_commit(&alice, &plain, &[&bob], &[]), "a tree")).unwrap();
    assert!(follows(&world, &b, &plain) && !follows(&world, &c, &plain));
    assert!(!follows(&world, &b, &inbox_of(&bob)), "nobody's conversation");
    let told = world.told();
    let of = |log: &ConversationName| {
        let entry = told.iter().find(|committed| committed.entry.conversation == *log).unwrap();
        entry.followers.as_ref().map(|domains| domains.to_vec())
    };
    assert_eq!((of(&plain), of(&inbox_of(&bob))), (None, Some(vec![b.clone()])), "as the entry was stored");

    // From the commit that brought the first one in, with the group that it made.
    let first = page(&world, &b, &plain).unwrap();
    let base = first.base.clone().unwrap();
    assert_eq!((seqs(&first), first.after, first.head), (vec![3], Seq(2), Seq(3)));
    assert_eq!((base.seq, base.kind, base.tree_size), (Seq(3), ConversationKind::Group, 6));
    assert_eq!((base.tree.as_ref(), base.group_info.as_ref()), (&b"a tree"[..], &b"group info"[..]));
    assert_eq!(base.chain, world.page(&alice, &plain, 1).unwrap().entries[0].chain);
    let part = wait(world.store.base_tree(&b, &plain, (2, 3))).unwrap();
    assert_eq!((part.size, part.bytes.as_ref()), (6, &b"tre"[..]));
    world.say(&bob, &plain, "hello");
    assert_eq!(seqs(&page(&world, &b, &plain).unwrap()), [3], "the group goes with that entry alone");
    has(&world, &b, &plain, 3);
    assert_eq!(wait(world.store.base_tree(&b, &plain, (0, 9))).unwrap().size, 6, "the domain may lose its copy");
    let next = page(&world, &b, &plain).unwrap();
    assert_eq!((seqs(&next), next.base.is_none(), next.group_info.is_empty()), (vec![4], true, true));
    let asked = wait(world.store.feed_page(&b, &plain, true, (100, usize::MAX))).unwrap();
    assert_eq!(asked.group_info.as_ref(), b"group info");
    assert_eq!(world.told().last().unwrap().followers.as_deref(), Some(&[b.clone()][..]));

    // Nobody else's domain reads anything, and places neither fall back nor pass the end.
    assert_eq!(page(&world, &c, &plain).err(), Some(ReadError::NotFound));
    assert!(behind(&world, &c).is_empty());
    has(&world, &b, &plain, 99);
    has(&world, &b, &plain, 1);
    assert_eq!(page(&world, &b, &plain).unwrap().after, Seq(4));
    assert!(!behind(&world, &b).contains(&plain) && behind(&world, &b).contains(&room));

    // The last one of it reads up to the entry that took them out.
    world.commit(&alice, &with_tree(world.next_commit(&alice, &plain, &[&ben], &[]), "another")).unwrap();
    world.commit(&alice, &world.next_commit(&alice, &plain, &[], &[&bob])).unwrap();
    world.say(&alice, &plain, "ben is here still");
    assert!(follows(&world, &b, &plain));
    assert_eq!(seqs(&page(&world, &b, &plain).unwrap()), [5, 6, 7]);
    world.commit(&alice, &world.next_commit(&alice, &plain, &[], &[&ben])).unwrap();
    world.say(&alice, &plain, "among us again");
    assert!(!follows(&world, &b, &plain), "though it reads on to there");
    assert_eq!(world.told().last().unwrap().followers, None);
    assert_eq!(seqs(&page(&world, &b, &plain).unwrap()), [5, 6, 7, 8]);
    // Who comes back before that was read begins anew.
    world.commit(&alice, &with_tree(world.next_commit(&alice, &plain, &[&bob], &[]), "a third")).unwrap();
    assert!(follows(&world, &b, &plain));
    let again = page(&world, &b, &plain).unwrap();
    assert_eq!((seqs(&again), again.base.map(|base| base.seq)), (vec![10], Some(Seq(10))));
    world.commit(&alice, &world.next_commit(&alice, &plain, &[], &[&bob])).unwrap();
    has(&world, &b, &plain, 11);
    assert_eq!(page(&world, &b, &plain).err(), Some(ReadError::NotFound), "nothing is left to read");
    if let Some(world) = world.reopened(backend) {
        assert!(behind(&world, &b).contains(&room) && !behind(&world, &b).contains(&plain));
        world.say(&alice, &room, "after the restart");
        assert_eq!(world.told()[0].followers.as_deref(), Some(&[b.clone()][..]));
    }
}

pub fn a_guest_who_makes_a_conversation_reads_it_from_its_beginning(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), guest(&world, "bob@b.example"));
    let b = domain("b.example");
    let other = guest(&world, "ben@b.example");
    let made = |new: NewConversation| wait(world.store.create_conversation(&bob, new));
    // With somebody of here, in a conversation of here, and no other.
    let elsewhere = ConversationName { domain: b.clone(), id: world.new_direct(&alice).conversation.id };
    let refused = Err(CreateConversationError::Append(AppendError::Forbidden));
    assert_eq!(made(NewConversation { conversation: elsewhere, ..world.new_direct(&alice) }), refused);
    assert_eq!(made(world.new_direct(&other)), refused);
    assert_eq!(made(world.new_group(&[])), refused);
    let mut new = world.new_direct(&alice);
    let talk = new.conversation.clone();
    let judged = new.commit.as_mut().unwrap().judged.as_mut().unwrap();
    judged.change.base_tree = Some(Bytes::from_static(b"tree"));
    world.told();
    let at = made(new.clone()).unwrap();
    assert_eq!(world.told()[0].followers.as_deref(), Some(&[b.clone()][..]));
    assert_eq!(made(new), Ok(at), "the same again");
    let first = page(&world, &b, &talk).unwrap();
    let base = first.base.clone().unwrap();
    assert_eq!((seqs(&first), base.seq, base.kind), (vec![1], Seq(1), ConversationKind::Direct));
    assert_eq!((base.chain, base.tree.as_ref()), (genesis(&talk), &b"tree"[..]));
    // What another device of theirs is told waits in its inbox, and is behind until it was read.
    assert!(behind(&world, &b).contains(&talk));
    has(&world, &b, &talk, 1);
    assert!(!behind(&world, &b).contains(&talk));
}

pub fn what_a_guests_server_has_read_of_an_inbox_the_device_has(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), guest(&world, "bob@b.example"));
    let b = domain("b.example");
    world.create(&alice, world.new_direct(&bob));
    let inbox = inbox_of(&bob);
    let waiting = page(&world, &b, &inbox).unwrap();
    assert_eq!((seqs(&waiting), waiting.entries[0].kind), (vec![1], EntryKind::Welcome));
    assert!(waiting.base.is_none() && waiting.group_info.is_empty());
    has(&world, &b, &inbox, 1);
    assert!(seqs(&page(&world, &b, &inbox).unwrap()).is_empty());
    // What is read need not be kept.
    let retention = Retention { bodies_before_ms: u64::MAX / 2, entries_before_ms: 0, batch: 100 };
    while wait(world.store.retention_step(retention)).unwrap() {}
    assert_eq!(world.page(&bob, &inbox, 0).unwrap().floor, Seq(1));
    // A device that is gone has no inbox.
    let address = Address::parse("bob@b.example").unwrap();
    let gone = Guest {
        id: world.new_account("x", Admission::Open).id,
        address,
        account_key: [9; 32],
        devices: vec![world.new_device()],
        now_ms: 1,
    };
    wait(world.store.admit_guest(gone)).unwrap();
    assert_eq!(page(&world, &b, &inbox).err(), Some(ReadError::NotFound));
}

pub fn a_guest_that_is_gone_is_gone_everywhere(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), guest(&world, "bob@b.example"));
    let b = domain("b.example");
    let talk = world.friends(&alice, &bob);
    let room = world.group(&alice, &[&bob]);
    world.say(&alice, &room, "hello");
    wait(world.store.guest_gone(&Address::parse("nobody@b.example").unwrap(), 5)).unwrap();
    wait(world.store.guest_gone(alice.address(), 5)).unwrap();
    assert!(world.sink.gone.lock().unwrap().is_empty(), "nobody of here");
    wait(world.store.guest_gone(bob.address(), 5)).unwrap();
    assert_eq!(*world.sink.gone.lock().unwrap(), [bob.device()]);
    assert_eq!(world.inbox(&alice).last().unwrap().kind, EntryKind::Account);
    assert_eq!(
        world.append(&bob, &world.numbered(&room, qpc_proto::id::Counter(1), qpc_proto::id::Epoch(1), b"x")),
        Err(AppendError::DeviceGone)
    );
    // Its leaf is to be taken out of the group, and its domain reads on to where it was in it.
    assert_eq!(wait(world.store.departures(9)).unwrap().len(), 1);
    world.say(&alice, &room, "without bob");
    assert_eq!(page(&world, &b, &room).unwrap().head, Seq(2));
    assert!(page(&world, &b, &talk).is_ok());
    // Who comes with that address later is somebody else.
    let back = guest(&world, "bob@b.example");
    assert!(back.account() != bob.account() && world.page(&back, &room, 0).is_err());
}

pub fn a_domain_that_was_restored_is_handed_again_what_it_lacks(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, carol) = (world.person("alice"), world.person("carol"));
    let (bob, b, c) = (guest(&world, "bob@b.example"), domain("b.example"), domain("c.example"));
    world.group(&alice, &[&carol, &bob]);
    let room = world.create(&alice, world.new_group(&[&carol]));
    world.say(&alice, &room, "among us");
    world.commit(&alice, &with_tree(world.next_commit(&alice, &room, &[&bob], &[]), "a tree")).unwrap();
    for text in ["one", "two", "three"] {
        world.say(&alice, &room, text);
    }
    let began = page(&world, &b, &room).unwrap().base.unwrap().seq.0;
    let head = began + 3;
    let at = |world: &World| page(world, &b, &room).unwrap().after.0;
    let lacks =
        |world: &World, of: &Domain, ends_at: u64| wait(world.store.follower_lacks(of, &room, Seq(ends_at))).unwrap();
    has(&world, &b, &room, head);

    // It says that it was restored: its place is in doubt, once for each restore.
    assert!(!wait(world.store.peer_restored(&b, 0)).unwrap(), "it never was");
    assert_eq!(at(&world), head);
    assert!(wait(world.store.peer_restored(&b, 77)).unwrap());
    assert_eq!(seqs(&page(&world, &b, &room).unwrap()), [head]);
    assert!(!wait(world.store.peer_restored(&b, 77)).unwrap());
    assert_eq!(at(&world), head - 1);

    // Its copy ends earlier, or is not there at all.
    assert!(!lacks(&world, &b, head - 1) && !lacks(&world, &b, head), "that is known");
    assert!(!lacks(&world, &c, 1), "who reads nothing");
    assert!(lacks(&world, &b, began + 1));
    assert_eq!(seqs(&page(&world, &b, &room).unwrap()), [head - 1, head]);
    assert!(lacks(&world, &b, 0));
    let anew = page(&world, &b, &room).unwrap();
    assert_eq!((seqs(&anew), anew.base.map(|base| base.tree)), (vec![began], Some(Bytes::from_static(b"a tree"))));
    has(&world, &b, &room, head);
    assert!(lacks(&world, &b, 1), "of before its people were there");
    assert_eq!(seqs(&page(&world, &b, &room).unwrap()), [began]);
    has(&world, &b, &room, head);

    // As far as it is there.
    let now_ms = world.now_ms.get() + 1;
    let retention = Retention { bodies_before_ms: now_ms, entries_before_ms: now_ms, batch: 100 };
    while wait(world.store.retention_step(retention)).unwrap() {}
    assert!(!lacks(&world, &b, began + 1) && !lacks(&world, &b, 0));
    assert!(wait(world.store.base_tree(&b, &room, (0, 9))).is_err(), "a copy can't begin any more");
    assert!(wait(world.store.peer_restored(&b, 78)).unwrap());
    assert_eq!(at(&world), head, "nothing is left to ask by");
    world.say(&alice, &room, "four");
    assert_eq!(seqs(&page(&world, &b, &room).unwrap()), [head + 1]);
}
