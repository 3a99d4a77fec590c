//! Key packages as the store knows them: opaque bytes of a device, for one suite.

use bytes::Bytes;
use qpc_proto::{id::DeviceId, suite::Suite};

use super::StoreFault;

/// Key packages to add.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewKeyPackages {
    /// What all of them are for.
    pub suite: Suite,
    /// Each is handed out once.
    pub one_time: Vec<Bytes>,
    /// Handed out where no other is left; replaces the one before.
    pub last_resort: Option<Bytes>,
}

/// What a device has left of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyPackageCount {
    /// Unclaimed one-time key packages.
    pub one_time: u32,
    /// Is there one of last resort?
    pub last_resort: bool,
}

/// One handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedKeyPackage {
    /// Whose.
    pub device: DeviceId,
    /// Opaque.
    pub key_package: Bytes,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// One of each device that has some, or none at all.
    pub key_packages: Vec<ClaimedKeyPackage>,
    /// Devices that have none of the suite.
    pub without: Vec<DeviceId>,
}

/// Why key packages could not be claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// No such account, or none of its devices has a key package.
    #[error("no key package")]
    NotFound,
    /// The acting device was revoked.
    #[error("the device no longer exists")]
    DeviceGone,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}
