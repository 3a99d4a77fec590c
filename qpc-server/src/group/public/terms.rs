//! From OpenMLS's terms to those of the rules that server and client share (`qpc_proto::judge`).

use openmls::prelude::{
    BasicCredential, Credential, Extension, ExtensionType, Extensions, GroupContext, LeafNode, Proposal, Sender,
};
use qpc_proto::{
    credential::VerifiedDevice,
    judge::{Author, Deed},
    role::{ROLES_EXTENSION, RoleTable},
};

use super::Refused;

/// The device that a leaf belongs to (invariant 13).
///
/// # Errors
/// [`Refused::NoCertificate`] and [`Refused::Leaf`].
pub(super) fn device(credential: &Credential, signature_key: &[u8]) -> Result<VerifiedDevice, Refused> {
    let credential = BasicCredential::try_from(credential.clone()).map_err(|_| Refused::NoCertificate)?;
    Ok(VerifiedDevice::verify_leaf(credential.identity(), signature_key)?)
}

/// [`device`] of a leaf node that came in a key package or a commit.
///
/// # Errors
/// As [`device`].
pub(super) fn of_leaf(leaf: &LeafNode) -> Result<VerifiedDevice, Refused> {
    device(leaf.credential(), leaf.signature_key().as_slice())
}

/// Who stands behind a message.
pub(super) fn author(sender: &Sender) -> Author {
    match sender {
        Sender::Member(leaf) => Author::Member(leaf.u32()),
        Sender::NewMemberCommit => Author::Joiner,
        Sender::External(_) => Author::Hub,
        Sender::NewMemberProposal => Author::Other,
    }
}

/// What a proposal asks for.
///
/// # Errors
/// As [`device`], where it adds one.
pub(super) fn deed(proposal: &Proposal) -> Result<Deed, Refused> {
    Ok(match proposal {
        Proposal::Add(add) => Deed::Add(of_leaf(add.key_package().leaf_node())?),
        Proposal::Remove(remove) => Deed::Remove(remove.removed().u32()),
        Proposal::SelfRemove => Deed::Leave,
        Proposal::GroupContextExtensions(_) => Deed::Settings,
        Proposal::ExternalInit(_) => Deed::Join,
        _ => Deed::Other,
    })
}

/// The roles that a group context carries, where they can be read.
pub(super) fn roles(context: &Extensions<GroupContext>) -> Option<RoleTable> {
    RoleTable::decode(&context.unknown(ROLES_EXTENSION)?.0).ok()
}

/// Whether nothing but the roles differs.
pub(super) fn same_settings(one: &Extensions<GroupContext>, other: &Extensions<GroupContext>) -> bool {
    let settings = |of| -> Vec<&Extension> {
        let roles = ExtensionType::Unknown(ROLES_EXTENSION);
        Extensions::iter(of).filter(|extension| extension.extension_type() != roles).collect()
    };
    let (one, other) = (settings(one), settings(other));
    one.len() == other.len() && one.iter().all(|extension| other.contains(extension))
}
