//! A handle on one conversation's group: who is in it, encryption, exported secrets.
//!
//! Commits stand in `change`, what comes from others in `process`.

use std::collections::BTreeSet;

use openmls::{
    group::{GroupId, MlsGroup, MlsGroupStateError},
    prelude::{CreateMessageError, Extensions, GroupContext, tls_codec::Serialize as _},
};
use openmls_traits::OpenMlsProvider as _;
use qpc_proto::{
    address::Address,
    credential::VerifiedDevice,
    ephemeral::{KEY_LABEL, KEY_LEN},
    id::{ConversationName, Epoch, MessageId},
    role::{ROLES_EXTENSION, RoleTable},
    suite::Suite,
};
use zeroize::Zeroizing;

use super::{
    EncryptError, EphemeralKey, ExportError, Fault, GroupError, Mls, config, credential::identify, judge::Judge,
    storage::key,
};

/// A message, encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encrypted {
    /// The epoch it was made in: the server takes it in no other.
    pub epoch: Epoch,
    /// The encoded PrivateMessage.
    pub bytes: Vec<u8>,
}

/// A device in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its place in the tree.
    pub leaf: u32,
    /// Which it is; admitted when it entered.
    pub device: VerifiedDevice,
}

/// One conversation's group, read at the first use. See [`Mls::group`].
pub struct Group<'m> {
    pub(super) mls: &'m Mls<'m>,
    pub(super) name: ConversationName,
    loaded: Option<MlsGroup>,
}

/// The MLS group id of a conversation.
pub(super) fn group_id(name: &ConversationName) -> GroupId {
    GroupId::from_slice(&name.canonical())
}

/// The roles that a group context carries.
pub(super) fn roles_of(extensions: &Extensions<GroupContext>) -> Option<RoleTable> {
    RoleTable::decode(&extensions.unknown(ROLES_EXTENSION)?.0).ok()
}

/// A group's epoch in our terms.
pub(super) fn epoch_of(group: &MlsGroup) -> Epoch {
    Epoch(group.epoch().as_u64())
}

impl<'m> Group<'m> {
    pub(super) fn new(mls: &'m Mls<'m>, name: ConversationName) -> Self {
        Self { mls, name, loaded: None }
    }

    /// The group as it is, whether this device is still in it or not.
    fn load(&mut self) -> Result<&mut MlsGroup, GroupError> {
        let group = match self.loaded.take() {
            Some(group) => group,
            None => MlsGroup::load(self.mls.provider.storage(), &group_id(&self.name))
                .map_err(Fault::from)?
                .ok_or(GroupError::NoGroup)?,
        };
        Ok(self.loaded.insert(group))
    }

    /// The group, which this device is in.
    pub(super) fn active(&mut self) -> Result<&mut MlsGroup, GroupError> {
        let group = self.load()?;
        if group.is_active() { Ok(group) } else { Err(GroupError::Removed) }
    }

    /// Runs an operation on the group that leaves nothing behind where it fails.
    pub(super) fn change<T, E: From<Fault> + From<GroupError>>(
        &mut self,
        operation: impl FnOnce(&mut MlsGroup, &Mls<'m>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.active()?;
        let mls = self.mls;
        let Some(mut group) = self.loaded.take() else { return Err(GroupError::NoGroup.into()) };
        let result = mls.provider.storage().atomically(|| operation(&mut group, mls));
        // What failed may have touched the group in memory: it is read again.
        self.loaded = result.is_ok().then_some(group);
        result
    }

    pub(super) fn replace(&mut self, group: MlsGroup) {
        self.loaded = Some(group);
    }

    /// Whether this device has the group and is in it.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn exists(&mut self) -> Result<bool, Fault> {
        match self.active() {
            Ok(_) => Ok(true),
            Err(GroupError::NoGroup | GroupError::Removed) => Ok(false),
            Err(GroupError::Fault(fault)) => Err(fault),
        }
    }

    /// The epoch the group is in.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn epoch(&mut self) -> Result<Epoch, GroupError> {
        self.active().map(|group| epoch_of(group))
    }

    /// The suite the group was made with.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn suite(&mut self) -> Result<Suite, GroupError> {
        Ok(suite_of(self.active()?)?)
    }

    /// The devices in the group, in order of their leaves. Whether the server serves the same people
    /// is for the caller to compare.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn members(&mut self) -> Result<Vec<Member>, GroupError> {
        members_of(self.active()?).map_err(GroupError::from)
    }

    /// The roles of the group's members.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn roles(&mut self) -> Result<RoleTable, GroupError> {
        Ok(stored_roles(self.active()?)?)
    }

    /// Accounts that have said to leave, which nobody has carried out yet.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn leaving(&mut self) -> Result<BTreeSet<Address>, GroupError> {
        let trust = self.mls.trust;
        Ok(Judge::of(self.active()?, trust)?.leaving().clone())
    }

    /// The group's public tree, encoded as a server gives it to whoever comes in.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn ratchet_tree(&mut self) -> Result<Vec<u8>, GroupError> {
        let tree = self.active()?.export_ratchet_tree();
        Ok(tree.tls_serialize_detached().map_err(Fault::engine)?)
    }

    /// Equal on all devices that see the same group: unequal ones have been shown different histories.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn epoch_authenticator(&mut self) -> Result<Vec<u8>, GroupError> {
        self.active().map(|group| group.epoch_authenticator().as_slice().to_vec())
    }

    /// Whether somebody's proposals wait for a commit; until then nothing can be encrypted.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn has_proposals(&mut self) -> Result<bool, GroupError> {
        self.active().map(|group| group.has_pending_proposals())
    }

    /// Whether a commit of our own waits for its answer.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn has_pending_commit(&mut self) -> Result<bool, GroupError> {
        self.active().map(|group| group.pending_commit().is_some())
    }

    /// Encrypts a message in the current epoch, with its id as authenticated data. The key is used up:
    /// the bytes are kept and sent again until the server takes or definitely refuses them.
    ///
    /// # Errors
    /// [`EncryptError`].
    pub fn encrypt(&mut self, id: MessageId, plaintext: &[u8]) -> Result<Encrypted, EncryptError> {
        self.change(|group, mls| {
            group.set_aad(id.as_bytes().to_vec());
            let epoch = epoch_of(group);
            let message =
                group.create_message(&mls.provider, mls.device.signer(), plaintext).map_err(|error| match error {
                    CreateMessageError::GroupStateError(MlsGroupStateError::PendingProposal) => {
                        EncryptError::ProposalsPending
                    }
                    error => Fault::engine(error).into(),
                })?;
            let bytes = message.tls_serialize_detached().map_err(Fault::engine)?;
            Ok(Encrypted { epoch, bytes })
        })
    }

    /// A secret of the current epoch that all members share (RFC 9420 section 8.5).
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn export_secret(
        &mut self,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ExportError> {
        let crypto = self.mls.provider.crypto();
        let secret = self.active()?.export_secret(crypto, label, context, length).map_err(Fault::engine)?;
        Ok(Zeroizing::new(secret))
    }

    /// The key of ephemeral events of the current epoch, and whose leaves are whose.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn ephemeral_key(&mut self) -> Result<EphemeralKey, ExportError> {
        let context = self.name.canonical();
        let secret = self.export_secret(KEY_LABEL, &context, KEY_LEN)?;
        let group = self.active()?;
        let (epoch, own, members) = (epoch_of(group), group.own_leaf_index().u32(), members_of(group)?);
        Ok(EphemeralKey::new(self.name.clone(), (epoch, own), secret, members))
    }

    /// Deletes the group and all its keys from this device, if it is there.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn delete(&mut self) -> Result<(), Fault> {
        self.loaded = None;
        // Everything the group owns, which is more than `MlsGroup::delete` knows of.
        Ok(self.mls.provider.storage().delete_owner(&key(&group_id(&self.name))?)?)
    }
}

/// The devices of a group that were admitted before.
pub(super) fn members_of(group: &MlsGroup) -> Result<Vec<Member>, Fault> {
    group
        .members()
        .map(|leaf| {
            let device = identify(&leaf.credential).map_err(Fault::engine)?;
            Ok(Member { leaf: leaf.index.u32(), device })
        })
        .collect()
}

/// The suite of a group that was made or joined before.
pub(super) fn suite_of(group: &MlsGroup) -> Result<Suite, Fault> {
    config::suite(group.ciphersuite()).ok_or_else(|| Fault::engine("the group has a suite that groups do not have"))
}

/// The roles of a group that was judged before.
pub(super) fn stored_roles(group: &MlsGroup) -> Result<RoleTable, Fault> {
    roles_of(group.extensions()).ok_or_else(|| Fault::engine("the group has no roles"))
}
