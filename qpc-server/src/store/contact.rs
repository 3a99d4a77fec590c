//! Contacts as the store knows them.
//!
//! Consent has a direction: whether A may write to B is B's to say. Creating a direct
//! conversation with somebody grants them consent and asks for theirs. A blocked
//! person's requests and messages are taken as if nothing were, and withheld.

use qpc_proto::{address::Address, id::ConversationName, v1::ContactState};

use super::StoreFault;

/// What the actor decides about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactDecision {
    /// About whom.
    pub peer: Address,
    /// What.
    pub answer: Consent,
    /// The server's clock.
    pub now_ms: u64,
}

/// A decision about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// They may write. Tells the peer's devices with an inbox entry.
    Accept,
    /// The request is put aside; the peer is not told.
    Decline,
    /// Nothing of theirs is delivered; the peer is not told.
    Block,
    /// Ends a block; bodies that were withheld stay withheld, welcomes are delivered now.
    Unblock,
}

/// A contact as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactInfo {
    /// Who.
    pub address: Address,
    /// How things stand, seen from the owner.
    pub state: ContactState,
    /// The direct conversation, where there is one.
    pub conversation: Option<ConversationName>,
}

/// Why a decision was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// No such account, or no request of theirs (blocking needs none).
    #[error("no such contact")]
    NotFound,
    /// The acting device was revoked.
    #[error("the device no longer exists")]
    DeviceGone,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}
