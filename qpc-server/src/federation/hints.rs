//! What a peer's tasks are told by wake-ups, and whether that is all: where it may not be, they read the store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What was told since it was asked for last. The default of it is that something may be missing.
#[derive(Default)]
pub(super) struct Hints<T> {
    pub(super) bell: Notify,
    told: Mutex<T>,
}

impl<T: Default> Hints<T> {
    /// Anything may be new.
    pub(super) fn of_all(&self) {
        self.forget();
        self.bell.notify_one();
    }

    /// Whoever asks next has to read the store.
    pub(super) fn forget(&self) {
        *self.lock() = T::default();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
