//! Bringing back what is in a backup, and trying whether that could be done.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    BackupError, Backups, Manifest, Name, Told,
    chunks::{Index, Reading},
    manifest::{FileCopy, Proved},
    secrets,
};
use crate::{
    blob_store::sqlite::SqliteBlobs,
    data_dir::DataDir,
    store::{
        Restored as Incarnation,
        sqlite::{DbKey, Dropped, after_restore, check},
    },
};

/// What a directory is called while it is filled.
const SUFFIX: &str = ".restoring";

/// What was found in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Logs whose chains were followed.
    pub logs: u64,
    /// Entries in them.
    pub entries: u64,
    /// Attachments whose digests were compared; nothing where their bytes are elsewhere.
    pub blobs: Option<u64>,
}

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was found.
    pub verified: Verified,
    /// What is not there any more, because it may have been used since, and who is awaited.
    pub dropped: Dropped,
}

/// Restores a backup into a scratch directory, checks everything in it, and removes that again.
///
/// # Errors
/// [`BackupError`]; [`BackupError::Unsound`] with what is wrong.
pub async fn verify(
    backups: &Backups,
    name: &Name,
    key: &DbKey,
    scratch: &Path,
    told: Told<'_>,
) -> Result<Verified, BackupError> {
    let filling = Filling::begin(scratch)?;
    fill(backups, name, key, &filling, told).await
}

/// Restores a backup into a directory that is not there, or empty. It is there whole, checked, or not at all; and what is
/// there says that it is restored, and until when its conversations wait for what their members have.
///
/// # Errors
/// As [`verify`], and [`BackupError::Exists`].
pub async fn restore(
    backups: &Backups,
    name: &Name,
    (key, key_text): (&DbKey, Option<&str>),
    target: &Path,
    now: Incarnation,
    told: Told<'_>,
) -> Result<Restored, BackupError> {
    let is_empty = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(BackupError::io(target)(error)),
    };
    if !is_empty {
        return Err(BackupError::Exists(target.to_owned()));
    }
    let filling = Filling::begin(target)?;
    let verified = fill(backups, name, key, &filling, told).await?;
    let dropped = after_restore(&DataDir::database(&filling.0), key, now)?;
    if let Some(text) = key_text {
        secrets::write(&DataDir::key_file(&filling.0), text.as_bytes())?;
    }
    filling.end(target)?;
    Ok(Restored { verified, dropped })
}

/// A directory that is removed unless it is wanted.
struct Filling(PathBuf);

impl Filling {
    /// Begins beside `target`. What an interrupted restoration has left there goes.
    fn begin(target: &Path) -> Result<Self, BackupError> {
        let mut beside = OsString::from(target);
        beside.push(SUFFIX);
        let path = PathBuf::from(beside);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(BackupError::io(path)(error)),
            _ => {}
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(BackupError::io(&path))?;
        Ok(Self(path))
    }

    /// It is what was wanted: moves it to its place.
    fn end(self, target: &Path) -> Result<(), BackupError> {
        let sync = |path: &Path| File::open(path).and_then(|directory| directory.sync_all());
        sync(&self.0).map_err(BackupError::io(&self.0))?;
        // An empty directory is replaced.
        fs::rename(&self.0, target).map_err(BackupError::io(target))?;
        match target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => sync(parent).map_err(BackupError::io(parent)),
            None => Ok(()),
        }
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        // Gone where it was moved to its place. Where it can't be removed, the next one says why.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Brings everything back and checks it.
async fn fill(
    backups: &Backups,
    name: &Name,
    key: &DbKey,
    into: &Filling,
    told: Told<'_>,
) -> Result<Verified, BackupError> {
    let Proved { manifest, keys, .. } = backups.proved(name, key).await?;
    let base = match &manifest.base {
        None => None,
        Some(base) => {
            let proved = backups.proved(&base.name.parse()?, key).await?;
            // Full, and the very one that was there.
            if proved.code != base.code || proved.manifest.base.is_some() {
                return Err(BackupError::Manifest(base.name.clone()));
            }
            Some(proved.manifest)
        }
    };
    let backup = manifest.name.as_str();
    let sealed = backups.get(backup, secrets::OBJECT, secrets::SEALED_MAX).await?;
    if blake3::hash(&sealed).to_hex().as_str() != manifest.secrets {
        return Err(BackupError::Damaged { backup: backup.into(), object: secrets::OBJECT.into() });
    }
    secrets::unseal(&sealed, &keys, backup, &into.0)?;

    let total = manifest.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
    let mut done = 0;
    let databases = [DataDir::database(&into.0), DataDir::blobs_database(&into.0)];
    for file in &manifest.files {
        let path = databases.iter().find(|path| path.file_name().is_some_and(|name| name == file.name.as_str()));
        let path = path.ok_or_else(|| BackupError::Damaged { backup: backup.into(), object: file.name.clone() })?;
        let index = Index::read(backups, backup, file).await?;
        // Where the base lacks the file, all of it is here.
        let base = base.as_ref().map(|base| base.name.as_str());
        let reading = Reading::new(backups, backup, &file.name, index, base);
        write(path, file, reading, backup, &mut |bytes| {
            done = bytes.saturating_add(done);
            told(done, total);
        })
        .await?;
    }
    look(&into.0, key, manifest)
}

async fn write(
    path: &Path,
    copy: &FileCopy,
    mut reading: Reading<'_>,
    backup: &str,
    told: &mut dyn FnMut(u64),
) -> Result<(), BackupError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(BackupError::io(path))?;
    let mut bytes = 0_u64;
    while let Some(chunk) = reading.next().await? {
        file.write_all(&chunk).map_err(BackupError::io(path))?;
        let more = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        bytes = bytes.saturating_add(more);
        told(more);
    }
    if bytes != copy.bytes {
        return Err(BackupError::Damaged { backup: backup.into(), object: copy.name.clone() });
    }
    file.sync_all().map_err(BackupError::io(path))
}

/// Follows every chain and compares every digest.
fn look(root: &Path, key: &DbKey, manifest: Manifest) -> Result<Verified, BackupError> {
    let report = check(&DataDir::database(root), key)?;
    let mut problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let blobs = DataDir::blobs_database(root);
    let here = manifest.blobs == super::BLOBS_HERE && blobs.exists();
    let blobs = if here { Some(SqliteBlobs::check(&blobs, key, &mut |_, _| {})?) } else { None };
    problems.extend(blobs.iter().flat_map(|blobs| &blobs.problems).map(ToString::to_string));
    if !problems.is_empty() {
        return Err(BackupError::Unsound(problems));
    }
    let blobs = blobs.map(|blobs| blobs.blobs);
    Ok(Verified { manifest, logs: report.logs, entries: report.entries, blobs })
}
