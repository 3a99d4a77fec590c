//! The connection to a peer of the configuration: opened, watched, opened again after a pause that grows.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use qpc_proto::error::CloseCode;
use quinn::{ConnectError, Connection, ConnectionError, Endpoint};
use tokio::{
    net::lookup_host,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    CertificateFault, Hall, Peer,
    circle::Reach,
    hello::{self, HelloFault},
};
use crate::{
    metrics::labels::{Direction, PeerRefused},
    peers::LinkState,
    policy::limits::FederationLimits,
    rng::{self, Rng},
};

/// Why there is no connection, for the operator.
#[derive(Debug, thiserror::Error)]
enum LinkFault {
    #[error("{address}: {error}")]
    Address { address: String, error: io::Error },
    #[error("{0}: no such host, or none with an address that federation.listen can reach: \"[::]:7001\" reaches all")]
    NoAddress(String),
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("no answer within {0:?}")]
    Slow(Duration),
    #[error("it is a peer no more")]
    LetGo,
    #[error("{}", lost(.0))]
    Lost(#[from] ConnectionError),
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    #[error(transparent)]
    Hello(#[from] HelloFault),
}

/// Why a connection ended, in an operator's words.
fn lost(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => match CloseCode::from_wire(close.error_code.into_inner()) {
            Some(CloseCode::NotAllowed) => "the peer does not federate with this server's domain".into(),
            Some(CloseCode::CertificateRefused) => "the peer refuses this server's certificate".into(),
            Some(CloseCode::ShuttingDown) => "the peer stops for now".into(),
            Some(CloseCode::Replaced) => "a newer connection took its place".into(),
            Some(code) => format!("the peer closed the connection: {code:?}"),
            None => format!("the peer closed the connection with code {}", close.error_code),
        },
        ConnectionError::TimedOut => "no answer any more".into(),
        // Nothing else ends a connection from here that was let in.
        ConnectionError::LocallyClosed => "the peer's certificate counts no longer".into(),
        other => other.to_string(),
    }
}

/// Connects until the server stops or it is a peer no more.
pub(super) async fn keep_connected(hall: Arc<Hall>, endpoint: Endpoint, reach: Arc<Reach>) {
    connect_until_stop(&hall, &endpoint, &reach).await;
    hall.let_go(&reach.peer.domain);
}

async fn connect_until_stop(hall: &Hall, endpoint: &Endpoint, reach: &Reach) {
    let (domain, stopping) = (&reach.peer.domain, &reach.stop);
    let mut failures = 0_u32;
    let mut told = None;
    loop {
        hall.table.outgoing(domain, LinkState::Connecting, hall.clock.unix_ms());
        let began = Instant::now();
        // Dropped with its connection, which is closed with the others or by itself. In this order: a peer that is let go
        // of has lost its connections already, and that is no fault.
        let fault = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            fault = connected(hall, endpoint, reach, &mut told) => fault,
        };
        let problem = fault.to_string();
        // The same problem is told once, not at each attempt, until there has been a connection again.
        if told.as_ref() != Some(&problem) {
            tracing::warn!(peer = %domain, problem, "no connection to a peer; it is tried again");
            told = Some(problem.clone());
        }
        hall.table.failed(domain, problem, hall.clock.unix_ms());
        failures = if began.elapsed() >= hall.limits.steady { 1 } else { failures.saturating_add(1) };
        let woken = async {
            reach.bell.notified().await;
            sleep(hall.limits.call_back).await;
        };
        // All branches only wait.
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(pause(failures, &hall.limits, &*hall.rng)) => {}
            () = woken => {}
        }
    }
}

/// One connection from its beginning to its end; says how it ended.
async fn connected(hall: &Hall, endpoint: &Endpoint, reach: &Reach, told: &mut Option<String>) -> LinkFault {
    let (peer, limit) = (&reach.peer, hall.limits.handshake);
    let (connection, restored_ms) = match timeout(limit, open(hall, endpoint, peer)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(fault)) => return fault,
        Err(_) => {
            hall.metrics.refused(PeerRefused::Slow);
            return LinkFault::Slow(limit);
        }
    };
    *told = None;
    reach.restored_ms.store(restored_ms, Ordering::Relaxed);
    if !hall.joined(&peer.domain, Direction::Out, &connection) {
        hall.refuse(&connection, PeerRefused::NotAllowed);
        return LinkFault::LetGo;
    }
    hall.table.outgoing(&peer.domain, LinkState::Connected, hall.clock.unix_ms());
    tracing::info!(peer = %peer.domain, "connected to a peer");
    let ended = watch(hall, reach, &connection).await;
    hall.left(&peer.domain, Direction::Out, &connection);
    ended.into()
}

/// The first address that the listening socket can send to: one of IPv4 alone reaches no IPv6.
fn reachable(mut addresses: impl Iterator<Item = SocketAddr>, listen: SocketAddr) -> Option<SocketAddr> {
    addresses.find(|address| address.is_ipv4() || listen.is_ipv6())
}

/// Connects, looks at the certificate, says hello; gives when the peer was restored last, too.
async fn open(hall: &Hall, endpoint: &Endpoint, peer: &Peer) -> Result<(Connection, u64), LinkFault> {
    let resolve = |error| LinkFault::Address { address: peer.address.clone(), error };
    let listen = endpoint.local_addr().map_err(resolve)?;
    let address = reachable(lookup_host(&peer.address).await.map_err(resolve)?, listen);
    let address = address.ok_or_else(|| LinkFault::NoAddress(peer.address.clone()))?;
    let keys = Arc::clone(&hall.keys.borrow());
    let connecting = endpoint.connect_with(keys.client.clone(), address, peer.domain.as_str())?;
    let connection = connecting.await.inspect_err(|_| hall.metrics.refused(PeerRefused::Failed))?;
    if let Err(fault) = keys.is_of(&connection, &peer.domain, hall.now()) {
        hall.refuse(&connection, PeerRefused::Certificate);
        return Err(fault.into());
    }
    match hello::greet(hall, &connection, &peer.domain).await {
        Ok(restored_ms) => Ok((connection, restored_ms)),
        // The peer has said more with its close than a broken stream tells.
        Err(HelloFault::Lost(_)) if connection.close_reason().is_some() => Err(connection.closed().await.into()),
        Err(fault) => {
            hall.refuse(&connection, PeerRefused::Protocol);
            Err(fault.into())
        }
    }
}

/// Notes the round trip until the connection ends. A peer that comes here may have lost this one when it was started
/// anew: a stream on which nothing is asked finds out at once, where the next keep-alive would take its time.
async fn watch(hall: &Hall, reach: &Reach, connection: &Connection) -> ConnectionError {
    let mut look = interval(hall.limits.keep_alive);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // All branches only wait.
        tokio::select! {
            ended = connection.closed() => return ended,
            () = reach.bell.notified() => {
                if let Ok((mut send, _)) = connection.open_bi().await {
                    drop(send.finish());
                }
            }
            _ = look.tick() => hall.table.round_trip(&reach.peer.domain, connection.rtt()),
        }
    }
}

/// Twice as long after each failure up to the longest, and of that at random from half to all, so that servers which
/// lost each other at one moment don't come back at one moment.
fn pause(failures: u32, limits: &FederationLimits, rng: &dyn Rng) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(31));
    let whole = limits.retry_min.saturating_mul(doubled).min(limits.retry_max);
    let part = f64::from(u16::from_be_bytes(rng::bytes(rng))) / f64::from(u16::MAX);
    whole.mul_f64(0.5 + part / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Rng for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn a_host_with_both_kinds_of_addresses_is_reached_from_either() {
        let both = ["[2001:db8::1]:7001", "10.0.0.1:7001"].map(|text| text.parse::<SocketAddr>().unwrap());
        let from = |listen: &str| listen.parse().unwrap();
        assert_eq!(reachable(both.into_iter(), from("0.0.0.0:7001")), Some(both[1]));
        assert_eq!(reachable(both.into_iter(), from("[::]:7001")), Some(both[0]));
        assert_eq!(reachable(both.into_iter().take(1), from("0.0.0.0:7001")), None);
    }

    #[test]
    fn pauses_grow_to_the_longest_and_differ() {
        let limits = FederationLimits::default();
        let longest: Vec<_> = (1..9).map(|failures| pause(failures, &limits, &Fixed(0xff)).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX, &limits, &Fixed(0)), Duration::from_secs(30));
        assert_eq!(pause(1, &limits, &Fixed(0)), Duration::from_millis(500));
    }
}
