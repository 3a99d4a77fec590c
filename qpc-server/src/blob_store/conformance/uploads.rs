//! Uploads: parts, their order, and how they end.

use bytes::Bytes;
use qpc_proto::limits::BLOB_PART;

use super::{
    Backend,
    world::{Blob, World, account, assert_taken, conversation, wait},
};
use crate::blob_store::*;

const PART: u64 = BLOB_PART as u64;

pub fn parts_come_in_any_order_and_twice(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 3 * BLOB_PART + 100));
    let upload = blob.by(alice, &talk);
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(0)));
    for (number, new) in [(3, true), (1, true), (1, false), (0, true), (2, true), (0, false)] {
        assert_eq!(world.put_new(&upload, number, blob.part(number)), Ok(new));
        assert_eq!(wait(world.store.part(upload.clone(), number)), Ok((blob.size(), blob.part(number))));
    }
    // What is there stays as it is.
    assert_eq!(world.put(&upload, 0, Blob::new(2, BLOB_PART).0), Ok(()));
    assert_eq!(wait(world.store.part(upload.clone(), 0)), Ok((blob.size(), blob.part(0))));
    assert_eq!(world.ready(&upload), Ok(Some(blob.size())));
    assert!(!world.holds(&talk, &blob), "an unfinished blob can be read");
    world.finish(&upload).unwrap();
    assert!(world.holds(&talk, &blob));
}

pub fn a_part_that_does_not_fit_is_refused(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, BLOB_PART + 100));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    let of = |len: usize| Bytes::from(vec![0; len]);
    for (number, len) in [
        (0, 0),
        (0, BLOB_PART - 1),
        (0, BLOB_PART + 1),
        (0, 100),
        (1, 99),
        (1, 101),
        (1, 0),
        (1, BLOB_PART),
        (2, 1),
        (2, 0),
        (u32::MAX, BLOB_PART),
    ] {
        assert_eq!(world.put(&upload, number, of(len)), Err(UploadError::PartInvalid), "{number}: {len}");
    }
    assert_eq!(world.figures(), [(0, 0), (1, 0)]);
    for (number, missing) in [(0, UploadError::PartsMissing), (2, UploadError::PartInvalid)] {
        assert_eq!(wait(world.store.part(upload.clone(), number)), Err(missing));
    }
    // A blob of whole parts has no empty one at its end.
    let whole = Blob::new(2, BLOB_PART);
    let upload = whole.by(alice, &talk);
    world.begin(&upload, whole.size()).unwrap();
    assert_eq!(world.put(&upload, 1, Bytes::new()), Err(UploadError::PartInvalid));
    world.put_all(&upload, &whole);
    world.finish(&upload).unwrap();
    assert!(world.holds(&talk, &whole));
}

pub fn an_upload_goes_on_where_it_stopped(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 3 * BLOB_PART));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    world.put(&upload, 0, blob.part(0)).unwrap();
    world.put(&upload, 1, blob.part(1)).unwrap();
    let world = world.reopened(backend);
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(2)));
    world.put(&upload, 2, blob.part(2)).unwrap();
    let world = world.reopened(backend);
    world.finish(&upload).unwrap();
    assert!(world.holds(&talk, &blob));
}

pub fn parts_are_counted_without_a_gap(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 5 * BLOB_PART));
    let upload = blob.by(alice, &talk);
    for (number, gapless) in [(None, 0), (Some(1), 0), (Some(3), 0), (Some(0), 2), (Some(4), 2), (Some(2), 5)] {
        if let Some(number) = number {
            world.put(&upload, number, blob.part(number)).unwrap();
        }
        assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(gapless)));
    }
}

/// Whoever compares a digest has compared what is finished then, and nothing that came in its place meanwhile.
pub fn an_upload_that_began_anew_is_not_finished_by_an_earlier_look(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, BLOB_PART + 100));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    world.put_all(&upload, &blob);
    let seen = world.whole(&upload).unwrap().unwrap();
    wait(world.store.release(upload.clone())).unwrap();
    // What is left of it goes, and whatever it was known by with it.
    world.sweep(0, 0, 10);
    world.begin(&upload, blob.size()).unwrap();
    world.put_all(&upload, &Blob::new(2, BLOB_PART + 100));
    assert_eq!(world.finish_whole(&upload, seen), Err(UploadError::Unknown));
    assert!(!world.holds(&talk, &blob));
    let seen = world.whole(&upload).unwrap().unwrap();
    assert_eq!(world.finish_whole(&upload, seen), Ok(()));
    // Again is no error.
    assert_eq!(world.finish_whole(&upload, seen), Ok(()));
}

pub fn an_upload_is_not_finished_without_all_parts(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 2 * BLOB_PART + 1));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    for number in [2, 1] {
        world.put(&upload, number, blob.part(number)).unwrap();
        assert_eq!(world.ready(&upload), Err(UploadError::PartsMissing));
        assert_eq!(world.finish(&upload), Err(UploadError::PartsMissing));
    }
    assert!(!world.holds(&talk, &blob));
    world.put(&upload, 0, blob.part(0)).unwrap();
    world.finish(&upload).unwrap();
    assert!(world.holds(&talk, &blob));
}

pub fn an_unknown_upload_takes_nothing(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, talk, blob) = (account(1), account(2), conversation(1), Blob::new(1, 10));
    let begun = blob.by(alice, &talk);
    world.begin(&begun, blob.size()).unwrap();
    for other in [blob.by(bob, &talk), blob.by(alice, &conversation(2)), Blob::new(2, 10).by(alice, &talk)] {
        assert_eq!(world.put(&other, 0, blob.part(0)), Err(UploadError::Unknown));
        assert_eq!(wait(world.store.part(other.clone(), 0)), Err(UploadError::Unknown));
        assert_eq!(world.ready(&other), Err(UploadError::Unknown));
        assert_eq!(world.finish(&other), Err(UploadError::Unknown));
        wait(world.store.discard(other.clone())).unwrap();
        world.release(&other);
    }
    assert_eq!(world.figures(), [(0, 0), (1, 0)]);
}

pub fn another_size_begins_anew(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, BLOB_PART + 5));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, PART + 9).unwrap();
    world.put(&upload, 0, blob.part(0)).unwrap();
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(0)));
    assert_eq!(world.figures(), [(0, 0), (1, 0)]);
    assert_taken(&mut world, alice, &talk, blob.size(), blob.size());
    world.put_all(&upload, &blob);
    world.finish(&upload).unwrap();
    assert!(world.holds(&talk, &blob));
    // The same digest cannot have another size; who says so is not believed, and gets nowhere near the blob.
    assert_eq!(world.begin(&upload, blob.size() + 1), Ok(Begun::Parts(0)));
    assert_eq!(world.ready(&upload), Err(UploadError::PartsMissing));
    assert!(world.holds(&talk, &blob));
}

pub fn finished_is_finished(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 100));
    let upload = world.upload(alice, &talk, &blob);
    let world = world.reopened(backend);
    assert_eq!(world.finish(&upload), Ok(()));
    assert_eq!(world.ready(&upload), Ok(None));
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Complete));
    assert_eq!(world.put(&upload, 0, blob.part(0)), Err(UploadError::Unknown));
    assert_eq!(world.figures(), [(1, 100), (0, 0)]);
    wait(world.store.discard(upload)).unwrap();
    assert!(world.holds(&talk, &blob), "a finished blob is no upload any more");
}

pub fn a_discarded_upload_is_gone(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, BLOB_PART + 1));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    world.put_all(&upload, &blob);
    wait(world.store.discard(upload.clone())).unwrap();
    assert_eq!(world.finish(&upload), Err(UploadError::Unknown));
    assert_eq!(world.figures(), [(0, 0), (0, 0)]);
    assert_taken(&mut world, alice, &talk, 0, 0);
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(0)));
}
