//! What `db check` says of damaged blobs.

use qpc_proto::limits::BLOB_PART;
use rusqlite::Connection;

use super::*;
use crate::{
    blob_store::{
        conformance::world::{Blob, World, account, conversation, wait},
        sqlite::{BlobFault, BlobProblem, BlobReport},
    },
    store::sqlite::check::open,
};

/// A closed database with two blobs of three and of one part, and two parts of an upload.
fn filled() -> Folder {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, talk) = (account(1), conversation(1));
    world.upload(alice, &talk, &Blob::new(1, 2 * BLOB_PART + 7));
    world.upload(alice, &talk, &Blob::new(2, 10));
    let unfinished = Blob::new(3, 3 * BLOB_PART);
    let upload = unfinished.by(alice, &talk);
    world.begin(&upload, unfinished.size()).unwrap();
    for number in 0..2 {
        world.put(&upload, number, unfinished.part(number)).unwrap();
    }
    wait(world.store.close()).unwrap();
    folder
}

fn check(folder: &Folder) -> BlobReport {
    SqliteBlobs::check(&folder.path(), &key(), &mut |done, total| assert!(done <= total)).unwrap()
}

fn tamper(sql: &str) -> Vec<String> {
    let folder = filled();
    let (connection, problems) = open(&folder.path(), &key(), &LAYOUT).unwrap();
    assert!(problems.is_empty());
    connection.execute_batch("PRAGMA query_only = OFF").unwrap();
    changed(&connection, sql);
    drop(connection);
    check(&folder).problems.iter().map(ToString::to_string).collect()
}

fn changed(connection: &Connection, sql: &str) {
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn sound_blobs_are_sound() {
    let report = check(&filled());
    let bytes = 2 * BLOB_PART as u64 + 17;
    assert_eq!(report, BlobReport { blobs: 2, bytes, uploads: 1, problems: Vec::new() });
}

#[test]
fn what_was_changed_is_named_with_what_to_do() {
    let place = |content: u64, part: u64| (content << 20) + part;
    let one = |sql: String, what: &str, todo: &str| {
        let problems = tamper(&sql);
        let [problem] = problems.as_slice() else { panic!("{sql}: {problems:?}") };
        assert!(problem.contains(what) && problem.contains(todo), "{sql}: {problem}");
        assert!(problem.contains(&conversation(1).to_string()), "{problem}");
    };
    let at = place(1, 1);
    let backup = "Restore it from a backup";
    let flipped = format!("UPDATE parts SET data = CAST(x'01' || substr(data, 2) AS BLOB) WHERE place = {at}");
    one(flipped, "its bytes are not those of its digest", backup);
    one(format!("DELETE FROM parts WHERE place = {at}"), "the row of part 1 is missing", backup);
    one(format!("UPDATE parts SET data = x'00' WHERE place = {at}"), "part 1 has another size", backup);
    one(format!("UPDATE parts SET data = NULL WHERE place = {at}"), "part 1 is not where blobs.backend says", backup);
    one("DELETE FROM contents WHERE id = 2".into(), "its row is missing", "Restore qpc-blobs.db from a backup");
    one(format!("DELETE FROM parts WHERE place = {}", place(3, 0)), "the row of part 0", "nothing is to be done");
}

#[test]
fn a_flipped_bit_of_the_file_is_found_in_its_page() {
    use std::{fs::OpenOptions, os::unix::fs::FileExt};
    let folder = filled();
    let file = OpenOptions::new().read(true).write(true).open(folder.path()).unwrap();
    let place = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 1], place).unwrap();
    let problems = check(&folder).problems;
    assert!(matches!(problems.first(), Some(BlobProblem::File(_))), "{problems:?}");
    assert!(!matches!(problems.first(), Some(BlobProblem::Blob { what: BlobFault::Digest, .. })));
}
