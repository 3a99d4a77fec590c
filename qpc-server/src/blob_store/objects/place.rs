//! Where objects are: a directory, or a bucket of something that speaks S3.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use object_store::{ObjectStore, local::LocalFileSystem};
use zeroize::Zeroizing;

use super::OpenObjectsError;

/// A secret: it does not print, and is wiped when it is dropped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Keeps it.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

/// A bucket.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The URL of the service, without the bucket.
    pub endpoint: String,
    /// The bucket, which must exist.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Who asks.
    pub access_key: SecretText,
    /// And the proof.
    pub secret_key: SecretText,
    /// Without TLS: for tests, and inside one machine.
    pub allow_http: bool,
}

/// Where objects are.
#[derive(Debug, Clone)]
pub enum ObjectPlace {
    /// A directory, made where there is none.
    Directory(PathBuf),
    /// A bucket. It must refuse to write an object that exists (`If-None-Match: *`).
    S3(S3Settings),
}

impl ObjectPlace {
    /// Where it is, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::S3(settings) => format!("the bucket {}", settings.bucket),
        }
    }

    /// What a manifest and a configuration call this kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::S3(_) => "s3",
        }
    }

    pub(crate) fn open(&self) -> Result<Arc<dyn ObjectStore>, OpenObjectsError> {
        let unusable = |error: &dyn fmt::Display| OpenObjectsError::Place(error.to_string());
        match self {
            Self::Directory(path) => {
                fs::create_dir_all(path).map_err(|error| unusable(&error))?;
                let store = LocalFileSystem::new_with_prefix(path).map_err(|error| unusable(&error))?;
                // Without, an answered part could be gone after a power cut.
                Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
            }
            #[cfg(feature = "s3")]
            Self::S3(settings) => {
                let store = object_store::aws::AmazonS3Builder::new()
                    .with_endpoint(&settings.endpoint)
                    .with_bucket_name(&settings.bucket)
                    .with_region(&settings.region)
                    .with_access_key_id(settings.access_key.0.as_str())
                    .with_secret_access_key(settings.secret_key.0.as_str())
                    .with_allow_http(settings.allow_http)
                    .build();
                Ok(Arc::new(store.map_err(|error| unusable(&error))?))
            }
            #[cfg(not(feature = "s3"))]
            Self::S3(_) => Err(unusable(&"this build knows no S3 (feature s3)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let secret = || SecretText::new("hunter2".into());
        let settings = S3Settings {
            endpoint: "http://localhost".into(),
            bucket: "blobs".into(),
            region: "eu-central-1".into(),
            access_key: secret(),
            secret_key: secret(),
            allow_http: true,
        };
        assert!(!format!("{:?}", ObjectPlace::S3(settings)).contains("hunter2"));
    }
}
