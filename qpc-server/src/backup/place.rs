//! Where backups are: folders in a directory or a bucket.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    BackupError, Manifest, Name,
    manifest::{MANIFEST_MAX, Proved},
};
use crate::{blob_store::objects::ObjectPlace, store::sqlite::DbKey};

/// The object that makes a folder a backup.
const MANIFEST: &str = "manifest";

/// A place of backups.
#[derive(Clone)]
pub struct Backups {
    pub(super) store: Arc<dyn ObjectStore>,
    shown: String,
}

impl Backups {
    /// Opens it: makes a directory where there is none, asks a bucket nothing yet.
    ///
    /// # Errors
    /// [`BackupError::Open`].
    pub fn open(place: &ObjectPlace) -> Result<Self, BackupError> {
        Ok(Self { store: place.open()?, shown: place.shown() })
    }

    /// Where it is, for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Every finished backup, oldest first, with what it says of itself.
    ///
    /// # Errors
    /// [`BackupError::Place`].
    pub async fn list(&self) -> Result<Vec<(Name, Manifest)>, BackupError> {
        let mut found = Vec::new();
        for name in self.folders().await? {
            let Some(bytes) = self.manifest(&name).await? else { continue };
            if let Some(manifest) = Manifest::look(&bytes) {
                found.push((name, manifest));
            }
        }
        Ok(found)
    }

    /// Every finished backup that was begun by now, oldest first. One of a time when the clock was wrong stands in nobody's way.
    ///
    /// # Errors
    /// [`BackupError::Place`].
    pub async fn begun_by(&self, now_ms: u64) -> Result<Vec<Name>, BackupError> {
        let found = self.list().await?.into_iter().map(|(name, _)| name);
        Ok(found.filter(|name| name.unix_ms() <= now_ms).collect())
    }

    /// Every folder with a backup's name, finished or not, oldest first.
    pub(super) async fn folders(&self) -> Result<Vec<Name>, BackupError> {
        let listed = self.store.list_with_delimiter(None).await?;
        let mut names: Vec<Name> =
            listed.common_prefixes.iter().filter_map(|path| path.filename()?.parse().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The backup of a name, or the newest one for `latest`.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn find(&self, wanted: &str) -> Result<Name, BackupError> {
        if wanted == "latest" {
            let newest = self.list().await?.pop();
            return Ok(newest.ok_or_else(|| BackupError::None(self.shown.clone()))?.0);
        }
        wanted.parse()
    }

    /// The manifest of a backup, proved.
    pub(super) async fn proved(&self, name: &Name, key: &DbKey) -> Result<Proved, BackupError> {
        let bytes = self.manifest(name).await?.ok_or_else(|| BackupError::Unknown(name.to_string()))?;
        Manifest::decode(name, &bytes, key)
    }

    async fn manifest(&self, name: &Name) -> Result<Option<Bytes>, BackupError> {
        match self.get(&name.to_string(), MANIFEST, MANIFEST_MAX).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(BackupError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the manifest: from now on the folder is a backup.
    pub(super) async fn finish(&self, name: &Name, manifest: Vec<u8>) -> Result<(), BackupError> {
        self.put(&name.to_string(), MANIFEST, manifest.into()).await
    }

    /// Writes an object of a backup; durable when this returns.
    pub(super) async fn put(&self, backup: &str, object: &str, bytes: Bytes) -> Result<(), BackupError> {
        self.store.put(&path(backup, object), bytes.into()).await?;
        Ok(())
    }

    /// Reads an object of a backup that has no more bytes than these.
    pub(super) async fn get(&self, backup: &str, object: &str, max: usize) -> Result<Bytes, BackupError> {
        let of = |error| match error {
            object_store::Error::NotFound { .. } => {
                BackupError::Missing { backup: backup.into(), object: object.into() }
            }
            error => BackupError::Place(error),
        };
        let found = self.store.get(&path(backup, object)).await.map_err(of)?;
        if found.meta.size > u64::try_from(max).unwrap_or(u64::MAX) {
            return Err(BackupError::Damaged { backup: backup.into(), object: object.into() });
        }
        found.bytes().await.map_err(of)
    }

    /// Removes a backup, its manifest first: what is left of an interrupted removal is no backup.
    pub(super) async fn remove(&self, name: &Name) -> Result<(), BackupError> {
        let folder = name.to_string();
        match self.store.delete(&path(&folder, MANIFEST)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let objects: Vec<_> =
            self.store.list(Some(&Path::from(folder))).map_ok(|found| found.location).try_collect().await?;
        self.delete(objects).await
    }

    /// Removes objects that may be gone already.
    pub(super) async fn delete(&self, objects: Vec<Path>) -> Result<(), BackupError> {
        let mut removed = self.store.delete_stream(futures_util::stream::iter(objects.into_iter().map(Ok)).boxed());
        while let Some(outcome) = removed.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn path(backup: &str, object: &str) -> Path {
    Path::from_iter(std::iter::once(backup).chain(object.split('/')))
}
