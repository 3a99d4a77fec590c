//! Backups in a bucket, of a server whose attachments are in another: `kept_files` where the service is a real one, which
//! `QPC_TEST_S3` names.

use std::{fs, os::unix::fs::PermissionsExt};

use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use qpc_server::{
    backup::{self, Backups},
    blob_store::objects::{ObjectPlace, S3Settings, SecretText},
    clock::{Clock, SystemClock},
};

use crate::{
    kept_files::{DAY, KEEP, Operator},
    named::NamedBucket,
    people::Town,
};

/// A bucket, for a test to look into and to empty.
fn bucket(named: &NamedBucket, name: &str) -> impl ObjectStore {
    let store = object_store::aws::AmazonS3Builder::new().with_endpoint(&named.endpoint).with_bucket_name(name);
    let store = store.with_region(&named.region).with_access_key_id(&named.access_key);
    store.with_secret_access_key(&named.secret_key).with_allow_http(named.allow_http()).build().unwrap()
}

async fn listed(bucket: &impl ObjectStore, prefix: Option<&str>) -> Vec<object_store::path::Path> {
    let prefix = prefix.map(object_store::path::Path::from);
    let mut found: Vec<_> = bucket.list(prefix.as_ref()).map_ok(|object| object.location).try_collect().await.unwrap();
    found.sort();
    found
}

async fn emptied(bucket: &impl ObjectStore) {
    for object in listed(bucket, None).await {
        bucket.delete(&object).await.unwrap();
    }
}

/// Everything of a server whose attachments and backups are in buckets. Two more are there beside the named one.
#[tokio::test]
async fn a_bucket_keeps_backups_and_another_gets_attachments_back() {
    let Some(named) = NamedBucket::from_environment() else { return };
    let [kept, back] = ["backups", "restored"].map(|what| format!("{}-{what}", named.bucket));
    let (kept_store, back_store) = (bucket(&named, &kept), bucket(&named, &back));
    emptied(&kept_store).await;
    emptied(&back_store).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret-key");
    fs::write(&secret, &named.secret_key).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let of = |section: &str, bucket: &str| {
        let key = |name: &str, value: &str| (format!("QPC_{section}__S3_{name}"), value.to_owned());
        [
            key("ENDPOINT", &named.endpoint),
            key("BUCKET", bucket),
            key("REGION", &named.region),
            key("ACCESS_KEY", &named.access_key),
            key("SECRET_KEY_FILE", secret.to_str().unwrap()),
            key("ALLOW_HTTP", if named.allow_http() { "true" } else { "false" }),
        ]
    };
    let backend = [("QPC_BLOBS__BACKEND".to_owned(), "s3".to_owned())];
    let blobs_in = |bucket: &str| [&of("BLOBS", bucket)[..], &backend].concat();
    let serving = blobs_in(&named.bucket);
    let serving: Vec<(&str, &str)> = serving.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let settings = [blobs_in(&named.bucket), of("BACKUP", &kept).to_vec()].concat();
    let mut operator = Operator { town: Town::with(&serving), settings, place: Vec::new() };
    operator.town.friends();
    let first = operator.send("first", 1, 600_000);
    let full = operator.does("data", &["create", "--full"]);
    assert_eq!(full["attachments"], 1, "{full}");
    let second = operator.send("second", 2, 300_000);
    let incremental = operator.does("data", &["create", "--incremental"]);
    assert_eq!((&incremental["attachments"], &incremental["base"]), (&2.into(), &full["name"]));
    // The database's own chunks, and the second file alone.
    let own = incremental["own_bytes"].as_u64().unwrap();
    assert!(own >= 300_272 && own < full["own_bytes"].as_u64().unwrap(), "{full} {incremental}");
    assert_eq!(operator.does("data", &["verify"])["blobs"], 2);
    let objects = listed(&kept_store, Some("objects")).await;
    assert_eq!(objects.len(), 5);

    // One byte, and one object.
    let whole = kept_store.get(&objects[0]).await.unwrap().bytes().await.unwrap();
    let mut flipped = whole.to_vec();
    flipped[9] ^= 1;
    kept_store.put(&objects[0], flipped.into()).await.unwrap();
    let (code, _, err) = operator.tries("data", &["verify"]);
    assert_eq!((code, err.contains("objects/") && err.contains("is damaged")), (65, true), "{err}");
    kept_store.delete(&objects[0]).await.unwrap();
    let (code, _, err) = operator.tries("data", &["verify"]);
    assert_eq!((code, err.contains(&format!("{} is missing", objects[0]))), (65, true), "{err}");
    kept_store.put(&objects[0], whole.into()).await.unwrap();

    // Not into the bucket that has some, and then into one that has none.
    let key = operator.key();
    let (code, _, err) = operator.tries("copy", &["restore", "latest", "--key-file", &key]);
    assert_eq!((code, err.contains("nothing is overwritten")), (73, true), "{err}");
    operator.settings = [blobs_in(&back), of("BACKUP", &kept).to_vec()].concat();
    let restored = operator.does("copy", &["restore", "latest", "--key-file", &key]);
    assert_eq!(restored["blobs"], 2, "{restored}");
    assert_eq!(listed(&back_store, None).await.len(), 5, "and no mark");
    operator.town.set(&blobs_in(&back));
    operator.replace("copy");
    operator.bob_fetches(&[&first, &second]);

    // What is too old goes, but the newest full one.
    operator.does("data", &["create", "--full"]);
    let place = ObjectPlace::S3(S3Settings {
        endpoint: named.endpoint.clone(),
        bucket: kept,
        region: named.region.clone(),
        access_key: SecretText::new(named.access_key.clone()),
        secret_key: SecretText::new(named.secret_key.clone()),
        allow_http: named.allow_http(),
    });
    let (backups, later) = (Backups::open(&place).unwrap(), SystemClock.unix_ms() + 40 * DAY);
    assert_eq!(backup::prune(&backups, KEEP, later).await.unwrap().len(), 2);
    let stray = object_store::path::Path::from("objects/ab/cd/abcd0000000000000000000000000000/0");
    kept_store.put(&stray, "nobody's".into()).await.unwrap();
    assert_eq!(backup::collect(&backups, dir.path(), later).await.unwrap(), 1);
    assert_eq!(listed(&kept_store, Some("objects")).await, objects, "the newest one names them");
    assert_eq!(operator.does("data", &["verify"])["blobs"], 2);
    let folders = kept_store.list_with_delimiter(None).await.unwrap().common_prefixes;
    assert_eq!(folders.len(), 2, "one backup, and the objects: {folders:?}");
}
