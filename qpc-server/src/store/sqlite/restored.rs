//! What a restored database must forget, whatever is good for one use and may have been used since the backup was made, and
//! what it must know: that it is one, and who may have what it lacks.

use std::path::Path;

use super::{
    DbKey, LAYOUT, OpenError,
    connection::{self, Purpose},
    restore,
};
use crate::store::{Awaited, Restored, rules::SEEN_WITHIN_MS};

const CACHE_KIB: u32 = 4 * 1024;

/// What was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// One-time key packages: a welcome to one that was given out before would not open, or open twice (RFC 9420
    /// section 10). Clients upload new ones; their last-resort ones stay.
    pub key_packages: usize,
    /// Invites, those that register a reset account's name again among them.
    pub invites: usize,
    /// Who is awaited before all conversations can be written into.
    pub awaited: Awaited,
}

/// Makes a restored database ready to serve.
///
/// # Errors
/// [`OpenError`].
pub fn after_restore(path: &Path, key: &DbKey, restored: Restored) -> Result<Dropped, OpenError> {
    let mut connection = connection::open(path, key, &LAYOUT, Purpose::Write, CACHE_KIB)?;
    let transaction = connection.transaction()?;
    restore::note(&transaction, restored, SEEN_WITHIN_MS)?;
    let dropped = Dropped {
        key_packages: transaction.execute("DELETE FROM key_packages", [])?,
        invites: transaction.execute("DELETE FROM invites", [])?,
        awaited: restore::count(&transaction)?,
    };
    transaction.commit()?;
    Ok(dropped)
}
