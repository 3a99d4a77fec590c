//! What is measured of other servers. On the page only where there is federation.
//!
//! The label `peer` is a domain of the configuration, never one that somebody connects with.

use std::collections::BTreeMap;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use qpc_proto::error::Code;

use super::{
    Metrics, gauge_value,
    labels::{Asked, Direction, Label, PeerRefused},
};

/// All of it.
#[derive(Debug)]
pub struct FederationMetrics {
    link_up: IntGaugeVec,
    round_trip: GaugeVec,
    refused: IntCounterVec,
    asked: IntCounterVec,
    in_flight: IntGaugeVec,
    accepted: IntCounter,
    rejected: IntCounterVec,
    set_aside: IntCounterVec,
    waiting: IntGaugeVec,
    waiting_oldest: GaugeVec,
    behind: IntGaugeVec,
    certificate_expires: IntGauge,
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
        let asked = Opts::new("qpc_federation_asked_total", "Requests to a peer, by what came of them.");
        let in_flight = Opts::new("qpc_federation_in_flight", "Requests to a peer that wait for their answers.");
        let accepted = Opts::new("qpc_federation_accepted_total", "Requests of peers that were done.");
        let rejected = Opts::new("qpc_federation_rejected_total", "Requests of peers that were refused.");
        let set_aside = Opts::new("qpc_federation_set_aside_total", "Logs that a peer did not take.");
        let waiting = Opts::new("qpc_federation_waiting", "Messages that wait to be sent to a peer.");
        let oldest = "Age of the oldest message that waits to be sent to a peer, when it was last looked at.";
        let waiting_oldest = Opts::new("qpc_federation_waiting_oldest_seconds", oldest);
        let behind = Opts::new("qpc_federation_logs_behind", "Logs of which a peer lacks something, as counted last.");
        let ends = "When the certificate that other servers are shown ends, in seconds since 1970.";
        let certificate_expires = Opts::new("qpc_federation_certificate_expires_timestamp_seconds", ends);
        let all = Self {
            link_up: IntGaugeVec::new(link_up, &["peer", "direction"])?,
            round_trip: GaugeVec::new(round_trip, &["peer"])?,
            refused: IntCounterVec::new(refused, &["reason"])?,
            asked: IntCounterVec::new(asked, &["peer", "outcome"])?,
            in_flight: IntGaugeVec::new(in_flight, &["peer"])?,
            accepted: IntCounter::with_opts(accepted)?,
            rejected: IntCounterVec::new(rejected, &["code"])?,
            set_aside: IntCounterVec::new(set_aside, &["peer"])?,
            waiting: IntGaugeVec::new(waiting, &["peer"])?,
            waiting_oldest: GaugeVec::new(waiting_oldest, &["peer"])?,
            behind: IntGaugeVec::new(behind, &["peer"])?,
            certificate_expires: IntGauge::with_opts(certificate_expires)?,
        };
        for reason in PeerRefused::ALL {
            all.refused.with_label_values(&[reason.label()]);
        }
        for &code in Code::ALL {
            all.rejected.with_label_values(&[code.label()]);
        }
        metrics.register(Box::new(all.link_up.clone()))?;
        metrics.register(Box::new(all.round_trip.clone()))?;
        metrics.register(Box::new(all.refused.clone()))?;
        metrics.register(Box::new(all.asked.clone()))?;
        metrics.register(Box::new(all.in_flight.clone()))?;
        metrics.register(Box::new(all.accepted.clone()))?;
        metrics.register(Box::new(all.rejected.clone()))?;
        metrics.register(Box::new(all.set_aside.clone()))?;
        metrics.register(Box::new(all.waiting.clone()))?;
        metrics.register(Box::new(all.waiting_oldest.clone()))?;
        metrics.register(Box::new(all.behind.clone()))?;
        metrics.register(Box::new(all.certificate_expires.clone()))?;
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

    /// What is counted of requests to a peer of the configuration: all of it is there from the start.
    pub fn prepare(&self, peer: &str) {
        for outcome in Asked::ALL {
            self.asked.with_label_values(&[peer, outcome.label()]);
        }
        self.in_flight.with_label_values(&[peer]);
        self.set_aside.with_label_values(&[peer]);
        self.set_waiting(peer, 0, 0.0);
        self.set_behind(peer, 0);
    }

    /// It is a peer of the configuration no more: its series end.
    pub fn forget(&self, peer: &str) {
        // What is not there needs no end.
        for direction in [Direction::In, Direction::Out] {
            drop(self.link_up.remove_label_values(&[peer, direction.label()]));
        }
        for outcome in Asked::ALL {
            drop(self.asked.remove_label_values(&[peer, outcome.label()]));
        }
        for of in [&self.in_flight, &self.waiting, &self.behind] {
            drop(of.remove_label_values(&[peer]));
        }
        drop(self.set_aside.remove_label_values(&[peer]));
        for of in [&self.round_trip, &self.waiting_oldest] {
            drop(of.remove_label_values(&[peer]));
        }
    }

    /// A request to a peer of the configuration has come to this.
    pub fn asked(&self, peer: &str, outcome: Asked) {
        self.asked.with_label_values(&[peer, outcome.label()]).inc();
    }

    /// How often each outcome has come of requests to a peer of the configuration.
    #[must_use]
    pub fn asked_so_far(&self, peer: &str) -> BTreeMap<String, u64> {
        let count = |outcome: &Asked| self.asked.with_label_values(&[peer, outcome.label()]).get();
        Asked::ALL.iter().map(|outcome| (outcome.label().to_owned(), count(outcome))).collect()
    }

    /// Requests under way to a peer of the configuration.
    #[must_use]
    pub fn in_flight(&self, peer: &str) -> IntGauge {
        self.in_flight.with_label_values(&[peer])
    }

    /// What waits to be sent to a peer of the configuration, and how old the oldest of it is.
    pub fn set_waiting(&self, peer: &str, messages: u64, seconds: f64) {
        self.waiting.with_label_values(&[peer]).set(gauge_value(messages));
        self.waiting_oldest.with_label_values(&[peer]).set(seconds);
    }

    /// Of how many logs a peer of the configuration lacks something.
    pub fn set_behind(&self, peer: &str, logs: u64) {
        self.behind.with_label_values(&[peer]).set(gauge_value(logs));
    }

    /// Sets when the certificate that other servers are shown ends, in seconds since 1970; 0 where it does not say.
    pub fn set_certificate_expires(&self, seconds: Option<u64>) {
        self.certificate_expires.set(gauge_value(seconds.unwrap_or(0)));
    }

    /// A peer of the configuration did not take a log.
    pub fn set_aside(&self, peer: &str) {
        self.set_aside.with_label_values(&[peer]).inc();
    }

    /// A peer was given what it asked for, or was refused for this.
    pub fn answered(&self, refusal: Option<Code>) {
        match refusal {
            None => self.accepted.inc(),
            Some(code) => self.rejected.with_label_values(&[code.label()]).inc(),
        }
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
