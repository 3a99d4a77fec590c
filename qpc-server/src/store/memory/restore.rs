//! Restores, and the devices and domains that conversations wait for since, in sets.

use std::collections::BTreeSet;

use qpc_proto::{
    address::Domain,
    id::{AccountId, DeviceId},
};

use super::World;
use crate::store::{
    Awaited, Restored,
    tables::{AccountRow, AccountState, Fallible, FollowerTables, LogId, LogRow, RestoreTables},
};

#[derive(Default, Clone)]
pub(super) struct Restores {
    last: Option<Restored>,
    seen_since_ms: u64,
    awaited: BTreeSet<(LogId, DeviceId)>,
    domains: BTreeSet<(LogId, Domain)>,
}

impl RestoreTables for World {
    fn restored(&mut self) -> Fallible<Option<Restored>> {
        Ok(self.restores.last)
    }

    fn await_devices(&mut self, restored: Restored, within_ms: u64) -> Fallible<()> {
        let seen = self.accounts.devices.values().flatten().map(|device| device.last_seen_ms).max();
        let seen_since_ms = seen.unwrap_or_default().saturating_sub(within_ms);
        self.restores = Restores { last: Some(restored), seen_since_ms, ..Restores::default() };
        let logs: Vec<_> = self.logs.rows.keys().copied().collect();
        for log in logs {
            self.restores.awaited.extend(self.members_seen(log, |_| true));
            self.await_followers(log)?;
        }
        Ok(())
    }

    fn await_members(&mut self, log: LogId, members: &[AccountId]) -> Fallible<()> {
        let awaited = self.members_seen(log, |account| members.contains(&account));
        self.restores.awaited.extend(awaited);
        Ok(())
    }

    fn awaited_until(&mut self) -> Fallible<Option<u64>> {
        let Restores { last, awaited, domains, .. } = &self.restores;
        Ok(last.filter(|_| !awaited.is_empty() || !domains.is_empty()).map(|restored| restored.until_ms))
    }

    fn count_awaited(&mut self) -> Fallible<Awaited> {
        let count = |distinct: usize| u64::try_from(distinct).unwrap_or(u64::MAX);
        let of_domains = self.restores.domains.iter().map(|(log, _)| log);
        let logs: BTreeSet<_> = self.restores.awaited.iter().map(|(log, _)| log).chain(of_domains).collect();
        let devices: BTreeSet<_> = self.restores.awaited.iter().map(|(_, device)| device).collect();
        let domains: BTreeSet<_> = self.restores.domains.iter().map(|(_, domain)| domain).collect();
        Ok(Awaited { conversations: count(logs.len()), devices: count(devices.len()), domains: count(domains.len()) })
    }

    fn awaits(&mut self, log: LogId) -> Fallible<bool> {
        let Restores { awaited, domains, .. } = &self.restores;
        Ok(awaited.iter().any(|(of, _)| *of == log) || domains.iter().any(|(of, _)| *of == log))
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

    fn await_domain(&mut self, log: LogId, domain: &Domain) -> Fallible<()> {
        self.restores.domains.insert((log, domain.clone()));
        Ok(())
    }

    fn awaits_domain(&mut self, log: LogId, domain: &Domain) -> Fallible<bool> {
        Ok(self.restores.domains.contains(&(log, domain.clone())))
    }

    fn domain_arrived(&mut self, log: LogId, domain: &Domain) -> Fallible<()> {
        self.restores.domains.remove(&(log, domain.clone()));
        Ok(())
    }

    fn awaited_of(&mut self, domain: &Domain, after: LogId, limit: usize) -> Fallible<Vec<(LogId, LogRow)>> {
        let of_it = self.restores.domains.iter().filter(|(log, of)| of == domain && *log > after);
        let logs = of_it.filter_map(|(log, _)| Some((*log, self.logs.rows.get(log)?.row.clone())));
        Ok(logs.take(limit).collect())
    }
}

impl World {
    fn await_followers(&mut self, log: LogId) -> Fallible<()> {
        if self.logs.rows.get(&log).is_some_and(|row| !row.is_inbox()) {
            let domains = self.followers(log)?.unwrap_or_default();
            self.restores.domains.extend(domains.iter().map(|domain| (log, domain.clone())));
        }
        Ok(())
    }

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
