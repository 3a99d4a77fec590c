//! The suite on a bucket, where `QPC_TEST_S3` names one.

mod named;

use self::named::NamedBucket;
use super::*;
use crate::blob_store::conformance::CASES;

/// An index that lives as long as the case; objects of all cases lie in one bucket, under names of their own.
struct Bucket(tempfile::TempDir, S3Settings);

impl Backend for Bucket {
    fn open(&self) -> Arc<dyn BlobStore> {
        let key = DbKey::parse(&"5a".repeat(32)).unwrap();
        let path = self.0.path().join("qpc-blobs.db");
        Arc::new(ObjectBlobs::open(&path, key, SqliteBlobs::options(), &ObjectPlace::S3(self.1.clone())).unwrap())
    }

    fn persistent(&self) -> bool {
        true
    }
}

/// The bucket, as the adapter is told of it.
fn settings(named: NamedBucket) -> S3Settings {
    S3Settings {
        allow_http: named.allow_http(),
        endpoint: named.endpoint,
        bucket: named.bucket,
        region: named.region,
        access_key: SecretText::new(named.access_key),
        secret_key: SecretText::new(named.secret_key),
    }
}

#[test]
fn a_bucket_passes_the_suite() {
    let Some(settings) = NamedBucket::from_environment().map(settings) else { return };
    for (name, case) in CASES {
        println!("{name}");
        case(&Bucket(tempfile::tempdir().unwrap(), settings.clone()));
    }
}
