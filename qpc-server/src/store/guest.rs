//! People of other domains who take part in conversations here, as the store knows them.

use bytes::Bytes;
use qpc_proto::{address::Address, id::AccountId};

use super::{Claimed, NewDevice, StoreFault};

/// An account of another domain, as that domain's server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Names it here, if it is new.
    pub id: AccountId,
    /// `name@domain`.
    pub address: Address,
    /// The account identity key, Ed25519.
    pub account_key: [u8; 32],
    /// All devices that it has.
    pub devices: Vec<NewDevice>,
    /// The server's clock.
    pub now_ms: u64,
}

/// What another server is given of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedByPeer {
    /// Key packages.
    pub claimed: Claimed,
    /// The encoded certificates of all its devices, in order of enrolment.
    pub certificates: Vec<Bytes>,
}

/// Why a guest was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// The address is of an account of this server's own.
    #[error("the address is one of this server's own")]
    Own,
    /// A device's id is in use by somebody else, or twice.
    #[error("a device's id is in use")]
    DeviceExists,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}
