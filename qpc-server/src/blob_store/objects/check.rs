//! Verifies that the objects of all blobs are there, with the sizes that they must have; and their bytes, where that is asked
//! for.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{ObjectBlobs, ObjectPlace, folder, object};
use crate::{
    blob_store::{
        sqlite::{self, BlobFault, BlobReport, Elsewhere, ObjectName},
        verbs::part_len,
    },
    store::sqlite::{CheckError, DbKey},
};

impl ObjectBlobs {
    /// Verifies the index at a path and the objects that it names, and changes nothing. A server may run on them. With
    /// `read` all of their bytes are read and compared with the digests. `told` hears how many bytes of how many have been
    /// looked at. Blocks, and is not for a runtime's thread.
    ///
    /// # Errors
    /// [`CheckError`], where it can't even be looked at.
    pub fn check(
        path: &Path,
        key: &DbKey,
        (place, read): (&ObjectPlace, bool),
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<BlobReport, CheckError> {
        // Opening a directory would make it.
        if let ObjectPlace::Directory(directory) = place
            && !directory.exists()
        {
            return Err(CheckError::Place(format!("there is no directory {}", directory.display())));
        }
        let unusable = |error: &dyn std::fmt::Display| CheckError::Place(error.to_string());
        let store = place.open().map_err(|error| unusable(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unusable(&error))?;
        sqlite::check(path, key, Some(&mut Looking { store, runtime, read }), told)
    }
}

struct Looking {
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
    read: bool,
}

impl Elsewhere for Looking {
    fn look(
        &mut self,
        name: ObjectName,
        (size, parts): (u64, u32),
        hasher: &mut blake3::Hasher,
    ) -> Result<Option<BlobFault>, CheckError> {
        let (store, read) = (&self.store, self.read);
        let looked = self.runtime.block_on(async {
            // One question for all of them, where each would be one to a bucket.
            let folder = folder(name).into();
            let listed = store.list(Some(&folder)).map_ok(|found| (found.location, found.size));
            let found: BTreeMap<_, _> = listed.try_collect().await?;
            for part in 0..parts {
                let at = object(name, part);
                let len = part_len(size, part).and_then(|len| u64::try_from(len).ok());
                match found.get(&at) {
                    None => return Ok(Some(BlobFault::NoObject(at.to_string()))),
                    Some(there) if Some(*there) != len => return Ok(Some(BlobFault::ObjectSize(at.to_string()))),
                    Some(_) if read => drop(hasher.update(&store.get(&at).await?.bytes().await?)),
                    Some(_) => {}
                }
            }
            Ok(None)
        });
        looked.map_err(|error: object_store::Error| CheckError::Place(error.to_string()))
    }

    fn reads(&self) -> bool {
        self.read
    }
}
