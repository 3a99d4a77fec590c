//! Making a backup.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{
    BackupError, Backups, Kind, Manifest, Name, Told, attachments,
    chunks::{CHUNK, Index, Writing},
    manifest::{Base, FileCopy, Proved},
    seal::{BackupKeys, Salt},
    secrets,
};
use crate::{
    blob_store::{
        objects::ObjectPlace,
        sqlite::{Catalogue, SqliteBlobs},
    },
    clock::Clock,
    data_dir::DataDir,
    rng::{self, Rng},
    store::sqlite::{DbKey, FreezeError, Frozen, freeze},
};

/// Which kind is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// This one.
    Kind(Kind),
    /// An incremental one, unless the newest full one is older than so many milliseconds, or there is none.
    Full {
        /// The age.
        after_ms: u64,
    },
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Created {
    /// What it is called.
    pub name: Name,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Attachments of which the server itself lacks bytes, and which are in no earlier backup.
    pub lost: u64,
}

/// The server of which it is made.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    /// Its data directory.
    pub root: &'a Path,
    /// The key of its databases.
    pub key: &'a DbKey,
    /// Its domain.
    pub domain: &'a str,
    /// Where the bytes of its attachments are; nothing where they are in its database.
    pub objects: Option<&'a ObjectPlace>,
}

/// Makes a backup of a server, which may be running in another process. Blocks its thread while it reads.
///
/// # Errors
/// [`BackupError`]. What is there then is no backup, and the next one that is made removes it.
pub async fn create(
    of: Of<'_>,
    backups: &Backups,
    wish: Wish,
    (clock, rng): (&dyn Clock, &dyn Rng),
    told: Told<'_>,
) -> Result<Created, BackupError> {
    let _alone = alone(of.root)?;
    let now = clock.unix_ms();
    let base = base(backups, of.key, wish, now).await?;
    let kind = if base.is_some() { Kind::Incremental } else { Kind::Full };
    // Nothing is written into a folder that is there, finished or not.
    let there = backups.folders().await?;
    let seconds = (0..).map(|more: u64| now.saturating_add(more.saturating_mul(1000)));
    let mut names = seconds.map(|at| Name::new(at, kind));
    let name = names.find(|name| !there.contains(name)).ok_or_else(|| BackupError::Busy(of.root.to_owned()))?;
    let salt: Salt = rng::bytes(rng);
    let keys = BackupKeys::new(of.key, &salt);
    let mut manifest =
        Manifest::new(&name, &salt, of.domain.into(), of.objects.map_or(super::BLOBS_HERE, ObjectPlace::kind));

    let (messages, blobs) = (DataDir::database(of.root), DataDir::blobs_database(of.root));
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let objects = of.objects.filter(|_| blobs.exists());
    let of_objects = objects.map(|_| Catalogue::open(&blobs, of.key)?.bytes()).transpose()?;
    let total = size(&messages).saturating_add(size(&blobs)).saturating_add(of_objects.unwrap_or_default());
    let mut copying = Copying { backups, name: &name, base: base.as_ref(), done: 0, total, told };
    // In this order: whatever a stored message names was there before it.
    manifest.files.push(copying.copy(&messages, || freeze(&messages, of.key)).await?);
    if blobs.exists() {
        manifest.files.push(copying.copy(&blobs, || SqliteBlobs::freeze(&blobs, of.key)).await?);
    }

    let mut lost = 0;
    if let Some(place) = objects {
        let (live, backup) = (place.open()?, name.to_string());
        let (copy, missing) =
            attachments::copy((backups, &backup), (&blobs, of.key), live, &mut |bytes| copying.tell(bytes)).await?;
        manifest.objects = Some(copy);
        lost = missing;
    }

    let sealed = secrets::seal(of.root, &keys)?;
    manifest.secrets = blake3::hash(&sealed).to_hex().to_string();
    backups.put(&name.to_string(), secrets::OBJECT, sealed.into()).await?;
    manifest.base = base.map(|base| Base { name: base.manifest.name, code: base.code });
    let (bytes, _) = manifest.encode(&keys)?;
    fail::fail_point!("backup::before_manifest");
    backups.finish(&name, bytes).await?;
    Ok(Created { name, manifest, lost })
}

/// Nobody else makes one of the same server, or removes what others share, until this is dropped.
pub(super) fn alone(root: &Path) -> Result<File, BackupError> {
    let path = DataDir::backup_lock(root);
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(BackupError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy(root.to_owned())),
        Err(TryLockError::Error(error)) => Err(BackupError::io(path)(error)),
    }
}

/// The full backup that the new one is to stand on, if it is to stand on one.
async fn base(backups: &Backups, key: &DbKey, wish: Wish, now: u64) -> Result<Option<Proved>, BackupError> {
    if wish == Wish::Kind(Kind::Full) {
        return Ok(None);
    }
    let full = backups.begun_by(now).await?.into_iter().filter(|name| name.kind == Kind::Full);
    let newest = full.max();
    match (wish, newest) {
        (Wish::Full { after_ms }, Some(name)) if now.saturating_sub(name.unix_ms()) >= after_ms => Ok(None),
        (Wish::Full { .. }, None) => Ok(None),
        (Wish::Kind(_), None) => Err(BackupError::NoBase),
        (_, Some(name)) => match backups.proved(&name, key).await {
            Ok(base) => Ok(Some(base)),
            // The key has been changed since, or the release: a new beginning.
            Err(BackupError::Manifest(_) | BackupError::Format { .. }) if wish != Wish::Kind(Kind::Incremental) => {
                Ok(None)
            }
            Err(error) => Err(error),
        },
    }
}

/// Copies files into a backup, and tells how far it is.
struct Copying<'a, 'b> {
    backups: &'a Backups,
    name: &'a Name,
    base: Option<&'a Proved>,
    done: u64,
    total: u64,
    told: Told<'b>,
}

impl Copying<'_, '_> {
    /// So many bytes more are done.
    fn tell(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        (self.told)(self.done, self.total.max(self.done));
    }

    async fn copy(
        &mut self,
        path: &Path,
        hold: impl FnOnce() -> Result<Frozen, FreezeError>,
    ) -> Result<FileCopy, BackupError> {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let base = match self.base.and_then(|base| {
            let of = base.manifest.files.iter().find(|copy| copy.name == file)?;
            Some((base, of))
        }) {
            Some((base, of)) => Some(Index::read(self.backups, &base.manifest.name, of).await?),
            None => None,
        };
        let mut writing = Writing::new(self.backups, self.name.to_string(), file, base);
        let frozen = hold()?;
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while at < frozen.bytes() {
            let left = usize::try_from(frozen.bytes().saturating_sub(at)).unwrap_or(usize::MAX);
            let (chunk, _) = buffer.split_at_mut(left.min(CHUNK));
            frozen.read(chunk, at)?;
            writing.add(chunk).await?;
            let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            at = at.saturating_add(bytes);
            self.tell(bytes);
        }
        // Before the list, so that the log can be written back again.
        frozen.release()?;
        writing.finish().await
    }
}
