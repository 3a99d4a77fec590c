//! QUIC: the endpoint, who is let in, and each connection's handshake.
//!
//! TLS 1.3 with X25519MLKEM768 preferred, ALPN `qpc/1`, no 0-RTT. What a connection says is
//! `session`'s; here it is admitted, timed, and handed over.

pub(crate) mod accept;
mod ack_delay;
pub(crate) mod frames;
mod reset;
mod segments;
pub(crate) mod socket;
pub(crate) mod tls;

use std::{io, net::SocketAddr, sync::Arc};

use quinn::{
    AsyncUdpSocket, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, Runtime, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};

pub use self::{
    accept::serve,
    reset::ResetKey,
    tls::{Identity, TlsError},
};
use self::{
    ack_delay::Patient,
    segments::{Noted, Segments},
};
use crate::{
    metrics::{Metrics, labels::Direction},
    policy::Limits,
};

/// Why the endpoint can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket.
    #[error("can't listen on UDP {address}: {source}")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The idle timeout is longer than QUIC can say.
    #[error("max_idle_timeout is too long")]
    IdleTimeout,
}

/// Opens the endpoint on an address; `[::]` takes IPv4 as well. It answers nobody before [`serve`], except
/// connections of an earlier start with the same key: they are told that they are gone.
///
/// # Errors
/// [`BindError`].
pub fn bind(
    address: SocketAddr,
    identity: Identity,
    reset_key: &ResetKey,
    limits: &Limits,
    metrics: &Metrics,
) -> Result<Endpoint, BindError> {
    let failed = |source| BindError::Socket { address, source };
    let socket = socket::open(address, limits.transport.udp_buffer).map_err(failed)?;
    let socket = TokioRuntime.wrap_udp_socket(socket).map_err(failed)?;
    on(socket, reset_key.endpoint_config(), identity, limits, metrics)
}

/// The endpoint on a socket of any kind.
///
/// # Errors
/// [`BindError`].
pub fn on(
    socket: Arc<dyn AsyncUdpSocket>,
    endpoint: EndpointConfig,
    identity: Identity,
    limits: &Limits,
    metrics: &Metrics,
) -> Result<Endpoint, BindError> {
    let config = server_config(identity, limits)?;
    let address = socket.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    let failed = |source| BindError::Socket { address, source };
    let socket = Segments {
        inner: socket,
        at_most: limits.transport.send_segments,
        of_much: limits.transport.bulk_segments,
        received: metrics.udp(Direction::In),
        sent: metrics.udp(Direction::Out),
    };
    Endpoint::new_with_abstract_socket(endpoint, Some(config), Arc::new(socket), Arc::new(Noted)).map_err(failed)
}

/// How connections are taken, with which certificate.
///
/// # Errors
/// [`BindError`], but none of the socket.
pub fn server_config(identity: Identity, limits: &Limits) -> Result<ServerConfig, BindError> {
    let crypto = Patient { inner: Arc::new(tls::server_crypto(identity)?), delay: limits.transport.ack_delay };
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport(limits)?))
        .max_incoming(limits.admission.incoming)
        .incoming_buffer_size(limits.admission.receive_window.into())
        .incoming_buffer_size_total(limits.admission.incoming_buffer);
    Ok(config)
}

/// A connection as it begins: as little as a stranger needs. `session` raises it after authentication.
fn transport(limits: &Limits) -> Result<TransportConfig, BindError> {
    let (settings, stranger) = (&limits.transport, &limits.admission);
    let idle = IdleTimeout::try_from(settings.max_idle_timeout).map_err(|_| BindError::IdleTimeout)?;
    let datagrams = limits.ephemerals.enabled.then_some(limits.ephemerals.datagram_buffer);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(VarInt::from_u32(stranger.streams))
        .max_concurrent_uni_streams(VarInt::from_u32(settings.max_concurrent_uni_streams))
        .stream_receive_window(VarInt::from_u32(settings.stream_receive_window))
        .receive_window(VarInt::from_u32(stranger.receive_window))
        .send_window(settings.send_window.into())
        .send_fairness(false)
        .keep_alive_interval(settings.keep_alive_interval)
        .mtu_discovery_config(settings.mtu_discovery.then(MtuDiscoveryConfig::default))
        .ack_frequency_config(Some(ack_delay::asked(settings.ack_packets, settings.ack_delay)))
        .datagram_receive_buffer_size(datagrams)
        .datagram_send_buffer_size(limits.ephemerals.datagram_buffer);
    Ok(transport)
}
