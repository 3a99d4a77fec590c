//! The figure of undelivered entries, kept up to date without counting each time.
//!
//! All cursors are counted now and then, in slices: a look at the figure counts one slice at most, because at
//! 20,000 users the whole takes a core for a second, and everybody's messages wait meanwhile. Between counts, and in
//! logs that a count has passed, the writer adds what each transaction changes. The two are never out of step: the
//! writer commits, and a slice's snapshot begins, under one lock.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::error::int;
use crate::store::tables::LogId;

/// What a transaction changes in the figure.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// Devices count that were seen since; `None` while nobody asks for the figure.
    pub(super) since: Option<u64>,
    pub(super) undelivered: Vec<(LogId, i64)>,
    /// Something changed that only a new count can tell.
    pub(super) stale: bool,
}

/// Entries that wait, and when the oldest of them was stored.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    undelivered: i64,
    oldest_ms: Option<u64>,
}

/// What a part of the cursors gave, in order of their logs.
#[derive(Debug)]
pub(super) struct Slice {
    /// The last log of the slice; `None` where no more follow.
    pub(super) through: Option<LogId>,
    pub(super) undelivered: u64,
    pub(super) oldest_ms: Option<u64>,
}

/// A count under way.
#[derive(Debug, Default)]
struct Round {
    /// Logs up to this one are counted and kept up; `None` before the first slice.
    through: Option<LogId>,
    sum: Sum,
    /// While a slice is counted, and only then: what was committed since its snapshot, in logs that it may hold.
    meanwhile: Option<Vec<(LogId, i64)>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    since: Option<u64>,
    /// What the last count gave and what has changed since; `None` before the first.
    known: Option<Sum>,
    round: Option<Round>,
    begun: Option<Instant>,
    /// Something has changed since the last count began.
    changed: bool,
}

/// Shared by the writer and the readers.
#[derive(Debug)]
pub(super) struct Figures {
    state: Mutex<State>,
    /// One slice at a time.
    counting: Mutex<()>,
    refresh: Duration,
    slice: usize,
}

impl Figures {
    pub(super) fn new(refresh: Duration, slice: usize) -> Self {
        Self { state: Mutex::default(), counting: Mutex::default(), refresh, slice }
    }

    /// Held by the writer over a commit, and by a reader while it begins its snapshot.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The figure and when the oldest entry was stored, after one slice where a count is due or under way; the first
    /// count is made at once. `pin` begins the snapshot, and `count` counts so many cursors of it that come after a log.
    pub(super) fn read<E>(
        &self,
        since: u64,
        pin: impl FnOnce() -> Result<(), E>,
        count: impl FnOnce(Option<LogId>, usize) -> Result<Slice, E>,
    ) -> Result<(u64, Option<u64>), E> {
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let (after, most) = {
            let mut state = self.lock();
            if !state.is_due(since, self.refresh) {
                return Ok(state.figure());
            }
            pin()?;
            (state.open(since), if state.known.is_some() { self.slice } else { usize::MAX })
        };
        let slice = count(after, most);
        let mut state = self.lock();
        state.close(slice.as_ref().ok());
        slice.map(|_| state.figure())
    }
}

impl State {
    pub(super) fn since(&self) -> Option<u64> {
        self.since
    }

    /// Takes in what a committed transaction changed.
    pub(super) fn add(&mut self, delta: &Delta) {
        self.changed |= delta.stale || !delta.undelivered.is_empty() || delta.since != self.since;
        for &(log, change) in &delta.undelivered {
            if let Some(known) = &mut self.known {
                known.undelivered = known.undelivered.saturating_add(change);
            }
            if let Some(round) = &mut self.round {
                round.add(log, change);
            }
        }
    }

    fn is_due(&self, since: u64, refresh: Duration) -> bool {
        let Some(known) = self.known.filter(|_| self.since == Some(since) && self.round.is_none()) else { return true };
        // What only a new count can tell (and the age of the oldest is that) waits for its turn, unless there was none.
        let waited = self.begun.is_none_or(|begun| begun.elapsed() >= refresh);
        (self.changed && waited) || (known.undelivered > 0 && known.oldest_ms.is_none())
    }

    /// Begins a slice; says after which log.
    fn open(&mut self, since: u64) -> Option<LogId> {
        if self.since != Some(since) || self.round.is_none() {
            self.since = Some(since);
            self.changed = false;
            self.begun = Some(Instant::now());
            self.round = Some(Round::default());
        }
        let round = self.round.get_or_insert_default();
        round.meanwhile = Some(Vec::new());
        round.through
    }

    /// Ends a slice; one that failed is tried again.
    fn close(&mut self, slice: Option<&Slice>) {
        let Some(mut round) = self.round.take() else { return };
        let meanwhile = round.meanwhile.take().unwrap_or_default();
        if let Some(slice) = slice {
            round.take_in(slice, meanwhile);
        }
        if slice.is_some_and(|slice| slice.through.is_none()) {
            self.known = Some(round.sum);
        } else {
            self.round = Some(round);
        }
    }

    fn figure(&self) -> (u64, Option<u64>) {
        let known = self.known.unwrap_or_default();
        let undelivered = u64::try_from(known.undelivered).unwrap_or_default();
        (undelivered, known.oldest_ms.filter(|_| undelivered > 0))
    }
}

impl Round {
    fn add(&mut self, log: LogId, change: i64) {
        if self.through.is_some_and(|through| log <= through) {
            self.sum.undelivered = self.sum.undelivered.saturating_add(change);
        } else if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.push((log, change));
        }
    }

    fn take_in(&mut self, slice: &Slice, meanwhile: Vec<(LogId, i64)>) {
        self.sum.undelivered = self.sum.undelivered.saturating_add(int(slice.undelivered));
        self.sum.oldest_ms = [self.sum.oldest_ms, slice.oldest_ms].into_iter().flatten().min();
        for (log, change) in meanwhile {
            if slice.through.is_none_or(|through| log <= through) {
                self.sum.undelivered = self.sum.undelivered.saturating_add(change);
            }
        }
        self.through = slice.through;
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may overflow: it fails then")]
mod tests {
    use std::{cell::RefCell, collections::BTreeMap, convert::Infallible};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Commits, each of a log and what it adds.
    type Commits = Vec<(i64, i64)>;

    /// What is stored: entries that wait in each log.
    #[derive(Default)]
    struct Stored(RefCell<BTreeMap<LogId, i64>>);

    impl Stored {
        fn commit(&self, figures: &Figures, commits: &Commits) {
            for &(log, change) in commits {
                *self.0.borrow_mut().entry(LogId(log)).or_default() += change;
                let since = figures.lock().since();
                figures.lock().add(&Delta { since, undelivered: vec![(LogId(log), change)], stale: false });
            }
        }

        fn all(&self) -> i64 {
            self.0.borrow().values().sum()
        }
    }

    /// A look at the figure, with what is committed while it counts.
    fn look(figures: &Figures, stored: &Stored, meanwhile: &Commits) -> u64 {
        let snapshot = RefCell::new(BTreeMap::new());
        let pin = || -> Result<(), Infallible> {
            snapshot.replace(stored.0.borrow().clone());
            Ok(())
        };
        let count = |after: Option<LogId>, most: usize| {
            stored.commit(figures, meanwhile);
            let snapshot = snapshot.borrow();
            let mut left = snapshot.iter().filter(|(log, _)| after.is_none_or(|after| **log > after));
            let slice: Vec<_> = left.by_ref().take(most).collect();
            let undelivered = slice.iter().map(|(_, waiting)| **waiting).sum::<i64>();
            let through = left.next().and_then(|_| slice.last()).map(|(log, _)| **log);
            Ok(Slice { through, undelivered: u64::try_from(undelivered).unwrap(), oldest_ms: Some(1) })
        };
        figures.read(0, pin, count).unwrap_or_else(|never| match never {}).0
    }

    proptest! {
        #[test]
        fn the_figure_is_true_whatever_is_committed_while_it_is_counted(
            steps in vec((vec((0..8_i64, 1..5_i64), 0..4), vec((0..8_i64, 1..5_i64), 0..4)), 1..40),
            slice in 1..4_usize,
        ) {
            let (figures, stored) = (Figures::new(Duration::ZERO, slice), Stored::default());
            for (before, meanwhile) in steps {
                stored.commit(&figures, &before);
                let figure = look(&figures, &stored, &meanwhile);
                prop_assert_eq!(i64::try_from(figure).unwrap(), stored.all());
            }
        }
    }
}
