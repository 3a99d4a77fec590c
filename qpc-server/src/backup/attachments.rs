//! Copying the bytes of attachments into a place of backups, where they are objects.
//!
//! After the databases: whatever the copied one names is there now, or was removed since. Objects are immutable, so that those
//! which the place has already are not read again.

use std::{path::Path, sync::Arc};

use futures_util::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{
    BackupError, Backups,
    contents::{CONTENTS_MAX, Contents, digits},
    manifest::ObjectsCopy,
};
use crate::{
    blob_store::{
        objects::objects_of,
        sqlite::{Catalogue, StoredBlob},
    },
    store::sqlite::DbKey,
};

/// Attachments that are on their way at once, each with one part in memory.
pub(super) const AT_ONCE: usize = 8;

/// How a copy ended.
enum Outcome {
    /// It was there before.
    Had,
    /// It is there now.
    Copied,
    /// The server does not have all of it.
    Gone,
}

/// Copies those that are not there yet, and writes the lists. `told` hears the bytes of each that is done. Says how many the
/// server should have and does not.
pub(super) async fn copy(
    (backups, backup): (&Backups, &str),
    (database, key): (&Path, &DbKey),
    live: Arc<dyn ObjectStore>,
    told: &mut dyn FnMut(u64),
) -> Result<(ObjectsCopy, u64), BackupError> {
    let (mut copy, mut lost) = (ObjectsCopy::default(), 0_u64);
    let catalogue = Catalogue::open(database, key)?;
    for digit in digits() {
        let holdings = backups.holdings(digit).await?;
        let blobs = catalogue.shard(digit, CONTENTS_MAX.saturating_add(1))?;
        if blobs.len() > CONTENTS_MAX {
            return Err(BackupError::Attachments { max: CONTENTS_MAX });
        }
        let mut contents = Contents::default();
        let mut done = futures_util::stream::iter(&blobs)
            .map(|blob| {
                let had = holdings.has(blob);
                let live = &live;
                async move { Ok((blob, if had { Outcome::Had } else { bring(backups, &**live, blob).await? })) }
            })
            .buffered(AT_ONCE);
        while let Some(outcome) = done.next().await {
            let (blob, outcome): (&StoredBlob, Outcome) = outcome.map_err(|error: BackupError| error)?;
            told(blob.size);
            match outcome {
                // Removed meanwhile, as its row was; or lost.
                Outcome::Gone => {
                    lost = lost.saturating_add(u64::from(catalogue.has(blob)?));
                    continue;
                }
                Outcome::Copied => copy.own_bytes = copy.own_bytes.saturating_add(blob.size),
                Outcome::Had => {}
            }
            copy.count = copy.count.saturating_add(1);
            copy.bytes = copy.bytes.saturating_add(blob.size);
            contents.add(blob.name, blob.size);
        }
        copy.lists.push(contents.write(backups, backup, digit).await?);
    }
    Ok((copy, lost))
}

/// Copies one, part by part.
async fn bring(backups: &Backups, live: &dyn ObjectStore, blob: &StoredBlob) -> Result<Outcome, BackupError> {
    for (object, len) in objects_of(blob) {
        let bytes = match live.get(&object).await {
            Ok(found) => found.bytes().await.map_err(BackupError::Objects)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(Outcome::Gone),
            Err(error) => return Err(BackupError::Objects(error)),
        };
        if bytes.len() != len {
            return Ok(Outcome::Gone);
        }
        backups.share(&object, bytes).await?;
    }
    Ok(Outcome::Copied)
}
