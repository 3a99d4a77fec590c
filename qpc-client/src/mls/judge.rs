//! Who may change what: every commit and proposal is judged here before it counts.
//!
//! The rules of roles are `qpc_proto::role`; this says whose action each MLS proposal is, and
//! what else a change must keep: a leaf stays the device's own, the role table names members
//! only, and nothing but the roles changes in the group context.

use std::collections::{BTreeMap, BTreeSet};

use openmls::{
    group::{MlsGroup, StagedCommit},
    prelude::{Extension, ExtensionType, Extensions, GroupContext, LeafNode, Proposal, Sender},
};
use qpc_proto::{
    address::Address,
    credential::VerifiedDevice,
    id::Epoch,
    role::{Action, ROLES_EXTENSION, Role, RoleTable, may},
};

use super::{
    Change, Departure, Fault, Refusal, Trust,
    credential::admit_leaf,
    group::{members_of, roles_of, stored_roles},
};
use crate::words;

/// A change that the rules forbid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A member did what its role does not allow.
    #[error("{who}, who is {}, may not {}", words::a_role(*.role), words::deed(*.action))]
    Role {
        /// The account that acted.
        who: Address,
        /// Its role.
        role: Role,
        /// What it did.
        action: Action,
    },
    /// Somebody who is not a member tried to join by itself.
    #[error("{0} is not a member and can't join by itself")]
    Stranger(Address),
    /// A device's leaf was replaced by another device's.
    #[error("the leaf of a device of {0} was replaced by another device's")]
    Identity(Address),
    /// The hub proposed something else than a removal.
    #[error("the hub may propose removals only")]
    Hub,
    /// A kind of proposal that our groups do not use.
    #[error("a kind of proposal that this client does not accept")]
    Proposal,
    /// An account would be in the group with two identity keys: its old devices go first.
    #[error("{0} is in the group with another account key, which has to be removed first")]
    TwoKeys(Address),
    /// The role table is unreadable, or names people who are not members.
    #[error("the role table is malformed or names people who are not members")]
    Roles,
    /// Something else than the roles was changed in the group context.
    #[error("the group's settings may not be changed")]
    Context,
}

/// Why a change does not count.
pub(super) enum Objection {
    Refused(Refusal),
    NotAllowed(Violation),
    Fault(Fault),
}

macro_rules! objection {
    ($($from:ident => $variant:ident),+) => {
        $(impl From<$from> for Objection {
            fn from(reason: $from) -> Self {
                Self::$variant(reason)
            }
        })+
    };
}

objection!(Refusal => Refused, Violation => NotAllowed, Fault => Fault);

macro_rules! objection_into {
    ($($error:path),+) => {
        $(impl From<Objection> for $error {
            fn from(objection: Objection) -> Self {
                match objection {
                    Objection::Refused(refusal) => refusal.into(),
                    Objection::NotAllowed(violation) => violation.into(),
                    Objection::Fault(fault) => fault.into(),
                }
            }
        })+
    };
}

objection_into!(super::CommitError, super::ProcessError);

/// Whose action something is.
enum Author<'a> {
    Member(&'a VerifiedDevice),
    Joiner(&'a VerifiedDevice),
    Hub,
}

/// What one proposal does to the membership.
enum Effect {
    Adds(VerifiedDevice),
    Removes { leaf: u32, left: bool },
    Nothing,
}

/// The group as it is before the change that is judged.
pub(super) struct Judge<'a> {
    trust: &'a dyn Trust,
    members: BTreeMap<u32, VerifiedDevice>,
    roles: RoleTable,
    context: &'a Extensions<GroupContext>,
    /// Accounts that have proposed to leave.
    leaving: BTreeSet<Address>,
}

impl<'a> Judge<'a> {
    pub(super) fn of(group: &'a MlsGroup, trust: &'a dyn Trust) -> Result<Self, Fault> {
        let members: BTreeMap<_, _> =
            members_of(group)?.into_iter().map(|member| (member.leaf, member.device)).collect();
        let leaving = group
            .pending_proposals()
            .filter(|pending| matches!(pending.proposal(), Proposal::SelfRemove))
            .filter_map(|pending| match pending.sender() {
                Sender::Member(leaf) => members.get(&leaf.u32()).map(|device| device.address().clone()),
                _ => None,
            })
            .collect();
        Ok(Self { trust, members, roles: stored_roles(group)?, context: group.extensions(), leaving })
    }

    /// Accounts that have proposed to leave.
    pub(super) fn leaving(&self) -> &BTreeSet<Address> {
        &self.leaving
    }

    pub(super) fn member(&self, leaf: u32) -> Result<&VerifiedDevice, Fault> {
        self.members.get(&leaf).ok_or_else(|| Fault::engine("a sender that is not in the tree"))
    }

    /// The leaves of an account.
    pub(super) fn leaves<'s>(&'s self, address: &'s Address) -> impl Iterator<Item = u32> + 's {
        self.members.iter().filter(move |(_, device)| device.address() == address).map(|(leaf, _)| *leaf)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (u32, &VerifiedDevice)> {
        self.members.iter().map(|(leaf, device)| (*leaf, device))
    }

    /// Judges a proposal that came by itself, to be committed later by anybody. Only removals may wait
    /// like that: whatever else is proposed could make everybody's next commit invalid.
    pub(super) fn proposal(&self, sender: &Sender, proposal: &Proposal) -> Result<(), Objection> {
        let author = self.author(sender, None)?;
        match (proposal, &author) {
            (Proposal::SelfRemove | Proposal::Remove(_), _) => self.effect(&author, proposal).map(|_| ()),
            (_, Author::Hub) => Err(Violation::Hub.into()),
            _ => Err(Violation::Proposal.into()),
        }
    }

    /// Judges a commit, and says what it changes.
    pub(super) fn commit(&self, sender: &Sender, commit: &StagedCommit) -> Result<Change, Objection> {
        let path_leaf = commit.update_path_leaf_node();
        let (committer, joins) = self.committer(sender, path_leaf)?;
        let mut added = Vec::from_iter(joins.then(|| committer.clone()));
        let mut removed = BTreeMap::new();
        for queued in commit.queued_proposals() {
            let author = self.author(queued.sender(), Some(&committer))?;
            match self.effect(&author, queued.proposal())? {
                Effect::Adds(device) => added.push(device),
                Effect::Removes { leaf, left } => {
                    removed.insert(leaf, Departure { device: self.member(leaf)?.clone(), left });
                }
                Effect::Nothing => {
                    let context = matches!(queued.proposal(), Proposal::GroupContextExtensions(_));
                    if context && queued.sender() != sender {
                        return Err(Violation::Proposal.into());
                    }
                }
            }
        }

        self.check_keys(&added)?;
        let before: BTreeSet<_> = self.members.values().map(VerifiedDevice::address).collect();
        let staying = self.members.iter().filter(|(leaf, _)| !removed.contains_key(leaf)).map(|(_, device)| device);
        let after: BTreeSet<_> = staying.chain(&added).map(VerifiedDevice::address).collect();
        let roles_changed = self.roles_changed(&committer, commit.group_context().extensions(), &after)?;
        let accounts = |these: &BTreeSet<&Address>, without: &BTreeSet<&Address>| {
            these.difference(without).map(|address| (*address).clone()).collect()
        };
        Ok(Change {
            epoch: Epoch(commit.epoch().as_u64()),
            accounts_added: accounts(&after, &before),
            accounts_removed: accounts(&before, &after),
            unheard: self.leaving.iter().filter(|address| after.contains(address)).cloned().collect(),
            removed_self: commit.self_removed(),
            committer,
            added,
            removed: removed.into_values().collect(),
            roles_changed,
        })
    }

    /// An account has one identity key in a group: a new owner of the name takes over no role, because
    /// the devices of the old one are removed first.
    fn check_keys(&self, added: &[VerifiedDevice]) -> Result<(), Violation> {
        one_key_each(self.members.values().chain(added))
    }

    /// Who commits, and whether that device joins by it.
    fn committer(&self, sender: &Sender, path_leaf: Option<&LeafNode>) -> Result<(VerifiedDevice, bool), Objection> {
        let path = path_leaf.map(|leaf| admit_leaf(leaf, self.trust)).transpose()?;
        match (sender, path) {
            (Sender::Member(leaf), path) => {
                let member = self.member(leaf.u32())?;
                if path.is_some_and(|path| !same_device(member, &path)) {
                    return Err(Violation::Identity(member.address().clone()).into());
                }
                Ok((member.clone(), false))
            }
            (Sender::NewMemberCommit, Some(joiner)) => {
                // A new device of somebody who is a member anyway, and nobody else.
                if self.members.values().any(|member| same_account(member, &joiner)) {
                    Ok((joiner, true))
                } else {
                    Err(Violation::Stranger(joiner.address().clone()).into())
                }
            }
            _ => Err(Violation::Proposal.into()),
        }
    }

    fn author<'s>(&'s self, sender: &Sender, joiner: Option<&'s VerifiedDevice>) -> Result<Author<'s>, Objection> {
        Ok(match (sender, joiner) {
            (Sender::Member(leaf), _) => Author::Member(self.member(leaf.u32())?),
            (Sender::NewMemberCommit, Some(joiner)) => Author::Joiner(joiner),
            (Sender::External(_), _) => Author::Hub,
            _ => return Err(Violation::Proposal.into()),
        })
    }

    /// What a proposal does, if its author may.
    fn effect(&self, author: &Author<'_>, proposal: &Proposal) -> Result<Effect, Objection> {
        match (proposal, author) {
            (Proposal::Add(add), Author::Member(author)) => {
                let device = admit_leaf(add.key_package().leaf_node(), self.trust)?;
                // Another device of its own is everybody's to add.
                if !same_account(author, &device) {
                    self.permit(author, Action::Add)?;
                }
                Ok(Effect::Adds(device))
            }
            (Proposal::Remove(remove), author) => {
                let leaf = remove.removed().u32();
                let target = self.member(leaf)?;
                match author {
                    Author::Hub => {}
                    Author::Joiner(joiner) if same_device(joiner, target) => {}
                    Author::Joiner(joiner) => return Err(Violation::Stranger(joiner.address().clone()).into()),
                    Author::Member(author) => {
                        let own = same_account(author, target);
                        if !own && !self.leaving.contains(target.address()) {
                            self.permit(author, Action::Remove(self.roles.of(target.address())))?;
                        }
                    }
                }
                Ok(Effect::Removes { leaf, left: self.leaving.contains(target.address()) })
            }
            (Proposal::SelfRemove, Author::Member(author)) => {
                self.permit(author, Action::Leave)?;
                let leaf = self.members.iter().find(|(_, member)| member == author).map(|(leaf, _)| *leaf);
                let leaf = leaf.ok_or_else(|| Fault::engine("a sender that is not in the tree"))?;
                Ok(Effect::Removes { leaf, left: true })
            }
            (Proposal::GroupContextExtensions(_), Author::Member(_)) => Ok(Effect::Nothing),
            (Proposal::ExternalInit(_), Author::Joiner(_)) => Ok(Effect::Nothing),
            (_, Author::Hub) => Err(Violation::Hub.into()),
            _ => Err(Violation::Proposal.into()),
        }
    }

    fn permit(&self, author: &VerifiedDevice, action: Action) -> Result<(), Violation> {
        let role = self.roles.of(author.address());
        if may(role, action) { Ok(()) } else { Err(Violation::Role { who: author.address().clone(), role, action }) }
    }

    /// Compares the group context after the commit with the one before.
    fn roles_changed(
        &self,
        committer: &VerifiedDevice,
        context: &Extensions<GroupContext>,
        after: &BTreeSet<&Address>,
    ) -> Result<Vec<(Address, Role)>, Violation> {
        let (kept, now) = (all_but_roles(self.context), all_but_roles(context));
        if kept.len() != now.len() || !kept.iter().all(|extension| now.contains(extension)) {
            return Err(Violation::Context);
        }
        let roles = roles_of(context).ok_or(Violation::Roles)?;
        // Who is gone has no role: else it would have it again on the day it comes back.
        if roles.iter().any(|(address, _)| !after.contains(address)) {
            return Err(Violation::Roles);
        }
        let mut changed = Vec::new();
        for address in after {
            let (from, to) = (self.roles.of(address), roles.of(address));
            if from != to {
                self.permit(committer, Action::Promote(from, to))?;
                changed.push(((*address).clone(), to));
            }
        }
        Ok(changed)
    }
}

/// Whether two devices belong to one account, by name and key.
pub(super) fn same_account(one: &VerifiedDevice, other: &VerifiedDevice) -> bool {
    one.address() == other.address() && one.account_key() == other.account_key()
}

fn same_device(one: &VerifiedDevice, other: &VerifiedDevice) -> bool {
    same_account(one, other) && one.device() == other.device()
}

/// Refuses accounts with more than one identity key.
pub(super) fn one_key_each<'d>(devices: impl IntoIterator<Item = &'d VerifiedDevice>) -> Result<(), Violation> {
    let mut keys = BTreeMap::new();
    for device in devices {
        if keys.insert(device.address(), device.account_key()).is_some_and(|key| key != device.account_key()) {
            return Err(Violation::TwoKeys(device.address().clone()));
        }
    }
    Ok(())
}

fn all_but_roles(extensions: &Extensions<GroupContext>) -> Vec<&Extension> {
    let roles = ExtensionType::Unknown(ROLES_EXTENSION);
    extensions.iter().filter(|extension| extension.extension_type() != roles).collect()
}
