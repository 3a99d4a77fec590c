//! The adapter that keeps the bytes of blobs as objects, in a directory or in a bucket, and all else in the encrypted file
//! of `blob_store/sqlite`.
//!
//! An object is durable before its row is, and is never written twice: who comes second finds it there. Rows go before
//! objects: a content of which only objects are left keeps its row until [`BlobStore::sweep`] has removed them, so that a
//! kill at any moment leaves nothing that nobody knows of. What the objects are called is random; no client has a word in
//! it. Their bytes are what clients sent, which is ciphertext; they are not encrypted once more.

mod check;
mod place;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use qpc_proto::id::{AccountId, ConversationName};

pub use self::place::{ObjectPlace, S3Settings, SecretText};
use super::{
    Answer, BeginError, Begun, BlobDigest, BlobFigures, BlobStore, Budget, Content, Kept, NewUpload, Place, Range,
    ReadBlobError, Sweep, Upload, UploadError,
    dispatch::Transact,
    part_len,
    sqlite::{ObjectName, SqliteBlobs, StoredBlob},
    tables::{BlobTables, Body},
    verbs,
};
use crate::store::{
    StoreFault,
    sqlite::{DbKey, Fatal, OpenError, Options},
};

/// Why blobs in objects are not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenObjectsError {
    /// The file with the index.
    #[error(transparent)]
    Index(#[from] OpenError),
    /// The directory or bucket.
    #[error("the place for objects can't be used: {0}")]
    Place(String),
}

/// Blobs in objects.
pub struct ObjectBlobs {
    index: Arc<SqliteBlobs>,
    objects: Arc<Objects>,
}

impl ObjectBlobs {
    /// Opens the index, making it where there is none, and the place. Blocks for as long as that takes; asks a bucket
    /// nothing yet.
    ///
    /// # Errors
    /// [`OpenObjectsError`], which says what to do.
    pub fn open(path: &Path, key: DbKey, options: Options, place: &ObjectPlace) -> Result<Self, OpenObjectsError> {
        let objects = Objects { store: place.open()?, in_flight: Mutex::default(), fatal: options.on_fatal.clone() };
        let index = SqliteBlobs::open_index(path, key, options)?;
        Ok(Self { index: Arc::new(index), objects: Arc::new(objects) })
    }
}

/// The objects, and which of them are being written.
struct Objects {
    store: Arc<dyn ObjectStore>,
    /// How many parts of a content are on their way: its objects are not removed meanwhile.
    in_flight: Mutex<BTreeMap<ObjectName, usize>>,
    fatal: Fatal,
}

/// A part is on its way.
struct InFlight {
    objects: Arc<Objects>,
    name: ObjectName,
}

impl InFlight {
    fn new(objects: &Arc<Objects>, name: ObjectName) -> Self {
        let mut parts = objects.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let count = parts.entry(name).or_default();
        *count = count.saturating_add(1);
        drop(parts);
        Self { objects: Arc::clone(objects), name }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut parts = self.objects.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = parts.get_mut(&self.name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                parts.remove(&self.name);
            }
        }
    }
}

/// The folder of a content's objects.
fn folder(name: ObjectName) -> String {
    let hex = hex::encode(name.0);
    let (first, second) = (hex.get(..2).unwrap_or_default(), hex.get(2..4).unwrap_or_default());
    format!("{first}/{second}/{hex}")
}

/// The object of a part.
fn object(name: ObjectName, number: u32) -> object_store::path::Path {
    format!("{}/{number}", folder(name)).into()
}

/// The objects of a blob, in the order of their bytes, with their lengths.
pub(crate) fn objects_of(blob: &StoredBlob) -> impl Iterator<Item = (object_store::path::Path, usize)> {
    let (name, size) = (ObjectName(blob.name), blob.size);
    (0..).map_while(move |number| Some((object(name, number), part_len(size, number)?)))
}

impl Objects {
    /// Makes a part durable, and says so. One that is there stays as it is.
    async fn put(&self, name: ObjectName, number: u32, data: Bytes) -> Result<bool, StoreFault> {
        let (object, len) = (object(name, number), data.len());
        match self.store.put_opts(&object, data.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            // Its row was not written: the process ended, or another request for the same part is on its way.
            Err(object_store::Error::AlreadyExists { .. }) => {
                let there = self.store.head(&object).await.map_err(|error| self.fault(&error))?;
                let whole = usize::try_from(there.size) == Ok(len);
                if whole { Ok(false) } else { Err(StoreFault::Engine("a stored object has another size".into())) }
            }
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// Bytes of a part; `None` where there is no such object.
    async fn get(
        &self,
        name: ObjectName,
        number: u32,
        range: std::ops::Range<usize>,
    ) -> Result<Option<Bytes>, StoreFault> {
        let bytes = |at: usize| u64::try_from(at).unwrap_or(u64::MAX);
        let wanted = range.len();
        match self.store.get_range(&object(name, number), bytes(range.start)..bytes(range.end)).await {
            Ok(data) if data.len() == wanted => Ok(Some(data)),
            Ok(_) => Err(StoreFault::Engine("a stored object is too short".into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// Removes about so many objects of a content. Says whether none is left.
    async fn remove(&self, name: ObjectName, limit: usize) -> Result<bool, StoreFault> {
        if self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&name) {
            return Ok(false);
        }
        let listed = self.store.list(Some(&folder(name).into())).take(limit.saturating_add(1));
        let found: Vec<_> = listed.try_collect().await.map_err(|error| self.fault(&error))?;
        for object in found.iter().take(limit) {
            match self.store.delete(&object.location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.fault(&error)),
            }
        }
        Ok(found.len() <= limit)
    }

    /// What an error is to a caller. Its text may name objects, which is for the trace alone.
    fn fault(&self, error: &object_store::Error) -> StoreFault {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(one) = cause {
            if let Some(io) = one.downcast_ref::<std::io::Error>() {
                match io.kind() {
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => return StoreFault::Full,
                    // Nothing is known of the disk any more.
                    _ if io.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                        (self.fatal)("an object could not be stored or read: the disk failed");
                    }
                    _ => {}
                }
            }
            cause = one.source();
        }
        tracing::debug!(%error, "the object store failed");
        StoreFault::Engine("the object store failed".into())
    }
}

impl BlobStore for ObjectBlobs {
    fn places(&self, digest: BlobDigest, size: u64, limit: usize) -> Answer<Vec<ConversationName>, StoreFault> {
        self.index.places(digest, size, limit)
    }

    fn begin(&self, new: NewUpload) -> Answer<Begun, BeginError> {
        self.index.begin(new)
    }

    fn put_part(&self, upload: Upload, number: u32, data: Bytes, now_ms: u64) -> Answer<Option<Content>, UploadError> {
        let (index, objects, len) = (Arc::clone(&self.index), Arc::clone(&self.objects), data.len());
        Box::pin(async move {
            let mut before = index.slot(upload.clone(), number, len).await?;
            let (in_flight, (content, name, stored)) = loop {
                // Whoever removes the objects of this content from now on knows that one is coming; unless it was
                // another upload's by then.
                let in_flight = InFlight::new(&objects, before.1);
                let now = index.slot(upload.clone(), number, len).await?;
                if now.0 == before.0 {
                    break (in_flight, now);
                }
                before = now;
            };
            let ours = !stored && objects.put(name, number, data).await?;
            fail::fail_point!("blobs::object_written");
            let put = move |tables: &mut dyn BlobTables| {
                verbs::put_part(tables, &upload, number, (Some(content), Body::Elsewhere(len)), now_ms)
            };
            let new = index.write(0, put).await;
            drop(in_flight);
            Ok(new?.filter(|_| ours))
        })
    }

    fn part(&self, upload: Upload, number: u32) -> Answer<(u64, Bytes), UploadError> {
        let (index, objects) = (Arc::clone(&self.index), Arc::clone(&self.objects));
        Box::pin(async move {
            let (name, size, len) = index.part_at(upload.clone(), number).await?;
            match objects.get(name, number, 0..len).await? {
                Some(data) => Ok((size, data)),
                // Removed meanwhile, with the upload; or lost.
                None => index.part_at(upload, number).await.and(Err(lost().into())),
            }
        })
    }

    fn ready(&self, upload: Upload) -> Answer<Option<Content>, UploadError> {
        self.index.ready(upload)
    }

    fn finish(&self, upload: Upload, whole: Content, kept: Kept) -> Answer<(), UploadError> {
        self.index.finish(upload, whole, kept)
    }

    fn discard(&self, upload: Upload) -> Answer<(), StoreFault> {
        self.index.discard(upload)
    }

    fn read(&self, place: Place, offset: u64, length: usize) -> Answer<Range, ReadBlobError> {
        let (index, objects) = (Arc::clone(&self.index), Arc::clone(&self.objects));
        Box::pin(async move {
            let (name, blob, len) = index.range_at(place.clone(), offset, length).await?;
            let mut read = Vec::with_capacity(2);
            for piece in verbs::pieces(offset, len) {
                match objects.get(name, piece.number, piece.range).await? {
                    Some(data) => read.push(data),
                    // Removed meanwhile, with the blob; or lost.
                    None => return index.range_at(place, offset, length).await.and(Err(lost().into())),
                }
            }
            Ok(Range { size: blob.size, kept: blob.kept, data: verbs::joined(read) })
        })
    }

    fn release(&self, upload: Upload) -> Answer<(), StoreFault> {
        self.index.release(upload)
    }

    fn sweep(&self, sweep: Sweep) -> Answer<bool, StoreFault> {
        let (index, objects) = (Arc::clone(&self.index), Arc::clone(&self.objects));
        Box::pin(async move {
            let batch = sweep.batch.max(1);
            let rows = index.sweep(sweep).await?;
            let left = index.objects_left(batch).await?;
            let mut gone = Vec::new();
            for (content, name) in &left {
                if objects.remove(*name, batch).await? {
                    gone.push(*content);
                }
            }
            fail::fail_point!("blobs::objects_removed");
            // What is in flight is no reason to come again at once.
            let more = rows || left.len() >= batch && !gone.is_empty();
            if !gone.is_empty() {
                index.forget(gone).await?;
            }
            Ok(more)
        })
    }

    fn figures(&self) -> Answer<BlobFigures, StoreFault> {
        self.index.figures()
    }

    fn used(&self, account: AccountId) -> Answer<Budget, StoreFault> {
        self.index.used(account)
    }

    fn close(&self) -> Answer<(), StoreFault> {
        self.index.close()
    }
}

/// A part whose row is there and whose object is not.
fn lost() -> StoreFault {
    StoreFault::Engine("an object is missing".into())
}

#[cfg(test)]
mod tests;
