//! Restores, and the devices that conversations wait for since, in a set.

use std::collections::BTreeSet;

use qpc_proto::id::{AccountId, DeviceId};

use super::World;
use crate::store::{
    Awaited, Restored,
    tables::{AccountRow, AccountState, Fallible, LogId, RestoreTables},
};

#[derive(Default, Clone)]
pub(super) struct Restores {
    last: Option<Restored>,
    seen_since_ms: u64,
    awaited: BTreeSet<(LogId, DeviceId)>,
}

impl RestoreTables for World {
    fn restored(&mut self) -> Fallible<Option<Restored>> {
        Ok(self.restores.last)
    }

    fn await_devices(&mut self, restored: Restored, within_ms: u64) -> Fallible<()> {
        let seen = self.accounts.devices.values().flatten().map(|device| device.last_seen_ms).max();
        let seen_since_ms = seen.unwrap_or_default().saturating_sub(within_ms);
        self.restores = Restores { last: Some(restored), seen_since_ms, awaited: BTreeSet::new() };
        let logs: Vec<_> = self.logs.rows.keys().copied().collect();
        for log in logs {
            self.restores.awaited.extend(self.members_seen(log, |_| true));
        }
        Ok(())
    }

    fn await_members(&mut self, log: LogId, members: &[AccountId]) -> Fallible<()> {
        let awaited = self.members_seen(log, |account| members.contains(&account));
        self.restores.awaited.extend(awaited);
        Ok(())
    }

    fn awaited_until(&mut self) -> Fallible<Option<u64>> {
        let Restores { last, awaited, .. } = &self.restores;
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

impl World {
    /// Devices of members of this server, of such accounts, that had been seen of late when it was restored.
    fn members_seen(&self, log: LogId, of: impl Fn(AccountId) -> bool) -> Vec<(LogId, DeviceId)> {
        let Some(row) = self.logs.rows.get(&log).filter(|row| !row.is_inbox()) else { return Vec::new() };
        let own = |owner: &AccountRow| owner.state == AccountState::Active && owner.address.domain == row.name().domain;
        let is_awaited = |account: AccountId| {
            of(account)
                && row.members.get(&account).is_some_and(|member| member.until.is_none())
                && self.accounts.rows.get(&account).is_some_and(|(owner, _)| own(owner))
        };
        let devices = self.accounts.devices.values().flatten();
        let seen = devices.filter(|device| device.last_seen_ms >= self.restores.seen_since_ms);
        seen.filter(|device| is_awaited(device.account)).map(|device| (log, device.id)).collect()
    }
}
