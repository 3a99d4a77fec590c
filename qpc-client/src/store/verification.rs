//! Whose keys a person has compared: one mark for each contact.
//!
//! A mark is complete by itself (whom, which key, marked or taken back, when, at which device), and one that was taken
//! back stays: so of two devices' marks the later one counts, whichever is heard of first.

use qpc_proto::{address::Address, id::DeviceId, v1};
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
         ON CONFLICT (address) DO UPDATE SET account_key = ?2, verified = ?3, changed_ms = ?4, device = ?5, untold = 1",
        (address.to_string(), account_key, verified, row::signed(fresh::now_ms()), device.as_bytes()),
    )?;
    Ok(())
}

/// Takes another device's word; says whether it is a later one than what is known here.
pub(crate) fn heard(tx: &Transaction<'_>, address: &Address, told: &v1::VerificationMark) -> Result<bool, StoreError> {
    let (Ok(key), Ok(device)) = (<[u8; 32]>::try_from(told.account_key.as_ref()), DeviceId::parse(&told.device_id))
    else {
        return Ok(false);
    };
    // At the same moment, the greater device: both devices come to the same.
    let changed = tx.execute(
        "INSERT INTO verification (address, account_key, verified, changed_ms, device, untold) \
         VALUES (?1, ?2, ?3, ?4, ?5, 0) \
         ON CONFLICT (address) DO UPDATE SET account_key = ?2, verified = ?3, changed_ms = ?4, device = ?5, untold = 0 \
         WHERE (changed_ms, device) < (?4, ?5)",
        (address.to_string(), key, told.verified, row::signed(told.changed_ms), device.as_bytes()),
    )?;
    Ok(changed > 0)
}

/// Takes what other devices have not been told of, at most so many.
pub(crate) fn take_untold(tx: &Transaction<'_>, limit: u32) -> Result<Vec<v1::VerificationMark>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM verification WHERE untold = 1 ORDER BY address LIMIT ?1")?;
    let mut rows = select.query([limit])?;
    let mut told = Vec::new();
    while let Some(row) = rows.next()? {
        told.push(v1::VerificationMark {
            address: row.get("address")?,
            account_key: row.get::<_, Vec<u8>>("account_key")?.into(),
            verified: row.get("verified")?,
            changed_ms: row::number(row, "changed_ms")?,
            device_id: row.get::<_, Vec<u8>>("device")?.into(),
        });
    }
    for mark in &told {
        tx.prepare_cached("UPDATE verification SET untold = 0 WHERE address = ?1")?.execute([&mark.address])?;
    }
    Ok(told)
}

/// A device that has just come is told all of them.
pub(crate) fn tell_all(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE verification SET untold = 1", [])?;
    Ok(())
}
