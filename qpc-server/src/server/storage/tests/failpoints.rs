//! What is found where a backup, or a change of the key, ends in the middle.

use std::{panic::AssertUnwindSafe, path::Path};

use futures_util::FutureExt;

use super::super::*;
use crate::{
    backup::{self, BackupError, Backups, Kind, Of, Wish},
    clock::{Clock, SystemClock},
    config::{Config, Overrides},
};

/// A server that has been started once and stopped.
async fn stopped(root: &Path) -> Loaded {
    let overrides = Overrides { data_dir: Some(root.to_owned()), ..Overrides::default() };
    let loaded = Config::load(&overrides, []).unwrap();
    close(open(&loaded).unwrap()).await;
    loaded
}

async fn close(opened: Opened) {
    drop(opened.aftermath);
    opened.store.close().await.unwrap();
    opened.blobs.close().await.unwrap();
}

#[tokio::test]
async fn a_backup_that_ends_before_its_manifest_is_none() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let temp = tempfile::tempdir().unwrap();
    let (data, place) = (temp.path().join("data"), temp.path().join("place"));
    let loaded = stopped(&data).await;
    let key = database_key(&loaded).unwrap();
    let backups = Backups::open(&ObjectPlace::Directory(place.clone())).unwrap();
    let of = Of { root: &data, key: &key, domain: "localhost", objects: None };
    let create = async || {
        let wish = Wish::Kind(Kind::Full);
        backup::create(of, &backups, wish, (&SystemClock, &SystemRng), &mut |_, _| {}).await
    };
    fail::cfg("backup::before_manifest", "panic").unwrap();
    assert!(AssertUnwindSafe(create()).catch_unwind().await.is_err());
    fail::remove("backup::before_manifest");
    assert!(backups.list().await.unwrap().is_empty());
    assert!(matches!(backups.find("latest").await, Err(BackupError::None(_))));
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1, "what it had written");
    // The next one is not in its way, and takes it away once nobody can be at it any more.
    let whole = create().await.unwrap().name;
    let keep = backup::Keep { full: std::time::Duration::MAX, incremental: std::time::Duration::MAX };
    assert!(backup::prune(&backups, keep, SystemClock.unix_ms()).await.unwrap().is_empty());
    let gone = backup::prune(&backups, keep, SystemClock.unix_ms() + 2 * DAY_MS).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert_ne!(gone[0], whole);
    assert_eq!(backups.find("latest").await.unwrap(), whole);
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
}

#[tokio::test]
async fn a_change_of_the_key_goes_on_where_it_ended() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let loaded = stopped(&data).await;
    let old = std::fs::read_to_string(DataDir::key_file(&data)).unwrap();
    fail::cfg("change_key::between", "panic").unwrap();
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| change_key(&loaded, None))).is_err());
    fail::remove("change_key::between");
    // One database has the new key and one the old: nothing starts, and the old key is still there.
    assert!(matches!(open(&loaded), Err(StorageError::KeyChanging(_))));
    assert_eq!(std::fs::read_to_string(DataDir::key_file(&data)).unwrap(), old);
    // Another key than the one that was begun with would leave a database with each.
    let third = change_key(&loaded, Some(Secret::new("a third".into())));
    assert!(matches!(third, Err(StorageError::KeyChanging(_))));
    change_key(&loaded, None).unwrap();
    assert_ne!(std::fs::read_to_string(DataDir::key_file(&data)).unwrap(), old);
    close(open(&loaded).unwrap()).await;
}
