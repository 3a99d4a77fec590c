//! What is answered is in the files; the files stay small and closed to others.

use std::fs;

use qpc_proto::limits::BLOB_PART;

use super::*;
use crate::blob_store::{
    Begun,
    conformance::world::{Blob, World, account, conversation, wait},
};
use crate::store::sqlite::engine::look_into;

/// As far as a living machine can show it: at the moment of an answer, a copy of the files holds the part.
#[test]
fn an_answered_part_is_in_the_files() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 3 * BLOB_PART));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    for number in 0..blob.parts() {
        world.put(&upload, number, blob.part(number)).unwrap();
        let copy = Folder::new();
        fs::copy(folder.path(), copy.path()).unwrap();
        fs::copy(folder.path().with_extension("db-wal"), copy.path().with_extension("db-wal")).unwrap();
        let restored = World::new(&copy);
        assert_eq!(restored.begin(&upload, blob.size()), Ok(Begun::Parts(number + 1)));
        assert_eq!(wait(restored.store.part(upload.clone(), number)), Ok((blob.size(), blob.part(number))));
    }
}

#[test]
fn a_store_that_is_dropped_keeps_what_it_answered() {
    let folder = Folder::new();
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, BLOB_PART + 1));
    let world = World::new(&folder);
    world.upload(alice, &talk, &blob);
    drop(world);
    assert!(World::new(&folder).holds(&talk, &blob));
}

#[test]
fn sweeping_leaves_no_row_and_gives_space_back() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, talk) = (account(1), conversation(1));
    for seed in 0..4 {
        world.upload(alice, &talk, &Blob::new(seed, 10 * BLOB_PART));
    }
    let unfinished = Blob::new(9, 10 * BLOB_PART);
    world.begin(&unfinished.by(alice, &talk), unfinished.size()).unwrap();
    world.put_all(&unfinished.by(alice, &talk), &unfinished);
    let world = world.reopened(&folder);
    let before = fs::metadata(folder.path()).unwrap().len();
    assert!(before > 50 * BLOB_PART as u64);
    // In small steps.
    assert!(world.sweep(u64::MAX, u64::MAX, 4) > 10);
    wait(world.store.close()).unwrap();
    let after = fs::metadata(folder.path()).unwrap().len();
    assert!(after < 6 * BLOB_PART as u64, "{before} bytes before, {after} after");
    let connection = look_into(&folder.path(), &key(), &LAYOUT);
    for table in ["contents", "parts", "uploads", "blobs", "usage"] {
        let rows = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u32>(0));
        assert_eq!(rows, Ok(0), "{table}");
    }
}

#[test]
fn nothing_in_the_files_is_readable() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let blob = Blob(bytes::Bytes::from(b"canary-of-this-test".repeat(20_000)));
    world.upload(account(1), &conversation(1), &blob);
    for file in [folder.path(), folder.path().with_extension("db-wal")] {
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary" || window == b"SQLite"));
    }
}
