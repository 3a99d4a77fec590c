//! Device certificates: an account's signature over one of its devices.
//!
//! The encoded certificate is the identity of the device's MLS basic credential
//! (RFC 9420 section 5.3), so that a client can refuse a leaf that its account did not
//! sign (invariant 13), whatever the server says.

use ed25519_dalek::{Signature, VerifyingKey};
use prost::Message;

use crate::{
    address::{Address, AddressError},
    id::{DeviceId, IdError},
    transcript, v1,
};

/// A certificate that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not the encoding of a certificate.
    #[error("not a device certificate")]
    Encoding,
    /// The address in it is malformed or not canonical.
    #[error("the certificate's address is malformed: {0}")]
    Address(#[from] AddressError),
    /// The device id in it is malformed.
    #[error("the certificate's device id is malformed: {0}")]
    Device(#[from] IdError),
    /// A key is no Ed25519 key, or the signature has another length than 64.
    #[error("a key or the signature is malformed")]
    Key,
    /// The account's key did not make the signature.
    #[error("the account's key did not sign this device")]
    Signature,
}

/// An MLS leaf that no account stands behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Its certificate proves nothing.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It uses a device's certificate with another key.
    #[error("the leaf's key is not the one that its certificate names")]
    ForeignKey(Box<VerifiedDevice>),
}

/// A certificate whose signature has been verified; there is no other way to get one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDevice {
    address: Address,
    account_key: [u8; 32],
    device: DeviceId,
    device_key: [u8; 32],
}

impl VerifiedDevice {
    /// Verifies a certificate. Whether `account_key` is the key this address has had before is for
    /// the caller to compare.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(wire: &v1::DeviceCertificate) -> Result<Self, CertificateError> {
        let address = Address::parse(&wire.address)?;
        if address.to_string() != wire.address {
            return Err(CertificateError::Address(AddressError::Form));
        }
        let device = DeviceId::parse(&wire.device_id)?;
        let account_key: [u8; 32] = wire.account_key.as_ref().try_into().map_err(|_| CertificateError::Key)?;
        let device_key: [u8; 32] = wire.device_key.as_ref().try_into().map_err(|_| CertificateError::Key)?;
        let signature = Signature::from_slice(&wire.signature).map_err(|_| CertificateError::Key)?;
        let signed = transcript::device_certificate(&address, &account_key, device, &device_key);
        VerifyingKey::from_bytes(&device_key).map_err(|_| CertificateError::Key)?;
        VerifyingKey::from_bytes(&account_key)
            .map_err(|_| CertificateError::Key)?
            .verify_strict(&signed, &signature)
            .map_err(|_| CertificateError::Signature)?;
        Ok(Self { address, account_key, device, device_key })
    }

    /// Verifies the encoded certificate that is the identity of an MLS credential.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify_encoded(bytes: &[u8]) -> Result<Self, CertificateError> {
        Self::verify(&v1::DeviceCertificate::decode(bytes).map_err(|_| CertificateError::Encoding)?)
    }

    /// Verifies an MLS leaf: the identity of its credential, and that its signature key is the device's own.
    ///
    /// # Errors
    /// [`LeafError`].
    pub fn verify_leaf(identity: &[u8], signature_key: &[u8]) -> Result<Self, LeafError> {
        let device = Self::verify_encoded(identity)?;
        if signature_key == device.device_key() { Ok(device) } else { Err(LeafError::ForeignKey(Box::new(device))) }
    }

    /// Whose device it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The account identity key that signed.
    #[must_use]
    pub fn account_key(&self) -> &[u8; 32] {
        &self.account_key
    }

    /// Which device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The device's signature key, on connections and in MLS leaves.
    #[must_use]
    pub fn device_key(&self) -> &[u8; 32] {
        &self.device_key
    }
}

/// Verifies a device's signature over an authentication transcript.
#[must_use]
pub fn verify_device_signature(device_key: &[u8; 32], transcript: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(device_key), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(transcript, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn certificate() -> v1::DeviceCertificate {
        let account = SigningKey::from_bytes(&[1; 32]);
        let device_key = SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes();
        let address = Address::parse("alice@chat.example").unwrap();
        let device = DeviceId::new(1, [3; 10]);
        let account_key = account.verifying_key().to_bytes();
        let signature = account.sign(&transcript::device_certificate(&address, &account_key, device, &device_key));
        v1::DeviceCertificate {
            address: address.to_string(),
            account_key: account_key.to_vec().into(),
            device_id: device.to_bytes(),
            device_key: device_key.to_vec().into(),
            signature: signature.to_vec().into(),
        }
    }

    #[test]
    fn a_signed_device_is_believed() {
        let verified = VerifiedDevice::verify_encoded(&certificate().encode_to_vec()).unwrap();
        assert_eq!(verified.address().to_string(), "alice@chat.example");
    }

    #[test]
    fn a_leaf_has_the_key_that_its_certificate_names() {
        let (certificate, foreign) = (certificate(), [7; 32]);
        let encoded = certificate.encode_to_vec();
        assert!(VerifiedDevice::verify_leaf(&encoded, &certificate.device_key).is_ok());
        let refused = VerifiedDevice::verify_leaf(&encoded, &foreign);
        assert!(matches!(refused, Err(LeafError::ForeignKey(device)) if device.device() == DeviceId::new(1, [3; 10])));
    }

    #[test]
    fn a_device_that_the_account_did_not_sign_is_not() {
        let mut ghost = certificate();
        ghost.device_key = SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes().to_vec().into();
        assert_eq!(VerifiedDevice::verify(&ghost), Err(CertificateError::Signature));
        let mut renamed = certificate();
        renamed.address = "bob@chat.example".into();
        assert_eq!(VerifiedDevice::verify(&renamed), Err(CertificateError::Signature));
        let mut shouting = certificate();
        shouting.address = "Alice@chat.example".into();
        assert_eq!(VerifiedDevice::verify(&shouting), Err(CertificateError::Address(AddressError::Form)));
    }
}
