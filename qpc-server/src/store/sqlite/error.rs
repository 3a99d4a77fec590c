//! What SQLite's errors mean to callers, and numbers as SQLite stores them.

use rusqlite::ErrorCode;

use crate::store::StoreFault;

/// What an engine error is to a caller. Its text names no rows: statements carry values as parameters.
pub(crate) fn fault(error: rusqlite::Error) -> StoreFault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFault::Full,
        _ => StoreFault::Engine(error.to_string()),
    }
}

/// Did the disk fail, so that nothing is known of what it holds?
pub(crate) fn disk_failed(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// A row that is not what was stored.
pub(crate) fn corrupt(what: &str) -> StoreFault {
    StoreFault::Engine(format!("a stored {what} is malformed"))
}

/// A number for SQLite, which has 63 bits; no counter of ours comes near.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A length or limit for SQLite.
pub(crate) fn size(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that [`int`] stored.
pub(crate) fn num(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
