//! How our groups and leaves are made: suites, capabilities, extensions, and the figures that
//! trade comfort against forward secrecy.

use openmls::key_packages::Lifetime;
use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, CredentialType, Extension, ExtensionType, Extensions, ExternalSender,
    GroupContext, InvalidExtensionError, MlsGroupCreateConfig, MlsGroupJoinConfig, PURE_PLAINTEXT_WIRE_FORMAT_POLICY,
    ProposalType, RequiredCapabilitiesExtension, SenderRatchetConfiguration, UnknownExtension,
};
use qpc_proto::{
    address::Domain,
    role::{ROLES_EXTENSION, RoleTable},
    suite::Suite,
};

/// OpenMLS's name for a suite.
pub(super) const fn ciphersuite(suite: Suite) -> Ciphersuite {
    match suite {
        Suite::Classical => Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
        Suite::PostQuantum => Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519,
    }
}

/// The suite that OpenMLS names, if groups may have it.
pub(super) fn suite(ciphersuite: Ciphersuite) -> Option<Suite> {
    Suite::of_number(ciphersuite.into())
}

/// Messages are padded to a multiple of this many bytes, so that most short ones look alike.
pub const PADDING: usize = 128;
/// Epochs before the current one whose messages can still be read. The log is in order and the
/// server takes messages of the current epoch only, so this is a margin.
pub const PAST_EPOCHS_MAX: usize = 2;
/// So many messages behind the newest of one sender, a missing one can still be read. The log is in
/// order, and each key that is kept is written again with every message.
pub(super) const OUT_OF_ORDER: u32 = 64;
/// So many messages of one sender and epoch may be missing before one that can be read.
const SKIPPED_MAX: u32 = 1_000_000;

/// A commit is read by members who were away for up to this long, in seconds (D5), and
/// must then still be valid: the key packages it adds outlive their own use by as much.
pub const COMMIT_SLACK_SECONDS: u64 = 180 * 86_400;
/// How long a key package is valid, in seconds: half a year of use, and the slack.
pub const KEY_PACKAGE_LIFETIME_SECONDS: u64 = 185 * 86_400 + COMMIT_SLACK_SECONDS;

/// The hub as an external sender: it may propose removals, never commit (D10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSender {
    /// The hub's domain; its credential.
    pub domain: Domain,
    /// Its Ed25519 public key for proposals.
    pub signature_key: [u8; 32],
}

/// Leaves that all welcomes of a commit together carry at most, in the trees in them: every inbox holds its own copy.
const WELCOMED_LEAVES_MAX: usize = 512;

/// Does the welcome for so many devices carry the tree of a group that has so many then, and with it the group info that goes
/// to the server? In the post-quantum suite the tree is too long for that. The server gives it to whoever comes in without.
pub(super) const fn carries_tree(suite: Suite, added: usize, members: usize) -> bool {
    matches!(suite, Suite::Classical) && added > 0 && added.saturating_mul(members) <= WELCOMED_LEAVES_MAX
}

/// What this release understands, in every leaf it makes.
pub(super) fn capabilities() -> Capabilities {
    Capabilities::new(
        None,
        Some(&Suite::ALL.map(ciphersuite)),
        Some(&[ExtensionType::Unknown(ROLES_EXTENSION), ExtensionType::LastResort]),
        Some(&[ProposalType::SelfRemove]),
        Some(&[CredentialType::Basic]),
    )
}

/// The roles as an extension.
pub(super) fn roles_extension(roles: &RoleTable) -> Extension {
    Extension::Unknown(ROLES_EXTENSION, UnknownExtension(roles.encode()))
}

/// The lifetime of a key package or of a creator's leaf that begins now.
pub(super) fn lifetime() -> Lifetime {
    Lifetime::new(KEY_PACKAGE_LIFETIME_SECONDS)
}

/// How a group is created.
pub(super) fn create(
    suite: Suite,
    roles: &RoleTable,
    hub: Option<&HubSender>,
) -> Result<MlsGroupCreateConfig, InvalidExtensionError> {
    let required = RequiredCapabilitiesExtension::new(
        &[ExtensionType::Unknown(ROLES_EXTENSION)],
        &[ProposalType::SelfRemove],
        &[CredentialType::Basic],
    );
    let mut extensions = vec![Extension::RequiredCapabilities(required), roles_extension(roles)];
    if let Some(hub) = hub {
        let credential = BasicCredential::new(hub.domain.as_str().as_bytes().to_vec()).into();
        let sender = ExternalSender::new(hub.signature_key.as_slice().into(), credential);
        extensions.push(Extension::ExternalSenders(vec![sender]));
    }
    let extensions: Extensions<GroupContext> = Extensions::from_vec(extensions)?;
    Ok(MlsGroupCreateConfig::builder()
        .ciphersuite(ciphersuite(suite))
        .capabilities(capabilities())
        .lifetime(lifetime())
        .with_group_context_extensions(extensions)
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .padding_size(PADDING)
        .max_past_epochs(PAST_EPOCHS_MAX)
        .number_of_resumption_psks(0)
        .sender_ratchet_configuration(ratchets())
        .build())
}

/// How a group is joined.
pub(super) fn join() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .padding_size(PADDING)
        .max_past_epochs(PAST_EPOCHS_MAX)
        .number_of_resumption_psks(0)
        .sender_ratchet_configuration(ratchets())
        .build()
}

fn ratchets() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(OUT_OF_ORDER, SKIPPED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn welcomes_carry_so_many_leaves_and_none_more() {
        let carries = |added, members| carries_tree(Suite::Classical, added, members);
        assert!(carries(1, WELCOMED_LEAVES_MAX) && carries(8, WELCOMED_LEAVES_MAX / 8));
        assert!(!carries(1, WELCOMED_LEAVES_MAX + 1) && !carries(8, WELCOMED_LEAVES_MAX / 8 + 1));
        assert!(!carries(0, 1), "nobody to carry it to");
        assert!(!carries(usize::MAX, 2));
        assert!(!carries_tree(Suite::PostQuantum, 1, 2));
    }
}
