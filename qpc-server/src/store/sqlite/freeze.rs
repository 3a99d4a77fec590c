//! A database's file held still while its server runs, so that it can be copied byte by byte.
//!
//! In WAL mode the file changes in checkpoints alone, and none may write while somebody reads from the file without the
//! log: what is committed meanwhile stays in the log, and nobody waits for more than the moment in which the hold begins.
//! That reader must have begun when all of the log was written back, so commits are kept out for that moment.
//!
//! Closing any descriptor of the file takes the process's POSIX locks on it away. So this is for a process that has no
//! server in it: it opens the file once, and closes it after its own connections.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};

use super::{
    DbKey, OpenError,
    connection::{self, Layout, Purpose},
};

/// How often the hold is tried, and the pause between: readers of an older state keep the log from being written back.
const TRIALS_MAX: u32 = 400;
const PAUSE: Duration = Duration::from_millis(10);
/// Nothing is read through these connections but the first page.
const CACHE_KIB: u32 = 64;

/// Why a file could not be held still.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// There is none.
    #[error("there is no database at {}", .0.display())]
    Missing(PathBuf),
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite failed.
    #[error("the database can't be held still: {0}")]
    Engine(#[from] rusqlite::Error),
    /// Somebody has been reading an old state all the time.
    #[error(
        "the write-ahead log of {} could not be written back: something has been reading the database for {} s. Try again \
         later; `qpc-server db check` is such a reader",
        path.display(), waited.as_secs()
    )]
    Readers {
        /// Which file.
        path: PathBuf,
        /// How long was tried.
        waited: Duration,
    },
    /// The file can't be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has changed all the same.
    #[error("{} changed while it was copied; the copy is worth nothing. Only the server may write to it", .0.display())]
    Changed(PathBuf),
}

/// When a file was written last, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: u64,
    changed: (i64, i64),
}

/// A database's file that does not change until this is dropped.
pub struct Frozen {
    // In this order: the file is closed after the connection.
    reader: Connection,
    file: File,
    path: PathBuf,
    state: State,
}

impl Frozen {
    /// Holds the file still. A server may run on it in another process, none in this one.
    ///
    /// # Errors
    /// [`FreezeError`].
    pub(crate) fn hold(path: &Path, key: &DbKey, layout: &Layout) -> Result<Self, FreezeError> {
        if !path.exists() {
            return Err(FreezeError::Missing(path.to_owned()));
        }
        let connect = || connection::open(path, key, layout, Purpose::Read, CACHE_KIB);
        let (gate, reader) = (connect()?, connect()?);
        // Nothing is written through it; but it takes the right to.
        gate.execute_batch("PRAGMA query_only = OFF")?;
        // Most of the log goes without anybody waiting for it.
        written_back(&reader)?;
        for _ in 0..TRIALS_MAX {
            if begin(&gate, &reader)? {
                let file = File::open(path).map_err(|error| FreezeError::Io { path: path.to_owned(), error })?;
                let mut frozen =
                    Self { reader, file, path: path.to_owned(), state: State { bytes: 0, changed: (0, 0) } };
                frozen.state = frozen.look()?;
                return Ok(frozen);
            }
            thread::sleep(PAUSE);
        }
        Err(FreezeError::Readers { path: path.to_owned(), waited: PAUSE.saturating_mul(TRIALS_MAX) })
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state.bytes
    }

    /// Reads at a place of the file.
    ///
    /// # Errors
    /// [`FreezeError::Io`].
    pub fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), FreezeError> {
        self.file.read_exact_at(buffer, at).map_err(|error| self.io(error))
    }

    /// Lets go of the file, and says whether it has been still.
    ///
    /// # Errors
    /// [`FreezeError::Changed`], and whatever failed.
    pub fn release(self) -> Result<(), FreezeError> {
        if self.look()? != self.state {
            return Err(FreezeError::Changed(self.path));
        }
        self.reader.execute_batch("ROLLBACK")?;
        Ok(())
    }

    fn look(&self) -> Result<State, FreezeError> {
        let of = self.file.metadata().map_err(|error| self.io(error))?;
        Ok(State { bytes: of.len(), changed: (of.mtime(), of.mtime_nsec()) })
    }

    fn io(&self, error: io::Error) -> FreezeError {
        FreezeError::Io { path: self.path.clone(), error }
    }
}

/// With commits kept out: writes the log back, and begins to read where all of it was. Says whether it was.
fn begin(gate: &Connection, reader: &Connection) -> Result<bool, FreezeError> {
    match gate.execute_batch("BEGIN IMMEDIATE") {
        Ok(()) => {}
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let begun = written_back(reader).and_then(|whole| {
        if whole {
            reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master")?;
        }
        Ok(whole)
    });
    gate.execute_batch("ROLLBACK")?;
    Ok(begun?)
}

/// Writes back what of the log nobody needs there. Was that all of it?
fn written_back(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, log, back): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && log == back)
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, time::Instant};

    use super::*;
    use crate::store::{
        conformance::world::{World, wait},
        sqlite::{
            LAYOUT, check, freeze,
            tests::{Folder, key},
        },
    };

    /// The bytes of a file that is held.
    fn copy(frozen: &Frozen, to: &Path) {
        let mut bytes = vec![0; usize::try_from(frozen.bytes()).unwrap()];
        frozen.read(&mut bytes, 0).unwrap();
        fs::write(to, bytes).unwrap();
    }

    #[test]
    fn a_file_is_still_while_it_is_held_and_nobody_waits() {
        let folder = Folder::new();
        let world = World::new(&folder);
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let talk = world.friends(&alice, &bob);
        for number in 0..30 {
            world.say(&alice, &talk, &format!("before {number}"));
        }
        let before = check(&folder.path(), &key()).unwrap().entries;
        let frozen = freeze(&folder.path(), &key()).unwrap();
        // Each is a commit, and the log grows to many times the size from which it is written back: a writer that waited for
        // this reader each time would not be done by then.
        let deadline = Instant::now() + Duration::from_secs(60);
        for number in 0..600 {
            world.say(&alice, &talk, &format!("meanwhile {number}"));
        }
        assert!(Instant::now() < deadline, "commits wait for a reader that does not come forward");
        let copied = folder.path().with_file_name("copy.db");
        copy(&frozen, &copied);
        frozen.release().unwrap();
        let report = check(&copied, &key()).unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
        assert_eq!(report.entries, before);
        // Once it is let go, the log is written back again.
        let bytes = fs::metadata(folder.path()).unwrap().len();
        for number in 0..200 {
            world.say(&alice, &talk, &format!("after {number}"));
        }
        assert!(fs::metadata(folder.path()).unwrap().len() > bytes);
        assert_eq!(check(&folder.path(), &key()).unwrap().entries, before + 800);
        wait(world.store.close()).unwrap();
    }

    #[test]
    fn a_file_that_changed_all_the_same_is_told() {
        let folder = Folder::new();
        let world = World::new(&folder);
        let frozen = freeze(&folder.path(), &key()).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(folder.path()).unwrap();
        file.write_all(b"somebody else").unwrap();
        assert!(matches!(frozen.release(), Err(FreezeError::Changed(_))));
        drop(world);
    }

    #[test]
    fn a_reader_of_an_old_state_is_waited_for_and_then_told_of() {
        let folder = Folder::new();
        let world = World::new(&folder);
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let reader = connection::open(&folder.path(), &key(), &LAYOUT, Purpose::Read, CACHE_KIB).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master").unwrap();
        world.friends(&alice, &bob);
        assert!(matches!(freeze(&folder.path(), &key()), Err(FreezeError::Readers { .. })));
        reader.execute_batch("ROLLBACK").unwrap();
        freeze(&folder.path(), &key()).unwrap().release().unwrap();
        assert!(matches!(freeze(&folder.path().with_file_name("no.db"), &key()), Err(FreezeError::Missing(_))));
    }
}
