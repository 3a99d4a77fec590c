//! Key packages: handed out at most once (invariant 7).

use std::{collections::BTreeSet, sync::Mutex, thread};

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    id::DeviceId,
    limits::KEY_PACKAGES_PER_DEVICE_MAX,
    suite::Suite::{self, Classical, PostQuantum},
};

use super::{
    Backend,
    world::{World, wait},
};
use crate::store::*;

fn numbered(numbers: std::ops::Range<usize>) -> NewKeyPackages {
    NewKeyPackages { one_time: numbers.map(|n| Bytes::from(n.to_string())).collect(), ..NewKeyPackages::default() }
}

fn bodies(claimed: Claimed) -> Vec<(DeviceId, Bytes)> {
    claimed.key_packages.into_iter().map(|one| (one.device, one.key_package)).collect()
}

fn count(world: &World, whose: &Actor, suite: Suite) -> KeyPackageCount {
    wait(world.store.count_key_packages(whose, suite)).unwrap()
}

pub fn a_key_package_is_handed_out_once(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&alice);
    let claim = |by: &Actor| wait(world.store.claim_key_packages(by, alice.address(), Classical));
    assert_eq!(claim(&bob), Err(ClaimError::NotFound));
    let packages = NewKeyPackages { last_resort: Some("last".into()), ..numbered(0..2) };
    let stored = wait(world.store.publish_key_packages(&alice, packages)).unwrap();
    assert_eq!(stored, KeyPackageCount { one_time: 2, last_resort: true });
    wait(world.store.publish_key_packages(&tablet, numbered(10..11))).unwrap();
    assert_eq!(bodies(claim(&bob).unwrap()), [(alice.device(), "0".into()), (tablet.device(), "10".into())]);
    assert_eq!(bodies(claim(&bob).unwrap()), [(alice.device(), "1".into())]);
    for _ in 0..2 {
        assert_eq!(bodies(claim(&bob).unwrap()), [(alice.device(), "last".into())]);
    }
    // Nobody claims their own device's.
    assert_eq!(claim(&alice), Err(ClaimError::NotFound));
    assert_eq!(count(&world, &alice, Classical), KeyPackageCount { one_time: 0, last_resort: true });
    let new_last = NewKeyPackages { last_resort: Some("newer".into()), ..numbered(0..0) };
    wait(world.store.publish_key_packages(&alice, new_last)).unwrap();
    assert_eq!(bodies(claim(&bob).unwrap()), [(alice.device(), "newer".into())]);
    let nobody = super::world::address("nobody");
    assert_eq!(wait(world.store.claim_key_packages(&bob, &nobody, Classical)), Err(ClaimError::NotFound));
}

pub fn a_peer_claims_of_each_device_what_nobody_else_gets(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&alice);
    let claim = || wait(world.store.claim_key_packages_for_peer(alice.address(), Classical));
    assert_eq!(claim(), Err(ClaimError::NotFound));
    wait(world.store.publish_key_packages(&alice, numbered(0..2))).unwrap();
    wait(world.store.publish_key_packages(&tablet, numbered(10..11))).unwrap();
    let given = claim().unwrap();
    assert_eq!(given.certificates, [Bytes::from_static(b"certificate"), Bytes::from_static(b"certificate")]);
    assert_eq!(bodies(given.claimed), [(alice.device(), "0".into()), (tablet.device(), "10".into())]);
    let here = wait(world.store.claim_key_packages(&bob, alice.address(), Classical)).unwrap();
    assert_eq!(here.without, [tablet.device()]);
    assert_eq!(bodies(here), [(alice.device(), "1".into())]);
    assert_eq!(claim(), Err(ClaimError::NotFound));
    // An account of another domain is nobody here, whatever its name.
    let elsewhere = Address { domain: "elsewhere.example".parse().unwrap(), ..alice.address().clone() };
    wait(world.store.publish_key_packages(&alice, numbered(2..3))).unwrap();
    assert_eq!(wait(world.store.claim_key_packages_for_peer(&elsewhere, Classical)), Err(ClaimError::NotFound));
    assert_eq!(count(&world, &alice, Classical).one_time, 1);
    wait(world.store.delete_account(&alice, 1)).unwrap();
    assert_eq!(claim(), Err(ClaimError::NotFound));
}

pub fn each_suite_has_its_own_key_packages(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let publish = |whose: &Actor, suite, one_time: std::ops::Range<usize>, last: Option<&'static str>| {
        let packages = NewKeyPackages { suite, last_resort: last.map(Into::into), ..numbered(one_time) };
        wait(world.store.publish_key_packages(whose, packages)).unwrap()
    };
    let claim = |suite| wait(world.store.claim_key_packages(&bob, alice.address(), suite));
    publish(&alice, Classical, 0..2, Some("last"));
    assert_eq!(publish(&alice, PostQuantum, 10..11, None), KeyPackageCount { one_time: 1, last_resort: false });
    publish(&alice, PostQuantum, 0..0, Some("last of the other"));
    assert_eq!(count(&world, &alice, Classical), KeyPackageCount { one_time: 2, last_resort: true });
    assert_eq!(count(&world, &alice, PostQuantum), KeyPackageCount { one_time: 1, last_resort: true });
    let record = wait(world.store.device(alice.device())).unwrap().unwrap();
    assert_eq!((record.key_packages, record.post_quantum_key_packages), (2, 1));
    // Of one only what is of it, to the last.
    assert_eq!(bodies(claim(PostQuantum).unwrap()), [(alice.device(), "10".into())]);
    for _ in 0..2 {
        assert_eq!(bodies(claim(PostQuantum).unwrap()), [(alice.device(), "last of the other".into())]);
    }
    assert_eq!(bodies(claim(Classical).unwrap()), [(alice.device(), "0".into())]);
    // Each has its own limit.
    publish(&alice, PostQuantum, 0..KEY_PACKAGES_PER_DEVICE_MAX + 1, None);
    assert_eq!(count(&world, &alice, PostQuantum).one_time as usize, KEY_PACKAGES_PER_DEVICE_MAX);
    assert_eq!(count(&world, &alice, Classical).one_time, 1);
    // With the device they all go.
    let tablet = world.another_device(&alice);
    wait(world.store.revoke_device(&tablet, alice.device())).unwrap();
    assert_eq!(claim(PostQuantum), Ok(Claimed { key_packages: vec![], without: vec![tablet.device()] }));
    assert_eq!(claim(Classical), Err(ClaimError::NotFound));
}

pub fn of_the_newer_suite_all_devices_have_some_or_none_is_taken(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&alice);
    let publish = |whose: &Actor, suite| {
        wait(world.store.publish_key_packages(whose, NewKeyPackages { suite, ..numbered(0..1) })).unwrap();
    };
    let claim = |by: &Actor, suite| wait(world.store.claim_key_packages(by, alice.address(), suite)).unwrap();
    publish(&alice, PostQuantum);
    publish(&alice, Classical);
    let refused = Claimed { key_packages: vec![], without: vec![tablet.device()] };
    assert_eq!(claim(&bob, PostQuantum), refused);
    assert_eq!(count(&world, &alice, PostQuantum).one_time, 1, "it was not taken");
    // The device that asks needs none.
    assert_eq!(bodies(claim(&tablet, PostQuantum)), [(alice.device(), "0".into())]);
    publish(&alice, PostQuantum);
    publish(&tablet, PostQuantum);
    assert_eq!(bodies(claim(&bob, PostQuantum)).len(), 2);
    // Without a classical one a device joins by itself.
    let claimed = claim(&bob, Classical);
    assert_eq!(claimed.without, [tablet.device()]);
    assert_eq!(bodies(claimed), [(alice.device(), "0".into())]);
}

pub fn the_oldest_go_beyond_the_limit(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let publish = |packages| wait(world.store.publish_key_packages(&alice, packages)).unwrap().one_time as usize;
    assert_eq!(publish(numbered(0..KEY_PACKAGES_PER_DEVICE_MAX)), KEY_PACKAGES_PER_DEVICE_MAX);
    assert_eq!(publish(numbered(500..503)), KEY_PACKAGES_PER_DEVICE_MAX);
    let claimed = wait(world.store.claim_key_packages(&bob, alice.address(), Classical)).unwrap();
    assert_eq!(bodies(claimed)[0].1, "3");
    let device = wait(world.store.device(alice.device())).unwrap().unwrap();
    assert_eq!(device.key_packages as usize, KEY_PACKAGES_PER_DEVICE_MAX - 1);
}

pub fn many_claim_at_once(backend: &dyn Backend) {
    let world = World::new(backend);
    let alice = world.person("alice");
    let others: Vec<_> = (0..4).map(|n| world.person(&format!("person{n}"))).collect();
    wait(world.store.publish_key_packages(&alice, numbered(0..40))).unwrap();
    let claimed = Mutex::new(BTreeSet::new());
    let (store, target) = (&world.store, alice.address());
    thread::scope(|scope| {
        for other in &others {
            scope.spawn(|| {
                for _ in 0..10 {
                    let one = wait(store.claim_key_packages(other, target, Classical)).unwrap().key_packages.remove(0);
                    assert!(claimed.lock().unwrap().insert(one.key_package), "handed out twice");
                }
            });
        }
    });
    assert_eq!(claimed.lock().unwrap().len(), 40);
}
