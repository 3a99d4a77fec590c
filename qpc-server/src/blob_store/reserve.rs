//! Keeps room on the disk for messages: blobs are refused, as on a full disk, before they have used it up.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use qpc_proto::id::{AccountId, ConversationName};
use tokio::task::spawn_blocking;

use super::{
    Answer, BeginError, Begun, BlobDigest, BlobFigures, BlobStore, Budget, Content, Kept, NewUpload, Place, Range,
    ReadBlobError, Sweep, Upload, UploadError,
};
use crate::store::StoreFault;

/// A store of blobs that takes nothing while less than so many bytes are free on the disk with a directory.
pub struct Reserved {
    blobs: Arc<dyn BlobStore>,
    directory: PathBuf,
    bytes: u64,
}

impl Reserved {
    /// Blobs that are kept in this directory, or on its disk.
    #[must_use]
    pub fn new(blobs: Arc<dyn BlobStore>, directory: PathBuf, bytes: u64) -> Self {
        Self { blobs, directory, bytes }
    }

    fn guarded<T, E>(&self, verb: impl FnOnce(&dyn BlobStore) -> Answer<T, E> + Send + 'static) -> Answer<T, E>
    where
        T: Send + 'static,
        E: From<StoreFault> + Send + 'static,
    {
        let (blobs, directory, bytes) = (Arc::clone(&self.blobs), self.directory.clone(), self.bytes);
        async move {
            // A file system may hang; sessions must not.
            match spawn_blocking(move || has_room(&directory, bytes)).await {
                Ok(false) => Err(StoreFault::Full.into()),
                Ok(true) | Err(_) => verb(&*blobs).await,
            }
        }
        .boxed()
    }
}

/// Is there room? Where the system does not say, the disk's own refusal is left.
fn has_room(directory: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(directory).map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes)
}

impl BlobStore for Reserved {
    fn begin(&self, new: NewUpload) -> Answer<Begun, BeginError> {
        self.guarded(move |blobs| blobs.begin(new))
    }

    fn put_part(&self, upload: Upload, number: u32, data: Bytes, now_ms: u64) -> Answer<Option<Content>, UploadError> {
        self.guarded(move |blobs| blobs.put_part(upload, number, data, now_ms))
    }

    fn places(&self, digest: BlobDigest, size: u64, limit: usize) -> Answer<Vec<ConversationName>, StoreFault> {
        self.blobs.places(digest, size, limit)
    }

    fn part(&self, upload: Upload, number: u32) -> Answer<(u64, Bytes), UploadError> {
        self.blobs.part(upload, number)
    }

    fn ready(&self, upload: Upload) -> Answer<Option<Content>, UploadError> {
        self.blobs.ready(upload)
    }

    fn finish(&self, upload: Upload, whole: Content, kept: Kept) -> Answer<(), UploadError> {
        self.blobs.finish(upload, whole, kept)
    }

    fn discard(&self, upload: Upload) -> Answer<(), StoreFault> {
        self.blobs.discard(upload)
    }

    fn read(&self, place: Place, offset: u64, length: usize) -> Answer<Range, ReadBlobError> {
        self.blobs.read(place, offset, length)
    }

    fn release(&self, upload: Upload) -> Answer<(), StoreFault> {
        self.blobs.release(upload)
    }

    fn sweep(&self, sweep: Sweep) -> Answer<bool, StoreFault> {
        self.blobs.sweep(sweep)
    }

    fn figures(&self) -> Answer<BlobFigures, StoreFault> {
        self.blobs.figures()
    }

    fn used(&self, account: AccountId) -> Answer<Budget, StoreFault> {
        self.blobs.used(account)
    }

    fn close(&self) -> Answer<(), StoreFault> {
        self.blobs.close()
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::limits::BLOB_PART;

    use super::{super::memory::MemoryBlobs, *};
    use crate::blob_store::conformance::world::{Blob, World, account, conversation};

    /// More than a disk has.
    const ALL: u64 = u64::MAX;

    #[test]
    fn where_messages_need_the_room_nothing_is_taken_and_everything_is_read() {
        let blobs: Arc<dyn BlobStore> = Arc::new(MemoryBlobs::new());
        let reserved = |bytes| World::on(Arc::new(Reserved::new(Arc::clone(&blobs), std::env::temp_dir(), bytes)));
        let (blob, other) = (Blob::new(1, BLOB_PART + 10), Blob::new(2, 10));
        let upload = blob.by(account(1), &conversation(1));
        let roomy = reserved(0);
        roomy.begin(&upload, blob.size()).unwrap();
        roomy.put(&upload, 0, blob.part(0)).unwrap();
        let tight = reserved(ALL);
        let begun = tight.begin(&other.by(account(1), &conversation(1)), other.size());
        assert_eq!(begun, Err(BeginError::Fault(StoreFault::Full)));
        assert_eq!(tight.put(&upload, 1, blob.part(1)), Err(UploadError::Fault(StoreFault::Full)));
        // What is there is not lost, and goes on once there is room.
        assert_eq!(roomy.begin(&upload, blob.size()), Ok(Begun::Parts(1)));
        roomy.put(&upload, 1, blob.part(1)).unwrap();
        tight.finish(&upload).unwrap();
        assert!(tight.holds(&conversation(1), &blob));
    }
}
