//! One rate for many keys: GCRA cells (the governor crate) in a map that does not outgrow its bound
//! by more than the checks between two counts.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use super::{Wait, limits::Rate};
use crate::metrics::{Metrics, labels::Limit};

/// What a key has to wait where the map is full of others.
const FULL: Wait = Wait(Duration::from_secs(1));

pub(super) struct Keyed<K: Hash + Eq + Clone> {
    limit: Limit,
    at: RwLock<At<K>>,
    keys_max: usize,
    /// Keys are counted once in so many checks: counting looks at every shard of the map.
    count_every: usize,
    checks: AtomicUsize,
    full: AtomicBool,
    clock: DefaultClock,
    metrics: Arc<Metrics>,
}

/// A rate, and what each key has left of it.
struct At<K: Hash + Eq + Clone> {
    rate: Rate,
    cells: DefaultKeyedRateLimiter<K>,
}

impl<K: Hash + Eq + Clone> At<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, cells: RateLimiter::keyed(quota(rate)) }
    }
}

impl<K: Hash + Eq + Clone> std::fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyed")
            .field("limit", &self.limit)
            .field("keys", &self.at().cells.len())
            .finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    pub(super) fn new(limit: Limit, rate: Rate, keys_max: usize, metrics: &Arc<Metrics>) -> Self {
        Self {
            limit,
            at: RwLock::new(At::new(rate)),
            keys_max,
            count_every: (keys_max / 16).clamp(1, 64),
            checks: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            clock: DefaultClock::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Takes another rate. Whoever is known begins anew with it; with the same one nothing changes.
    pub(super) fn set(&self, rate: Rate) {
        if self.at().rate != rate {
            *self.at.write().unwrap_or_else(PoisonError::into_inner) = At::new(rate);
            self.full.store(false, Ordering::Relaxed);
        }
    }

    fn at(&self) -> RwLockReadGuard<'_, At<K>> {
        self.at.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one from the key's allowance.
    pub(super) fn check(&self, key: &K) -> Result<(), Wait> {
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.count_every) {
            self.count();
        }
        if self.full.load(Ordering::Relaxed) {
            self.metrics.rate_limited(Limit::Keys);
            return Err(FULL);
        }
        self.at().cells.check_key(key).map_err(|until| {
            self.metrics.rate_limited(self.limit);
            Wait(until.wait_time_from(self.clock.now()))
        })
    }

    /// Looks whether the map is full, and makes room if it is.
    fn count(&self) {
        let at = self.at();
        if at.cells.len() >= self.keys_max {
            at.cells.retain_recent();
        }
        self.full.store(at.cells.len() >= self.keys_max, Ordering::Relaxed);
    }

    pub(super) fn clean(&self) {
        let at = self.at();
        at.cells.retain_recent();
        at.cells.shrink_to_fit();
    }
}

fn quota(rate: Rate) -> Quota {
    let period = Duration::from_secs(60).checked_div(rate.per_minute).unwrap_or(Duration::from_secs(60));
    let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
    // Only a period of zero has no quota: more than sixty thousand million a minute.
    Quota::with_period(period.max(Duration::from_nanos(1)))
        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX))
        .allow_burst(burst)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use governor::state::InMemoryState;
    use qpc_proto::id::AccountId;

    use super::*;
    use crate::policy::{IpPrefix, TextKey};

    fn keyed(per_minute: u32, burst: u32, keys_max: usize) -> Keyed<u32> {
        Keyed::new(Limit::Request, Rate { per_minute, burst }, keys_max, &Arc::new(Metrics::new().unwrap()))
    }

    #[test]
    fn the_burst_passes_and_then_the_wait_is_named() {
        let keyed = keyed(60, 3, 10);
        for _ in 0..3 {
            assert_eq!(keyed.check(&1), Ok(()));
        }
        let Wait(wait) = keyed.check(&1).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(keyed.check(&2), Ok(()));
    }

    #[test]
    fn another_rate_counts_at_once_and_the_same_one_changes_nothing() {
        let keyed = keyed(1, 1, 10);
        assert_eq!(keyed.check(&1), Ok(()));
        keyed.set(Rate { per_minute: 1, burst: 1 });
        assert!(keyed.check(&1).is_err());
        keyed.set(Rate { per_minute: 1, burst: 2 });
        assert_eq!([1, 1, 1].map(|key| keyed.check(&key).is_ok()), [true, true, false]);
    }

    #[test]
    fn a_map_full_of_busy_keys_takes_no_more() {
        let keyed = keyed(1, 1, 4);
        for key in 0..4 {
            assert_eq!(keyed.check(&key), Ok(()));
        }
        assert_eq!(keyed.check(&99), Err(FULL));
        assert_eq!(keyed.at().cells.len(), 4);
    }

    #[test]
    fn a_map_full_of_recovered_keys_is_cleaned() {
        // A million a minute: a cell has recovered after 60 microseconds.
        let keyed = keyed(1_000_000, 1, 4);
        for key in 0..200 {
            std::thread::sleep(Duration::from_micros(200));
            assert_eq!(keyed.check(&key), Ok(()));
        }
    }

    /// The budget of a rate-limit entry is 100 bytes: the key and the cell, and what the map's table
    /// keeps for them (a control byte, and up to as many empty slots as full ones after it has grown).
    #[test]
    fn an_entry_is_small() {
        fn entry<K>() -> usize {
            (size_of::<(K, InMemoryState)>() + 1) * 2
        }
        assert!(entry::<AccountId>() <= 100, "{}", entry::<AccountId>());
        assert!(entry::<IpPrefix>() <= 100, "{}", entry::<IpPrefix>());
        assert!(entry::<TextKey>() <= 100, "{}", entry::<TextKey>());
    }
}
