//! TLS as the client wants it: hybrid key exchange preferred, ALPN `qpc/1`, and a judge of the
//! server's certificate that remembers what it was shown.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use quinn::crypto::rustls::QuicClientConfig;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use sha2::Digest;

use crate::Fingerprint;

/// What makes a certificate acceptable.
#[derive(Debug, Clone)]
pub(super) enum Policy {
    Pin(Fingerprint),
    Chain(Arc<dyn ServerCertVerifier>),
}

/// A certificate that was not accepted.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) presented: Fingerprint,
    pub(super) reason: String,
    /// Nothing is wrong with it but that nobody vouches for it.
    pub(super) unvouched: bool,
}

/// The roots of a PEM file.
pub(super) fn roots(path: &Path) -> Result<Policy, String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Policy::Chain(verifier))
}

/// The roots of the system.
pub(super) fn system() -> Result<Policy, String> {
    match rustls_platform_verifier::Verifier::new(provider()) {
        Ok(verifier) => Ok(Policy::Chain(Arc::new(verifier))),
        // A system without roots vouches for nobody.
        Err(_) => Ok(Policy::Chain(Arc::new(NoRoots))),
    }
}

/// The one provider. `prefer-post-quantum` puts X25519MLKEM768 first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The configuration of one handshake, and the judge to ask how it went.
pub(super) fn client_config(policy: Policy) -> Result<(QuicClientConfig, Arc<Judge>), String> {
    let provider = provider();
    let judge = Arc::new(Judge { policy, provider: Arc::clone(&provider), shown: Mutex::default() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&judge) as _)
        .with_no_client_auth();
    config.alpn_protocols = vec![qpc_proto::ALPN.to_vec()];
    let config = QuicClientConfig::try_from(config).map_err(|error| error.to_string())?;
    Ok((config, judge))
}

/// Judges the server's certificate and remembers it.
#[derive(Debug)]
pub(super) struct Judge {
    policy: Policy,
    provider: Arc<CryptoProvider>,
    shown: Mutex<Option<(Fingerprint, Option<Verdict>)>>,
}

impl Judge {
    /// The certificate that was shown, if it came to that.
    pub(super) fn shown(&self) -> Option<Fingerprint> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(shown, _)| *shown)
    }

    /// Why it was not accepted, if it was not.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|(_, verdict)| verdict.clone())
    }
}

/// The fingerprint of a certificate.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Fingerprint(sha2::Sha256::digest(certificate).into())
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let presented = fingerprint(end_entity);
        let outcome = match &self.policy {
            Policy::Pin(pin) if *pin == presented => Ok(ServerCertVerified::assertion()),
            Policy::Pin(_) => Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
            Policy::Chain(chain) => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        };
        let verdict = outcome.as_ref().err().map(|error| Verdict {
            presented,
            reason: error.to_string(),
            unvouched: is_unvouched(error),
        });
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((presented, verdict));
        outcome
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A self-signed certificate, or one of an unknown authority: what first use may accept. One that has
/// expired, was revoked or names another host is not only unvouched for.
fn is_unvouched(error: &TlsError) -> bool {
    use CertificateError as Fault;
    match error {
        TlsError::InvalidCertificate(
            Fault::Expired
            | Fault::ExpiredContext { .. }
            | Fault::NotValidYet
            | Fault::NotValidYetContext { .. }
            | Fault::NotValidForName
            | Fault::NotValidForNameContext { .. }
            | Fault::Revoked
            | Fault::InvalidPurpose
            | Fault::InvalidPurposeContext { .. },
        ) => false,
        // No path to a root: none has that name, or one has and did not sign this.
        TlsError::InvalidCertificate(_) => true,
        _ => false,
    }
}

/// Stands for a system without any roots.
#[derive(Debug)]
struct NoRoots;

impl ServerCertVerifier for NoRoots {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    // `Judge` checks signatures itself and never asks.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::InvalidCertificate(CertificateError::BadSignature))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Vec::new()
    }
}
