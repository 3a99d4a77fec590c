//! Messages that wait for a peer, as wake-ups tell of them: all that has been queued since the store was last read, or that it
//! has to be read.
//!
//! A hint. Where something may be missing the store is read, as it is at the start and from time to time.

use super::hints::Hints;
use crate::store::Waiting;

/// Messages that are told of one by one; beyond that the store is read.
const QUEUED_MAX: usize = 1_024;
/// Bytes of them.
const QUEUED_BYTES: usize = 512 * 1024;

/// What waits for a peer.
pub(super) type Queued = Hints<Told>;

/// What was told since the store was read.
#[derive(Default)]
pub(super) struct Told {
    /// In the order of their rows; nothing where some may be missing.
    run: Option<Vec<Waiting>>,
    bytes: usize,
}

impl Hints<Told> {
    /// A message has been queued behind those that were told of.
    pub(super) fn of(&self, waiting: Waiting) {
        let mut told = self.lock();
        let bytes = told.bytes.saturating_add(waiting.request.len());
        let follows = |run: &Vec<Waiting>| {
            run.len() < QUEUED_MAX && bytes <= QUEUED_BYTES && run.last().is_none_or(|last| last.row < waiting.row)
        };
        match &mut told.run {
            Some(run) if follows(run) => {
                run.push(waiting);
                told.bytes = bytes;
            }
            _ => *told = Told::default(),
        }
        drop(told);
        self.bell.notify_one();
    }

    /// From here on all is told. Whoever reads the store after this has what was queued before.
    pub(super) fn listen(&self) {
        *self.lock() = Told { run: Some(Vec::new()), bytes: 0 };
    }

    /// The first of what was told; `None` where the store is to be read.
    pub(super) fn take(&self, most: usize) -> Option<Vec<Waiting>> {
        let mut told = self.lock();
        let Told { run, bytes } = &mut *told;
        let run = run.as_mut()?;
        let taken: Vec<_> = run.drain(..most.min(run.len())).collect();
        *bytes = bytes.saturating_sub(taken.iter().map(|waiting| waiting.request.len()).sum());
        Some(taken)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use bytes::Bytes;
    use qpc_proto::id::DeviceId;

    use super::*;

    fn waiting(row: usize, length: usize) -> Waiting {
        let sender = "bob@b.example".parse().unwrap();
        let (row, device) = (i64::try_from(row).unwrap(), DeviceId::new(1, [1; 10]));
        Waiting { row, sender, device, request: Bytes::from(vec![0; length]) }
    }

    /// The rows of the next messages, unless the store is to be read.
    fn next(queued: &Queued, most: usize) -> Option<Vec<i64>> {
        queued.take(most).map(|run| run.iter().map(|waiting| waiting.row).collect())
    }

    #[test]
    fn what_is_queued_while_somebody_listens_is_told_once_and_in_order() {
        let queued = Queued::default();
        queued.of(waiting(1, 5));
        assert_eq!(next(&queued, 9), None, "nobody listened");
        queued.listen();
        assert_eq!(next(&queued, 9), Some(vec![]));
        for row in [4, 5, 9] {
            queued.of(waiting(row, 5));
        }
        assert_eq!(next(&queued, 2), Some(vec![4, 5]));
        assert_eq!(next(&queued, 2), Some(vec![9]));
        for forgets in [Queued::forget, Queued::of_all] {
            queued.listen();
            queued.of(waiting(10, 5));
            forgets(&queued);
            queued.of(waiting(11, 5));
            assert_eq!(next(&queued, 9), None);
        }
        queued.listen();
        queued.of(waiting(13, 5));
        queued.of(waiting(12, 5));
        assert_eq!(next(&queued, 9), None, "out of order");
    }

    #[test]
    fn beyond_its_limits_the_store_is_to_be_read() {
        for (most, length) in [(QUEUED_MAX, 0), (8, QUEUED_BYTES / 8)] {
            let queued = Queued::default();
            queued.listen();
            (0..most).for_each(|row| queued.of(waiting(row, length)));
            assert_eq!(next(&queued, 1), Some(vec![0]));
            queued.of(waiting(most, length));
            assert_eq!(next(&queued, QUEUED_MAX).unwrap().len(), most, "at the limit");
            (0..most).for_each(|row| queued.of(waiting(row, length)));
            queued.of(waiting(most, length.max(1)));
            assert_eq!(next(&queued, 1), None);
        }
    }
}
