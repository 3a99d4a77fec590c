//! Key packages: published, handed out once, counted.

use qpc_proto::{address::Address, limits::KEY_PACKAGES_PER_DEVICE_MAX};

use super::{active, present};
use crate::store::{Actor, ClaimError, ClaimedKeyPackage, KeyPackageCount, NewKeyPackages, Refusal, tables::Tables};

pub(in crate::store) fn publish_key_packages(
    tables: &mut dyn Tables,
    actor: &Actor,
    packages: &NewKeyPackages,
) -> Result<KeyPackageCount, Refusal> {
    present(tables, actor)?;
    tables.add_key_packages(actor.device(), &packages.one_time, KEY_PACKAGES_PER_DEVICE_MAX)?;
    if let Some(last_resort) = &packages.last_resort {
        tables.set_last_resort(actor.device(), last_resort)?;
    }
    Ok(tables.count_key_packages(actor.device())?)
}

pub(in crate::store) fn claim_key_packages(
    tables: &mut dyn Tables,
    actor: &Actor,
    target: &Address,
) -> Result<Vec<ClaimedKeyPackage>, ClaimError> {
    present(tables, actor)?;
    let account = active(tables, target)?.ok_or(ClaimError::NotFound)?;
    let mut claimed = Vec::new();
    for device in tables.devices_of(account.id)? {
        // Nobody adds the device they act with.
        if device.id == actor.device() {
            continue;
        }
        if let Some(key_package) = tables.take_key_package(device.id)? {
            claimed.push(ClaimedKeyPackage { device: device.id, key_package });
        }
    }
    if claimed.is_empty() { Err(ClaimError::NotFound) } else { Ok(claimed) }
}

pub(in crate::store) fn count_key_packages(tables: &mut dyn Tables, actor: &Actor) -> Result<KeyPackageCount, Refusal> {
    present(tables, actor)?;
    Ok(tables.count_key_packages(actor.device())?)
}
