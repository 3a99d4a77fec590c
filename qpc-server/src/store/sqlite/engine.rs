//! The threads of a database: one that writes, with its queue, and some that read, with theirs.
//!
//! They open together and end together, in the order in which SQLite leaves one file behind. What their verbs see is
//! the schema's.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::sync::oneshot;

use super::{
    DbKey, Fatal, OpenError, Options,
    connection::{self, Purpose},
    pace::Pace,
    queue::{Entrance, job},
    reader::Reader,
    readings::Readings,
    writer::{BatchLimits, Writer},
};
pub(crate) use super::{
    connection::Layout,
    queue::{Job, Schema},
    reader::Reading,
    writer::{Jobs, Writing},
};
use crate::store::{Reply, StoreFault, VerbError};

type Closing = Arc<Mutex<Option<Vec<oneshot::Sender<Result<(), StoreFault>>>>>>;

/// A database that is open.
pub(crate) struct Engine<S: Schema> {
    writes: Arc<Entrance<S>>,
    reads: Arc<Readings<S>>,
    /// Those who wait for the end; `None` once it has come.
    closing: Closing,
    writer: Option<JoinHandle<()>>,
}

impl<S: Schema> Engine<S> {
    /// Opens the file, making it where there is none, and starts the threads, which are named after `name`.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub(crate) fn open<W, R>(
        name: &'static str,
        path: &Path,
        key: DbKey,
        layout: &'static Layout,
        options: Options,
        writing: W,
        reading: R,
    ) -> Result<Self, OpenError>
    where
        W: Writing<Schema = S>,
        R: Reading<Schema = S> + Clone,
    {
        let connection = connection::open(path, &key, layout, Purpose::Write, options.writer_cache_kib)?;
        if let Some(pages) = options.max_pages {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        }
        let (writes, write_queue) = Entrance::new(options.write_queue);
        let mut engine = Self {
            writes: Arc::new(writes),
            reads: Arc::new(Readings::new(options.read_queue)),
            closing: Arc::new(Mutex::new(Some(Vec::new()))),
            writer: None,
        };
        let readers = Readers {
            name,
            path: path.to_owned(),
            key,
            layout,
            cache_kib: options.reader_cache_kib,
            queue: engine.reads.clone(),
            reading,
        };
        let readers = readers.start(options.reader_threads.max(1))?;
        let mut writer = Writer {
            connection,
            queue: write_queue,
            entrance: engine.writes.clone(),
            writing,
            observer: options.observer,
            fatal: options.on_fatal.clone(),
            limits: BatchLimits { verbs: options.batch_verbs.max(1), bytes: options.batch_bytes },
            pace: Pace::new(options.commit_gather, Instant::now()),
            written_back: 0,
            checkpoint_pages: i32::try_from(options.wal_autocheckpoint).unwrap_or(i32::MAX),
            #[cfg(test)]
            broken_disk: options.broken_disk,
        };
        let (reads, closing, fatal) = (engine.reads.clone(), engine.closing.clone(), options.on_fatal);
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
        let writer = thread::Builder::new().name(format!("{name}-writer")).spawn(work);
        engine.writer = Some(writer.map_err(OpenError::Thread)?);
        Ok(engine)
    }

    /// Queues a verb that writes about so many bytes. It may be run again where a transaction is undone.
    pub(crate) fn write<T, E, F>(&self, bytes: usize, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: for<'a> FnMut(&'a mut S::View<'a>) -> Result<T, E> + Send + 'static,
    {
        let (job, reply) = job(bytes, verb);
        self.writes.enter(job);
        reply
    }

    /// Queues a verb that only reads.
    pub(crate) fn read<T, E, F>(&self, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: for<'a> FnMut(&'a mut S::View<'a>) -> Result<T, E> + Send + 'static,
    {
        let (job, reply) = job(0, verb);
        self.reads.enter(job);
        reply
    }

    /// Verbs that wait to write.
    pub(crate) fn waiting(&self) -> u64 {
        self.writes.waiting()
    }

    /// Finishes what is queued and stops.
    pub(crate) fn stop(&self) -> Reply<(), StoreFault> {
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

impl<S: Schema> Drop for Engine<S> {
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

/// A connection for a test that looks into a file which is closed.
#[cfg(test)]
pub(crate) fn look_into(path: &Path, key: &DbKey, layout: &Layout) -> rusqlite::Connection {
    connection::open(path, key, layout, Purpose::Read, 100).unwrap()
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
struct Readers<R: Reading> {
    name: &'static str,
    path: PathBuf,
    key: DbKey,
    layout: &'static Layout,
    cache_kib: u32,
    queue: Arc<Readings<R::Schema>>,
    reading: R,
}

impl<R: Reading + Clone> Readers<R> {
    /// Opens the connections side by side, because stretching a passphrase takes its time.
    fn start(self, threads: usize) -> Result<Vec<JoinHandle<()>>, OpenError> {
        let (opened, outcomes) = mpsc::sync_channel(threads);
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let (path, key, layout, cache_kib) = (self.path.clone(), self.key.clone(), self.layout, self.cache_kib);
            let (queue, reading) = (self.queue.clone(), self.reading.clone());
            let opened = opened.clone();
            let work = move || match connection::open(&path, &key, layout, Purpose::Read, cache_kib) {
                Ok(connection) => {
                    drop(opened.send(Ok(())));
                    // Its thread would keep `start` waiting.
                    drop(opened);
                    Reader { connection, queue, reading }.work();
                }
                Err(error) => drop(opened.send(Err(error))),
            };
            let handle = thread::Builder::new().name(format!("{}-reader-{number}", self.name)).spawn(work);
            handles.push(handle.map_err(OpenError::Thread)?);
        }
        drop(opened);
        outcomes.iter().collect::<Result<(), _>>()?;
        Ok(handles)
    }
}
