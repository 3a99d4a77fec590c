//! Whose keys a person has compared: one mark for each contact.
//!
//! A mark is complete by itself (whom, which key, marked or taken back, when, at which device), and one that was taken
//! back stays: so of two devices' marks the later one counts, whichever is heard of first. They are not shared yet.

use qpc_proto::{address::Address, id::DeviceId};
use rusqlite::Transaction;

use super::{StoreError, row};
use crate::fresh;

/// A person's word on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The key that was compared.
    pub(crate) account_key: [u8; 32],
    /// When.
    pub(crate) marked_ms: u64,
}

/// Marks a contact's key as compared, or takes that back.
pub(crate) fn mark(
    tx: &Transaction<'_>,
    address: &Address,
    account_key: &[u8; 32],
    verified: bool,
    device: DeviceId,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO verification (address, account_key, verified, changed_ms, device) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (address) DO UPDATE SET account_key = ?2, verified = ?3, changed_ms = ?4, device = ?5",
        (address.to_string(), account_key, verified, row::signed(fresh::now_ms()), device.as_bytes()),
    )?;
    Ok(())
}
