//! The objects of attachments in a place of backups, which all backups there share: `objects/ab/cd/<name>/<part>`, as the
//! server has them. An object is written once and never changes; a backup names those that it needs.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    BackupError, Backups,
    contents::{CONTENTS_MAX, ContentName, Contents, digits},
};
use crate::blob_store::sqlite::{SHARDS, StoredBlob};

/// The folder with all of them.
const FOLDER: &str = "objects";

/// What is there of an attachment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct There {
    objects: u64,
    bytes: u64,
}

/// The attachments that a place has whose names begin with one digit.
pub(super) struct Holdings(HashMap<ContentName, There>);

impl Holdings {
    /// Is all of it there?
    pub(super) fn has(&self, blob: &StoredBlob) -> bool {
        let whole = There { objects: crate::blob_store::parts(blob.size), bytes: blob.size };
        self.0.get(&blob.name) == Some(&whole)
    }
}

/// The place of an object, which has this path where the server keeps its own.
fn shared(object: &Path) -> Path {
    Path::from_iter([FOLDER]).parts().chain(object.parts()).collect()
}

/// The folders of a digit.
fn folders(digit: u8) -> impl Iterator<Item = Path> {
    (0..SHARDS).map(move |second| Path::from_iter([FOLDER, &format!("{digit:x}{second:x}")]))
}

/// Whose object it is; nothing where it is none.
fn owner(object: &Path) -> Option<ContentName> {
    let mut parts = object.parts().skip(3);
    let (name, _part) = (parts.next()?, parts.next()?);
    let mut found = ContentName::default();
    hex::decode_to_slice(name.as_ref(), &mut found).ok()?;
    Some(found)
}

impl Backups {
    /// What is there of attachments whose names begin with a digit.
    pub(super) async fn holdings(&self, digit: u8) -> Result<Holdings, BackupError> {
        let mut found: HashMap<ContentName, There> = HashMap::new();
        for folder in folders(digit) {
            let mut listed = self.store.list(Some(&folder));
            while let Some(object) = listed.try_next().await? {
                let Some(name) = owner(&object.location) else { continue };
                // What is not counted is copied once more.
                if found.len() >= CONTENTS_MAX && !found.contains_key(&name) {
                    continue;
                }
                let there = found.entry(name).or_default();
                there.objects = there.objects.saturating_add(1);
                there.bytes = there.bytes.saturating_add(object.size);
            }
        }
        Ok(Holdings(found))
    }

    /// Writes an object of an attachment; durable when this returns.
    pub(super) async fn share(&self, object: &Path, bytes: Bytes) -> Result<(), BackupError> {
        self.store.put(&shared(object), bytes.into()).await?;
        Ok(())
    }

    /// Reads one that must have this length.
    pub(super) async fn shared(&self, object: &Path, len: usize) -> Result<Bytes, BackupError> {
        let path = shared(object);
        let found = match self.store.get(&path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(BackupError::NoObject(path.to_string())),
            Err(error) => return Err(error.into()),
        };
        if usize::try_from(found.meta.size) != Ok(len) {
            return Err(BackupError::BadObject(path.to_string()));
        }
        Ok(found.bytes().await?)
    }

    /// The folder with an attachment's objects, for people.
    pub(super) fn folder_of(object: &Path) -> String {
        let path = shared(object);
        let folder: Path = path.parts().take(4).collect();
        folder.to_string()
    }

    /// Removes the objects that no finished backup names, and says how many. While a backup may be under way none is removed,
    /// since that one may name any of them.
    ///
    /// # Errors
    /// [`BackupError`]; where a list of a backup is missing or damaged nothing more is removed, because it may name anything.
    pub(super) async fn sweep(&self, now_ms: u64) -> Result<u64, BackupError> {
        let kept = self.list().await?;
        let is_finished = |name: &super::Name| kept.iter().any(|(finished, _)| finished == name);
        let under_way = |name: &super::Name| !is_finished(name) && super::retention::may_be_filled(name, now_ms);
        if self.folders().await?.iter().any(under_way) {
            return Ok(0);
        }
        let mut removed = 0_u64;
        for digit in digits() {
            let (mut named, mut read) = (HashSet::new(), HashSet::new());
            for (name, manifest) in &kept {
                let Some(objects) = &manifest.objects else { continue };
                // Where nothing has changed, it is the list of the one before.
                if read.insert(objects.lists.get(usize::from(digit))) {
                    named.extend(Contents::read(self, &name.to_string(), objects, digit).await?.names());
                }
            }
            for folder in folders(digit) {
                let listed = self.store.list(Some(&folder)).map_ok(|object| object.location);
                let unnamed = |object: &Path| {
                    let keep = owner(object).is_none_or(|name| named.contains(&name));
                    std::future::ready(!keep)
                };
                let gone: Vec<_> = listed.try_filter(unnamed).try_collect().await?;
                removed = removed.saturating_add(u64::try_from(gone.len()).unwrap_or(u64::MAX));
                self.delete(gone).await?;
            }
        }
        Ok(removed)
    }
}
