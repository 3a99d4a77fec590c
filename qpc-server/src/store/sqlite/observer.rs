//! What the store tells whoever watches it: times and sizes, never contents.

use std::time::Duration;

/// Watches the store. Called on its threads: must be quick.
pub trait StoreObserver: Send + Sync + 'static {
    /// A batch of verbs has been committed.
    fn committed(&self, batch: Batch);
}

/// One commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Verbs in it.
    pub verbs: usize,
    /// From the first verb to the end of the commit.
    pub whole: Duration,
    /// The COMMIT itself, which is nearly all fsync.
    pub sync: Duration,
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl StoreObserver for Unobserved {
    fn committed(&self, _batch: Batch) {}
}
