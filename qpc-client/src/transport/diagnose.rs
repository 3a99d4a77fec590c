//! What stands between here and a server that does not answer: a probe that any QUIC server answers
//! (RFC 9000 section 6.1: an unknown version is answered with Version Negotiation), and words for what came back.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

/// A handshake that is going well needs no probe.
const PROBE_AFTER: Duration = Duration::from_millis(400);
/// How long to listen for an answer to one probe, and how often to send it.
const ANSWER_WITHIN: Duration = Duration::from_millis(700);
const PROBES: usize = 3;
/// An Initial may not be shorter (RFC 9000 section 14.1).
const PROBE_LEN: usize = 1200;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Echo {
    /// A QUIC server is there.
    Quic,
    /// The machine is there and says that nothing listens on the port.
    Refused,
    /// The probe could not even be sent.
    Unsendable(String),
    /// Nothing.
    Silence,
}

/// Probes every address, at the same time.
pub(super) async fn ask_all(addresses: &[SocketAddr]) -> Vec<(SocketAddr, Echo)> {
    sleep(PROBE_AFTER).await;
    join_all(addresses.iter().map(|address| async { (*address, ask(*address).await) })).await
}

async fn ask(address: SocketAddr) -> Echo {
    match probe(address).await {
        Ok(echo) => echo,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Echo::Refused,
        Err(error) => Echo::Unsendable(error.to_string()),
    }
}

async fn probe(address: SocketAddr) -> io::Result<Echo> {
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    // Connected, so that the system reports an ICMP "port unreachable" to it.
    socket.connect(address).await?;
    let packet = packet();
    let mut answer = [0; PROBE_LEN];
    for _ in 0..PROBES {
        socket.send(&packet).await?;
        if let Ok(received) = timeout(ANSWER_WITHIN, socket.recv(&mut answer)).await {
            received?;
            return Ok(Echo::Quic);
        }
    }
    Ok(Echo::Silence)
}

/// A long header of a version that is reserved to be unknown (RFC 9000 section 15), padded.
fn packet() -> Vec<u8> {
    let connection_id = [0x71; 8];
    let mut packet = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    packet.extend_from_slice(&connection_id);
    packet.push(8);
    packet.extend_from_slice(&connection_id);
    packet.resize(PROBE_LEN, 0);
    packet
}

/// What the probes say, for a person.
pub(super) fn words(heard: &[(SocketAddr, Echo)]) -> String {
    if heard.is_empty() {
        return "no answer".to_owned();
    }
    let word = |(address, echo): &(SocketAddr, Echo)| match echo {
        Echo::Quic => format!("{address} answers over UDP, but no connection came about: is the server overloaded?"),
        Echo::Refused => format!("{address} says that nothing listens on this UDP port: does the server run?"),
        Echo::Unsendable(error) => format!("nothing could be sent to {address} ({error})"),
        Echo::Silence => format!(
            "{PROBES} UDP packets of {PROBE_LEN} bytes were sent to {address} and nothing came back: the machine is off, \
             the port is wrong, or a firewall drops UDP"
        ),
    };
    heard.iter().map(word).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_where_nothing_listens_is_told_from_silence() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let silent = socket.local_addr().unwrap();
        assert_eq!(ask(silent).await, Echo::Silence);
        drop(socket);
        let closed = silent;
        assert_eq!(ask(closed).await, Echo::Refused);
        assert!(words(&[(closed, Echo::Refused)]).contains("nothing listens"));
    }

    #[tokio::test]
    async fn a_quic_server_of_any_version_is_recognised() {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let config = quinn::ServerConfig::with_single_cert(vec![certified.cert.der().clone()], key.into()).unwrap();
        let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(ask(endpoint.local_addr().unwrap()).await, Echo::Quic);
    }
}
