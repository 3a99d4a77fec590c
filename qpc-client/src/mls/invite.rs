//! Key packages of others: whether they may be added with.

use openmls::{
    key_packages::KeyPackage,
    prelude::{
        ExtensionType, MlsMessageBodyIn, MlsMessageIn, ProposalType, ProtocolVersion, tls_codec::DeserializeBytes as _,
    },
};
use openmls_traits::OpenMlsProvider as _;
use qpc_proto::{address::Address, credential::VerifiedDevice, id::DeviceId, role::ROLES_EXTENSION, suite::Suite};

use super::{
    CommitError, Mls, Refusal,
    config::{KEY_PACKAGE_LIFETIME_SECONDS, suite},
    credential::admit_leaf,
};

/// Lifetimes are made to begin this many seconds early, for clocks that differ.
const CLOCK_MARGIN_SECONDS: u64 = 3_600;

/// A device that is to be added, with a key package of it that the server handed out.
#[derive(Debug, Clone)]
pub struct Invitee<'a> {
    /// Whose device.
    pub address: &'a Address,
    /// Which.
    pub device: DeviceId,
    /// The encoded MLSMessage with its key package.
    pub key_package: &'a [u8],
}

impl Mls<'_> {
    /// Checks that a key package is of the device it is said to be, is believed, and fits our groups of a suite.
    ///
    /// # Errors
    /// [`CommitError::KeyPackage`] and [`CommitError::Refused`].
    pub(super) fn check_invitee(
        &self,
        wanted: Suite,
        invitee: &Invitee<'_>,
    ) -> Result<(VerifiedDevice, KeyPackage), CommitError> {
        let unusable =
            |reason: &str| CommitError::KeyPackage { address: invitee.address.clone(), reason: reason.to_owned() };
        let message =
            MlsMessageIn::tls_deserialize_exact_bytes(invitee.key_package).map_err(|_| unusable("malformed"))?;
        let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else {
            return Err(unusable("not a key package"));
        };
        let key_package = key_package
            .validate(self.provider.crypto(), ProtocolVersion::Mls10)
            .map_err(|error| unusable(&error.to_string()))?;
        let device = admit_leaf(key_package.leaf_node(), self.trust)?;
        if device.address() != invitee.address || device.device() != invitee.device {
            let presented = Box::new(device);
            return Err(Refusal::Another { address: invitee.address.clone(), device: invitee.device, presented }.into());
        }
        let capabilities = key_package.leaf_node().capabilities();
        let lifetime = key_package.life_time();
        let longest = KEY_PACKAGE_LIFETIME_SECONDS.saturating_add(CLOCK_MARGIN_SECONDS);
        if suite(key_package.ciphersuite()) != Some(wanted) {
            Err(unusable("of another suite"))
        } else if !capabilities.extensions().contains(&ExtensionType::Unknown(ROLES_EXTENSION))
            || !capabilities.proposals().contains(&ProposalType::SelfRemove)
        {
            Err(unusable("its client is too old for our groups"))
        } else if lifetime.not_after().saturating_sub(lifetime.not_before()) > longest {
            Err(unusable("valid for too long"))
        } else {
            Ok((device, key_package))
        }
    }
}
