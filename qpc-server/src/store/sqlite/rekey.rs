//! Giving a database another key: every page is encrypted anew, in one transaction.

use std::path::Path;

use rusqlite::Connection;

use super::{
    DbKey, OpenError,
    connection::{self, Layout, Purpose},
};

const CACHE_KIB: u32 = 16 * 1024;

/// Has a file this key? A file that has neither this nor any other one that is tried is told by opening it.
pub(crate) fn has_key(path: &Path, key: &DbKey, layout: &Layout) -> Result<bool, OpenError> {
    match connection::open(path, key, layout, Purpose::Read, CACHE_KIB) {
        Ok(_) => Ok(true),
        Err(OpenError::WrongKey(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a file that nobody else has open another key. A crash leaves it with the old one or the new one, whole.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn rekey(path: &Path, old: &DbKey, new: &DbKey, layout: &Layout) -> Result<(), OpenError> {
    let connection = connection::open(path, old, layout, Purpose::Write, CACHE_KIB)?;
    // With a journal that takes the file back: a write-ahead log of pages under two keys could be read with neither.
    journal(&connection, "DELETE")?;
    connection.execute_batch(&new.rekey_pragma())?;
    journal(&connection, "WAL")?;
    drop(connection);
    // It opens, with every setting that counts.
    connection::open(path, new, layout, Purpose::Read, CACHE_KIB).map(drop)
}

fn journal(connection: &Connection, wanted: &'static str) -> Result<(), OpenError> {
    let found: String = connection.query_row(&format!("PRAGMA journal_mode = {wanted}"), [], |row| row.get(0))?;
    if found.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(OpenError::Setting { setting: "journal_mode", wanted, found })
}
