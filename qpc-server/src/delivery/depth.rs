//! How many stored entries nobody has acknowledged yet, of devices that are here and of those that are not.
//!
//! The store counts what is not written down as acknowledged, over all devices. Open sync calls know
//! better and sooner: each keeps its share here by differences, so nothing is ever summed up.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The sums over all open sync calls.
#[derive(Debug, Default)]
pub(super) struct Depth {
    /// Stored and not acknowledged.
    unread: AtomicU64,
    /// Stored and not written down as acknowledged: what the store counts.
    unrecorded: AtomicU64,
}

impl Depth {
    /// Splits the store's figure into devices that are here and devices that are not.
    pub(super) fn split(&self, undelivered: u64) -> (u64, u64) {
        let offline = undelivered.saturating_sub(self.unrecorded.load(Ordering::Relaxed));
        (self.unread.load(Ordering::Relaxed), offline)
    }
}

/// What one sync call adds to the sums. Dropping it takes it out.
#[derive(Debug)]
pub struct DepthShare {
    depth: Arc<Depth>,
    unread: u64,
    unrecorded: u64,
}

impl DepthShare {
    pub(super) fn new(depth: Arc<Depth>) -> Self {
        Self { depth, unread: 0, unrecorded: 0 }
    }

    /// One log's part of the share has changed: (unread, unrecorded) before and now.
    pub fn change(&mut self, before: (u64, u64), now: (u64, u64)) {
        shift(&mut self.unread, &self.depth.unread, before.0, now.0);
        shift(&mut self.unrecorded, &self.depth.unrecorded, before.1, now.1);
    }
}

impl Drop for DepthShare {
    fn drop(&mut self) {
        self.depth.unread.fetch_sub(self.unread, Ordering::Relaxed);
        self.depth.unrecorded.fetch_sub(self.unrecorded, Ordering::Relaxed);
    }
}

/// Replaces `before` by `now` in a share and in the sum that it is part of; the sum wraps where the share does,
/// so that taking the share out again is exact.
fn shift(share: &mut u64, sum: &AtomicU64, before: u64, now: u64) {
    let difference = now.wrapping_sub(before);
    *share = share.wrapping_add(difference);
    sum.fetch_add(difference, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_leave_nothing_behind() {
        let depth = Arc::new(Depth::default());
        let (mut one, mut two) = (DepthShare::new(Arc::clone(&depth)), DepthShare::new(Arc::clone(&depth)));
        one.change((0, 0), (5, 7));
        two.change((0, 0), (1, 1));
        one.change((5, 7), (2, 7));
        assert_eq!(depth.split(10), (3, 2));
        drop(one);
        assert_eq!(depth.split(10), (1, 9));
        drop(two);
        assert_eq!(depth.split(0), (0, 0));
    }
}
