//! A member of MLS groups whose hand nothing guides: OpenMLS as it is, without the rules that a client keeps. It
//! plays honest members and those who are not, here and in the tests of the whole server.

#![allow(dead_code, reason = "each of the two uses a part of it")]

use bytes::Bytes;
use openmls::{
    group::{MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig, StagedWelcome},
    key_packages::{KeyPackage, Lifetime},
    prelude::{
        BasicCredential, Capabilities, Ciphersuite, CredentialType, CredentialWithKey, Extension, ExtensionType,
        Extensions, GroupContext, GroupId, LeafNodeIndex, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut,
        PURE_PLAINTEXT_WIRE_FORMAT_POLICY, ProcessedMessageContent, ProposalType, RatchetTreeIn,
        RequiredCapabilitiesExtension, SignatureScheme, UnknownExtension,
        tls_codec::{DeserializeBytes as _, Serialize as _, VLBytes},
    },
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_libcrux_crypto::Provider;
use openmls_traits::{OpenMlsProvider, signatures::Signer as _};
use prost::Message as _;
use qpc_proto::{
    address::Address,
    id::{ConversationName, DeviceId},
    role::{ROLES_EXTENSION, RoleTable},
    v1,
};

#[path = "sabotage.rs"]
mod sabotage;

use self::sabotage::Crypto;

pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
pub(crate) const POST_QUANTUM: Ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;

/// A century: what is made here once is fuzzed for as long.
const LIFETIME_SECONDS: u64 = 100 * 365 * 86_400;

/// What a hand works with.
#[derive(Default)]
struct Tools {
    honest: Provider,
    crypto: Crypto,
}

impl OpenMlsProvider for Tools {
    type CryptoProvider = Crypto;
    type RandProvider = <Provider as OpenMlsProvider>::RandProvider;
    type StorageProvider = <Provider as OpenMlsProvider>::StorageProvider;

    fn storage(&self) -> &Self::StorageProvider {
        self.honest.storage()
    }

    fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    fn rand(&self) -> &Self::RandProvider {
        self.honest.rand()
    }
}

/// One device, in at most one group.
pub(crate) struct Hand {
    provider: Tools,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
    pub(crate) address: Address,
    pub(crate) device: DeviceId,
    group: Option<MlsGroup>,
    /// Of the groups that it makes and of its key packages.
    pub(crate) suite: Ciphersuite,
}

/// What a commit does.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) add: Vec<KeyPackage>,
    pub(crate) remove: Vec<u32>,
    pub(crate) extensions: Option<Extensions<GroupContext>>,
}

fn capabilities() -> Capabilities {
    Capabilities::new(
        None,
        Some(&[SUITE, POST_QUANTUM, Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519]),
        Some(&[ExtensionType::Unknown(ROLES_EXTENSION), ExtensionType::LastResort]),
        Some(&[ProposalType::SelfRemove]),
        Some(&[CredentialType::Basic]),
    )
}

pub(crate) fn roles_extension(roles: &RoleTable) -> Extension {
    Extension::Unknown(ROLES_EXTENSION, UnknownExtension(roles.encode()))
}

fn bytes(message: &MlsMessageOut) -> Bytes {
    message.tls_serialize_detached().unwrap().into()
}

fn body(message: &[u8]) -> MlsMessageBodyIn {
    MlsMessageIn::tls_deserialize_exact_bytes(message).unwrap().extract()
}

impl Hand {
    /// A device with this certificate, believed or not, that signs with this key.
    pub(crate) fn new(certificate: &v1::DeviceCertificate, secret: &[u8; 32]) -> Self {
        let public = ed25519_dalek::SigningKey::from_bytes(secret).verifying_key().to_bytes();
        let signer = SignatureKeyPair::from_raw(SignatureScheme::ED25519, secret.to_vec(), public.to_vec());
        let credential = BasicCredential::new(certificate.encode_to_vec()).into();
        Self {
            provider: Tools::default(),
            credential: CredentialWithKey { credential, signature_key: public.as_slice().into() },
            signer,
            address: Address::parse(&certificate.address).unwrap(),
            device: DeviceId::parse(&certificate.device_id).unwrap(),
            group: None,
            suite: SUITE,
        }
    }

    fn group(&mut self) -> &mut MlsGroup {
        self.group.as_mut().unwrap()
    }

    pub(crate) fn key_package(&self) -> KeyPackage {
        self.key_package_for(LIFETIME_SECONDS)
    }

    fn key_package_for(&self, seconds: u64) -> KeyPackage {
        let lifetime = Lifetime::new(seconds);
        let builder = KeyPackage::builder().leaf_node_capabilities(capabilities()).key_package_lifetime(lifetime);
        let bundle = builder.build(self.suite, &self.provider, &self.signer, self.credential.clone()).unwrap();
        bundle.into_key_package()
    }

    /// One to publish, for no longer than clients accept.
    pub(crate) fn encoded_key_package(&self) -> Bytes {
        bytes(&MlsMessageOut::from(self.key_package_for(86_400)))
    }

    /// Makes a group; gives its group info, with the tree.
    pub(crate) fn found(&mut self, name: &ConversationName, roles: &RoleTable) -> Bytes {
        let required = RequiredCapabilitiesExtension::new(
            &[ExtensionType::Unknown(ROLES_EXTENSION)],
            &[ProposalType::SelfRemove],
            &[CredentialType::Basic],
        );
        let extensions = vec![Extension::RequiredCapabilities(required), roles_extension(roles)];
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(self.suite)
            .capabilities(capabilities())
            .lifetime(Lifetime::new(LIFETIME_SECONDS))
            .with_group_context_extensions(Extensions::from_vec(extensions).unwrap())
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(self.suite == SUITE)
            .build();
        let id = GroupId::from_slice(&name.canonical());
        let made = MlsGroup::new_with_group_id(&self.provider, &self.signer, &config, id, self.credential.clone());
        self.group = Some(made.unwrap());
        self.group_info()
    }

    /// The group info of the epoch it is in, with the tree.
    pub(crate) fn group_info(&self) -> Bytes {
        let group = self.group.as_ref().unwrap();
        bytes(&group.export_group_info(self.provider.crypto(), &self.signer, true).unwrap())
    }

    /// Makes a commit that waits. The lists of the bundle are left empty.
    pub(crate) fn commit(&mut self, plan: Plan) -> v1::CommitBundle {
        let Self { provider, signer, group, .. } = self;
        let group = group.as_mut().unwrap();
        let epoch = group.epoch().as_u64();
        let mut builder = group
            .commit_builder()
            .force_self_update(true)
            .propose_adds(plan.add)
            .propose_removals(plan.remove.into_iter().map(LeafNodeIndex::new));
        if let Some(extensions) = plan.extensions {
            builder = builder.propose_group_context_extensions(extensions).unwrap();
        }
        let bundle = builder
            .load_psks(provider.storage())
            .unwrap()
            .create_group_info(true)
            .build(provider.rand(), provider.crypto(), signer, |_| true)
            .unwrap()
            .stage_commit(provider)
            .unwrap();
        let (commit, welcome, info) = bundle.into_messages();
        v1::CommitBundle {
            epoch,
            commit: bytes(&commit),
            welcome: welcome.as_ref().map(bytes).unwrap_or_default(),
            group_info: info.as_ref().map(bytes).unwrap_or_default(),
            ..Default::default()
        }
    }

    /// A commit that adds these, as plain members.
    pub(crate) fn adding(&mut self, others: &[&Hand]) -> v1::CommitBundle {
        let add = others.iter().map(|other| other.key_package()).collect();
        let role = v1::Role::Member.into();
        v1::CommitBundle {
            welcome_devices: others.iter().map(|other| other.device.to_bytes()).collect(),
            added: others.iter().map(|other| v1::Member { address: other.address.to_string(), role }).collect(),
            ..self.commit(Plan { add, ..Plan::default() })
        }
    }

    /// The settings of the group with other roles.
    pub(crate) fn settings(&self, roles: &RoleTable) -> Extensions<GroupContext> {
        let mut extensions = self.group.as_ref().unwrap().extensions().clone();
        extensions.add_or_replace(roles_extension(roles)).unwrap();
        extensions
    }

    /// A commit that whoever of these people's devices is encrypted to by itself can't process.
    pub(crate) fn sabotaging(&mut self, victims: &[Address]) -> v1::CommitBundle {
        let of = |identity: &[u8]| v1::DeviceCertificate::decode(identity).unwrap().address;
        let members = self.group().members();
        let hit = members.filter(|leaf| {
            let address = of(leaf.credential.serialized_content());
            victims.iter().any(|victim| victim.to_string() == address)
        });
        let keys: Vec<Vec<u8>> = hit.map(|leaf| leaf.encryption_key).collect();
        self.provider.crypto.spoil(keys);
        let bundle = self.commit(Plan::default());
        assert!(self.provider.crypto.spoil([]) > 0, "nobody was sent nonsense");
        bundle
    }

    /// A group info of its own with somebody else's key as the external one, and a signature that holds: who comes in by it
    /// has other secrets than the members.
    #[allow(clippy::arithmetic_side_effects, reason = "tests")]
    pub(crate) fn misleading(&mut self, group_info: &[u8]) -> Bytes {
        let MlsMessageBodyIn::GroupInfo(info) = body(group_info) else { panic!("no group info") };
        let external = info.extensions().external_pub().unwrap().external_pub().as_slice().to_vec();
        let other = self.group().members().next().unwrap().encryption_key;
        let at = group_info.windows(external.len()).position(|window| window == external).unwrap();
        let mut misled = group_info.to_vec();
        misled[at..at + other.len()].copy_from_slice(&other);
        // MLSMessage: version and format, then what is signed, then the signature with its length.
        let (content, _) = misled.split_at(misled.len() - 66);
        let vector = |bytes: &[u8]| VLBytes::from(bytes.to_vec()).tls_serialize_detached().unwrap();
        let signed = [vector(b"MLS 1.0 GroupInfoTBS"), vector(&content[4..])].concat();
        [content, &vector(&self.signer.sign(&signed).unwrap())].concat().into()
    }

    /// Its commit was stored.
    pub(crate) fn merge(&mut self) {
        self.group.as_mut().unwrap().merge_pending_commit(&self.provider).unwrap();
    }

    /// Its commit was refused.
    pub(crate) fn discard(&mut self) {
        self.group.as_mut().unwrap().clear_pending_commit(self.provider.storage()).unwrap();
    }

    pub(crate) fn join(&mut self, welcome: &[u8]) {
        let MlsMessageBodyIn::Welcome(welcome) = body(welcome) else { panic!("no welcome") };
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .build();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, None).unwrap();
        self.group = Some(staged.into_group(&self.provider).unwrap());
    }

    /// Joins by itself: an external commit on this group info.
    pub(crate) fn join_alone(&mut self, group_info: &[u8]) -> v1::CommitBundle {
        self.join_by(group_info, None)
    }

    /// The same with a tree that did not come in the group info.
    pub(crate) fn join_by(&mut self, group_info: &[u8], tree: Option<&[u8]>) -> v1::CommitBundle {
        let MlsMessageBodyIn::GroupInfo(info) = body(group_info) else { panic!("no group info") };
        let epoch = info.epoch().as_u64();
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .build();
        let mut builder = MlsGroup::external_commit_builder().with_config(config);
        if let Some(tree) = tree {
            builder = builder.with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact_bytes(tree).unwrap());
        }
        let (group, bundle) = builder
            .build_group(&self.provider, info, self.credential.clone())
            .unwrap()
            .leaf_node_parameters(
                openmls::prelude::LeafNodeParameters::builder().with_capabilities(capabilities()).build(),
            )
            .load_psks(self.provider.storage())
            .unwrap()
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)
            .unwrap()
            .finalize(&self.provider)
            .unwrap();
        self.group = Some(group);
        let group_info = self.group_info();
        let commit = bytes(&bundle.into_commit());
        v1::CommitBundle { epoch, commit, group_info, ..Default::default() }
    }

    /// Follows another's commit.
    pub(crate) fn follow(&mut self, commit: &[u8]) {
        let Self { provider, group, .. } = self;
        let message = MlsMessageIn::tls_deserialize_exact_bytes(commit).unwrap().try_into_protocol_message().unwrap();
        let group = group.as_mut().unwrap();
        match group.process_message(provider, message).unwrap().into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                group.merge_staged_commit(provider, *staged).unwrap();
            }
            ProcessedMessageContent::ProposalMessage(proposal) => {
                group.store_pending_proposal(provider.storage(), *proposal).unwrap();
            }
            _ => panic!("neither a commit nor a proposal"),
        }
    }

    /// Proposes to leave.
    pub(crate) fn leave(&mut self) -> Bytes {
        let Self { provider, signer, group, .. } = self;
        bytes(&group.as_mut().unwrap().leave_group_via_self_remove(provider, signer).unwrap())
    }

    /// Proposes that somebody be removed.
    pub(crate) fn propose_removal(&mut self, leaf: u32) -> Bytes {
        let Self { provider, signer, group, .. } = self;
        let leaf = LeafNodeIndex::new(leaf);
        bytes(&group.as_mut().unwrap().propose_remove_member(provider, signer, leaf).unwrap().0)
    }

    /// Its proposals were refused.
    pub(crate) fn forget_proposals(&mut self) {
        self.group.as_mut().unwrap().clear_pending_proposals(self.provider.storage()).unwrap();
    }

    pub(crate) fn epoch(&mut self) -> u64 {
        self.group().epoch().as_u64()
    }

    pub(crate) fn authenticator(&mut self) -> Vec<u8> {
        self.group().epoch_authenticator().as_slice().to_vec()
    }
}
