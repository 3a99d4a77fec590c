//! Contacts: how things stand with them, and the account key that was first seen with their name.

use qpc_proto::{address::Address, v1::ContactState};
use rusqlite::{OptionalExtension, Transaction};

use super::{StoreError, row};

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) address: Address,
    pub(crate) state: ContactState,
    /// Seen first, or accepted by a person since.
    pub(crate) account_key: Option<[u8; 32]>,
    /// Another one that was presented since, and that nobody has accepted.
    pub(crate) offered_key: Option<[u8; 32]>,
}

/// What somebody's key is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// Nobody by that name has been seen.
    Unknown,
    /// It is theirs.
    Same,
    /// They had another one.
    Other,
}

pub(crate) fn get(tx: &Transaction<'_>, address: &Address) -> Result<Option<Contact>, StoreError> {
    Ok(select(tx, "WHERE address = ?1", [address.to_string()])?.pop())
}

/// In order of address.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Contact>, StoreError> {
    select(tx, "ORDER BY address", [])
}

/// Notes how things stand; tells whether that is news.
pub(crate) fn set_state(tx: &Transaction<'_>, address: &Address, state: ContactState) -> Result<bool, StoreError> {
    let changed = tx
        .prepare_cached(
            "INSERT INTO contact (address, state) VALUES (?1, ?2) \
             ON CONFLICT (address) DO UPDATE SET state = ?2 WHERE state <> ?2",
        )?
        .execute((address.to_string(), i32::from(state)))?;
    Ok(changed > 0)
}

/// Compares a key with the pinned one.
pub(crate) fn compare(tx: &Transaction<'_>, address: &Address, key: &[u8; 32]) -> Result<Pinned, StoreError> {
    let pinned: Option<Option<Vec<u8>>> = tx
        .prepare_cached("SELECT account_key FROM contact WHERE address = ?1")?
        .query_one([address.to_string()], |row| row.get(0))
        .optional()?;
    Ok(match pinned.flatten() {
        None => Pinned::Unknown,
        Some(pinned) if pinned == key => Pinned::Same,
        Some(_) => Pinned::Other,
    })
}

/// Pins a key where there is none.
pub(crate) fn pin(tx: &Transaction<'_>, address: &Address, key: &[u8; 32]) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO contact (address, account_key) VALUES (?1, ?2) \
         ON CONFLICT (address) DO UPDATE SET account_key = ?2 WHERE account_key IS NULL",
    )?
    .execute((address.to_string(), key))?;
    Ok(())
}

/// Notes that another key than the pinned one was presented.
pub(crate) fn offer(tx: &Transaction<'_>, address: &Address, key: &[u8; 32]) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO contact (address, account_key) VALUES (?1, ?2) \
         ON CONFLICT (address) DO UPDATE SET offered_key = ?2 WHERE account_key <> ?2",
    )?
    .execute((address.to_string(), key))?;
    Ok(())
}

/// A person accepts the offered key; `false` where none is offered.
pub(crate) fn accept_offer(tx: &Transaction<'_>, address: &Address) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE contact SET account_key = offered_key, offered_key = NULL WHERE address = ?1 AND offered_key IS NOT NULL",
        [address.to_string()],
    )?;
    Ok(changed > 0)
}

fn select(tx: &Transaction<'_>, filter: &str, values: impl rusqlite::Params) -> Result<Vec<Contact>, StoreError> {
    let mut select =
        tx.prepare_cached(&format!("SELECT address, state, account_key, offered_key FROM contact {filter}"))?;
    let mut rows = select.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(Contact {
            address: row::address(&row.get::<_, String>("address")?)?,
            state: ContactState::try_from(row.get::<_, i32>("state")?).unwrap_or_default(),
            account_key: row.get::<_, Option<Vec<u8>>>("account_key")?.map(row::key).transpose()?,
            offered_key: row.get::<_, Option<Vec<u8>>>("offered_key")?.map(row::key).transpose()?,
        });
    }
    Ok(all)
}
