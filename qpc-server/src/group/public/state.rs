//! A group's state as bytes for the store: OpenMLS's storage types in postcard, behind a byte that says the format.
//!
//! The tree stands apart from the rest, because a proposal changes only the rest. All of the tree is written with
//! every commit: some 350 bytes for each leaf. Replaying stored commits instead would write less and depend on the clock, by which key
//! packages expire.

use std::cell::RefCell;

use bytes::Bytes;
use openmls::group::{GroupId, PublicGroup, QueuedProposal};
use openmls_traits::{
    public_storage::PublicStorageProvider,
    storage::{CURRENT_VERSION as V, traits},
};
use qpc_proto::id::ConversationName;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::store::GroupState;

/// Postcard of OpenMLS 0.9's storage types. A release of OpenMLS that changes them gets another number.
const FORMAT: u8 = 1;

/// Why a state can't be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The bytes are not what they should be.
    #[error("a group's state is malformed: {0}")]
    Encoding(#[from] postcard::Error),
    /// Written by another release.
    #[error("a group's state has format {0}; this release reads {FORMAT}")]
    Format(u8),
    /// Something is not there.
    #[error("a group's state lacks a part")]
    Missing,
    /// A leaf is not a device's.
    #[error("a leaf of a stored group is no device's")]
    Leaf,
    /// The roles can't be read.
    #[error("a stored group has no roles")]
    Roles,
}

type Result<T> = std::result::Result<T, StateError>;

/// Values by kind, encoded.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Core {
    context: Option<Vec<u8>>,
    transcript: Option<Vec<u8>>,
    tag: Option<Vec<u8>>,
    /// Proposals that wait, with their references.
    proposals: Vec<(Vec<u8>, Vec<u8>)>,
}

/// OpenMLS's storage for one public group.
#[derive(Debug, Default)]
pub(super) struct Values {
    core: RefCell<Core>,
    tree: RefCell<Option<Vec<u8>>>,
}

impl Values {
    /// The values of a stored state.
    pub(super) fn of(state: &GroupState) -> Result<Self> {
        let core: Core = decode(unpack(&state.core)?)?;
        let tree = state.tree.as_ref().map(|tree| unpack(tree).map(<[u8]>::to_vec)).transpose()?;
        Ok(Self { core: RefCell::new(core), tree: RefCell::new(tree) })
    }

    /// The state to store: the tree where it was written since the last time.
    pub(super) fn take(&self) -> Result<GroupState> {
        let core = pack(&encode(&*self.core.borrow())?);
        Ok(GroupState { core, tree: self.tree.borrow_mut().take().map(|tree| pack(&tree)) })
    }

    /// The group, and the proposals that wait in it.
    pub(super) fn group(&self, name: &ConversationName) -> Result<(PublicGroup, Vec<QueuedProposal>)> {
        let group = PublicGroup::load(self, &group_id(name))?.ok_or(StateError::Missing)?;
        let proposals = group.queued_proposals(self)?.into_iter().map(|(_, proposal)| proposal).collect();
        self.tree.borrow_mut().take();
        Ok((group, proposals))
    }
}

/// The MLS group id of a conversation.
pub(super) fn group_id(name: &ConversationName) -> GroupId {
    GroupId::from_slice(&name.canonical())
}

fn pack(value: &[u8]) -> Bytes {
    [&[FORMAT], value].concat().into()
}

fn unpack(bytes: &[u8]) -> Result<&[u8]> {
    match bytes.split_first() {
        Some((&FORMAT, value)) => Ok(value),
        Some((other, _)) => Err(StateError::Format(*other)),
        None => Err(StateError::Missing),
    }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    Ok(postcard::to_allocvec(value)?)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    Ok(postcard::from_bytes(bytes)?)
}

fn decode_maybe<T: DeserializeOwned>(bytes: Option<&Vec<u8>>) -> Result<Option<T>> {
    bytes.map(|bytes| decode(bytes)).transpose()
}

/// A value of which a group has one, in `Core`.
macro_rules! value {
    ($field:ident, $entity:ident: $write:ident, $read:ident, $delete:ident) => {
        fn $write<G: traits::GroupId<V>, E: traits::$entity<V>>(&self, _: &G, value: &E) -> Result<()> {
            self.core.borrow_mut().$field = Some(encode(value)?);
            Ok(())
        }

        fn $read<G: traits::GroupId<V>, E: traits::$entity<V>>(&self, _: &G) -> Result<Option<E>> {
            decode_maybe(self.core.borrow().$field.as_ref())
        }

        fn $delete<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
            self.core.borrow_mut().$field = None;
            Ok(())
        }
    };
}

#[rustfmt::skip]
impl PublicStorageProvider<V> for Values {
    type PublicError = StateError;

    value!(context, GroupContext: write_context, group_context, delete_context);
    value!(transcript, InterimTranscriptHash: write_interim_transcript_hash, interim_transcript_hash, delete_interim_transcript_hash);
    value!(tag, ConfirmationTag: write_confirmation_tag, confirmation_tag, delete_confirmation_tag);

    fn write_tree<G: traits::GroupId<V>, E: traits::TreeSync<V>>(&self, _: &G, tree: &E) -> Result<()> {
        *self.tree.borrow_mut() = Some(encode(tree)?);
        Ok(())
    }

    fn tree<G: traits::GroupId<V>, E: traits::TreeSync<V>>(&self, _: &G) -> Result<Option<E>> {
        decode_maybe(self.tree.borrow().as_ref())
    }

    fn delete_tree<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
        *self.tree.borrow_mut() = None;
        Ok(())
    }

    fn queue_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(&self, _: &G, reference: &R, proposal: &E) -> Result<()> {
        self.core.borrow_mut().proposals.push((encode(reference)?, encode(proposal)?));
        Ok(())
    }

    fn queued_proposals<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(&self, _: &G) -> Result<Vec<(R, E)>> {
        self.core.borrow().proposals.iter().map(|(reference, proposal)| Ok((decode(reference)?, decode(proposal)?))).collect()
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, _: &G, reference: &R) -> Result<()> {
        let reference = encode(reference)?;
        self.core.borrow_mut().proposals.retain(|(known, _)| *known != reference);
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, _: &G) -> Result<()> {
        self.core.borrow_mut().proposals.clear();
        Ok(())
    }
}
