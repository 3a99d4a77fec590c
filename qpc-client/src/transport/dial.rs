//! From a name to a QUIC connection: every address is tried, the next one soon after the one before
//! (RFC 8305), and what stands in the way is found out.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use qpc_proto::error::CloseCode;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig,
    VarInt,
};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::time::{sleep, timeout};

use super::{
    Transport,
    call::CallError,
    diagnose::{self, Echo},
    tls::{self, Policy, Verdict},
};
use crate::{Fingerprint, ServerAddress};

/// How long an address has before the next one is tried beside it (RFC 8305 section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// Longest handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(8);
/// How often an idle connection says that it is there: more often than middleboxes forget it.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// After so much silence the server is taken to be gone.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// Bytes of datagrams that wait, either way: what is ephemeral, of which the oldest goes.
const DATAGRAM_BUFFER: usize = 16 * 1024;
/// Bytes that may wait to be read from a socket that thousands of connections share.
const SHARED_BUFFER: usize = 4 * 1024 * 1024;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum DialError {
    Name(String),
    Unreachable(String),
    OtherProtocol,
    Full(String),
    Judged(Verdict),
    Greeting(CallError),
    Setup(String),
}

/// The sockets of this client: one for each family, opened when it is first needed and kept.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    v4: Mutex<Option<Endpoint>>,
    v6: Mutex<Option<Endpoint>>,
    /// There is no network of this machine behind them that could be asked why nobody answers.
    #[cfg(feature = "simulation")]
    simulated: bool,
}

impl Endpoints {
    /// One socket for many connections, bound to an address of this machine.
    pub(crate) fn from_source(source: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(source, 0))?;
        // As much as the kernel gives: what it drops here, a server would seem to have lost.
        set_socket_recv_buffer_size(&socket, SHARED_BUFFER)?;
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
        let slot = Mutex::new(Some(endpoint));
        Ok(match source {
            IpAddr::V4(_) => Self { v4: slot, ..Self::default() },
            IpAddr::V6(_) => Self { v6: slot, ..Self::default() },
        })
    }

    /// One on a network that is none of this machine's.
    #[cfg(feature = "simulation")]
    pub(crate) fn simulated(endpoint: Endpoint) -> Self {
        Self { v4: Mutex::new(Some(endpoint)), simulated: true, ..Self::default() }
    }

    /// Asks the network why nobody answers, after a while.
    async fn ask_all(&self, addresses: &[SocketAddr]) -> Vec<(SocketAddr, Echo)> {
        #[cfg(feature = "simulation")]
        if self.simulated {
            return std::future::pending().await;
        }
        diagnose::ask_all(addresses).await
    }

    fn towards(&self, address: SocketAddr) -> io::Result<Endpoint> {
        let (slot, local) = match address {
            SocketAddr::V4(_) => (&self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(endpoint) => Ok(endpoint.clone()),
            None => Ok(slot.insert(Endpoint::client(local)?).clone()),
        }
    }

    /// Closes what is open and waits until peers have been told, for a moment.
    pub(crate) async fn close(&self) {
        for slot in [&self.v4, &self.v6] {
            let endpoint = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(endpoint) = endpoint {
                endpoint.close(VarInt::from_u32(CloseCode::Done as u32), b"");
                // A peer that is gone can't be told.
                drop(timeout(Duration::from_millis(500), endpoint.wait_idle()).await);
            }
        }
    }
}

/// Connects to the server and gives the certificate it showed.
pub(super) async fn dial(transport: &Transport, policy: Policy) -> Result<(Connection, Fingerprint), DialError> {
    let addresses = resolve(&transport.server).await?;
    let (crypto, judge) = tls::client_config(policy).map_err(DialError::Setup)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(transport.datagrams)));

    let longest = transport.timeout.min(HANDSHAKE_MAX);
    let attempt = |address: SocketAddr| {
        let (config, host) = (config.clone(), transport.server.host.clone());
        async move {
            let endpoint = transport.endpoints.towards(address).map_err(|error| Failure::Socket(error.to_string()))?;
            let connecting =
                endpoint.connect_with(config, address, &host).map_err(|e| Failure::Socket(e.to_string()))?;
            match timeout(longest, connecting).await {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) => Err(Failure::Quic(error)),
                Err(_) => Err(Failure::Silence),
            }
        }
    };
    let echoes = transport.endpoints.ask_all(&addresses);
    tokio::pin!(echoes);

    let mut waiting = addresses.iter().copied();
    let mut under_way = FuturesUnordered::new();
    under_way.extend(waiting.next().map(attempt));
    let mut failure = Failure::Silence;
    let mut heard = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(outcome) = under_way.next() => match outcome {
                Ok(connection) => {
                    let fingerprint = judge.shown().ok_or_else(|| DialError::Setup("no certificate was shown".into()))?;
                    return Ok((connection, fingerprint));
                }
                Err(why) => {
                    failure = failure.or(why);
                    under_way.extend(waiting.next().map(attempt));
                    if under_way.is_empty() { break; }
                }
            },
            found = &mut echoes, if heard.is_empty() => {
                heard = found;
                // Nobody is there, says every machine that was asked: there is nothing to wait for.
                if heard.iter().all(|(_, echo)| matches!(echo, Echo::Refused | Echo::Unsendable(_))) { break; }
            }
            () = sleep(NEXT_ADDRESS_AFTER), if waiting.len() > 0 => under_way.extend(waiting.next().map(attempt)),
        }
    }
    if let Some(verdict) = judge.verdict() {
        return Err(DialError::Judged(verdict));
    }
    Err(judge_failure(failure, &heard))
}

fn judge_failure(failure: Failure, heard: &[(SocketAddr, Echo)]) -> DialError {
    match failure {
        Failure::Quic(ConnectionError::TransportError(error)) if error.code == NO_APPLICATION_PROTOCOL.into() => {
            DialError::OtherProtocol
        }
        Failure::Quic(ConnectionError::ConnectionClosed(close))
            if close.error_code == NO_APPLICATION_PROTOCOL.into() =>
        {
            DialError::OtherProtocol
        }
        Failure::Quic(ConnectionError::VersionMismatch) => DialError::OtherProtocol,
        Failure::Quic(ConnectionError::ConnectionClosed(close)) => DialError::Full(close.to_string()),
        Failure::Quic(ConnectionError::ApplicationClosed(close)) => DialError::Full(close.to_string()),
        Failure::Quic(error) => DialError::Unreachable(format!("{error}. {}", diagnose::words(heard))),
        Failure::Socket(error) => DialError::Unreachable(format!("{error}. {}", diagnose::words(heard))),
        Failure::Silence => DialError::Unreachable(diagnose::words(heard)),
    }
}

/// QUIC's code for the TLS alert `no_application_protocol` (RFC 9001 section 4.8, RFC 7301).
const NO_APPLICATION_PROTOCOL: AlertCode = AlertCode(120);

struct AlertCode(u8);

impl From<AlertCode> for quinn::TransportErrorCode {
    fn from(code: AlertCode) -> Self {
        Self::crypto(code.0)
    }
}

/// Why one address did not do.
enum Failure {
    Socket(String),
    Quic(ConnectionError),
    Silence,
}

impl Failure {
    /// The one that says more.
    fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Quic(ConnectionError::TimedOut) | Self::Silence | Self::Socket(_), _) => other,
            _ => self,
        }
    }
}

fn transport_config(datagrams: bool) -> TransportConfig {
    let mut config = TransportConfig::default();
    config.keep_alive_interval(Some(KEEP_ALIVE));
    config.max_idle_timeout(IdleTimeout::try_from(IDLE_MAX).ok());
    config.max_concurrent_bidi_streams(VarInt::from_u32(0));
    config.max_concurrent_uni_streams(VarInt::from_u32(0));
    config.datagram_receive_buffer_size(datagrams.then_some(DATAGRAM_BUFFER));
    config.datagram_send_buffer_size(DATAGRAM_BUFFER);
    // Its probes are padding, which the server reads byte by byte: a tenth of what a connection costs to open.
    config.mtu_discovery_config(None);
    config
}

/// The addresses of a server, families taking turns.
async fn resolve(server: &ServerAddress) -> Result<Vec<SocketAddr>, DialError> {
    let found = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
    let found: Vec<_> = found.map_err(|error| DialError::Name(error.to_string()))?.collect();
    let (v6, v4): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    let mut turns = Vec::new();
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        match (v6.next(), v4.next()) {
            (None, None) => break,
            (one, other) => turns.extend(one.into_iter().chain(other)),
        }
    }
    turns.dedup();
    if turns.is_empty() { Err(DialError::Name("the name has no address".into())) } else { Ok(turns) }
}
