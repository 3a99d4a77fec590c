//! Bringing back what is in a backup, and trying whether that could be done.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use object_store::ObjectStore;

use super::{
    BackupError, Backups, Damaged, Manifest, Name, Told,
    bring_back::bring_back,
    chunks::{Index, Reading},
    manifest::{FileCopy, Proved},
    secrets,
    target::Target,
};
use crate::{
    blob_store::{objects::ObjectPlace, sqlite::SqliteBlobs},
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
    /// Attachments that the database named and that were left out: removed while the backup was made, or damaged.
    pub left_out: u64,
}

/// Where the bytes of attachments go, where they are objects.
#[derive(Debug, Clone)]
pub enum Objects {
    /// Into the new data directory, under this path.
    Inside(PathBuf),
    /// Elsewhere, where there are none yet.
    At(ObjectPlace),
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
    let proved = backups.proved(name, key).await?;
    fill((backups, proved, key), &filling, (None, Damaged::Refused), told).await
}

/// Restores a backup into a directory that is not there, or empty. It is there whole, checked, or not at all; and what is
/// there says that it is restored, and until when its conversations wait for what their members have. Objects elsewhere are
/// there before it is.
///
/// # Errors
/// As [`verify`], and [`BackupError::Exists`] or [`BackupError::HasObjects`].
pub async fn restore(
    backups: &Backups,
    name: &Name,
    (key, key_text): (&DbKey, Option<&str>),
    directory: &Path,
    (objects, damaged): (&Objects, Damaged),
    now: Incarnation,
    told: Told<'_>,
) -> Result<Restored, BackupError> {
    let is_empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(BackupError::io(directory)(error)),
    };
    if !is_empty {
        return Err(BackupError::Exists(directory.to_owned()));
    }
    let filling = Filling::begin(directory)?;
    let place = match objects {
        Objects::Inside(path) => ObjectPlace::Directory(filling.0.join(path)),
        Objects::At(place) => place.clone(),
    };
    let proved = backups.proved(name, key).await?;
    let target = match &proved.manifest.objects {
        Some(_) => Some(Target::begin(&place).await?),
        None => None,
    };
    let store = target.as_ref().map(|target| &*target.store);
    let made = async {
        let verified = fill((backups, proved, key), &filling, (store, damaged), told).await?;
        let dropped = after_restore(&DataDir::database(&filling.0), key, now)?;
        if let Some(text) = key_text {
            secrets::write(&DataDir::key_file(&filling.0), text.as_bytes())?;
        }
        Ok(Restored { verified, dropped })
    };
    let made: Result<Restored, BackupError> = made.await;
    match (&target, made.is_ok()) {
        // Before the directory is in its place: whoever finds the mark removes the objects.
        (Some(target), true) => target.end().await?,
        // What can't be removed now is removed by the next restoration.
        (Some(target), false) => drop(target.clear().await),
        (None, _) => {}
    }
    let restored = made?;
    filling.end(directory)?;
    Ok(restored)
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
    (backups, proved, key): (&Backups, Proved, &DbKey),
    into: &Filling,
    (objects, damaged): (Option<&dyn ObjectStore>, Damaged),
    told: Told<'_>,
) -> Result<Verified, BackupError> {
    let Proved { manifest, keys, .. } = proved;
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

    let total = manifest.bytes();
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
    let left_out = match &manifest.objects {
        Some(copy) => {
            let blobs = DataDir::blobs_database(&into.0);
            bring_back((backups, backup, copy), (&blobs, key), (objects, damaged), &mut |bytes| {
                done = bytes.saturating_add(done);
                told(done, total.max(done));
            })
            .await?
        }
        None => 0,
    };
    look(&into.0, key, manifest, left_out)
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

/// Follows every chain and compares every digest, but for those of objects, which were when they were read.
fn look(root: &Path, key: &DbKey, manifest: Manifest, left_out: u64) -> Result<Verified, BackupError> {
    let report = check(&DataDir::database(root), key)?;
    let mut problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let blobs = DataDir::blobs_database(root);
    let blobs = match &manifest.objects {
        Some(_) => Some(SqliteBlobs::check_rows(&blobs, key)?),
        None if manifest.blobs == super::BLOBS_HERE && blobs.exists() => {
            Some(SqliteBlobs::check(&blobs, key, &mut |_, _| {})?)
        }
        None => None,
    };
    problems.extend(blobs.iter().flat_map(|blobs| &blobs.problems).map(ToString::to_string));
    if !problems.is_empty() {
        return Err(BackupError::Unsound(problems));
    }
    let blobs = blobs.map(|blobs| blobs.blobs);
    Ok(Verified { manifest, logs: report.logs, entries: report.entries, blobs, left_out })
}
