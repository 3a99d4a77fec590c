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
mod operator;
mod restore;

pub(super) use self::{account::*, contact::*, follower::*, link::*, log::*, operator::*, restore::*};
use qpc_proto::{address::Domain, id::DeviceId};

use super::{Committed, StoreFault, Waiting, WakeUps};

/// The outcome of a row operation.
pub(super) type Fallible<T> = Result<T, StoreFault>;

/// Everything that one transaction sees, and what it will tell the sink once it is durable.
pub(super) trait Tables:
    AccountTables + ContactTables + FollowerTables + LinkTables + LogTables + OperatorTables + RestoreTables + UpkeepTables
{
    /// What the sink is told after the commit.
    fn wake_ups(&mut self) -> &mut WakeUps;

    /// Has it told of an entry, in order.
    fn emit(&mut self, committed: Committed) {
        self.wake_ups().committed.push(committed);
    }

    /// Has it told of a message that waits for another domain, in order.
    fn waits(&mut self, domain: Domain, waiting: Waiting) {
        self.wake_ups().queued.push((domain, waiting));
    }

    /// Has it told that a device no longer exists.
    fn gone(&mut self, device: DeviceId) {
        self.wake_ups().gone.push(device);
    }
}
