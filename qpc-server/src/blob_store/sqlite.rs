//! The default adapter of blobs: their bytes in an encrypted file of their own, beside the messages' one.
//!
//! One writer with group commit and readers of its own, so that transfers and messages don't wait for each other. What is
//! answered is on the disk; a full disk refuses, and a failed one stops the process, as in `store/sqlite`. It does not
//! guard the file against a second server: the data directory's lock does.

mod catalogue;
mod check;
mod content;
mod objects;
mod reference;
mod rows;
mod upload;

pub use self::{
    catalogue::{Catalogue, Losing, LosingError, SHARDS, StoredBlob},
    check::{BlobFault, BlobName, BlobProblem, BlobReport},
};
pub(super) use self::{
    check::{Elsewhere, check},
    objects::ObjectName,
};

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use self::rows::Rows;
use super::{dispatch::Transact, tables::BlobTables};
use crate::store::{
    HandOver, Reply, StoreFault, VerbError,
    sqlite::{
        CheckError, DbKey, FreezeError, Frozen, OpenError, Options,
        check::opens_as,
        engine::{Engine, Job, Jobs, Layout, Reading, Schema, Writing},
        rekey,
    },
};

/// What is in the file. A part has 17 pages, of which all but one are its own.
const LAYOUT: Layout = Layout {
    page_bytes: 16 * 1024,
    migrations: &[include_str!("sqlite/schema.sql"), include_str!("sqlite/copies.sql")],
};

/// The tables of blobs.
struct Blobs;

impl Schema for Blobs {
    type View<'a> = Rows<'a>;
}

/// Where the bytes of parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    /// In their rows.
    Here,
    /// In objects, which another adapter removes.
    Elsewhere,
}

/// Objects whose bytes are known to be right.
struct Compared;

impl Elsewhere for Compared {
    fn look(&mut self, _: ObjectName, _: (u64, u32), _: &mut blake3::Hasher) -> Result<Option<BlobFault>, CheckError> {
        Ok(None)
    }

    fn reads(&self) -> bool {
        false
    }
}

struct BlobWriting {
    bytes: Bytes,
    hand_over: HandOver,
}

impl Writing for BlobWriting {
    type Schema = Blobs;
    type Effects = ();

    fn begin(&mut self) {}

    fn run(&mut self, connection: &Connection, (): &mut (), job: &mut dyn Job<Blobs>) -> Result<(), StoreFault> {
        job.run(&mut Rows { connection, bytes: self.bytes })
    }

    fn commit<T>(&mut self, (): &(), commit: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        fail::fail_point!("blobs::before_commit");
        commit()
    }

    fn undone(&mut self) {}

    fn follow_up(&self, (): (), batch: Jobs<Blobs>) {
        fail::fail_point!("blobs::after_commit");
        self.hand_over.give(move || batch.into_iter().for_each(Job::answer));
    }
}

#[derive(Clone)]
struct BlobReading(Bytes);

impl Reading for BlobReading {
    type Schema = Blobs;

    fn run(&self, connection: &Connection, job: &mut dyn Job<Blobs>) -> Result<(), StoreFault> {
        job.run(&mut Rows { connection, bytes: self.0 })
    }
}

/// Blobs in SQLCipher.
pub struct SqliteBlobs {
    engine: Engine<Blobs>,
}

impl SqliteBlobs {
    /// What suits blobs: few verbs of many bytes.
    #[must_use]
    pub fn options() -> Options {
        Options {
            reader_threads: 2,
            // 16 MiB.
            wal_autocheckpoint: 1024,
            write_queue: 256,
            read_queue: 1024,
            batch_verbs: 64,
            batch_bytes: 2 * 1024 * 1024,
            commit_gather: Duration::ZERO,
            writer_cache_kib: 8 * 1024,
            reader_cache_kib: 2 * 1024,
            ..Options::default()
        }
    }

    /// Opens the database, making it where there is none, and starts the threads. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(path: &Path, key: DbKey, options: Options) -> Result<Self, OpenError> {
        Self::with(path, key, options, Bytes::Here)
    }

    /// That the database at a path opens with the key.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn opens(path: &Path, key: &DbKey) -> Result<(), CheckError> {
        opens_as(path, key, &LAYOUT)
    }

    /// Verifies the database at a path, and changes nothing. A server may run on it. `told` hears how many bytes of how many
    /// have been looked at.
    ///
    /// # Errors
    /// [`CheckError`], where it can't even be looked at.
    pub fn check(path: &Path, key: &DbKey, told: &mut dyn FnMut(u64, u64)) -> Result<BlobReport, CheckError> {
        check(path, key, None, told)
    }

    /// The same where the bytes are objects, of which whoever asks has compared every digest already.
    ///
    /// # Errors
    /// As [`SqliteBlobs::check`].
    pub fn check_rows(path: &Path, key: &DbKey) -> Result<BlobReport, CheckError> {
        check(path, key, Some(&mut Compared), &mut |_, _| {})
    }

    /// Holds the file still, to be copied.
    ///
    /// # Errors
    /// [`FreezeError`].
    pub fn freeze(path: &Path, key: &DbKey) -> Result<Frozen, FreezeError> {
        Frozen::hold(path, key, &LAYOUT)
    }

    /// Gives the file another key, unless it has that one already. Nobody else may have it open.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::WrongKey`] where it has neither key.
    pub fn change_key(path: &Path, old: &DbKey, new: &DbKey) -> Result<(), OpenError> {
        if rekey::has_key(path, new, &LAYOUT)? { Ok(()) } else { rekey::rekey(path, old, new, &LAYOUT) }
    }

    /// Opens the rows of parts whose bytes are objects.
    ///
    /// # Errors
    /// As [`SqliteBlobs::open`].
    pub(super) fn open_index(path: &Path, key: DbKey, options: Options) -> Result<Self, OpenError> {
        Self::with(path, key, options, Bytes::Elsewhere)
    }

    fn with(path: &Path, key: DbKey, options: Options, bytes: Bytes) -> Result<Self, OpenError> {
        let writing = BlobWriting { bytes, hand_over: options.hand_over.clone() };
        let engine = Engine::open("blobs", path, key, &LAYOUT, options, writing, BlobReading(bytes))?;
        Ok(Self { engine })
    }
}

impl Transact for SqliteBlobs {
    fn write<T, E, F>(&self, bytes: usize, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn BlobTables) -> Result<T, E> + Send + 'static,
    {
        let mut verb = verb;
        self.engine.write(bytes, move |rows| verb(rows))
    }

    fn read<T, E, F>(&self, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn BlobTables) -> Result<T, E> + Send + 'static,
    {
        let mut verb = verb;
        self.engine.read(move |rows| verb(rows))
    }

    fn stop(&self) -> Reply<(), StoreFault> {
        self.engine.stop()
    }
}

#[cfg(test)]
pub(super) mod tests;
