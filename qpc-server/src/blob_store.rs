//! The port of blobs: ciphertext under its digest, in parts, and to which conversations it belongs.
//!
//! Whole verbs, as those of [`crate::store`]: one checks before it writes, a refusal leaves no trace, and an answer comes
//! after what it promises is durable. Transfers have a database, a writer and readers of their own, so that they never wait
//! for messages nor messages for them. Who may send and read is not known here: callers have asked. Who implements this lies
//! below (`blob_store/sqlite`, `blob_store/objects`, `blob_store/memory`); `blob_store/conformance` is the suite that each
//! must pass.

// First, because its macro is used by the adapters' tests below.
#[cfg(any(test, feature = "conformance"))]
#[macro_use]
pub mod conformance;
mod dispatch;
pub mod memory;
pub mod objects;
pub mod reserve;
pub mod sqlite;
mod tables;
mod verbs;

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use qpc_proto::id::{AccountId, ConversationName};

use self::tables::ContentId;
pub(crate) use self::verbs::{Piece, part_len, parts, pieces};
use crate::store::StoreFault;

/// What a verb will answer. The verb has begun once the future is polled; dropping it may leave it done or not done.
pub type Answer<T, E> = BoxFuture<'static, Result<T, E>>;

/// BLAKE3 of a blob's bytes, by which it is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobDigest(pub [u8; 32]);

/// Whoever knows it could ask for the blob: it is not for logs.
impl fmt::Debug for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobDigest")
    }
}

/// A blob in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// To which it belongs.
    pub conversation: ConversationName,
    /// Which.
    pub digest: BlobDigest,
}

/// An unfinished upload: at most one for each account and place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upload {
    /// Who is charged.
    pub account: AccountId,
    /// Where the blob is to be.
    pub place: Place,
}

/// How many blobs, and how many bytes in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Of all of them.
    pub bytes: u64,
    /// How many.
    pub blobs: u64,
}

/// What an upload must fit into, itself included. What is unfinished counts with its whole size; a blob that belongs to
/// several conversations counts in each, and for each account that put it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Of an account.
    pub account: Budget,
    /// In a conversation.
    pub conversation: Budget,
    /// Unfinished uploads of an account.
    pub uploads: u64,
}

/// An upload that begins, or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// Which. One of another size than before begins anew.
    pub upload: Upload,
    /// Of the whole blob, in bytes; not 0.
    pub size: u64,
    /// What it must fit into.
    pub quota: Quota,
    /// A conversation in which the account may read the blob. If it is there, with this size, no bytes are needed.
    pub readable_in: Option<ConversationName>,
    /// The time, milliseconds since 1970.
    pub now_ms: u64,
}

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The blob is in the conversation.
    Complete,
    /// So many parts are stored without a gap, from the first on.
    Parts(u32),
}

/// Why an upload does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// The account has no room for it.
    #[error("the account has stored as much as it may")]
    AccountQuota,
    /// The conversation has none.
    #[error("as much belongs to the conversation as may")]
    ConversationQuota,
    /// Too many are unfinished.
    #[error("too many uploads of the account are unfinished")]
    TooManyUploads,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// The bytes of an upload. What is stored of them stays as it is: an upload that begins anew has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content {
    /// Of all of them.
    pub size: u64,
    id: ContentId,
}

#[cfg(test)]
impl Content {
    pub(crate) const fn numbered(id: u64, size: u64) -> Self {
        Self { size, id: ContentId(id) }
    }
}

/// Why an upload does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// There is none, or not any more.
    #[error("no such upload")]
    Unknown,
    /// The part is not one of its blob.
    #[error("the part does not fit the blob")]
    PartInvalid,
    /// It can't be finished, or the part that was asked for is not there.
    #[error("not all parts are there")]
    PartsMissing,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Why nothing is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadBlobError {
    /// The conversation has no such blob.
    #[error("no such blob")]
    NotFound,
    /// The range begins at the blob's end or behind it.
    #[error("the range is not in the blob")]
    Range,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// From when to when a blob belongs to a conversation, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// It came.
    pub added_ms: u64,
    /// It goes then, though others that came with it stay; 0 where it goes with them.
    pub until_ms: u64,
}

/// Some of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Of the whole blob, in bytes.
    pub size: u64,
    /// For how long it is here.
    pub kept: Kept,
    /// From the offset on: as many as were asked for, or up to the end.
    pub data: Bytes,
}

/// What is not kept any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// Unfinished uploads to which nothing was added since.
    pub uploads_before_ms: u64,
    /// Blobs that came into a conversation before this; 0 keeps them.
    pub blobs_before_ms: u64,
    /// The time: blobs that were to be there until then, or until before.
    pub now_ms: u64,
    /// About as many rows of each kind in one step.
    pub batch: usize,
}

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobFigures {
    /// Finished blobs, each once.
    pub blobs: Budget,
    /// Unfinished uploads, with the bytes that are stored of them.
    pub uploads: Budget,
}

/// Everything about blobs. See the module's text for the rules of all verbs.
pub trait BlobStore: Send + Sync + 'static {
    /// Conversations to which a finished blob of this digest and size belongs, at most so many.
    fn places(&self, digest: BlobDigest, size: u64, limit: usize) -> Answer<Vec<ConversationName>, StoreFault>;
    /// Begins an upload, or says how far it came; it is as young as if a part had come.
    fn begin(&self, new: NewUpload) -> Answer<Begun, BeginError>;
    /// Stores a part, and says of what, if it is these bytes that are stored now: one that is there already stays as it is.
    fn put_part(&self, upload: Upload, number: u32, data: Bytes, now_ms: u64) -> Answer<Option<Content>, UploadError>;
    /// A part of an unfinished upload, behind the size of the whole blob.
    fn part(&self, upload: Upload, number: u32) -> Answer<(u64, Bytes), UploadError>;
    /// An unfinished upload, if all of its parts are stored. Of one that is finished, `None`.
    fn ready(&self, upload: Upload) -> Answer<Option<Content>, UploadError>;
    /// The blob can be read from here on. The caller has compared the digest of what was whole: an upload that has begun
    /// anew since is another one. Finished is finished: again is no error.
    fn finish(&self, upload: Upload, whole: Content, kept: Kept) -> Answer<(), UploadError>;
    /// Throws an unfinished upload away, if there is one.
    fn discard(&self, upload: Upload) -> Answer<(), StoreFault>;
    /// Some of a blob: at most so many bytes, and no more than [`qpc_proto::limits::BLOB_PART`].
    fn read(&self, place: Place, offset: u64, length: usize) -> Answer<Range, ReadBlobError>;
    /// Takes a blob that this account put there out of a conversation, and an unfinished upload of it, if there are any.
    fn release(&self, upload: Upload) -> Answer<(), StoreFault>;
    /// Removes at most one small batch of what is kept no longer: expired uploads, expired blobs, bytes that belong to
    /// nothing; gives their space back. Says whether more is due.
    fn sweep(&self, sweep: Sweep) -> Answer<bool, StoreFault>;
    /// Figures for the metrics.
    fn figures(&self) -> Answer<BlobFigures, StoreFault>;
    /// What an account has put anywhere, what is unfinished included.
    fn used(&self, account: AccountId) -> Answer<Budget, StoreFault>;
    /// Finishes what is queued and stops; verbs after this are refused with [`StoreFault::Stopped`].
    fn close(&self) -> Answer<(), StoreFault>;
}
