//! Groups that were followed of late, in memory: the least used go when there are too many leaves in all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use prometheus::IntGauge;
use qpc_proto::id::ConversationName;

use super::public::Followed;
use crate::store::{CopyPlace, GroupVersion};

/// A group, and which stored state it is.
pub(super) struct Known {
    pub(super) version: GroupVersion,
    pub(super) group: Followed,
    /// Where its copy ends, if it is one that has gone on of late.
    pub(super) place: Option<CopyPlace>,
}

/// See the module's text. A group that somebody works with is not here.
pub(super) struct Shelf {
    groups: Mutex<Groups>,
    leaves_max: usize,
    kept: IntGauge,
}

struct Groups {
    lru: LruCache<ConversationName, (usize, Known)>,
    leaves: usize,
}

impl Shelf {
    /// A shelf for so many leaves; it says how many groups stand on it.
    pub(super) fn new(leaves_max: usize, kept: IntGauge) -> Self {
        Self { groups: Mutex::new(Groups { lru: LruCache::unbounded(), leaves: 0 }), leaves_max, kept }
    }

    /// Takes a group away.
    pub(super) fn take(&self, name: &ConversationName) -> Option<Known> {
        let mut groups = self.lock();
        let (leaves, known) = groups.lru.pop(name)?;
        groups.leaves = groups.leaves.saturating_sub(leaves);
        self.count(&groups);
        Some(known)
    }

    /// Where the copy of a group that is here ends, as far as that is known.
    pub(super) fn place(&self, name: &ConversationName) -> Option<CopyPlace> {
        self.lock().lru.peek(name).and_then(|(_, known)| known.place)
    }

    /// Puts a group there.
    pub(super) fn put(&self, name: ConversationName, known: Known) {
        let mut groups = self.lock();
        let leaves = known.group.leaves();
        if let Some((replaced, _)) = groups.lru.put(name, (leaves, known)) {
            groups.leaves = groups.leaves.saturating_sub(replaced);
        }
        groups.leaves = groups.leaves.saturating_add(leaves);
        while groups.leaves > self.leaves_max
            && let Some((_, (leaves, _))) = groups.lru.pop_lru()
        {
            groups.leaves = groups.leaves.saturating_sub(leaves);
        }
        self.count(&groups);
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, groups: &Groups) {
        self.kept.set(i64::try_from(groups.lru.len()).unwrap_or(i64::MAX));
    }
}
