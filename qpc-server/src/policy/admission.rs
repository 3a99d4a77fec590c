//! Admission at the door: how many connections, handshakes and strangers there may be.
//!
//! What is counted is held by guards that count down when they are dropped, so no path can forget it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;

use super::{IpPrefix, limits::AdmissionLimits};
use crate::metrics::{
    Metrics,
    labels::{Queue, Refused},
};

/// Counts connections by how far they have come.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    connections_max: usize,
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    strangers: DashMap<IpPrefix, u32>,
    metrics: Arc<Metrics>,
}

/// What to do with a connection attempt.
#[derive(Debug)]
pub enum Verdict {
    /// Begin the handshake.
    Admit(Admitted),
    /// Let it prove its address first; costs no memory.
    Retry,
    /// Refuse it.
    Refuse(Refused),
}

/// A connection that was let in: what it is counted as, for as long as that holds.
#[derive(Debug)]
pub struct Admitted {
    /// While it exists.
    pub connection: Place,
    /// Until its handshake has ended.
    pub handshake: Place,
    /// Until it is authenticated.
    pub stranger: Place,
}

/// A place that is counted. Dropping it frees it.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Connection,
    Handshake,
    Stranger(IpPrefix),
}

impl Admission {
    /// An empty house.
    #[must_use]
    pub fn new(limits: AdmissionLimits, connections_max: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        metrics.connections_max.set(i64::try_from(connections_max).unwrap_or(i64::MAX));
        Arc::new(Self {
            limits,
            connections_max,
            connections: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            strangers: DashMap::new(),
            metrics,
        })
    }

    /// Judges a connection attempt; `validated` says whether its address is proved.
    #[must_use]
    pub fn judge(self: &Arc<Self>, from: IpPrefix, validated: bool) -> Verdict {
        let handshakes = self.handshakes.load(Ordering::Relaxed);
        if handshakes >= self.limits.handshakes_max {
            return Verdict::Refuse(Refused::Handshakes);
        }
        if handshakes >= self.limits.handshakes_retry && !validated {
            return Verdict::Retry;
        }
        if self.connections.load(Ordering::Relaxed) >= self.connections_max {
            return Verdict::Refuse(Refused::Full);
        }
        {
            let mut strangers = self.strangers.entry(from).or_insert(0);
            if *strangers >= self.limits.unauthenticated_per_prefix {
                return Verdict::Refuse(Refused::Prefix);
            }
            *strangers = strangers.saturating_add(1);
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        let place = |kind| Place { admission: Arc::clone(self), kind };
        let admitted = Admitted {
            connection: place(Kind::Connection),
            handshake: place(Kind::Handshake),
            stranger: place(Kind::Stranger(from)),
        };
        self.show();
        Verdict::Admit(admitted)
    }

    /// Connections that exist.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn show(&self) {
        let connections = self.connections.load(Ordering::Relaxed);
        self.metrics.connections_active.set(i64::try_from(connections).unwrap_or(i64::MAX));
        let handshakes = self.handshakes.load(Ordering::Relaxed);
        self.metrics.set_queue(Queue::Handshakes, u64::try_from(handshakes).unwrap_or(u64::MAX));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let admission = &self.admission;
        match self.kind {
            Kind::Connection => {
                admission.connections.fetch_sub(1, Ordering::Relaxed);
            }
            Kind::Handshake => {
                admission.handshakes.fetch_sub(1, Ordering::Relaxed);
            }
            Kind::Stranger(prefix) => {
                admission.strangers.remove_if_mut(&prefix, |_, count| {
                    *count = count.saturating_sub(1);
                    *count == 0
                });
                return;
            }
        }
        admission.show();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(limits: AdmissionLimits, max: usize) -> Arc<Admission> {
        Admission::new(limits, max, Arc::new(Metrics::new().unwrap()))
    }

    fn from(last: u8) -> IpPrefix {
        IpPrefix::of([192, 0, 2, last].into())
    }

    fn admit(house: &Arc<Admission>, last: u8, validated: bool) -> Admitted {
        match house.judge(from(last), validated) {
            Verdict::Admit(admitted) => admitted,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn handshakes_are_first_asked_to_prove_their_address_and_then_refused() {
        let house = house(AdmissionLimits { handshakes_retry: 1, handshakes_max: 2, ..Default::default() }, 100);
        let first = admit(&house, 1, false);
        assert!(matches!(house.judge(from(2), false), Verdict::Retry));
        let second = admit(&house, 2, true);
        assert!(matches!(house.judge(from(3), true), Verdict::Refuse(Refused::Handshakes)));
        drop(second.handshake);
        drop(first.handshake);
        drop(admit(&house, 3, false));
    }

    #[test]
    fn one_prefix_can_not_fill_the_house_with_strangers() {
        let house = house(AdmissionLimits { unauthenticated_per_prefix: 2, ..Default::default() }, 100);
        let guests = [admit(&house, 1, true), admit(&house, 1, true)];
        assert!(matches!(house.judge(from(1), true), Verdict::Refuse(Refused::Prefix)));
        drop(admit(&house, 2, true));
        // Authenticated: no stranger any more, but still a connection.
        let [first, second] = guests;
        drop(first.stranger);
        drop(admit(&house, 1, true));
        drop((first.connection, first.handshake, second));
        assert!(house.strangers.is_empty());
        assert_eq!(house.connections(), 0);
    }

    #[test]
    fn a_full_house_refuses() {
        let house = house(AdmissionLimits::default(), 1);
        let guest = admit(&house, 1, true);
        assert!(matches!(house.judge(from(2), true), Verdict::Refuse(Refused::Full)));
        drop(guest);
        drop(admit(&house, 2, true));
    }
}
