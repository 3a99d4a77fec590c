//! A group of another hub's: the same judgement of what that hub has accepted, by who follows its log.
//!
//! What comes beside the log at the hub (welcomes, the list of who is added) is not here: the group itself says who is in.

use std::collections::BTreeMap;

use openmls::{
    group::{ProposalStore, PublicGroup},
    prelude::{ContentType, RatchetTreeIn, tls_codec::DeserializeBytes as _},
};
use qpc_proto::{
    address::Address,
    id::{ConversationName, DeviceId},
    judge::{Deed, Violation},
    role::Role,
};

use super::{Approved, Caller, Crypto, Followed, Refused, info::Info, parse};
use crate::store::{GroupChange, GroupState};

/// A proposal that was followed.
pub struct Proposed {
    /// The group with it.
    pub state: GroupState,
    /// Whose account has left with it.
    pub left: Option<Address>,
}

impl Followed {
    /// The group that a copy begins with: a group info, and the tree where that does not carry it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn begin(crypto: &Crypto, name: &ConversationName, group_info: &[u8], tree: &[u8]) -> Result<Self, Refused> {
        let info = Info::parse(group_info)?;
        let tree = match info.tree() {
            Some(tree) => tree.clone(),
            None => RatchetTreeIn::tls_deserialize_exact_bytes(tree).map_err(|_| Refused::Malformed("tree"))?,
        };
        Self::rebuild_with(crypto, name, info, tree)
    }

    /// Whose device it is, if it is in the group.
    #[must_use]
    pub fn owner(&self, device: DeviceId) -> Option<&Address> {
        self.rules.members().find(|(_, member)| member.device() == device).map(|(_, member)| member.address())
    }

    /// Every account in the group that has not left, with its key and role.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<Address, ([u8; 32], Role)> {
        let staying = self.rules.members().filter(|(_, member)| !self.rules.leaving().contains(member.address()));
        let account = |member: &qpc_proto::credential::VerifiedDevice| {
            let address = member.address().clone();
            let role = self.rules.roles().of(&address);
            (address, (*member.account_key(), role))
        };
        staying.map(|(_, member)| account(member)).collect()
    }

    /// Follows a commit that a device is said to have made. After an error the group may be of no use any more.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn follow_commit(
        &mut self,
        crypto: &Crypto,
        body: &[u8],
        device: DeviceId,
    ) -> Result<(Address, GroupChange), Refused> {
        let message = parse::handshake(body, self.public.group_id(), ContentType::Commit, "commit")?;
        let (_, staged, outcome, roles) = self.staged(crypto, message)?;
        if outcome.committer.device() != device {
            return Err(Refused::Sender);
        }
        let committer = outcome.committer.address().clone();
        let approved = Approved { staged, tree: None, welcomes: Vec::new(), outcome, roles };
        Ok((committer, self.apply(approved)?))
    }

    /// Follows a proposal of a device's, or of the hub's. After an error the group may be of no use any more.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn follow_proposal(
        &mut self,
        crypto: &Crypto,
        body: &[u8],
        device: Option<DeviceId>,
    ) -> Result<Proposed, Refused> {
        let message = parse::handshake(body, self.public.group_id(), ContentType::Proposal, "proposal")?;
        if message.epoch() != self.public.group_context().epoch() {
            return Err(Refused::Malformed("proposal"));
        }
        let sender = match device {
            Some(device) => {
                let address = self.owner(device).ok_or(Refused::Sender)?.clone();
                self.check_sender(message.sender(), &Caller { address: address.clone(), device })?;
                Some(address)
            }
            None => None,
        };
        let approved = self.judge_proposed(crypto, message)?;
        // Without a device it is the hub's, which only removes.
        if device.is_none() && approved.author() != qpc_proto::judge::Author::Hub {
            return Err(Violation::Proposal.into());
        }
        let left = sender.filter(|_| *approved.deed() == Deed::Leave);
        Ok(Proposed { state: self.queue(approved)?, left })
    }

    /// The group of any epoch that a group info and a tree are of.
    pub(super) fn rebuild_with(
        crypto: &Crypto,
        name: &ConversationName,
        info: Info,
        tree: RatchetTreeIn,
    ) -> Result<Self, Refused> {
        let suite = qpc_proto::suite::Suite::of_number(info.verifiable.ciphersuite().into());
        // Its suite stays with the group: OpenMLS compares that of whatever comes later.
        if info.verifiable.group_id() != &super::state::group_id(name) || suite.is_none() {
            return Err(Refused::Info("of another group or suite"));
        }
        let values = super::state::Values::default();
        let (public, _) = PublicGroup::from_external(&crypto.0, &values, tree, info.verifiable, ProposalStore::new())
            .map_err(|error| Refused::Invalid(error.to_string()))?;
        let members = public
            .members()
            .map(|leaf| Ok((leaf.index.u32(), super::terms::device(&leaf.credential, &leaf.signature_key)?)));
        let members: BTreeMap<_, _> = members.collect::<Result<_, Refused>>()?;
        Self::of(public, values, members, Vec::new()).ok_or_else(|| Violation::Roles.into())
    }
}
