//! Accounts, devices, invites and key packages in maps.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use qpc_proto::{
    address::{AccountName, Address},
    id::{AccountId, DeviceId},
    suite::Suite,
};

use super::World;
use crate::{
    clock,
    store::{
        InviteToken, KeyPackageCount, LoginRecord, NewDevice, PasswordRecord,
        tables::{AccountRow, AccountState, AccountTables, DeviceRow, Fallible, InviteRow},
    },
};

#[derive(Default)]
pub(super) struct Accounts {
    pub(super) rows: HashMap<AccountId, (AccountRow, PasswordRecord)>,
    /// Of this server's own.
    pub(super) names: BTreeMap<AccountName, AccountId>,
    guests: HashMap<Address, AccountId>,
    decoy: PasswordRecord,
    reset_peers: HashMap<AccountId, Vec<AccountId>>,
    /// `None` for one that is gone: its id stays known.
    pub(super) devices: BTreeMap<DeviceId, Option<DeviceRow>>,
    /// In order of enrolment.
    enrolled: HashMap<AccountId, Vec<DeviceId>>,
    certificates: HashMap<DeviceId, Bytes>,
    pub(super) invites: HashMap<InviteToken, InviteRow>,
    packages: HashMap<(DeviceId, Suite), Packages>,
}

#[derive(Default)]
struct Packages {
    one_time: VecDeque<Bytes>,
    last_resort: Option<Bytes>,
}

impl Accounts {
    fn device(&self, id: DeviceId) -> Option<DeviceRow> {
        let row = self.devices.get(&id).cloned().flatten()?;
        let suspended = self.rows.get(&row.account).is_some_and(|(of, _)| of.state == AccountState::Suspended);
        Some(DeviceRow { suspended, ..row })
    }
}

impl AccountTables for World {
    fn account(&mut self, id: AccountId) -> Fallible<Option<AccountRow>> {
        Ok(self.accounts.rows.get(&id).map(|(row, _)| row.clone()))
    }

    fn account_named(&mut self, name: &AccountName) -> Fallible<Option<AccountRow>> {
        match self.accounts.names.get(name).copied() {
            Some(id) => self.account(id),
            None => Ok(None),
        }
    }

    fn account_at(&mut self, address: &Address) -> Fallible<Option<AccountRow>> {
        if let Some(guest) = self.accounts.guests.get(address).copied() {
            return self.account(guest);
        }
        Ok(self.account_named(&address.name)?.filter(|row| row.address == *address))
    }

    fn insert_account(&mut self, account: &AccountRow, password: &PasswordRecord) -> Fallible<()> {
        self.accounts.rows.insert(account.id, (account.clone(), password.clone()));
        if account.state == AccountState::Guest {
            self.accounts.guests.insert(account.address.clone(), account.id);
        } else {
            self.accounts.names.insert(account.address.name.clone(), account.id);
        }
        Ok(())
    }

    fn end_account(&mut self, id: AccountId, state: AccountState) -> Fallible<()> {
        if let Some((row, password)) = self.accounts.rows.get_mut(&id) {
            row.state = state;
            *password = PasswordRecord::default();
        }
        Ok(())
    }

    fn remove_account(&mut self, id: AccountId) -> Fallible<()> {
        if let Some((row, _)) = self.accounts.rows.remove(&id)
            && self.accounts.guests.remove(&row.address).is_none()
        {
            self.accounts.names.remove(&row.address.name);
        }
        Ok(())
    }

    fn set_password(&mut self, id: AccountId, password: &PasswordRecord) -> Fallible<()> {
        if let Some((_, record)) = self.accounts.rows.get_mut(&id) {
            *record = password.clone();
        }
        Ok(())
    }

    fn login_record(&mut self, name: &AccountName) -> Fallible<LoginRecord> {
        let found = self.accounts.names.get(name).and_then(|id| self.accounts.rows.get(id));
        Ok(match found.filter(|(row, _)| row.state.is_had()) {
            Some((row, password)) => LoginRecord {
                account: Some(row.id),
                suspended: row.state == AccountState::Suspended,
                account_key: row.key,
                password: password.clone(),
            },
            None => LoginRecord {
                account: None,
                suspended: false,
                account_key: [0; 32],
                password: self.accounts.decoy.clone(),
            },
        })
    }

    fn set_decoy(&mut self, password: &PasswordRecord) -> Fallible<()> {
        self.accounts.decoy = password.clone();
        Ok(())
    }

    fn add_reset_peers(&mut self, account: AccountId, peers: &[AccountId]) -> Fallible<()> {
        self.accounts.reset_peers.insert(account, peers.to_vec());
        Ok(())
    }

    fn take_reset_peers(&mut self, account: AccountId) -> Fallible<Vec<AccountId>> {
        Ok(self.accounts.reset_peers.remove(&account).unwrap_or_default())
    }

    fn device(&mut self, id: DeviceId) -> Fallible<Option<DeviceRow>> {
        Ok(self.accounts.device(id))
    }

    fn device_known(&mut self, id: DeviceId) -> Fallible<bool> {
        Ok(self.accounts.devices.contains_key(&id))
    }

    fn devices_of(&mut self, account: AccountId) -> Fallible<Vec<DeviceRow>> {
        let ids = self.accounts.enrolled.get(&account);
        Ok(ids.into_iter().flatten().filter_map(|id| self.accounts.device(*id)).collect())
    }

    fn certificates_of(&mut self, account: AccountId) -> Fallible<Vec<Bytes>> {
        let ids = self.accounts.enrolled.get(&account);
        Ok(ids.into_iter().flatten().filter_map(|id| self.accounts.certificates.get(id).cloned()).collect())
    }

    fn insert_device(&mut self, account: AccountId, device: &NewDevice) -> Fallible<()> {
        let row = DeviceRow {
            id: device.id,
            account,
            key: device.key,
            name: device.name.clone(),
            enrolled_ms: device.now_ms,
            last_seen_ms: clock::day(device.now_ms),
            suspended: false,
        };
        self.accounts.devices.insert(device.id, Some(row));
        self.accounts.certificates.insert(device.id, device.certificate.clone());
        self.accounts.enrolled.entry(account).or_default().push(device.id);
        Ok(())
    }

    fn set_last_seen(&mut self, id: DeviceId, last_seen_ms: u64) -> Fallible<()> {
        if let Some(Some(row)) = self.accounts.devices.get_mut(&id) {
            row.last_seen_ms = last_seen_ms;
        }
        Ok(())
    }

    fn remove_device(&mut self, id: DeviceId) -> Fallible<()> {
        if let Some(row) = self.accounts.devices.insert(id, None).flatten()
            && let Some(ids) = self.accounts.enrolled.get_mut(&row.account)
        {
            ids.retain(|other| *other != id);
        }
        self.accounts.certificates.remove(&id);
        self.accounts.packages.retain(|(device, _), _| *device != id);
        self.contacts.forget_device(id);
        self.logs.forget_device(id);
        self.followers.forget_device(id);
        Ok(())
    }

    fn invite(&mut self, token: InviteToken) -> Fallible<Option<InviteRow>> {
        Ok(self.accounts.invites.get(&token).cloned())
    }

    fn put_invite(&mut self, invite: &InviteRow) -> Fallible<()> {
        self.accounts.invites.insert(invite.token, invite.clone());
        Ok(())
    }

    fn remove_invite(&mut self, token: InviteToken) -> Fallible<()> {
        self.accounts.invites.remove(&token);
        Ok(())
    }

    fn remove_reset_tokens(&mut self, name: &AccountName) -> Fallible<()> {
        self.accounts.invites.retain(|_, invite| invite.name.as_ref() != Some(name));
        Ok(())
    }

    fn add_key_packages(&mut self, device: DeviceId, suite: Suite, packages: &[Bytes], keep: usize) -> Fallible<()> {
        let stored = &mut self.accounts.packages.entry((device, suite)).or_default().one_time;
        stored.extend(packages.iter().cloned());
        stored.drain(..stored.len().saturating_sub(keep));
        Ok(())
    }

    fn set_last_resort(&mut self, device: DeviceId, suite: Suite, package: &Bytes) -> Fallible<()> {
        self.accounts.packages.entry((device, suite)).or_default().last_resort = Some(package.clone());
        Ok(())
    }

    fn take_key_package(&mut self, device: DeviceId, suite: Suite) -> Fallible<Option<Bytes>> {
        let packages = self.accounts.packages.get_mut(&(device, suite));
        Ok(packages.and_then(|packages| packages.one_time.pop_front().or_else(|| packages.last_resort.clone())))
    }

    fn count_key_packages(&mut self, device: DeviceId, suite: Suite) -> Fallible<KeyPackageCount> {
        Ok(self.accounts.packages.get(&(device, suite)).map_or_else(KeyPackageCount::default, |packages| {
            KeyPackageCount {
                one_time: u32::try_from(packages.one_time.len()).unwrap_or(u32::MAX),
                last_resort: packages.last_resort.is_some(),
            }
        }))
    }
}
