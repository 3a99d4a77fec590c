//! Who may change what in a group: one judgement of a commit or proposal, which server and client both ask.
//!
//! The rules of roles are [`crate::role`]; this says whose action each MLS proposal is, and what else a
//! change must keep: a leaf stays the device's own, the role table names members only, nothing but the
//! roles changes in the group context, and what the group continues stays as it was made. Certificates are verified and signatures and trees are checked by
//! then: whoever asks has turned MLS's messages into the plain terms of this module.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    address::Address,
    credential::VerifiedDevice,
    id::DeviceId,
    role::{Action, Role, RoleTable, may},
};

/// A change that the rules forbid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A member did what its role does not allow.
    #[error("{who}, who is {}, may not {action}", .role.phrase())]
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
    /// A kind of proposal that our groups do not use, or one from whom it may not come.
    #[error("a kind of proposal that our groups do not accept")]
    Proposal,
    /// An account would be in the group with two identity keys: its old devices go first.
    #[error("{0} is in the group with another account key, which has to be removed first")]
    TwoKeys(Address),
    /// The role table is unreadable, or names people who are not members.
    #[error("the role table is malformed or names people who are not members")]
    Roles,
    /// Something else than the roles was changed in the group context: what the group continues, for one.
    #[error("the group's settings may not be changed")]
    Context,
    /// A sender or a target that is not in the tree.
    #[error("a leaf that is not in the group")]
    NoLeaf,
}

/// Whose action something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The device at this leaf.
    Member(u32),
    /// The device that joins by the commit itself (an external commit).
    Joiner,
    /// The server that orders the group.
    Hub,
    /// Anybody else.
    Other,
}

/// What a proposal asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Add a device.
    Add(VerifiedDevice),
    /// Remove a leaf.
    Remove(u32),
    /// Take its author's own leaf out (SelfRemove).
    Leave,
    /// Replace the group context's extensions.
    Settings,
    /// Join by an external commit (ExternalInit).
    Join,
    /// Anything else.
    Other,
}

/// A commit in plain terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Who made it: a member or a joiner.
    pub author: Author,
    /// The leaf that it puts in its author's place, where it has a path.
    pub path: Option<VerifiedDevice>,
    /// What it carries out.
    pub proposals: Vec<(Author, Deed)>,
    /// The roles after it; `None` where they can't be read.
    pub roles: Option<RoleTable>,
    /// The group context's other extensions are those of before.
    pub settings_kept: bool,
}

/// A device that is out of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Which.
    pub device: VerifiedDevice,
    /// Its account left by itself.
    pub left: bool,
}

/// What an allowed commit changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whose device made it.
    pub committer: VerifiedDevice,
    /// That device came in by it.
    pub joined: bool,
    /// Devices that are in now; a joiner is the first.
    pub added: Vec<VerifiedDevice>,
    /// Devices that are out, in the order of their leaves.
    pub removed: Vec<Departure>,
    /// Accounts that had no device in the group before.
    pub accounts_added: Vec<Address>,
    /// Accounts that have no device in the group any more.
    pub accounts_removed: Vec<Address>,
    /// Accounts with another role than before.
    pub roles_changed: Vec<(Address, Role)>,
    /// Accounts that had proposed to leave and are still in.
    pub unheard: Vec<Address>,
}

/// What one proposal does to the membership.
enum Effect {
    Adds(VerifiedDevice),
    Removes { leaf: u32, left: bool },
    Nothing,
}

/// The group as it is before the change that is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    members: BTreeMap<u32, VerifiedDevice>,
    roles: RoleTable,
    leaving: BTreeSet<Address>,
}

impl Group {
    /// `members` are its devices by leaf, `leaving` the leaves whose SelfRemove waits.
    #[must_use]
    pub fn new(
        members: BTreeMap<u32, VerifiedDevice>,
        roles: RoleTable,
        leaving: impl IntoIterator<Item = u32>,
    ) -> Self {
        let leaving = leaving.into_iter().filter_map(|leaf| members.get(&leaf)).map(|device| device.address().clone());
        let leaving = leaving.collect();
        Self { members, roles, leaving }
    }

    /// Accounts that have proposed to leave.
    #[must_use]
    pub fn leaving(&self) -> &BTreeSet<Address> {
        &self.leaving
    }

    /// The roles.
    #[must_use]
    pub fn roles(&self) -> &RoleTable {
        &self.roles
    }

    /// Gives the devices away, by leaf: the rules of the next epoch begin with them.
    pub fn take_members(&mut self) -> BTreeMap<u32, VerifiedDevice> {
        std::mem::take(&mut self.members)
    }

    /// The device at a leaf.
    ///
    /// # Errors
    /// [`Violation::NoLeaf`].
    pub fn member(&self, leaf: u32) -> Result<&VerifiedDevice, Violation> {
        self.members.get(&leaf).ok_or(Violation::NoLeaf)
    }

    /// The leaves of an account.
    pub fn leaves<'s>(&'s self, address: &'s Address) -> impl Iterator<Item = u32> + 's {
        self.members.iter().filter(move |(_, device)| device.address() == address).map(|(leaf, _)| *leaf)
    }

    /// Every device, in the order of leaves.
    pub fn members(&self) -> impl Iterator<Item = (u32, &VerifiedDevice)> {
        self.members.iter().map(|(leaf, device)| (*leaf, device))
    }

    /// Judges a proposal that came by itself, to be committed later by anybody. Only removals may wait
    /// like that: whatever else is proposed could make everybody's next commit invalid.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn proposal(&self, author: Author, deed: &Deed) -> Result<(), Violation> {
        match deed {
            Deed::Leave | Deed::Remove(_) => self.effect(author, None, deed).map(|_| ()),
            _ if author == Author::Hub => Err(Violation::Hub),
            _ => Err(Violation::Proposal),
        }
    }

    /// Judges a commit, and says what it changes.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn commit(&self, commit: Commit) -> Result<Outcome, Violation> {
        let Commit { author, path, proposals, roles, settings_kept } = commit;
        let (committer, joined) = self.committer(author, path)?;
        let anew = self.anew(author, &proposals);
        let mut added = Vec::from_iter(joined.then(|| committer.clone()));
        let mut removed = BTreeMap::new();
        for (proposer, deed) in proposals {
            if deed == Deed::Settings && proposer != author {
                return Err(Violation::Proposal);
            }
            match self.effect(proposer, Some((&committer, &anew)), &deed)? {
                Effect::Adds(device) => added.push(device),
                Effect::Removes { leaf, left } => {
                    removed.insert(leaf, Departure { device: self.member(leaf)?.clone(), left });
                }
                Effect::Nothing => {}
            }
        }
        // A new owner of a name takes over no role, because the devices of the old one are removed first.
        one_key_each(self.members.values().chain(&added))?;
        let before: BTreeSet<_> = self.members.values().map(VerifiedDevice::address).collect();
        let staying = self.members.iter().filter(|(leaf, _)| !removed.contains_key(leaf)).map(|(_, device)| device);
        let after: BTreeSet<_> = staying.chain(&added).map(VerifiedDevice::address).collect();
        if !settings_kept {
            return Err(Violation::Context);
        }
        let roles_changed = self.roles_changed(&committer, &roles.ok_or(Violation::Roles)?, &after)?;
        let accounts = |these: &BTreeSet<&Address>, without: &BTreeSet<&Address>| {
            these.difference(without).map(|address| (*address).clone()).collect()
        };
        Ok(Outcome {
            accounts_added: accounts(&after, &before),
            accounts_removed: accounts(&before, &after),
            unheard: self.leaving.iter().filter(|address| after.contains(address)).cloned().collect(),
            joined,
            committer,
            added,
            removed: removed.into_values().collect(),
            roles_changed,
        })
    }

    /// Who commits, and whether that device joins by it.
    fn committer(&self, author: Author, path: Option<VerifiedDevice>) -> Result<(VerifiedDevice, bool), Violation> {
        match (author, path) {
            (Author::Member(leaf), path) => {
                let member = self.member(leaf)?;
                if path.is_some_and(|path| !same_device(member, &path)) {
                    return Err(Violation::Identity(member.address().clone()));
                }
                Ok((member.clone(), false))
            }
            (Author::Joiner, Some(joiner)) => {
                // A new device of somebody who is a member anyway, and nobody else.
                if self.members.values().any(|member| same_account(member, &joiner)) {
                    Ok((joiner, true))
                } else {
                    Err(Violation::Stranger(joiner.address().clone()))
                }
            }
            _ => Err(Violation::Proposal),
        }
    }

    /// Devices that a member's commit takes out and puts in again: who can't follow the group is added anew by whoever is
    /// asked ([`crate::report`]), because it changes nothing of who is in the group.
    fn anew(&self, author: Author, proposals: &[(Author, Deed)]) -> BTreeSet<DeviceId> {
        let own = || proposals.iter().filter(|(proposer, _)| *proposer == author).map(|(_, deed)| deed);
        let removed: BTreeMap<DeviceId, &VerifiedDevice> = own()
            .filter_map(|deed| match deed {
                Deed::Remove(leaf) => self.members.get(leaf).map(|device| (device.device(), device)),
                _ => None,
            })
            .collect();
        own()
            .filter_map(|deed| match deed {
                Deed::Add(device) if removed.get(&device.device()) == Some(&device) => Some(device.device()),
                _ => None,
            })
            .collect()
    }

    /// What a proposal does, if its author may. `committer` is who carries it out, where somebody does, and which devices
    /// that puts in anew.
    fn effect(
        &self,
        author: Author,
        committer: Option<(&VerifiedDevice, &BTreeSet<DeviceId>)>,
        deed: &Deed,
    ) -> Result<Effect, Violation> {
        let anew = |device: &VerifiedDevice| committer.is_some_and(|(_, anew)| anew.contains(&device.device()));
        match (deed, author) {
            (Deed::Add(device), Author::Member(leaf)) => {
                let author = self.member(leaf)?;
                // Another device of its own is everybody's to add.
                if !same_account(author, device) && !anew(device) {
                    self.permit(author, Action::Add)?;
                }
                Ok(Effect::Adds(device.clone()))
            }
            (Deed::Remove(leaf), author) => {
                let target = self.member(*leaf)?;
                let left = self.leaving.contains(target.address());
                match (author, committer) {
                    (Author::Hub, _) => {}
                    (Author::Member(author), _) => {
                        let author = self.member(author)?;
                        if !same_account(author, target) && !left && !anew(target) {
                            self.permit(author, Action::Remove(self.roles.of(target.address())))?;
                        }
                    }
                    // A device that comes back takes out the leaf that it had.
                    (Author::Joiner, Some((joiner, _))) if same_device(joiner, target) => {}
                    (Author::Joiner, Some((joiner, _))) => return Err(Violation::Stranger(joiner.address().clone())),
                    _ => return Err(Violation::Proposal),
                }
                Ok(Effect::Removes { leaf: *leaf, left })
            }
            (Deed::Leave, Author::Member(leaf)) => {
                self.permit(self.member(leaf)?, Action::Leave)?;
                Ok(Effect::Removes { leaf, left: true })
            }
            (Deed::Settings, Author::Member(_)) | (Deed::Join, Author::Joiner) => Ok(Effect::Nothing),
            (_, Author::Hub) => Err(Violation::Hub),
            _ => Err(Violation::Proposal),
        }
    }

    fn permit(&self, author: &VerifiedDevice, action: Action) -> Result<(), Violation> {
        let role = self.roles.of(author.address());
        if may(role, action) { Ok(()) } else { Err(Violation::Role { who: author.address().clone(), role, action }) }
    }

    /// Compares the roles after the commit with those before.
    fn roles_changed(
        &self,
        committer: &VerifiedDevice,
        roles: &RoleTable,
        after: &BTreeSet<&Address>,
    ) -> Result<Vec<(Address, Role)>, Violation> {
        // Whoever comes later is to find what those compared who were there first.
        if roles.continues() != self.roles.continues() {
            return Err(Violation::Context);
        }
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
#[must_use]
pub fn same_account(one: &VerifiedDevice, other: &VerifiedDevice) -> bool {
    one.address() == other.address() && one.account_key() == other.account_key()
}

fn same_device(one: &VerifiedDevice, other: &VerifiedDevice) -> bool {
    same_account(one, other) && one.device() == other.device()
}

/// Refuses accounts with more than one identity key.
///
/// # Errors
/// [`Violation::TwoKeys`].
pub fn one_key_each<'d>(devices: impl IntoIterator<Item = &'d VerifiedDevice>) -> Result<(), Violation> {
    let mut keys = BTreeMap::new();
    for device in devices {
        if keys.insert(device.address(), device.account_key()).is_some_and(|key| key != device.account_key()) {
            return Err(Violation::TwoKeys(device.address().clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
