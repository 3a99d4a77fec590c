//! A server that was restored from a backup, and what it waits for.

use qpc_proto::{chain::ChainValue, id::Seq};

use super::{ConversationKind, CopyAppend, Met, StoreFault};

/// A restore: it is what a server's incarnations are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Until when conversations wait, at most, for what the devices of their members have.
    pub until_ms: u64,
}

/// Who is awaited still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Awaited {
    /// Conversations that wait for somebody.
    pub conversations: u64,
    /// Devices that somebody waits for.
    pub devices: u64,
    /// Other domains that somebody waits for.
    pub domains: u64,
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// The last entry.
    pub head: Seq,
    /// The chain there.
    pub chain: ChainValue,
    /// What the conversation is; `None` for an inbox.
    pub kind: Option<ConversationKind>,
}

/// Entries that a device or a domain gives back, as they were judged.
#[derive(Clone)]
pub struct Offered {
    /// What is stored; its place is that of the log.
    pub append: CopyAppend,
    /// People of other domains who come in by these entries, in case that they are not known here any more.
    pub met: Vec<Met>,
    /// It has no more.
    pub complete: bool,
}

/// Why entries were not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// No such log, or none of the actor's.
    #[error("no such conversation")]
    NotFound,
    /// The acting device was revoked.
    #[error("the device no longer exists")]
    DeviceGone,
    /// The conversation waits for nobody, or not for this device.
    #[error("nothing of this conversation is awaited from this device")]
    NotAwaited,
    /// An entry is not the next one of its device, or has an id that is in use.
    #[error("an entry is not the next one of its device")]
    OutOfOrder,
    /// The log is not as it was judged.
    #[error("the log has changed since")]
    Moved,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}
