//! What this person tells others of what they do at the moment.

use rusqlite::{OptionalExtension, Transaction};

use super::StoreError;
use crate::api::{Tell, Told};

/// As it is stored.
const fn word(what: Tell) -> &'static str {
    match what {
        Tell::Presence => "presence",
        Tell::Typing => "typing",
        Tell::Delivered => "delivered",
        Tell::Read => "read",
    }
}

/// All of it.
pub(crate) fn told(tx: &Transaction<'_>) -> Result<Told, StoreError> {
    let usual = Told::default();
    let is = |what: Tell, usual: bool| -> Result<bool, StoreError> {
        let mut select = tx.prepare_cached("SELECT told FROM tell WHERE what = ?1")?;
        Ok(select.query_one([word(what)], |row| row.get(0)).optional()?.unwrap_or(usual))
    };
    Ok(Told {
        presence: is(Tell::Presence, usual.presence)?,
        typing: is(Tell::Typing, usual.typing)?,
        delivered: is(Tell::Delivered, usual.delivered)?,
        read: is(Tell::Read, usual.read)?,
    })
}

/// Tells it from now on, or does not.
pub(crate) fn set(tx: &Transaction<'_>, what: Tell, on: bool) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO tell (what, told) VALUES (?1, ?2)")?.execute((word(what), on))?;
    Ok(())
}
