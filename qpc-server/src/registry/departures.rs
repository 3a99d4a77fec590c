//! How many times devices have gone, so that what was read of a device need not be read again.
//!
//! Who notes the count, reads that a device exists, registers its session and finds the count unchanged knows
//! that the device is there: a revocation that the reading missed comes after the note, and counts before it
//! looks for sessions to cut. So it is either seen in the count or finds the session (invariant 12).

use std::sync::atomic::{AtomicU64, Ordering};

/// A count, to be compared with a later one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AsOf(u64);

#[derive(Debug, Default)]
pub(super) struct Departures(AtomicU64);

impl Departures {
    pub(super) fn as_of(&self) -> AsOf {
        AsOf(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn note(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
