//! How long the writer gathers before it commits.
//!
//! A commit costs the same pages whether one verb or twenty share it, so a busy writer waits a little
//! for company. A quiet one never waits: what arrives alone is committed at once. It sleeps instead of
//! watching the queue, because a thread that watches is woken for each verb.

use std::time::{Duration, Instant};

/// As many verbs as a wait is meant to bring together: beyond, one more saves little.
const COMPANY: f64 = 48.0;
/// With fewer verbs to be expected within the longest wait, nothing is waited for.
const ALONE: f64 = 2.0;
/// The rate is an average over about this long, in seconds.
const MEMORY: f64 = 0.1;

/// The rate at which verbs arrive, and what it means for the next commit.
#[derive(Debug)]
pub(super) struct Pace {
    longest: Duration,
    /// Verbs a second.
    rate: f64,
    last: Instant,
}

impl Pace {
    /// Waits at most so long; never, with zero.
    pub(super) fn new(longest: Duration, now: Instant) -> Self {
        Self { longest, rate: 0.0, last: now }
    }

    /// How long to wait for company when a verb is there.
    pub(super) fn wait(&self) -> Duration {
        if self.rate * self.longest.as_secs_f64() < ALONE {
            return Duration::ZERO;
        }
        self.longest.min(Duration::try_from_secs_f64(COMPANY / self.rate).unwrap_or(Duration::ZERO))
    }

    /// A batch has been taken.
    pub(super) fn took(&mut self, verbs: usize, now: Instant) {
        let passed = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = now;
        let kept = (-passed / MEMORY).exp();
        let verbs = u32::try_from(verbs).map_or(f64::MAX, f64::from);
        // Each verb adds to the average what decays over MEMORY: a steady stream settles at its rate.
        self.rate = (self.rate * kept + verbs / MEMORY).min(1e9);
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: Duration = Duration::from_millis(4);

    fn after(steps: impl IntoIterator<Item = (usize, Duration)>) -> Pace {
        let mut now = Instant::now();
        let mut pace = Pace::new(LONGEST, now);
        for (verbs, passed) in steps {
            now += passed;
            pace.took(verbs, now);
        }
        pace
    }

    #[test]
    fn one_person_who_writes_waits_for_nobody() {
        assert_eq!(after([]).wait(), Duration::ZERO);
        assert_eq!(after([(1, Duration::from_millis(50)); 100]).wait(), Duration::ZERO);
        // A crowd that has gone is forgotten.
        let busy = [(20, Duration::from_millis(4)); 100];
        assert_eq!(after(busy.into_iter().chain([(1, Duration::from_secs(2))])).wait(), Duration::ZERO);
    }

    #[test]
    fn a_crowd_is_gathered_and_a_flood_is_not_waited_for_longer_than_it_takes() {
        assert_eq!(after([(4, LONGEST); 100]).wait(), LONGEST);
        let flood = after([(200, Duration::from_millis(2)); 100]).wait();
        assert!(flood < Duration::from_millis(1), "{flood:?}");
    }

    #[test]
    fn without_a_longest_wait_there_is_none() {
        let mut pace = Pace::new(Duration::ZERO, Instant::now());
        pace.took(10_000, Instant::now());
        assert_eq!(pace.wait(), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_allowed(
            steps in prop::collection::vec((0usize..100_000, (0u64..10_000_000).prop_map(Duration::from_micros)), 0..40),
        ) {
            prop_assert!(after(steps).wait() <= LONGEST);
        }
    }
}
