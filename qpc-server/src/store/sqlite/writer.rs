//! The writer: one thread, one connection, group commit (D4).
//!
//! Verbs that arrive during a commit share the next one. The order after a commit is: the sink first, then the
//! answers. So an answered entry has already been offered to the sessions that are there, and whoever is told
//! that a device is revoked knows its session has been told to end. Both are after the commit (invariant 1).

use std::{
    cell::Cell,
    sync::{Arc, OnceLock, mpsc::Receiver},
    thread,
    time::Instant,
};

use rusqlite::{Connection, ErrorCode};

use super::{
    Batch, Fatal, StoreObserver,
    cache::Cache,
    error::{disk_failed, fault},
    figures::{Delta, Figures},
    pace::Pace,
    queue::{Entrance, Job},
    rows::{Effects, Rows},
};
use crate::store::{CommitSink, HandOver, StoreFault};

/// With so many verbs in the queue a commit has company enough.
const ENOUGH: u64 = 48;
/// The log may grow to this many times the size from which it is written back.
const RESTART_FACTOR: i32 = 8;

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

/// Everything that the writing thread owns.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) queue: Receiver<Box<dyn Job>>,
    pub(super) entrance: Arc<Entrance>,
    pub(super) figures: Arc<Figures>,
    pub(super) sink: Arc<OnceLock<Arc<dyn CommitSink>>>,
    pub(super) hand_over: HandOver,
    pub(super) observer: Arc<dyn StoreObserver>,
    pub(super) fatal: Fatal,
    pub(super) limits: BatchLimits,
    pub(super) pace: Pace,
    /// Pages in the write-ahead log from which it is written back.
    pub(super) checkpoint_pages: i32,
    pub(super) cache: Cache,
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

impl Writer {
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
    fn gather(&mut self, first: Box<dyn Job>) -> Vec<Box<dyn Job>> {
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
    fn commit_all(&mut self, mut batch: Vec<Box<dyn Job>>) -> Result<(), String> {
        match self.commit(&mut batch) {
            Ok(effects) => {
                self.follow_up(effects, batch);
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

    /// The sink, then the answers.
    fn follow_up(&self, Effects { committed, gone, .. }: Effects, batch: Vec<Box<dyn Job>>) {
        let sink = self.sink.get().cloned();
        self.hand_over.give(move || {
            if let Some(sink) = sink {
                crate::store::tell(sink.as_ref(), committed, &gone);
            }
            batch.into_iter().for_each(Job::answer);
        });
    }

    /// One transaction: verbs in order, then COMMIT.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<Effects, Undone> {
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
                fail::fail_point!("store::after_commit");
                Ok(effects)
            }
            Err(undone) => {
                self.cache.clear();
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    return Err(Undone::Disk(format!("a transaction could not be undone: {error}")));
                }
                Err(undone)
            }
        }
    }

    fn transact(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(Effects, Instant), Undone> {
        let undone = |error| Undone::Fault(fault(error));
        self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(undone)?;
        let since = self.figures.lock().since();
        let mut effects = Effects { delta: Delta { since, ..Delta::default() }, ..Effects::default() };
        let mut rows = Rows {
            connection: &self.connection,
            cache: Some(&mut self.cache),
            effects: &mut effects,
            figures: &self.figures,
        };
        for job in batch.iter_mut() {
            job.run(&mut rows).map_err(Undone::Fault)?;
        }
        fail::fail_point!("store::before_commit");
        #[cfg(feature = "planted-bugs")]
        super::planted::answer_early(batch);
        // A reader that counts begins its snapshot either before this commit and its delta, or after both.
        let mut figures = self.figures.lock();
        let sync_from = Instant::now();
        self.make_durable().map_err(commit_failed)?;
        figures.add(effects.delta);
        Ok((effects, sync_from))
    }

    fn make_durable(&self) -> rusqlite::Result<()> {
        #[cfg(test)]
        if self.broken_disk.load(std::sync::atomic::Ordering::Relaxed) {
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
            return Err(rusqlite::Error::SqliteFailure(error, None));
        }
        self.connection.prepare_cached("COMMIT")?.execute([]).map(|_| ())
    }

    /// Writes the log back into the database. SQLite's own checkpoints hide a failed fsync, after which
    /// the log would be overwritten although the database may lack what it held.
    fn checkpoint_if_due(&mut self) -> Result<(), String> {
        let pages = WAL_PAGES.replace(0);
        if pages < self.checkpoint_pages {
            return Ok(());
        }
        // Readers that overlap without end would let the log grow: then it waits for those that are reading.
        let mode = if pages < self.checkpoint_pages.saturating_mul(RESTART_FACTOR) { "PASSIVE" } else { "RESTART" };
        match self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())) {
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

fn commit_failed(error: rusqlite::Error) -> Undone {
    if disk_failed(&error) { Undone::Disk(format!("a commit failed: {error}")) } else { Undone::Fault(fault(error)) }
}

fn refuse_all(batch: Vec<Box<dyn Job>>, reason: &str) {
    batch.into_iter().for_each(|job| job.refuse(StoreFault::Engine(reason.to_owned())));
}
