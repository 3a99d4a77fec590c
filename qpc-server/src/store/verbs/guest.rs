//! Guests: accounts of other domains, which take part as this server's own do, but log in elsewhere.
//!
//! Each of their devices has an inbox here, from which its own server reads what is for it.

use std::collections::BTreeSet;

use qpc_proto::{
    address::Address,
    id::{AccountId, DeviceId},
    v1::{AccountEvent, AccountNotice},
};

use super::{account, device, inbox, reset};
use crate::store::{
    AdmitError, Guest, NewDevice, PasswordRecord, StoreFault,
    tables::{AccountRow, AccountState, DeviceRow, Tables},
};

/// Makes known what a guest's own server says of it: devices that are new, and those that are gone. One that comes with
/// another account key has been reset.
pub(in crate::store) fn admit_guest(tables: &mut dyn Tables, guest: &Guest) -> Result<AccountId, AdmitError> {
    let before = tables.account_at(&guest.address)?;
    if before.as_ref().is_some_and(|row| row.state != AccountState::Guest) {
        return Err(AdmitError::Own);
    }
    let same = before.as_ref().filter(|row| row.key == guest.account_key);
    let devices = match same {
        Some(row) => tables.devices_of(row.id)?,
        None => Vec::new(),
    };
    let new = judge_devices(tables, guest, &devices)?;
    let account = match same {
        Some(row) => row.clone(),
        None => insert(tables, guest, before)?,
    };
    let gone: Vec<DeviceId> = devices
        .iter()
        .map(|row| row.id)
        .filter(|known| guest.devices.iter().all(|device| device.id != *known))
        .collect();
    if !gone.is_empty() {
        device::leave_behind(tables, account.id, &gone, false)?;
        for device in gone {
            device::remove(tables, &account.address.domain, device)?;
        }
    }
    for device in new {
        device::insert(tables, &account, device)?;
    }
    Ok(account.id)
}

/// A guest's own server says that the account is gone. Whoever comes later with that address is somebody new.
pub(in crate::store) fn guest_gone(tables: &mut dyn Tables, address: &Address, now_ms: u64) -> Result<(), StoreFault> {
    let Some(guest) = tables.account_at(address)?.filter(|row| row.state == AccountState::Guest) else { return Ok(()) };
    let peers = reset::end(tables, &guest, AccountState::Deleted)?;
    tables.remove_account(guest.id)?;
    let notice =
        AccountNotice { address: address.to_string(), event: AccountEvent::Deleted.into(), ..Default::default() };
    inbox::tell_accounts(tables, &peers, None, &notice, now_ms)
}

/// Somebody of another domain as a hub of that domain says; `None` where the address is one of here.
pub(super) fn meet(
    tables: &mut dyn Tables,
    (id, address, key): (AccountId, &Address, [u8; 32]),
    now_ms: u64,
) -> Result<Option<AccountRow>, StoreFault> {
    let before = tables.account_at(address)?;
    match before {
        Some(row) if row.state != AccountState::Guest => Ok(None),
        Some(row) if row.key == key => Ok(Some(row)),
        before => {
            let guest = Guest { id, address: address.clone(), account_key: key, devices: Vec::new(), now_ms };
            insert(tables, &guest, before).map(Some)
        }
    }
}

/// Those that are not known yet; each id is somebody's once.
fn judge_devices<'g>(
    tables: &mut dyn Tables,
    guest: &'g Guest,
    known: &[DeviceRow],
) -> Result<Vec<&'g NewDevice>, AdmitError> {
    let (mut ids, mut new) = (BTreeSet::new(), Vec::new());
    for device in &guest.devices {
        if !ids.insert(device.id) {
            return Err(AdmitError::DeviceExists);
        }
        if known.iter().any(|row| row.id == device.id && row.key == device.key) {
            continue;
        }
        if device::id_in_use(tables, &guest.address.domain, device.id)? {
            return Err(AdmitError::DeviceExists);
        }
        new.push(device);
    }
    Ok(new)
}

/// A guest that is new, or in the place of one of the same name with another key.
fn insert(tables: &mut dyn Tables, guest: &Guest, before: Option<AccountRow>) -> Result<AccountRow, StoreFault> {
    if let Some(before) = &before {
        let peers = reset::end(tables, before, AccountState::Reset)?;
        tables.add_reset_peers(before.id, &peers)?;
        tables.remove_account(before.id)?;
    }
    let row =
        AccountRow { id: guest.id, address: guest.address.clone(), key: guest.account_key, state: AccountState::Guest };
    tables.insert_account(&row, &PasswordRecord::default())?;
    if let Some(before) = &before {
        account::come_back(tables, before, &row, guest.now_ms)?;
    }
    Ok(row)
}
