//! What is public of a conversation's MLS group, and whether a change of it may be stored.
//!
//! A [`Followed`] group is OpenMLS's public group with the devices in it. It judges commit bundles and
//! proposals (signature, tree, path, the rules of `qpc_proto::judge`, who is added, what the bundle
//! says beside the commit) and gives the state to store with them. All of it is a pure function of the group, the
//! bundle and the caller, and takes milliseconds: it runs off the runtime's threads. What only members can
//! check (path secrets, confirmation and membership tag, the external key) is not checked here, and whether an added
//! device is enrolled is for the transaction that stores the commit.

mod commit;
mod copied;
mod found;
mod hub;
mod info;
mod parse;
mod proposal;
mod refusal;
mod removal;
mod state;
mod terms;
mod welcome;

use std::collections::BTreeMap;

use openmls::{
    group::PublicGroup,
    prelude::{ProcessedMessage, PublicMessageIn, tls_codec::Serialize as _},
};
use openmls_libcrux_crypto::CryptoProvider;
use qpc_proto::{
    address::Address,
    credential::VerifiedDevice,
    id::{ConversationName, DeviceId, Epoch},
    judge::{self, Author, Deed},
    role::RoleTable,
};

pub use self::{
    commit::Approved, copied::Proposed, found::Founding, hub::HubKey, proposal::ApprovedProposal, refusal::Refused,
    removal::Leaf, state::StateError,
};
use crate::store::GroupState;

/// What judging needs of cryptography: verification and hashes.
pub struct Crypto(CryptoProvider);

/// The operating system gives no randomness, which OpenMLS's provider asks for though nothing here uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness to begin with")]
pub struct NoRandomness;

impl Crypto {
    /// Seeds it.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new() -> Result<Self, NoRandomness> {
        CryptoProvider::new().map(Self).map_err(|_| NoRandomness)
    }
}

/// Who shows a change: the device that has proved its key on this connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its account.
    pub address: Address,
    /// Which it is.
    pub device: DeviceId,
}

impl Caller {
    fn is(&self, device: &VerifiedDevice) -> bool {
        device.device() == self.device && *device.address() == self.address
    }
}

/// A group as it is after the last stored change.
pub struct Followed {
    public: PublicGroup,
    values: state::Values,
    rules: judge::Group,
    /// Proposals that wait.
    pending: Vec<(Author, Deed)>,
}

impl Followed {
    /// The group that was stored.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn load(name: &ConversationName, state: &GroupState) -> Result<Self, StateError> {
        let values = state::Values::of(state)?;
        let (public, proposals) = values.group(name)?;
        let members = public.members().map(|leaf| {
            let device = terms::device(&leaf.credential, &leaf.signature_key).map_err(|_| StateError::Leaf)?;
            Ok((leaf.index.u32(), device))
        });
        let members: BTreeMap<_, _> = members.collect::<Result<_, StateError>>()?;
        let pending = proposals.iter().map(|queued| {
            let deed = terms::deed(queued.proposal()).map_err(|_| StateError::Leaf)?;
            Ok((terms::author(queued.sender()), deed))
        });
        let pending = pending.collect::<Result<_, StateError>>()?;
        Self::of(public, values, members, pending).ok_or(StateError::Roles)
    }

    /// The state to store.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn state(&self) -> Result<GroupState, StateError> {
        self.values.take()
    }

    /// The epoch it is in.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.public.group_context().epoch().as_u64())
    }

    /// The tree, encoded as a group info carries it.
    ///
    /// # Errors
    /// [`Refused::Invalid`], if it can't be encoded.
    pub fn tree(&self) -> Result<Vec<u8>, Refused> {
        let tree = self.public.export_ratchet_tree();
        tree.tls_serialize_detached().map_err(|error| Refused::Invalid(error.to_string()))
    }

    /// Devices in it.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.rules.members().count()
    }

    /// Everybody's roles.
    #[must_use]
    pub fn roles(&self) -> &RoleTable {
        self.rules.roles()
    }

    /// The conversation that it continues, if it does.
    #[must_use]
    pub fn continues(&self) -> Option<&ConversationName> {
        self.rules.roles().continues().map(|continued| &continued.conversation)
    }

    /// Puts the rules' view beside the group; `None` where its roles can't be read.
    fn of(
        public: PublicGroup,
        values: state::Values,
        members: BTreeMap<u32, VerifiedDevice>,
        pending: Vec<(Author, Deed)>,
    ) -> Option<Self> {
        let roles = terms::roles(public.group_context().extensions())?;
        let rules = judge::Group::new(members, roles, leaving(&pending));
        Some(Self { public, values, rules, pending })
    }

    /// Gives the rules another view.
    fn see(&mut self, members: BTreeMap<u32, VerifiedDevice>, roles: RoleTable) {
        self.rules = judge::Group::new(members, roles, leaving(&self.pending));
    }

    /// OpenMLS's judgement.
    fn process(&self, crypto: &Crypto, message: PublicMessageIn) -> Result<ProcessedMessage, Refused> {
        self.public.process_message(&crypto.0, message).map_err(|error| Refused::Invalid(error.to_string()))
    }
}

/// The leaves whose leaving waits.
fn leaving(pending: &[(Author, Deed)]) -> Vec<u32> {
    let leaves = pending.iter().filter_map(|proposal| match proposal {
        (Author::Member(leaf), Deed::Leave) => Some(*leaf),
        _ => None,
    });
    leaves.collect()
}

#[cfg(test)]
mod tests;
