//! The same bytes in several places and from several people.

use qpc_proto::limits::BLOB_PART;

use super::{
    Backend,
    world::{Blob, World, account, assert_taken, conversation, wait},
};
use crate::blob_store::*;

pub fn a_blob_that_can_be_read_needs_no_bytes(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, bob, talk, other, third) = (account(1), account(2), conversation(1), conversation(2), conversation(3));
    let blob = Blob::new(1, BLOB_PART + 3);
    world.upload(alice, &talk, &blob);
    assert_eq!(world.places(&blob, blob.size()), std::slice::from_ref(&talk));
    assert_eq!(world.places(&blob, blob.size() + 1), []);
    let forward = blob.by(bob, &other);
    // Another size than it has is an upload like any other.
    assert_eq!(world.begin_with(&forward, blob.size() - 1, Some(&talk)), Ok(Begun::Parts(0)));
    assert!(!world.holds(&other, &blob));
    assert_eq!(world.begin_with(&forward, blob.size(), Some(&talk)), Ok(Begun::Complete));
    assert!(world.holds(&other, &blob));
    assert_eq!(world.figures(), [(1, blob.size()), (0, 0)]);
    assert_eq!(world.places(&blob, blob.size()), [talk.clone(), other.clone()]);
    assert_eq!(wait(world.store.places(blob.digest(), blob.size(), 1)).unwrap().len(), 1);
    assert_taken(&mut world, bob, &other, blob.size(), blob.size());
    assert_eq!((world.ready(&forward), world.finish(&forward)), (Ok(None), Ok(())));
    // And an upload that has begun is not needed any more.
    let begun = blob.by(bob, &third);
    assert_eq!(world.begin(&begun, blob.size()), Ok(Begun::Parts(0)));
    assert_eq!(world.begin_with(&begun, blob.size(), Some(&other)), Ok(Begun::Complete));
    assert_eq!(world.figures(), [(1, blob.size()), (0, 0)]);
    assert_taken(&mut world, bob, &third, 2 * blob.size(), blob.size());
}

pub fn two_accounts_upload_the_same_at_once(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, talk, other) = (account(1), account(2), conversation(1), conversation(2));
    let blob = Blob::new(1, 2 * BLOB_PART);
    let (hers, his) = (blob.by(alice, &talk), blob.by(bob, &other));
    assert_eq!(world.begin(&hers, blob.size()), Ok(Begun::Parts(0)));
    assert_eq!(world.begin(&his, blob.size()), Ok(Begun::Parts(0)));
    world.put(&hers, 0, blob.part(0)).unwrap();
    assert_eq!(world.begin(&his, blob.size()), Ok(Begun::Parts(0)), "he is told of parts that she sent");
    world.put_all(&his, &blob);
    world.put_all(&hers, &blob);
    world.finish(&hers).unwrap();
    assert_eq!(world.ready(&his), Ok(Some(blob.size())));
    world.finish(&his).unwrap();
    assert_eq!(world.figures(), [(1, blob.size()), (0, 0)]);
    world.sweep(0, 0, 2);
    assert!(world.holds(&talk, &blob) && world.holds(&other, &blob));
    let world = world.reopened(backend);
    world.release(&hers);
    world.sweep(0, 0, 2);
    assert!(!world.holds(&talk, &blob) && world.holds(&other, &blob));
    assert_eq!(world.places(&blob, blob.size()), [other]);
}

pub fn the_second_to_finish_in_one_place_pays_nothing(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, bob, carol, talk) = (account(1), account(2), account(3), conversation(1));
    let blob = Blob::new(1, 500);
    let (his, hers) = (blob.by(bob, &talk), blob.by(carol, &talk));
    world.begin(&his, blob.size()).unwrap();
    world.put_all(&his, &blob);
    world.begin(&hers, blob.size()).unwrap();
    world.upload(alice, &talk, &blob);
    assert_taken(&mut world, bob, &talk, 500, 1500);
    assert_eq!(world.ready(&his), Ok(None));
    assert_eq!(world.finish(&his), Ok(()));
    assert_taken(&mut world, bob, &talk, 0, 1000);
    assert_eq!(world.begin(&hers, blob.size()), Ok(Begun::Complete));
    assert_taken(&mut world, carol, &talk, 0, 500);
    assert_eq!(world.figures(), [(1, 500), (0, 0)]);
    world.sweep(0, 0, 1);
    assert!(world.holds(&talk, &blob));
}

pub fn nobody_releases_what_another_put_there(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, bob, talk, blob) = (account(1), account(2), conversation(1), Blob::new(1, 500));
    let upload = world.upload(alice, &talk, &blob);
    world.release(&blob.by(bob, &talk));
    world.release(&blob.by(alice, &conversation(2)));
    world.sweep(0, 0, 1);
    assert!(world.holds(&talk, &blob));
    assert_taken(&mut world, alice, &talk, 500, 500);
    world.release(&upload);
    world.release(&upload);
    assert!(!world.holds(&talk, &blob));
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(0)));
    assert_taken(&mut world, alice, &talk, 500, 500);
}
