//! Full and failed disks, full queues: what is refused, what goes on, what stops.

use std::sync::{atomic::Ordering, mpsc::sync_channel};

use qpc_proto::limits::BLOB_PART;

use super::*;
use crate::blob_store::{
    Begun, UploadError,
    conformance::world::{Blob, World, account, conversation, wait},
};

#[test]
fn a_full_disk_refuses_parts_until_there_is_space() {
    let mut folder = Folder::new();
    folder.options.max_pages = Some(100);
    let world = World::new(&folder);
    let (alice, talk) = (account(1), conversation(1));
    let (kept, blob) = (Blob::new(1, BLOB_PART), Blob::new(2, 8 * BLOB_PART));
    world.upload(alice, &talk, &kept);
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    let refused = (0..blob.parts()).find_map(|number| {
        let outcome = world.put(&upload, number, blob.part(number));
        outcome.err().map(|error| (number, error))
    });
    let (number, error) = refused.unwrap();
    assert_eq!(error, UploadError::Fault(StoreFault::Full));
    // Nothing of the part is left, and reading goes on.
    assert_eq!(wait(world.store.part(upload.clone(), number)), Err(UploadError::PartsMissing));
    assert!(world.holds(&talk, &kept));
    assert_eq!(world.figures()[1], (1, u64::from(number) * BLOB_PART as u64));
    // What was there has been released: what goes on finds room.
    world.release(&kept.by(alice, &talk));
    world.sweep(0, 0, 10);
    assert_eq!(world.put(&upload, number, blob.part(number)), Ok(()));
    assert_eq!(wait(world.store.part(upload, number)), Ok((blob.size(), blob.part(number))));
}

#[test]
fn a_failed_commit_stops_everything_and_answers_nothing_well() {
    let (sender, reasons) = sync_channel(4);
    let mut folder = Folder::new();
    folder.options.on_fatal = Arc::new(move |reason| sender.send(reason.to_owned()).unwrap());
    let world = World::new(&folder);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 100));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    folder.options.broken_disk.store(true, Ordering::Relaxed);
    let outcome = world.put(&upload, 0, blob.part(0));
    assert!(matches!(outcome, Err(UploadError::Fault(StoreFault::Engine(_)))), "{outcome:?}");
    assert!(reasons.recv().unwrap().contains("commit failed"));
    folder.options.broken_disk.store(false, Ordering::Relaxed);
    assert_eq!(world.put(&upload, 0, blob.part(0)), Err(UploadError::Fault(StoreFault::Stopped)));
    let world = world.reopened(&folder);
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(0)));
}

#[test]
fn a_full_queue_refuses_and_forgets() {
    let mut folder = Folder::new();
    folder.options.write_queue = 1;
    let world = World::new(&folder);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 40 * BLOB_PART));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    let put = |number| world.store.put_part(upload.clone(), number, blob.part(number), world.now_ms);
    let answers: Vec<_> = (0..blob.parts()).map(put).collect();
    let outcomes: Vec<_> = answers.into_iter().map(wait).collect();
    assert!(outcomes.contains(&Err(UploadError::Fault(StoreFault::Busy))));
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    assert_eq!(world.figures()[1], (1, stored * BLOB_PART as u64));
    (0..blob.parts()).for_each(|number| world.put(&upload, number, blob.part(number)).unwrap());
    world.finish(&upload).unwrap();
    assert!(world.holds(&talk, &blob));
}
