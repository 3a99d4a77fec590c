//! Digests of uploads whose parts come in order, so that these need not be read again when all are there. What is forgotten
//! is read from the store: this only saves work.

use std::{
    num::NonZero,
    sync::{Mutex, MutexGuard, PoisonError},
};

use blake3::Hasher;
use bytes::Bytes;
use lru::LruCache;

use crate::blob_store::{BlobDigest, Upload};

/// The bytes of an upload so far.
struct Begun {
    hasher: Box<Hasher>,
    /// The next part; one that is stored out of order is left to the store.
    next: u32,
}

/// Digests under way, the least recently used forgotten first; about 2 KiB each.
pub(super) struct Digests(Mutex<LruCache<Upload, Begun>>);

impl Digests {
    pub(super) fn new(kept: usize) -> Self {
        Self(Mutex::new(LruCache::new(NonZero::new(kept).unwrap_or(NonZero::<usize>::MIN))))
    }

    /// Nothing of the upload is stored.
    pub(super) fn begin(&self, upload: Upload) {
        self.all().put(upload, Begun { hasher: Box::default(), next: 0 });
    }

    /// What was worked out counts no more.
    pub(super) fn forget(&self, upload: &Upload) {
        self.all().pop(upload);
    }

    /// A part is stored: these bytes, or others that came before.
    pub(super) fn add(&self, upload: &Upload, number: u32, data: Option<&Bytes>) {
        // Taken out meanwhile: hashing takes a while, and a second copy of the part must not be added too.
        let Some(mut begun) = self.all().pop(upload) else { return };
        if let Some(data) = data.filter(|_| begun.next == number) {
            begun.hasher.update(data);
            begun.next = begun.next.saturating_add(1);
        }
        // One that came before is known, and one that comes too early breaks the row: then nothing is known any more.
        if number < begun.next {
            self.all().put(upload.clone(), begun);
        }
    }

    /// The digest of an upload of so many parts, if all of them were added.
    pub(super) fn take(&self, upload: &Upload, parts: u32) -> Option<BlobDigest> {
        let begun = self.all().pop(upload)?;
        (begun.next == parts).then(|| BlobDigest(*begun.hasher.finalize().as_bytes()))
    }

    fn all(&self) -> MutexGuard<'_, LruCache<Upload, Begun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
