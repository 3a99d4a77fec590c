//! The suite on this adapter, and what only it promises.

#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow: it fails then")]

mod durable;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod figures;
mod random;

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::*;
use crate::store::{Store, conformance::Backend};

/// A store in a folder that lives as long as the case.
pub(super) struct Folder {
    folder: tempfile::TempDir,
    pub(super) options: Options,
}

impl Folder {
    pub(super) fn new() -> Self {
        // Each look at the figures counts anew; small batches and checkpoints are all tried.
        let options = Options {
            reader_threads: 2,
            wal_autocheckpoint: 20,
            figures_refresh: Duration::ZERO,
            ..Options::default()
        };
        Self { folder: tempfile::tempdir().unwrap(), options }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("qpc.db")
    }
}

pub(super) fn key() -> DbKey {
    DbKey::parse(&"5a".repeat(32)).unwrap()
}

impl Backend for Folder {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path(), key(), self.options.clone()).unwrap())
    }

    fn persistent(&self) -> bool {
        true
    }
}

store_conformance!(Folder::new());
