//! Whose certificate it is: verification both ways, and the one name that counts.

use std::{sync::Arc, time::Duration};

use qpc_proto::{FEDERATION_ALPN, address::Domain};
use quinn::{
    ClientConfig, Connection, IdleTimeout, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig},
};
use rustls::{
    RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    policy::limits::FederationLimits,
    transport::tls::{self, Validity},
};

/// What the operator's files hold.
pub struct Material {
    /// This server's certificate first, then those between it and the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// The CA that signs for all servers of the federation, or several.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// Why a certificate does not prove a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// The peer shows none.
    #[error("no certificate is shown")]
    None,
    /// It is out of its time, of another CA, too long a chain, or not a certificate at all.
    #[error("the certificate does not verify: {0}")]
    Invalid(webpki::Error),
    /// It may not be used by one of the two sides.
    #[error("the certificate may not be used by a {side}: {error}")]
    Usage {
        /// `server` or `client`.
        side: &'static str,
        /// What is wrong.
        error: webpki::Error,
    },
    /// It names several domains, or none.
    #[error("the certificate names {0} domains; it must name exactly one")]
    Names(usize),
    /// What it names is no domain as this protocol writes them: a wildcard, capitals, a dot at the end.
    #[error("the certificate names {0:?}, which is not a domain in lower case without wildcards")]
    Name(String),
    /// It is of another domain.
    #[error("the certificate is of {found}, not of {wanted}")]
    Other {
        /// Whose it is.
        found: Domain,
        /// Whose it should be.
        wanted: Domain,
    },
}

/// Why the operator's own files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The CA's file.
    #[error("federation_ca: {0}")]
    Authority(rustls::Error),
    /// The certificate.
    #[error("federation_cert: {0}")]
    Certificate(#[from] CertificateFault),
    /// The key is no key, or of another certificate.
    #[error("federation_key: {0}")]
    Key(#[from] rustls::Error),
    /// rustls takes no such CA.
    #[error("federation_ca: {0}")]
    Verifier(#[from] VerifierBuilderError),
    /// The cryptography lacks what QUIC begins with.
    #[error("the cryptography lacks QUIC's initial cipher suite")]
    Initial(#[from] NoInitialCipherSuite),
    /// A limit is longer than QUIC can say.
    #[error("the idle timeout is too long")]
    Idle,
}

/// What connections are made with, until the files change.
pub(super) struct Keys {
    pub(super) server: ServerConfig,
    pub(super) client: ClientConfig,
    chain: Vec<CertificateDer<'static>>,
    authorities: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

impl Keys {
    /// Judges what the files hold as a peer would, so that the operator is told and not each peer's operator.
    pub(super) fn new(
        material: Material,
        own: &Domain,
        now: UnixTime,
        limits: &FederationLimits,
    ) -> Result<Self, KeysError> {
        let Material { chain, key, authorities } = material;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(KeysError::Authority)?;
        }
        let roots = Arc::new(roots);
        same(domain(&chain, &roots, now)?, own)?;

        let provider = Arc::new(tls::provider());
        let transport = Arc::new(transport(limits)?);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
        let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())?;
        server.alpn_protocols = vec![FEDERATION_ALPN.to_vec()];
        // Every connection shows its certificate anew: nothing is resumed, and nothing is sent before.
        server.max_early_data_size = 0;
        server.send_tls13_tickets = 0;
        let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
        server.transport_config(Arc::clone(&transport)).max_incoming(limits.handshakes);

        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&roots))
            .with_client_auth_cert(chain.clone(), key)?;
        client.alpn_protocols = vec![FEDERATION_ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));
        client.transport_config(transport);
        Ok(Self { server, client, chain, authorities, roots })
    }

    /// When the first of the certificates that peers are shown ends, in seconds since 1970.
    pub(super) fn end(&self) -> Option<u64> {
        self.chain.iter().filter_map(Validity::of).map(|validity| validity.ends).min()
    }

    /// Whether the files hold the same certificates.
    pub(super) fn are_of(&self, material: &Material) -> bool {
        self.chain == material.chain && self.authorities == material.authorities
    }

    /// Whose server is at the other end.
    pub(super) fn peer(&self, connection: &Connection, now: UnixTime) -> Result<Domain, CertificateFault> {
        let shown = connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        domain(&shown.ok_or(CertificateFault::None)?, &self.roots, now)
    }

    /// That it is this one's.
    pub(super) fn is_of(
        &self,
        connection: &Connection,
        wanted: &Domain,
        now: UnixTime,
    ) -> Result<(), CertificateFault> {
        same(self.peer(connection, now)?, wanted)
    }
}

fn same(found: Domain, wanted: &Domain) -> Result<(), CertificateFault> {
    if found == *wanted { Ok(()) } else { Err(CertificateFault::Other { found, wanted: wanted.clone() }) }
}

/// The one domain that a certificate proves, as both sides of a connection: rustls asks for the use of one side only,
/// and would take a wildcard for any name below it.
fn domain(chain: &[CertificateDer<'_>], roots: &RootCertStore, now: UnixTime) -> Result<Domain, CertificateFault> {
    let (own, between) = chain.split_first().ok_or(CertificateFault::None)?;
    let certificate = EndEntityCert::try_from(own).map_err(CertificateFault::Invalid)?;
    let CryptoProvider { signature_verification_algorithms, .. } = aws_lc_rs::default_provider();
    for (side, usage) in [("server", KeyUsage::server_auth()), ("client", KeyUsage::client_auth())] {
        let algorithms = signature_verification_algorithms.all;
        certificate.verify_for_usage(algorithms, &roots.roots, between, now, usage, None, None).map_err(|error| {
            match error {
                webpki::Error::RequiredEkuNotFoundContext(_) => CertificateFault::Usage { side, error },
                error => CertificateFault::Invalid(error),
            }
        })?;
    }
    let names: Vec<&str> = certificate.valid_dns_names().collect();
    let &[name] = names.as_slice() else { return Err(CertificateFault::Names(names.len())) };
    match Domain::parse(name) {
        // Canonical as it stands: two ways to write a domain would be two peers.
        Ok(domain) if domain.as_str() == name => Ok(domain),
        _ => Err(CertificateFault::Name(name.to_owned())),
    }
}

fn transport(limits: &FederationLimits) -> Result<TransportConfig, KeysError> {
    let idle: Duration = limits.idle;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::try_from(idle).map_err(|_| KeysError::Idle)?))
        .keep_alive_interval(Some(limits.keep_alive))
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits.stream_window))
        .receive_window(VarInt::from_u32(limits.window))
        .datagram_receive_buffer_size(None);
    Ok(transport)
}
