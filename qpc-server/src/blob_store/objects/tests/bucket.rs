//! The suite on a bucket, where `QPC_TEST_S3` names one: `http://127.0.0.1:9000/bucket?access_key=..&secret_key=..`, and
//! `&region=..` where it is another than us-east-1. `make s3` starts something that speaks S3 and sets it.

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

fn parse(text: &str) -> Option<S3Settings> {
    let (url, query) = text.split_once('?')?;
    let (endpoint, bucket) = url.rsplit_once('/')?;
    let value = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.to_owned())
    };
    Some(S3Settings {
        endpoint: endpoint.to_owned(),
        bucket: bucket.to_owned(),
        region: value("region").unwrap_or_else(|| "us-east-1".into()),
        access_key: SecretText::new(value("access_key")?),
        secret_key: SecretText::new(value("secret_key")?),
        allow_http: endpoint.starts_with("http://"),
    })
}

#[test]
fn a_bucket_passes_the_suite() {
    let Ok(text) = std::env::var("QPC_TEST_S3") else {
        println!("QPC_TEST_S3 is not set: no bucket was tried");
        return;
    };
    let settings = parse(&text).expect("QPC_TEST_S3 is no URL of a bucket with access_key and secret_key");
    for (name, case) in CASES {
        println!("{name}");
        case(&Bucket(tempfile::tempdir().unwrap(), settings.clone()));
    }
}
