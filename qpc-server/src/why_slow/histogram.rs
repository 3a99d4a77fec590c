//! Times that were counted in buckets, and what can be said of them then.

use std::fmt;

use serde::{Serialize, Serializer};

use super::page::Page;

/// A point that so many of a hundred lie below, as exactly as the buckets say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// About there.
    About(f64),
    /// Above the last bound: nobody knows how far.
    Above(f64),
}

impl Quantile {
    /// The number itself.
    #[must_use]
    pub fn bound(self) -> f64 {
        match self {
            Self::About(at) | Self::Above(at) => at,
        }
    }

    pub(super) fn in_ms(self) -> Self {
        match self {
            Self::About(seconds) => Self::About(seconds * 1_000.0),
            Self::Above(seconds) => Self::Above(seconds * 1_000.0),
        }
    }
}

/// Shows milliseconds.
impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::About(ms) if *ms < 10.0 => write!(f, "{ms:.2} ms"),
            Self::About(ms) => write!(f, "{ms:.0} ms"),
            Self::Above(ms) => write!(f, "more than {ms:.0} ms"),
        }
    }
}

impl Serialize for Quantile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.bound())
    }
}

/// Upper bounds in seconds, ascending, each with how many were at most that. The last one is infinite.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// What a page says under a name; of several labels the sum, or of the one that is asked for.
    pub(super) fn of(page: &Page, name: &str, only: Option<(&str, &str)>) -> Self {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        let name = format!("{name}_bucket");
        for sample in page.each(&name) {
            let Some(bound) = sample.label("le").and_then(|bound| bound.parse::<f64>().ok()) else { continue };
            if only.is_some_and(|(label, value)| sample.label(label) != Some(value)) {
                continue;
            }
            match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Self(buckets)
    }

    /// What came since an earlier reading; of a server that was started again, everything.
    pub(super) fn since(self, earlier: &Self) -> Self {
        let same = self.0.len() == earlier.0.len() && self.count() >= earlier.count();
        if !same {
            return self;
        }
        let buckets =
            self.0.iter().zip(&earlier.0).map(|((bound, now), (_, before))| (*bound, (now - before).max(0.0)));
        Self(buckets.collect())
    }

    pub(super) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// Where a part of all lies below, as Prometheus' `histogram_quantile` has it: evenly spread within a bucket.
    pub(super) fn quantile(&self, q: f64) -> Option<Quantile> {
        let count = self.count();
        if count <= 0.0 {
            return None;
        }
        let rank = q * count;
        let (mut lower, mut below) = (0.0, 0.0);
        for (upper, until) in &self.0 {
            if *until >= rank {
                if upper.is_infinite() {
                    return Some(Quantile::Above(lower));
                }
                let within = until - below;
                let part = if within > 0.0 { (rank - below) / within } else { 1.0 };
                return Some(Quantile::About(lower + (upper - lower) * part));
            }
            (lower, below) = (*upper, *until);
        }
        Some(Quantile::Above(lower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(of: &Histogram, q: f64, wanted: f64) {
        let Some(Quantile::About(found)) = of.quantile(q) else { panic!("{:?}", of.quantile(q)) };
        assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }

    #[test]
    fn a_quantile_lies_where_prometheus_has_it() {
        // 10 up to 1, 30 between 1 and 2, 59 between 2 and 4, and 1 above.
        let of = Histogram(vec![(1.0, 10.0), (2.0, 40.0), (4.0, 99.0), (f64::INFINITY, 100.0)]);
        about(&of, 0.05, 0.5);
        about(&of, 0.25, 1.5);
        about(&of, 0.4, 2.0);
        about(&of, 0.99, 4.0);
        assert_eq!(of.quantile(0.995), Some(Quantile::Above(4.0)));
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(Quantile::Above(4.0).in_ms().to_string(), "more than 4000 ms");
        let later = Histogram(vec![(1.0, 10.0), (2.0, 40.0), (4.0, 119.0), (f64::INFINITY, 120.0)]);
        about(&later.since(&of), 0.5, 3.0);
    }
}
