//! People, places and blobs for the cases.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use qpc_proto::{
    id::{AccountId, ConversationId, ConversationName},
    limits::BLOB_PART,
};

use super::Backend;
use crate::{blob_store::*, store::StoreFault};

/// A time after which an answer that has not come is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Enough for every case that asks about something else.
pub const AMPLE: Quota = Quota {
    account: Budget { bytes: u64::MAX, blobs: u64::MAX },
    conversation: Budget { bytes: u64::MAX, blobs: u64::MAX },
    uploads: u64::MAX,
};

/// Waits for an answer.
///
/// # Panics
/// When it does not come.
pub fn wait<T, E>(answer: Answer<T, E>) -> Result<T, E> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await.expect("no answer") })
}

/// A blob's bytes.
#[derive(Clone)]
pub struct Blob(pub Bytes);

impl Blob {
    /// So many bytes that no blob of another seed has.
    pub fn new(seed: u8, size: usize) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[seed]);
        let mut bytes = vec![0; size];
        hasher.finalize_xof().fill(&mut bytes);
        Self(bytes.into())
    }

    pub fn size(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn digest(&self) -> BlobDigest {
        BlobDigest(*blake3::hash(&self.0).as_bytes())
    }

    pub fn part(&self, number: u32) -> Bytes {
        let from = number as usize * BLOB_PART;
        self.0.slice(from..self.0.len().min(from + BLOB_PART))
    }

    pub fn parts(&self) -> u32 {
        u32::try_from(self.0.len().div_ceil(BLOB_PART)).unwrap()
    }

    pub fn in_place(&self, conversation: &ConversationName) -> Place {
        Place { conversation: conversation.clone(), digest: self.digest() }
    }

    /// The upload of it by an account.
    pub fn by(&self, account: AccountId, conversation: &ConversationName) -> Upload {
        Upload { account, place: self.in_place(conversation) }
    }
}

pub fn account(number: u8) -> AccountId {
    AccountId::new(0, [number; 10])
}

pub fn conversation(number: u8) -> ConversationName {
    ConversationName { domain: "example.org".parse().unwrap(), id: ConversationId::new(0, [number; 10]) }
}

/// A store under test.
pub struct World {
    pub store: Arc<dyn BlobStore>,
    pub now_ms: u64,
    pub quota: Quota,
}

impl World {
    pub fn new(backend: &dyn Backend) -> Self {
        Self::on(backend.open())
    }

    pub fn on(store: Arc<dyn BlobStore>) -> Self {
        Self { store, now_ms: 1_000, quota: AMPLE }
    }

    /// The same store after a restart, where it is persistent.
    pub fn reopened(self, backend: &dyn Backend) -> Self {
        if !backend.persistent() {
            return self;
        }
        wait(self.store.close()).unwrap();
        Self { store: backend.open(), ..self }
    }

    pub fn begin_with(
        &self,
        upload: &Upload,
        size: u64,
        readable_in: Option<&ConversationName>,
    ) -> Result<Begun, BeginError> {
        wait(self.store.begin(NewUpload {
            upload: upload.clone(),
            size,
            quota: self.quota,
            readable_in: readable_in.cloned(),
            now_ms: self.now_ms,
        }))
    }

    pub fn begin(&self, upload: &Upload, size: u64) -> Result<Begun, BeginError> {
        self.begin_with(upload, size, None)
    }

    pub fn put(&self, upload: &Upload, number: u32, data: Bytes) -> Result<(), UploadError> {
        self.put_new(upload, number, data).map(drop)
    }

    /// Tells whether the part was not there.
    pub fn put_new(&self, upload: &Upload, number: u32, data: Bytes) -> Result<bool, UploadError> {
        wait(self.store.put_part(upload.clone(), number, data, self.now_ms)).map(|stored| stored.is_some())
    }

    pub fn put_all(&self, upload: &Upload, blob: &Blob) {
        for number in 0..blob.parts() {
            self.put(upload, number, blob.part(number)).unwrap();
        }
    }

    pub fn ready(&self, upload: &Upload) -> Result<Option<u64>, UploadError> {
        Ok(self.whole(upload)?.map(|whole| whole.size))
    }

    pub fn whole(&self, upload: &Upload) -> Result<Option<Content>, UploadError> {
        wait(self.store.ready(upload.clone()))
    }

    pub fn finish(&self, upload: &Upload) -> Result<(), UploadError> {
        match self.whole(upload)? {
            Some(whole) => self.finish_whole(upload, whole),
            None => Ok(wait(self.store.discard(upload.clone()))?),
        }
    }

    pub fn finish_whole(&self, upload: &Upload, whole: Content) -> Result<(), UploadError> {
        self.finish_until(upload, whole, 0)
    }

    pub fn finish_until(&self, upload: &Upload, whole: Content, until_ms: u64) -> Result<(), UploadError> {
        wait(self.store.finish(upload.clone(), whole, Kept { added_ms: self.now_ms, until_ms }))
    }

    /// A whole upload.
    pub fn upload(&self, account: AccountId, conversation: &ConversationName, blob: &Blob) -> Upload {
        let upload = blob.by(account, conversation);
        assert_eq!(self.begin(&upload, blob.size()), Ok(Begun::Parts(0)));
        self.put_all(&upload, blob);
        assert_eq!(self.ready(&upload), Ok(Some(blob.size())));
        self.finish(&upload).unwrap();
        upload
    }

    pub fn read(&self, place: &Place, offset: u64, length: usize) -> Result<Range, ReadBlobError> {
        wait(self.store.read(place.clone(), offset, length))
    }

    /// Is the whole blob there, to the last bit?
    pub fn holds(&self, conversation: &ConversationName, blob: &Blob) -> bool {
        let place = blob.in_place(conversation);
        let mut read = Vec::new();
        while (read.len() as u64) < blob.size() {
            match self.read(&place, read.len() as u64, BLOB_PART) {
                Ok(range) => {
                    assert_eq!(range.size, blob.size());
                    assert!(!range.data.is_empty());
                    read.extend_from_slice(&range.data);
                }
                Err(ReadBlobError::NotFound) if read.is_empty() => return false,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(read == blob.0, "other bytes came back");
        true
    }

    /// The conversations of a blob, in order.
    pub fn places(&self, blob: &Blob, size: u64) -> Vec<ConversationName> {
        let mut places = wait(self.store.places(blob.digest(), size, 100)).unwrap();
        places.sort();
        places
    }

    pub fn release(&self, upload: &Upload) {
        wait(self.store.release(upload.clone())).unwrap();
    }

    /// Removes what is due, in steps of so many rows, and says how many steps there were.
    pub fn sweep(&self, uploads_before_ms: u64, blobs_before_ms: u64, batch: usize) -> usize {
        for step in 1..10_000 {
            let sweep = Sweep { uploads_before_ms, blobs_before_ms, now_ms: self.now_ms, batch };
            if !wait(self.store.sweep(sweep)).unwrap() {
                return step;
            }
        }
        panic!("sweeping never ends");
    }

    /// Finished blobs and unfinished uploads: how many, and their bytes.
    pub fn figures(&self) -> [(u64, u64); 2] {
        let BlobFigures { blobs, uploads } = wait(self.store.figures()).unwrap();
        [(blobs.blobs, blobs.bytes), (uploads.blobs, uploads.bytes)]
    }

    /// What is left of a budget of a thousand blobs and so many bytes, tried by uploads that are discarded again.
    pub fn room(
        &mut self,
        account: AccountId,
        conversation: &ConversationName,
        of: u64,
    ) -> BTreeMap<&'static str, u64> {
        let probe = BlobDigest([0xee; 32]);
        let upload = Upload { account, place: Place { conversation: conversation.clone(), digest: probe } };
        let mut found = BTreeMap::new();
        let kept = self.quota;
        let budget = Budget { bytes: of, blobs: 1000 };
        for (name, quota) in
            [("account", Quota { account: budget, ..AMPLE }), ("conversation", Quota { conversation: budget, ..AMPLE })]
        {
            self.quota = quota;
            let (mut fits, mut too_much) = (0, of + 1);
            while too_much - fits > 1 {
                let middle = fits + (too_much - fits) / 2;
                if self.begin(&upload, middle).is_ok() {
                    fits = middle;
                } else {
                    too_much = middle;
                }
                wait(self.store.discard(upload.clone())).unwrap();
            }
            found.insert(name, fits);
        }
        self.quota = kept;
        found
    }
}

/// Compares what [`World::room`] has found.
pub fn assert_taken(world: &mut World, account: AccountId, conversation: &ConversationName, by: u64, there: u64) {
    const OF: u64 = 1 << 24;
    let room = world.room(account, conversation, OF);
    assert_eq!(
        (OF - room["account"], OF - room["conversation"]),
        (by, there),
        "taken by the account, in the conversation"
    );
}

/// What every refusal of a closed store is.
pub fn is_stopped(fault: &StoreFault) -> bool {
    *fault == StoreFault::Stopped
}
