//! The port on top of an adapter's transactions: which verb reads, which writes, and what it weighs.

use bytes::Bytes;
use qpc_proto::id::{AccountId, ConversationName};

use super::{
    Answer, BeginError, Begun, BlobDigest, BlobFigures, BlobStore, Budget, Content, Kept, NewUpload, Place, Range,
    ReadBlobError, Sweep, Upload, UploadError,
    tables::{BlobTables, Body},
    verbs,
};
use crate::store::{Reply, StoreFault, VerbError, verb_errors};

verb_errors! {
    BeginError, BeginError::Fault(fault) => fault;
    UploadError, UploadError::Fault(fault) => fault;
    ReadBlobError, ReadBlobError::Fault(fault) => fault;
}

/// What an adapter does: runs verbs in transactions of its own.
pub(super) trait Transact: Send + Sync + 'static {
    /// Queues a verb that writes about so many bytes. It may be run again where a transaction is undone.
    fn write<T, E, F>(&self, bytes: usize, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn BlobTables) -> Result<T, E> + Send + 'static;

    /// Queues a verb that only reads.
    fn read<T, E, F>(&self, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn BlobTables) -> Result<T, E> + Send + 'static;

    /// Finishes what is queued and stops.
    fn stop(&self) -> Reply<(), StoreFault>;
}

impl<A: Transact> BlobStore for A {
    fn places(&self, digest: BlobDigest, size: u64, limit: usize) -> Answer<Vec<ConversationName>, StoreFault> {
        Box::pin(Transact::read(self, move |tables| verbs::places(tables, digest, size, limit)))
    }

    fn begin(&self, new: NewUpload) -> Answer<Begun, BeginError> {
        Box::pin(self.write(0, move |tables| verbs::begin(tables, &new)))
    }

    fn put_part(&self, upload: Upload, number: u32, data: Bytes, now_ms: u64) -> Answer<Option<Content>, UploadError> {
        let put = move |tables: &mut dyn BlobTables| {
            verbs::put_part(tables, &upload, number, (None, Body::Here(&data)), now_ms)
        };
        Box::pin(self.write(qpc_proto::limits::BLOB_PART, put))
    }

    fn part(&self, upload: Upload, number: u32) -> Answer<(u64, Bytes), UploadError> {
        Box::pin(Transact::read(self, move |tables| verbs::part(tables, &upload, number)))
    }

    fn ready(&self, upload: Upload) -> Answer<Option<Content>, UploadError> {
        Box::pin(Transact::read(self, move |tables| verbs::ready(tables, &upload)))
    }

    fn finish(&self, upload: Upload, whole: Content, kept: Kept) -> Answer<(), UploadError> {
        Box::pin(self.write(0, move |tables| verbs::finish(tables, &upload, whole, kept)))
    }

    fn discard(&self, upload: Upload) -> Answer<(), StoreFault> {
        Box::pin(self.write(0, move |tables| verbs::discard(tables, &upload)))
    }

    fn read(&self, place: Place, offset: u64, length: usize) -> Answer<Range, ReadBlobError> {
        Box::pin(Transact::read(self, move |tables| verbs::read(tables, &place, offset, length)))
    }

    fn release(&self, upload: Upload) -> Answer<(), StoreFault> {
        Box::pin(self.write(0, move |tables| verbs::release(tables, &upload)))
    }

    fn sweep(&self, sweep: Sweep) -> Answer<bool, StoreFault> {
        Box::pin(self.write(0, move |tables| verbs::sweep(tables, &sweep)))
    }

    fn figures(&self) -> Answer<BlobFigures, StoreFault> {
        Box::pin(Transact::read(self, verbs::figures))
    }

    fn used(&self, account: AccountId) -> Answer<Budget, StoreFault> {
        Box::pin(Transact::read(self, move |tables| verbs::used(tables, account)))
    }

    fn close(&self) -> Answer<(), StoreFault> {
        Box::pin(self.stop())
    }
}
