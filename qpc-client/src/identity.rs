//! Who this home is: the account's identity key, this device's key, and the certificate that
//! ties the one to the other (D9).
//!
//! The account's secret is in memory for the length of a registration, a login or a change of password only:
//! the server keeps it, sealed under what the password alone gives. The device's secret stays in the home.

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use ed25519_dalek::{Signer, SigningKey};
use prost::Message;
use qpc_proto::{address::Address, credential::CertificateError, id::DeviceId, transcript, v1};
use zeroize::Zeroizing;

use crate::fresh::{self, NoRandomness};

const SEAL_CONTEXT: &str = "quicprochat qpc/1 account secret";
const SEAL_VERSION: u8 = 1;
const NONCE_LEN: usize = 24;

/// A sealed account secret that can't be opened or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// Sealed by a later version.
    #[error("the account's secret is sealed in a way this version does not know")]
    Version,
    /// Altered, or sealed for another account or password.
    #[error("the account's secret does not open: the server may have altered it")]
    Forged,
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// The account's identity key, secret half included.
pub(crate) struct AccountSecret(SigningKey);

impl AccountSecret {
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        let seed = Zeroizing::new(fresh::random()?);
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Seals the secret for the server to keep.
    pub(crate) fn seal(&self, export_key: &[u8], address: &Address) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = fresh::random()?;
        let address = address.to_string();
        let secret = Zeroizing::new(self.0.to_bytes());
        let payload = Payload { msg: secret.as_slice(), aad: address.as_bytes() };
        let sealed = cipher(export_key).encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Forged)?;
        Ok([&[SEAL_VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what `seal` made.
    pub(crate) fn open(sealed: &[u8], export_key: &[u8], address: &Address) -> Result<Self, SealError> {
        let Some((&SEAL_VERSION, rest)) = sealed.split_first() else { return Err(SealError::Version) };
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Forged)?;
        let address = address.to_string();
        let payload = Payload { msg: body, aad: address.as_bytes() };
        let secret = cipher(export_key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Forged)?;
        let secret = Zeroizing::new(secret);
        let secret: &[u8; 32] = secret.as_slice().try_into().map_err(|_| SealError::Forged)?;
        Ok(Self(SigningKey::from_bytes(secret)))
    }

    /// Signs that the account owns the device.
    pub(crate) fn certify(&self, address: &Address, device: DeviceId, key: &DeviceSecret) -> v1::DeviceCertificate {
        let account_key = self.public();
        let device_key = key.public();
        let signed = transcript::device_certificate(address, &account_key, device, &device_key);
        v1::DeviceCertificate {
            address: address.to_string(),
            account_key: account_key.to_vec().into(),
            device_id: device.to_bytes(),
            device_key: device_key.to_vec().into(),
            signature: self.0.sign(&signed).to_vec().into(),
        }
    }
}

fn cipher(export_key: &[u8]) -> XChaCha20Poly1305 {
    let key = Zeroizing::new(blake3::derive_key(SEAL_CONTEXT, export_key));
    XChaCha20Poly1305::new((&*key).into())
}

/// This device's signature key: on connections, and in its MLS leaves.
pub(crate) struct DeviceSecret(SigningKey);

impl DeviceSecret {
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        let seed = Zeroizing::new(fresh::random()?);
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Who this home is, as its store keeps it.
pub(crate) struct Identity {
    pub(crate) address: Address,
    pub(crate) device: DeviceId,
    pub(crate) device_secret: DeviceSecret,
    pub(crate) account_key: [u8; 32],
    /// The encoded certificate, byte for byte: the identity of the device's MLS credential.
    pub(crate) certificate: Vec<u8>,
    /// `host:port` it was made at.
    pub(crate) server: String,
}

impl Identity {
    /// A new device of an account, whose secret is at hand.
    pub(crate) fn certified(secret: &AccountSecret, address: Address, server: String) -> Result<Self, NoRandomness> {
        let device = fresh::device_id()?;
        let device_secret = DeviceSecret::generate()?;
        let certificate = secret.certify(&address, device, &device_secret).encode_to_vec();
        Ok(Self { address, device, device_secret, account_key: secret.public(), certificate, server })
    }

    /// The certificate as a message.
    pub(crate) fn certificate(&self) -> Result<v1::DeviceCertificate, CertificateError> {
        v1::DeviceCertificate::decode(self.certificate.as_slice()).map_err(|_| CertificateError::Encoding)
    }

    /// The certificate, verified.
    #[cfg(test)]
    pub(crate) fn verified(&self) -> Result<qpc_proto::credential::VerifiedDevice, CertificateError> {
        qpc_proto::credential::VerifiedDevice::verify_encoded(&self.certificate)
    }
}

/// An account key as people compare it: half of its BLAKE3, hex in groups of four.
pub(crate) fn key_fingerprint(account_key: &[u8]) -> String {
    let digest = blake3::hash(account_key).to_hex();
    let groups = digest.as_bytes().chunks(4).take(8).map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_with_its_own_key_and_address_alone() {
        let secret = AccountSecret::generate().unwrap();
        let alice = address("alice@chat.example");
        let sealed = secret.seal(b"export key", &alice).unwrap();
        assert!(sealed.len() <= qpc_proto::limits::WRAPPED_SECRET_MAX);
        let opened = AccountSecret::open(&sealed, b"export key", &alice).ok().unwrap();
        assert_eq!(opened.public(), secret.public());
        let fails = |sealed: &[u8], key: &[u8], who: &Address| AccountSecret::open(sealed, key, who).err();
        assert_eq!(fails(&sealed, b"another key", &alice), Some(SealError::Forged));
        assert_eq!(fails(&sealed, b"export key", &address("bob@chat.example")), Some(SealError::Forged));
        let mut altered = sealed.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(fails(&altered, b"export key", &alice), Some(SealError::Forged));
        altered = sealed;
        altered[0] = 2;
        assert_eq!(fails(&altered, b"export key", &alice), Some(SealError::Version));
    }

    #[test]
    fn a_new_device_is_certified_by_its_account() {
        let secret = AccountSecret::generate().unwrap();
        let identity = Identity::certified(&secret, address("alice@chat.example"), "localhost:7000".into()).unwrap();
        let verified = identity.verified().unwrap();
        assert_eq!(verified.account_key(), &secret.public());
        assert_eq!(verified.device_key(), &identity.device_secret.public());
        assert_eq!(verified.device(), identity.device);
    }

    #[test]
    fn fingerprints_are_readable() {
        let text = key_fingerprint(&[1; 32]);
        assert_eq!(text.len(), 39);
        assert!(text.split(' ').all(|group| group.len() == 4));
    }
}
