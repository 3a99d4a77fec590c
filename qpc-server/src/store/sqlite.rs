//! The SQLCipher adapter: one writer with group commit, a pool of readers, every byte encrypted.
//!
//! What it answers to a write is on the disk (WAL with `synchronous=FULL`). A failed fsync stops the
//! process, because nothing is known of the disk then; a full disk refuses writes until there is space.
//! It does not guard the file against a second server: the data directory's lock does.

mod account;
mod cache;
mod check;
mod connection;
mod contact;
mod cursor;
mod error;
mod figures;
mod key;
mod link;
mod log;
mod member;
mod observer;
mod pace;
#[cfg(feature = "planted-bugs")]
mod planted;
mod queue;
mod reader;
mod readings;
mod rows;
mod upkeep;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::{
    cache::Cache,
    connection::Purpose,
    figures::Figures,
    pace::Pace,
    queue::{Entrance, job},
    reader::Reader,
    readings::Readings,
    writer::{BatchLimits, Writer},
};
pub use self::{
    check::{CheckError, CheckReport, Problem, check},
    connection::OpenError,
    key::{DbKey, DbKeyError},
    observer::{Batch, StoreObserver, Unobserved},
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

type Closing = Arc<Mutex<Option<Vec<oneshot::Sender<Result<(), StoreFault>>>>>>;

/// The store of a server.
pub struct SqliteStore {
    writes: Arc<Entrance>,
    reads: Arc<Readings>,
    sink: Arc<OnceLock<Arc<dyn CommitSink>>>,
    /// Those who wait for the end; `None` once it has come.
    closing: Closing,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the database, making it where there is none, and starts the threads. Blocks for as long as that
    /// takes; with a passphrase that is about 150 ms.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(path: &Path, key: DbKey, options: Options) -> Result<Self, OpenError> {
        let connection = connection::open(path, &key, Purpose::Write, options.writer_cache_kib)?;
        if let Some(pages) = options.max_pages {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        }
        let (writes, write_queue) = Entrance::new(options.write_queue);
        let mut store = Self {
            writes: Arc::new(writes),
            reads: Arc::new(Readings::new(options.read_queue)),
            sink: Arc::default(),
            closing: Arc::new(Mutex::new(Some(Vec::new()))),
            writer: None,
        };
        let figures = Arc::new(Figures::new(options.figures_refresh));
        let readers = Readers {
            path: path.to_owned(),
            key,
            cache_kib: options.reader_cache_kib,
            queue: store.reads.clone(),
            figures: figures.clone(),
        };
        let readers = readers.start(options.reader_threads.max(1))?;
        let mut writer = Writer {
            connection,
            queue: write_queue,
            entrance: store.writes.clone(),
            figures,
            sink: store.sink.clone(),
            hand_over: options.hand_over,
            observer: options.observer,
            fatal: options.on_fatal.clone(),
            limits: BatchLimits { verbs: options.batch_verbs.max(1), bytes: options.batch_bytes },
            pace: Pace::new(options.commit_gather, Instant::now()),
            checkpoint_pages: i32::try_from(options.wal_autocheckpoint).unwrap_or(i32::MAX),
            cache: Cache::new(),
            #[cfg(test)]
            broken_disk: options.broken_disk,
        };
        let (reads, closing, fatal) = (store.reads.clone(), store.closing.clone(), options.on_fatal);
        let work = move || {
            let guard = PanicIsFatal(fatal);
            writer.work();
            drop(guard);
            reads.close();
            for reader in readers {
                // A reader that panicked has ended; its connection is closed either way.
                drop(reader.join());
            }
            // Its connection closes last and by itself: SQLite writes the log back when nobody else has the file open,
            // and of two who close at once each would find the other.
            drop(writer);
            let waiting = closing.lock().unwrap_or_else(PoisonError::into_inner).take();
            for reply in waiting.into_iter().flatten() {
                drop(reply.send(Ok(())));
            }
        };
        let writer = thread::Builder::new().name("store-writer".into()).spawn(work);
        store.writer = Some(writer.map_err(OpenError::Thread)?);
        Ok(store)
    }
}

/// A panic of the writer leaves the store without a judge of what is durable (D13).
struct PanicIsFatal(Fatal);

impl Drop for PanicIsFatal {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)("the writer panicked");
        }
    }
}

/// What reading threads are made of.
struct Readers {
    path: PathBuf,
    key: DbKey,
    cache_kib: u32,
    queue: Arc<Readings>,
    figures: Arc<Figures>,
}

impl Readers {
    /// Opens the connections side by side, because stretching a passphrase takes its time.
    fn start(self, threads: usize) -> Result<Vec<JoinHandle<()>>, OpenError> {
        let (opened, outcomes) = mpsc::sync_channel(threads);
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let (path, key, cache_kib) = (self.path.clone(), self.key.clone(), self.cache_kib);
            let (queue, figures) = (self.queue.clone(), self.figures.clone());
            let opened = opened.clone();
            let work = move || match connection::open(&path, &key, Purpose::Read, cache_kib) {
                Ok(connection) => {
                    drop(opened.send(Ok(())));
                    // Its thread would keep `start` waiting.
                    drop(opened);
                    Reader { connection, queue, figures }.work();
                }
                Err(error) => drop(opened.send(Err(error))),
            };
            let handle = thread::Builder::new().name(format!("store-reader-{number}")).spawn(work);
            handles.push(handle.map_err(OpenError::Thread)?);
        }
        drop(opened);
        outcomes.iter().collect::<Result<(), _>>()?;
        Ok(handles)
    }
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
        let (job, reply) = job(bytes, verb);
        self.writes.enter(job);
        reply
    }

    fn read<T, E, F>(&self, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn Tables) -> Result<T, E> + Send + 'static,
    {
        let (job, reply) = job(0, verb);
        self.reads.enter(job);
        reply
    }

    fn queued(&self) -> u64 {
        self.writes.waiting()
    }

    fn stop(&self) -> Reply<(), StoreFault> {
        let (sender, reply) = Reply::channel();
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        match closing.as_mut() {
            Some(waiting) => waiting.push(sender),
            None => drop(sender.send(Ok(()))),
        }
        self.writes.close();
        reply
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.writes.close();
        if self.writer.is_none() {
            // Opening failed half way: nobody else tells the readers to end.
            self.reads.close();
        }
        if let Some(writer) = self.writer.take().filter(|writer| writer.thread().id() != thread::current().id()) {
            // Waits for what was queued. A thread that outlived the process's exit would use what
            // SQLCipher's cleanup has freed. A panic has been told of already.
            drop(writer.join());
        }
    }
}

#[cfg(test)]
mod tests;
