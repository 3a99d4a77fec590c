//! A device without a home, and its form in a file of a tool that uses it again.

use std::sync::Arc;

use qpc_proto::{address::Address, credential::VerifiedDevice, id::DeviceId};
use zeroize::Zeroizing;

use super::WireError;
use crate::{
    ServerAddress,
    identity::{DeviceSecret, Identity},
    mls,
};

/// A device that may authenticate. Clones are the same device.
#[derive(Clone)]
pub struct Device(Arc<Identity>);

impl Device {
    pub(super) fn of(identity: Identity) -> Self {
        Self(Arc::new(identity))
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.0
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.0.device
    }

    /// Its account.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// Its secret key and certificate: whoever has these bytes is the device.
    #[must_use]
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(self.0.device_secret.seed().to_vec());
        bytes.extend_from_slice(&self.0.certificate);
        bytes
    }

    /// The device of [`Device::to_secret_bytes`], at a server.
    ///
    /// # Errors
    /// [`WireError::Unknown`], where the bytes are no device.
    pub fn from_secret_bytes(bytes: &[u8], server: &ServerAddress) -> Result<Self, WireError> {
        let no_device = |reason: &str| WireError::Unknown(format!("no device: {reason}"));
        let (seed, certificate) = bytes.split_first_chunk::<32>().ok_or_else(|| no_device("too short"))?;
        let verified = VerifiedDevice::verify_encoded(certificate).map_err(|error| no_device(&error.to_string()))?;
        let device_secret = DeviceSecret::from_seed(seed);
        if &device_secret.public() != verified.device_key() {
            return Err(no_device("another key than the certificate's"));
        }
        Ok(Self::of(Identity {
            address: verified.address().clone(),
            device: verified.device(),
            device_secret,
            account_key: *verified.account_key(),
            certificate: certificate.to_vec(),
            server: server.to_string(),
        }))
    }

    /// What MLS needs of it.
    pub(super) fn mls(&self) -> Result<mls::Device, mls::DeviceError> {
        mls::Device::new(&self.0.certificate, &self.0.device_secret.seed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::AccountSecret;

    #[test]
    fn a_device_comes_back_from_its_bytes_and_altered_ones_are_none() {
        let secret = AccountSecret::generate().unwrap();
        let address = Address::parse("alice@chat.example").unwrap();
        let server: ServerAddress = "chat.example".parse().unwrap();
        let device = Device::of(Identity::certified(&secret, address, server.to_string()).unwrap());
        let bytes = device.to_secret_bytes();
        let again = Device::from_secret_bytes(&bytes, &server).unwrap();
        assert_eq!((again.id(), again.address()), (device.id(), device.address()));
        for altered in [0, 40] {
            let mut bytes = bytes.clone();
            bytes[altered] ^= 1;
            assert!(Device::from_secret_bytes(&bytes, &server).is_err(), "byte {altered}");
        }
        assert!(Device::from_secret_bytes(&bytes[..31], &server).is_err());
    }
}
