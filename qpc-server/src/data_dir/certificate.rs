//! The server's TLS certificate: one that signs itself, or the operator's own files.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject};
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

use super::{DataDir, DataDirError};
use crate::transport::tls::Validity;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{}: neither PEM nor DER of a {what}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// None could be made.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate chain with its private key.
pub struct ServerCertificate {
    /// The server's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerCertificate({})", self.fingerprint())
    }
}

impl ServerCertificate {
    /// What clients pin: `sha256:` and the hash of the server's own certificate.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.chain)
    }

    /// When the server's own certificate ends, in seconds since 1970; `None` where it is none.
    #[must_use]
    pub fn expires(&self) -> Option<u64> {
        Some(self.validity()?.ends)
    }

    /// From when until when the server's own certificate counts; `None` where it is none.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        Validity::of(self.chain.first()?)
    }

    /// Whether clients that look for a server of this name take it for one.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        let own = self.chain.first().and_then(|own| EndEntityCert::try_from(own).ok());
        let name = ServerName::try_from(name).ok();
        own.zip(name).is_some_and(|(own, name)| own.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// Reads the operator's files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain = certificates(chain)?;
        let bytes = read(key)?;
        let form = || CertificateError::Form { path: key.to_owned(), what: "private key" };
        let key = if is_pem(&bytes) {
            PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| form())?
        } else {
            PrivateKeyDer::try_from(bytes).map_err(|_| form())?
        };
        Ok(Self { chain, key })
    }
}

/// A chain's fingerprint: `sha256:` and the hash of its first certificate.
#[must_use]
pub fn fingerprint(chain: &[CertificateDer<'_>]) -> String {
    let own: &[u8] = chain.first().map_or(&[], |own| own.as_ref());
    format!("sha256:{}", hex::encode(Sha256::digest(own)))
}

/// Reads certificates: PEM of one or more, or DER of one.
///
/// # Errors
/// [`CertificateError`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let bytes = read(path)?;
    if !is_pem(&bytes) {
        return Ok(vec![bytes.into()]);
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.unwrap_or_default();
    if certificates.is_empty() {
        return Err(CertificateError::Form { path: path.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|error| CertificateError::Unreadable { path: path.to_owned(), error })
}

fn files(root: &Path) -> (PathBuf, PathBuf) {
    (root.join("server-cert.der"), root.join("server-key.der"))
}

/// Reads the certificate of a data directory, where there is one.
pub(super) fn made(root: &Path) -> Option<Result<ServerCertificate, CertificateError>> {
    let (certificate, key) = files(root);
    // The certificate is written last: where it is, its key is too.
    certificate.exists().then(|| ServerCertificate::from_files(&certificate, &key))
}

/// Reads the certificate of a data directory, or makes it. Ed25519: the cheapest handshakes.
pub(super) fn self_signed(root: &Path, names: Vec<String>) -> Result<ServerCertificate, DataDirError> {
    if let Some(made) = made(root) {
        return Ok(made?);
    }
    let (certificate, key) = files(root);
    let made = make(names).map_err(CertificateError::Make)?;
    for (path, bytes) in [(&key, made.key.secret_der()), (&certificate, made.chain.first().map_or(&[][..], |c| c))] {
        DataDir::put(path, bytes)?;
    }
    Ok(made)
}

fn make(names: Vec<String>) -> Result<ServerCertificate, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = subject;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok(ServerCertificate { chain: vec![certificate.der().clone()], key: key.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_may_be_pem_or_der() {
        let temp = tempfile::tempdir().unwrap();
        let made = make(vec!["chat.example".into()]).unwrap();
        let own = made.chain.first().unwrap();
        let (certificate, key) = (temp.path().join("c"), temp.path().join("k"));
        fs::write(&certificate, own).unwrap();
        fs::write(&key, made.key.secret_der()).unwrap();
        let der = ServerCertificate::from_files(&certificate, &key).unwrap();
        assert_eq!(der.fingerprint(), made.fingerprint());

        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let pem = CertificateParams::new(vec!["chat.example".into()]).unwrap().self_signed(&pair).unwrap();
        fs::write(&certificate, format!("# a comment\n{}{}", pem.pem(), pem.pem())).unwrap();
        fs::write(&key, pair.serialize_pem()).unwrap();
        let read = ServerCertificate::from_files(&certificate, &key).unwrap();
        assert_eq!(read.chain, [pem.der().clone(), pem.der().clone()]);

        fs::write(&key, "nonsense").unwrap();
        assert!(matches!(ServerCertificate::from_files(&certificate, &key), Err(CertificateError::Form { .. })));
    }

    #[test]
    fn a_certificate_says_when_it_ends() {
        let made = make(vec!["localhost".into()]).unwrap();
        // 4096-01-01, which is what the library takes for never.
        assert_eq!(made.expires(), Some(67_090_118_400));
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2027, 3, 1);
        let own = params.self_signed(&pair).unwrap().der().clone();
        let certificate =
            |chain| ServerCertificate { chain, key: PrivatePkcs8KeyDer::from(pair.serialize_der()).into() };
        assert_eq!(certificate(vec![own]).expires(), Some(1_803_859_200));
        assert_eq!(certificate(vec![vec![1, 2, 3].into()]).expires(), None);
        assert_eq!(certificate(Vec::new()).expires(), None);
    }

    #[test]
    fn a_fingerprint_is_the_hash_of_the_certificate() {
        let made = make(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        let hash = hex::encode(Sha256::digest(made.chain.first().unwrap()));
        assert_eq!(made.fingerprint(), format!("sha256:{hash}"));
    }
}
