//! Bringing back the bytes of attachments that are objects, or looking whether that could be done: each is compared with its
//! digest, which the restored database has.

use std::path::Path;

use futures_util::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{
    BackupError, Backups,
    attachments::AT_ONCE,
    contents::{CONTENTS_MAX, Contents, digits},
    manifest::ObjectsCopy,
};
use crate::{
    blob_store::{
        objects::objects_of,
        sqlite::{Catalogue, Losing, StoredBlob},
    },
    store::sqlite::DbKey,
};

/// What becomes of attachments whose objects are missing or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damaged {
    /// Nothing is brought back.
    Refused,
    /// The rest is brought back.
    LeftOut,
}

/// Goes through all attachments that the database at a path names, which from then on names those alone that are there. Gives
/// how many are not. `told` hears the bytes of each that is done.
pub(super) async fn bring_back(
    (backups, backup, objects): (&Backups, &str, &ObjectsCopy),
    (database, key): (&Path, &DbKey),
    (into, damaged): (Option<&dyn ObjectStore>, Damaged),
    told: &mut dyn FnMut(u64),
) -> Result<u64, BackupError> {
    let losing = Losing::begin(database, key).await?;
    let catalogue = Catalogue::open(database, key)?;
    let mut left_out = 0_u64;
    for digit in digits() {
        let contents = Contents::read(backups, backup, objects, digit).await?;
        let blobs = catalogue.shard(digit, CONTENTS_MAX)?;
        // Those that are not in the list were removed from the server while the backup was made.
        let (listed, mut gone): (Vec<_>, Vec<_>) =
            blobs.into_iter().partition(|blob| contents.has(&blob.name, blob.size));
        let mut done = futures_util::stream::iter(listed)
            .map(|blob| async move { (bring(backups, &blob, into).await, blob) })
            .buffered(AT_ONCE);
        while let Some((outcome, blob)) = done.next().await {
            told(blob.size);
            match outcome {
                Ok(()) => {}
                Err(BackupError::NoObject(_) | BackupError::BadObject(_)) if damaged == Damaged::LeftOut => {
                    gone.push(blob);
                }
                Err(error) => return Err(error),
            }
        }
        left_out = left_out.saturating_add(u64::try_from(gone.len()).unwrap_or(u64::MAX));
        losing.lose(&gone).await?;
    }
    losing.end().await?;
    Ok(left_out)
}

/// Reads one, part by part, and compares its digest.
async fn bring(backups: &Backups, blob: &StoredBlob, into: Option<&dyn ObjectStore>) -> Result<(), BackupError> {
    let mut hasher = blake3::Hasher::new();
    let mut folder = String::new();
    for (object, len) in objects_of(blob) {
        let bytes = backups.shared(&object, len).await?;
        hasher.update(&bytes);
        if folder.is_empty() {
            folder = Backups::folder_of(&object);
        }
        if let Some(into) = into {
            into.put(&object, bytes.into()).await.map_err(BackupError::Objects)?;
        }
    }
    if *hasher.finalize().as_bytes() == blob.digest { Ok(()) } else { Err(BackupError::BadObject(folder)) }
}
