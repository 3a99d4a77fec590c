//! Devices: enrolled, seen, revoked.

use std::collections::BTreeSet;

use qpc_proto::{
    address::Domain,
    id::{AccountId, ConversationName, DeviceId, Seq},
    suite::Suite,
};

use super::present;
use crate::{
    clock,
    store::{
        Actor, DeviceInfo, DeviceRecord, EnrolDeviceError, Enrolled, NewDevice, Refusal, StoreFault,
        tables::{AccountRow, AccountState, DeviceRow, FollowerRow, LogKind, LogRow, Tables},
    },
};

/// Conversations looked at in one go.
const PAGE: usize = 100;

/// Is or was the id a device's, or is it a conversation's? Either way its inbox could not be named.
pub(super) fn id_in_use(tables: &mut dyn Tables, domain: &Domain, id: DeviceId) -> Result<bool, StoreFault> {
    let inbox = ConversationName::inbox(domain.clone(), id);
    Ok(tables.device_known(id)? || tables.log(&inbox)?.is_some())
}

/// Adds a device whose id is not in use, with its inbox.
pub(super) fn insert(tables: &mut dyn Tables, account: &AccountRow, device: &NewDevice) -> Result<(), StoreFault> {
    tables.insert_device(account.id, device)?;
    let inbox = tables.insert_log(&LogRow {
        name: ConversationName::inbox(account.address.domain.clone(), device.id),
        kind: LogKind::Inbox,
        creation: None,
        created_ms: device.now_ms,
        continues: None,
    })?;
    if account.state == AccountState::Guest {
        // Its own server reads it.
        tables.put_follower(inbox, &account.address.domain, FollowerRow { seq: Seq(0), until: None })?;
    }
    tables.start_cursor(inbox, device.id, Seq(0))
}

/// Removes a device with all that is its own, and has its session ended.
pub(super) fn remove(tables: &mut dyn Tables, domain: &Domain, device: DeviceId) -> Result<(), StoreFault> {
    if let Some((inbox, _)) = tables.log(&ConversationName::inbox(domain.clone(), device))? {
        tables.remove_log(inbox)?;
    }
    tables.arrived_everywhere(device)?;
    tables.remove_device(device)?;
    tables.gone(device);
    Ok(())
}

/// Notes that devices which are about to go have a leaf in every group of their account; gives who is in them.
///
/// A conversation of two is over with one of the two accounts: nobody changes its group any more.
pub(super) fn leave_behind(
    tables: &mut dyn Tables,
    account: AccountId,
    devices: &[DeviceId],
    account_gone: bool,
) -> Result<BTreeSet<AccountId>, StoreFault> {
    let own = tables.account(account)?.filter(|account| account.state != AccountState::Guest);
    let own = own.map(|account| account.address);
    let mut others = BTreeSet::new();
    let mut after = None;
    loop {
        let page = tables.logs_of(account, after, PAGE)?;
        let Some((_, last)) = page.last() else { break };
        after = Some(last.name.id);
        for (log, row) in &page {
            others.extend(tables.audience(*log)?.iter().copied());
            // In a conversation of another domain that one proposes removals, once it is told.
            if let Some(own) = own.as_ref().filter(|own| own.domain != row.name.domain) {
                tables.put_announcement(&row.name.domain, own)?;
                continue;
            }
            if !account_gone || row.kind == LogKind::Group {
                devices.iter().try_for_each(|device| tables.put_departed(*log, *device, account_gone))?;
            }
        }
    }
    others.remove(&account);
    Ok(others)
}

pub(in crate::store) fn enrol_device(
    tables: &mut dyn Tables,
    account: AccountId,
    device: &NewDevice,
    most: usize,
) -> Result<Enrolled, EnrolDeviceError> {
    let account =
        tables.account(account)?.filter(|account| account.state.is_had()).ok_or(EnrolDeviceError::AccountGone)?;
    if account.state == AccountState::Suspended {
        return Err(EnrolDeviceError::Suspended);
    }
    if let Some(same) = tables.device(device.id)?
        && same.account == account.id
        && same.key == device.key
    {
        return Ok(Enrolled::Already);
    }
    if id_in_use(tables, &account.address.domain, device.id)? {
        return Err(EnrolDeviceError::DeviceExists);
    }
    if tables.devices_of(account.id)?.len() >= most {
        return Err(EnrolDeviceError::TooMany);
    }
    insert(tables, &account, device)?;
    Ok(Enrolled::Anew)
}

pub(in crate::store) fn device(tables: &mut dyn Tables, id: DeviceId) -> Result<Option<DeviceRecord>, StoreFault> {
    let Some(device) = tables.device(id)? else { return Ok(None) };
    let Some(account) = tables.account(device.account)? else { return Ok(None) };
    Ok(Some(DeviceRecord {
        account: account.id,
        address: account.address,
        account_key: account.key,
        key: device.key,
        key_packages: tables.count_key_packages(id, Suite::Classical)?.one_time,
        post_quantum_key_packages: tables.count_key_packages(id, Suite::PostQuantum)?.one_time,
        last_seen_ms: device.last_seen_ms,
        suspended: device.suspended,
    }))
}

pub(super) fn info(row: DeviceRow) -> DeviceInfo {
    DeviceInfo { id: row.id, name: row.name, enrolled_ms: row.enrolled_ms, last_seen_ms: row.last_seen_ms }
}

pub(in crate::store) fn list_devices(tables: &mut dyn Tables, actor: &Actor) -> Result<Vec<DeviceInfo>, Refusal> {
    present(tables, actor)?;
    let devices = tables.devices_of(actor.account())?;
    Ok(devices.into_iter().map(info).collect())
}

pub(in crate::store) fn certificates(tables: &mut dyn Tables, actor: &Actor) -> Result<Vec<bytes::Bytes>, Refusal> {
    present(tables, actor)?;
    Ok(tables.certificates_of(actor.account())?)
}

pub(in crate::store) fn revoke_device(tables: &mut dyn Tables, actor: &Actor, device: DeviceId) -> Result<(), Refusal> {
    present(tables, actor)?;
    match tables.device(device)? {
        Some(row) if row.account == actor.account() => {
            Ok(revoke(tables, actor.account(), &actor.address().domain, device)?)
        }
        _ => Err(Refusal::NotFound),
    }
}

/// Takes a device from its account.
pub(super) fn revoke(
    tables: &mut dyn Tables,
    account: AccountId,
    domain: &Domain,
    device: DeviceId,
) -> Result<(), StoreFault> {
    leave_behind(tables, account, &[device], false)?;
    remove(tables, domain, device)
}

pub(in crate::store) fn touch_device(tables: &mut dyn Tables, actor: &Actor, now_ms: u64) -> Result<(), Refusal> {
    present(tables, actor)?;
    let today = clock::day(now_ms);
    if tables.device(actor.device())?.is_some_and(|row| row.last_seen_ms < today) {
        tables.set_last_seen(actor.device(), today)?;
    }
    Ok(())
}
