//! How a device comes into a group: it makes it, or is welcomed to it. Coming by itself stands in `external`.

use openmls::{
    group::{MlsGroup, StagedWelcome, WelcomeError},
    prelude::{
        Extensions, GroupContext, GroupId, Member as Leaf, MlsMessageBodyIn, MlsMessageIn, RatchetTreeIn,
        tls_codec::{DeserializeBytes as _, Serialize as _},
    },
};
use openmls_traits::OpenMlsProvider as _;
use qpc_proto::{
    credential::VerifiedDevice,
    id::{ConversationName, Epoch},
    judge::{one_key_each, same_account},
    role::{Action, RoleTable, may},
    suite::Suite,
};

use super::{
    Coming, CreateError, Fault, Invitee, JoinError, Member, Mls, Staged, StorageError, Violation,
    config::{self, HubSender},
    credential::admit_member,
    group::{epoch_of, group_id, roles_of},
    storage::key,
};

/// A group that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// The commit that adds the first members, where there are some; it waits as any other.
    pub staged: Option<Staged>,
    /// The encoded GroupInfo of epoch 0.
    pub group_info: Vec<u8>,
}

/// A group that was joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Whose device added this one.
    pub inviter: VerifiedDevice,
    /// The epoch in which we read the first messages.
    pub epoch: Epoch,
    /// Every device in the group, this one included; accounts that are new are to be pinned.
    pub members: Vec<Member>,
    /// Their roles.
    pub roles: RoleTable,
    /// The suite of the group.
    pub suite: Suite,
    /// The last-resort key package was used: a new one should take its place.
    pub last_resort: bool,
}

impl Mls<'_> {
    /// Makes the group of a new conversation, with this device in it, and a commit that adds the invitees. Its suite is for
    /// good.
    /// If the server refuses the conversation, [`super::Group::delete`] undoes it.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn create_group(
        &self,
        conversation: &ConversationName,
        suite: Suite,
        roles: &RoleTable,
        hub: Option<&HubSender>,
        invitees: &[Invitee<'_>],
    ) -> Result<NewGroup, CreateError> {
        self.provider.storage().atomically(|| {
            let config = config::create(suite, roles, hub).map_err(Fault::engine)?;
            let signer = self.device.signer();
            let group = MlsGroup::new_with_group_id(
                &self.provider,
                signer,
                &config,
                group_id(conversation),
                self.device.credential(),
            )?;
            let group_info = group
                .export_group_info(self.provider.crypto(), signer, true)
                .map_err(Fault::engine)?
                .tls_serialize_detached()
                .map_err(Fault::engine)?;
            let mut handle = self.group(conversation);
            handle.replace(group);
            let staged = if invitees.is_empty() { None } else { Some(handle.add(invitees)?) };
            Ok(NewGroup { staged, group_info })
        })
    }

    /// Joins a conversation's group by the welcome that came with the conversation's name, and by the tree where it came
    /// beside the welcome.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join(
        &self,
        conversation: &ConversationName,
        welcome: &[u8],
        tree: Option<&[u8]>,
    ) -> Result<Joined, JoinError> {
        self.join_coming(conversation, Coming::First, welcome, tree)
    }

    /// The same for a device that may have been in the group before: any member puts such a one in anew, in a later epoch.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join_coming(
        &self,
        conversation: &ConversationName,
        coming: Coming,
        welcome: &[u8],
        tree: Option<&[u8]>,
    ) -> Result<Joined, JoinError> {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(welcome)
            .map_err(|_| JoinError::Malformed("not an MLS message"))?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
            return Err(JoinError::Malformed("not a welcome"));
        };
        let tree = tree
            .map(RatchetTreeIn::tls_deserialize_exact_bytes)
            .transpose()
            .map_err(|_| JoinError::Malformed("not a tree"))?;
        self.provider.storage().atomically(|| {
            let id = group_id(conversation);
            self.make_room(&id)?;
            let mut builder =
                StagedWelcome::build_from_welcome(&self.provider, &config::join(), welcome).map_err(invalid)?;
            if let Some(tree) = tree {
                builder = builder.with_ratchet_tree(tree);
            }
            let processed = builder.processed_welcome();
            let info = processed.unverified_group_info();
            if info.group_id() != &id {
                return Err(JoinError::Malformed("the welcome is to another conversation"));
            }
            let suite = config::suite(info.ciphersuite())
                .ok_or_else(|| JoinError::Invalid("a group of another suite".into()))?;
            let last_resort = processed.own_key_package().is_some_and(|package| package.last_resort());
            // Leaves that nobody has refreshed for a year are no reason to stay out (RFC 9420 section 7.3).
            let staged = builder.skip_lifetime_validation().build().map_err(invalid)?;
            let inspected = self.inspect(&staged, coming)?;
            let group = staged.into_group(&self.provider).map_err(invalid)?;
            let (inviter, members, roles) = inspected;
            Ok(Joined { inviter, epoch: epoch_of(&group), members, roles, suite, last_resort })
        })
    }

    /// Deletes what is left of a group that this device was removed from.
    pub(super) fn make_room(&self, id: &GroupId) -> Result<(), JoinError> {
        let storage = self.provider.storage();
        match MlsGroup::load(storage, id).map_err(Fault::from)? {
            Some(group) if group.is_active() => Err(JoinError::AlreadyMember),
            _ => Ok(storage.delete_owner(&key(id).map_err(Fault::from)?).map_err(Fault::from)?),
        }
    }

    /// Admits every member of a group that this device comes into, and gives their roles.
    pub(super) fn admit_all(
        &self,
        leaves: impl Iterator<Item = Leaf>,
        context: &Extensions<GroupContext>,
    ) -> Result<(Vec<Member>, RoleTable), JoinError> {
        let members = leaves
            .map(|leaf| Ok(Member { leaf: leaf.index.u32(), device: admit_member(&leaf, self.trust)? }))
            .collect::<Result<Vec<_>, JoinError>>()?;
        one_key_each(members.iter().map(|member| &member.device))?;
        let roles = roles_of(context).ok_or(Violation::Roles)?;
        if roles.iter().any(|(address, _)| !members.iter().any(|member| member.device.address() == address)) {
            return Err(Violation::Roles.into());
        }
        Ok((members, roles))
    }

    /// Admits every member of the group, and judges who added us: any member puts a device in anew.
    fn inspect(
        &self,
        staged: &StagedWelcome,
        coming: Coming,
    ) -> Result<(VerifiedDevice, Vec<Member>, RoleTable), JoinError> {
        let (members, roles) = self.admit_all(staged.members(), staged.group_context().extensions())?;
        let at = |leaf: u32| members.iter().find(|member| member.leaf == leaf).map(|member| &member.device);
        let own = self.device.verified();
        if at(staged.own_leaf_index().u32()) != Some(own) {
            return Err(JoinError::Invalid("our own leaf is not ours".into()));
        }
        let inviter = at(staged.welcome_sender_index().u32())
            .ok_or_else(|| JoinError::Invalid("who welcomes is not a member".into()))?
            .clone();
        let role = roles.of(inviter.address());
        let anew = match coming {
            Coming::First => false,
            Coming::Again { after } => staged.group_context().epoch().as_u64() > after.0,
        };
        if !anew && !may(role, Action::Add) && !same_account(&inviter, own) {
            return Err(Violation::Role { who: inviter.address().clone(), role, action: Action::Add }.into());
        }
        Ok((inviter, members, roles))
    }
}

fn invalid(error: WelcomeError<StorageError>) -> JoinError {
    match error {
        WelcomeError::StorageError(error) => Fault::from(error).into(),
        WelcomeError::NoMatchingKeyPackage => JoinError::NoKeyPackage,
        WelcomeError::GroupAlreadyExists => JoinError::AlreadyMember,
        error => JoinError::Invalid(error.to_string()),
    }
}
