//! What the server, or another device of the account, has to be asked for once there is a connection.

use rusqlite::{OptionalExtension, Transaction};

use super::StoreError;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// In which conversations is the account?
    Conversations,
    /// How does it stand with others?
    Contacts,
    /// What was said before this device came? It asks the other devices.
    History,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::Conversations => "conversations",
            Self::Contacts => "contacts",
            Self::History => "history",
        }
    }
}

/// It has to be asked.
pub(crate) fn put(tx: &Transaction<'_>, what: What) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO due (what, times) VALUES (?1, 1) ON CONFLICT (what) DO UPDATE SET times = times + 1",
    )?
    .execute([what.name()])?;
    Ok(())
}

/// How often it fell due, if it has to be asked.
pub(crate) fn get(tx: &Transaction<'_>, what: What) -> Result<Option<i64>, StoreError> {
    let mut select = tx.prepare_cached("SELECT times FROM due WHERE what = ?1")?;
    Ok(select.query_one([what.name()], |row| row.get(0)).optional()?)
}

/// The answer to what was asked when it had fallen due so often is here.
pub(crate) fn done(tx: &Transaction<'_>, what: What, times: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM due WHERE what = ?1 AND times = ?2")?.execute((what.name(), times))?;
    Ok(())
}
