//! The little statistics that the figures need: medians, and how sure they are.

use crate::random::Random;

/// The median of a sorted sample; 0 for an empty one.
#[must_use]
pub fn median(sorted: &[f64]) -> f64 {
    quantile(sorted, 0.5)
}

/// The median of values in any order; 0 where there are none.
#[must_use]
pub fn median_of(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}

/// A quantile of a sorted sample, by linear interpolation; 0 for an empty one.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sample sizes"
)]
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let value = |index: usize| sorted.get(index).copied().unwrap_or_default();
    value(below) + (value(above) - value(below)) * (place - place.floor())
}

/// The 95 % interval of the difference of medians of two samples, `b - a`, by resampling both
/// `rounds` times with a fixed seed, so that the same samples give the same interval.
#[must_use]
pub fn difference_of_medians(a: &[f64], b: &[f64], rounds: usize) -> (f64, f64) {
    let mut random = Random::new(0);
    let mut resampled = |sample: &[f64]| {
        let mut drawn: Vec<f64> =
            (0..sample.len()).map(|_| sample.get(random.index(sample.len())).copied().unwrap_or_default()).collect();
        drawn.sort_by(f64::total_cmp);
        median(&drawn)
    };
    let mut differences: Vec<f64> = (0..rounds).map(|_| resampled(b) - resampled(a)).collect();
    differences.sort_by(f64::total_cmp);
    (quantile(&differences, 0.025), quantile(&differences, 0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert!((median(&[1.0, 2.0, 4.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[1.0, 2.0]) - 1.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
        assert!((quantile(&[0.0, 10.0], 0.95) - 9.5).abs() < 1e-9);
    }

    #[test]
    fn the_interval_holds_a_true_difference_and_excludes_another() {
        let a: Vec<f64> = (0..1000).map(|n| f64::from(n % 100)).collect();
        let b: Vec<f64> = a.iter().map(|value| value + 20.0).collect();
        let (low, high) = difference_of_medians(&a, &b, 200);
        assert!(low <= 20.0 && 20.0 <= high && low > 5.0, "{low} {high}");
        let (low, high) = difference_of_medians(&a, &a, 200);
        assert!(low <= 0.0 && 0.0 <= high);
    }
}
