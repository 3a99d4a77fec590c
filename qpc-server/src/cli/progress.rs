//! How far long work has come, on a terminal and nowhere else.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Between two words on it.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// A line that is written over.
pub(super) struct Progress {
    /// What is counted.
    of: &'static str,
    told: Option<Instant>,
}

impl Progress {
    pub(super) fn new(of: &'static str) -> Self {
        Self { of, told: None }
    }

    /// So many bytes of so many are done.
    pub(super) fn tell(&mut self, done: u64, total: u64) {
        if std::io::stderr().is_terminal() && self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            // A terminal that is gone is in nobody's way.
            write!(std::io::stderr(), "\r{} of {} MB of {}", done / 1_000_000, total / 1_000_000, self.of).ok();
        }
    }

    pub(super) fn clear(&self) {
        if self.told.is_some() {
            write!(std::io::stderr(), "\r\x1b[K").ok();
        }
    }
}
