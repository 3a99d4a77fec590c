//! Links into groups as the store knows them: a public key, how long and for how many, and who waits by it.

use bytes::Bytes;
use qpc_proto::{
    id::ConversationName,
    link::{JoinRequest, LinkKey},
};

use super::{Refusal, StoreFault};

/// What becomes of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTerms {
    /// People may ask by it.
    Open {
        /// Until then, milliseconds since 1970.
        expires_ms: u64,
        /// So many come in by it.
        uses: u32,
    },
    /// It ends: who waits by it is refused.
    Withdrawn,
}

/// A link to be made or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSetting {
    /// Into what.
    pub conversation: ConversationName,
    /// Which.
    pub link: LinkKey,
    /// What becomes of it.
    pub terms: LinkTerms,
    /// The server's clock.
    pub now_ms: u64,
}

/// An account's request to be let in, whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// It.
    pub request: JoinRequest,
    /// The server's clock.
    pub now_ms: u64,
}

/// Why a link lets nobody in, or not this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefusal {
    /// There is none, or nobody has asked by it.
    #[error("no such link")]
    Unknown,
    /// Its time is over.
    #[error("the link has expired")]
    Expired,
    /// As many have come in as may.
    #[error("the link is used up")]
    UsedUp,
    /// Somebody who may has ended it.
    #[error("the link was withdrawn")]
    Withdrawn,
}

/// Why a link was not made or ended, or requests are not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No such group of the actor's, or no such link in it.
    #[error("no such group or link")]
    NotFound,
    /// The acting device was revoked.
    #[error("the device no longer exists")]
    DeviceGone,
    /// The actor may not add people to it.
    #[error("the actor's role does not allow this")]
    Forbidden,
    /// As many links as one group may have.
    #[error("the group has as many links as it may")]
    TooMany,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Why a request does not wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkRefusal),
    /// The acting device was revoked.
    #[error("the device no longer exists")]
    DeviceGone,
    /// The account is in the group.
    #[error("the account is a member")]
    Member,
    /// As many requests wait for the group or of the account as may.
    #[error("too many requests wait")]
    TooMany,
    /// The group has as many members as it may.
    #[error("the group is full")]
    Full,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<Refusal> for AskError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::DeviceGone => Self::DeviceGone,
            Refusal::Suspended => Self::Fault(Refusal::COME_AGAIN),
            Refusal::NotFound => Self::Link(LinkRefusal::Unknown),
            Refusal::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// An encoded `JoinRequest` that waits.
pub type WaitingRequest = Bytes;
