//! Accounts and devices, for the operator: shown, suspended, resumed, revoked, reset, deleted.

use qpc_proto::{
    address::{AccountName, Address},
    error::CloseCode,
    id::DeviceId,
};

use super::{
    AdminAnswer, Operated,
    perform::malformed,
    rows::{AccountDetail, AccountRow, DeviceRow, Losses},
};
use crate::store::{AccountExtent, Changed, OperatorError, ResetAccountError, Standing};

type Outcome = Result<AdminAnswer, AdminAnswer>;

/// The name of one of this server's own, as a person types it.
pub(super) fn own_name(operated: &Operated, text: &str) -> Result<AccountName, AdminAnswer> {
    let address = Address::parse_at(text, operated.accounts.domain()).map_err(malformed)?;
    if address.domain == *operated.accounts.domain() {
        return Ok(address.name);
    }
    Err(malformed(format!(
        "{address} is an account of another server: only its own operator changes it, and here it is a guest"
    )))
}

pub(super) fn device_id(text: &str) -> Result<DeviceId, AdminAnswer> {
    text.parse().map_err(|error| malformed(format!("{text}: {error}; `admin devices list NAME` shows the ids")))
}

pub(super) async fn list(operated: &Operated, after: Option<String>, limit: usize) -> Outcome {
    let after = after.map(|after| own_name(operated, &after)).transpose()?;
    let found = operated.store.accounts(after, limit).await?;
    let more = found.len() >= limit;
    let accounts = found.into_iter().map(|account| AccountRow {
        name: account.name.as_str().to_owned(),
        state: account.standing.name().to_owned(),
        devices: account.devices.len(),
        last_seen_ms: account.devices.iter().map(|device| device.last_seen_ms).max(),
    });
    Ok(AdminAnswer::Accounts { accounts: accounts.collect(), more })
}

pub(super) async fn show(operated: &Operated, name: &str) -> Outcome {
    let AccountExtent { account, conversations } = extent(operated, name).await?;
    let used = operated.blobs.used(account.id).await?;
    let devices = account.devices.into_iter().map(|device| DeviceRow {
        device: device.id.to_string(),
        name: device.name,
        enrolled_ms: device.enrolled_ms,
        last_seen_ms: device.last_seen_ms,
        sessions: operated.live.as_ref().map(|live| live.registry.sessions_of(account.id, device.id)),
    });
    let domain = operated.accounts.domain().clone();
    Ok(AdminAnswer::Account(Box::new(AccountDetail {
        address: Address { name: account.name, domain }.to_string(),
        state: account.standing.name().to_owned(),
        devices: devices.collect(),
        conversations,
        blob_bytes: used.bytes,
        blob_bytes_max: operated.quota.bytes,
        blobs: used.blobs,
        blobs_max: operated.quota.blobs,
    })))
}

pub(super) async fn suspend(operated: &Operated, name: &str, dry_run: bool) -> Outcome {
    if dry_run {
        let extent = in_use(operated, name).await?;
        return Ok(AdminAnswer::Would(Losses { sessions: sessions(operated, &extent, None), ..Losses::default() }));
    }
    let name = own_name(operated, name)?;
    let Changed { account, devices } = operated.store.set_suspended(&name, true).await?;
    // What authenticates from here on is refused by the store; what did before is cut. Whoever is in between sees the
    // count of departures change and asks again.
    let sessions = operated.live.as_ref().map_or(0, |live| {
        let sessions = live.registry.sessions_of_account(account, None);
        live.registry.cut(&devices, CloseCode::Suspended);
        sessions
    });
    Ok(AdminAnswer::Done { sessions })
}

pub(super) async fn resume(operated: &Operated, name: &str) -> Outcome {
    let name = own_name(operated, name)?;
    operated.store.set_suspended(&name, false).await?;
    Ok(AdminAnswer::Done { sessions: 0 })
}

pub(super) async fn delete(operated: &Operated, name: &str, dry_run: bool) -> Outcome {
    let extent = in_use(operated, name).await?;
    let losses = all(operated, &extent);
    if dry_run {
        return Ok(AdminAnswer::Would(losses));
    }
    operated.store.remove_account(&extent.account.name, operated.clock.unix_ms()).await?;
    devices_gone(operated);
    Ok(AdminAnswer::Done { sessions: losses.sessions })
}

pub(super) async fn reset(operated: &Operated, name: &str, dry_run: bool) -> Outcome {
    if dry_run {
        let extent = extent(operated, name).await?;
        return match extent.account.standing {
            Standing::Deleted => Err(AdminAnswer::NotFound),
            Standing::Active | Standing::Suspended | Standing::Reset => Ok(AdminAnswer::Would(all(operated, &extent))),
        };
    }
    let token = operated.accounts.reset_account(own_name(operated, name)?).await.map_err(|error| match error {
        ResetAccountError::NotFound => AdminAnswer::NotFound,
        ResetAccountError::Fault(fault) => fault.into(),
    })?;
    devices_gone(operated);
    Ok(AdminAnswer::Token { token: token.expose().to_owned() })
}

pub(super) async fn revoke(operated: &Operated, name: &str, device: &str, dry_run: bool) -> Outcome {
    let device = device_id(device)?;
    let extent = in_use(operated, name).await?;
    if !extent.account.devices.iter().any(|known| known.id == device) {
        return Err(AdminAnswer::NotFound);
    }
    let sessions = sessions(operated, &extent, Some(device));
    if dry_run {
        return Ok(AdminAnswer::Would(Losses { devices: 1, sessions, ..Losses::default() }));
    }
    operated.store.remove_device(&extent.account.name, device).await?;
    devices_gone(operated);
    Ok(AdminAnswer::Done { sessions })
}

pub(super) async fn extent(operated: &Operated, name: &str) -> Result<AccountExtent, AdminAnswer> {
    Ok(operated.store.account_extent(&own_name(operated, name)?).await?)
}

async fn in_use(operated: &Operated, name: &str) -> Result<AccountExtent, AdminAnswer> {
    let extent = extent(operated, name).await?;
    match extent.account.standing {
        Standing::Active | Standing::Suspended => Ok(extent),
        Standing::Reset | Standing::Deleted => Err(OperatorError::NotInUse.into()),
    }
}

/// All that an account has.
fn all(operated: &Operated, extent: &AccountExtent) -> Losses {
    Losses {
        devices: extent.account.devices.len(),
        sessions: sessions(operated, extent, None),
        memberships: extent.conversations,
        uses: 0,
    }
}

fn sessions(operated: &Operated, extent: &AccountExtent, device: Option<DeviceId>) -> usize {
    let id = extent.account.id;
    operated.live.as_ref().map_or(0, |live| live.registry.sessions_of_account(id, device))
}

/// Their leaves are proposed for removal soon, and not only when somebody next looks.
fn devices_gone(operated: &Operated) {
    if let Some(live) = &operated.live {
        live.groups.devices_gone();
    }
}
