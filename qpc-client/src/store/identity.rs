//! Who this home is.

use qpc_proto::id::DeviceId;
use rusqlite::{OptionalExtension, Transaction};
use zeroize::Zeroizing;

use super::{StoreError, row};
use crate::identity::{DeviceSecret, Identity};

/// Sets it, once and for all.
pub(crate) fn put(tx: &Transaction<'_>, identity: &Identity) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO identity (one, address, device, device_secret, account_key, certificate, server) \
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
        (
            identity.address.to_string(),
            identity.device.as_bytes(),
            identity.device_secret.seed().as_slice(),
            identity.account_key,
            &identity.certificate,
            &identity.server,
        ),
    )?;
    Ok(())
}

/// Reads it, where there is one.
pub(crate) fn get(tx: &Transaction<'_>) -> Result<Option<Identity>, StoreError> {
    let found = tx
        .query_one("SELECT address, device, device_secret, account_key, certificate, server FROM identity", [], |row| {
            let secret: Zeroizing<Vec<u8>> = Zeroizing::new(row.get(2)?);
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, secret, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((address, device, secret, account_key, certificate, server)) = found else { return Ok(None) };
    let seed: &[u8; 32] = secret.as_slice().try_into().map_err(|_| StoreError::Corrupt("a device key"))?;
    Ok(Some(Identity {
        address: row::address(&address)?,
        device: DeviceId::parse(&device).map_err(|_| StoreError::Corrupt("a device id"))?,
        device_secret: DeviceSecret::from_seed(seed),
        account_key: row::key(account_key)?,
        certificate,
        server,
    }))
}
