//! The servers that this one federates with, as their connections are now: for whoever operates it.
//!
//! A hint like all shared state: nothing is decided by what stands here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qpc_proto::address::Domain;
use serde::{Deserialize, Serialize};

use crate::metrics::{
    FederationMetrics,
    labels::{Asked, Direction, Label},
};

/// How the connection stands that this server opens to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// This server opens none to that peer: its address is not configured.
    None,
    /// It is being opened.
    Connecting,
    /// It is there.
    Connected,
    /// It could not be opened, or ended; after a pause it is tried again.
    Waiting,
}

/// One peer, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Whose server it is.
    pub domain: String,
    /// Where it is connected to, if this server does.
    pub address: Option<String>,
    /// How this server's connection to it stands.
    pub outgoing: LinkState,
    /// Whether the peer has a connection to this server.
    pub incoming: bool,
    /// When `outgoing` last changed, milliseconds since 1970.
    pub since_ms: u64,
    /// Round trip of this server's connection, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Connections to it that failed or ended in a row.
    pub failures: u32,
    /// Why the last one did.
    pub problem: Option<String>,
    /// Requests to it that wait for their answers.
    pub in_flight: u64,
    /// Requests to it since this server began, by what came of them, as in `qpc_federation_asked_total`.
    pub asked: BTreeMap<String, u64>,
    /// Messages of people of here that wait to be sent there.
    pub waiting: u64,
    /// Since when the oldest of them waits, milliseconds since 1970.
    pub waiting_since_ms: Option<u64>,
    /// Logs of here of which it lacks something, as far as was counted last.
    pub behind: u64,
}

impl PeerReport {
    /// Requests that ended, and those of them that it did not answer with what was asked for or a refusal.
    #[must_use]
    pub fn requests(&self) -> (u64, u64) {
        let sum = |of: &dyn Fn(&str) -> bool| {
            self.asked.iter().filter(|(outcome, _)| of(outcome)).map(|(_, count)| *count).sum()
        };
        let answers = [Asked::Answered, Asked::Refused].map(Label::label);
        (sum(&|_| true), sum(&|outcome| !answers.contains(&outcome)))
    }
}

/// All peers that are configured or connected.
#[derive(Debug)]
pub struct Peers {
    metrics: Arc<FederationMetrics>,
    rows: Mutex<BTreeMap<Domain, PeerReport>>,
}

impl Peers {
    /// Those of the configuration, with their addresses.
    #[must_use]
    pub fn new(configured: impl IntoIterator<Item = (Domain, String)>, metrics: Arc<FederationMetrics>) -> Self {
        let rows = configured.into_iter().map(|(domain, address)| {
            for direction in [Direction::In, Direction::Out] {
                metrics.set_link(domain.as_str(), direction, false);
            }
            (domain.clone(), row(&domain, Some(address)))
        });
        let rows = Mutex::new(rows.collect());
        Self { metrics, rows }
    }

    /// A domain has become a peer of the configuration, or has another address.
    pub fn configure(&self, domain: &Domain, address: &str) {
        let mut rows = self.lock();
        let report = rows.entry(domain.clone()).or_insert_with(|| row(domain, None));
        let incoming = report.incoming;
        *report = PeerReport { incoming, ..row(domain, Some(address.to_owned())) };
        self.metrics.set_link(domain.as_str(), Direction::In, incoming);
        self.metrics.set_link(domain.as_str(), Direction::Out, false);
    }

    /// It is none any more: nothing of it is shown, unless it is connected all the same.
    pub fn forget(&self, domain: &Domain) {
        let mut rows = self.lock();
        match rows.get_mut(domain) {
            Some(report) if report.incoming => *report = PeerReport { incoming: true, ..row(domain, None) },
            _ => drop(rows.remove(domain)),
        }
        self.metrics.forget(domain.as_str());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Domain, PeerReport>> {
        // What a panic left half done is a report to people.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to a peer has changed.
    pub fn outgoing(&self, domain: &Domain, state: LinkState, now_ms: u64) {
        if let Some(row) = self.lock().get_mut(domain) {
            row.outgoing = state;
            row.since_ms = now_ms;
            if state == LinkState::Connected {
                row.problem = None;
                row.failures = 0;
            } else {
                row.round_trip_us = None;
            }
            self.metrics.set_link(domain.as_str(), Direction::Out, state == LinkState::Connected);
        }
    }

    /// It failed or ended.
    pub fn failed(&self, domain: &Domain, problem: String, now_ms: u64) {
        self.outgoing(domain, LinkState::Waiting, now_ms);
        if let Some(row) = self.lock().get_mut(domain) {
            row.failures = row.failures.saturating_add(1);
            row.problem = Some(problem);
        }
    }

    /// How long it takes there and back.
    pub fn round_trip(&self, domain: &Domain, round_trip: Duration) {
        if let Some(row) = self.lock().get_mut(domain) {
            row.round_trip_us = Some(u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX));
            self.metrics.set_round_trip(domain.as_str(), round_trip.as_secs_f64());
        }
    }

    /// What waits to be sent to a peer of the configuration.
    pub fn waiting(&self, domain: &Domain, messages: u64, since_ms: Option<u64>, now_ms: u64) {
        if let Some(row) = self.lock().get_mut(domain) {
            (row.waiting, row.waiting_since_ms) = (messages, since_ms);
            let age = since_ms.map_or(0, |since| now_ms.saturating_sub(since));
            self.metrics.set_waiting(domain.as_str(), messages, Duration::from_millis(age).as_secs_f64());
        }
    }

    /// Of how many logs a peer of the configuration lacks something.
    pub fn behind(&self, domain: &Domain, logs: u64) {
        if let Some(row) = self.lock().get_mut(domain) {
            row.behind = logs;
            self.metrics.set_behind(domain.as_str(), logs);
        }
    }

    /// A peer's connection to this server is there, or no more. One that is not configured stands here while it is.
    pub fn incoming(&self, domain: &Domain, connected: bool) {
        let mut rows = self.lock();
        let report = rows.entry(domain.clone()).or_insert_with(|| row(domain, None));
        report.incoming = connected;
        if report.address.is_some() {
            // Only what the operator wrote is a label: others could make any number of them.
            self.metrics.set_link(domain.as_str(), Direction::In, connected);
        } else if !connected {
            rows.remove(domain);
        }
    }

    /// All of them, by domain.
    #[must_use]
    pub fn report(&self) -> Vec<PeerReport> {
        let mut rows: Vec<_> = self.lock().values().cloned().collect();
        for row in rows.iter_mut().filter(|row| row.address.is_some()) {
            row.in_flight = u64::try_from(self.metrics.in_flight(&row.domain).get()).unwrap_or_default();
            row.asked = self.metrics.asked_so_far(&row.domain);
        }
        rows
    }
}

fn row(domain: &Domain, address: Option<String>) -> PeerReport {
    let outgoing = if address.is_some() { LinkState::Connecting } else { LinkState::None };
    PeerReport {
        domain: domain.to_string(),
        address,
        outgoing,
        incoming: false,
        since_ms: 0,
        round_trip_us: None,
        failures: 0,
        problem: None,
        in_flight: 0,
        asked: BTreeMap::new(),
        waiting: 0,
        waiting_since_ms: None,
        behind: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn only_peers_of_the_configuration_are_labels() {
        let metrics = Metrics::new().unwrap();
        let own = Arc::new(FederationMetrics::new(&metrics).unwrap());
        let (b, outsider) = (domain("b.example"), domain("outsider.example"));
        let peers = Peers::new([(b.clone(), "10.0.0.2:7001".into())], own);
        peers.incoming(&outsider, true);
        peers.incoming(&b, true);
        peers.failed(&b, "refused".into(), 7);
        peers.outgoing(&b, LinkState::Connected, 8);
        peers.round_trip(&b, Duration::from_millis(2));
        let page = metrics.text().unwrap();
        assert!(page.contains("qpc_federation_link_up{direction=\"out\",peer=\"b.example\"} 1"), "{page}");
        assert!(page.contains("qpc_federation_link_up{direction=\"in\",peer=\"b.example\"} 1"), "{page}");
        assert!(page.contains("qpc_federation_round_trip_seconds{peer=\"b.example\"} 0.002"), "{page}");
        assert!(!page.contains("outsider"));
        let report = peers.report();
        assert_eq!(report.iter().map(|row| row.domain.as_str()).collect::<Vec<_>>(), ["b.example", "outsider.example"]);
        assert_eq!((report[0].failures, &report[0].problem, report[0].since_ms), (0, &None, 8));
        peers.incoming(&outsider, false);
        peers.incoming(&b, false);
        assert_eq!(peers.report().len(), 1);
    }
}
