//! The memory adapter: the port's semantics in plain maps, for simulation and tests.
//!
//! Every verb runs at once under one lock, when its method is called, and its answer is ready then. Nothing outlives the
//! process.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use qpc_proto::id::{AccountId, ConversationName};

use super::{
    BlobDigest, Budget, Place, Upload,
    dispatch::Transact,
    tables::{
        BlobTables, Body, ContentId, ContentTables, Fallible, Owner, ReferenceRow, ReferenceTables, UploadRow,
        UploadTables, Usage,
    },
};
use crate::store::{Reply, StoreFault, VerbError, memory::shelf::Shelf};

/// Blobs without durability.
#[derive(Default)]
pub struct MemoryBlobs(Shelf<World>);

type PlaceKey = (ConversationName, BlobDigest);

/// All rows.
#[derive(Default)]
struct World {
    usage: BTreeMap<Owner, Usage>,
    uploads: BTreeMap<(AccountId, PlaceKey), UploadRow>,
    references: BTreeMap<PlaceKey, ReferenceRow>,
    contents: BTreeMap<ContentId, Content>,
    /// The last content's id.
    last: u64,
}

struct Content {
    digest: BlobDigest,
    size: u64,
    state: State,
    parts: BTreeMap<u32, Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unfinished,
    Finished,
    Discarded,
}

fn place_key(place: &Place) -> PlaceKey {
    (place.conversation.clone(), place.digest)
}

fn upload_key(upload: &Upload) -> (AccountId, PlaceKey) {
    (upload.account, place_key(&upload.place))
}

fn place((conversation, digest): &PlaceKey) -> Place {
    Place { conversation: conversation.clone(), digest: *digest }
}

/// The oldest rows of a table that are older than a time.
fn oldest<K: Clone, V: Copy>(
    rows: &BTreeMap<K, V>,
    time: impl Fn(&V) -> u64,
    before_ms: u64,
    limit: usize,
) -> Vec<(K, V)> {
    let mut old: Vec<_> = rows.iter().filter(|(_, row)| time(row) < before_ms).collect();
    old.sort_by_key(|(_, row)| time(row));
    old.into_iter().take(limit).map(|(key, row)| (key.clone(), *row)).collect()
}

impl UploadTables for World {
    fn usage(&mut self, owner: &Owner) -> Fallible<Usage> {
        Ok(self.usage.get(owner).copied().unwrap_or_default())
    }

    fn set_usage(&mut self, owner: &Owner, usage: Usage) -> Fallible<()> {
        if usage == Usage::default() {
            self.usage.remove(owner);
        } else {
            self.usage.insert(owner.clone(), usage);
        }
        Ok(())
    }

    fn upload(&mut self, upload: &Upload) -> Fallible<Option<UploadRow>> {
        Ok(self.uploads.get(&upload_key(upload)).copied())
    }

    fn set_upload(&mut self, upload: &Upload, row: UploadRow) -> Fallible<()> {
        self.uploads.insert(upload_key(upload), row);
        Ok(())
    }

    fn remove_upload(&mut self, upload: &Upload) -> Fallible<()> {
        self.uploads.remove(&upload_key(upload));
        Ok(())
    }

    fn uploads_before(&mut self, before_ms: u64, limit: usize) -> Fallible<Vec<(Upload, UploadRow)>> {
        let old = oldest(&self.uploads, |row| row.touched_ms, before_ms, limit);
        let upload = |(account, key): (_, PlaceKey)| Upload { account, place: place(&key) };
        Ok(old.into_iter().map(|(key, row)| (upload(key), row)).collect())
    }

    fn unfinished(&mut self) -> Fallible<Budget> {
        let bytes = self.uploads.values().fold(0_u64, |sum, row| sum.saturating_add(row.stored));
        Ok(Budget { bytes, blobs: u64::try_from(self.uploads.len()).unwrap_or(u64::MAX) })
    }
}

impl ReferenceTables for World {
    fn reference(&mut self, place: &Place) -> Fallible<Option<ReferenceRow>> {
        Ok(self.references.get(&place_key(place)).copied())
    }

    fn add_reference(&mut self, place: &Place, row: ReferenceRow) -> Fallible<()> {
        self.references.insert(place_key(place), row);
        Ok(())
    }

    fn remove_reference(&mut self, place: &Place) -> Fallible<()> {
        self.references.remove(&place_key(place));
        Ok(())
    }

    fn references_before(&mut self, before_ms: u64, limit: usize) -> Fallible<Vec<(Place, ReferenceRow)>> {
        let old = oldest(&self.references, |row| row.kept.added_ms, before_ms, limit);
        Ok(old.into_iter().map(|(key, row)| (place(&key), row)).collect())
    }

    fn references_until(&mut self, now_ms: u64, limit: usize) -> Fallible<Vec<(Place, ReferenceRow)>> {
        let until = |row: &ReferenceRow| if row.kept.until_ms == 0 { u64::MAX } else { row.kept.until_ms };
        let over = oldest(&self.references, until, now_ms.saturating_add(1), limit);
        Ok(over.into_iter().map(|(key, row)| (place(&key), row)).collect())
    }

    fn places_of(&mut self, content: ContentId, limit: usize) -> Fallible<Vec<ConversationName>> {
        let found = self.references.iter().filter(|(_, row)| row.content == content);
        Ok(found.take(limit).map(|((conversation, _), _)| conversation.clone()).collect())
    }
}

impl ContentTables for World {
    fn new_content(&mut self, digest: BlobDigest, size: u64) -> Fallible<ContentId> {
        self.last = self.last.saturating_add(1);
        let content = Content { digest, size, state: State::Unfinished, parts: BTreeMap::new() };
        self.contents.insert(ContentId(self.last), content);
        Ok(ContentId(self.last))
    }

    fn finish_content(&mut self, content: ContentId) -> Fallible<()> {
        self.set_state(content, State::Finished)
    }

    fn finished(&mut self, digest: BlobDigest, size: u64) -> Fallible<Option<ContentId>> {
        let wanted = (digest, size, State::Finished);
        let mut found = self.contents.iter().filter(|(_, known)| (known.digest, known.size, known.state) == wanted);
        Ok(found.next().map(|(id, _)| *id))
    }

    fn discard_content(&mut self, content: ContentId) -> Fallible<()> {
        self.set_state(content, State::Discarded)
    }

    fn has_part(&mut self, content: ContentId, number: u32) -> Fallible<bool> {
        Ok(self.contents.get(&content).is_some_and(|content| content.parts.contains_key(&number)))
    }

    fn add_part(&mut self, content: ContentId, number: u32, body: Body<'_>) -> Fallible<()> {
        let Body::Here(bytes) = body else { return Ok(()) };
        let content = self.contents.get_mut(&content).ok_or_else(|| StoreFault::Engine("no such content".into()))?;
        content.parts.insert(number, bytes.clone());
        Ok(())
    }

    fn read_part(&mut self, content: ContentId, number: u32, range: Range<usize>) -> Fallible<Option<Bytes>> {
        let part = self.contents.get(&content).and_then(|content| content.parts.get(&number));
        Ok(part.filter(|part| range.start <= range.end && range.end <= part.len()).map(|part| part.slice(range)))
    }

    fn collect(&mut self, limit: usize) -> Fallible<bool> {
        let mut left = limit;
        self.contents.retain(|_, content| {
            if content.state != State::Discarded || left == 0 {
                return true;
            }
            let mut removed: usize = 0;
            while removed < left && content.parts.pop_first().is_some() {
                removed = removed.saturating_add(1);
            }
            // A content without parts is work as well.
            left = left.saturating_sub(removed.max(1));
            !content.parts.is_empty()
        });
        Ok(left == 0)
    }
}

impl World {
    fn set_state(&mut self, content: ContentId, state: State) -> Fallible<()> {
        if let Some(content) = self.contents.get_mut(&content) {
            content.state = state;
        }
        Ok(())
    }
}

impl MemoryBlobs {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a process finds that begins where this one ends now, as [`crate::store::memory::MemoryStore::after_crash`].
    #[must_use]
    pub fn after_crash(&self) -> Self {
        Self(self.0.after_crash())
    }
}

impl Transact for MemoryBlobs {
    fn write<T, E, F>(&self, _bytes: usize, mut verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn BlobTables) -> Result<T, E> + Send + 'static,
    {
        self.0.run(|world| verb(world))
    }

    fn read<T, E, F>(&self, mut verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn BlobTables) -> Result<T, E> + Send + 'static,
    {
        self.0.run(|world| verb(world))
    }

    fn stop(&self) -> Reply<(), StoreFault> {
        self.0.close();
        Reply::ready(Ok(()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use crate::blob_store::{BlobStore, conformance::Backend, memory::MemoryBlobs};

    /// Forgets everything when it is dropped.
    pub(in crate::blob_store) struct Memory;

    impl Backend for Memory {
        fn open(&self) -> Arc<dyn BlobStore> {
            Arc::new(MemoryBlobs::new())
        }

        fn persistent(&self) -> bool {
            false
        }
    }

    blob_store_conformance!(Memory);
}
