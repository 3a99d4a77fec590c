//! Guests: people of other domains in conversations here.

use prost::Message;
use qpc_proto::{
    address::Address,
    chain::{EntryContent, EntryKind, LogEntry},
    id::AccountId,
    suite::Suite,
    v1::{AccountEvent, AccountNotice, ContactEvent, ContactNotice, WelcomeNotice},
};

use super::{
    Backend,
    world::{World, inbox_of, wait},
};
use crate::store::*;

fn body(entry: &LogEntry) -> bytes::Bytes {
    match &entry.content {
        EntryContent::Body(body) => body.clone(),
        EntryContent::Removed(_) => panic!("a body that is gone"),
    }
}

/// As a guest's server describes one with these devices. Every device here has the same key, every account another one.
fn described(world: &World, address: &str, devices: &[NewDevice]) -> Guest {
    Guest {
        id: world.new_account("anybody", Admission::Open).id,
        address: Address::parse(address).unwrap(),
        account_key: [9; 32],
        devices: devices.to_vec(),
        now_ms: world.now_ms.get(),
    }
}

fn admit(world: &World, guest: &Guest) -> Result<AccountId, AdmitError> {
    wait(world.store.admit_guest(guest.clone()))
}

/// One with one device, as its own server acts for it.
pub(super) fn guest(world: &World, address: &str) -> Actor {
    let device = world.new_device();
    let described = described(world, address, std::slice::from_ref(&device));
    Actor::authenticated(admit(world, &described).unwrap(), device.id, described.address)
}

fn kinds(world: &World, actor: &Actor) -> Vec<EntryKind> {
    world.inbox(actor).iter().map(|entry| entry.kind).collect()
}

pub fn a_guest_takes_part_like_people_of_here(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, carol) = (world.person("alice"), world.person("carol"));
    let bob = guest(&world, "bob@b.example");
    let talk = world.create(&alice, world.new_direct(&bob));
    // What is for the guest's device waits in an inbox of its own, for its server.
    let inbox = world.inbox(&bob);
    let welcome = WelcomeNotice::decode(body(&inbox[0])).unwrap();
    assert!(inbox.len() == 1 && inbox[0].kind == EntryKind::Welcome && welcome.contact_request);
    assert_eq!(inbox[0].conversation, inbox_of(&bob));
    assert_eq!((welcome.from.as_str(), welcome.conversation), ("alice@localhost", Some(talk.to_wire())));
    world.say(&alice, &talk, "hello");
    world.told();
    let said = world.say(&bob, &talk, "hello yourself");
    assert_eq!(world.entries(&alice, &talk).last().unwrap().seq, said.seq);
    assert_eq!(world.entries(&bob, &talk).len(), 3);
    let told = world.told();
    assert!(told.iter().any(|committed| matches!(&committed.audience,
        Audience::Members(members) if members.contains(&bob.account()) && members.contains(&alice.account()))));
    // By writing back the guest has accepted, and both are told as anybody is.
    let accepted = ContactNotice::decode(body(world.inbox(&alice).last().unwrap())).unwrap();
    assert_eq!((accepted.event(), accepted.address.as_str()), (ContactEvent::Accepted, "bob@b.example"));

    // In a group, added, removed, and asked for consent first.
    let group = world.group(&alice, &[&carol]);
    world.commit(&alice, &world.next_commit(&alice, &group, &[&bob], &[])).unwrap();
    assert_eq!(kinds(&world, &bob), [EntryKind::Welcome; 2]);
    world.say(&bob, &group, "all of you");
    let members: Vec<_> = world.info(&carol, &group).members.into_iter().map(|(who, _)| who.to_string()).collect();
    assert_eq!(members, ["alice@localhost", "bob@b.example", "carol@localhost"]);
    let add_ben = world.next_commit(&alice, &group, &[&guest(&world, "ben@b.example")], &[]);
    assert_eq!(world.commit(&alice, &add_ben), Err(AppendError::NotContact));
    world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&bob])).unwrap();
    let late = world.numbered(&group, qpc_proto::id::Counter(2), qpc_proto::id::Epoch(3), b"late");
    assert_eq!(world.append(&bob, &late), Err(AppendError::NotFound));
    // Who is deleted here is told of there.
    wait(world.store.delete_account(&alice, 1)).unwrap();
    assert_eq!(kinds(&world, &bob).last(), Some(&EntryKind::Account));

    let before = world.inbox(&bob).len();
    if let Some(world) = world.reopened(backend) {
        assert_eq!(world.inbox(&bob).len(), before);
        assert!(wait(world.store.device(bob.device())).unwrap().is_some());
    }
}

pub fn a_guest_may_have_the_name_of_somebody_here_and_takes_nothing_from_them(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let other = guest(&world, "alice@b.example");
    let third = guest(&world, "alice@c.example");
    guest(&world, "dave@b.example");
    assert!(alice.account() != other.account() && other.account() != third.account());
    let login = |name: &str| wait(world.store.login_record(&super::world::address(name).name)).unwrap().account;
    // A guest logs in elsewhere, and takes no name here.
    assert_eq!((login("alice"), login("dave")), (Some(alice.account()), None));
    let dave = world.person("dave");
    assert_eq!(login("dave"), Some(dave.account()));
    assert_eq!(wait(world.store.count_accounts()).unwrap(), 2);
    let claim = |whose: &Actor| wait(world.store.claim_key_packages_for_peer(whose.address(), Suite::Classical));
    let some = NewKeyPackages { one_time: vec!["one".into()], ..NewKeyPackages::default() };
    wait(world.store.publish_key_packages(&other, some.clone())).unwrap();
    assert_eq!(claim(&other).err(), Some(ClaimError::NotFound), "their own server has theirs");
    // Two of the same name are two people to talk to.
    let (one, two) = (world.create(&dave, world.new_direct(&other)), world.create(&dave, world.new_direct(&third)));
    assert!(one != two && world.page(&other, &two, 0).is_err());
    // What the operator does to a name is done to the account of here.
    let name = alice.address().name.clone();
    let reset = AccountReset { name, token: InviteToken([1; 32]), expires_ms: u64::MAX, now_ms: 1 };
    wait(world.store.reset_account(reset)).unwrap();
    assert_eq!(*world.sink.gone.lock().unwrap(), [alice.device()]);
    let nobody = super::world::address("nobody").name;
    guest(&world, "nobody@b.example");
    let reset = AccountReset { name: nobody, token: InviteToken([2; 32]), expires_ms: u64::MAX, now_ms: 1 };
    assert_eq!(wait(world.store.reset_account(reset)), Err(ResetAccountError::NotFound));
    // The other way round: an address of here is no guest's.
    let own = described(&world, "dave@localhost", &[world.new_device()]);
    assert_eq!(admit(&world, &own), Err(AdmitError::Own));
}

pub fn a_guests_devices_are_those_that_its_server_names(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let (phone, tablet) = (world.new_device(), world.new_device());
    let with = |devices: &[NewDevice]| admit(&world, &described(&world, "bob@b.example", devices));
    let bob = with(std::slice::from_ref(&phone)).unwrap();
    let on = |device: &NewDevice| Actor::authenticated(bob, device.id, Address::parse("bob@b.example").unwrap());
    assert_eq!(with(std::slice::from_ref(&phone)), Ok(bob), "nothing new");
    let talk = world.create(&alice, world.new_direct(&on(&phone)));
    assert_eq!(with(&[phone.clone(), tablet.clone()]), Ok(bob));
    assert!(world.inbox(&on(&tablet)).is_empty() && world.inbox(&on(&phone)).len() == 1);

    // Ids that are somebody else's, another key's, or twice there: refused whole, and nothing has changed.
    let taken = NewDevice { id: alice.device(), ..world.new_device() };
    let another_key = NewDevice { key: [8; 32], ..tablet.clone() };
    let fresh = world.new_device();
    for refused in [vec![fresh.clone(), taken], vec![another_key], vec![fresh.clone(), fresh.clone()]] {
        assert_eq!(with(&refused), Err(AdmitError::DeviceExists));
    }
    assert!(wait(world.store.device(fresh.id)).unwrap().is_none());
    assert!(world.sink.gone.lock().unwrap().is_empty());

    // One that its server names no more is gone, its leaf is proposed for removal, and its id is never used again.
    assert_eq!(with(std::slice::from_ref(&tablet)), Ok(bob));
    assert_eq!(*world.sink.gone.lock().unwrap(), [phone.id]);
    let departed = wait(world.store.departures(10)).unwrap();
    assert_eq!(departed.len(), 1);
    assert_eq!((departed[0].conversation.clone(), departed[0].device), (talk, phone.id));
    assert_eq!(with(&[tablet.clone(), phone]), Err(AdmitError::DeviceExists));
    let somebody = admit(&world, &described(&world, "ben@b.example", &[tablet]));
    assert_eq!(somebody, Err(AdmitError::DeviceExists));
}

pub fn a_guest_with_another_key_is_one_that_was_reset(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let bob = guest(&world, "bob@b.example");
    let talk = world.friends(&alice, &bob);
    let device = world.new_device();
    let anew = Guest { account_key: [5; 32], ..described(&world, "bob@b.example", std::slice::from_ref(&device)) };
    let account = admit(&world, &anew).unwrap();
    assert_ne!(account, bob.account());
    assert_eq!(*world.sink.gone.lock().unwrap(), [bob.device()]);
    let notice = AccountNotice::decode(body(world.inbox(&alice).last().unwrap())).unwrap();
    assert_eq!(
        (notice.event(), notice.address.as_str(), notice.account_key.as_ref()),
        (AccountEvent::Reset, "bob@b.example", [5; 32].as_slice())
    );
    let back = Actor::authenticated(account, device.id, bob.address().clone());
    assert_eq!(world.page(&back, &talk, 0).err(), Some(ReadError::NotFound), "it is not in what the other was in");
    assert!(wait(world.store.device(bob.device())).unwrap().is_none());
    assert_eq!(admit(&world, &anew), Ok(account));
}
