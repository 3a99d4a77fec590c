//! What is answered is in the files; the files stay small and closed to others.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::store::conformance::{
    upkeep::retain,
    world::{World, wait},
};

/// Invariant 1, as far as a living machine can show it: at the moment of an answer, a copy of the files holds the
/// entry. (A power cut and a kill are tried from outside.)
#[test]
fn an_answered_entry_is_in_the_files() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    for number in 0..5 {
        let at = world.say(&alice, &talk, &format!("message {number}"));
        let copy = Folder::new();
        fs::copy(folder.path(), copy.path()).unwrap();
        fs::copy(folder.path().with_extension("db-wal"), copy.path().with_extension("db-wal")).unwrap();
        let restored = World::new(&copy);
        assert_eq!(restored.entries(&bob, &talk).last().unwrap().chain, at.chain);
    }
}

#[test]
fn the_log_is_written_back_and_stays_small() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let large = "x".repeat(16 * 1024);
    for _ in 0..100 {
        world.say(&alice, &talk, &large);
    }
    let log = fs::metadata(folder.path().with_extension("db-wal")).unwrap().len();
    assert!(log < 512 * 1024, "{log} bytes of log after 1.6 MiB of messages");
}

#[test]
fn a_closed_store_is_one_file() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let at = world.say(&alice, &talk, "the last word");
    wait(world.store.close()).unwrap();
    let copy = Folder::new();
    fs::copy(folder.path(), copy.path()).unwrap();
    let restored = World::new(&copy);
    assert_eq!(restored.entries(&bob, &talk).last().unwrap().chain, at.chain);
}

#[test]
fn retention_gives_space_back() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let large = "x".repeat(32 * 1024);
    for _ in 0..120 {
        world.say(&alice, &talk, &large);
    }
    let size = || fs::metadata(folder.path()).unwrap().len();
    let before = size();
    retain(&world, u64::MAX, 0);
    wait(world.store.close()).unwrap();
    assert!(before > 3_500_000 && size() < before / 2, "{before} bytes before, {} after", size());
    let world = World::new(&folder);
    assert_eq!(world.entries(&bob, &talk).len(), 121);
}

#[test]
fn the_files_are_their_owners_alone() {
    let folder = Folder::new();
    let world = World::new(&folder);
    world.person("alice");
    for file in fs::read_dir(folder.path().parent().unwrap()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}

#[test]
fn a_passphrase_opens_it_again_and_another_does_not() {
    let folder = Folder::new();
    let open = |key: &str| SqliteStore::open(&folder.path(), DbKey::parse(key).unwrap(), folder.options.clone());
    let store = open("correct horse").unwrap();
    wait(Store::probe(&store)).unwrap();
    wait(Store::close(&store)).unwrap();
    assert!(matches!(open("battery staple"), Err(OpenError::WrongKey(_))));
    wait(Store::probe(&open("correct horse").unwrap())).unwrap();
}
