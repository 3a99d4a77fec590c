//! Where the objects of attachments go in a restoration: a directory or a bucket that has none yet. An object beside them says
//! that they are being brought back, so that what an interrupted restoration has left is removed by the next.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::BackupError;
use crate::blob_store::objects::ObjectPlace;

/// Is there while objects are brought back.
const MARK: &str = "restoring";

/// A place that is being filled.
pub(super) struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
}

impl Target {
    /// Begins, where there are no objects but those of an interrupted restoration.
    pub(super) async fn begin(place: &ObjectPlace) -> Result<Self, BackupError> {
        let target = Self { store: place.open()? };
        match target.store.head(&mark()).await {
            Ok(_) => target.clear().await?,
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(BackupError::Objects(error)),
        }
        if !target.folders().await?.is_empty() {
            return Err(BackupError::HasObjects(place.shown()));
        }
        target.store.put(&mark(), bytes::Bytes::new().into()).await.map_err(BackupError::Objects)?;
        Ok(target)
    }

    /// All of them are there: what follows finds them and removes nothing.
    pub(super) async fn end(&self) -> Result<(), BackupError> {
        self.store.delete(&mark()).await.map_err(BackupError::Objects)
    }

    /// Removes what was brought, and the mark last.
    pub(super) async fn clear(&self) -> Result<(), BackupError> {
        for folder in self.folders().await? {
            let listed = self.store.list(Some(&folder)).map_ok(|object| object.location).boxed();
            let mut removed = self.store.delete_stream(listed);
            while let Some(outcome) = removed.next().await {
                match outcome {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(BackupError::Objects(error)),
                }
            }
        }
        match self.end().await {
            Err(BackupError::Objects(object_store::Error::NotFound { .. })) => Ok(()),
            outcome => outcome,
        }
    }

    /// The folders that hold objects of attachments. What else is there is none of ours.
    async fn folders(&self) -> Result<Vec<Path>, BackupError> {
        let listed = self.store.list_with_delimiter(None).await.map_err(BackupError::Objects)?;
        let ours = |path: &Path| {
            path.filename().is_some_and(|name| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        let mut found = Vec::new();
        for folder in listed.common_prefixes.into_iter().filter(ours) {
            // A directory may be left that is empty.
            if self.store.list(Some(&folder)).next().await.transpose().map_err(BackupError::Objects)?.is_some() {
                found.push(folder);
            }
        }
        Ok(found)
    }
}

fn mark() -> Path {
    Path::from(MARK)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_place_with_objects_is_refused_and_one_that_was_being_filled_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let place = ObjectPlace::Directory(dir.path().into());
        // What is none of ours is in nobody's way, and stays.
        fs::create_dir_all(dir.path().join("lost+found")).unwrap();
        fs::create_dir_all(dir.path().join("00/11")).unwrap();
        let target = Target::begin(&place).await.unwrap();
        let object = Path::from("ab/cd/name/0");
        target.store.put(&object, "bytes".into()).await.unwrap();
        let again = Target::begin(&place).await.unwrap();
        assert!(again.store.head(&object).await.is_err(), "what was left is gone");
        again.store.put(&object, "bytes".into()).await.unwrap();
        again.end().await.unwrap();
        assert!(matches!(Target::begin(&place).await, Err(BackupError::HasObjects(_))));
        assert!(again.store.head(&object).await.is_ok());
        // Given up.
        again.clear().await.unwrap();
        assert!(Target::begin(&place).await.is_ok() && dir.path().join("lost+found").exists());
    }
}
