//! The group info (RFC 9420 section 12.4.3): is it that of the group which a commit makes, signed by who made it?
//!
//! The external key in it can be checked by members alone.

use openmls::{
    messages::group_info::{GroupInfo, VerifiableGroupInfo},
    prelude::{
        ConfirmationTag, Extensions, GroupContext, LeafNodeIndex, OpenMlsSignaturePublicKey, RatchetTreeExtension,
        RatchetTreeIn, SignatureScheme, Verifiable as _,
        tls_codec::{Deserialize as _, DeserializeBytes as _},
    },
};

use super::{Crypto, Refused};

/// Bytes before the content of an MLSMessage: protocol version and wire format.
const HEADER: usize = 4;
const VERSION_AND_FORMAT: [u8; HEADER] = [0, 1, 0, 4];

/// A group info, unverified, with the fields that OpenMLS keeps to itself.
pub(super) struct Info {
    pub(super) verifiable: VerifiableGroupInfo,
    tag: ConfirmationTag,
    signer: u32,
}

/// What a group info has to say of a group.
pub(super) struct Expected<'e> {
    pub(super) context: &'e GroupContext,
    pub(super) tag: &'e ConfirmationTag,
    /// The leaf that made the epoch, and its key.
    pub(super) signer: u32,
    pub(super) key: &'e [u8; 32],
}

impl Info {
    /// Reads it.
    ///
    /// # Errors
    /// [`Refused::Malformed`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let malformed = |_| Refused::Malformed("group_info");
        let content = bytes.strip_prefix(&VERSION_AND_FORMAT).ok_or(Refused::Malformed("group_info"))?;
        let verifiable = VerifiableGroupInfo::tls_deserialize_exact_bytes(content).map_err(malformed)?;
        let mut rest = content;
        GroupContext::tls_deserialize(&mut rest).map_err(malformed)?;
        Extensions::<GroupInfo>::tls_deserialize(&mut rest).map_err(malformed)?;
        let tag = ConfirmationTag::tls_deserialize(&mut rest).map_err(malformed)?;
        let signer = LeafNodeIndex::tls_deserialize(&mut rest).map_err(malformed)?.u32();
        Ok(Self { verifiable, tag, signer })
    }

    /// The tree in it, where it carries one.
    pub(super) fn tree(&self) -> Option<&RatchetTreeIn> {
        self.verifiable.extensions().ratchet_tree().map(RatchetTreeExtension::ratchet_tree)
    }

    /// Compares it with the group it should be of, but for the tree.
    ///
    /// # Errors
    /// [`Refused::Info`].
    pub(super) fn check(&self, crypto: &Crypto, expected: &Expected<'_>) -> Result<(), Refused> {
        if self.verifiable.group_context() != expected.context {
            return Err(Refused::Info("of another group, epoch or tree"));
        }
        if &self.tag != expected.tag {
            return Err(Refused::Info("another confirmation tag than the commit's"));
        }
        if self.signer != expected.signer {
            return Err(Refused::Info("signed in another leaf's name"));
        }
        if self.verifiable.extensions().external_pub().is_none() {
            return Err(Refused::Info("without an external key"));
        }
        OpenMlsSignaturePublicKey::new(expected.key.to_vec().into(), SignatureScheme::ED25519)
            .ok()
            .and_then(|key| self.verifiable.verify_no_out(&crypto.0, &key).ok())
            .ok_or(Refused::Info("its signature does not hold"))
    }
}
