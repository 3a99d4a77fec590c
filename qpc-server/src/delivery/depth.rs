//! How many stored entries nobody has acknowledged yet, of devices that are here and of those that are not.
//!
//! The store counts them over all devices. Open sync calls keep their share here by differences, so nothing is ever
//! summed up.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The sum over all open sync calls: stored and not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Depth(AtomicU64);

impl Depth {
    /// Splits the figure of all devices into those that are here and those that are not.
    pub(super) fn split(&self, undelivered: u64) -> (u64, u64) {
        let here = self.0.load(Ordering::Relaxed);
        (here, undelivered.saturating_sub(here))
    }
}

/// What one sync call adds to the sum. Dropping it takes it out.
#[derive(Debug)]
pub struct DepthShare {
    depth: Arc<Depth>,
    unread: u64,
}

impl DepthShare {
    pub(super) fn new(depth: Arc<Depth>) -> Self {
        Self { depth, unread: 0 }
    }

    /// One log's part of the share has changed. The sum wraps where the share does, so that taking the share out
    /// again is exact.
    pub fn change(&mut self, before: u64, now: u64) {
        let difference = now.wrapping_sub(before);
        if difference != 0 {
            self.unread = self.unread.wrapping_add(difference);
            self.depth.0.fetch_add(difference, Ordering::Relaxed);
        }
    }
}

impl Drop for DepthShare {
    fn drop(&mut self) {
        self.depth.0.fetch_sub(self.unread, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_leave_nothing_behind() {
        let depth = Arc::new(Depth::default());
        let (mut one, mut two) = (DepthShare::new(Arc::clone(&depth)), DepthShare::new(Arc::clone(&depth)));
        one.change(0, 5);
        two.change(0, 1);
        one.change(5, 2);
        assert_eq!(depth.split(10), (3, 7));
        drop(one);
        assert_eq!(depth.split(10), (1, 9));
        drop(two);
        assert_eq!(depth.split(0), (0, 0));
    }
}
