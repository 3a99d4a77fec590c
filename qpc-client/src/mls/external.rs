//! How another device of a member comes into a group by itself: by an external commit (RFC 9420 section 12.4.3.2), which
//! the members see.
//!
//! Who comes so believes the server that the group it shows is the newest one. It can show none in which this account
//! has no device, and none with a device in it that nobody signed.

use openmls::{
    group::{ExternalCommitBuilderError, MlsGroup},
    messages::group_info::VerifiableGroupInfo,
    prelude::{
        LeafNodeParameters, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, Proposal, RatchetTreeIn,
        tls_codec::{DeserializeBytes as _, Serialize as _},
    },
};
use openmls_traits::OpenMlsProvider as _;
use qpc_proto::{
    id::{ConversationName, Epoch},
    judge::{Departure, same_account},
    suite::Suite,
};

use super::{
    Change, Fault, JoinError, Joined, Mls, Staged, StorageError, Violation,
    config::{self, capabilities},
    group::{epoch_of, group_id},
};

/// A commit by which this device joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// What the server has to be shown.
    pub staged: Staged,
    /// The group as it is once the server has accepted that.
    pub joined: Joined,
}

/// Whether this device was in the group before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// It was not: another device of its account has to be in it.
    First,
    /// It was, could not follow it any further, and replaces its own leaf in a later epoch.
    Again {
        /// The last that it followed.
        after: Epoch,
    },
}

impl Mls<'_> {
    /// Makes the commit by which this device joins the group of its account's conversation. The group is here at once
    /// as it is after the commit: if the server refuses that, [`super::Group::delete`] undoes it, and nothing may be
    /// encrypted before it has accepted it.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join_by_commit(
        &self,
        conversation: &ConversationName,
        coming: Coming,
        group_info: &[u8],
        tree: &[u8],
    ) -> Result<Joining, JoinError> {
        let info = parse(group_info)?;
        let tree = RatchetTreeIn::tls_deserialize_exact_bytes(tree).map_err(|_| JoinError::Malformed("not a tree"))?;
        let id = group_id(conversation);
        if info.group_id() != &id {
            return Err(JoinError::Malformed("the group is another conversation's"));
        }
        let suite =
            config::suite(info.ciphersuite()).ok_or_else(|| JoinError::Invalid("a group of another suite".into()))?;
        let epoch = Epoch(info.group_context().epoch().as_u64());
        let again = match coming {
            Coming::First => false,
            Coming::Again { after } if epoch > after => true,
            // In an earlier one there may be somebody who was removed since.
            Coming::Again { .. } => return Err(JoinError::Outdated),
        };
        self.provider.storage().atomically(|| {
            self.make_room(&id)?;
            let mut replaces = false;
            let leaf = LeafNodeParameters::builder().with_capabilities(capabilities()).build();
            let (group, bundle) = MlsGroup::external_commit_builder()
                .with_config(config::join())
                .with_ratchet_tree(tree)
                // As with a welcome: old leaves are no reason to stay out.
                .skip_lifetime_validation()
                .build_group(&self.provider, info, self.device.credential())
                .map_err(invalid)?
                .leaf_node_parameters(leaf)
                .load_psks(self.provider.storage())
                .map_err(Fault::engine)?
                .create_group_info(true)
                .use_ratchet_tree_extension(false)
                .build(self.provider.rand(), self.provider.crypto(), self.device.signer(), |queued| {
                    // The only one there can be: of this device's own leaf.
                    replaces |= matches!(queued.proposal(), Proposal::Remove(_));
                    true
                })
                .map_err(|error| JoinError::Invalid(error.to_string()))?
                .finalize(&self.provider)
                .map_err(Fault::engine)?;
            let joined = self.inspect_joined(&group, suite, again && replaces)?;
            let replaced = replaces.then(|| Departure { device: joined.inviter.clone(), left: false });
            let (commit, _, group_info) = bundle.into_messages();
            let encode = |message: MlsMessageOut| message.tls_serialize_detached().map_err(Fault::engine);
            let staged = Staged {
                epoch,
                commit: encode(commit)?,
                welcome: None,
                welcome_devices: Vec::new(),
                group_info: encode(group_info.ok_or_else(|| Fault::engine("no group info was made"))?)?,
                change: Change {
                    committer: joined.inviter.clone(),
                    epoch: joined.epoch,
                    added: vec![joined.inviter.clone()],
                    removed: replaced.into_iter().collect(),
                    accounts_added: Vec::new(),
                    accounts_removed: Vec::new(),
                    roles_changed: Vec::new(),
                    removed_self: false,
                    unheard: Vec::new(),
                    beside: Vec::new(),
                },
                asked: Vec::new(),
            };
            Ok(Joining { staged, joined })
        })
    }

    /// Admits every member, of whom one is another device of this account, or was this one: nobody else may come by
    /// itself.
    fn inspect_joined(&self, group: &MlsGroup, suite: Suite, came_back: bool) -> Result<Joined, JoinError> {
        let (members, roles) = self.admit_all(group.members(), group.extensions())?;
        let own = self.device.verified();
        let ours = |other: &super::Member| same_account(&other.device, own) && other.device != *own;
        if !came_back && !members.iter().any(ours) {
            return Err(Violation::Stranger(own.address().clone()).into());
        }
        Ok(Joined { inviter: own.clone(), epoch: epoch_of(group), members, roles, suite, last_resort: false })
    }
}

/// Whether a group info carries the group's tree: the welcome beside it does as well, or neither.
#[must_use]
pub fn has_tree(group_info: &[u8]) -> bool {
    parse(group_info).is_ok_and(|info| info.extensions().ratchet_tree().is_some())
}

fn parse(group_info: &[u8]) -> Result<VerifiableGroupInfo, JoinError> {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(group_info)
        .map_err(|_| JoinError::Malformed("not an MLS message"))?;
    match message.extract() {
        MlsMessageBodyIn::GroupInfo(info) => Ok(info),
        _ => Err(JoinError::Malformed("not a group info")),
    }
}

fn invalid(error: ExternalCommitBuilderError<StorageError>) -> JoinError {
    match error {
        ExternalCommitBuilderError::StorageError(error) => Fault::from(error).into(),
        error => JoinError::Invalid(error.to_string()),
    }
}
