//! A group's first state: one device, the creator's, as the group info of epoch 0 and the tree in it say.

use openmls::prelude::{BasicCredential, ExternalSender};
use qpc_proto::{
    address::Domain,
    id::{ConversationName, Epoch},
    judge::Violation,
    role::RoleTable,
};

use super::{Caller, Crypto, Followed, Refused, info::Info};

/// Of which conversation it is to be the group, and who may propose in it besides its members.
#[derive(Debug, Clone, Copy)]
pub struct Founding<'f> {
    /// The conversation.
    pub name: &'f ConversationName,
    /// The domain that orders it.
    pub hub: &'f Domain,
    /// That domain's key for proposals.
    pub hub_key: &'f [u8; 32],
}

impl Followed {
    /// The group that a caller has made for a new conversation.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn found(
        crypto: &Crypto,
        caller: &Caller,
        founding: &Founding<'_>,
        group_info: &[u8],
    ) -> Result<Self, Refused> {
        let group = Self::rebuild(crypto, founding.name, group_info)?;
        if group.epoch() != Epoch(0) {
            return Err(Refused::Info("not of epoch 0"));
        }
        let mut devices = group.rules.members();
        match (devices.next(), devices.next()) {
            (Some((_, device)), None) if caller.is(device) => {}
            _ => return Err(Refused::Sender),
        }
        let continues = group.rules.roles().continues().cloned();
        // What the hub itself orders needs nobody to go on with it.
        if continues.as_ref().is_some_and(|continued| continued.conversation.domain == *founding.hub) {
            return Err(Violation::Context.into());
        }
        if *group.rules.roles() != RoleTable::owned_by(caller.address.clone()).continuing(continues) {
            return Err(Violation::Roles.into());
        }
        let senders = group.public.group_context().extensions().external_senders();
        let credential = BasicCredential::new(founding.hub.as_str().as_bytes().to_vec()).into();
        let hub = ExternalSender::new(founding.hub_key.as_slice().into(), credential);
        let hub_only = senders.is_none_or(|senders| senders.iter().all(|sender| *sender == hub));
        drop(devices);
        if hub_only { Ok(group) } else { Err(Violation::Context.into()) }
    }

    /// The group of any epoch that a group info with its tree is of.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn rebuild(crypto: &Crypto, name: &ConversationName, group_info: &[u8]) -> Result<Self, Refused> {
        let info = Info::parse(group_info)?;
        let tree = info.tree().cloned().ok_or(Refused::Info("without a tree"))?;
        Self::rebuild_with(crypto, name, info, tree)
    }
}
