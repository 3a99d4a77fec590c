//! Restores, and the devices that conversations wait for since, in a set.

use std::collections::BTreeSet;

use qpc_proto::id::DeviceId;

use super::World;
use crate::store::{
    Awaited, Restored,
    tables::{AccountRow, AccountState, Fallible, LogId, RestoreTables},
};

#[derive(Default, Clone)]
pub(super) struct Restores {
    last: Option<Restored>,
    awaited: BTreeSet<(LogId, DeviceId)>,
}

impl RestoreTables for World {
    fn restored(&mut self) -> Fallible<Option<Restored>> {
        Ok(self.restores.last)
    }

    fn await_devices(&mut self, restored: Restored, within_ms: u64) -> Fallible<()> {
        let seen = || self.accounts.devices.values().flatten();
        let since = seen().map(|device| device.last_seen_ms).max().unwrap_or_default().saturating_sub(within_ms);
        let mut awaited = BTreeSet::new();
        for (log, row) in self.logs.rows.iter().filter(|(_, row)| !row.is_inbox()) {
            for device in seen().filter(|device| device.last_seen_ms >= since) {
                let member = row.members.get(&device.account).is_some_and(|member| member.until.is_none());
                let owner = self.accounts.rows.get(&device.account).map(|(owner, _)| owner);
                let own = |owner: &AccountRow| {
                    owner.state == AccountState::Active && owner.address.domain == row.name().domain
                };
                if member && owner.is_some_and(own) {
                    awaited.insert((*log, device.id));
                }
            }
        }
        self.restores = Restores { last: Some(restored), awaited };
        Ok(())
    }

    fn awaited_until(&mut self) -> Fallible<Option<u64>> {
        let Restores { last, awaited } = &self.restores;
        Ok(last.filter(|_| !awaited.is_empty()).map(|restored| restored.until_ms))
    }

    fn count_awaited(&mut self) -> Fallible<Awaited> {
        let count = |distinct: usize| u64::try_from(distinct).unwrap_or(u64::MAX);
        let logs: BTreeSet<_> = self.restores.awaited.iter().map(|(log, _)| log).collect();
        let devices: BTreeSet<_> = self.restores.awaited.iter().map(|(_, device)| device).collect();
        Ok(Awaited { conversations: count(logs.len()), devices: count(devices.len()) })
    }

    fn awaits(&mut self, log: LogId) -> Fallible<bool> {
        Ok(self.restores.awaited.iter().any(|(of, _)| *of == log))
    }

    fn awaits_device(&mut self, log: LogId, device: DeviceId) -> Fallible<bool> {
        Ok(self.restores.awaited.contains(&(log, device)))
    }

    fn arrived(&mut self, log: LogId, device: DeviceId) -> Fallible<()> {
        self.restores.awaited.remove(&(log, device));
        Ok(())
    }

    fn arrived_everywhere(&mut self, device: DeviceId) -> Fallible<()> {
        self.restores.awaited.retain(|(_, of)| *of != device);
        Ok(())
    }
}
