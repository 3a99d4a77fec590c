//! How far a server that was restored from a backup has got back what it lacks.

use prometheus::{IntCounter, IntGauge};

use super::{Builder, gauge_value};
use crate::store::Awaited;

/// All of it.
#[derive(Debug)]
pub struct RestoreMetrics {
    /// Entries that members gave back.
    pub given_back: IntCounter,
    devices: IntGauge,
    domains: IntGauge,
    conversations: IntGauge,
}

impl RestoreMetrics {
    pub(super) fn new(new: &Builder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            given_back: new.counter(
                "qpc_restore_entries_total",
                "Entries that members and other domains gave back to this server after it was restored from a backup.",
            )?,
            devices: new.gauge(
                "qpc_restore_awaited_devices",
                "Devices that may have entries which this restored server lacks, and have not offered them yet.",
            )?,
            domains: new.gauge(
                "qpc_restore_awaited_domains",
                "Other domains that may have entries which this restored server lacks, and have not been asked yet.",
            )?,
            conversations: new.gauge(
                "qpc_restore_awaited_conversations",
                "Conversations of a restored server that wait for a device or a domain: read-only until the restore's time is over.",
            )?,
        })
    }

    /// Sets who is awaited still.
    pub fn set_awaited(&self, awaited: Awaited) {
        self.devices.set(gauge_value(awaited.devices));
        self.domains.set(gauge_value(awaited.domains));
        self.conversations.set(gauge_value(awaited.conversations));
    }
}
