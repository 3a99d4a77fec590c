//! Reading ranges, and what is there after a restart.

use qpc_proto::limits::BLOB_PART;

use super::{
    Backend,
    world::{AMPLE, Blob, World, account, conversation, is_stopped, wait},
};
use crate::{blob_store::*, store::StoreFault};

pub fn ranges_are_cut_at_the_end(backend: &dyn Backend) {
    let world = World::new(backend);
    let (talk, blob) = (conversation(1), Blob::new(1, 2 * BLOB_PART + 77));
    world.upload(account(1), &talk, &blob);
    let (place, size) = (blob.in_place(&talk), blob.0.len());
    for (offset, length) in [
        (0, 1),
        (0, BLOB_PART),
        (5, 1000),
        (BLOB_PART - 1, 2),
        (BLOB_PART - 10, BLOB_PART),
        (2 * BLOB_PART - 3, BLOB_PART),
        (size - 1, 1),
        (size - 1, 50),
        (size - 77, BLOB_PART),
    ] {
        let range = world.read(&place, offset as u64, length).unwrap();
        assert_eq!(range.size, blob.size());
        assert!(range.data == blob.0[offset..size.min(offset + length)], "{offset} {length}");
    }
    for offset in [blob.size(), blob.size() + 1, u64::MAX] {
        assert_eq!(world.read(&place, offset, 1), Err(ReadBlobError::Range));
    }
}

pub fn a_range_is_never_longer_than_a_part(backend: &dyn Backend) {
    let world = World::new(backend);
    let (talk, blob) = (conversation(1), Blob::new(1, 3 * BLOB_PART));
    world.upload(account(1), &talk, &blob);
    for length in [BLOB_PART + 1, 3 * BLOB_PART, usize::MAX] {
        let range = world.read(&blob.in_place(&talk), 7, length).unwrap();
        assert!(range.data == blob.0[7..7 + BLOB_PART]);
    }
}

pub fn who_guesses_finds_nothing(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, talk, other, blob) = (account(1), account(2), conversation(1), conversation(2), Blob::new(1, 100));
    world.upload(alice, &talk, &blob);
    let elsewhere = blob.in_place(&other);
    assert_eq!(world.read(&elsewhere, 0, 1), Err(ReadBlobError::NotFound));
    // Also where the range is none of the blob.
    assert_eq!(world.read(&elsewhere, 1000, 1), Err(ReadBlobError::NotFound));
    assert_eq!(world.read(&Blob::new(2, 100).in_place(&talk), 0, 1), Err(ReadBlobError::NotFound));
    // Knowing the digest of what somebody else has is as good as knowing nothing.
    let upload = blob.by(bob, &other);
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(0)));
    assert_eq!(world.begin_with(&upload, blob.size(), Some(&conversation(3))), Ok(Begun::Parts(0)));
    assert_eq!(world.finish(&upload), Err(UploadError::PartsMissing));
    assert_eq!(world.read(&elsewhere, 0, 1), Err(ReadBlobError::NotFound));
}

pub fn everything_is_there_after_a_restart(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, talk, other) = (account(1), conversation(1), conversation(2));
    let (blob, half) = (Blob::new(1, BLOB_PART + 1), Blob::new(2, 2 * BLOB_PART));
    world.upload(alice, &talk, &blob);
    let upload = half.by(alice, &other);
    world.begin(&upload, half.size()).unwrap();
    world.put(&upload, 0, half.part(0)).unwrap();
    let figures = world.figures();
    let world = world.reopened(backend);
    assert!(world.holds(&talk, &blob));
    assert_eq!(world.figures(), figures);
    assert_eq!(world.places(&blob, blob.size()), [talk]);
    assert_eq!(wait(world.store.part(upload, 0)), Ok((half.size(), half.part(0))));
}

pub fn a_closed_store_refuses(backend: &dyn Backend) {
    let world = World::new(backend);
    let (talk, blob) = (conversation(1), Blob::new(1, 100));
    let upload = world.upload(account(1), &talk, &blob);
    wait(world.store.close()).unwrap();
    wait(world.store.close()).unwrap();
    let store = &world.store;
    let sweep = Sweep { uploads_before_ms: 1, blobs_before_ms: 1, now_ms: 1, batch: 1 };
    let faults: Vec<StoreFault> = vec![
        wait(store.places(blob.digest(), 100, 1)).unwrap_err(),
        wait(store.discard(upload.clone())).unwrap_err(),
        wait(store.release(upload.clone())).unwrap_err(),
        wait(store.sweep(sweep)).unwrap_err(),
        wait(store.figures()).unwrap_err(),
    ];
    assert!(faults.iter().all(is_stopped), "{faults:?}");
    let stopped = || UploadError::Fault(StoreFault::Stopped);
    assert_eq!(world.put(&upload, 0, blob.part(0)), Err(stopped()));
    assert_eq!(wait(store.part(upload.clone(), 0)), Err(stopped()));
    assert_eq!(world.ready(&upload), Err(stopped()));
    assert_eq!(world.finish(&upload), Err(stopped()));
    assert_eq!(world.quota, AMPLE);
    assert_eq!(world.begin(&upload, 100), Err(BeginError::Fault(StoreFault::Stopped)));
    assert_eq!(world.read(&blob.in_place(&talk), 0, 1), Err(ReadBlobError::Fault(StoreFault::Stopped)));
}
