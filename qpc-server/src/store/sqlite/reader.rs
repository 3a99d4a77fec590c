//! The readers: threads with a connection each and one queue, so that reading never waits for a commit.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rusqlite::Connection;

use super::{
    error::fault,
    queue::{Job, Schema},
    readings::Readings,
};
use crate::store::StoreFault;

/// What the readers of a database do with a verb.
pub(crate) trait Reading: Send + 'static {
    /// Whose verbs.
    type Schema: Schema;

    /// Shows a verb the rows.
    fn run(&self, connection: &Connection, job: &mut dyn Job<Self::Schema>) -> Result<(), StoreFault>;
}

/// What a reading thread owns and shares.
pub(super) struct Reader<R: Reading> {
    pub(super) connection: Connection,
    pub(super) queue: Arc<Readings<R::Schema>>,
    pub(super) reading: R,
}

impl<R: Reading> Reader<R> {
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
    fn read(&self, job: &mut dyn Job<R::Schema>) -> Result<(), StoreFault> {
        if !self.connection.is_autocommit() {
            // A panic left it open.
            self.connection.execute_batch("ROLLBACK").map_err(fault)?;
        }
        self.connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([])).map_err(fault)?;
        let outcome = self.reading.run(&self.connection, job);
        // Nothing was written; this only lets go of the snapshot.
        self.connection.prepare_cached("ROLLBACK").and_then(|mut end| end.execute([])).map_err(fault)?;
        outcome
    }
}
