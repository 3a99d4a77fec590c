//! Rows under one lock, which another process can go on with where the first one ended: what adapters in memory stand on.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::store::{Reply, StoreFault, VerbError};

/// All rows of an adapter.
#[derive(Default)]
pub(crate) struct Shelf<W> {
    rows: Arc<Mutex<W>>,
    closed: AtomicBool,
}

impl<W> Shelf<W> {
    /// What a process finds that begins where this one ends now: all rows, and none of the verbs that are still to come.
    pub(crate) fn after_crash(&self) -> Self {
        self.close();
        Self { rows: Arc::clone(&self.rows), closed: AtomicBool::new(false) }
    }

    /// Takes no more verbs.
    pub(crate) fn close(&self) {
        let _rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Runs a verb now.
    pub(crate) fn run<T, E: VerbError>(&self, verb: impl FnOnce(&mut W) -> Result<T, E>) -> Reply<T, E> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let open = !self.closed.load(Ordering::Relaxed);
        Reply::ready(if open { verb(&mut rows) } else { Err(StoreFault::Stopped.into()) })
    }
}
