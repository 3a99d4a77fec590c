//! OpenMLS's storage over one table of the client's own database.
//!
//! It promises that what is deleted is gone from the table (that the bytes are overwritten is
//! the database's `secure_delete`), that a queue that is cleared keeps nothing, and that a
//! value of another format is refused rather than misread. It neither opens transactions nor
//! commits: the caller's transaction is the unit.

mod table;

use openmls_traits::storage::{CURRENT_VERSION as V, StorageProvider, traits};

pub(super) use self::table::{Kind, Table, key};
pub use self::table::{SCHEMA, StorageError};

type Result<T> = std::result::Result<T, StorageError>;

/// A value that each group has at most one of: how it is written, read and deleted.
macro_rules! value_of_group {
    ($kind:ident, $entity:ident: $write:ident, $read:ident, $delete:ident) => {
        fn $write<G: traits::GroupId<V>, E: traits::$entity<V>>(&self, group: &G, value: &E) -> Result<()> {
            self.put(&key(group)?, Kind::$kind, &[], value)
        }

        fn $read<G: traits::GroupId<V>, E: traits::$entity<V>>(&self, group: &G) -> Result<Option<E>> {
            self.get(&key(group)?, Kind::$kind)
        }

        fn $delete<G: traits::GroupId<V>>(&self, group: &G) -> Result<()> {
            self.delete(&key(group)?, Kind::$kind)
        }
    };
}

/// A value with a key of its own: how it is written and deleted. Reading stands apart,
/// because the trait's order of type parameters differs.
macro_rules! value_of_key {
    ($kind:ident, $key:ident, $entity:ident: $write:ident, $delete:ident) => {
        fn $write<K: traits::$key<V>, E: traits::$entity<V>>(&self, of: &K, value: &E) -> Result<()> {
            self.put(&key(of)?, Kind::$kind, &[], value)
        }

        fn $delete<K: traits::$key<V>>(&self, of: &K) -> Result<()> {
            self.delete(&key(of)?, Kind::$kind)
        }
    };
}

#[rustfmt::skip]
impl StorageProvider<V> for Table<'_> {
    type Error = StorageError;

    value_of_group!(JoinConfig, MlsGroupJoinConfig: write_mls_join_config, mls_group_join_config, delete_group_config);
    value_of_group!(Tree, TreeSync: write_tree, tree, delete_tree);
    value_of_group!(TranscriptHash, InterimTranscriptHash: write_interim_transcript_hash, interim_transcript_hash, delete_interim_transcript_hash);
    value_of_group!(Context, GroupContext: write_context, group_context, delete_context);
    value_of_group!(ConfirmationTag, ConfirmationTag: write_confirmation_tag, confirmation_tag, delete_confirmation_tag);
    value_of_group!(MessageSecrets, MessageSecrets: write_message_secrets, message_secrets, delete_message_secrets);
    value_of_group!(ResumptionPsks, ResumptionPskStore: write_resumption_psk_store, resumption_psk_store, delete_all_resumption_psk_secrets);
    value_of_group!(OwnLeafIndex, LeafNodeIndex: write_own_leaf_index, own_leaf_index, delete_own_leaf_index);
    value_of_group!(EpochSecrets, GroupEpochSecrets: write_group_epoch_secrets, group_epoch_secrets, delete_group_epoch_secrets);

    value_of_key!(SignatureKeys, SignaturePublicKey, SignatureKeyPair: write_signature_key_pair, delete_signature_key_pair);
    value_of_key!(EncryptionKeys, EncryptionKey, HpkeKeyPair: write_encryption_key_pair, delete_encryption_key_pair);
    value_of_key!(KeyPackage, HashReference, KeyPackage: write_key_package, delete_key_package);
    value_of_key!(Psk, PskId, PskBundle: write_psk, delete_psk);

    fn signature_key_pair<K: traits::SignaturePublicKey<V>, E: traits::SignatureKeyPair<V>>(&self, of: &K) -> Result<Option<E>> {
        self.get(&key(of)?, Kind::SignatureKeys)
    }

    fn encryption_key_pair<E: traits::HpkeKeyPair<V>, K: traits::EncryptionKey<V>>(&self, of: &K) -> Result<Option<E>> {
        self.get(&key(of)?, Kind::EncryptionKeys)
    }

    fn key_package<K: traits::HashReference<V>, E: traits::KeyPackage<V>>(&self, of: &K) -> Result<Option<E>> {
        self.get(&key(of)?, Kind::KeyPackage)
    }

    fn psk<E: traits::PskBundle<V>, K: traits::PskId<V>>(&self, of: &K) -> Result<Option<E>> {
        self.get(&key(of)?, Kind::Psk)
    }

    fn write_group_state<E: traits::GroupState<V>, G: traits::GroupId<V>>(&self, group: &G, value: &E) -> Result<()> {
        self.put(&key(group)?, Kind::GroupState, &[], value)
    }

    fn group_state<E: traits::GroupState<V>, G: traits::GroupId<V>>(&self, group: &G) -> Result<Option<E>> {
        self.get(&key(group)?, Kind::GroupState)
    }

    fn delete_group_state<G: traits::GroupId<V>>(&self, group: &G) -> Result<()> {
        self.delete(&key(group)?, Kind::GroupState)
    }

    fn write_application_export_tree<G: traits::GroupId<V>, E: traits::ApplicationExportTree<V>>(&self, group: &G, value: &E) -> Result<()> {
        self.put(&key(group)?, Kind::ApplicationExportTree, &[], value)
    }

    fn application_export_tree<G: traits::GroupId<V>, E: traits::ApplicationExportTree<V>>(&self, group: &G) -> Result<Option<E>> {
        self.get(&key(group)?, Kind::ApplicationExportTree)
    }

    fn delete_application_export_tree<G: traits::GroupId<V>, E: traits::ApplicationExportTree<V>>(&self, group: &G) -> Result<()> {
        self.delete(&key(group)?, Kind::ApplicationExportTree)
    }

    fn append_own_leaf_node<G: traits::GroupId<V>, E: traits::LeafNode<V>>(&self, group: &G, value: &E) -> Result<()> {
        self.append(&key(group)?, Kind::OwnLeafNodes, value)
    }

    fn own_leaf_nodes<G: traits::GroupId<V>, E: traits::LeafNode<V>>(&self, group: &G) -> Result<Vec<E>> {
        self.list(&key(group)?, Kind::OwnLeafNodes)
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<V>>(&self, group: &G) -> Result<()> {
        self.delete(&key(group)?, Kind::OwnLeafNodes)
    }

    fn queue_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(&self, group: &G, proposal_ref: &R, proposal: &E) -> Result<()> {
        self.put(&key(group)?, Kind::QueuedProposal, &key(proposal_ref)?, proposal)
    }

    fn queued_proposal_refs<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, group: &G) -> Result<Vec<R>> {
        self.items(&key(group)?, Kind::QueuedProposal)
    }

    fn queued_proposals<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(&self, group: &G) -> Result<Vec<(R, E)>> {
        let group = key(group)?;
        let refs = self.items(&group, Kind::QueuedProposal)?;
        Ok(refs.into_iter().zip(self.list(&group, Kind::QueuedProposal)?).collect())
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, group: &G, proposal_ref: &R) -> Result<()> {
        self.delete_item(&key(group)?, Kind::QueuedProposal, &key(proposal_ref)?)
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, group: &G) -> Result<()> {
        self.delete(&key(group)?, Kind::QueuedProposal)
    }

    fn write_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>, E: traits::HpkeKeyPair<V>>(&self, group: &G, epoch: &K, leaf: u32, pairs: &[E]) -> Result<()> {
        self.put(&key(group)?, Kind::EpochKeys, &key(&(epoch, leaf))?, &pairs)
    }

    fn encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>, E: traits::HpkeKeyPair<V>>(&self, group: &G, epoch: &K, leaf: u32) -> Result<Vec<E>> {
        Ok(self.get_item(&key(group)?, Kind::EpochKeys, &key(&(epoch, leaf))?)?.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>>(&self, group: &G, epoch: &K, leaf: u32) -> Result<()> {
        self.delete_item(&key(group)?, Kind::EpochKeys, &key(&(epoch, leaf))?)
    }
}
