//! The small files of a data directory, in a backup as one sealed object: keys, certificates, what starts have noted.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use zeroize::Zeroizing;

use super::{
    BackupError,
    seal::{BackupKeys, NotOurs},
};
use crate::data_dir::DataDir;

/// The object.
pub(super) const OBJECT: &str = "secrets";
/// Most bytes of all of them: they are some kilobytes.
pub(super) const SECRETS_MAX: usize = 4 * 1024 * 1024;
/// What sealing adds, generously.
pub(super) const SEALED_MAX: usize = SECRETS_MAX.saturating_add(1024);

/// Name and bytes of each.
type Files = Vec<(String, Vec<u8>)>;

/// Reads and seals them. The database's key is not among them.
pub(super) fn seal(root: &Path, keys: &BackupKeys) -> Result<Vec<u8>, BackupError> {
    let mut files = Files::new();
    let mut bytes = 0_usize;
    for entry in fs::read_dir(root).map_err(BackupError::io(root))? {
        let entry = entry.map_err(BackupError::io(root))?;
        let path = entry.path();
        let meta = entry.metadata().map_err(BackupError::io(&path))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !meta.is_file() || !DataDir::is_kept_beside(&name) {
            continue;
        }
        bytes = bytes.saturating_add(usize::try_from(meta.len()).unwrap_or(usize::MAX));
        if bytes > SECRETS_MAX {
            return Err(BackupError::Secrets { path: root.to_owned(), max: SECRETS_MAX });
        }
        files.push((name, fs::read(&path).map_err(BackupError::io(&path))?));
    }
    files.sort();
    let plain = postcard::to_allocvec(&files).map_err(|error| BackupError::Internal(error.to_string()))?;
    let plain = Zeroizing::new(plain);
    let wipe = |(_, bytes): (String, Vec<u8>)| drop(Zeroizing::new(bytes));
    files.into_iter().for_each(wipe);
    keys.seal(&plain).map_err(|NotOurs| BackupError::Internal("the secrets can't be sealed".into()))
}

/// Opens them and puts them into a directory.
pub(super) fn unseal(sealed: &[u8], keys: &BackupKeys, backup: &str, into: &Path) -> Result<(), BackupError> {
    let damaged = || BackupError::Damaged { backup: backup.into(), object: OBJECT.into() };
    let plain = keys.open(sealed).map_err(|NotOurs| damaged())?;
    let files: Files = postcard::from_bytes(&plain).map_err(|_| damaged())?;
    for (name, bytes) in files {
        let bytes = Zeroizing::new(bytes);
        // Sealed by whoever has the key; no reason to let it name a file elsewhere.
        if !DataDir::is_kept_beside(&name) || name.contains('/') || name.starts_with("..") {
            return Err(damaged());
        }
        write(&into.join(name), &bytes)?;
    }
    Ok(())
}

/// Writes a new file that only its owner reads.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(BackupError::io(path))
}
