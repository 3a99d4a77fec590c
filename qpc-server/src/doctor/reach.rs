//! Whether an address leads to this server: a handshake with whoever answers there, and whose certificate it shows.
//!
//! Tried from this machine: a router that sends packets back to it, or does not, is not the Internet.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use quinn::{ClientConfig, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls13_signature},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::time::timeout;

use super::finding::Finding;
use crate::{data_dir::fingerprint, transport::tls};

const CHECK: &str = "reachable";
/// How long the other end may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    #[error("{0}: not HOST:PORT")]
    Form(String),
    #[error("{0}: no such host")]
    Name(String),
    #[error("{0}")]
    System(#[from] io::Error),
    #[error("nothing answers on UDP {0}")]
    Silent(SocketAddr),
    #[error("{0}: {1}")]
    Refused(SocketAddr, quinn::ConnectionError),
    #[error("{0}")]
    Internal(String),
}

/// Makes a connection and says whose certificate is shown; whom it is of is not judged. Blocks.
pub(super) fn shake_hands(address: &str) -> Result<(SocketAddr, String), ReachError> {
    if !address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(ReachError::Form(address.to_owned()));
    }
    let name = || ReachError::Name(address.to_owned());
    let at = address.to_socket_addrs().map_err(|_| name())?.next().ok_or_else(name)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let from: SocketAddr = match at {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let endpoint = Endpoint::client(from)?;
        let connecting = endpoint.connect_with(client()?, at, "qpc").map_err(internal)?;
        let connection = match timeout(PATIENCE, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(ReachError::Refused(at, error)),
            Err(_) => return Err(ReachError::Silent(at)),
        };
        let shown = connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        connection.close(0_u32.into(), b"");
        // The farewell goes out before the socket is closed; nobody waits for its echo.
        timeout(PATIENCE, endpoint.wait_idle()).await.ok();
        Ok((at, fingerprint(&shown.unwrap_or_default())))
    })
}

fn internal(error: impl std::error::Error) -> ReachError {
    ReachError::Internal(error.to_string())
}

fn client() -> Result<ClientConfig, ReachError> {
    let provider = Arc::new(tls::provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(internal)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![qpc_proto::ALPN.to_vec()];
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).map_err(internal)?)))
}

/// Takes every certificate whose key its owner has: it is compared afterwards, and nothing is said on the connection.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub(super) fn judge(address: &str, outcome: Result<(SocketAddr, String), ReachError>, own: Option<&str>) -> Finding {
    let (at, shown) = match outcome {
        Ok(found) => found,
        Err(error @ (ReachError::Form(_) | ReachError::Name(_))) => {
            return Finding::bad(CHECK, error.to_string(), "--reach HOST:PORT, as clients type it; look at the DNS");
        }
        Err(error) => {
            let remedy = "let UDP to that port through firewall and router, and look at server.listen; from inside, a router that \
                          does not send packets back looks the same: try from another network";
            return Finding::bad(CHECK, error.to_string(), remedy);
        }
    };
    match own {
        Some(own) if own == shown => Finding::ok(
            CHECK,
            format!(
                "{address} ({at}) is this server. It was tried from this machine: whether others reach it, only they can tell"
            ),
        ),
        Some(_) => Finding::bad(
            CHECK,
            format!("at {address} ({at}) another server answers, with the certificate {shown}"),
            "look at the DNS and at what forwards the port; a server that runs still shows an old certificate for 10 seconds",
        ),
        None => Finding::warning(
            CHECK,
            format!(
                "at {address} ({at}) a server answers with the certificate {shown}; this one's can't be read to compare"
            ),
            "run this as the server's user",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Mark, *};

    #[test]
    fn who_answers_is_compared() {
        let at = || Ok(("127.0.0.1:7000".parse().unwrap(), "sha256:aa".to_owned()));
        let marks = [Some("sha256:aa"), Some("sha256:bb"), None].map(|own| judge("chat.example:7000", at(), own).mark);
        assert_eq!(marks, [Mark::Ok, Mark::Bad, Mark::Warning]);
        for address in ["nonsense", "localhost:", "localhost:0", "localhost:70000"] {
            assert!(matches!(shake_hands(address), Err(ReachError::Form(_))), "{address}");
        }
        assert_eq!(judge("x", shake_hands("x"), None).mark, Mark::Bad);
    }
}
