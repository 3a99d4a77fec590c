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

/// Reads and seals them. The database's key is not among them.
pub(super) fn seal(root: &Path, keys: &BackupKeys) -> Result<Vec<u8>, BackupError> {
    let mut files = Vec::new();
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
        files.push((name, Zeroizing::new(fs::read(&path).map_err(BackupError::io(&path))?)));
    }
    let named: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let plain = postcard::to_allocvec(&named).map_err(|error| BackupError::Internal(error.to_string()))?;
    let plain = Zeroizing::new(plain);
    keys.seal(&plain).map_err(|NotOurs| BackupError::Internal("the secrets can't be sealed".into()))
}

/// Opens them and puts them into a directory.
pub(super) fn unseal(sealed: &[u8], keys: &BackupKeys, backup: &str, into: &Path) -> Result<(), BackupError> {
    let damaged = || BackupError::Damaged { backup: backup.into(), object: OBJECT.into() };
    let plain = keys.open(sealed).map_err(|NotOurs| damaged())?;
    let files: Vec<(&str, &[u8])> = postcard::from_bytes(&plain).map_err(|_| damaged())?;
    for (name, bytes) in files {
        // Sealed by whoever has the key; no reason to let it name a file elsewhere.
        if !DataDir::is_kept_beside(name) || name.contains('/') || name.starts_with("..") {
            return Err(damaged());
        }
        write(&into.join(name), bytes)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::DbKey;

    fn keys() -> BackupKeys {
        BackupKeys::new(&DbKey::parse("a key").unwrap(), &[1; 16])
    }

    #[test]
    fn what_is_kept_comes_back_and_the_rest_stays_away() {
        let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kept = [("opaque-setup", "setup"), ("qpc-server.toml", "[log]"), ("empty", "")];
        for (name, text) in kept {
            fs::write(from.path().join(name), text).unwrap();
        }
        for name in ["qpc.db", "qpc.db-wal", "qpc-blobs.db", "db.key", "db.key.next", "lock", "backup.lock", "half.new"]
        {
            fs::write(from.path().join(name), "not this").unwrap();
        }
        fs::create_dir(from.path().join("blobs")).unwrap();
        let sealed = seal(from.path(), &keys()).unwrap();
        unseal(&sealed, &keys(), "a backup", into.path()).unwrap();
        let mut found: Vec<_> = fs::read_dir(into.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
            .collect();
        found.sort();
        let mut wanted = kept.map(|(name, text)| (name.into(), text.to_owned()));
        wanted.sort();
        assert_eq!(found, wanted);
        // What is there is not written over.
        assert!(matches!(unseal(&sealed, &keys(), "a backup", into.path()), Err(BackupError::Io { .. })));
    }

    #[test]
    fn no_name_leads_elsewhere() {
        let into = tempfile::tempdir().unwrap();
        for name in ["../escaped", "/tmp/escaped", "..", "qpc.db", "db.key"] {
            let plain = postcard::to_allocvec(&[(name, b"bytes".as_slice())].as_slice()).unwrap();
            let sealed = keys().seal(&plain).map_err(|_| "sealed").unwrap();
            let outcome = unseal(&sealed, &keys(), "a backup", into.path());
            assert!(matches!(outcome, Err(BackupError::Damaged { .. })), "{name}");
        }
        assert!(fs::read_dir(into.path()).unwrap().next().is_none());
    }

    #[test]
    fn they_are_so_many_bytes_and_not_one_more() {
        let from = tempfile::tempdir().unwrap();
        let (most, rest) = (from.path().join("most"), from.path().join("rest"));
        fs::write(most, vec![0; SECRETS_MAX - 1]).unwrap();
        fs::write(&rest, [0]).unwrap();
        assert!(seal(from.path(), &keys()).unwrap().len() <= SEALED_MAX);
        fs::write(&rest, [0, 0]).unwrap();
        assert!(matches!(seal(from.path(), &keys()), Err(BackupError::Secrets { .. })));
    }
}
