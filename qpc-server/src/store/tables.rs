//! What an adapter gives the verbs: narrow row operations inside one transaction.
//!
//! The verbs (`store/verbs`) hold every decision once; an adapter holds rows, caches and
//! durability. Nothing above the port sees this. Errors here are faults of the engine only: a
//! verb that meets one is undone by the adapter.

mod account;
mod contact;
mod follower;
mod link;
mod log;

pub(super) use self::{account::*, contact::*, follower::*, link::*, log::*};
use super::{Committed, StoreFault};

/// The outcome of a row operation.
pub(super) type Fallible<T> = Result<T, StoreFault>;

/// Everything that one transaction sees, and what it will tell the sink once it is durable.
pub(super) trait Tables:
    AccountTables + ContactTables + FollowerTables + LinkTables + LogTables + UpkeepTables
{
    /// Has the sink told of an entry after the commit, in order.
    fn emit(&mut self, committed: Committed);
    /// Has the sink told after the commit that a device no longer exists.
    fn gone(&mut self, device: qpc_proto::id::DeviceId);
}
