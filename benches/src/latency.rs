//! How long things took, from when they were due: a histogram that thousands of clients share.
//!
//! Counting from the due time is what corrects for coordinated omission: a message that waits behind a slow one
//! is late as well, and counts so.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The longest time that is told from longer ones, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;
/// Significant digits.
const DIGITS: u8 = 3;
/// Histograms that clients are spread over, so that they seldom wait for each other.
const SHARDS: usize = 4;

/// Times, collected.
#[derive(Debug)]
pub struct Latencies(Vec<Mutex<Histogram<u64>>>);

/// What became of them, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    /// How many there were.
    pub count: u64,
    /// Percentiles.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Latencies {
    /// None so far.
    ///
    /// # Errors
    /// Never, with the bounds above.
    pub fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS)?;
        Ok(Self((0..SHARDS).map(|_| Mutex::new(histogram.clone())).collect()))
    }

    /// Adds one; `who` spreads.
    pub fn record(&self, who: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let shard = who.checked_rem(self.0.len()).and_then(|at| self.0.get(at));
        if let Some(shard) = shard {
            shard.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
        }
    }

    fn merged(&self) -> Option<Histogram<u64>> {
        let mut shards = self.0.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let mut all = shards.next()?;
        for shard in shards {
            // All have the same bounds.
            all.add(shard).ok()?;
        }
        Some(all)
    }

    /// The percentiles.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let Some(all) = self.merged() else { return Summary::default() };
        let at = |quantile: f64| millis(all.value_at_quantile(quantile));
        let (p50, p90, p99, p999) = (at(0.5), at(0.9), at(0.99), at(0.999));
        Summary { count: all.len(), p50, p90, p99, p999, max: millis(all.max()) }
    }

    /// What so many of them took at most, in milliseconds.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> f64 {
        self.merged().map(|all| millis(all.value_at_quantile(quantile))).unwrap_or_default()
    }

    /// Points of the distribution for a plot: the fraction that took longer, and milliseconds.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let Some(all) = self.merged().filter(|all| !all.is_empty()) else { return Vec::new() };
        let mut points = Vec::new();
        let mut longer = 1.0_f64;
        while longer > 1e-6 && longer * all.len() as f64 >= 0.5 {
            points.push((longer, millis(all.value_at_quantile(1.0 - longer))));
            longer /= 1.25;
        }
        points
    }
}

impl Summary {
    /// As results have it.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self { p50, p90, p99, p999, max, .. } = self;
        json!({ "p50": p50, "p90": p90, "p99": p99, "p999": p999, "max": max })
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_shards() {
        let all = Latencies::new().unwrap();
        for n in 1..=1_000_u64 {
            all.record(usize::try_from(n).unwrap(), Duration::from_micros(n * 10));
        }
        let summary = all.summary();
        assert_eq!(summary.count, 1_000);
        for (value, wanted) in [(summary.p50, 5.0), (summary.p90, 9.0), (summary.p99, 9.9), (summary.max, 10.0)] {
            assert!((value - wanted).abs() / wanted < 0.002, "{value} {wanted}");
        }
        let curve = all.curve();
        assert!(curve.first().unwrap().1 <= 0.011 && curve.windows(2).all(|two| two[0].1 <= two[1].1));
        assert_eq!(Latencies::new().unwrap().summary(), Summary::default());
    }
}
