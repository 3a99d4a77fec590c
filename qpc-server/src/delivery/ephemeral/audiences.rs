//! Who is in conversations, as it was read last, for as long as nobody has said that it changed.
//!
//! A change is noted in one of many counters, by what it is about; what was read is true while the sum of its counters
//! is what it was. So a change costs nothing where nobody is interested, and a few are read again for nothing.

use std::{
    array,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use lru::LruCache;
use qpc_proto::id::ConversationName;

use crate::store::{Hearers, HearersChanged};

/// Counters of changes.
const COUNTERS: usize = 1_024;

/// How many changes there had been when a read began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AsOf(u64);

struct Known {
    hearers: Arc<Hearers>,
    counted: u64,
}

pub(super) struct Audiences {
    known: Mutex<LruCache<ConversationName, Known>>,
    all: AtomicU64,
    counters: [AtomicU64; COUNTERS],
    /// The same in each run: who brings about that counters are shared has some read again, and no more.
    hasher: BuildHasherDefault<DefaultHasher>,
}

impl Audiences {
    pub(super) fn new(most: usize) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        Self {
            known: Mutex::new(LruCache::new(most)),
            all: AtomicU64::new(0),
            counters: array::from_fn(|_| AtomicU64::new(0)),
            hasher: BuildHasherDefault::default(),
        }
    }

    pub(super) fn get(&self, conversation: &ConversationName) -> Option<Arc<Hearers>> {
        let mut known = self.lock();
        let found = known.get(conversation)?;
        if found.counted == self.counted(&found.hearers) {
            return Some(Arc::clone(&found.hearers));
        }
        known.pop(conversation);
        None
    }

    /// To be asked before a read.
    pub(super) fn as_of(&self) -> AsOf {
        AsOf(self.all.load(Ordering::SeqCst))
    }

    /// Keeps what was read, unless anything has changed since.
    pub(super) fn put(&self, conversation: &ConversationName, hearers: &Arc<Hearers>, AsOf(as_of): AsOf) {
        // In this order: a change that is in the sum already is seen by the second look, and one that comes later changes
        // the sum.
        let counted = self.counted(hearers);
        if self.all.load(Ordering::SeqCst) == as_of {
            self.lock().put(conversation.clone(), Known { hearers: Arc::clone(hearers), counted });
        }
    }

    pub(super) fn changed(&self, changed: &HearersChanged) {
        self.all.fetch_add(1, Ordering::SeqCst);
        changed.logs.iter().for_each(|place| self.count(place));
        changed.pairs.iter().for_each(|pair| self.count(&sorted(*pair)));
    }

    fn count(&self, what: &impl Hash) {
        if let Some(counter) = self.counter(what) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counted(&self, hearers: &Hearers) -> u64 {
        let read = |counter: Option<&AtomicU64>| counter.map_or(0, |counter| counter.load(Ordering::SeqCst));
        let pair = hearers.pair.map_or(0, |pair| read(self.counter(&sorted(pair))));
        read(self.counter(&hearers.place)).wrapping_add(pair)
    }

    fn counter(&self, what: &impl Hash) -> Option<&AtomicU64> {
        let hash = usize::try_from(self.hasher.hash_one(what) >> 32).unwrap_or_default();
        self.counters.get(hash.checked_rem(COUNTERS).unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<ConversationName, Known>> {
        // Nothing panics while it holds the lock; if it did, the map would still be whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sorted<T: Ord>(mut pair: [T; 2]) -> [T; 2] {
    pair.sort_unstable();
    pair
}

#[cfg(test)]
mod tests {
    use qpc_proto::{
        address::Domain,
        id::{AccountId, ConversationId},
    };

    use super::*;
    use crate::store::LogPlace;

    fn account(number: u8) -> AccountId {
        AccountId::new(1, [number; 10])
    }

    fn name(number: u8) -> ConversationName {
        ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(1, [number; 10]) }
    }

    fn hearers(place: i64) -> Arc<Hearers> {
        let pair = [account(1), account(2)];
        Arc::new(Hearers { place: LogPlace(place), members: pair.into(), pair: Some(pair), open: true })
    }

    fn log(place: i64) -> HearersChanged {
        HearersChanged { logs: vec![LogPlace(place)], pairs: vec![] }
    }

    #[test]
    fn what_was_read_is_kept_until_its_log_or_its_pair_changes() {
        let audiences = Audiences::new(10);
        let changes = [log(7), HearersChanged { logs: vec![], pairs: vec![[account(2), account(1)]] }];
        for change in changes {
            assert_eq!(audiences.get(&name(1)), None);
            audiences.put(&name(1), &hearers(7), audiences.as_of());
            assert_eq!(audiences.get(&name(1)), Some(hearers(7)));
            assert_eq!(audiences.get(&name(2)), None);
            audiences.changed(&change);
        }
        assert_eq!(audiences.get(&name(1)), None);
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_kept() {
        let audiences = Audiences::new(10);
        let as_of = audiences.as_of();
        audiences.changed(&log(7));
        audiences.put(&name(1), &hearers(7), as_of);
        assert_eq!(audiences.get(&name(1)), None);
    }

    #[test]
    fn those_that_were_not_asked_for_longest_go() {
        let audiences = Audiences::new(2);
        for number in 1..=3 {
            audiences.put(&name(number), &hearers(number.into()), audiences.as_of());
        }
        assert_eq!([1, 2, 3].map(|number| audiences.get(&name(number)).is_some()), [false, true, true]);
    }
}
