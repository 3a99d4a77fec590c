//! The public state of a conversation's MLS group as the store keeps it: bytes, beside the log.
//!
//! What the bytes say is judged before a change comes here (`group/public`). The store compares, in the transaction
//! that stores the change, what that judgement relied on.

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    id::{ConversationName, DeviceId, Epoch},
    role::Role,
};

use super::StoreFault;

/// The public state of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Its context, and the proposals that wait.
    pub core: Bytes,
    /// Its tree; `None` where it is the one that is stored.
    pub tree: Option<Bytes>,
}

/// Which state of a group it is: every stored commit or proposal makes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupVersion {
    /// The epoch.
    pub epoch: Epoch,
    /// Proposals of it that are stored.
    pub proposals: u64,
}

/// A device that a commit brings into a group: it must be enrolled as its certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedDevice {
    /// Whose.
    pub address: Address,
    /// The account's identity key, which signed for it.
    pub account_key: [u8; 32],
    /// Which.
    pub device: DeviceId,
    /// Its key.
    pub key: [u8; 32],
}

/// What a commit does, as it was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChange {
    /// The group after it.
    pub state: GroupState,
    /// Devices that it brings in.
    pub added: Vec<AddedDevice>,
    /// The acting device is in by it.
    pub joined: bool,
    /// Accounts that have no device in the group any more.
    pub removed: Vec<Address>,
    /// Devices that it takes out.
    pub removed_devices: Vec<DeviceId>,
    /// Accounts with another role than before.
    pub roles: Vec<(Address, Role)>,
    /// What each device that it adds is welcomed with; where it is not said, the bundle's.
    pub welcomes: Vec<(DeviceId, Bytes)>,
    /// The tree it makes, where those who are welcomed have to be given it.
    pub welcome_tree: Option<Bytes>,
    /// The same, where somebody of another domain comes in, who may be the first of it.
    pub base_tree: Option<Bytes>,
}

/// A judgement and the state that it was passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged<T> {
    /// It counts for this state alone.
    pub basis: GroupVersion,
    /// What is stored.
    pub change: T,
}

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGroup {
    /// The actor is a member now.
    pub member: bool,
    /// Which state it is.
    pub version: GroupVersion,
    /// The state, unless it is the one that was known; `None` as well for a group that nobody has followed yet.
    pub state: Option<GroupState>,
    /// Of the epoch, as it came with the commit that made it.
    pub group_info: Bytes,
}

/// A part of the tree that a welcome needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePage {
    /// Of the whole tree, in bytes.
    pub size: u64,
    /// From the offset on that was asked for.
    pub bytes: Bytes,
}

/// A device that is no longer enrolled, or that has not read what is no longer kept, and has a leaf in a group still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Whose group.
    pub conversation: ConversationName,
    /// Which device.
    pub device: DeviceId,
    /// Its account is gone as well.
    pub account_gone: bool,
}

/// The hub's proposal to remove a device's leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Whose group.
    pub conversation: ConversationName,
    /// Which device.
    pub device: DeviceId,
    /// The encoded PublicMessage.
    pub body: Bytes,
    /// The group with it, and without.
    pub judged: Judged<GroupState>,
    /// The server's clock.
    pub now_ms: u64,
}

/// Why a removal was not proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemovalError {
    /// The group has changed since it was judged.
    #[error("the group has changed since")]
    Unjudged,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}
