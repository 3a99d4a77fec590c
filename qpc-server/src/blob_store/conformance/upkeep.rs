//! What is kept no longer, and figures.

use qpc_proto::limits::BLOB_PART;

use super::{
    Backend,
    world::{Blob, World, account, assert_taken, conversation, wait},
};
use crate::blob_store::*;

pub fn expired_uploads_go(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk) = (account(1), conversation(1));
    let blobs: Vec<_> = (0..4).map(|seed| Blob::new(seed, 2 * BLOB_PART)).collect();
    let uploads: Vec<_> = blobs.iter().map(|blob| blob.by(alice, &talk)).collect();
    for upload in &uploads {
        world.begin(upload, 2 * BLOB_PART as u64).unwrap();
    }
    world.now_ms += 100;
    // A part that comes, or comes again, and asking how far it is: each makes it younger.
    world.put(&uploads[1], 0, blobs[1].part(0)).unwrap();
    world.begin(&uploads[2], blobs[2].size()).unwrap();
    let begun = world.now_ms;
    assert!(world.sweep(begun, 0, 1) > 1);
    let known: Vec<_> = uploads.iter().map(|upload| world.ready(upload) != Err(UploadError::Unknown)).collect();
    assert_eq!(known, [false, true, true, false]);
    world.now_ms += 100;
    world.put(&uploads[1], 0, blobs[1].part(0)).unwrap();
    world.sweep(begun + 1, u64::MAX, 10);
    assert_eq!(world.figures(), [(0, 0), (1, BLOB_PART as u64)]);
    world.sweep(u64::MAX, 0, 10);
    assert_eq!(world.figures(), [(0, 0), (0, 0)]);
}

pub fn expired_blobs_go(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk) = (account(1), conversation(1));
    let blobs: Vec<_> = (0..6).map(|seed| Blob::new(seed, BLOB_PART + 1)).collect();
    let began = world.now_ms;
    for blob in &blobs {
        world.upload(alice, &talk, blob);
        world.now_ms += 10;
    }
    world.sweep(u64::MAX, 0, 2);
    assert!(blobs.iter().all(|blob| world.holds(&talk, blob)), "0 keeps them all");
    world.sweep(0, began + 30, 2);
    let kept: Vec<_> = blobs.iter().map(|blob| world.holds(&talk, blob)).collect();
    assert_eq!(kept, [false, false, false, true, true, true]);
    assert_eq!(world.figures(), [(3, 3 * (BLOB_PART as u64 + 1)), (0, 0)]);
    world.sweep(0, u64::MAX, 100);
    assert_eq!(world.figures(), [(0, 0), (0, 0)]);
    // It can be there again.
    world.upload(alice, &talk, &blobs[0]);
    assert!(world.holds(&talk, &blobs[0]));
}

pub fn a_blob_goes_when_it_was_to_be_there_no_longer(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk, other) = (account(1), conversation(1), conversation(2));
    let blobs: Vec<_> = (0..4).map(|seed| Blob::new(seed, BLOB_PART + 1)).collect();
    for (blob, until_ms) in blobs.iter().zip([0, 2_000, 3_000, 2_001]) {
        let upload = blob.by(alice, &talk);
        world.begin(&upload, blob.size()).unwrap();
        world.put_all(&upload, blob);
        let whole = world.whole(&upload).unwrap().unwrap();
        world.finish_until(&upload, whole, until_ms).unwrap();
        let read = world.read(&blob.in_place(&talk), 0, 1).unwrap();
        assert_eq!(read.kept, Kept { added_ms: world.now_ms, until_ms });
    }
    // Put into another conversation, it stays there.
    assert_eq!(world.begin_with(&blobs[2].by(alice, &other), blobs[2].size(), Some(&talk)), Ok(Begun::Complete));
    world.now_ms = 2_000;
    world.sweep(0, 0, 1);
    let kept = |world: &World| blobs.iter().map(|blob| world.holds(&talk, blob)).collect::<Vec<_>>();
    assert_eq!(kept(&world), [true, false, true, true]);
    let mut world = world.reopened(backend);
    world.now_ms = 3_000;
    assert!(world.sweep(0, 0, 1) > 1, "one in a step");
    assert_eq!(kept(&world), [true, false, false, false]);
    assert!(world.holds(&other, &blobs[2]));
    let one = BLOB_PART as u64 + 1;
    assert_eq!(world.figures(), [(2, 2 * one), (0, 0)]);
    assert_taken(&mut world, alice, &talk, 2 * one, one);
}

pub fn bytes_outlive_a_conversation_that_shares_them(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk, other, blob) = (account(1), conversation(1), conversation(2), Blob::new(1, BLOB_PART + 1));
    world.upload(alice, &talk, &blob);
    world.now_ms += 100;
    let forwarded = world.now_ms;
    assert_eq!(world.begin_with(&blob.by(alice, &other), blob.size(), Some(&talk)), Ok(Begun::Complete));
    world.sweep(0, forwarded, 10);
    assert!(!world.holds(&talk, &blob) && world.holds(&other, &blob));
    assert_eq!(world.figures(), [(1, blob.size()), (0, 0)]);
    let world = world.reopened(backend);
    assert!(world.holds(&other, &blob));
    world.sweep(0, forwarded + 1, 10);
    assert_eq!(world.figures(), [(0, 0), (0, 0)]);
    // Nothing of it is known any more to whoever could read it.
    assert_eq!(world.begin_with(&blob.by(alice, &talk), blob.size(), Some(&other)), Ok(Begun::Parts(0)));
}

pub fn figures_are_exact(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, talk, other) = (account(1), account(2), conversation(1), conversation(2));
    let (one, two) = (Blob::new(1, 10), Blob::new(2, BLOB_PART + 20));
    assert_eq!(world.figures(), [(0, 0), (0, 0)]);
    let first = world.upload(alice, &talk, &one);
    assert_eq!(world.figures(), [(1, 10), (0, 0)]);
    let second = two.by(bob, &other);
    world.begin(&second, two.size()).unwrap();
    assert_eq!(world.figures(), [(1, 10), (1, 0)]);
    world.put(&second, 1, two.part(1)).unwrap();
    world.put(&second, 1, two.part(1)).unwrap();
    assert_eq!(world.figures(), [(1, 10), (1, 20)]);
    world.put(&second, 0, two.part(0)).unwrap();
    assert_eq!(world.figures(), [(1, 10), (1, two.size())]);
    world.finish(&second).unwrap();
    assert_eq!(world.figures(), [(2, two.size() + 10), (0, 0)]);
    world.release(&first);
    assert_eq!(world.figures(), [(1, two.size()), (0, 0)]);
    wait(world.store.discard(second.clone())).unwrap();
    assert_eq!(world.figures(), [(1, two.size()), (0, 0)]);
    world.release(&second);
    assert_eq!(world.figures(), [(0, 0), (0, 0)]);
}
