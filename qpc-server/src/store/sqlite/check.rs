//! Verifies a database from the outside: pages, tables, and every log's chain.
//!
//! For `qpc-server db check`, because no `sqlite3` shell opens the file. It reads only, and may
//! run beside a server, whose writes it then does not see.

use std::path::Path;

use qpc_proto::{
    chain::ChainValue,
    id::{ConversationName, Seq},
};
use rusqlite::Connection;

use super::{
    DbKey, LAYOUT, OpenError,
    connection::{self, Layout, Purpose},
    log::{all_logs, each_entry},
};
use crate::store::tables::{Ends, LogId, LogRow};

/// Problems listed; a broken file could give millions.
const PROBLEMS_MAX: usize = 100;
const CACHE_KIB: u32 = 16 * 1024;

/// What is wrong with a file, whatever is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// A page whose authentication code does not fit: the file was changed or damaged.
    #[error("page: {0}")]
    Page(String),
    /// SQLite's own check found something.
    #[error("table: {0}")]
    Table(String),
}

/// Lists a problem, as long as there is room for it.
pub(crate) fn list<P>(problems: &mut Vec<P>, problem: P) {
    if problems.len() < PROBLEMS_MAX {
        problems.push(problem);
    }
}

/// Opens a file to look at it, with what is wrong with its pages and tables.
pub(crate) fn open(path: &Path, key: &DbKey, layout: &Layout) -> Result<(Connection, Vec<FileProblem>), CheckError> {
    let connection = read(path, key, layout)?;
    let mut problems = Vec::new();
    lines(&connection, "PRAGMA cipher_integrity_check", |line| list(&mut problems, FileProblem::Page(line)))?;
    if problems.is_empty() {
        let outcome = lines(&connection, "PRAGMA integrity_check(100)", |line| {
            if line != "ok" {
                list(&mut problems, FileProblem::Table(line));
            }
        });
        if let Err(error) = outcome {
            list(&mut problems, FileProblem::Table(error.to_string()));
        }
    }
    Ok((connection, problems))
}

/// Opens a file that is there, to read it.
pub(crate) fn read(path: &Path, key: &DbKey, layout: &Layout) -> Result<Connection, CheckError> {
    if !path.exists() {
        return Err(CheckError::Missing(path.display().to_string()));
    }
    Ok(connection::open(path, key, layout, Purpose::Read, CACHE_KIB)?)
}

/// That a file opens with the key, and is not of a later release. Takes no longer than opening it.
pub(crate) fn opens_as(path: &Path, key: &DbKey, layout: &Layout) -> Result<(), CheckError> {
    read(path, key, layout).map(drop)
}

/// That the database at a path opens with the key.
///
/// # Errors
/// [`CheckError`].
pub fn opens(path: &Path, key: &DbKey) -> Result<(), CheckError> {
    opens_as(path, key, &LAYOUT)
}

/// What was looked at and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Conversations and inboxes.
    pub logs: u64,
    /// Entries whose place, chain and digest were verified.
    pub entries: u64,
    /// What is wrong, at most a hundred.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    /// Is everything as it should be?
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, problem: Problem) {
        list(&mut self.problems, problem);
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// An entry is missing, twice there, or out of order.
    #[error("log {0}: entry {1} does not follow entry {2}")]
    Gap(ConversationName, Seq, Seq),
    /// An entry does not follow from the one before: a header or body is not what was stored.
    #[error("log {0}: the chain breaks at entry {1}")]
    Chain(ConversationName, Seq),
    /// A row that can't be read.
    #[error("log {0}: an entry is malformed: {1}")]
    Row(ConversationName, String),
}

/// Why a database could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no such file: a check must not make one.
    #[error("there is no database at {0}")]
    Missing(String),
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It can't be read.
    #[error("the database can't be read: {0}")]
    Engine(#[from] rusqlite::Error),
    /// What is kept beside it can't be looked at.
    #[error("the place for blobs can't be looked at: {0}. Look at [blobs] in the configuration")]
    Place(String),
}

/// Checks the database at a path. Takes as long as reading the whole file.
///
/// # Errors
/// [`CheckError`], where it can't even be looked at. What is found wrong is in the report.
pub fn check(path: &Path, key: &DbKey) -> Result<CheckReport, CheckError> {
    let (connection, problems) = open(path, key, &LAYOUT)?;
    let problems = problems.into_iter().map(Problem::from).collect();
    let mut report = CheckReport { problems, ..CheckReport::default() };
    if report.is_sound() {
        // One snapshot for all logs.
        connection.execute_batch("BEGIN")?;
        for (log, row, ends) in all_logs(&connection)? {
            check_log(&connection, log, &row, &ends, &mut report)?;
        }
    }
    Ok(report)
}

fn lines(connection: &Connection, sql: &str, mut visit: impl FnMut(String)) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(row.get(0)?);
    }
    Ok(())
}

fn check_log(
    connection: &Connection,
    log: LogId,
    row: &LogRow,
    ends: &Ends,
    report: &mut CheckReport,
) -> rusqlite::Result<()> {
    report.logs = report.logs.saturating_add(1);
    if ends.floor == Seq(0) && ends.floor_chain != ChainValue::genesis(&row.name) {
        report.add(Problem::Chain(row.name.clone(), ends.floor));
    }
    let (mut seq, mut chain) = (ends.floor, ends.floor_chain);
    each_entry(connection, (log, &row.name), |entry| {
        let entry = match entry {
            Ok(row) => row.entry,
            Err(error) => return report.add(Problem::Row(row.name.clone(), error.to_string())),
        };
        if entry.seq != seq.next() {
            report.add(Problem::Gap(row.name.clone(), entry.seq, seq));
        }
        // Covers the digest: that of a body is computed, that of a removed body was stored.
        if !entry.follows(&chain) {
            report.add(Problem::Chain(row.name.clone(), entry.seq));
        }
        (seq, chain) = (entry.seq, entry.chain);
        report.entries = report.entries.saturating_add(1);
    })
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, os::unix::fs::FileExt};

    use super::*;
    use crate::store::{
        conformance::world::World,
        sqlite::tests::{Folder, key},
    };

    /// A closed database with two conversations.
    fn filled() -> Folder {
        let folder = Folder::new();
        let world = World::new(&folder);
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let talk = world.friends(&alice, &bob);
        for number in 0..20 {
            world.say(&alice, &talk, &format!("message {number}"));
        }
        crate::store::conformance::upkeep::retain(&world, u64::MAX, 0);
        world.say(&bob, &talk, "not stripped");
        world.group(&alice, &[&bob]);
        crate::store::conformance::world::wait(world.store.close()).unwrap();
        folder
    }

    fn tamper(folder: &Folder, sql: &str) -> Vec<Problem> {
        let connection = connection::open(&folder.path(), &key(), &LAYOUT, Purpose::Write, 100).unwrap();
        assert!(connection.execute(sql, []).unwrap() > 0);
        drop(connection);
        check(&folder.path(), &key()).unwrap().problems
    }

    #[test]
    fn a_sound_database_is_sound() {
        let folder = filled();
        let report = check(&folder.path(), &key()).unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
        // Two inboxes, a direct conversation and a group; welcomes, an acceptance, commits and messages.
        assert_eq!((report.logs, report.entries), (4, 26));
    }

    #[test]
    fn what_was_changed_is_found() {
        let seq = "seq = 5 AND kind = 1";
        let body = tamper(&filled(), "UPDATE entries SET content = x'00' WHERE kind = 1 AND NOT removed");
        assert!(matches!(body.as_slice(), [Problem::Chain(_, Seq(22))]), "{body:?}");
        let digest = tamper(&filled(), &format!("UPDATE entries SET content = zeroblob(32) WHERE {seq}"));
        assert!(matches!(digest.as_slice(), [Problem::Chain(_, Seq(5))]), "{digest:?}");
        let header = tamper(&filled(), &format!("UPDATE entries SET counter = 9 WHERE {seq}"));
        assert!(matches!(header.as_slice(), [Problem::Chain(_, Seq(5))]), "{header:?}");
        let gap = tamper(&filled(), &format!("DELETE FROM entries WHERE {seq}"));
        assert!(matches!(gap.as_slice(), [Problem::Gap(_, Seq(6), Seq(4)), Problem::Chain(_, Seq(6))]), "{gap:?}");
        let front = tamper(&filled(), "UPDATE logs SET floor_chain = zeroblob(32) WHERE kind = 2");
        assert!(matches!(front.as_slice(), [Problem::Chain(_, Seq(0)), Problem::Chain(_, Seq(1))]), "{front:?}");
        let row = tamper(&filled(), &format!("UPDATE entries SET content = zeroblob(3) WHERE {seq}"));
        assert!(matches!(row.first(), Some(Problem::Row(..))), "{row:?}");
    }

    #[test]
    fn a_flipped_bit_is_found_in_its_page() {
        let folder = filled();
        let file = OpenOptions::new().read(true).write(true).open(folder.path()).unwrap();
        let place = 4096 * 4 + 100;
        let mut byte = [0];
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 1], place).unwrap();
        let report = check(&folder.path(), &key()).unwrap();
        assert!(matches!(report.problems.first(), Some(Problem::File(FileProblem::Page(_)))), "{:?}", report.problems);
    }

    #[test]
    fn a_missing_file_is_not_made() {
        let folder = Folder::new();
        assert!(matches!(check(&folder.path(), &key()), Err(CheckError::Missing(_))));
        assert!(!folder.path().exists());
    }

    #[test]
    fn a_running_server_is_not_in_the_way() {
        let folder = Folder::new();
        let world = World::new(&folder);
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let talk = world.friends(&alice, &bob);
        assert!(check(&folder.path(), &key()).unwrap().is_sound());
        world.say(&alice, &talk, "goes on");
    }
}
