//! The SQLCipher adapter: one writer with group commit, a pool of readers, every byte encrypted.
//!
//! What it answers to a write is on the disk (WAL with `synchronous=FULL`). A failed fsync stops the
//! process, because nothing is known of the disk then; a full disk refuses writes until there is space.
//! It does not guard the file against a second server: the data directory's lock does.

mod account;
mod cache;
pub(crate) mod check;
mod connection;
mod contact;
mod cursor;
pub(crate) mod engine;
pub(crate) mod error;
mod figures;
mod follower;
mod freeze;
mod key;
mod link;
mod log;
mod member;
mod observer;
mod operator;
mod pace;
#[cfg(feature = "planted-bugs")]
mod planted;
mod queue;
mod reader;
mod readings;
pub(crate) mod rekey;
mod restore;
mod restored;
mod rows;
pub(crate) mod statements;
mod upkeep;
mod writer;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rusqlite::Connection;

use self::{
    cache::Cache,
    engine::{Engine, Job, Jobs, Layout, Reading, Schema, Writing},
    figures::{Delta, Figures},
    rows::{Effects, Rows},
};
pub use self::{
    check::{CheckError, CheckReport, FileProblem, Problem, check, opens},
    connection::OpenError,
    freeze::{FreezeError, Frozen},
    key::{DbKey, DbKeyError},
    observer::{Batch, StoreObserver, Unobserved},
    restored::{Dropped, after_restore},
};
use super::{CommitSink, HandOver, Reply, StoreFault, VerbError, dispatch::Transact, tables::Tables};

/// What to do when the disk has failed: it should not come back. Gets the reason.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Threads that read (`storage.pool_size`).
    pub reader_threads: usize,
    /// Pages in the write-ahead log from which it is written back (`storage.wal_autocheckpoint`).
    pub wal_autocheckpoint: u32,
    /// Verbs that may wait to write; one more is refused as busy.
    pub write_queue: usize,
    /// Verbs that may wait to read.
    pub read_queue: usize,
    /// Verbs in one commit.
    pub batch_verbs: usize,
    /// Bytes of bodies in one commit, after which it takes no more verbs.
    pub batch_bytes: usize,
    /// How long a commit may wait for verbs that share it, while many arrive (`storage.commit_gather`).
    pub commit_gather: Duration,
    /// Page cache of the writer, in KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reader, in KiB.
    pub reader_cache_kib: u32,
    /// Pages the file may have; a write that needs more is refused as on a full disk. `None` for as many as fit.
    pub max_pages: Option<u32>,
    /// How long a figure that is kept incrementally may go without being counted anew.
    pub figures_refresh: Duration,
    /// Cursors that one look at such a figure counts.
    pub figures_slice: usize,
    /// Where hints and answers go after a commit; by default the writer gives them itself.
    pub hand_over: HandOver,
    /// Told of commits.
    pub observer: Arc<dyn StoreObserver>,
    /// Called when the disk has failed.
    pub on_fatal: Fatal,
    /// While this is set, a commit fails as if the disk did.
    #[cfg(test)]
    pub(crate) broken_disk: Arc<std::sync::atomic::AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reader_threads: 4,
            wal_autocheckpoint: 1000,
            write_queue: 4096,
            read_queue: 4096,
            batch_verbs: 256,
            batch_bytes: 4 * 1024 * 1024,
            commit_gather: Duration::from_millis(10),
            writer_cache_kib: 32 * 1024,
            reader_cache_kib: 4 * 1024,
            max_pages: None,
            figures_refresh: Duration::from_secs(60),
            figures_slice: 8192,
            hand_over: HandOver::default(),
            observer: Arc::new(Unobserved),
            on_fatal: Arc::new(stop_the_process),
            #[cfg(test)]
            broken_disk: Arc::default(),
        }
    }
}

/// Restart is the recovery: the write-ahead log has what was acknowledged.
fn stop_the_process(reason: &str) {
    tracing::error!(reason, "the store can't tell what the disk holds; the process stops");
    std::process::abort();
}

/// What is in the file.
const LAYOUT: Layout = Layout {
    page_bytes: 4096,
    migrations: &[
        include_str!("sqlite/schema.sql"),
        include_str!("sqlite/groups.sql"),
        include_str!("sqlite/departures.sql"),
        include_str!("sqlite/suites.sql"),
        include_str!("sqlite/links.sql"),
        include_str!("sqlite/guests.sql"),
        include_str!("sqlite/followers.sql"),
        include_str!("sqlite/continuations.sql"),
        include_str!("sqlite/restores.sql"),
        include_str!("sqlite/lost.sql"),
        include_str!("sqlite/peer_restores.sql"),
    ],
};

/// The tables of accounts, contacts and logs.
struct Everything;

impl Schema for Everything {
    type View<'a> = dyn Tables + 'a;
}

/// What the store's writer has behind its rows.
struct StoreWriting {
    figures: Arc<Figures>,
    cache: Cache,
    sink: Arc<OnceLock<Arc<dyn CommitSink>>>,
    hand_over: HandOver,
}

impl Writing for StoreWriting {
    type Schema = Everything;
    type Effects = Effects;

    fn begin(&mut self) -> Effects {
        let since = self.figures.lock().since();
        Effects { delta: Delta { since, ..Delta::default() }, ..Effects::default() }
    }

    fn run(
        &mut self,
        connection: &Connection,
        effects: &mut Effects,
        job: &mut dyn Job<Everything>,
    ) -> Result<(), StoreFault> {
        job.run(&mut Rows { connection, cache: Some(&mut self.cache), effects, figures: &self.figures })
    }

    fn commit<T>(&mut self, effects: &Effects, commit: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        fail::fail_point!("store::before_commit");
        // A reader that counts begins its snapshot either before this commit and its delta, or after both.
        let mut figures = self.figures.lock();
        let committed = commit()?;
        figures.add(&effects.delta);
        Ok(committed)
    }

    fn undone(&mut self) {
        self.cache.clear();
    }

    /// The sink first, then the answers: an answered entry has already been offered to the sessions that are there,
    /// and whoever is told that a device is revoked knows its session has been told to end.
    fn follow_up(&self, Effects { wake_ups, .. }: Effects, batch: Jobs<Everything>) {
        fail::fail_point!("store::after_commit");
        let sink = self.sink.get().cloned();
        self.hand_over.give(move || {
            if let Some(sink) = sink {
                wake_ups.tell(sink.as_ref());
            }
            batch.into_iter().for_each(Job::answer);
        });
    }
}

/// What the store's readers have behind their rows.
#[derive(Clone)]
struct StoreReading(Arc<Figures>);

impl Reading for StoreReading {
    type Schema = Everything;

    fn run(&self, connection: &Connection, job: &mut dyn Job<Everything>) -> Result<(), StoreFault> {
        job.run(&mut Rows { connection, cache: None, effects: &mut Effects::default(), figures: &self.0 })
    }
}

/// The store of a server.
pub struct SqliteStore {
    engine: Engine<Everything>,
    sink: Arc<OnceLock<Arc<dyn CommitSink>>>,
}

impl SqliteStore {
    /// Opens the database, making it where there is none, and starts the threads. Blocks for as long as that
    /// takes; with a passphrase that is about 150 ms.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(path: &Path, key: DbKey, options: Options) -> Result<Self, OpenError> {
        let figures = Arc::new(Figures::new(options.figures_refresh, options.figures_slice));
        let sink = Arc::<OnceLock<Arc<dyn CommitSink>>>::default();
        let writing = StoreWriting {
            figures: figures.clone(),
            cache: Cache::new(),
            sink: sink.clone(),
            hand_over: options.hand_over.clone(),
        };
        let engine = Engine::open("store", path, key, &LAYOUT, options, writing, StoreReading(figures))?;
        Ok(Self { engine, sink })
    }
}

/// Holds the file of a store still, to be copied.
///
/// # Errors
/// [`FreezeError`].
pub fn freeze(path: &Path, key: &DbKey) -> Result<Frozen, FreezeError> {
    Frozen::hold(path, key, &LAYOUT)
}

/// Gives the file of a store another key, unless it has that one already. Nobody else may have it open.
///
/// # Errors
/// [`OpenError`]; [`OpenError::WrongKey`] where it has neither key.
pub fn change_key(path: &Path, old: &DbKey, new: &DbKey) -> Result<(), OpenError> {
    if rekey::has_key(path, new, &LAYOUT)? { Ok(()) } else { rekey::rekey(path, old, new, &LAYOUT) }
}

impl Transact for SqliteStore {
    fn tell(&self, sink: Arc<dyn CommitSink>) {
        if self.sink.set(sink).is_err() {
            tracing::error!("the store's sink was set twice; the first one stays");
        }
    }

    fn write<T, E, F>(&self, bytes: usize, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn Tables) -> Result<T, E> + Send + 'static,
    {
        self.engine.write(bytes, verb)
    }

    fn read<T, E, F>(&self, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn Tables) -> Result<T, E> + Send + 'static,
    {
        self.engine.read(verb)
    }

    fn queued(&self) -> u64 {
        self.engine.waiting()
    }

    fn stop(&self) -> Reply<(), StoreFault> {
        self.engine.stop()
    }
}

#[cfg(test)]
mod tests;
