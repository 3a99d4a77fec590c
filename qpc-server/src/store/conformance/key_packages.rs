//! Key packages: handed out at most once (invariant 7).

use std::{collections::BTreeSet, sync::Mutex, thread};

use bytes::Bytes;
use qpc_proto::limits::KEY_PACKAGES_PER_DEVICE_MAX;

use super::{
    Backend,
    world::{World, wait},
};
use crate::store::*;

fn numbered(numbers: std::ops::Range<usize>) -> NewKeyPackages {
    NewKeyPackages { one_time: numbers.map(|n| Bytes::from(n.to_string())).collect(), last_resort: None }
}

pub fn a_key_package_is_handed_out_once(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let tablet = world.another_device(&alice);
    let claim = |by: &Actor| wait(world.store.claim_key_packages(by, alice.address()));
    assert_eq!(claim(&bob), Err(ClaimError::NotFound));
    let packages = NewKeyPackages { last_resort: Some("last".into()), ..numbered(0..2) };
    let count = wait(world.store.publish_key_packages(&alice, packages)).unwrap();
    assert_eq!(count, KeyPackageCount { one_time: 2, last_resort: true });
    wait(world.store.publish_key_packages(&tablet, numbered(10..11))).unwrap();
    let bodies = |claimed: Vec<ClaimedKeyPackage>| -> Vec<_> {
        claimed.into_iter().map(|one| (one.device, one.key_package)).collect()
    };
    assert_eq!(bodies(claim(&bob).unwrap()), [(alice.device(), "0".into()), (tablet.device(), "10".into())]);
    assert_eq!(bodies(claim(&bob).unwrap()), [(alice.device(), "1".into())]);
    for _ in 0..2 {
        assert_eq!(bodies(claim(&bob).unwrap()), [(alice.device(), "last".into())]);
    }
    // Nobody claims their own device's.
    assert_eq!(claim(&alice), Err(ClaimError::NotFound));
    assert_eq!(wait(world.store.count_key_packages(&alice)), Ok(KeyPackageCount { one_time: 0, last_resort: true }));
    let new_last = NewKeyPackages { one_time: vec![], last_resort: Some("newer".into()) };
    wait(world.store.publish_key_packages(&alice, new_last)).unwrap();
    assert_eq!(bodies(claim(&bob).unwrap()), [(alice.device(), "newer".into())]);
    let nobody = super::world::address("nobody");
    assert_eq!(wait(world.store.claim_key_packages(&bob, &nobody)), Err(ClaimError::NotFound));
}

pub fn the_oldest_go_beyond_the_limit(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let publish = |packages| wait(world.store.publish_key_packages(&alice, packages)).unwrap().one_time as usize;
    assert_eq!(publish(numbered(0..KEY_PACKAGES_PER_DEVICE_MAX)), KEY_PACKAGES_PER_DEVICE_MAX);
    assert_eq!(publish(numbered(500..503)), KEY_PACKAGES_PER_DEVICE_MAX);
    let claimed = wait(world.store.claim_key_packages(&bob, alice.address())).unwrap();
    assert_eq!(claimed[0].key_package, "3");
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
                    let one = wait(store.claim_key_packages(other, target)).unwrap().remove(0);
                    assert!(claimed.lock().unwrap().insert(one.key_package), "handed out twice");
                }
            });
        }
    });
    assert_eq!(claimed.lock().unwrap().len(), 40);
}
