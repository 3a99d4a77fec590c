//! Time as a port: the wall clock for decoration and expiry, never for order.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds of a day.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The day of a time, as milliseconds since 1970.
#[must_use]
pub fn day(ms: u64) -> u64 {
    ms.saturating_sub(ms.checked_rem(DAY_MS).unwrap_or_default())
}

/// Tells the time. Monotonic time for timeouts is Tokio's.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn unix_ms(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        // A clock before 1970 reads as 1970: order never depends on it.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
