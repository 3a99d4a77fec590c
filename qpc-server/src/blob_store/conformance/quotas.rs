//! Quotas, exact to the byte and to the blob.

use super::{
    Backend,
    world::{AMPLE, Blob, World, account, assert_taken, conversation, wait},
};
use crate::blob_store::*;

pub fn quotas_are_exact_to_the_byte_and_the_blob(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk) = (account(1), conversation(1));
    world.upload(alice, &talk, &Blob::new(1, 100));
    world.begin(&Blob::new(2, 50).by(alice, &talk), 50).unwrap();
    // 150 bytes, two blobs, one of which is unfinished.
    let next = Blob::new(3, 10).by(alice, &talk);
    let budget = |bytes, blobs| Budget { bytes, blobs };
    let cases = [
        (Quota { account: budget(159, 3), ..AMPLE }, Err(BeginError::AccountQuota)),
        (Quota { account: budget(160, 2), ..AMPLE }, Err(BeginError::AccountQuota)),
        (Quota { conversation: budget(159, 3), ..AMPLE }, Err(BeginError::ConversationQuota)),
        (Quota { conversation: budget(160, 2), ..AMPLE }, Err(BeginError::ConversationQuota)),
        (Quota { uploads: 1, ..AMPLE }, Err(BeginError::TooManyUploads)),
        (Quota { account: budget(160, 3), conversation: budget(160, 3), uploads: 2 }, Ok(Begun::Parts(0))),
    ];
    for (quota, outcome) in cases {
        world.quota = quota;
        assert_eq!(world.begin(&next, 10), outcome, "{quota:?}");
    }
    // What goes on needs no room.
    world.quota = Quota { account: budget(0, 0), conversation: budget(0, 0), uploads: 0 };
    assert_eq!(world.begin(&next, 10), Ok(Begun::Parts(0)));
    assert_eq!(world.begin(&Blob::new(1, 100).by(alice, &talk), 100), Ok(Begun::Complete));
    // Others have theirs.
    world.quota = Quota { account: budget(10, 1), uploads: 1, ..AMPLE };
    assert_eq!(world.begin(&next_of(account(2), &next), 10), Ok(Begun::Parts(0)));
    world.quota = Quota { conversation: budget(10, 1), ..AMPLE };
    let elsewhere = Upload { place: Place { conversation: conversation(2), ..next.place.clone() }, ..next };
    assert_eq!(world.begin(&elsewhere, 10), Ok(Begun::Parts(0)));
}

fn next_of(account: AccountId, upload: &Upload) -> Upload {
    Upload { account, ..upload.clone() }
}

pub fn a_refusal_changes_nothing(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk, other, blob) = (account(1), conversation(1), conversation(2), Blob::new(1, 100));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    world.put_all(&upload, &blob);
    world.quota.account.bytes = 100;
    // Larger than what it would replace: that stays.
    assert_eq!(world.begin(&upload, 101), Err(BeginError::AccountQuota));
    assert_eq!(world.begin(&upload, 100), Ok(Begun::Parts(1)));
    world.finish(&upload).unwrap();
    // Nor is there room for it twice, even without bytes.
    assert_eq!(world.begin_with(&blob.by(alice, &other), 100, Some(&talk)), Err(BeginError::AccountQuota));
    assert!(!world.holds(&other, &blob));
    assert_taken(&mut world, alice, &talk, 100, 100);
    assert_eq!(world.figures(), [(1, 100), (0, 0)]);
    // Where what is replaced makes the room, there is enough.
    world.quota.account.bytes = 200;
    let half = Blob::new(2, 100).by(alice, &talk);
    world.begin(&half, 100).unwrap();
    assert_eq!(world.begin(&half, 99), Ok(Begun::Parts(0)));
    assert_taken(&mut world, alice, &talk, 199, 199);
}

pub fn what_goes_makes_room(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk, other) = (account(1), conversation(1), conversation(2));
    let (first, second, third) = (Blob::new(1, 100), Blob::new(2, 30), Blob::new(3, 7));
    let upload = world.upload(alice, &talk, &first);
    assert_taken(&mut world, alice, &talk, 100, 100);
    assert_eq!(world.begin_with(&first.by(alice, &other), 100, Some(&talk)), Ok(Begun::Complete));
    assert_taken(&mut world, alice, &talk, 200, 100);
    assert_taken(&mut world, alice, &other, 200, 100);
    let unfinished = second.by(alice, &talk);
    world.begin(&unfinished, 30).unwrap();
    assert_taken(&mut world, alice, &talk, 230, 130);
    wait(world.store.discard(unfinished.clone())).unwrap();
    assert_taken(&mut world, alice, &talk, 200, 100);
    world.release(&upload);
    assert_taken(&mut world, alice, &talk, 100, 0);
    // Releasing ends an upload as well.
    world.begin(&unfinished, 30).unwrap();
    world.release(&unfinished);
    assert_taken(&mut world, alice, &talk, 100, 0);
    world.now_ms += 10;
    world.begin(&third.by(alice, &talk), 7).unwrap();
    assert_taken(&mut world, alice, &talk, 107, 7);
    world.sweep(world.now_ms, world.now_ms, 10);
    assert_taken(&mut world, alice, &talk, 7, 7);
    world.sweep(world.now_ms + 1, 0, 10);
    assert_taken(&mut world, alice, &talk, 0, 0);
    assert_taken(&mut world, alice, &other, 0, 0);
    let mut world = world.reopened(backend);
    assert_taken(&mut world, alice, &talk, 0, 0);
}

pub fn sizes_beyond_all_bounds_are_refused(backend: &dyn Backend) {
    let mut world = World::new(backend);
    let (alice, talk) = (account(1), conversation(1));
    let upload = Blob::new(1, 1).by(alice, &talk);
    for size in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 62, (1 << 38) + 1] {
        assert_eq!(world.begin(&upload, size), Err(BeginError::AccountQuota), "{size}");
    }
    assert_taken(&mut world, alice, &talk, 0, 0);
    // The sum is what counts.
    world.begin(&upload, 1 << 38).unwrap();
    world.quota.account.bytes = 1 << 38;
    assert_eq!(world.begin(&Blob::new(2, 1).by(alice, &talk), 1), Err(BeginError::AccountQuota));
    assert_eq!(world.put(&upload, (1 << 20) - 1, vec![1; 256 * 1024].into()), Ok(()));
    assert_eq!(world.put(&upload, 1 << 20, vec![1; 256 * 1024].into()), Err(UploadError::PartInvalid));
}
