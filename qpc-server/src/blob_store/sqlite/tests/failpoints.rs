//! The process ends between any two steps of a write: what is found afterwards is all of it or nothing, what was answered
//! is there, and doing it again ends well.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use qpc_proto::limits::BLOB_PART;

use super::*;
use crate::blob_store::{
    Begun,
    conformance::world::{Blob, World, account, assert_taken, conversation},
};

/// Where the child works, and where it ends.
const PLACE: &str = "QPC_TEST_FAILPOINT_PLACE";
const POINT: &str = "QPC_TEST_FAILPOINT";
/// How often it passes there before.
const PASSES: &str = "QPC_TEST_FAILPOINT_PASSES";

struct At(PathBuf);

impl Backend for At {
    fn open(&self) -> Arc<dyn BlobStore> {
        Arc::new(SqliteBlobs::open(&self.0, key(), SqliteBlobs::options()).unwrap())
    }

    fn persistent(&self) -> bool {
        true
    }
}

/// Every point of the write path.
pub(in crate::blob_store) const POINTS: [(&str, usize); 13] = [
    ("blobs::charged", 0),
    ("blobs::content_made", 0),
    ("blobs::part_added", 0),
    ("blobs::content_finished", 0),
    ("blobs::upload_finished", 0),
    ("blobs::reference_removed", 0),
    ("blobs::upload_removed", 0),
    ("blobs::expired", 0),
    ("blobs::parts_removed", 0),
    ("blobs::before_commit", 0),
    ("blobs::after_commit", 0),
    // In the middle of an upload, and at its end.
    ("blobs::before_commit", 2),
    ("blobs::after_commit", 4),
];

/// A blob that has been there before, and one that comes while the process may end; then both go.
fn live(world: &World) {
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(2, 2 * BLOB_PART + 9));
    let upload = blob.by(alice, &talk);
    match world.begin(&upload, blob.size()).unwrap() {
        Begun::Complete => {}
        Begun::Parts(from) => {
            for number in from..blob.parts() {
                world.put(&upload, number, blob.part(number)).unwrap();
            }
            world.finish(&upload).unwrap();
        }
    }
    assert!(world.holds(&talk, &blob));
    // Another upload, which is thrown away.
    let other = Blob::new(3, 10).by(alice, &talk);
    world.begin(&other, 10).unwrap();
    world.put(&other, 0, Blob::new(3, 10).0).unwrap();
    world.release(&other);
    world.release(&upload);
    world.sweep(0, 0, 1);
}

/// In the child: lives and ends at the point. In the parent: starts a child for each point, and judges what it left.
pub(in crate::blob_store) fn survives(
    backend: impl Fn(PathBuf) -> Box<dyn Backend>,
    test: &str,
    points: &[(&str, usize)],
) {
    if let (Some(place), Some(point)) = (std::env::var_os(PLACE), std::env::var(POINT).ok()) {
        let world = World::new(backend(place.into()).as_ref());
        world.upload(account(1), &conversation(1), &Blob::new(1, 100));
        let passes = AtomicUsize::new(std::env::var(PASSES).unwrap().parse().unwrap());
        let pass = move || {
            if passes.fetch_sub(1, Ordering::SeqCst) == 0 {
                std::process::abort();
            }
        };
        fail::cfg_callback(&point, pass).unwrap();
        live(&world);
        panic!("{point} was not reached");
    }
    for (point, passes) in points {
        let folder = Folder::new();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(PLACE, folder.path())
            .env(POINT, point)
            .env(PASSES, passes.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(6), "{point}: {status}");
        let mut world = World::new(backend(folder.path()).as_ref());
        let (alice, talk) = (account(1), conversation(1));
        assert!(world.holds(&talk, &Blob::new(1, 100)), "{point}: what was answered is gone");
        // Again, from wherever it stopped.
        live(&world);
        assert_eq!(world.figures(), [(1, 100), (0, 0)], "{point}");
        assert_taken(&mut world, alice, &talk, 100, 100);
        world.sweep(u64::MAX, u64::MAX, 10);
        assert_taken(&mut world, alice, &talk, 0, 0);
    }
}

#[test]
fn whatever_a_kill_interrupts_is_whole_or_nothing() {
    let test = "blob_store::sqlite::tests::failpoints::whatever_a_kill_interrupts_is_whole_or_nothing";
    survives(|path| Box::new(At(path)), test, &POINTS);
}
