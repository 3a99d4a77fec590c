//! The files by which servers prove their domains to each other.

use std::path::{Path, PathBuf};

use super::{CertificateError, ServerCertificate, certificate::certificates};
use crate::{config::Federation, federation::Material};

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationFiles {
    /// This server's certificate, or those of its chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The authority's key, where it is kept.
    pub authority_key: PathBuf,
}

impl FederationFiles {
    /// By their usual names in a directory.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self {
            certificate: directory.join("federation-cert.der"),
            key: directory.join("federation-key.der"),
            authority: directory.join("federation-ca.der"),
            authority_key: directory.join("federation-ca-key.der"),
        }
    }

    /// Those that the configuration names, the others by their usual names in the data directory.
    #[must_use]
    pub fn configured(config: &Federation, data_dir: &Path) -> Self {
        let usual = Self::of(data_dir);
        Self {
            certificate: config.federation_cert.clone().unwrap_or(usual.certificate),
            key: config.federation_key.clone().unwrap_or(usual.key),
            authority: config.federation_ca.clone().unwrap_or(usual.authority),
            authority_key: usual.authority_key,
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn read(&self) -> Result<Material, CertificateError> {
        let ServerCertificate { chain, key } = ServerCertificate::from_files(&self.certificate, &self.key)?;
        Ok(Material { chain, key, authorities: certificates(&self.authority)? })
    }
}
