//! A group's first state: one device, the creator's, as the group info of epoch 0 and the tree in it say.

use std::collections::BTreeMap;

use openmls::{
    group::{ProposalStore, PublicGroup},
    prelude::{BasicCredential, ExternalSender},
};
use qpc_proto::{
    address::Domain,
    id::{ConversationName, Epoch},
    judge::Violation,
    role::RoleTable,
    suite::Suite,
};

use super::{Caller, Crypto, Followed, Refused, info::Info, state, terms};

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
        if *group.rules.roles() != RoleTable::owned_by(caller.address.clone()) {
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
        // Its suite stays with the group: OpenMLS compares that of whatever comes later.
        let suite = Suite::of_number(info.verifiable.ciphersuite().into());
        if info.verifiable.group_id() != &state::group_id(name) || suite.is_none() {
            return Err(Refused::Info("of another group or suite"));
        }
        let tree = info.tree().cloned().ok_or(Refused::Info("without a tree"))?;
        let values = state::Values::default();
        let (public, _) = PublicGroup::from_external(&crypto.0, &values, tree, info.verifiable, ProposalStore::new())
            .map_err(|error| Refused::Invalid(error.to_string()))?;
        let members =
            public.members().map(|leaf| Ok((leaf.index.u32(), terms::device(&leaf.credential, &leaf.signature_key)?)));
        let members: BTreeMap<_, _> = members.collect::<Result<_, Refused>>()?;
        Self::of(public, values, members, Vec::new()).ok_or_else(|| Violation::Roles.into())
    }
}
