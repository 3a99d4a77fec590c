//! Rows of restores, and of the devices and domains that conversations wait for since.

use qpc_proto::{
    address::Domain,
    id::{AccountId, DeviceId},
};

use super::{Fallible, LogId, LogRow};
use crate::store::{Awaited, Restored};

/// Restores, and who is awaited.
pub(in crate::store) trait RestoreTables {
    /// The last restore.
    fn restored(&mut self) -> Fallible<Option<Restored>>;
    /// Notes a restore, in place of an earlier one. Each conversation of this server waits for the devices of those who are
    /// members now, of this server too, that were seen at most so long before the device that was seen last, and for the
    /// domains that follow it.
    fn await_devices(&mut self, restored: Restored, within_ms: u64) -> Fallible<()>;
    /// So does one that was found to be lacking since, or to have these members, for such devices of theirs.
    fn await_members(&mut self, log: LogId, members: &[AccountId]) -> Fallible<()>;
    /// Until when, if anybody is awaited anywhere.
    fn awaited_until(&mut self) -> Fallible<Option<u64>>;
    fn count_awaited(&mut self) -> Fallible<Awaited>;
    /// Does a conversation wait for anybody?
    fn awaits(&mut self, log: LogId) -> Fallible<bool>;
    /// Does it wait for this device?
    fn awaits_device(&mut self, log: LogId, device: DeviceId) -> Fallible<bool>;
    /// It does not wait for this device any more.
    fn arrived(&mut self, log: LogId, device: DeviceId) -> Fallible<()>;
    /// Nor does any other.
    fn arrived_everywhere(&mut self, device: DeviceId) -> Fallible<()>;
    /// A conversation waits for a domain, too.
    fn await_domain(&mut self, log: LogId, domain: &Domain) -> Fallible<()>;
    /// Does it wait for this one?
    fn awaits_domain(&mut self, log: LogId, domain: &Domain) -> Fallible<bool>;
    /// It does not any more.
    fn domain_arrived(&mut self, log: LogId, domain: &Domain) -> Fallible<()>;
    /// Conversations that wait for a domain, in order, after one of them.
    fn awaited_of(&mut self, domain: &Domain, after: LogId, limit: usize) -> Fallible<Vec<(LogId, LogRow)>>;
}
