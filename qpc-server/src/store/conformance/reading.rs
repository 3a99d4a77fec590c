//! Reading: pages, positions, inboxes, restarts.

use qpc_proto::{id::Seq, suite::Suite};

use super::{
    Backend,
    world::{World, genesis, inbox_of, wait},
};
use crate::store::*;

pub fn pages_end_at_their_limits(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    for _ in 0..9 {
        world.say(&alice, &talk, "0123456789");
    }
    let read = |after, limit, max_bytes| {
        let read = ReadLog { log: talk.clone(), after: Seq(after), limit, max_bytes };
        let page = wait(world.store.read_log(&bob, read)).unwrap();
        assert_eq!(page.head, Seq(10));
        page.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 3, 1000), [1, 2, 3]);
    assert_eq!(read(7, 100, 1000), [8, 9, 10]);
    assert_eq!(read(10, 100, 1000), Vec::<u64>::new());
    assert_eq!(read(99, 100, 1000), Vec::<u64>::new());
    // A page ends after the entry that reaches its bytes, so there is always progress.
    assert_eq!(read(1, 100, 1), [2]);
    assert_eq!(read(1, 100, 20), [2, 3]);
    assert_eq!(read(1, 100, 21), [2, 3, 4]);
}

pub fn who_is_in_a_conversation_now_may_send_there_or_not(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let presence = |actor: &Actor, name: &_| wait(world.store.presence(actor, name));
    let asked = world.create(&alice, world.new_direct(&carol));
    assert_eq!(presence(&alice, &asked), Ok(Presence::Unanswered));
    world.answer(&carol, &alice, Consent::Accept).unwrap();
    assert_eq!(presence(&alice, &asked), Ok(Presence::Member));
    assert_eq!(presence(&carol, &asked), Ok(Presence::Member));
    let talk = world.friends(&alice, &bob);
    let group = world.group(&alice, &[&bob]);
    for name in [&talk, &group] {
        assert_eq!(presence(&alice, name), Ok(Presence::Member));
        assert_eq!(presence(&bob, name), Ok(Presence::Member));
        assert_eq!(presence(&carol, name), Err(ReadError::NotFound), "a stranger");
    }
    assert_eq!(presence(&alice, &world.name()), Err(ReadError::NotFound));
    assert_eq!(presence(&alice, &inbox_of(&alice)), Err(ReadError::NotFound), "an inbox is no conversation");
    world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&bob])).unwrap();
    assert_eq!(presence(&bob, &group), Err(ReadError::NotFound), "not any more");
    wait(world.store.revoke_device(&bob, bob.device())).unwrap();
    assert_eq!(presence(&bob, &talk), Err(ReadError::DeviceGone));
    // Who is alone in it reads, and sends nobody anything.
    wait(world.store.delete_account(&carol, 1)).unwrap();
    assert_eq!(presence(&alice, &asked), Ok(Presence::Unanswered));
}

pub fn a_position_is_clamped_to_what_is_there(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let last = world.say(&alice, &talk, "hello");
    let at = |after| world.position(&bob, &talk, after);
    let first = &world.entries(&bob, &talk)[0];
    let place = at(0).place;
    assert_eq!(at(0), Position { after: Seq(0), chain: genesis(&talk), head: Seq(2), place });
    assert_eq!(at(1), Position { after: Seq(1), chain: first.chain, head: Seq(2), place });
    assert_eq!(at(2), Position { after: Seq(2), chain: last.chain, head: Seq(2), place });
    // A server restored from a backup lacks what the client has seen.
    assert_eq!(at(9), Position { after: Seq(2), chain: last.chain, head: Seq(2), place });
}

pub fn positions_are_given_in_the_order_asked(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    let (talk, secret) = (world.friends(&alice, &bob), world.friends(&alice, &carol));
    let group = world.group(&alice, &[&bob]);
    let said = world.say(&alice, &group, "hello");
    let removed = world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&bob])).unwrap();
    world.say(&alice, &group, "without bob");
    let (mine, missing) = (inbox_of(&bob), world.name());
    let hers = inbox_of(&carol);
    let asked =
        [(&group, 2), (&missing, 0), (&mine, 9), (&hers, 0), (&talk, 0), (&secret, 1), (&group, 99), (&group, 0)];
    let positions = world.positions(&bob, &asked).unwrap();
    let stand = |n: usize| positions[n].map(|position| (position.after, position.chain, position.head));
    assert_eq!(positions.len(), asked.len());
    assert_eq!(stand(0), Some((said.seq, said.chain, removed.seq)));
    let welcomed = world.inbox(&bob).pop().unwrap();
    assert_eq!(stand(2), Some((welcomed.seq, welcomed.chain, welcomed.seq)));
    assert_eq!(stand(4), Some((Seq(0), genesis(&talk), Seq(1))));
    assert_eq!(stand(6), Some((removed.seq, removed.chain, removed.seq)));
    assert_eq!(stand(7), Some((Seq(0), genesis(&group), removed.seq)));
    // Who may not read a log is not told whether there is one.
    for other in [1, 3, 5] {
        assert_eq!(stand(other), None);
    }
    assert_eq!(world.positions(&bob, &[]), Ok(Vec::new()));
    // A device that is gone is told nothing of any log.
    wait(world.store.revoke_device(&bob, bob.device())).unwrap();
    assert_eq!(world.positions(&bob, &asked), Err(Refusal::DeviceGone));
}

pub fn an_inbox_has_one_reader(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&bob);
    world.friends(&alice, &bob);
    assert_eq!(world.inbox(&bob).len(), 1);
    // Where its account is, and that it has answered.
    assert_eq!(world.inbox(&tablet).len(), 2);
    assert!(world.inbox(&tablet) != world.inbox(&bob));
    for other in [&alice, &tablet] {
        assert_eq!(world.page(other, &inbox_of(&bob), 0).err(), Some(ReadError::NotFound));
    }
    assert!(wait(world.store.list_conversations(&bob, None, 100)).unwrap().len() == 1);
}

pub fn everything_is_there_after_a_restart(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    wait(world.store.set_decoy(super::world::password("decoy"))).unwrap();
    let talk = world.friends(&alice, &bob);
    let group = world.group(&alice, &[&bob, &carol]);
    world.say(&bob, &group, "one");
    world.say(&carol, &group, "two");
    world.answer(&carol, &bob, Consent::Block).unwrap();
    let packages = |suite| NewKeyPackages { suite, one_time: vec!["package".into()], last_resort: Some("last".into()) };
    for suite in Suite::ALL {
        wait(world.store.publish_key_packages(&bob, packages(suite))).unwrap();
    }
    let look = |world: &World| {
        let people = [&alice, &bob, &carol];
        let lists = people.map(|actor| {
            let conversations = wait(world.store.list_conversations(actor, None, 100)).unwrap();
            let contacts = wait(world.store.list_contacts(actor, None, 100)).unwrap();
            let devices = wait(world.store.list_devices(actor)).unwrap();
            let packages = Suite::ALL.map(|suite| wait(world.store.count_key_packages(actor, suite)).unwrap());
            (conversations, contacts, devices, packages)
        });
        let device = wait(world.store.device(alice.device())).unwrap();
        let login = wait(world.store.login_record(&bob.address().name)).unwrap();
        let figures = (wait(world.store.figures(0, 0)).unwrap(), wait(world.store.count_accounts()).unwrap());
        (lists, device, login.account, login.password.opaque_record, figures)
    };
    let logs = |world: &World| {
        [world.entries(&bob, &talk), world.entries(&bob, &group), world.inbox(&bob), world.inbox(&carol)]
    };
    let (before, logs_before) = (look(&world), logs(&world));
    let Some(world) = world.reopened(backend) else { return };
    assert_eq!(look(&world), before);
    assert!(logs(&world) == logs_before);
    world.say(&bob, &group, "three");
    world.commit(&carol, &world.next_commit(&carol, &group, &[], &[])).unwrap();
    assert_eq!(world.entries(&alice, &group).len(), 5);
}

pub fn a_closed_store_refuses(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let message = world.message(&alice, &talk, b"last");
    // What was queued before is done.
    let last = world.store.append(&alice, message.clone());
    let closed = world.store.close();
    assert_eq!(wait(last).unwrap().seq, Seq(2));
    wait(closed).unwrap();
    assert_eq!(world.append(&alice, &message), Err(AppendError::Fault(StoreFault::Stopped)));
    assert_eq!(wait(world.store.device(alice.device())), Err(StoreFault::Stopped));
    assert_eq!(wait(world.store.close()), Ok(()));
}
