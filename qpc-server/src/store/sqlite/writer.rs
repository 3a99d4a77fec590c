//! The writer: one thread, one connection, group commit (D4).
//!
//! Verbs that arrive during a commit share the next one, and are answered after it (invariant 1). The same for every
//! database: what its rows are, and what else follows a commit, is its [`Writing`].

use std::{
    cell::Cell,
    sync::{Arc, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};

use super::{
    Batch, Fatal, StoreObserver,
    connection::BUSY,
    error::{disk_failed, fault},
    pace::Pace,
    queue::{Entrance, Job, Schema},
};
use crate::store::StoreFault;

/// With so many verbs in the queue a commit has company enough.
const ENOUGH: u64 = 48;
/// The log may grow to this many times the size from which it is written back.
const RESTART_FACTOR: i32 = 8;
/// How long commits may then wait for a reader.
const RESTART_WAIT: Duration = Duration::from_millis(250);

thread_local! {
    /// Pages in the write-ahead log, as SQLite's hook tells the thread that commits.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// Bounds of one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    pub(super) verbs: usize,
    pub(super) bytes: usize,
}

/// A batch, in the order in which its verbs were called.
pub(crate) type Jobs<S> = Vec<Box<dyn Job<S>>>;

/// What the writer of a database does besides committing.
pub(crate) trait Writing: Send + 'static {
    /// Whose verbs.
    type Schema: Schema;
    /// What a transaction does besides its rows, once it is durable.
    type Effects;

    /// A transaction begins.
    fn begin(&mut self) -> Self::Effects;

    /// Shows a verb the rows.
    fn run(
        &mut self,
        connection: &Connection,
        effects: &mut Self::Effects,
        job: &mut dyn Job<Self::Schema>,
    ) -> Result<(), StoreFault>;

    /// Calls `commit`, with whatever must happen at the same moment.
    fn commit<T>(
        &mut self,
        effects: &Self::Effects,
        commit: impl FnOnce() -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T>;

    /// A transaction has been undone.
    fn undone(&mut self);

    /// After a commit: gives what follows it, and answers.
    fn follow_up(&self, effects: Self::Effects, batch: Jobs<Self::Schema>);
}

/// Everything that the writing thread owns.
pub(super) struct Writer<W: Writing> {
    pub(super) connection: Connection,
    pub(super) queue: Receiver<Box<dyn Job<W::Schema>>>,
    pub(super) entrance: Arc<Entrance<W::Schema>>,
    pub(super) writing: W,
    pub(super) observer: Arc<dyn StoreObserver>,
    pub(super) fatal: Fatal,
    pub(super) limits: BatchLimits,
    pub(super) pace: Pace,
    /// Pages in the write-ahead log from which it is written back.
    pub(super) checkpoint_pages: i32,
    /// How many of them the last try left written back.
    pub(super) written_back: i32,
    #[cfg(test)]
    pub(super) broken_disk: Arc<std::sync::atomic::AtomicBool>,
}

/// Why a batch did not become durable. Everything it did is undone.
enum Undone {
    /// A verb or the commit failed.
    Fault(StoreFault),
    /// The disk failed in the commit: what it holds is unknown.
    Disk(String),
}

impl<W: Writing> Writer<W> {
    /// Works until the entrance is closed and the queue is empty, or the disk fails.
    pub(super) fn work(&mut self) {
        self.connection.wal_hook(Some(|_, pages| {
            WAL_PAGES.set(pages);
            Ok(())
        }));
        while let Ok(first) = self.queue.recv() {
            let batch = self.gather(first);
            if let Err(reason) = self.commit_all(batch).and_then(|()| self.checkpoint_if_due()) {
                (self.fatal)(&reason);
                // Only a test's hook comes back. Nothing is written any more.
                self.entrance.close();
                self.queue.iter().for_each(|job| job.refuse(StoreFault::Stopped));
                return;
            }
        }
    }

    /// Takes what waits, within the bounds of a batch.
    fn gather(&mut self, first: Box<dyn Job<W::Schema>>) -> Jobs<W::Schema> {
        let wait = self.pace.wait();
        if !wait.is_zero() && self.entrance.waiting() < ENOUGH {
            thread::sleep(wait);
        }
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < self.limits.verbs && bytes < self.limits.bytes {
            let Ok(job) = self.queue.try_recv() else { break };
            bytes = bytes.saturating_add(job.bytes());
            batch.push(job);
        }
        self.entrance.left(u64::try_from(batch.len()).unwrap_or_default());
        self.pace.took(batch.len(), Instant::now());
        batch
    }

    /// Commits a batch; where it is undone, each of its verbs alone.
    fn commit_all(&mut self, mut batch: Jobs<W::Schema>) -> Result<(), String> {
        match self.commit(&mut batch) {
            Ok(effects) => {
                self.writing.follow_up(effects, batch);
                Ok(())
            }
            Err(Undone::Disk(reason)) => {
                refuse_all(batch, &reason);
                Err(reason)
            }
            Err(Undone::Fault(fault)) if batch.len() == 1 => {
                batch.into_iter().for_each(|job| job.refuse(fault.clone()));
                Ok(())
            }
            Err(Undone::Fault(fault)) => {
                tracing::debug!(%fault, verbs = batch.len(), "a batch was undone; its verbs run singly");
                let mut rest = batch.into_iter();
                while let Some(job) = rest.next() {
                    if let Err(reason) = self.commit_all(vec![job]) {
                        refuse_all(rest.collect(), &reason);
                        return Err(reason);
                    }
                }
                Ok(())
            }
        }
    }

    /// One transaction: verbs in order, then COMMIT.
    fn commit(&mut self, batch: &mut [Box<dyn Job<W::Schema>>]) -> Result<W::Effects, Undone> {
        let began = Instant::now();
        let outcome = self.transact(batch);
        match outcome {
            Ok((effects, sync_from)) => {
                let now = Instant::now();
                self.observer.committed(Batch {
                    verbs: batch.len(),
                    whole: now.saturating_duration_since(began),
                    sync: now.saturating_duration_since(sync_from),
                });
                Ok(effects)
            }
            Err(undone) => {
                self.writing.undone();
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    return Err(Undone::Disk(format!("a transaction could not be undone: {error}")));
                }
                Err(undone)
            }
        }
    }

    fn transact(&mut self, batch: &mut [Box<dyn Job<W::Schema>>]) -> Result<(W::Effects, Instant), Undone> {
        let undone = |error| Undone::Fault(fault(error));
        self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(undone)?;
        let mut effects = self.writing.begin();
        for job in batch.iter_mut() {
            self.writing.run(&self.connection, &mut effects, job.as_mut()).map_err(Undone::Fault)?;
        }
        #[cfg(feature = "planted-bugs")]
        super::planted::answer_early(batch);
        let connection = &self.connection;
        #[cfg(test)]
        let broken = self.broken_disk.load(std::sync::atomic::Ordering::Relaxed);
        let commit = || {
            let sync_from = Instant::now();
            #[cfg(test)]
            if broken {
                let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
                return Err(rusqlite::Error::SqliteFailure(error, None));
            }
            connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(sync_from)
        };
        let sync_from = self.writing.commit(&effects, commit).map_err(commit_failed)?;
        Ok((effects, sync_from))
    }

    /// Writes the log back into the database. SQLite's own checkpoints hide a failed fsync, after which
    /// the log would be overwritten although the database may lack what it held.
    fn checkpoint_if_due(&mut self) -> Result<(), String> {
        let pages = WAL_PAGES.replace(0);
        if pages < self.checkpoint_pages {
            return Ok(());
        }
        let many = pages >= self.checkpoint_pages.saturating_mul(RESTART_FACTOR);
        let before = self.written_back;
        let outcome = self.checkpoint("PASSIVE").and_then(|()| {
            // Readers that overlap without end would let the log grow: then it waits for those that are reading, as far as
            // they come forward. A backup does not until it has ended, and nobody waits for that one.
            if many && self.written_back != before { self.restart() } else { Ok(()) }
        });
        match outcome {
            Ok(()) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                tracing::warn!("no space is left to write the log back; it grows until there is");
                Ok(())
            }
            Err(error) if disk_failed(&error) => Err(format!("a checkpoint failed: {error}")),
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed; it is tried again later");
                Ok(())
            }
        }
    }
}

impl<W: Writing> Writer<W> {
    fn checkpoint(&mut self, mode: &str) -> rusqlite::Result<()> {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        self.written_back = self.connection.query_row(&sql, [], |row| row.get(2))?;
        Ok(())
    }

    /// Writes all of the log back, so that it begins anew: waits a little for who reads.
    fn restart(&mut self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(RESTART_WAIT)?;
        let outcome = self.checkpoint("RESTART");
        self.connection.busy_timeout(BUSY)?;
        outcome
    }
}

fn commit_failed(error: rusqlite::Error) -> Undone {
    if disk_failed(&error) { Undone::Disk(format!("a commit failed: {error}")) } else { Undone::Fault(fault(error)) }
}

fn refuse_all<S: Schema>(batch: Jobs<S>, reason: &str) {
    batch.into_iter().for_each(|job| job.refuse(StoreFault::Engine(reason.to_owned())));
}
