//! A home: the directory that holds one account's device, its lock and its key.
//!
//! It is readable by its owner alone, and one process at a time drives it (D16): whoever
//! holds the lock. Whether the lock is taken is judged by the system, so a killed process leaves none behind.

mod key;
mod known_servers;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;

use crate::files::Files;

pub use self::key::{KeyError, KeySource};
pub(crate) use self::{
    key::HomeKey,
    known_servers::{Known, KnownServers},
};

const DATABASE: &str = "client.db";
const LOCK: &str = "lock";
const KNOWN_SERVERS: &str = "known_servers";

/// A home directory. Naming it neither makes nor locks it.
#[derive(Debug, Clone)]
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
    /// Another process holds the lock.
    #[error("another program uses {0}")]
    Busy(PathBuf),
    /// The directory is open to others and holds other things, so that it is not ours to close.
    #[error("{0} is no home of this program and others may read it: choose another directory, or chmod 700")]
    Foreign(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key of its database.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl HomeError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

impl Home {
    /// Where the home is unless somebody says otherwise: `quicprochat` in the XDG data directory.
    ///
    /// # Errors
    /// [`HomeError::Nowhere`].
    pub fn default_dir() -> Result<PathBuf, HomeError> {
        let base = etcetera::base_strategy::choose_base_strategy().map_err(|_| HomeError::Nowhere)?;
        Ok(base.data_dir().join("quicprochat"))
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
        self.database().exists()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join(DATABASE)
    }

    /// Makes the directory if need be and takes the lock.
    pub(crate) fn lock(&self) -> Result<LockedHome, HomeError> {
        self.make_private()?;
        let path = self.dir.join(LOCK);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(HomeError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(LockedHome { home: self.clone(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(HomeError::Busy(self.dir.clone())),
            Err(TryLockError::Error(source)) => Err(HomeError::Io { path, source }),
        }
    }

    fn make_private(&self) -> Result<(), HomeError> {
        let fault = || HomeError::io(&self.dir);
        if !self.dir.exists() {
            return DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(fault());
        }
        let mode = fs::metadata(&self.dir).map_err(fault())?.permissions().mode();
        if mode & 0o077 == 0 {
            return Ok(());
        }
        let empty = fs::read_dir(&self.dir).map_err(fault())?.next().is_none();
        if empty || self.has_account() {
            fs::set_permissions(&self.dir, Permissions::from_mode(0o700)).map_err(fault())
        } else {
            Err(HomeError::Foreign(self.dir.clone()))
        }
    }
}

/// A home that this process drives. The lock ends with it.
#[derive(Debug)]
pub(crate) struct LockedHome {
    home: Home,
    _lock: File,
}

impl LockedHome {
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The key of the database, made where there is none yet.
    pub(crate) fn key(&self) -> Result<HomeKey, HomeError> {
        Ok(key::of(&self.home.dir, &self.home.key, self.home.has_account())?)
    }

    pub(crate) fn known_servers(&self) -> KnownServers {
        KnownServers::at(self.home.dir.join(KNOWN_SERVERS))
    }

    pub(crate) fn files(&self) -> Files {
        Files::of(&self.home.dir)
    }

    /// Removes the account's database, its files and its key. What the person was told to trust stays.
    pub(crate) fn forget_account(&self) -> Result<(), HomeError> {
        let database = self.home.database();
        let beside = |suffix: &str| self.home.dir.join(format!("{DATABASE}{suffix}"));
        for path in [beside("-wal"), beside("-shm"), database] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(HomeError::io(&path)(error)),
                _ => {}
            }
        }
        self.files().remove_all().map_err(HomeError::io(&self.home.dir))?;
        key::forget(&self.home.dir)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_drives_a_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("home"), KeySource::File);
        let locked = home.lock().unwrap();
        assert!(matches!(home.lock(), Err(HomeError::Busy(_))));
        drop(locked);
        assert!(home.lock().is_ok());
    }

    #[test]
    fn a_home_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("home"), KeySource::File);
        drop(home.lock().unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.dir()), 0o700);
        fs::set_permissions(home.dir(), Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(home.lock(), Err(HomeError::Foreign(_))), "it holds a file, and no account");
        fs::write(home.database(), b"").unwrap();
        drop(home.lock().unwrap());
        assert_eq!(mode(home.dir()), 0o700);
    }

    #[test]
    fn a_key_file_is_made_once_and_goes_with_the_account() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("home"), KeySource::File);
        let locked = home.lock().unwrap();
        let key = locked.key().unwrap();
        fs::write(home.database(), b"").unwrap();
        assert!(*locked.key().unwrap().expose() == *key.expose());
        locked.forget_account().unwrap();
        assert!(!home.has_account());
        assert!(*locked.key().unwrap().expose() != *key.expose());
    }
}
