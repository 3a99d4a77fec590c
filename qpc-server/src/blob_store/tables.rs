//! What an adapter gives the verbs: narrow row operations inside one transaction.
//!
//! The verbs (`blob_store/verbs`) hold every decision once; an adapter holds rows, bytes and durability. Errors here are
//! faults of the engine only: a verb that meets one is undone by the adapter.

use std::ops::Range;

use bytes::Bytes;
use qpc_proto::id::{AccountId, ConversationName};

use super::{BlobDigest, Budget, Kept, Place, Upload};
use crate::store::StoreFault;

/// The outcome of a row operation.
pub(super) type Fallible<T> = Result<T, StoreFault>;

/// Bytes that are stored once: an upload's, then a blob's, then nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ContentId(pub(super) u64);

/// An unfinished upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UploadRow {
    /// Its own bytes.
    pub(super) content: ContentId,
    /// Of the whole blob.
    pub(super) size: u64,
    /// So many parts are there from the first on.
    pub(super) gapless: u32,
    /// Bytes of all parts that are there.
    pub(super) stored: u64,
    /// When it last went on.
    pub(super) touched_ms: u64,
}

/// A finished blob in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReferenceRow {
    /// Its bytes, which other conversations may have as well.
    pub(super) content: ContentId,
    /// Of the whole blob.
    pub(super) size: u64,
    /// Who put it there.
    pub(super) account: AccountId,
    /// From when to when.
    pub(super) kept: Kept,
}

/// Whose usage is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// What an account has put anywhere.
    Account(AccountId),
    /// What is in a conversation.
    Conversation(ConversationName),
    /// Finished contents, each once.
    Everybody,
}

/// What somebody takes, kept up to date with each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    /// Of blobs, and of unfinished uploads with their whole size.
    pub(super) bytes: u64,
    /// Blobs and unfinished uploads.
    pub(super) blobs: u64,
    /// Unfinished uploads alone.
    pub(super) uploads: u64,
}

/// Bytes of a part.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    /// To be stored with its row.
    Here(&'a Bytes),
    /// So many, stored already where the rows are not.
    Elsewhere(usize),
}

impl Body<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::Elsewhere(len) => *len,
        }
    }
}

/// Everything that one transaction sees.
pub(super) trait BlobTables: UploadTables + ReferenceTables + ContentTables {}

impl<T: UploadTables + ReferenceTables + ContentTables> BlobTables for T {}

/// Uploads, and what everybody takes.
pub(super) trait UploadTables {
    /// What somebody takes.
    fn usage(&mut self, owner: &Owner) -> Fallible<Usage>;
    /// Sets it; a usage of nothing leaves no row.
    fn set_usage(&mut self, owner: &Owner, usage: Usage) -> Fallible<()>;

    /// An unfinished upload.
    fn upload(&mut self, upload: &Upload) -> Fallible<Option<UploadRow>>;
    /// Adds or replaces one.
    fn set_upload(&mut self, upload: &Upload, row: UploadRow) -> Fallible<()>;
    /// Forgets one; its content is another matter.
    fn remove_upload(&mut self, upload: &Upload) -> Fallible<()>;
    /// Uploads that last went on before a time, the oldest first.
    fn uploads_before(&mut self, before_ms: u64, limit: usize) -> Fallible<Vec<(Upload, UploadRow)>>;
    /// How many there are, with the bytes that are stored of them.
    fn unfinished(&mut self) -> Fallible<Budget>;
}

/// Blobs in conversations.
pub(super) trait ReferenceTables {
    /// A blob in a conversation.
    fn reference(&mut self, place: &Place) -> Fallible<Option<ReferenceRow>>;
    /// Adds one where there is none.
    fn add_reference(&mut self, place: &Place, row: ReferenceRow) -> Fallible<()>;
    /// Forgets one.
    fn remove_reference(&mut self, place: &Place) -> Fallible<()>;
    /// Those added before a time, the oldest first.
    fn references_before(&mut self, before_ms: u64, limit: usize) -> Fallible<Vec<(Place, ReferenceRow)>>;
    /// Those that were to be there until a time or before it, the first to go first.
    fn references_until(&mut self, now_ms: u64, limit: usize) -> Fallible<Vec<(Place, ReferenceRow)>>;
    /// Conversations that have a content.
    fn places_of(&mut self, content: ContentId, limit: usize) -> Fallible<Vec<ConversationName>>;
}

/// Bytes.
pub(super) trait ContentTables {
    /// A content of an upload that begins.
    fn new_content(&mut self, digest: BlobDigest, size: u64) -> Fallible<ContentId>;
    /// From here on [`ContentTables::finished`] finds it.
    fn finish_content(&mut self, content: ContentId) -> Fallible<()>;
    /// The finished content of a digest and size.
    fn finished(&mut self, digest: BlobDigest, size: u64) -> Fallible<Option<ContentId>>;
    /// From here on it is nobody's: [`ContentTables::collect`] takes it away.
    fn discard_content(&mut self, content: ContentId) -> Fallible<()>;

    /// Is a part stored?
    fn has_part(&mut self, content: ContentId, number: u32) -> Fallible<bool>;
    /// Stores a part that is not.
    fn add_part(&mut self, content: ContentId, number: u32, body: Body<'_>) -> Fallible<()>;
    /// Bytes of a part; `None` where they are not here.
    fn read_part(&mut self, content: ContentId, number: u32, range: Range<usize>) -> Fallible<Option<Bytes>>;
    /// Removes about so many parts that are nobody's, and gives their space back. Says whether more is due.
    fn collect(&mut self, limit: usize) -> Fallible<bool>;
}
