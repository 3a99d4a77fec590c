//! The readers: threads with a connection each and one queue, so that reading never waits for a commit.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rusqlite::Connection;

use super::{
    error::fault,
    figures::Figures,
    queue::Job,
    readings::Readings,
    rows::{Effects, Rows},
};
use crate::store::StoreFault;

/// What a reading thread owns and shares.
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) queue: Arc<Readings>,
    pub(super) figures: Arc<Figures>,
}

impl Reader {
    /// Works until the queue is closed and empty.
    pub(super) fn work(self) {
        while let Some(mut job) = self.queue.next() {
            // A panic ends the request that met it, not the reading of everybody else (D13).
            match catch_unwind(AssertUnwindSafe(|| self.read(job.as_mut()))) {
                Ok(Ok(())) => job.answer(),
                Ok(Err(fault)) => job.refuse(fault),
                Err(_) => {
                    tracing::error!("a verb that reads has panicked");
                    job.refuse(StoreFault::Engine("a verb panicked".into()));
                }
            }
        }
    }

    /// Runs a verb on one snapshot.
    fn read(&self, job: &mut dyn Job) -> Result<(), StoreFault> {
        if !self.connection.is_autocommit() {
            // A panic left it open.
            self.connection.execute_batch("ROLLBACK").map_err(fault)?;
        }
        self.connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([])).map_err(fault)?;
        let mut effects = Effects::default();
        let mut rows =
            Rows { connection: &self.connection, cache: None, effects: &mut effects, figures: &self.figures };
        let outcome = job.run(&mut rows);
        // Nothing was written; this only lets go of the snapshot.
        self.connection.prepare_cached("ROLLBACK").and_then(|mut end| end.execute([])).map_err(fault)?;
        outcome
    }
}
