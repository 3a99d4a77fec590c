//! The suite on objects in a directory, and what only this adapter promises.

#[cfg(feature = "s3")]
mod bucket;
#[cfg(feature = "failpoints")]
mod failpoints;

use std::{fs, path::PathBuf, sync::Arc};

use qpc_proto::limits::BLOB_PART;

use super::*;
use crate::blob_store::conformance::{
    Backend,
    world::{Blob, World, account, conversation, wait},
};

/// An index and a directory that live as long as the case.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn objects(&self) -> PathBuf {
        self.0.path().join("objects")
    }

    fn store(&self) -> ObjectBlobs {
        let key = DbKey::parse(&"5a".repeat(32)).unwrap();
        let place = ObjectPlace::Directory(self.objects());
        ObjectBlobs::open(&self.0.path().join("qpc-blobs.db"), key, SqliteBlobs::options(), &place).unwrap()
    }
}

impl Backend for Folder {
    fn open(&self) -> Arc<dyn BlobStore> {
        Arc::new(self.store())
    }

    fn persistent(&self) -> bool {
        true
    }
}

blob_store_conformance!(Folder::new());

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn sweeping_leaves_no_object() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, talk) = (account(1), conversation(1));
    for seed in 0..3 {
        world.upload(alice, &talk, &Blob::new(seed, 2 * BLOB_PART + 1));
    }
    let unfinished = Blob::new(9, 2 * BLOB_PART);
    world.begin(&unfinished.by(alice, &talk), unfinished.size()).unwrap();
    world.put_all(&unfinished.by(alice, &talk), &unfinished);
    assert_eq!(files(&folder.objects()).len(), 11);
    world.sweep(u64::MAX, u64::MAX, 2);
    assert_eq!(files(&folder.objects()), Vec::<PathBuf>::new());
    assert_eq!(wait(folder_left(&folder, world)), Ok(Vec::new()));
}

/// Contents that wait for their objects to be removed.
fn folder_left(folder: &Folder, world: World) -> Answer<Vec<super::super::tables::ContentId>, StoreFault> {
    wait(world.store.close()).unwrap();
    let store = folder.store();
    Box::pin(async move { Ok(store.index.objects_left(10).await?.into_iter().map(|(content, _)| content).collect()) })
}

/// The process ended between an object and its row: the part is not there for anybody, and comes again.
#[test]
fn an_object_without_a_row_is_in_nobodys_way() {
    let folder = Folder::new();
    let store = folder.store();
    let world = World::new(&folder);
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, BLOB_PART + 1));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    let slot: Answer<_, UploadError> = Box::pin(store.index.slot(upload.clone(), 0, BLOB_PART));
    let (_, name, _) = wait(slot).unwrap();
    let objects = Arc::clone(&store.objects);
    wait::<_, StoreFault>(Box::pin({
        let data = blob.part(0);
        async move { objects.put(name, 0, data).await }
    }))
    .unwrap();
    assert_eq!(world.begin(&upload, blob.size()), Ok(Begun::Parts(0)));
    world.put_all(&upload, &blob);
    world.finish(&upload).unwrap();
    assert!(world.holds(&talk, &blob));
}

/// Objects are not removed while one of them is being written.
#[test]
fn what_is_in_flight_is_removed_later() {
    let folder = Folder::new();
    let store = folder.store();
    let world = World { store: Arc::new(store), now_ms: 1, quota: crate::blob_store::conformance::world::AMPLE };
    let probe = folder.store();
    let (alice, talk, blob) = (account(1), conversation(1), Blob::new(1, 10));
    let upload = blob.by(alice, &talk);
    world.begin(&upload, blob.size()).unwrap();
    world.put_all(&upload, &blob);
    let slot: Answer<_, UploadError> = Box::pin(probe.index.slot(upload.clone(), 0, 10));
    let (_, name, stored) = wait(slot).unwrap();
    assert!(stored);
    let in_flight = InFlight::new(&probe.objects, name);
    wait(world.store.discard(upload)).unwrap();
    let sweep = Sweep { uploads_before_ms: 0, blobs_before_ms: 0, now_ms: 0, batch: 10 };
    wait(probe.sweep(sweep)).unwrap();
    assert_eq!(files(&folder.objects()).len(), 1);
    drop(in_flight);
    wait(probe.sweep(sweep)).unwrap();
    assert_eq!(files(&folder.objects()).len(), 0);
}

#[test]
fn a_check_names_the_object_that_is_not_what_it_was() {
    let folder = Folder::new();
    let key = || DbKey::parse(&"5a".repeat(32)).unwrap();
    let check = |read: bool| {
        let (path, place) = (folder.0.path().join("qpc-blobs.db"), ObjectPlace::Directory(folder.objects()));
        let report = ObjectBlobs::check(&path, &key(), (&place, read), &mut |_, _| {});
        report.map(|report| report.problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let world = World::new(&folder);
    let blob = Blob::new(1, 2 * BLOB_PART + 1);
    world.upload(account(1), &conversation(1), &blob);
    wait(world.store.close()).unwrap();
    assert_eq!((check(false).unwrap(), check(true).unwrap()), (Vec::new(), Vec::new()));

    let object = files(&folder.objects()).into_iter().find(|path| path.ends_with("1")).unwrap();
    let name = object.strip_prefix(folder.objects()).unwrap().display().to_string();
    let whole = fs::read(&object).unwrap();
    let mut flipped = whole.clone();
    flipped[7] ^= 1;
    fs::write(&object, flipped).unwrap();
    assert_eq!(check(false).unwrap(), Vec::<String>::new(), "sizes alone");
    let problems = check(true).unwrap();
    assert!(problems.len() == 1 && problems[0].contains("not those of its digest"), "{problems:?}");
    fs::write(&object, &whole[1..]).unwrap();
    let problems = check(false).unwrap();
    assert!(problems.len() == 1 && problems[0].contains("has another size"), "{problems:?}");
    fs::remove_file(&object).unwrap();
    let problems = check(false).unwrap();
    assert!(problems.len() == 1 && problems[0].contains(&format!("the object {name} is missing")), "{problems:?}");
    assert!(problems[0].contains("Restore it from a backup"), "{problems:?}");
    fs::remove_dir_all(folder.objects()).unwrap();
    assert!(matches!(check(false), Err(crate::store::sqlite::CheckError::Place(_))));
    assert!(!folder.objects().exists(), "a check makes nothing");
}
