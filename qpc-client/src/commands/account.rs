//! The account itself: who, how it stands, its devices, its password, its end.

use std::sync::Arc;

use qpc_proto::{id::DeviceId, v1};

use super::{done, noted, usage};
use crate::{
    api::{CommandError, Device, Outcome, Password, Status, Whoami},
    auth,
    core::{Core, Line},
    fresh,
    identity::key_fingerprint,
    store::{StoreError, alarm, outbox},
    transport::{Last, Link},
};

/// Who this home belongs to.
pub(super) fn whoami(core: &Core) -> Whoami {
    Whoami {
        address: core.me.address().to_string(),
        device: core.me.identity.device.to_string(),
        account_key: key_fingerprint(&core.me.identity.account_key),
        server: core.transport.server.to_string(),
    }
}

/// How the client is; waits for an attempt to connect that is under way.
pub(super) async fn status(core: &Arc<Core>) -> Result<Outcome, CommandError> {
    let link = core.link().await;
    let problem = match &*core.line.borrow() {
        Line::Down { problem, .. } => Some(problem.clone()),
        Line::Up(_) | Line::Connecting => None,
    };
    let (queued, alarms) = core
        .store
        .run(|tx| {
            let queued = outbox::of_persons(tx)?.into_iter().map(|(_, messages)| messages).sum();
            Ok::<_, StoreError>((queued, alarm::open(tx)?))
        })
        .await?;
    let link = link.ok();
    Ok(Outcome::Status(Status {
        whoami: whoami(core),
        online: link.is_some(),
        problem,
        key_exchange: link.as_ref().map(|link| link.key_exchange.clone()),
        fingerprint: link.as_ref().map(|link| link.fingerprint.to_string()),
        outbox: queued,
        alarms,
    }))
}

/// The account's devices.
pub(super) async fn devices(core: &Arc<Core>) -> Result<Outcome, CommandError> {
    let listed = core.link().await?.call(v1::ListDevices {}).await?;
    let devices = listed.devices.into_iter().map(|device| Device {
        device: DeviceId::parse(&device.device_id).map(|id| id.to_string()).unwrap_or_default(),
        name: device.name,
        enrolled: fresh::rfc3339(device.enrolled_ms),
        last_seen: fresh::rfc3339(device.last_seen_ms).chars().take(10).collect(),
        current: device.current,
    });
    Ok(Outcome::Devices { devices: devices.collect() })
}

/// Deletes a device.
pub(super) async fn revoke(core: &Arc<Core>, device: String) -> Result<Outcome, CommandError> {
    let link = core.link().await?;
    let listed = link.call(v1::ListDevices {}).await?;
    let beginning = device.to_ascii_lowercase();
    let ids = listed.devices.iter().filter_map(|device| DeviceId::parse(&device.device_id).ok());
    let mut found = ids.filter(|id| id.to_string().starts_with(&beginning));
    let (Some(id), None) = (found.next().filter(|_| !beginning.is_empty()), found.next()) else {
        return Err(usage(format!("{device:?} is not the beginning of exactly one device's id: see `devices list`")));
    };
    if id == core.me.identity.device {
        return Err(usage("that is this device: use `logout`"));
    }
    link.call(v1::RevokeDevice { device_id: id.to_bytes() }).await?;
    Ok(done())
}

/// Deletes this device.
pub(crate) async fn revoke_own(core: &Arc<Core>, link: &Link) -> Result<(), CommandError> {
    link.call(v1::RevokeDevice { device_id: core.me.identity.device.to_bytes() }).await?;
    Ok(())
}

/// Replaces the password.
pub(super) async fn change_password(core: &Arc<Core>, old: &Password, new: &Password) -> Result<Outcome, CommandError> {
    let link = core.link().await?;
    auth::change_password(&link, core.ksf, core.me.address(), old, new).await?;
    Ok(done())
}

/// Deletes the account for good.
pub(super) async fn delete(core: &Arc<Core>, password: &Password) -> Result<Outcome, CommandError> {
    let link = core.link().await?;
    auth::prove_password(&link, core.ksf, core.me.address(), password, Last::Yes).await?;
    link.call(v1::DeleteAccount {}).await?;
    Ok(noted("The account is deleted. What this home holds is still here: `logout` removes it."))
}
