//! Key packages: published, handed out once, counted.

use qpc_proto::{
    address::Address,
    id::{AccountId, DeviceId},
    limits::KEY_PACKAGES_PER_DEVICE_MAX,
    suite::Suite,
};

use super::{active, present};
use crate::store::{
    Actor, ClaimError, Claimed, ClaimedByPeer, ClaimedKeyPackage, KeyPackageCount, NewKeyPackages, Refusal,
    tables::Tables,
};

pub(in crate::store) fn publish_key_packages(
    tables: &mut dyn Tables,
    actor: &Actor,
    packages: &NewKeyPackages,
) -> Result<KeyPackageCount, Refusal> {
    present(tables, actor)?;
    let (device, suite) = (actor.device(), packages.suite);
    tables.add_key_packages(device, suite, &packages.one_time, KEY_PACKAGES_PER_DEVICE_MAX)?;
    if let Some(last_resort) = &packages.last_resort {
        tables.set_last_resort(device, suite, last_resort)?;
    }
    Ok(tables.count_key_packages(device, suite)?)
}

pub(in crate::store) fn claim_key_packages(
    tables: &mut dyn Tables,
    actor: &Actor,
    target: &Address,
    suite: Suite,
) -> Result<Claimed, ClaimError> {
    present(tables, actor)?;
    let account = active(tables, target)?.ok_or(ClaimError::NotFound)?;
    // Nobody adds the device they act with.
    take(tables, account.id, suite, Some(actor.device()))
}

pub(in crate::store) fn claim_key_packages_for_peer(
    tables: &mut dyn Tables,
    target: &Address,
    suite: Suite,
) -> Result<ClaimedByPeer, ClaimError> {
    let account = active(tables, target)?.ok_or(ClaimError::NotFound)?;
    let claimed = take(tables, account.id, suite, None)?;
    Ok(ClaimedByPeer { claimed, certificates: tables.certificates_of(account.id)? })
}

/// One of each device of an account, but of this one.
fn take(
    tables: &mut dyn Tables,
    account: AccountId,
    suite: Suite,
    but: Option<DeviceId>,
) -> Result<Claimed, ClaimError> {
    let mut claimed = Claimed::default();
    let mut having = Vec::new();
    for device in tables.devices_of(account)? {
        if Some(device.id) == but {
            continue;
        }
        let count = tables.count_key_packages(device.id, suite)?;
        if count.one_time > 0 || count.last_resort {
            having.push(device.id);
        } else {
            claimed.without.push(device.id);
        }
    }
    // A device without may not know the suite, and could not be in the group: then the others' are not used up for it.
    // The classical one all know, and who has none left joins by itself.
    if suite != Suite::Classical && !claimed.without.is_empty() {
        return Ok(claimed);
    }
    for device in having {
        if let Some(key_package) = tables.take_key_package(device, suite)? {
            claimed.key_packages.push(ClaimedKeyPackage { device, key_package });
        }
    }
    if claimed.key_packages.is_empty() { Err(ClaimError::NotFound) } else { Ok(claimed) }
}

pub(in crate::store) fn count_key_packages(
    tables: &mut dyn Tables,
    actor: &Actor,
    suite: Suite,
) -> Result<KeyPackageCount, Refusal> {
    present(tables, actor)?;
    Ok(tables.count_key_packages(actor.device(), suite)?)
}
