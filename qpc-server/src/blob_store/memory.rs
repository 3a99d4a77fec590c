//! Blobs in memory: for tests and simulation. Gone with the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::FutureExt;
use qpc_proto::{
    id::{AccountId, ConversationName},
    limits::BLOB_PART,
};

use super::{
    Answer, BeginError, Begun, BlobDigest, BlobFigures, BlobStore, Budget, NewUpload, Place, Range, ReadBlobError,
    Sweep, Upload, UploadError, parts,
};
use crate::store::StoreFault;

/// An unfinished upload.
#[derive(Clone)]
struct Unfinished {
    size: u64,
    touched_ms: u64,
    parts: BTreeMap<u32, Bytes>,
}

/// A blob in a conversation.
struct Held {
    account: AccountId,
    added_ms: u64,
}

#[derive(Default)]
struct State {
    closed: bool,
    uploads: Vec<(Upload, Unfinished)>,
    held: Vec<(Place, Held)>,
    contents: Vec<(BlobDigest, Bytes)>,
}

/// See the module's text.
#[derive(Clone, Default)]
pub struct MemoryBlobs(Arc<Mutex<State>>);

impl MemoryBlobs {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn verb<T, E>(&self, verb: impl FnOnce(&mut State) -> Result<T, E> + Send + 'static) -> Answer<T, E>
    where
        T: Send + 'static,
        E: From<StoreFault> + Send + 'static,
    {
        let state = Arc::clone(&self.0);
        async move {
            let mut state: MutexGuard<'_, State> = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.closed { Err(StoreFault::Stopped.into()) } else { verb(&mut state) }
        }
        .boxed()
    }
}

impl State {
    fn size_of(&self, digest: BlobDigest) -> u64 {
        self.content(digest).map_or(0, length)
    }

    fn content(&self, digest: BlobDigest) -> Option<&Bytes> {
        self.contents.iter().find(|(known, _)| *known == digest).map(|(_, content)| content)
    }

    fn holds(&self, place: &Place) -> bool {
        self.held.iter().any(|(held, _)| held == place)
    }

    fn unfinished(&mut self, upload: &Upload) -> Result<&mut Unfinished, UploadError> {
        let found = self.uploads.iter_mut().find(|(known, _)| known == upload);
        found.map(|(_, unfinished)| unfinished).ok_or(UploadError::Unknown)
    }

    fn discard(&mut self, upload: &Upload) {
        self.uploads.retain(|(known, _)| known != upload);
    }

    /// What is charged to somebody.
    fn used(&self, by: impl Fn(AccountId, &ConversationName) -> bool) -> Budget {
        let held = self.held.iter().map(|(place, held)| (held.account, place, self.size_of(place.digest)));
        let uploads = self.uploads.iter().map(|(upload, open)| (upload.account, &upload.place, open.size));
        held.chain(uploads).filter(|(account, place, _)| by(*account, &place.conversation)).fold(
            Budget::default(),
            |sum, (_, _, size)| Budget { bytes: sum.bytes.saturating_add(size), blobs: sum.blobs.saturating_add(1) },
        )
    }

    fn begin(&mut self, new: &NewUpload) -> Result<Begun, BeginError> {
        let NewUpload { upload, size, quota, readable_in, now_ms } = new;
        if self.holds(&upload.place) {
            return Ok(Begun::Complete);
        }
        if let Some((_, open)) = self.uploads.iter_mut().find(|(known, open)| known == upload && open.size == *size) {
            open.touched_ms = *now_ms;
            return Ok(Begun::Parts(contiguous(&open.parts)));
        }
        let other = |known: &Upload| known == upload;
        let before = self.uploads.iter().position(|(known, _)| other(known)).map(|at| self.uploads.remove(at));
        let outcome = self.admit(new);
        if outcome.is_err() {
            self.uploads.extend(before);
            return outcome.map(|()| Begun::Complete);
        }
        let digest = upload.place.digest;
        let known = readable_in.as_ref().is_some_and(|conversation| {
            self.size_of(digest) == *size && self.holds(&Place { conversation: conversation.clone(), digest })
        });
        if known {
            self.held.push((upload.place.clone(), Held { account: upload.account, added_ms: *now_ms }));
            return Ok(Begun::Complete);
        }
        let open = self.uploads.iter().filter(|(known, _)| known.account == upload.account).count();
        if u64::try_from(open).unwrap_or(u64::MAX) >= quota.uploads {
            self.uploads.extend(before);
            return Err(BeginError::TooManyUploads);
        }
        self.uploads.push((upload.clone(), Unfinished { size: *size, touched_ms: *now_ms, parts: BTreeMap::new() }));
        Ok(Begun::Parts(0))
    }

    fn admit(&self, new: &NewUpload) -> Result<(), BeginError> {
        let fits = |used: Budget, most: Budget| {
            used.bytes.checked_add(new.size).is_some_and(|bytes| bytes <= most.bytes) && used.blobs < most.blobs
        };
        if !fits(self.used(|account, _| account == new.upload.account), new.quota.account) {
            return Err(BeginError::AccountQuota);
        }
        if !fits(self.used(|_, conversation| *conversation == new.upload.place.conversation), new.quota.conversation) {
            return Err(BeginError::ConversationQuota);
        }
        Ok(())
    }

    fn finish(&mut self, upload: &Upload, now_ms: u64) -> Result<(), UploadError> {
        if self.holds(&upload.place) {
            self.discard(upload);
            return Ok(());
        }
        let open = self.unfinished(upload)?;
        if contiguous(&open.parts) != parts(open.size) {
            return Err(UploadError::PartsMissing);
        }
        let content: Vec<u8> = open.parts.values().flatten().copied().collect();
        let digest = upload.place.digest;
        if self.content(digest).is_none() {
            self.contents.push((digest, content.into()));
        }
        self.discard(upload);
        self.held.push((upload.place.clone(), Held { account: upload.account, added_ms: now_ms }));
        Ok(())
    }

    fn forget(&mut self) {
        let State { held, contents, .. } = self;
        contents.retain(|(digest, _)| held.iter().any(|(place, _)| place.digest == *digest));
    }
}

fn contiguous(parts: &BTreeMap<u32, Bytes>) -> u32 {
    let row = parts.keys().zip(0..).take_while(|(number, expected)| *number == expected).count();
    u32::try_from(row).unwrap_or(u32::MAX)
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl BlobStore for MemoryBlobs {
    fn places(&self, digest: BlobDigest, size: u64, limit: usize) -> Answer<Vec<ConversationName>, StoreFault> {
        self.verb(move |state| {
            let same = state.size_of(digest) == size;
            let places = state.held.iter().filter(|(place, _)| same && place.digest == digest);
            Ok(places.map(|(place, _)| place.conversation.clone()).take(limit).collect())
        })
    }

    fn begin(&self, new: NewUpload) -> Answer<Begun, BeginError> {
        self.verb(move |state| state.begin(&new))
    }

    fn put_part(&self, upload: Upload, number: u32, data: Bytes, now_ms: u64) -> Answer<bool, UploadError> {
        self.verb(move |state| {
            let open = state.unfinished(&upload)?;
            if super::part_len(open.size, number) != Some(data.len()) {
                return Err(UploadError::PartInvalid);
            }
            open.touched_ms = now_ms;
            let new = !open.parts.contains_key(&number);
            open.parts.entry(number).or_insert(data);
            Ok(new)
        })
    }

    fn part(&self, upload: Upload, number: u32) -> Answer<Bytes, UploadError> {
        self.verb(move |state| state.unfinished(&upload)?.parts.get(&number).cloned().ok_or(UploadError::PartsMissing))
    }

    fn ready(&self, upload: Upload) -> Answer<Option<u64>, UploadError> {
        self.verb(move |state| {
            if state.holds(&upload.place) {
                return Ok(None);
            }
            let open = state.unfinished(&upload)?;
            let complete = contiguous(&open.parts) == parts(open.size);
            if complete { Ok(Some(open.size)) } else { Err(UploadError::PartsMissing) }
        })
    }

    fn finish(&self, upload: Upload, now_ms: u64) -> Answer<(), UploadError> {
        self.verb(move |state| state.finish(&upload, now_ms))
    }

    fn discard(&self, upload: Upload) -> Answer<(), StoreFault> {
        self.verb(move |state| {
            state.discard(&upload);
            Ok(())
        })
    }

    fn read(&self, place: Place, offset: u64, wanted: usize) -> Answer<Range, ReadBlobError> {
        self.verb(move |state| {
            let content = state.content(place.digest).filter(|_| state.holds(&place)).ok_or(ReadBlobError::NotFound)?;
            let from = usize::try_from(offset).ok().filter(|from| *from < content.len()).ok_or(ReadBlobError::Range)?;
            let to = from.saturating_add(wanted.min(BLOB_PART)).min(content.len());
            Ok(Range { size: length(content), data: content.slice(from..to) })
        })
    }

    fn release(&self, upload: Upload) -> Answer<(), StoreFault> {
        self.verb(move |state| {
            state.discard(&upload);
            state.held.retain(|(place, held)| *place != upload.place || held.account != upload.account);
            state.forget();
            Ok(())
        })
    }

    fn sweep(&self, sweep: Sweep) -> Answer<bool, StoreFault> {
        self.verb(move |state| {
            state.uploads.retain(|(_, open)| open.touched_ms >= sweep.uploads_before_ms);
            state.held.retain(|(_, held)| held.added_ms >= sweep.blobs_before_ms);
            state.forget();
            Ok(false)
        })
    }

    fn figures(&self) -> Answer<BlobFigures, StoreFault> {
        self.verb(|state| {
            let sum = |budget: Budget, bytes: u64| Budget {
                bytes: budget.bytes.saturating_add(bytes),
                blobs: budget.blobs.saturating_add(1),
            };
            let blobs = state.contents.iter().map(|(_, content)| length(content)).fold(Budget::default(), sum);
            let stored = |open: &Unfinished| open.parts.values().map(length).sum();
            let uploads = state.uploads.iter().map(|(_, open)| stored(open)).fold(Budget::default(), sum);
            Ok(BlobFigures { blobs, uploads })
        })
    }

    fn close(&self) -> Answer<(), StoreFault> {
        self.verb(|state| {
            state.closed = true;
            Ok(())
        })
    }
}
