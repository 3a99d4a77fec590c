//! What became of ephemeral events, in numbers alone.

use prometheus::{IntCounter, IntCounterVec};

use super::{
    Builder, all,
    labels::{EphemeralDrop, Label as _},
};

/// All of it.
#[derive(Debug)]
pub struct EphemeralMetrics {
    /// Events that are handed on.
    pub accepted: IntCounter,
    /// Events that went to a session.
    pub delivered: IntCounter,
    dropped: IntCounterVec,
}

impl EphemeralMetrics {
    pub(super) fn new(new: &Builder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            accepted: new.counter(
                "qpc_ephemeral_accepted_total",
                "Ephemeral events (typing, receipts, presence) of clients that were handed on to those who are there.",
            )?,
            delivered: new
                .counter("qpc_ephemeral_delivered_total", "Ephemeral events that went to a client, each of them.")?,
            dropped: new.counters(
                "qpc_ephemeral_dropped_total",
                "Ephemeral events that went no further, by why: they are the first that is dropped.",
                "reason",
                &all::<EphemeralDrop>(),
            )?,
        })
    }

    /// One event went no further, for one session or for all.
    pub fn drop(&self, reason: EphemeralDrop) {
        self.dropped.with_label_values(&[reason.label()]).inc();
    }

    /// How many were dropped for a reason so far.
    #[must_use]
    pub fn dropped(&self, reason: EphemeralDrop) -> u64 {
        self.dropped.with_label_values(&[reason.label()]).get()
    }
}
