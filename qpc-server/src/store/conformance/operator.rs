//! What an operator sees and changes.

use qpc_proto::{
    address::AccountName,
    id::{ConversationName, Counter, Epoch, Seq},
    role::Role,
};

use super::{
    Backend,
    world::{World, address, password, wait},
};
use crate::store::*;

fn named(actor: &Actor) -> AccountName {
    actor.address().name.clone()
}

fn standing(world: &World, actor: &Actor) -> Standing {
    wait(world.store.account_extent(&named(actor))).unwrap().account.standing
}

pub fn a_suspended_account_can_do_nothing_and_loses_nothing(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let laptop = world.another_device(&bob);
    let talk = world.friends(&alice, &bob);
    world.say(&bob, &talk, "before");
    let changed = wait(world.store.set_suspended(&named(&bob), true)).unwrap();
    assert_eq!((changed.account, changed.devices), (bob.account(), vec![bob.device(), laptop.device()]));
    assert_eq!(standing(&world, &bob), Standing::Suspended);
    assert!(world.sink.gone.lock().unwrap().is_empty(), "its devices are there");
    // The second time is no other.
    wait(world.store.set_suspended(&named(&bob), true)).unwrap();

    // It is kept out, by what it was as well as by what it has just become.
    for device in [&bob, &laptop] {
        assert_eq!(wait(world.store.list_devices(device)), Err(Refusal::Suspended));
        assert_eq!(wait(world.store.touch_device(device, world.now_ms.get())), Err(Refusal::Suspended));
        assert!(wait(world.store.device(device.device())).unwrap().unwrap().suspended);
    }
    let refused = world.append(&bob, &world.numbered(&talk, Counter(2), Epoch(1), b"in?"));
    assert_eq!(refused, Err(AppendError::Fault(StoreFault::Busy)));
    assert_eq!(world.page(&bob, &talk, 0).err(), Some(ReadError::Fault(StoreFault::Busy)));
    let record = wait(world.store.login_record(&named(&bob))).unwrap();
    assert_eq!((record.account, record.suspended), (Some(bob.account()), true));
    assert!(!wait(world.store.login_record(&named(&alice))).unwrap().suspended);
    let enrolled = wait(world.store.enrol_device(bob.account(), world.new_device(), 16));
    assert_eq!(enrolled, Err(EnrolDeviceError::Suspended));
    assert_eq!(world.register(world.new_account("bob", Admission::Open)), Err(CreateAccountError::NameTaken));
    assert_eq!(wait(world.store.count_accounts()), Ok(3));

    // Others see nothing of it: they write, and come into new conversations with it.
    world.say(&alice, &talk, "meanwhile");
    assert!(wait(world.store.list_contacts(&alice, None, 9)).unwrap().iter().any(|one| one.address == *bob.address()));
    let other = world.create(&carol, world.new_direct(&bob));
    assert!(wait(world.store.account_extent(&named(&bob))).unwrap().conversations == 2);

    wait(world.store.set_suspended(&named(&bob), false)).unwrap();
    assert_eq!(standing(&world, &bob), Standing::Active);
    let bodies = world.entries(&laptop, &talk).len();
    assert_eq!(bodies, world.entries(&alice, &talk).len(), "it reads what waited");
    world.say(&bob, &talk, "back");
    world.answer(&bob, &carol, Consent::Accept).unwrap();
    world.say(&bob, &other, "hello");
}

pub fn a_suspension_outlives_a_restart(backend: &dyn Backend) {
    let world = World::new(backend);
    let bob = world.person("bob");
    wait(world.store.set_suspended(&named(&bob), true)).unwrap();
    let Some(world) = world.reopened(backend) else { return };
    assert_eq!(standing(&world, &bob), Standing::Suspended);
    assert_eq!(wait(world.store.list_devices(&bob)), Err(Refusal::Suspended));
}

pub fn an_operator_ends_accounts_and_devices_as_their_owners_could(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let laptop = world.another_device(&bob);
    let talk = world.friends(&alice, &bob);
    let of_alice = wait(world.store.remove_device(&named(&alice), laptop.device()));
    assert_eq!(of_alice, Err(OperatorError::NotFound), "it is not hers");
    wait(world.store.remove_device(&named(&bob), laptop.device())).unwrap();
    assert_eq!(*world.sink.gone.lock().unwrap(), [laptop.device()]);
    assert_eq!(wait(world.store.list_devices(&laptop)), Err(Refusal::DeviceGone));
    assert_eq!(wait(world.store.list_devices(&bob)).unwrap().len(), 1);

    let before = world.inbox(&alice).len();
    wait(world.store.set_suspended(&named(&bob), true)).unwrap();
    wait(world.store.remove_account(&named(&bob), world.now_ms.get())).unwrap();
    assert_eq!(world.inbox(&alice).len(), before + 1, "who talked to him is told");
    assert_eq!(standing(&world, &bob), Standing::Deleted);
    assert_eq!(world.page(&bob, &talk, 0).err(), Some(ReadError::DeviceGone));
    for again in [
        wait(world.store.remove_account(&named(&bob), 1)),
        wait(world.store.set_suspended(&named(&bob), false)),
        wait(world.store.remove_device(&named(&bob), bob.device())),
    ] {
        assert_eq!(again, Err(OperatorError::NotInUse));
    }
    let nobody = address("nobody").name;
    assert_eq!(wait(world.store.set_suspended(&nobody, true)), Err(OperatorError::NotFound));
    assert_eq!(wait(world.store.account_extent(&nobody)), Err(OperatorError::NotFound));
}

pub fn accounts_are_counted_by_their_setup(backend: &dyn Backend) {
    let world = World::new(backend);
    let [alice, bob, carol, dora] = ["alice", "bob", "carol", "dora"].map(|name| world.person(name));
    let of = |version, limit| {
        let names = wait(world.store.accounts_of_setup(version, limit)).unwrap();
        names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    let used = || {
        let used = wait(world.store.setup_use()).unwrap();
        used.into_iter().map(|one| (one.version, one.accounts)).collect::<Vec<_>>()
    };
    // The decoy is nobody's, whichever setup it is of.
    let decoy = PasswordRecord { setup_version: 7, ..password("decoy") };
    wait(world.store.set_decoy(decoy)).unwrap();
    assert_eq!((used(), of(1, 9)), (vec![(1, 4)], ["alice", "bob", "carol", "dora"].map(str::to_owned).into()));
    let was = wait(world.store.login_record(&named(&bob))).unwrap().password.opaque_record;
    let newer = PasswordRecord { setup_version: 2, ..password("the same") };
    wait(world.store.change_password(&bob, was, newer)).unwrap();
    assert_eq!(
        (used(), of(2, 9), of(1, 2)),
        (vec![(1, 3), (2, 1)], vec!["bob".into()], vec!["alice".into(), "carol".into()])
    );
    // Who is suspended comes back; who is gone does not.
    wait(world.store.set_suspended(&named(&alice), true)).unwrap();
    wait(world.store.remove_account(&named(&carol), 1)).unwrap();
    let token = InviteToken([9; 32]);
    wait(world.store.reset_account(AccountReset { name: named(&dora), token, expires_ms: 9, now_ms: 1 })).unwrap();
    assert_eq!((used(), of(1, 9)), (vec![(1, 1), (2, 1)], vec!["alice".to_owned()]));
}

pub fn everything_is_listed_in_pages(backend: &dyn Backend) {
    let world = World::new(backend);
    let people: Vec<_> = ["alice", "bob", "carol"].map(|name| world.person(name)).into();
    let page = |after: Option<&str>| {
        let after = after.map(|name| address(name).name);
        let found = wait(world.store.accounts(after, 2)).unwrap();
        found.into_iter().map(|one| (one.name.as_str().to_owned(), one.devices.len())).collect::<Vec<_>>()
    };
    assert_eq!(page(None), [("alice".to_owned(), 1), ("bob".to_owned(), 1)]);
    assert_eq!(page(Some("bob")), [("carol".to_owned(), 1)]);

    let group = world.group(&people[0], &[&people[1], &people[2]]);
    let all = wait(world.store.conversations(None, 9)).unwrap();
    assert_eq!(all.len(), 3, "two to be friends and the group, and no inboxes");
    let first = wait(world.store.conversations(None, 1)).unwrap();
    let rest = wait(world.store.conversations(Some(first[0].name.clone()), 9)).unwrap();
    assert_eq!([first, rest].concat(), all);
    let shown = wait(world.store.conversation(&group)).unwrap();
    assert_eq!((shown.overview.kind, shown.overview.members), (ConversationKind::Group, 3));
    assert!(shown.overview.head > Seq(0) && shown.bytes > 0, "{shown:?}");
    let roles: Vec<_> = shown.members.iter().map(|(address, role)| (address.name.as_str(), *role)).collect();
    assert_eq!(roles, [("alice", Role::Owner), ("bob", Role::Member), ("carol", Role::Member)]);
    let inbox = ConversationName::inbox(group.domain, people[0].device());
    assert_eq!(wait(world.store.conversation(&inbox)), Err(OperatorError::NotFound), "it is nobody's conversation");

    for (first, last) in [(1, 1), (1, 2), (2, 0)] {
        let mut token = [first; 32];
        token[31] = last;
        wait(world.store.create_invite(NewInvite { token: InviteToken(token), uses: 4, expires_ms: None })).unwrap();
    }
    let invites = |after, limit| wait(world.store.invites(after, limit)).unwrap();
    let all = invites(None, 9);
    assert_eq!(all.iter().map(|one| (one.token.0[0], one.token.0[31])).collect::<Vec<_>>(), [(1, 1), (1, 2), (2, 0)]);
    assert_eq!([invites(None, 1), invites(Some(all[0].token), 9)].concat(), all);
    let end = |beginning: &[u8], forget| wait(world.store.end_invite(beginning.to_vec(), forget)).map(|one| one.token);
    assert_eq!(end(&[1; 4], true), Err(OperatorError::Ambiguous));
    assert_eq!(end(&[3; 4], true), Err(OperatorError::NotFound));
    assert_eq!(end(&[2; 4], false), Ok(all[2].token));
    assert_eq!(end(&[2; 4], true), Ok(all[2].token));
    assert_eq!(invites(None, 9), all[..2]);
}
