//! Rows of accounts, devices, invites and key packages.

use bytes::Bytes;
use qpc_proto::{
    address::{AccountName, Address},
    id::{AccountId, DeviceId},
    suite::Suite,
};

use super::Fallible;
use crate::store::{InviteToken, KeyPackageCount, LoginRecord, NewDevice, PasswordRecord};

/// What became of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum AccountState {
    /// In use.
    Active,
    /// The admin ended it; its reset token can register the name anew.
    Reset,
    /// Its owner ended it; the name stays taken.
    Deleted,
    /// Of another domain, in use there as far as this server was told.
    Guest,
    /// The operator keeps its devices out; to others it is as it was.
    Suspended,
}

impl AccountState {
    /// Whether it can take part in conversations here.
    pub(in crate::store) fn takes_part(self) -> bool {
        match self {
            Self::Active | Self::Guest | Self::Suspended => true,
            Self::Reset | Self::Deleted => false,
        }
    }

    /// Whether it is one of this server's own that somebody has.
    pub(in crate::store) fn is_had(self) -> bool {
        matches!(self, Self::Active | Self::Suspended)
    }
}

/// An account without what belongs to its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct AccountRow {
    pub(in crate::store) id: AccountId,
    pub(in crate::store) address: Address,
    /// The account identity key.
    pub(in crate::store) key: [u8; 32],
    pub(in crate::store) state: AccountState,
}

/// A device that is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct DeviceRow {
    pub(in crate::store) id: DeviceId,
    pub(in crate::store) account: AccountId,
    pub(in crate::store) key: [u8; 32],
    pub(in crate::store) name: String,
    pub(in crate::store) enrolled_ms: u64,
    pub(in crate::store) last_seen_ms: u64,
    /// Its account is suspended.
    pub(in crate::store) suspended: bool,
}

/// An invite, or the token of a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct InviteRow {
    pub(in crate::store) token: InviteToken,
    pub(in crate::store) uses: u32,
    pub(in crate::store) expires_ms: Option<u64>,
    /// The reset name it is for.
    pub(in crate::store) name: Option<AccountName>,
}

/// Accounts, devices, invites, key packages.
pub(in crate::store) trait AccountTables {
    fn account(&mut self, id: AccountId) -> Fallible<Option<AccountRow>>;
    /// One of this server's own.
    fn account_named(&mut self, name: &AccountName) -> Fallible<Option<AccountRow>>;
    /// One of this server's own, or a guest.
    fn account_at(&mut self, address: &Address) -> Fallible<Option<AccountRow>>;
    fn insert_account(&mut self, account: &AccountRow, password: &PasswordRecord) -> Fallible<()>;
    /// Ends an account: the row stays for its name, what belongs to the password goes.
    fn end_account(&mut self, id: AccountId, state: AccountState) -> Fallible<()>;
    /// Removes the row of a reset account, whose name is about to be registered anew.
    fn remove_account(&mut self, id: AccountId) -> Fallible<()>;
    fn set_password(&mut self, id: AccountId, password: &PasswordRecord) -> Fallible<()>;
    /// The record of an account that somebody has, or the decoy's, by the same path.
    fn login_record(&mut self, name: &AccountName) -> Fallible<LoginRecord>;
    fn set_decoy(&mut self, password: &PasswordRecord) -> Fallible<()>;
    /// Who has to be told when a reset account comes back.
    fn add_reset_peers(&mut self, account: AccountId, peers: &[AccountId]) -> Fallible<()>;
    fn take_reset_peers(&mut self, account: AccountId) -> Fallible<Vec<AccountId>>;

    fn device(&mut self, id: DeviceId) -> Fallible<Option<DeviceRow>>;
    /// Whether the id is or ever was a device's.
    fn device_known(&mut self, id: DeviceId) -> Fallible<bool>;
    /// In order of enrolment.
    fn devices_of(&mut self, account: AccountId) -> Fallible<Vec<DeviceRow>>;
    /// The certificates of those, in the same order.
    fn certificates_of(&mut self, account: AccountId) -> Fallible<Vec<Bytes>>;
    fn insert_device(&mut self, account: AccountId, device: &NewDevice) -> Fallible<()>;
    fn set_last_seen(&mut self, id: DeviceId, last_seen_ms: u64) -> Fallible<()>;
    /// Removes the device's key, key packages, cursors and held welcomes; its id stays known.
    fn remove_device(&mut self, id: DeviceId) -> Fallible<()>;

    fn invite(&mut self, token: InviteToken) -> Fallible<Option<InviteRow>>;
    /// Adds or replaces an invite.
    fn put_invite(&mut self, invite: &InviteRow) -> Fallible<()>;
    fn remove_invite(&mut self, token: InviteToken) -> Fallible<()>;
    /// Removes the reset tokens of a name.
    fn remove_reset_tokens(&mut self, name: &AccountName) -> Fallible<()>;

    /// Adds one-time key packages of a suite and removes its oldest beyond `keep`.
    fn add_key_packages(&mut self, device: DeviceId, suite: Suite, packages: &[Bytes], keep: usize) -> Fallible<()>;
    fn set_last_resort(&mut self, device: DeviceId, suite: Suite, package: &Bytes) -> Fallible<()>;
    /// Takes the oldest one-time key package of a suite, or copies its last-resort one.
    fn take_key_package(&mut self, device: DeviceId, suite: Suite) -> Fallible<Option<Bytes>>;
    fn count_key_packages(&mut self, device: DeviceId, suite: Suite) -> Fallible<KeyPackageCount>;
}
