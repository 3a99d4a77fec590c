//! What is measured of other servers. On the page only where there is federation.
//!
//! The label `peer` is a domain of the configuration, never one that somebody connects with.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};

use super::{
    Metrics,
    labels::{Direction, Label, PeerRefused},
};

/// All of it.
#[derive(Debug)]
pub struct FederationMetrics {
    link_up: IntGaugeVec,
    round_trip: GaugeVec,
    refused: IntCounterVec,
}

impl FederationMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// They are there already.
    pub fn new(metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let link_up = Opts::new("qpc_federation_link_up", "Whether a connection with a peer is there, this way.");
        let round_trip = Opts::new("qpc_federation_round_trip_seconds", "Round trip of the connection to a peer.");
        let refused = Opts::new("qpc_federation_refused_total", "Connections with other servers that were refused.");
        let all = Self {
            link_up: IntGaugeVec::new(link_up, &["peer", "direction"])?,
            round_trip: GaugeVec::new(round_trip, &["peer"])?,
            refused: IntCounterVec::new(refused, &["reason"])?,
        };
        for reason in PeerRefused::ALL {
            all.refused.with_label_values(&[reason.label()]);
        }
        metrics.register(Box::new(all.link_up.clone()))?;
        metrics.register(Box::new(all.round_trip.clone()))?;
        metrics.register(Box::new(all.refused.clone()))?;
        Ok(all)
    }

    /// Whether a connection with a peer of the configuration is there.
    pub fn set_link(&self, peer: &str, direction: Direction, up: bool) {
        self.link_up.with_label_values(&[peer, direction.label()]).set(up.into());
    }

    /// The round trip to a peer of the configuration.
    pub fn set_round_trip(&self, peer: &str, seconds: f64) {
        self.round_trip.with_label_values(&[peer]).set(seconds);
    }

    /// A connection was refused.
    pub fn refused(&self, reason: PeerRefused) {
        self.refused.with_label_values(&[reason.label()]).inc();
    }

    /// How often for this reason so far.
    #[must_use]
    pub fn refusals(&self, reason: PeerRefused) -> u64 {
        self.refused.with_label_values(&[reason.label()]).get()
    }
}
