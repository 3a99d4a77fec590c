//! What a restored database must forget: whatever is good for one use, and may have been used since the backup was made.

use std::path::Path;

use super::{
    DbKey, LAYOUT, OpenError,
    connection::{self, Purpose},
};

const CACHE_KIB: u32 = 4 * 1024;

/// What was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// One-time key packages: a welcome to one that was given out before would not open, or open twice (RFC 9420
    /// section 10). Clients upload new ones; their last-resort ones stay.
    pub key_packages: usize,
    /// Invites, those that register a reset account's name again among them.
    pub invites: usize,
}

/// Makes a restored database ready to serve.
///
/// # Errors
/// [`OpenError`].
pub fn after_restore(path: &Path, key: &DbKey) -> Result<Dropped, OpenError> {
    let mut connection = connection::open(path, key, &LAYOUT, Purpose::Write, CACHE_KIB)?;
    let transaction = connection.transaction()?;
    let dropped = Dropped {
        key_packages: transaction.execute("DELETE FROM key_packages", [])?,
        invites: transaction.execute("DELETE FROM invites", [])?,
    };
    transaction.commit()?;
    Ok(dropped)
}
