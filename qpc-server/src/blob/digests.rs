//! Digests of uploads, worked out while their parts come, so that these need not be read again when all are there. What is
//! not known is read from the store: this only saves work.
//!
//! A part is a whole subtree of BLAKE3's tree (section 2.1 of its paper), whose chaining value needs none of the others. So
//! parts may come in any order, and what came before a restart is all that is read again.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{Mutex, MutexGuard, PoisonError},
};

use blake3::{
    Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};
use lru::LruCache;
use qpc_proto::limits::BLOB_PART;

use crate::blob_store::{self, BlobDigest, Content};

/// Subtrees of one upload that wait for what is beside them. Parts that come in order leave one for each bit of their
/// number; those that find no place are read again.
const SUBTREES_MAX: usize = 64;

/// What is worked out of one part.
enum Part {
    /// The only one: it is the whole blob.
    Alone(blake3::Hash),
    /// One of several.
    Subtree(ChainingValue),
}

impl Part {
    /// One of so many.
    fn of(number: u32, parts: u32, data: &[u8]) -> Self {
        if parts == 1 {
            return Self::Alone(blake3::hash(data));
        }
        let offset = u64::from(number).saturating_mul(u64::try_from(BLOB_PART).unwrap_or(u64::MAX));
        Self::Subtree(Hasher::new().set_input_offset(offset).update(data).finalize_non_root())
    }
}

/// Adjacent parts, as many as a power of two.
#[derive(Debug, Clone, Copy)]
struct Subtree {
    parts: u32,
    value: ChainingValue,
}

/// What is worked out of a blob of so many parts.
pub(super) struct Known {
    parts: u32,
    /// The digest, where the only part is known.
    alone: Option<blake3::Hash>,
    /// By the first part of each.
    subtrees: BTreeMap<u32, Subtree>,
}

impl Known {
    fn nothing(content: &Content) -> Self {
        Self { parts: part_count(content), alone: None, subtrees: BTreeMap::new() }
    }

    /// The first part that is not known.
    pub(super) fn missing(&self) -> Option<u32> {
        if self.alone.is_some() {
            return None;
        }
        let mut next = 0_u32;
        for (first, subtree) in &self.subtrees {
            if *first != next {
                break;
            }
            next = first.saturating_add(subtree.parts);
        }
        (next < self.parts).then_some(next)
    }

    /// Adds the bytes of a part, unless it is known.
    pub(super) fn add(&mut self, number: u32, data: &[u8]) {
        self.put(number, Part::of(number, self.parts, data));
    }

    fn put(&mut self, number: u32, part: Part) {
        match part {
            Part::Alone(digest) => self.alone = Some(digest),
            Part::Subtree(value) => self.join(number, Subtree { parts: 1, value }),
        }
    }

    /// Joins it with what is beside it, as long as that makes no root, whose value is another one.
    fn join(&mut self, mut first: u32, mut new: Subtree) {
        let before = self.subtrees.range(..=first).next_back();
        if before.is_some_and(|(start, subtree)| first < start.saturating_add(subtree.parts)) {
            return;
        }
        while let Some(parts) = new.parts.checked_mul(2).filter(|parts| *parts < self.parts) {
            let beside = first ^ new.parts;
            let Some(other) = self.subtrees.get(&beside).copied().filter(|other| other.parts == new.parts) else {
                break;
            };
            self.subtrees.remove(&beside);
            let (left, right) = if beside < first { (other, new) } else { (new, other) };
            first = first.min(beside);
            new = Subtree { parts, value: merge_subtrees_non_root(&left.value, &right.value, Mode::Hash) };
        }
        self.subtrees.insert(first, new);
    }

    /// The digest, if nothing is missing.
    pub(super) fn digest(&self) -> Option<BlobDigest> {
        if self.missing().is_some() {
            return None;
        }
        let root = self.alone.or_else(|| {
            // What is left hangs to the left of the tree's right edge, the largest first.
            let mut values = self.subtrees.values().map(|subtree| subtree.value);
            let left = values.next()?;
            let right = values.rev().reduce(|right, left| merge_subtrees_non_root(&left, &right, Mode::Hash))?;
            Some(merge_subtrees_root(&left, &right, Mode::Hash))
        })?;
        Some(BlobDigest(*root.as_bytes()))
    }
}

fn part_count(content: &Content) -> u32 {
    u32::try_from(blob_store::parts(content.size)).unwrap_or(u32::MAX)
}

/// Digests under way, the least recently used forgotten first; at most some 4 KiB each.
pub(super) struct Digests(Mutex<LruCache<Content, Known>>);

impl Digests {
    pub(super) fn new(kept: usize) -> Self {
        Self(Mutex::new(LruCache::new(NonZero::new(kept).unwrap_or(NonZero::<usize>::MIN))))
    }

    /// A part is stored with these bytes.
    pub(super) fn add(&self, content: Content, number: u32, data: &[u8]) {
        // Before the lock is taken: it takes a while.
        let part = Part::of(number, part_count(&content), data);
        let mut all = self.all();
        let known = all.get_or_insert_mut(content, || Known::nothing(&content));
        if known.subtrees.len() < SUBTREES_MAX {
            known.put(number, part);
        }
    }

    /// What is known, which is forgotten with it.
    pub(super) fn take(&self, content: &Content) -> Known {
        self.all().pop(content).unwrap_or_else(|| Known::nothing(content))
    }

    fn all(&self) -> MutexGuard<'_, LruCache<Content, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::blob_store::conformance::world::Blob;

    /// Bytes that come, of which there are others as well.
    struct Kept {
        blob: Blob,
        content: Content,
        digests: Digests,
    }

    impl Kept {
        fn new(size: usize) -> Self {
            let blob = Blob::new(7, size);
            let content = Content::numbered(1, blob.size());
            Self { blob, content, digests: Digests::new(2) }
        }

        fn add(&self, number: u32) {
            self.digests.add(self.content, number, &self.blob.part(number));
        }

        /// What had to be read again, the rest known; the digest is right.
        fn end(&self) -> BTreeSet<u32> {
            let mut known = self.digests.take(&self.content);
            let mut read = BTreeSet::new();
            while let Some(number) = known.missing() {
                assert!(known.digest().is_none());
                assert!(read.insert(number), "{number} is read twice");
                known.add(number, &self.blob.part(number));
            }
            assert!(known.digest().unwrap() == self.blob.digest());
            read
        }
    }

    /// Part numbers, each once and in some order, the first ones of which come; and how long the last part is.
    fn arrivals() -> impl Strategy<Value = (Vec<u32>, usize, usize)> {
        (1..24_u32).prop_flat_map(|parts| {
            let order = Just((0..parts).collect::<Vec<_>>()).prop_shuffle();
            (order, 0..=parts as usize, prop_oneof![Just(1), Just(BLOB_PART), 1..BLOB_PART])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn what_did_not_come_is_all_that_is_read_again((order, come, last) in arrivals()) {
            let kept = Kept::new(order.len().saturating_sub(1).saturating_mul(BLOB_PART).saturating_add(last));
            let (come, missing) = order.split_at(come);
            come.iter().for_each(|number| kept.add(*number));
            prop_assert_eq!(kept.end(), missing.iter().copied().collect());
        }
    }

    #[test]
    fn parts_in_order_leave_few_subtrees() {
        let kept = Kept::new(23 * BLOB_PART);
        (0..23).for_each(|number| kept.add(number));
        let known = kept.digests.take(&kept.content);
        assert_eq!(known.subtrees.values().map(|subtree| subtree.parts).collect::<Vec<_>>(), [16, 4, 2, 1]);
    }

    #[test]
    fn so_many_subtrees_are_kept_and_not_one_more() {
        let even = (0..=SUBTREES_MAX).map(|number| u32::try_from(2 * number).unwrap());
        let kept = Kept::new(2 * SUBTREES_MAX * BLOB_PART + 1);
        even.clone().for_each(|number| kept.add(number));
        let read = kept.end();
        assert_eq!(even.filter(|number| read.contains(number)).collect::<Vec<_>>(), [128]);
    }

    /// As by an upload that began anew: its bytes may be others.
    #[test]
    fn a_part_of_other_bytes_counts_for_nothing() {
        let kept = Kept::new(2 * BLOB_PART);
        kept.digests.add(Content::numbered(2, kept.blob.size()), 0, &[7; BLOB_PART]);
        assert_eq!(kept.end(), BTreeSet::from([0, 1]));
    }

    #[test]
    fn a_part_that_comes_twice_counts_once() {
        let kept = Kept::new(5 * BLOB_PART);
        [0, 1, 1, 0, 2, 3, 1].into_iter().for_each(|number| kept.add(number));
        assert_eq!(kept.end(), BTreeSet::from([4]));
    }

    #[test]
    fn what_waits_longest_is_forgotten() {
        let kept = Kept::new(BLOB_PART + 1);
        kept.add(0);
        for other in 2..4 {
            kept.digests.add(Content::numbered(other, kept.blob.size()), 0, &kept.blob.part(0));
        }
        assert_eq!(kept.end(), BTreeSet::from([0, 1]));
    }
}
