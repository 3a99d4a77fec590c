//! Opening connections: the key first, then settings, then proof that they are in force.
//!
//! A server that runs with weaker settings than it promises would lose acknowledged messages, so anything
//! that is not as it must be is an error here, not a warning.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, sync::Once, thread, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use rusqlite_migration::{M, Migrations};

use super::key::DbKey;

/// The first SQLite without the WAL-reset bug, which could corrupt a database with several connections.
const SQLITE_MIN: (i32, &str) = (3_051_003, "3.51.3");
/// Statements kept prepared on a connection: more than the adapter has.
const STATEMENTS: usize = 128;
/// What the write-ahead log's file keeps of its size when it starts anew.
const WAL_BYTES_KEPT: u32 = 64 * 1024 * 1024;
/// How long a connection waits for another one's lock; only checkpoints and other programs hold one.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How often SQLCipher is asked whether it takes keys yet, and the pause between.
const CIPHER_TRIALS: u32 = 1000;
const CIPHER_PAUSE: Duration = Duration::from_millis(1);

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key does not fit.
    #[error(
        "the database key does not open {0}: give the key it was made with (QPC_DB_KEY or the key file), or move the file away to start anew"
    )]
    WrongKey(String),
    /// A later release has been here.
    #[error(
        "{path} was written by a later release (schema {found}, this one knows {known}): upgrade, or restore a backup"
    )]
    NewerSchema {
        /// The file.
        path: String,
        /// Its schema.
        found: u32,
        /// The newest schema that this release knows.
        known: u32,
    },
    /// The program was built with something unfit.
    #[error("this build's SQLite is unfit: {0}")]
    Build(String),
    /// A setting did not take.
    #[error("the database does not run with {setting} = {wanted} but {found}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
    /// The file can't be made or opened.
    #[error("can't open {0}: {1}")]
    File(String, std::io::Error),
    /// A thread could not be started.
    #[error("can't start the store's threads: {0}")]
    Thread(std::io::Error),
    /// Anything else of the engine.
    #[error("the storage engine failed: {0}")]
    Engine(#[from] rusqlite::Error),
    /// A migration failed.
    #[error("the database could not be migrated: {0}")]
    Migration(#[from] rusqlite_migration::Error),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The one that writes; it also makes and migrates the file.
    Write,
    /// One that only reads.
    Read,
}

/// What is in a file.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Bytes of a page, for as long as the file lives.
    pub(crate) page_bytes: u32,
    /// What has made its tables, release after release.
    pub(crate) migrations: &'static [&'static str],
}

impl Layout {
    fn migrations(&self) -> Migrations<'static> {
        Migrations::new(self.migrations.iter().map(|sql| M::up(sql)).collect())
    }

    /// What the newest schema is called.
    pub(super) fn schema(&self) -> u32 {
        u32::try_from(self.migrations.len()).unwrap_or(u32::MAX)
    }
}

/// Opens a connection and proves its settings.
pub(super) fn open(
    path: &Path,
    key: &DbKey,
    layout: &Layout,
    purpose: Purpose,
    cache_kib: u32,
) -> Result<Connection, OpenError> {
    let name = path.display().to_string();
    if rusqlite::version_number() < SQLITE_MIN.0 {
        return Err(OpenError::Build(format!("SQLite {} is older than {}", rusqlite::version(), SQLITE_MIN.1)));
    }
    if purpose == Purpose::Write {
        // SQLite gives its other files the permissions of this one.
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|error| OpenError::File(name.clone(), error))?;
    }
    await_cipher();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(&key.pragma())?;
    // Each page that is written is authenticated: SHA-256 costs half of SQLCipher's SHA-512 here.
    connection.query_row("PRAGMA cipher_hmac_algorithm = HMAC_SHA256", [], |_| Ok(())).optional()?;
    // A page can't be decrypted before its size is known.
    connection.query_row(&format!("PRAGMA cipher_page_size = {}", layout.page_bytes), [], |_| Ok(())).optional()?;
    // What goes wrong is returned; SQLCipher would print it as well.
    connection.query_row("PRAGMA cipher_log_level = NONE", [], |_| Ok(())).optional()?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection
        .query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
        .map_err(|error| wrong_key(error, &name))?;
    // Before anything is set: what follows may write, were it a flag of the file.
    refuse_newer(&connection, layout, &name)?;
    if purpose == Purpose::Write {
        // Takes effect in a new file only, before the first table.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        // After a burst the log's file shrinks again.
        connection.query_row(&format!("PRAGMA journal_size_limit = {WAL_BYTES_KEPT}"), [], |_| Ok(()))?;
    }
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
         PRAGMA secure_delete = FAST; PRAGMA cache_size = -{cache_kib};"
    ))?;
    match purpose {
        Purpose::Write => layout.migrations().to_latest(&mut connection)?,
        Purpose::Read => connection.execute_batch("PRAGMA query_only = ON")?,
    }
    // Checkpoints are the writer's alone, which looks at their outcome; SQLite's own hides it.
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    prove(&connection)?;
    Ok(connection)
}

/// SQLite's first opening in a process ends before SQLCipher is ready, for every thread but the one that makes it:
/// nobody sets a key before one was taken. What never takes any is told by the opening itself.
fn await_cipher() {
    static READY: Once = Once::new();
    let takes_key = || {
        let trial = Connection::open_in_memory()?;
        trial.execute_batch("PRAGMA cipher_log_level = NONE; PRAGMA key = 'trial'")
    };
    READY.call_once(|| {
        for _ in 0..CIPHER_TRIALS {
            if takes_key().is_ok() {
                break;
            }
            thread::sleep(CIPHER_PAUSE);
        }
    });
}

fn wrong_key(error: rusqlite::Error, name: &str) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::WrongKey(name.to_owned()),
        _ => OpenError::Engine(error),
    }
}

/// What a later release has changed is nothing that this one understands.
fn refuse_newer(connection: &Connection, layout: &Layout, path: &str) -> Result<(), OpenError> {
    let (found, known) = (connection.query_row("PRAGMA user_version", [], |row| row.get(0))?, layout.schema());
    if found > known { Err(OpenError::NewerSchema { path: path.to_owned(), found, known }) } else { Ok(()) }
}

/// The settings that durability and secrecy rest on.
fn prove(connection: &Connection) -> Result<(), OpenError> {
    let cipher = connection.query_row("PRAGMA cipher_version", [], |row| row.get::<_, String>(0));
    if cipher.map_or(true, |version| version.is_empty()) {
        return Err(OpenError::Build("it has no SQLCipher".into()));
    }
    let settings = [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("temp_store", "2"),
        ("auto_vacuum", "2"),
        ("cipher_hmac_algorithm", "HMAC_SHA256"),
        ("wal_autocheckpoint", "0"),
    ];
    for (setting, wanted) in settings {
        let found: rusqlite::types::Value = connection.query_row(&format!("PRAGMA {setting}"), [], |row| row.get(0))?;
        let found = match found {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        if found != wanted {
            return Err(OpenError::Setting { setting, wanted, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::{
        super::{
            LAYOUT,
            check::{self, CheckError},
        },
        *,
    };

    fn open_store(path: &Path, key: &DbKey) -> Result<Connection, OpenError> {
        open(path, key, &LAYOUT, Purpose::Write, 100)
    }

    /// In a process of its own, as the tests' runner makes one for each, one of these is the very first to open anything.
    #[test]
    fn whoever_opens_first_in_a_process_at_the_same_time_opens() {
        let folder = tempfile::tempdir().unwrap();
        let (start, key) = (Barrier::new(16), DbKey::parse("one").unwrap());
        thread::scope(|scope| {
            let opened = (0..16).map(|number| {
                let (start, key, path) = (&start, &key, folder.path().join(format!("{number}.db")));
                scope.spawn(move || {
                    start.wait();
                    open_store(&path, key).map(drop)
                })
            });
            for thread in opened.collect::<Vec<_>>() {
                thread.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn the_migrations_are_sound() {
        LAYOUT.migrations().validate().unwrap();
    }

    /// A database as a release left it that knew so many migrations.
    fn of_release(known: &'static [&'static str], path: &Path, key: &DbKey) -> Result<Connection, OpenError> {
        open(path, key, &Layout { migrations: known, ..LAYOUT }, Purpose::Write, 1024)
    }

    fn schema(connection: &Connection) -> (u32, Vec<String>) {
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        let mut select =
            connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        let tables = select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        (version, tables)
    }

    #[test]
    fn a_database_of_every_release_is_migrated_wherever_that_is_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let key = DbKey::parse(&"ab".repeat(32)).unwrap();
        let newest = schema(&open_store(&folder.path().join("new.db"), &key).unwrap());
        assert_eq!(newest.0, LAYOUT.schema());
        for n in 1..LAYOUT.migrations.len() {
            let path = folder.path().join(format!("{n}.db"));
            let connection = of_release(&LAYOUT.migrations[..n], &path, &key).unwrap();
            let before = schema(&connection);
            if n < 4 {
                // Before suites were told apart.
                let published = "INSERT INTO key_packages (device, body) VALUES (x'01', x'02'); \
                                 INSERT INTO last_resorts VALUES (x'01', x'03')";
                connection.execute_batch(published).unwrap();
            }
            drop(connection);
            // The next step stops in its middle: nothing of it is there.
            let step: &'static str = format!("{}; SELECT 1 FROM nowhere", LAYOUT.migrations[n].trim_end()).leak();
            let cut_off: &'static [_] = [&LAYOUT.migrations[..n], &[step]].concat().leak();
            assert!(matches!(of_release(cut_off, &path, &key), Err(OpenError::Migration(_))), "{n}");
            let connection = of_release(&LAYOUT.migrations[..n], &path, &key).unwrap();
            assert_eq!(schema(&connection), before, "{n}");
            drop(connection);
            let connection = open_store(&path, &key).unwrap();
            assert_eq!(schema(&connection), newest, "from schema {n}");
            if n < 4 {
                for kept in ["SELECT suite, body FROM key_packages", "SELECT suite, body FROM last_resorts"] {
                    let (suite, body): (u16, Vec<u8>) =
                        connection.query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
                    assert_eq!((suite, body.len()), (3, 1), "{kept}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_key_and_a_newer_schema_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qpc.db");
        let key = DbKey::parse("one").unwrap();
        drop(open_store(&path, &key).unwrap());
        let wrong = open_store(&path, &DbKey::parse("other").unwrap());
        assert!(matches!(wrong, Err(OpenError::WrongKey(_))));

        let connection = open_store(&path, &key).unwrap();
        let later = LAYOUT.schema() + 1;
        connection.execute_batch(&format!("PRAGMA user_version = {later}")).unwrap();
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        let newer = open_store(&path, &key);
        assert!(
            matches!(newer, Err(OpenError::NewerSchema { found, known, .. }) if (found, known) == (later, LAYOUT.schema()))
        );
        assert!(std::fs::read(&path).unwrap() == before, "it was written to");
        // Nor does it open for whoever only asks whether it would.
        let asked = check::opens(&path, &key);
        assert!(matches!(asked, Err(CheckError::Open(OpenError::NewerSchema { found, .. })) if found == later));
    }

    #[test]
    fn nothing_in_the_file_is_readable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qpc.db");
        let connection = open_store(&path, &DbKey::parse(&"ab".repeat(32)).unwrap()).unwrap();
        connection.execute_batch("INSERT INTO upkeep VALUES ('canary-of-this-test', 1)").unwrap();
        let wal = std::fs::read(folder.path().join("qpc.db-wal")).unwrap();
        assert!(!wal.is_empty());
        assert!(!wal.windows(6).any(|window| window == b"canary"));
        assert!(!wal.windows(6).any(|window| window == b"SQLite"));
    }
}
