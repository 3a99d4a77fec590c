//! What is kept of an ACME authority: the account, and the certificate with its key in one file.
//!
//! One file, because a crash between two would leave a key of one order beside the certificate of another.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{CertificateError, DataDir, DataDirError, ServerCertificate};
use crate::acme::{KeptAccount, Signed};

/// Before the name of the authority, in the certificate's first line.
const OF: &str = "# ";

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeFiles {
    account: PathBuf,
    certificate: PathBuf,
}

impl AcmeFiles {
    /// Those of a data directory.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        Self { account: root.join("acme-account.json"), certificate: root.join("acme-certificate.pem") }
    }

    /// The account, where there is one.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn account(&self) -> Result<Option<KeptAccount>, DataDirError> {
        match fs::read_to_string(&self.account) {
            Ok(text) => Ok(Some(KeptAccount::new(Zeroizing::new(text)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataDirError::Io { path: self.account.clone(), error }),
        }
    }

    /// Keeps an account in place of the one before.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn put_account(&self, account: &KeptAccount) -> Result<(), DataDirError> {
        DataDir::put(&self.account, account.expose().as_bytes())
    }

    /// Forgets an account that its authority does not know.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn forget_account(&self) -> Result<(), DataDirError> {
        match fs::remove_file(&self.account) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DataDirError::Io { path: self.account.clone(), error })
            }
            _ => Ok(()),
        }
    }

    /// The certificate that an authority has signed, where there is one.
    #[must_use]
    pub fn certificate(&self) -> Option<Result<ServerCertificate, CertificateError>> {
        self.certificate.exists().then(|| ServerCertificate::from_files(&self.certificate, &self.certificate))
    }

    /// Which authority signed it, by its directory.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        let text = Zeroizing::new(fs::read_to_string(&self.certificate).ok()?);
        Some(text.lines().next()?.strip_prefix(OF)?.to_owned())
    }

    /// Keeps a certificate with its key in place of the one before.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn put_certificate(&self, authority: &str, signed: &Signed) -> Result<(), DataDirError> {
        let text = Zeroizing::new(format!("{OF}{authority}\n{}", &*signed.pem));
        DataDir::put(&self.certificate, text.as_bytes())
    }
}
