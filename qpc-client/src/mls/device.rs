//! This device: its certificate and the key that signs for it, in leaves and messages.

use std::fmt;

use openmls::prelude::{BasicCredential, Credential, CredentialWithKey};
use openmls_basic_credential::SignatureKeyPair;
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::types::SignatureScheme;
use qpc_proto::credential::{CertificateError, VerifiedDevice};
use zeroize::Zeroizing;

/// A certificate and a key that make no device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The certificate does not verify.
    #[error("this device's certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The certificate is for another key.
    #[error("this device's key is not the one that its certificate names")]
    Key,
    /// The operating system gave no randomness.
    #[error("no randomness to begin with")]
    Randomness,
}

/// The device that acts. Its secret key is wiped from memory with it.
pub struct Device {
    verified: VerifiedDevice,
    credential: Credential,
    signer: SignatureKeyPair,
    crypto: CryptoProvider,
}

impl Device {
    /// Takes the encoded [`qpc_proto::v1::DeviceCertificate`], as the account's log-in returned it, and
    /// the device's Ed25519 secret key.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn new(certificate: &[u8], secret: &Zeroizing<[u8; 32]>) -> Result<Self, DeviceError> {
        let verified = VerifiedDevice::verify_encoded(certificate)?;
        let public = ed25519_dalek::SigningKey::from_bytes(secret).verifying_key().to_bytes();
        if &public != verified.device_key() {
            return Err(DeviceError::Key);
        }
        Ok(Self {
            verified,
            credential: BasicCredential::new(certificate.to_vec()).into(),
            signer: SignatureKeyPair::from_raw(SignatureScheme::ED25519, secret.to_vec(), public.to_vec()),
            crypto: CryptoProvider::new().map_err(|_| DeviceError::Randomness)?,
        })
    }

    /// Who this device is.
    #[must_use]
    pub fn verified(&self) -> &VerifiedDevice {
        &self.verified
    }

    pub(super) fn signer(&self) -> &SignatureKeyPair {
        &self.signer
    }

    pub(super) fn crypto(&self) -> &CryptoProvider {
        &self.crypto
    }

    /// What this device's leaves carry.
    pub(super) fn credential(&self) -> CredentialWithKey {
        CredentialWithKey { credential: self.credential.clone(), signature_key: self.signer.public().into() }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Device(redacted)")
    }
}
