//! Accounts, invites, devices.

use qpc_proto::{
    chain::{EntryContent, EntryKind, LogEntry},
    limits::DEVICES_PER_ACCOUNT_MAX,
    suite::Suite,
    v1::{AccountEvent, AccountNotice},
};

use super::{
    Backend,
    world::{World, address, inbox_of, password, wait},
};
use crate::store::*;

const TOKEN: InviteToken = InviteToken([3; 32]);

fn invite(world: &World, uses: u32, expires_ms: Option<u64>) {
    wait(world.store.create_invite(NewInvite { token: TOKEN, uses, expires_ms })).unwrap();
}

fn notice(entry: &LogEntry) -> AccountNotice {
    assert_eq!(entry.kind, EntryKind::Account);
    let EntryContent::Body(body) = &entry.content else { panic!("no body") };
    prost::Message::decode(body.clone()).unwrap()
}

pub fn an_account_logs_in_with_what_it_registered(backend: &dyn Backend) {
    let world = World::new(backend);
    let name = address("alice").name;
    wait(world.store.set_decoy(password("first decoy"))).unwrap();
    wait(world.store.set_decoy(password("decoy"))).unwrap();
    let unknown = wait(world.store.login_record(&name)).unwrap();
    assert_eq!((unknown.account, unknown.account_key), (None, [0; 32]));
    assert!(unknown.password == password("decoy"));

    let alice = world.person("alice");
    let record = wait(world.store.login_record(&name)).unwrap();
    assert_eq!((record.account, record.account_key), (Some(alice.account()), [9; 32]));
    assert!(record.password == password("alice"));
    let device = wait(world.store.device(alice.device())).unwrap().unwrap();
    assert_eq!((device.account, device.key), (alice.account(), [7; 32]));
    assert_eq!(device.address, address("alice"));
    assert_eq!(wait(world.store.device(world.new_device().id)), Ok(None));
}

pub fn names_are_taken_once(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let again = world.register(world.new_account("alice", Admission::Open));
    assert_eq!(again, Err(CreateAccountError::NameTaken));
    let mut same_device = world.new_account("bob", Admission::Open);
    same_device.device.id = alice.device();
    assert_eq!(world.register(same_device), Err(CreateAccountError::DeviceExists));
    world.person("bob");
}

pub fn invites_let_in_as_often_as_they_say(backend: &dyn Backend) {
    let world = World::new(backend);
    let token = Admission::Token(TOKEN);
    let invalid = Err(InviteError::Invalid);
    let check = |name: &str| wait(world.store.check_invite(TOKEN, &address(name).name, 1));
    assert_eq!(check("alice"), invalid);
    invite(&world, 2, None);
    assert_eq!(check("alice"), Ok(()));
    world.register(world.new_account("alice", token.clone())).unwrap();
    // A refusal uses nothing up.
    assert_eq!(world.register(world.new_account("alice", token.clone())), Err(CreateAccountError::NameTaken));
    world.register(world.new_account("bob", token.clone())).unwrap();
    assert_eq!(check("carol"), invalid);
    assert_eq!(
        world.register(world.new_account("carol", token)),
        Err(CreateAccountError::Invite(InviteError::Invalid))
    );
}

pub fn invites_expire(backend: &dyn Backend) {
    let world = World::new(backend);
    invite(&world, 1, Some(100));
    let check = |now| wait(world.store.check_invite(TOKEN, &address("alice").name, now));
    assert_eq!(check(99), Ok(()));
    assert_eq!(check(100), Err(InviteError::Invalid));
}

pub fn an_invite_is_used_up_once_by_many_at_the_same_moment(backend: &dyn Backend) {
    let world = World::new(backend);
    invite(&world, 3, None);
    let news: Vec<_> = (0..20).map(|n| world.new_account(&format!("person{n}"), Admission::Token(TOKEN))).collect();
    let replies: Vec<_> = news.into_iter().map(|new| world.store.create_account(new)).collect();
    let outcomes: Vec<_> = replies.into_iter().map(wait).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
}

pub fn devices_are_enrolled_up_to_the_limit(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let mut devices = vec![alice.device()];
    while devices.len() < DEVICES_PER_ACCOUNT_MAX {
        devices.push(world.another_device(&alice).device());
    }
    let enrol = |device| wait(world.store.enrol_device(alice.account(), device, DEVICES_PER_ACCOUNT_MAX));
    assert_eq!(enrol(world.new_device()), Err(EnrolDeviceError::TooMany));
    let listed: Vec<_> = wait(world.store.list_devices(&alice)).unwrap().into_iter().map(|device| device.id).collect();
    assert_eq!(listed, devices);
    // The same device again is no error; with another key, or somebody else's, it is.
    let mut again = world.new_device();
    again.id = devices[1];
    assert_eq!(enrol(again.clone()), Ok(Enrolled::Already));
    again.key = [1; 32];
    assert_eq!(enrol(again.clone()), Err(EnrolDeviceError::DeviceExists));
    let bob = world.person("bob");
    assert_eq!(
        wait(world.store.enrol_device(bob.account(), again, DEVICES_PER_ACCOUNT_MAX)),
        Err(EnrolDeviceError::DeviceExists)
    );
}

pub fn a_revoked_device_can_do_nothing(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let other = world.another_device(&alice);
    let packages = NewKeyPackages { one_time: vec![b"package".as_slice().into()], ..NewKeyPackages::default() };
    wait(world.store.publish_key_packages(&other, packages)).unwrap();
    let talk = world.friends(&alice, &bob);
    let message = world.message(&alice, &talk, b"hello");

    assert_eq!(wait(world.store.revoke_device(&bob, other.device())), Err(Refusal::NotFound));
    wait(world.store.revoke_device(&alice, other.device())).unwrap();
    assert_eq!(*world.sink.gone.lock().unwrap(), [other.device()]);
    assert_eq!(wait(world.store.device(other.device())), Ok(None));
    assert_eq!(wait(world.store.list_devices(&alice)).unwrap().len(), 1);
    assert_eq!(wait(world.store.list_devices(&other)), Err(Refusal::DeviceGone));
    assert_eq!(world.append(&other, &message), Err(AppendError::DeviceGone));
    assert_eq!(world.page(&other, &talk, 0).err(), Some(ReadError::DeviceGone));
    assert_eq!(world.page(&other, &inbox_of(&other), 0).err(), Some(ReadError::DeviceGone));
    assert_eq!(wait(world.store.touch_device(&other, 1)), Err(Refusal::DeviceGone));
    assert_eq!(world.answer(&other, &bob, Consent::Block), Err(ContactError::DeviceGone));
    let claimed = wait(world.store.claim_key_packages(&bob, alice.address(), Suite::Classical));
    assert_eq!(claimed, Err(ClaimError::NotFound));
    // Its id is never used again.
    let mut back = world.new_device();
    back.id = other.device();
    assert_eq!(
        wait(world.store.enrol_device(alice.account(), back, DEVICES_PER_ACCOUNT_MAX)),
        Err(EnrolDeviceError::DeviceExists)
    );
}

pub fn a_password_change_replaces_both_parts(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let was = |alice: &Actor| wait(world.store.login_record(&alice.address().name)).unwrap().password.opaque_record;
    let first = was(&alice);
    wait(world.store.change_password(&alice, first.clone(), password("new"))).unwrap();
    // By a proof of the password of before nothing changes any more.
    let late = wait(world.store.change_password(&alice, first, password("old")));
    assert_eq!(late, Err(ChangePasswordError::Changed));
    let record = wait(world.store.login_record(&alice.address().name)).unwrap();
    assert!(record.password == password("new") && record.account == Some(alice.account()));
}

pub fn a_deleted_account_is_gone_for_good(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let talk = world.friends(&alice, &bob);
    let group = world.group(&bob, &[&carol]);
    world.say(&alice, &talk, "hello");
    let inbox_before = world.inbox(&bob).len();
    world.told();

    wait(world.store.delete_account(&alice, world.now_ms.get())).unwrap();
    assert_eq!(*world.sink.gone.lock().unwrap(), [alice.device()]);
    assert_eq!(wait(world.store.login_record(&alice.address().name)).unwrap().account, None);
    assert_eq!(wait(world.store.list_devices(&alice)), Err(Refusal::DeviceGone));
    let again = world.register(world.new_account("alice", Admission::Open));
    assert_eq!(again, Err(CreateAccountError::NameTaken));
    let reset = AccountReset { name: alice.address().name.clone(), token: TOKEN, expires_ms: u64::MAX, now_ms: 1 };
    assert_eq!(wait(world.store.reset_account(reset)), Err(ResetAccountError::NotFound));

    // Who shared a conversation is told, and nobody else; what was sent stays.
    let told = world.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].audience, Audience::Device(bob.account(), bob.device()));
    let inbox = world.inbox(&bob);
    assert_eq!(inbox.len(), inbox_before + 1);
    let notice = notice(inbox.last().unwrap());
    assert_eq!((notice.address.as_str(), notice.event()), ("alice@localhost", AccountEvent::Deleted));
    assert_eq!(world.entries(&bob, &talk).len(), 2);
    assert_eq!(world.info(&bob, &talk).members.len(), 1);
    let late = world.message(&bob, &talk, b"are you there?");
    assert_eq!(world.append(&bob, &late), Err(AppendError::Forbidden));
    world.say(&bob, &group, "alice has left");
    let to_nobody = wait(world.store.create_conversation(&bob, world.new_direct(&alice)));
    assert_eq!(to_nobody, Err(AppendError::NotContact.into()));
    assert!(
        wait(world.store.list_contacts(&bob, None, 10))
            .unwrap()
            .iter()
            .all(|contact| contact.address != *alice.address())
    );
}

pub fn a_reset_account_comes_back_with_its_token_alone(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let talk = world.friends(&alice, &bob);
    world.friends(&alice, &carol);
    world.answer(&carol, &alice, Consent::Block).unwrap();
    invite(&world, 10, None);
    let reset = |token: u8| {
        let name = alice.address().name.clone();
        let token = InviteToken([token; 32]);
        wait(world.store.reset_account(AccountReset { name, token, expires_ms: u64::MAX, now_ms: 1 }))
    };
    reset(8).unwrap();
    reset(9).unwrap();
    assert_eq!(*world.sink.gone.lock().unwrap(), [alice.device()]);
    assert_eq!(wait(world.store.login_record(&alice.address().name)).unwrap().account, None);
    assert_eq!(
        world.append(&alice, &world.numbered(&talk, qpc_proto::id::Counter(2), qpc_proto::id::Epoch(1), b"x")),
        Err(AppendError::DeviceGone)
    );
    let inbox_before = world.inbox(&bob).len();

    let come = |admission| {
        let mut new = world.new_account("alice", admission);
        new.account_key = [5; 32];
        world.register(new)
    };
    let with = |token: u8| come(Admission::Token(InviteToken([token; 32])));
    assert_eq!(come(Admission::Open), Err(CreateAccountError::NameTaken));
    assert_eq!(come(Admission::Token(TOKEN)), Err(CreateAccountError::NameTaken));
    assert_eq!(with(8), Err(CreateAccountError::Invite(InviteError::Invalid)));
    let check = |token, name: &str| wait(world.store.check_invite(InviteToken([token; 32]), &address(name).name, 1));
    assert_eq!((check(9, "alice"), check(3, "alice")), (Ok(()), Err(InviteError::Invalid)));
    assert_eq!(check(9, "dave"), Err(InviteError::Invalid));
    let back = with(9).unwrap();
    assert_eq!(with(9), Err(CreateAccountError::Invite(InviteError::Invalid)));

    // Those who shared a conversation learn the new key.
    let inbox = world.inbox(&bob);
    assert_eq!(inbox.len(), inbox_before + 1);
    let notice = notice(inbox.last().unwrap());
    assert_eq!((notice.event(), notice.account_key.as_ref()), (AccountEvent::Reset, [5; 32].as_slice()));
    // The conversations of before are not hers any more, the pair is free, consent is asked for anew, a block stands.
    assert_eq!(world.page(&back, &talk, 0).err(), Some(ReadError::NotFound));
    let talk = world.create(&back, world.new_direct(&bob));
    world.say(&back, &talk, "it is me");
    assert_eq!(world.append(&back, &world.message(&back, &talk, b"really")), Err(AppendError::ContactPending));
    let inbox_of_carol = world.inbox(&carol).len();
    world.create(&back, world.new_direct(&carol));
    assert_eq!(world.inbox(&carol).len(), inbox_of_carol);
}

pub fn a_device_is_noted_once_a_day(backend: &dyn Backend) {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let world = World::new(backend);
    let alice = world.person("alice");
    let seen = || wait(world.store.list_devices(&alice)).unwrap()[0].last_seen_ms;
    let today = world.now_ms.get() / DAY_MS * DAY_MS;
    assert_eq!(seen(), today);
    wait(world.store.touch_device(&alice, today + 2 * DAY_MS + 5)).unwrap();
    assert_eq!(seen(), today + 2 * DAY_MS);
    wait(world.store.touch_device(&alice, today + DAY_MS)).unwrap();
    assert_eq!(seen(), today + 2 * DAY_MS);
}
