//! Blobs: who may put ciphertext into a conversation, who may read it, and that it is what its name says.
//!
//! The rules of conversations come from [`crate::store`], bytes and quotas lie in [`crate::blob_store`]. Each verb asks
//! first whether the actor is in the conversation now, so that nothing outlives a membership or a device.

mod copies;
mod digests;

use std::{sync::Arc, time::Duration};

use futures_util::TryFutureExt;
use qpc_proto::{
    id::ConversationName,
    limits::{BLOB_MAX, BLOB_PART},
    v1,
};

use self::{copies::Copies, digests::Digests};
use crate::{
    blob_store::{
        BeginError, Begun, BlobDigest, BlobStore, Budget, Content, Kept, NewUpload, Place, Quota, ReadBlobError,
        Upload, UploadError,
    },
    clock::Clock,
    field::{self, FieldError},
    metrics::{
        Metrics,
        labels::{BlobRejection, Direction},
    },
    policy::limits::BlobLimits,
    remote::RemoteError,
    store::{Actor, Presence, ReadError, Store, StoreFault},
};

/// Conversations in which a blob is looked for that somebody puts into another one.
const PLACES_MAX: usize = 16;

/// Why a request about a blob was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// A field of it is not what the protocol says.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The actor is not in such a conversation, or it has no such blob.
    #[error("no such blob")]
    NotFound,
    /// The acting device was revoked.
    #[error("the device no longer exists")]
    DeviceGone,
    /// Of two people one has not accepted.
    #[error("the other person has not accepted yet")]
    ContactPending,
    /// It is larger than this server takes.
    #[error("the blob is too large")]
    TooLarge,
    /// There is no room for it, or for one more upload.
    #[error(transparent)]
    Begin(BeginError),
    /// The upload does not go on.
    #[error(transparent)]
    Upload(UploadError),
    /// The bytes are not those of the digest: the upload is thrown away.
    #[error("the digest differs")]
    DigestDiffers,
    /// The range is not one of the blob.
    #[error("the range is not in the blob")]
    Range,
    /// The domain that keeps it gave nothing.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A store failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<ReadError> for BlobError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::NotFound,
            ReadError::DeviceGone => Self::DeviceGone,
            ReadError::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<BeginError> for BlobError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Fault(fault) => Self::Fault(fault),
            error => Self::Begin(error),
        }
    }
}

impl From<UploadError> for BlobError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Fault(fault) => Self::Fault(fault),
            error => Self::Upload(error),
        }
    }
}

impl From<ReadBlobError> for BlobError {
    fn from(error: ReadBlobError) -> Self {
        match error {
            ReadBlobError::NotFound => Self::NotFound,
            ReadBlobError::Range => Self::Range,
            ReadBlobError::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl BlobError {
    /// Under what it is counted; nothing where a store or another domain failed.
    const fn rejection(&self) -> Option<BlobRejection> {
        Some(match self {
            Self::Field(_) | Self::Upload(UploadError::PartInvalid) | Self::Range => BlobRejection::Malformed,
            Self::NotFound | Self::DeviceGone | Self::ContactPending => BlobRejection::Stranger,
            Self::TooLarge => BlobRejection::Size,
            Self::Begin(BeginError::AccountQuota) => BlobRejection::AccountQuota,
            Self::Begin(BeginError::ConversationQuota) => BlobRejection::ConversationQuota,
            Self::Begin(_) => BlobRejection::Uploads,
            Self::Upload(_) => BlobRejection::Upload,
            Self::DigestDiffers => BlobRejection::Digest,
            Self::Remote(_) | Self::Fault(_) => return None,
        })
    }
}

/// Everything about blobs.
pub struct Blobs {
    store: Arc<dyn Store>,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    max_size: u64,
    quota: Quota,
    kept: Duration,
    digests: Digests,
    copies: Option<Copies>,
}

impl Blobs {
    /// On the stores that keep conversations and blobs.
    #[must_use]
    pub fn new(
        (store, blobs): (Arc<dyn Store>, Arc<dyn BlobStore>),
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        limits: &BlobLimits,
    ) -> Self {
        let quota = Quota {
            account: Budget { bytes: limits.account_bytes, blobs: limits.account_blobs },
            conversation: Budget { bytes: limits.conversation_bytes, blobs: limits.conversation_blobs },
            uploads: limits.uploads,
        };
        let max_size = limits.max_size.min(BLOB_MAX);
        let digests = Digests::new(limits.digests_kept);
        Self { store, blobs, clock, metrics, max_size, quota, kept: limits.kept, digests, copies: None }
    }

    /// Begins an upload, or says how far it came.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn begin(&self, actor: &Actor, request: v1::BeginUpload) -> Result<v1::BeginUploadAnswer, BlobError> {
        let begun = self.try_begin(actor, request).inspect_err(|error| self.reject(error)).await?;
        Ok(match begun {
            Begun::Complete => v1::BeginUploadAnswer { parts: 0, complete: true },
            Begun::Parts(parts) => v1::BeginUploadAnswer { parts, complete: false },
        })
    }

    async fn try_begin(&self, actor: &Actor, request: v1::BeginUpload) -> Result<Begun, BlobError> {
        let place = place(request.blob.as_ref())?;
        if request.size == 0 {
            return Err(FieldError::Malformed("size").into());
        }
        if request.size > self.max_size {
            return Err(BlobError::TooLarge);
        }
        self.may_send(actor, &place.conversation).await?;
        let readable_in = self.readable_in(actor, &place, request.size).await?;
        let upload = Upload { account: actor.account(), place };
        let (quota, now_ms) = (self.quota, self.clock.unix_ms());
        Ok(self.blobs.begin(NewUpload { upload, size: request.size, quota, readable_in, now_ms }).await?)
    }

    /// Another conversation with this blob, in which the actor is as well.
    async fn readable_in(
        &self,
        actor: &Actor,
        place: &Place,
        size: u64,
    ) -> Result<Option<ConversationName>, BlobError> {
        for name in self.blobs.places(place.digest, size, PLACES_MAX).await? {
            match self.store.presence(actor, &name).await {
                Ok(_) => return Ok(Some(name)),
                Err(ReadError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Stores a part.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn put_part(&self, actor: &Actor, request: v1::UploadPart) -> Result<(), BlobError> {
        self.try_put_part(actor, request).inspect_err(|error| self.reject(error)).await
    }

    async fn try_put_part(&self, actor: &Actor, request: v1::UploadPart) -> Result<(), BlobError> {
        let v1::UploadPart { blob, number, data } = request;
        let upload = Upload { account: actor.account(), place: place(blob.as_ref())? };
        field::at_most(data.len(), BLOB_PART, "data")?;
        self.may_send(actor, &upload.place.conversation).await?;
        let _transfer = self.metrics.transfer(Direction::In);
        let stored = self.blobs.put_part(upload, number, data.clone(), self.clock.unix_ms()).await?;
        self.metrics.blob_bytes(Direction::In, data.len());
        if let Some(content) = stored {
            self.digests.add(content, number, &data);
        }
        Ok(())
    }

    /// All parts are there: the blob can be read from here on, if they are what its name says.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn finish(&self, actor: &Actor, request: v1::FinishUpload) -> Result<(), BlobError> {
        self.try_finish(actor, request).inspect_err(|error| self.reject(error)).await
    }

    async fn try_finish(&self, actor: &Actor, request: v1::FinishUpload) -> Result<(), BlobError> {
        let upload = Upload { account: actor.account(), place: place(request.blob.as_ref())? };
        self.may_send(actor, &upload.place.conversation).await?;
        let Some(whole) = self.blobs.ready(upload.clone()).await? else {
            // Somebody else was faster: this one is not charged any longer.
            return Ok(self.blobs.discard(upload).await?);
        };
        self.complete(upload, whole, 0).await
    }

    /// Makes a blob of an upload, until some time or for as long as others are kept (0), if it is what its name says;
    /// otherwise it is thrown away.
    async fn complete(&self, upload: Upload, whole: Content, until_ms: u64) -> Result<(), BlobError> {
        let mut known = self.digests.take(&whole);
        while let Some(number) = known.missing() {
            known.add(number, &self.blobs.part(upload.clone(), number).await?.1);
        }
        if known.digest() != Some(upload.place.digest) {
            self.blobs.discard(upload).await?;
            return Err(BlobError::DigestDiffers);
        }
        let kept = Kept { added_ms: self.clock.unix_ms(), until_ms };
        Ok(self.blobs.finish(upload, whole, kept).await?)
    }

    /// Some of a blob, for members.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn read(&self, actor: &Actor, request: v1::ReadBlob) -> Result<v1::ReadBlobAnswer, BlobError> {
        self.try_read(actor, request).inspect_err(|error| self.reject(error)).await
    }

    async fn try_read(&self, actor: &Actor, request: v1::ReadBlob) -> Result<v1::ReadBlobAnswer, BlobError> {
        let asked = Asked::parse(&request)?;
        self.store.presence(actor, &asked.place.conversation).await?;
        let _transfer = self.metrics.transfer(Direction::Out);
        let range = self.blobs.read(asked.place, asked.offset, asked.length).await?;
        self.metrics.blob_bytes(Direction::Out, range.data.len());
        Ok(v1::ReadBlobAnswer { size: range.size, data: range.data })
    }

    /// Takes a blob that the actor's account put there, or an unfinished upload, out of a conversation. One's own quota
    /// has room again whether one is in the conversation still or not.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn release(&self, actor: &Actor, request: v1::ReleaseBlob) -> Result<(), BlobError> {
        self.try_release(actor, request).inspect_err(|error| self.reject(error)).await
    }

    async fn try_release(&self, actor: &Actor, request: v1::ReleaseBlob) -> Result<(), BlobError> {
        let place = place(request.blob.as_ref())?;
        match self.store.presence(actor, &place.conversation).await {
            Ok(_) | Err(ReadError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        let upload = Upload { account: actor.account(), place };
        Ok(self.blobs.release(upload).await?)
    }

    async fn may_send(&self, actor: &Actor, conversation: &ConversationName) -> Result<(), BlobError> {
        match self.store.presence(actor, conversation).await? {
            Presence::Member => Ok(()),
            Presence::Unanswered => Err(BlobError::ContactPending),
        }
    }

    fn reject(&self, error: &BlobError) {
        if let Some(reason) = error.rejection() {
            self.metrics.blob_rejected(reason);
        }
    }
}

/// The range that somebody asks for.
struct Asked {
    place: Place,
    offset: u64,
    /// Of one part at most.
    length: usize,
}

impl Asked {
    fn parse(request: &v1::ReadBlob) -> Result<Self, BlobError> {
        let place = place(request.blob.as_ref())?;
        let length = usize::try_from(request.length).unwrap_or(usize::MAX);
        if length == 0 || length > BLOB_PART {
            return Err(BlobError::Range);
        }
        Ok(Self { place, offset: request.offset, length })
    }
}

fn place(blob: Option<&v1::Blob>) -> Result<Place, FieldError> {
    let blob = blob.ok_or(FieldError::Malformed("blob"))?;
    let digest = blob.digest.as_ref().try_into().map_err(|_| FieldError::Malformed("digest"))?;
    Ok(Place { conversation: field::conversation(blob.conversation.as_ref())?, digest: BlobDigest(digest) })
}

/// As much of an answer as a request for a range asks for: it is kept until its client takes it.
#[must_use]
pub fn answer_size(request: &v1::ReadBlob) -> usize {
    usize::try_from(request.length).unwrap_or(usize::MAX).min(BLOB_PART)
}
