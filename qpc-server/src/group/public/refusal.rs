//! Why a change of a group is not stored: one variant for each rule, because each is said to the client by a code of
//! its own.

use qpc_proto::{credential::LeafError, judge::Violation};

use super::StateError;

/// A change that is refused; nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This part of it is no MLS message of its kind, or one of another group or epoch.
    #[error("{0} is no message of this group's")]
    Malformed(&'static str),
    /// Another device made it than the one that shows it.
    #[error("another device made it than the one that shows it")]
    Sender,
    /// A signature, the tree, the path or the list of proposals does not hold.
    #[error("it does not verify: {0}")]
    Invalid(String),
    /// A leaf without a certificate.
    #[error("a leaf carries no certificate")]
    NoCertificate,
    /// A leaf that no account stands behind.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The rules of roles and of groups.
    #[error(transparent)]
    Rule(#[from] Violation),
    /// The list of members that comes with it is not what it does.
    #[error("the members added and removed are not those of the commit")]
    Members,
    /// The welcome, or the list of devices it is for, is not for exactly those added.
    #[error("the welcome is not for exactly the devices that the commit adds")]
    Welcome,
    /// The group info is not that of the group which the change makes.
    #[error("the group info does not fit: {0}")]
    Info(&'static str),
    /// The group's tree would be longer than a device that comes into it reads.
    #[error("the group would be larger than a device that comes into it reads")]
    TooLarge,
    /// The group's state can't be written or read.
    #[error(transparent)]
    State(#[from] StateError),
}
