//! Whether a leaf may be believed: its account signed its device, its device's key signed it,
//! and the caller knows no better (invariant 13).

use std::{cell::RefCell, collections::HashMap};

use blake3::Hash;
use openmls::prelude::{BasicCredential, Credential, LeafNode, Member as Leaf};
use prost::Message;
use qpc_proto::{
    address::Address,
    credential::{CertificateError, VerifiedDevice},
    id::DeviceId,
    v1,
};

/// Certificates of which a thread keeps that they hold; with so many it begins anew.
const VERIFIED_MAX: usize = 4_096;

thread_local! {
    static VERIFIED: RefCell<HashMap<Hash, VerifiedDevice>> = RefCell::default();
}

/// What the caller knows about accounts: above all, which identity key each has had before.
pub trait Trust {
    /// Judges a device whose certificate has been verified, when it enters a group. Where the
    /// account is new to the caller, it trusts now and pins the key afterwards, in the same
    /// transaction.
    fn judge(&self, device: &VerifiedDevice) -> Verdict;
}

/// The caller's judgement of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be in our groups.
    Trusted,
    /// The account has had another identity key, and nobody has confirmed this one.
    AccountKeyChanged,
    /// The caller knows the device to be revoked.
    Revoked,
}

/// A device that is refused, and why: what an alarm says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The leaf carries no certificate at all.
    #[error("a device without a certificate was presented")]
    NoCertificate,
    /// The certificate does not hold. The address is what it claims, where it can be read.
    #[error("a device was presented for {} that its account's key did not sign: {error}", claimed(.address))]
    Certificate {
        /// Whose device it claims to be.
        address: Option<Address>,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// Somebody uses a device's certificate with another key.
    #[error("the certificate of a device of {} was presented with a key that is not its own", .0.address())]
    ForeignKey(Box<VerifiedDevice>),
    /// The account's identity key is not the one that is pinned.
    #[error("a device of {} was presented that is signed by another account key than before", .0.address())]
    AccountKeyChanged(Box<VerifiedDevice>),
    /// The device is known to be revoked.
    #[error("a revoked device of {} was presented", .0.address())]
    Revoked(Box<VerifiedDevice>),
    /// Another device was presented than was asked for.
    #[error("a device of {} was presented in place of device {device} of {address}", .presented.address())]
    Another {
        /// Whose device was asked for.
        address: Address,
        /// Which.
        device: DeviceId,
        /// What came.
        presented: Box<VerifiedDevice>,
    },
}

fn claimed(address: &Option<Address>) -> String {
    address.as_ref().map_or_else(|| "an unreadable name".to_owned(), Address::to_string)
}

impl Refusal {
    /// Whose name the refused device bears, where it bears one.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::NoCertificate => None,
            Self::Certificate { address, .. } => address.as_ref(),
            Self::ForeignKey(device) | Self::AccountKeyChanged(device) | Self::Revoked(device) => {
                Some(device.address())
            }
            Self::Another { address, .. } => Some(address),
        }
    }
}

/// Checks a leaf that is about to enter a group.
pub(super) fn admit(
    credential: &Credential,
    signature_key: &[u8],
    trust: &dyn Trust,
) -> Result<VerifiedDevice, Refusal> {
    let device = identify(credential)?;
    if signature_key != device.device_key() {
        return Err(Refusal::ForeignKey(Box::new(device)));
    }
    match trust.judge(&device) {
        Verdict::Trusted => Ok(device),
        Verdict::AccountKeyChanged => Err(Refusal::AccountKeyChanged(Box::new(device))),
        Verdict::Revoked => Err(Refusal::Revoked(Box::new(device))),
    }
}

/// [`admit`] for a leaf node that came in a key package or a commit.
pub(super) fn admit_leaf(leaf: &LeafNode, trust: &dyn Trust) -> Result<VerifiedDevice, Refusal> {
    admit(leaf.credential(), leaf.signature_key().as_slice(), trust)
}

/// [`admit`] for a leaf of a tree.
pub(super) fn admit_member(leaf: &Leaf, trust: &dyn Trust) -> Result<VerifiedDevice, Refusal> {
    admit(&leaf.credential, &leaf.signature_key, trust)
}

/// Whose credential it is. Enough for a leaf that was admitted before.
pub(super) fn identify(credential: &Credential) -> Result<VerifiedDevice, Refusal> {
    let credential = basic(credential)?;
    verify(credential.identity()).map_err(|error| unproved(credential.identity(), error))
}

/// Verifies a certificate, once: a group's are looked at with every change of it, and a sender's with every message.
fn verify(certificate: &[u8]) -> Result<VerifiedDevice, CertificateError> {
    let digest = blake3::hash(certificate);
    if let Some(known) = VERIFIED.with_borrow(|verified| verified.get(&digest).cloned()) {
        return Ok(known);
    }
    let device = VerifiedDevice::verify_encoded(certificate)?;
    VERIFIED.with_borrow_mut(|verified| remember(verified, digest, &device));
    Ok(device)
}

fn remember(verified: &mut HashMap<Hash, VerifiedDevice>, digest: Hash, device: &VerifiedDevice) {
    if verified.len() >= VERIFIED_MAX {
        verified.clear();
    }
    verified.insert(digest, device.clone());
}

fn basic(credential: &Credential) -> Result<BasicCredential, Refusal> {
    BasicCredential::try_from(credential.clone()).map_err(|_| Refusal::NoCertificate)
}

fn unproved(certificate: &[u8], error: CertificateError) -> Refusal {
    let claim = v1::DeviceCertificate::decode(certificate).ok();
    let address = claim.and_then(|claim| Address::parse(&claim.address).ok());
    Refusal::Certificate { address, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{AccountSecret, Identity};

    fn certificate() -> Vec<u8> {
        let secret = AccountSecret::generate().unwrap();
        Identity::certified(&secret, "a@a.example".parse().unwrap(), "a.example:7000".into()).unwrap().certificate
    }

    #[test]
    fn a_certificate_that_is_remembered_vouches_for_no_other() {
        let certificate = certificate();
        let device = verify(&certificate).unwrap();
        assert_eq!(verify(&certificate).unwrap(), device);
        for place in [0, certificate.len() / 2, certificate.len() - 1] {
            let mut altered = certificate.clone();
            altered[place] ^= 1;
            assert!(verify(&altered).is_err(), "{place}");
            assert!(verify(&altered).is_err(), "{place}, once more");
        }
    }

    #[test]
    fn so_many_are_remembered_and_then_it_begins_anew() {
        let device = verify(&certificate()).unwrap();
        let mut verified = HashMap::new();
        for number in 0..VERIFIED_MAX {
            remember(&mut verified, blake3::hash(&number.to_be_bytes()), &device);
        }
        assert_eq!(verified.len(), VERIFIED_MAX);
        remember(&mut verified, blake3::hash(b"one more"), &device);
        assert_eq!(verified.len(), 1);
    }
}
