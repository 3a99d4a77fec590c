//! The suite on this adapter, and what only it promises.

#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow: it fails then")]

mod check;
mod durable;
#[cfg(feature = "failpoints")]
pub(in crate::blob_store) mod failpoints;
mod faults;
mod random;

use std::{path::PathBuf, sync::Arc};

use super::*;
use crate::blob_store::{BlobStore, conformance::Backend};

/// A store in a folder that lives as long as the case.
pub(super) struct Folder {
    folder: tempfile::TempDir,
    pub(super) options: Options,
}

impl Folder {
    pub(super) fn new() -> Self {
        let options = Options { wal_autocheckpoint: 20, ..SqliteBlobs::options() };
        Self { folder: tempfile::tempdir().unwrap(), options }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("qpc-blobs.db")
    }

    pub(super) fn store(&self) -> SqliteBlobs {
        SqliteBlobs::open(&self.path(), key(), self.options.clone()).unwrap()
    }
}

pub(super) fn key() -> DbKey {
    DbKey::parse(&"5a".repeat(32)).unwrap()
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
