//! Groups and direct conversations: commits, members, roles, reading rights.

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::EntryKind,
    id::{ConversationName, Counter, DeviceId, Epoch, Seq},
    limits::{DEVICES_PER_ACCOUNT_MAX, MEMBERS_MAX, MEMBERS_PER_COMMIT_MAX},
    role::Role,
    v1,
};

use super::{
    Backend,
    contacts::last_welcome,
    upkeep::retain,
    world::{World, bundle, genesis, state, wait},
};
use crate::store::*;

fn names(info: &ConversationInfo) -> Vec<&str> {
    info.members.iter().map(|(address, _)| address.name.as_str()).collect()
}

pub fn one_commit_an_epoch(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let group = world.group(&alice, &[&bob]);
    assert_eq!(world.info(&alice, &group).epoch, Epoch(1));
    let race = [world.next_commit(&alice, &group, &[], &[]), world.next_commit(&bob, &group, &[], &[])];
    let first = world.store.commit(&alice, race[0].clone());
    let second = world.store.commit(&bob, race[1].clone());
    assert_eq!(wait(first).unwrap().seq, Seq(2));
    assert_eq!(wait(second), Err(AppendError::WrongEpoch(Epoch(2))));
    assert_eq!(world.info(&bob, &group).epoch, Epoch(2));
    world.commit(&bob, &world.next_commit(&bob, &group, &[], &[])).unwrap();
    let entries = world.entries(&alice, &group);
    assert_eq!(entries.iter().map(|entry| entry.epoch.0).collect::<Vec<_>>(), [0, 1, 2]);
    if let Some(world) = world.reopened(backend) {
        assert_eq!(world.info(&bob, &group).epoch, Epoch(3));
        assert_eq!(world.commit(&alice, &race[0]).unwrap().seq, Seq(2));
    }
}

pub fn a_commit_welcomes_those_it_adds(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let group = world.group(&alice, &[&bob]);
    world.friends(&alice, &carol);
    world.told();
    let commit = world.next_commit(&alice, &group, &[&carol], &[]);
    let at = world.commit(&alice, &commit).unwrap();
    let welcome = last_welcome(&world, &carol);
    assert_eq!((welcome.seq, welcome.chain.as_ref()), (at.seq.0, at.chain.0.as_slice()));
    assert_eq!((welcome.kind(), welcome.contact_request), (v1::ConversationKind::Group, false));
    assert_eq!(welcome.welcome, Bytes::from_static(b"welcome"));
    let inbox = world.inbox(&carol);
    let entry = inbox.last().unwrap();
    assert_eq!((entry.id, entry.sender, entry.counter), (commit.id, Some(alice.device()), Counter(0)));
    let told = world.told();
    assert_eq!(told.len(), 2);
    assert!(matches!(&told[0].audience, Audience::Members(members) if members.len() == 2));
    assert_eq!(told[1].audience, Audience::Device(carol.account(), carol.device()));
    assert_eq!(names(&world.info(&carol, &group)), ["alice", "bob", "carol"]);
    world.say(&carol, &group, "hello");
}

pub fn the_tree_that_a_welcome_needs_is_kept_with_its_commit(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let group = world.group(&alice, &[&bob]);
    world.friends(&alice, &carol);
    assert!(!last_welcome(&world, &bob).without_tree);
    let mut commit = world.next_commit(&alice, &group, &[&carol], &[]);
    let judged = commit.bundle.judged.as_mut().unwrap();
    judged.change.welcome_tree = Some(Bytes::from_static(b"0123456789"));
    let at = world.commit(&alice, &commit).unwrap();
    let welcome = last_welcome(&world, &carol);
    assert_eq!((welcome.seq, welcome.without_tree), (at.seq.0, true));
    // The next commit has a tree of its own, and changes nothing here.
    world.commit(&alice, &world.next_commit(&alice, &group, &[], &[])).unwrap();
    let look = |world: &World, actor: &Actor, seq: Seq, part: (usize, usize)| {
        let page = wait(world.store.welcome_tree(actor, &group, seq, part));
        page.map(|page| (page.size, page.bytes))
    };
    let part = |text: &'static str| Ok((10, Bytes::from_static(text.as_bytes())));
    assert_eq!(look(&world, &carol, at.seq, (0, 4)), part("0123"));
    assert_eq!(look(&world, &carol, at.seq, (8, 4)), part("89"));
    assert_eq!(look(&world, &carol, at.seq, (10, 4)), part(""));
    assert_eq!(look(&world, &bob, at.seq, (0, 10)), part("0123456789"));
    // Not of another commit, for nobody else, for nobody who was not in by then, and not for who is out.
    assert_eq!(look(&world, &carol, at.seq.next(), (0, 4)), Err(ReadError::NotFound));
    let dave = world.person("dave");
    assert_eq!(look(&world, &dave, at.seq, (0, 4)), Err(ReadError::NotFound));
    world.friends(&alice, &dave);
    world.commit(&alice, &world.next_commit(&alice, &group, &[&dave], &[&bob])).unwrap();
    assert_eq!(look(&world, &dave, at.seq, (0, 4)), Err(ReadError::NotFound));
    assert_eq!(look(&world, &bob, at.seq, (0, 4)), Err(ReadError::NotFound));
    assert_eq!(look(&world, &carol, at.seq, (0, 4)), part("0123"));
    retain(&world, u64::MAX, u64::MAX);
    assert_eq!(look(&world, &carol, at.seq, (0, 4)), Err(ReadError::NotFound));
}

pub fn only_contacts_are_added(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let group = world.group(&alice, &[&bob]);
    let not_contact = Err(AppendError::NotContact);
    assert_eq!(world.commit(&alice, &world.next_commit(&alice, &group, &[&carol], &[])), not_contact);
    // To have asked is not enough, and consent has a direction.
    let talk = world.create(&alice, world.new_direct(&carol));
    assert_eq!(world.commit(&alice, &world.next_commit(&alice, &group, &[&carol], &[])), not_contact);
    world.create(&carol, world.new_group(&[&alice]));
    world.say(&carol, &talk, "hello");
    world.commit(&alice, &world.next_commit(&alice, &group, &[&carol], &[])).unwrap();
    let mut nobody = world.next_commit(&alice, &group, &[], &[]);
    nobody.bundle.added.push((super::world::address("nobody"), Role::Member));
    assert_eq!(world.commit(&alice, &nobody), not_contact);
    assert_eq!(world.info(&alice, &group).epoch, Epoch(2));
    assert_eq!(world.entries(&alice, &group).len(), 2);
}

pub fn roles_follow_the_group(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    for other in [&bob, &carol] {
        world.friends(&alice, other);
    }
    let mut new = world.new_group(&[&bob, &carol]);
    let roles = vec![(bob.address().clone(), Role::Admin)];
    new.commit.as_mut().unwrap().judged.as_mut().unwrap().change.roles = roles;
    let group = world.create(&alice, new);
    let roles =
        |world: &World| -> Vec<Role> { world.info(&carol, &group).members.into_iter().map(|(_, role)| role).collect() };
    assert_eq!(roles(&world), [Role::Owner, Role::Admin, Role::Member]);
    let mut commit = world.next_commit(&alice, &group, &[], &[]);
    commit.bundle.judged.as_mut().unwrap().change.roles =
        vec![(bob.address().clone(), Role::Member), (carol.address().clone(), Role::Owner)];
    world.commit(&alice, &commit).unwrap();
    assert_eq!(roles(&world), [Role::Owner, Role::Member, Role::Owner]);
    let Some(world) = world.reopened(backend) else { return };
    assert_eq!(roles(&world), [Role::Owner, Role::Member, Role::Owner]);
}

pub fn a_groups_state_is_stored_with_its_change(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, eve) = (world.person("alice"), world.person("bob"), world.person("eve"));
    let group = world.group(&alice, &[&bob]);
    let stored = |world: &World, known| wait(world.store.public_group(&bob, &group, known)).unwrap();
    let version = |epoch, proposals| GroupVersion { epoch: Epoch(epoch), proposals };
    let after = |core| Some(state(core, Some("tree")));
    let first = stored(&world, None);
    assert_eq!((first.version, first.state), (version(1, 0), after("after epoch 0")));
    assert_eq!(first.group_info, Bytes::from_static(b"group info"));
    // The bytes that are known are not read again; a proposal leaves the tree as it is.
    assert_eq!(stored(&world, Some(version(1, 0))).state, None);
    world.append(&bob, &world.proposal(&bob, &group, false)).unwrap();
    let proposed = stored(&world, Some(version(1, 0)));
    assert_eq!((proposed.version, proposed.state), (version(1, 1), after("with 0 and one more")));
    world.commit(&alice, &world.next_commit(&alice, &group, &[], &[])).unwrap();
    assert_eq!(stored(&world, None).version, version(2, 0));
    assert_eq!(wait(world.store.public_group(&eve, &group, None)), Err(ReadError::NotFound));
    assert!(stored(&world, None).member);
    let check = |world: &World| assert_eq!(stored(world, None).state, after("after epoch 1"));
    check(&world);
    let Some(world) = world.reopened(backend) else { return };
    check(&world);
}

pub fn a_judgement_counts_for_the_state_it_was_passed_on(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let group = world.group(&alice, &[&bob]);
    let unjudged = Err(AppendError::Unjudged);
    let early = world.next_commit(&alice, &group, &[], &[]);
    let late = world.proposal(&alice, &group, false);
    world.append(&bob, &world.proposal(&bob, &group, false)).unwrap();
    assert_eq!(world.commit(&alice, &early), unjudged);
    assert_eq!(world.append(&alice, &late), unjudged);
    let mut without = world.next_commit(&alice, &group, &[], &[]);
    without.bundle.judged = None;
    assert_eq!(world.commit(&alice, &without), unjudged);
    let without = Append { group: None, ..world.proposal(&alice, &group, false) };
    assert_eq!(world.append(&alice, &without), unjudged);
    let mut nobodys = world.new_group(&[]);
    nobodys.group = None;
    let outcome = wait(world.store.create_conversation(&alice, nobodys));
    assert_eq!(outcome, Err(AppendError::Unjudged.into()));
    assert_eq!(world.version(&alice, &group), GroupVersion { epoch: Epoch(1), proposals: 1 });
    let commit = world.next_commit(&alice, &group, &[], &[]);
    let at = world.commit(&alice, &commit).unwrap();
    // What is stored is answered alike, judged or not: the group is in another epoch by then.
    let mut again = commit;
    again.bundle.judged = None;
    assert_eq!(world.commit(&alice, &again), Ok(at));
}

pub fn a_report_names_a_commit_of_somebody_else_in_an_epoch_that_has_passed(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let group = world.group(&alice, &[&bob]);
    let message = world.say(&alice, &group, "hello");
    let made = world.commit(&alice, &world.next_commit(&alice, &group, &[], &[])).unwrap();
    let report = |actor: &Actor, epoch: u64, commit: Option<Seq>| {
        let (kind, reports) = (EntryKind::Report, commit);
        Append { kind, reports, epoch: Epoch(epoch), ..world.message(actor, &group, b"report") }
    };
    let refused = Err(AppendError::NoSuchCommit);
    // No commit, another epoch's, none at all, and one's own.
    assert_eq!(world.append(&bob, &report(&bob, 1, Some(message.seq))), refused);
    assert_eq!(world.append(&bob, &report(&bob, 0, Some(made.seq))), refused);
    assert_eq!(world.append(&bob, &report(&bob, 1, Some(made.seq.next()))), refused);
    assert_eq!(world.append(&bob, &report(&bob, 1, Some(Seq(0)))), refused);
    assert_eq!(world.append(&bob, &report(&bob, 1, None)), refused);
    assert_eq!(world.append(&alice, &report(&alice, 1, Some(made.seq))), refused);
    // The epoch that everybody is in has no commit yet.
    assert_eq!(world.append(&bob, &report(&bob, 2, Some(made.seq))), Err(AppendError::WrongEpoch(Epoch(2))));
    assert_eq!(world.append(&world.person("eve"), &report(&bob, 1, Some(made.seq))), Err(AppendError::NotFound));
    let good = report(&bob, 1, Some(made.seq));
    let at = world.append(&bob, &good).unwrap();
    assert_eq!(world.append(&bob, &good), Ok(at), "the same again is answered alike");
    assert_eq!(world.entries(&alice, &group).last().unwrap().kind, EntryKind::Report);
}

pub fn only_enrolled_devices_are_added(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.friends(&alice, &bob);
    let tablet = world.another_device(&bob);
    let group = world.group(&alice, &[]);
    let attempt = |alter: &dyn Fn(&mut AddedDevice)| {
        let mut commit = world.next_commit(&alice, &group, &[&bob], &[]);
        alter(&mut commit.bundle.judged.as_mut().unwrap().change.added[0]);
        world.commit(&alice, &commit)
    };
    let refused = Err(AppendError::NotEnrolled);
    assert_eq!(attempt(&|added| added.key = [8; 32]), refused);
    assert_eq!(attempt(&|added| added.account_key = [8; 32]), refused);
    assert_eq!(attempt(&|added| added.device = world.new_device().id), refused);
    assert_eq!(attempt(&|added| added.device = alice.device()), refused);
    assert_eq!(attempt(&|added| added.address = super::world::address("nobody")), refused);
    wait(world.store.revoke_device(&bob, tablet.device())).unwrap();
    assert_eq!(attempt(&|added| added.device = tablet.device()), refused);
    attempt(&|_| ()).unwrap();
}

pub fn a_device_that_joins_by_itself_reads_from_there(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let group = world.group(&alice, &[&bob]);
    let tablet = world.another_device(&bob);
    let mut commit = world.next_commit(&tablet, &group, &[], &[]);
    commit.bundle.judged.as_mut().unwrap().change.joined = true;
    let at = world.commit(&tablet, &commit).unwrap();
    let later = world.say(&alice, &group, "hello");
    let seen = || wait(world.store.figures(0, 1_800_000_000_000)).unwrap().undelivered;
    let before = seen();
    world.acknowledge(&tablet, &group, later.seq.0);
    assert_eq!((before - seen(), at.seq.next()), (1, later.seq));
}

pub fn a_group_has_a_limit(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let others: Vec<_> = (0..MEMBERS_MAX).map(|n| world.person(&format!("person{n}"))).collect();
    for other in &others {
        world.friends(&alice, other);
    }
    let all: Vec<_> = others.iter().collect();
    let group = world.create(&alice, world.new_group(&all[..MEMBERS_PER_COMMIT_MAX]));
    // One place is the owner's.
    for chunk in all[MEMBERS_PER_COMMIT_MAX..MEMBERS_MAX - 1].chunks(MEMBERS_PER_COMMIT_MAX) {
        world.commit(&alice, &world.next_commit(&alice, &group, chunk, &[])).unwrap();
    }
    assert_eq!(world.info(&alice, &group).members.len(), MEMBERS_MAX);
    let one_more = world.next_commit(&alice, &group, &all[MEMBERS_MAX - 1..], &[]);
    assert_eq!(world.commit(&alice, &one_more), Err(AppendError::Membership));
    let instead = world.next_commit(&alice, &group, &all[MEMBERS_MAX - 1..], &all[..1]);
    world.commit(&alice, &instead).unwrap();
}

pub fn a_commit_changes_so_many(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.friends(&alice, &bob);
    let group = world.group(&alice, &[]);
    let refused = |change: &dyn Fn(&mut CommitBundle)| {
        let mut commit = world.next_commit(&alice, &group, &[&bob], &[]);
        change(&mut commit.bundle);
        assert_eq!(world.commit(&alice, &commit), Err(AppendError::Membership));
    };
    let strangers =
        |count: usize| -> Vec<Address> { (0..count).map(|n| super::world::address(&format!("nobody{n}"))).collect() };
    refused(&|bundle| bundle.removed = strangers(MEMBERS_PER_COMMIT_MAX));
    refused(&|bundle| bundle.added.push(bundle.added[0].clone()));
    refused(&|bundle| bundle.added.push((alice.address().clone(), Role::Member)));
    refused(&|bundle| bundle.welcome = Bytes::new());
    refused(&|bundle| bundle.welcome_devices = vec![alice.device()]);
    refused(&|bundle| bundle.welcome_devices.push(bob.device()));
    refused(&|bundle| bundle.welcome_devices = vec![world.new_device().id]);
    // Removing those who are no members is what follows a leave: no rule is broken.
    let mut commit = world.next_commit(&alice, &group, &[&bob], &[]);
    commit.bundle.removed = strangers(MEMBERS_PER_COMMIT_MAX - 1);
    world.commit(&alice, &commit).unwrap();
}

pub fn who_is_removed_reads_up_to_that_entry(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let group = world.group(&alice, &[&bob, &carol]);
    let sent = world.message(&bob, &group, b"before");
    let answer = world.append(&bob, &sent).unwrap();
    world.told();
    let at = world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&bob])).unwrap();
    // The last entry is pushed to the one it removes, the next ones are not.
    assert!(matches!(&world.told()[0].audience, Audience::Members(members) if members.contains(&bob.account())));
    world.say(&carol, &group, "after");
    assert!(matches!(&world.told()[0].audience, Audience::Members(members) if !members.contains(&bob.account())));
    let check = |world: &World| {
        assert_eq!(world.entries(&bob, &group).last().unwrap().seq, at.seq);
        let position = world.position(&bob, &group, 99);
        assert_eq!((position.after, position.head, position.chain), (at.seq, at.seq, at.chain));
        let late = world.numbered(&group, Counter(2), Epoch(2), b"late");
        assert_eq!(world.append(&bob, &late), Err(AppendError::NotFound));
        assert!(!wait(world.store.public_group(&bob, &group, None)).unwrap().member);
        // What was acknowledged before is answered as before.
        assert_eq!(world.append(&bob, &sent), Ok(answer));
        let listed = wait(world.store.list_conversations(&bob, None, 100)).unwrap();
        assert!(listed.iter().all(|info| info.conversation != group));
    };
    check(&world);
    let Some(world) = world.reopened(backend) else { return };
    check(&world);
}

fn leave(world: &World, actor: &Actor, name: &ConversationName) -> Append {
    world.proposal(actor, name, true)
}

pub fn who_leaves_reads_up_to_that_entry(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let group = world.group(&alice, &[&bob, &carol]);
    let not_a_leave = Append { kind: EntryKind::Message, ..leave(&world, &bob, &group) };
    assert_eq!(world.append(&bob, &not_a_leave), Err(AppendError::Forbidden));
    world.told();
    let last = leave(&world, &bob, &group);
    let at = world.append(&bob, &last).unwrap();
    assert!(matches!(&world.told()[0].audience, Audience::Members(members) if members.contains(&bob.account())));
    assert_eq!(world.append(&bob, &last), Ok(at));
    // Any member commits it, whatever its role.
    world.commit(&carol, &world.next_commit(&carol, &group, &[], &[&bob])).unwrap();
    assert_eq!(world.entries(&bob, &group).last().unwrap().seq, at.seq);
    assert_eq!(names(&world.info(&alice, &group)), ["alice", "carol"]);
    // They may be added again, and read from there.
    let back = world.commit(&alice, &world.next_commit(&alice, &group, &[&bob], &[])).unwrap();
    world.say(&bob, &group, "back");
    let seen: Vec<_> = world.entries(&bob, &group).iter().map(|entry| entry.seq).collect();
    assert_eq!(seen, [back.seq, back.seq.next()]);
}

pub fn who_joins_reads_from_the_commit_that_added_them(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let group = world.group(&alice, &[&bob]);
    let before = world.say(&bob, &group, "before");
    world.friends(&alice, &carol);
    let at = world.commit(&alice, &world.next_commit(&alice, &group, &[&carol], &[])).unwrap();
    world.say(&bob, &group, "after");
    let page = world.page(&carol, &group, 0).unwrap();
    assert_eq!((page.floor, page.floor_chain), (before.seq, before.chain));
    let seen: Vec<_> = world.entries(&carol, &group).iter().map(|entry| entry.seq).collect();
    assert_eq!(seen, [at.seq, at.seq.next()]);
    let position = world.position(&carol, &group, 0);
    assert_eq!((position.after, position.chain), (before.seq, before.chain));
    assert_eq!(world.page(&alice, &group, 0).unwrap().floor, Seq(0));
}

pub fn a_direct_conversation_keeps_its_two(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let talk = world.friends(&alice, &bob);
    world.friends(&alice, &carol);
    let forbidden = Err(AppendError::Forbidden);
    assert_eq!(world.commit(&alice, &world.next_commit(&alice, &talk, &[&carol], &[])), forbidden);
    assert_eq!(world.commit(&alice, &world.next_commit(&alice, &talk, &[], &[&bob])), forbidden);
    assert_eq!(world.append(&alice, &leave(&world, &alice, &talk)), forbidden);
    world.commit(&bob, &world.next_commit(&bob, &talk, &[], &[])).unwrap();
    let info = world.info(&alice, &talk);
    assert_eq!((info.kind, names(&info)), (ConversationKind::Direct, vec!["alice", "bob"]));

    // It is made with its peer, all of it and nobody else.
    let dave = world.person("dave");
    let attempt = |change: &dyn Fn(&mut NewConversation)| {
        let mut new = world.new_direct(&dave);
        change(&mut new);
        wait(world.store.create_conversation(&alice, new)).unwrap_err()
    };
    let membership = CreateConversationError::from(AppendError::Membership);
    assert_eq!(attempt(&|new| new.commit = None), membership);
    assert_eq!(attempt(&|new| new.commit = Some(bundle(0, &[&bob], &[]))), membership);
    assert_eq!(attempt(&|new| new.commit = Some(bundle(0, &[&dave, &bob], &[]))), membership);
    assert_eq!(attempt(&|new| new.commit = Some(bundle(0, &[&dave], &[&bob]))), membership);
    assert_eq!(attempt(&|new| new.commit = Some(bundle(1, &[&dave], &[]))), AppendError::WrongEpoch(Epoch(0)).into());
    world.create(&alice, world.new_direct(&dave));
}

pub fn a_group_of_one_begins_without_an_entry(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.friends(&alice, &bob);
    let new = world.new_group(&[]);
    let group = new.conversation.clone();
    let at = wait(world.store.create_conversation(&alice, new.clone())).unwrap();
    assert_eq!((at.seq, at.chain), (Seq(0), genesis(&group)));
    assert_eq!(wait(world.store.create_conversation(&alice, new)), Ok(at));
    let info = world.info(&alice, &group);
    assert_eq!((info.epoch, info.head, info.counter), (Epoch(0), Seq(0), Counter(0)));
    let at = world.commit(&alice, &world.next_commit(&alice, &group, &[&bob], &[])).unwrap();
    assert_eq!(at.seq, Seq(1));
    world.say(&bob, &group, "hello");
    assert_eq!(world.entries(&alice, &group).len(), 2);
}

pub fn a_creation_is_answered_alike(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let new = world.new_direct(&bob);
    let at = wait(world.store.create_conversation(&alice, new.clone())).unwrap();
    world.say(&alice, &new.conversation, "hello");
    let inbox = world.inbox(&bob).len();
    assert_eq!(wait(world.store.create_conversation(&alice, new.clone())), Ok(at));
    assert_eq!(world.inbox(&bob).len(), inbox);
    let Some(world) = world.reopened(backend) else { return };
    assert_eq!(wait(world.store.create_conversation(&alice, new)), Ok(at));
}

pub fn a_name_is_used_once(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let group = world.group(&alice, &[]);
    let conflict: Result<Appended, CreateConversationError> = Err(AppendError::IdConflict.into());
    let taken = |conversation: ConversationName| NewConversation { conversation, ..world.new_group(&[]) };
    assert_eq!(wait(world.store.create_conversation(&bob, taken(group.clone()))), conflict);
    assert_eq!(wait(world.store.create_conversation(&alice, taken(group.clone()))), conflict);
    let inbox = super::world::inbox_of(&bob);
    assert_eq!(wait(world.store.create_conversation(&bob, taken(inbox))), conflict);
    let mut device = world.new_device();
    device.id = DeviceId::parse(group.id.as_bytes()).unwrap();
    assert_eq!(
        wait(world.store.enrol_device(bob.account(), device, DEVICES_PER_ACCOUNT_MAX)),
        Err(EnrolDeviceError::DeviceExists)
    );
    let elsewhere = ConversationName { domain: "other.example".parse().unwrap(), ..world.name() };
    let forbidden: Result<Appended, CreateConversationError> = Err(AppendError::Forbidden.into());
    assert_eq!(wait(world.store.create_conversation(&bob, taken(elsewhere))), forbidden);
}

pub fn conversations_are_listed_in_pages(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let mut made: Vec<_> = (0..7).map(|_| world.group(&alice, &[])).collect();
    made.sort();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = wait(world.store.list_conversations(&alice, after, 3)).unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.conversation.id);
        seen.extend(page.into_iter().map(|info| info.conversation));
    }
    assert_eq!(seen, made);
}
