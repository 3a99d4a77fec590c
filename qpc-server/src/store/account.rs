//! Accounts, devices and invites as the store knows them.

use bytes::Bytes;
use qpc_proto::{
    address::{AccountName, Address},
    id::{AccountId, DeviceId},
};

use super::{Refusal, StoreFault};

/// What OPAQUE keeps of a password, and the account secret that it wraps.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PasswordRecord {
    /// Serialized registration record (RFC 9807 section 5).
    pub opaque_record: Bytes,
    /// Version of the server's OPAQUE setup that made it.
    pub setup_version: u32,
    /// Version of the key stretching function the client used.
    pub ksf_version: u32,
    /// The account identity secret, sealed by the client.
    pub wrapped_account_secret: Bytes,
}

/// An account to be.
#[derive(Clone)]
pub struct NewAccount {
    /// Made by the account domain.
    pub id: AccountId,
    /// `name@domain`.
    pub address: Address,
    /// Of the password.
    pub password: PasswordRecord,
    /// The account identity key, Ed25519.
    pub account_key: [u8; 32],
    /// The device it registers from.
    pub device: NewDevice,
    /// What lets it in.
    pub admission: Admission,
    /// The server's clock.
    pub now_ms: u64,
}

/// What lets somebody register. A name that was reset takes its reset token alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The operator lets everybody in, or the standing token was shown.
    Open,
    /// A stored invite or reset token.
    Token(InviteToken),
}

/// BLAKE3 of an invite or reset token: the store never holds the token itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InviteToken(pub [u8; 32]);

/// A device to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// Made by the device.
    pub id: DeviceId,
    /// Ed25519.
    pub key: [u8; 32],
    /// The encoded, verified certificate.
    pub certificate: Bytes,
    /// For its owner.
    pub name: String,
    /// The server's clock.
    pub now_ms: u64,
}

/// What a login needs.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginRecord {
    /// `None` where the record is the decoy's.
    pub account: Option<AccountId>,
    /// Whether the operator keeps it out.
    pub suspended: bool,
    /// The account identity key; zeros for the decoy.
    pub account_key: [u8; 32],
    /// Of the password.
    pub password: PasswordRecord,
}

/// What authentication of a device needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Whose.
    pub account: AccountId,
    /// The owner's address.
    pub address: Address,
    /// The owner's identity key.
    pub account_key: [u8; 32],
    /// The device's key.
    pub key: [u8; 32],
    /// One-time key packages left of the classical suite.
    pub key_packages: u32,
    /// And of the post-quantum one.
    pub post_quantum_key_packages: u32,
    /// The day it was last here, as milliseconds since 1970.
    pub last_seen_ms: u64,
    /// Whether the operator keeps the account out.
    pub suspended: bool,
}

/// What became of a device that was to be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolled {
    /// It is a device now, and last seen today.
    Anew,
    /// It was one already.
    Already,
}

/// A device as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Which.
    pub id: DeviceId,
    /// For its owner.
    pub name: String,
    /// When it was enrolled, milliseconds since 1970.
    pub enrolled_ms: u64,
    /// The day it was last here, as milliseconds since 1970.
    pub last_seen_ms: u64,
}

/// An invite to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvite {
    /// Of the token.
    pub token: InviteToken,
    /// How often it may be used.
    pub uses: u32,
    /// When it ends, milliseconds since 1970; `None` for never.
    pub expires_ms: Option<u64>,
}

/// A reset by the admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountReset {
    /// Whose.
    pub name: AccountName,
    /// Of the token that lets its owner register the name again.
    pub token: InviteToken,
    /// When the token ends, milliseconds since 1970.
    pub expires_ms: u64,
    /// The server's clock.
    pub now_ms: u64,
}

/// Why an invite does not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Unknown, used up, expired, or not for this name.
    #[error("the invite is not valid")]
    Invalid,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Why an account was not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateAccountError {
    /// Somebody has the name, or had it.
    #[error("the name is taken")]
    NameTaken,
    /// The device id is in use.
    #[error("the device id is in use")]
    DeviceExists,
    /// The invite.
    #[error(transparent)]
    Invite(#[from] InviteError),
}

impl From<StoreFault> for CreateAccountError {
    fn from(fault: StoreFault) -> Self {
        Self::Invite(InviteError::Fault(fault))
    }
}

/// Why a device was not enrolled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrolDeviceError {
    /// The account has as many as it may.
    #[error("the account has as many devices as it may")]
    TooMany,
    /// The device id is in use.
    #[error("the device id is in use")]
    DeviceExists,
    /// The account no longer exists.
    #[error("the account no longer exists")]
    AccountGone,
    /// The operator keeps the account out.
    #[error("the account is suspended")]
    Suspended,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Why a password was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangePasswordError {
    /// The account's record is another one than that which the change is to replace.
    #[error("the password was changed meanwhile")]
    Changed,
    /// As for any verb of a device.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<StoreFault> for ChangePasswordError {
    fn from(fault: StoreFault) -> Self {
        Self::Refused(fault.into())
    }
}

/// Why an account was not reset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResetAccountError {
    /// Nobody has the name.
    #[error("no such account")]
    NotFound,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<Refusal> for EnrolDeviceError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::DeviceGone | Refusal::NotFound => Self::AccountGone,
            Refusal::Suspended => Self::Suspended,
            Refusal::Fault(fault) => Self::Fault(fault),
        }
    }
}
