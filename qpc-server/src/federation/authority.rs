//! A small certificate authority for federations that have none: one key that signs a certificate for each server.

use std::time::Duration;

use qpc_proto::address::Domain;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType, date_time_ymd, string::Ia5String,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// What the authority is called in its certificate.
const NAME: &str = "quicprochat federation";
/// How long the authority's own certificate lasts.
const AUTHORITY_DAYS: u64 = 7_300;
/// Clocks of servers may differ: a certificate counts from so long before it was made.
const BEFORE: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate with its key, as DER.
pub struct Made {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key, PKCS #8.
    pub key: Zeroizing<Vec<u8>>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// rcgen refuses.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The authority's key is no Ed25519 key, as this program makes them.
    #[error("the authority's key can't be used: {0}")]
    Key(rcgen::Error),
}

/// A new authority.
///
/// # Errors
/// [`AuthorityError::Make`].
pub fn found(now: Duration) -> Result<Made, AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let certificate = authority(now)?.self_signed(&key)?;
    Ok(Made { certificate: certificate.der().clone(), key: Zeroizing::new(key.serialize_der()) })
}

/// A certificate for a server of this domain, which may call and be called.
///
/// # Errors
/// [`AuthorityError`].
pub fn issue(authority_key: &[u8], domain: &Domain, days: u64, now: Duration) -> Result<Made, AuthorityError> {
    let signer = PrivatePkcs8KeyDer::from(authority_key);
    let signer = KeyPair::from_pkcs8_der_and_sign_algo(&signer, &PKCS_ED25519).map_err(AuthorityError::Key)?;
    let issuer = Issuer::new(authority(now)?, signer);
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut params = params(domain.as_str(), days, now)?;
    params.subject_alt_names = vec![SanType::DnsName(Ia5String::try_from(domain.as_str())?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Made { certificate: certificate.der().clone(), key: Zeroizing::new(key.serialize_der()) })
}

/// The same each time but for its dates: what it signs names it, and the key does the rest.
fn authority(now: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(NAME, AUTHORITY_DAYS, now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

#[expect(clippy::arithmetic_side_effects, reason = "dates of this and the next centuries, for at most some decades")]
fn params(name: &str, days: u64, now: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BEFORE);
    params.not_after = epoch + now + Duration::from_secs(days.saturating_mul(24 * 60 * 60));
    Ok(params)
}
