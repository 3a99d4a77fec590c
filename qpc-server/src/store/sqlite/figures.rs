//! The figure of undelivered entries, kept up to date without counting each time.
//!
//! A count over all cursors is taken now and then by a reader; between counts the writer adds what each
//! transaction changes. The two are never out of step: the writer commits, and the reader
//! begins its snapshot, under one lock.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What a transaction changes in the figure.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Delta {
    /// Devices count that were seen since; `None` while nobody asks for the figure.
    pub(super) since: Option<u64>,
    pub(super) undelivered: i64,
    /// Something changed that only a new count can tell.
    pub(super) stale: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    since: Option<u64>,
    /// What the last count gave; `None` before the first.
    count: Option<Count>,
    /// What has been added since.
    delta: i64,
    /// Something has changed since the last count.
    changed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) undelivered: i64,
    pub(super) oldest_ms: Option<u64>,
    pub(super) taken: Instant,
}

/// Shared by the writer and the readers.
#[derive(Debug)]
pub(super) struct Figures {
    state: Mutex<State>,
    /// One count at a time.
    counting: Mutex<()>,
    refresh: Duration,
}

impl Figures {
    pub(super) fn new(refresh: Duration) -> Self {
        Self { state: Mutex::default(), counting: Mutex::default(), refresh }
    }

    /// Held by the writer over a commit, and by a reader while it begins its snapshot.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The figure and when the oldest entry was stored, counted anew by `count` where that is due; `pin` begins
    /// the snapshot that is counted.
    pub(super) fn read<E>(
        &self,
        since: u64,
        pin: impl FnOnce() -> Result<(), E>,
        count: impl FnOnce() -> Result<(u64, Option<u64>), E>,
    ) -> Result<(u64, Option<u64>), E> {
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut state = self.lock();
            if let Some(known) = state.known(since, self.refresh) {
                return Ok(known);
            }
            pin()?;
            *state = State { since: Some(since), ..State::default() };
        }
        let (undelivered, oldest_ms) = count()?;
        let count =
            Count { undelivered: i64::try_from(undelivered).unwrap_or(i64::MAX), oldest_ms, taken: Instant::now() };
        self.lock().count = Some(count);
        Ok((undelivered, oldest_ms))
    }
}

impl State {
    pub(super) fn since(&self) -> Option<u64> {
        self.since
    }

    /// Takes in what a committed transaction changed.
    pub(super) fn add(&mut self, delta: Delta) {
        self.delta = self.delta.saturating_add(delta.undelivered);
        self.changed |= delta.stale || delta.undelivered != 0 || delta.since != self.since;
    }

    fn known(&self, since: u64, refresh: Duration) -> Option<(u64, Option<u64>)> {
        let count = self.count.filter(|_| self.since == Some(since))?;
        let undelivered = u64::try_from(count.undelivered.saturating_add(self.delta)).unwrap_or_default();
        // The oldest entry is known from a count alone.
        let oldest_missing = undelivered > 0 && count.oldest_ms.is_none();
        // What only a new count can tell (and the age of the oldest is that) waits for its turn.
        let due = self.changed && count.taken.elapsed() >= refresh;
        if due || oldest_missing { None } else { Some((undelivered, count.oldest_ms.filter(|_| undelivered > 0))) }
    }
}
