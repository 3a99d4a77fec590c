//! Several devices of one account: told of what they are not in, and taken out where they are gone.

use prost::Message;
use qpc_proto::{
    chain::{EntryContent, EntryKind, LogEntry},
    id::{ConversationName, Counter, DeviceId, Epoch},
    v1,
};

use super::{
    Backend,
    world::{World, inbox_of, state, wait},
};
use crate::store::{
    Actor, AppendError, Consent, ConversationKind, CreateConversationError, Departure, Judged, NewConversation,
    Removal, RemovalError,
};

fn body(entry: &LogEntry) -> bytes::Bytes {
    match &entry.content {
        EntryContent::Body(body) => body.clone(),
        EntryContent::Removed(_) => panic!("a body that is gone"),
    }
}

/// What a device's inbox names: conversations and whether it is welcomed to them.
fn named(world: &World, actor: &Actor) -> Vec<(ConversationName, bool, bool)> {
    let welcomes = world.inbox(actor).into_iter().filter(|entry| entry.kind == EntryKind::Welcome);
    let notices = welcomes.map(|entry| v1::WelcomeNotice::decode(body(&entry)).unwrap());
    let name = |notice: &v1::WelcomeNotice| ConversationName::parse(notice.conversation.as_ref()).unwrap();
    notices.map(|notice| (name(&notice), !notice.welcome.is_empty(), notice.contact_request)).collect()
}

/// With whom things changed, as a device's inbox tells.
fn changed(world: &World, actor: &Actor) -> Vec<String> {
    let contacts = world.inbox(actor).into_iter().filter(|entry| entry.kind == EntryKind::Contact);
    let notices = contacts.map(|entry| v1::ContactNotice::decode(body(&entry)).unwrap());
    notices.filter(|notice| notice.event() == v1::ContactEvent::Changed).map(|notice| notice.address).collect()
}

pub fn devices_that_were_not_welcomed_are_told_where_their_account_is(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let (hers, his) = (world.another_device(&alice), world.another_device(&bob));
    let direct = world.create(&alice, world.new_direct(&bob));
    assert_eq!(named(&world, &bob), [(direct.clone(), true, true)]);
    assert_eq!(named(&world, &his), [(direct.clone(), false, true)]);
    // To her own devices it is no request.
    assert_eq!(named(&world, &hers), [(direct.clone(), false, false)]);
    assert_eq!(named(&world, &alice), []);
    // What a device is not in yet, it reads nothing of, and its account may.
    assert!(world.page(&his, &direct, 0).is_ok());

    world.answer(&bob, &alice, Consent::Accept).unwrap();
    let alone = world.create(&alice, world.new_group(&[]));
    assert_eq!(named(&world, &hers).last(), Some(&(alone.clone(), false, false)));
    world.commit(&alice, &world.next_commit(&alice, &alone, &[&bob], &[])).unwrap();
    assert_eq!(named(&world, &his).last(), Some(&(alone, false, false)));
    assert_eq!(named(&world, &hers).len(), 2, "she was in it before");
}

pub fn devices_are_told_what_another_one_has_asked_or_answered(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let (hers, his) = (world.another_device(&alice), world.another_device(&bob));
    let direct = world.create(&alice, world.new_direct(&bob));
    assert_eq!(changed(&world, &hers), ["bob@localhost"]);
    world.answer(&his, &alice, Consent::Decline).unwrap();
    assert_eq!(changed(&world, &bob), ["alice@localhost"]);
    world.answer(&his, &alice, Consent::Decline).unwrap();
    assert_eq!(changed(&world, &bob).len(), 1, "nothing has changed");
    world.say(&bob, &direct, "after all");
    assert_eq!(changed(&world, &his), ["alice@localhost"]);
    world.say(&bob, &direct, "and more");
    assert_eq!(changed(&world, &his).len(), 1);
    assert_eq!(changed(&world, &bob).len(), 1, "the device that acts is not told");
}

pub fn an_account_has_one_personal_conversation(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&alice);
    let new = |of: &Actor| NewConversation { peer: Some(of.address().clone()), ..world.new_group(&[]) };
    let with = NewConversation { peer: Some(alice.address().clone()), ..world.new_group(&[&bob]) };
    let refused = wait(world.store.create_conversation(&alice, with));
    assert_eq!(refused, Err(AppendError::Membership.into()));
    let own = world.create(&alice, new(&alice));
    assert_eq!(world.info(&alice, &own).kind, ConversationKind::Personal);
    assert_eq!(named(&world, &tablet), [(own.clone(), false, false)]);
    let second = wait(world.store.create_conversation(&tablet, new(&tablet)));
    assert_eq!(second, Err(CreateConversationError::DirectExists(own.clone())));
    assert_ne!(world.create(&bob, new(&bob)), own);
    world.friends(&alice, &bob);
    let adds = world.commit(&alice, &world.next_commit(&alice, &own, &[&bob], &[]));
    assert_eq!(adds, Err(AppendError::Forbidden));
    let leaves = world.append(&alice, &world.proposal(&alice, &own, true));
    assert_eq!(leaves, Err(AppendError::Forbidden));
    world.say(&tablet, &own, "buy milk");
    assert_eq!(world.entries(&alice, &own).len(), 1);
}

/// What is to be done about leaves.
fn due(world: &World) -> Vec<(ConversationName, DeviceId, bool)> {
    let due = wait(world.store.departures(100)).unwrap();
    due.into_iter()
        .map(|Departure { conversation, device, account_gone }| (conversation, device, account_gone))
        .collect()
}

/// The hub's proposal to remove a device, judged on the state that is stored.
fn removal(world: &World, of: &ConversationName, device: DeviceId) -> Removal {
    let group = wait(world.store.hub_group(of, None)).unwrap().unwrap();
    Removal {
        conversation: of.clone(),
        device,
        body: bytes::Bytes::from_static(b"removal"),
        judged: Judged { basis: group.version, change: state("with a removal", None) },
        now_ms: 5,
    }
}

pub fn a_device_that_is_gone_is_proposed_for_removal_in_each_epoch(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&alice);
    let group = world.group(&alice, &[&bob]);
    assert_eq!(due(&world), []);
    wait(world.store.revoke_device(&alice, tablet.device())).unwrap();
    assert!(due(&world).contains(&(group.clone(), tablet.device(), false)) && due(&world).len() == 2);

    let proposal = removal(&world, &group, tablet.device());
    let stale = Removal { judged: Judged { basis: Default::default(), ..proposal.judged.clone() }, ..proposal.clone() };
    assert_eq!(wait(world.store.propose_removal(stale)), Err(RemovalError::Unjudged));
    world.told();
    wait(world.store.propose_removal(proposal.clone())).unwrap();
    assert_eq!(wait(world.store.propose_removal(proposal)), Err(RemovalError::Unjudged));
    let entry = world.entries(&bob, &group).pop().unwrap();
    assert_eq!((entry.kind, entry.sender, entry.counter), (EntryKind::Proposal, None, Counter(0)));
    assert_eq!((entry.epoch, body(&entry).as_ref()), (Epoch(1), b"removal".as_slice()));
    assert_eq!(world.told().len(), 1);
    assert_eq!(due(&world).len(), 1, "nothing more in this epoch");

    // A commit that did not carry it out has made it void.
    world.commit(&bob, &world.next_commit(&bob, &group, &[], &[])).unwrap();
    assert!(due(&world).contains(&(group.clone(), tablet.device(), false)));
    wait(world.store.settle_departure(&group, tablet.device(), Some(Epoch(2)))).unwrap();
    assert_eq!(due(&world).len(), 1);
    let mut takes_out = world.next_commit(&bob, &group, &[], &[]);
    takes_out.bundle.judged.as_mut().unwrap().change.removed_devices = vec![tablet.device()];
    world.commit(&bob, &takes_out).unwrap();
    world.commit(&bob, &world.next_commit(&bob, &group, &[], &[])).unwrap();
    assert_eq!(due(&world).len(), 1);
    let world = match world.reopened(backend) {
        Some(world) => world,
        None => return,
    };
    let (left, ..) = due(&world).remove(0);
    wait(world.store.settle_departure(&left, tablet.device(), None)).unwrap();
    assert_eq!(due(&world), []);
}

pub fn an_account_that_is_gone_leaves_its_groups_with_all_devices(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&alice);
    let group = world.group(&bob, &[&alice]);
    wait(world.store.delete_account(&tablet, 7)).unwrap();
    let mut gone = due(&world);
    gone.sort_by_key(|(_, device, _)| *device);
    let mut devices = [alice.device(), tablet.device()];
    devices.sort();
    assert_eq!(gone, devices.map(|device| (group.clone(), device, true)), "not in the conversation of two");
    // Where nobody is left there is nobody to propose to.
    wait(world.store.delete_account(&bob, 8)).unwrap();
    wait(world.store.propose_removal(removal(&world, &group, alice.device()))).unwrap();
    assert!(!due(&world).contains(&(group, alice.device(), true)));
    assert_eq!(wait(world.store.hub_group(&inbox_of(&bob), None)), Ok(None));
}
