//! The server's side of TLS: which certificate, and which cryptography in which order.

use std::sync::Arc;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use rustls::{
    ServerConfig,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, cipher_suite, kx_group},
    },
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::{Certificate, der::Decode};

/// What the server shows and proves to be: a certificate chain and its key.
pub struct Identity {
    /// The server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

/// Why a certificate and key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refuses them.
    #[error("the certificate or its key can't be used: {0}")]
    Identity(#[from] rustls::Error),
    /// The cryptography lacks what QUIC begins with.
    #[error("the cryptography lacks QUIC's initial cipher suite")]
    Initial(#[from] NoInitialCipherSuite),
}

/// From when until when a certificate counts, in seconds since 1970 (RFC 5280 section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub begins: u64,
    /// The last second.
    pub ends: u64,
}

impl Validity {
    /// A certificate's; `None` where it is none.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let validity = Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        Some(Self { begins: seconds(validity.not_before), ends: seconds(validity.not_after) })
    }

    /// While both count.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { begins: self.begins.max(other.begins), ends: self.ends.min(other.ends) }
    }
}

/// aws-lc-rs with the hybrid post-quantum exchange first, and the cheapest suite first.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    }
}

/// No client certificates, no tickets (a reconnect proves its device anew, so resumption would
/// buy nothing), no early data, which could be replayed.
pub(super) fn server_crypto(identity: Identity) -> Result<QuicServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![qpc_proto::ALPN.to_vec()];
    // Clients put the dearer AES-256 first, which a hybrid exchange needs no more than AES-128.
    config.ignore_client_order = true;
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    Ok(QuicServerConfig::try_from(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hybrid_exchange_comes_first_and_early_data_is_off() {
        let provider = provider();
        assert_eq!(provider.kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        assert!(server_crypto(Identity { chain: vec![made.cert.der().clone()], key }).is_ok());
    }
}
