//! Commit bundles: the commit, and what comes with it beside the log.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openmls::{
    group::StagedCommit,
    prelude::{ContentType, ProcessedMessageContent, PublicMessageIn, RatchetTreeIn, Sender},
};
use qpc_proto::{
    address::Address,
    credential::VerifiedDevice,
    id::DeviceId,
    judge::{Author, Commit, Outcome, Violation},
    limits::TREE_MAX,
    role::RoleTable,
};

use super::{
    Caller, Crypto, Followed, Refused,
    info::{Expected, Info},
    parse, terms,
    welcome::Parts,
};
use crate::store::{AddedDevice, CommitBundle, GroupChange};

/// A bundle that may be stored, and the group that it makes.
pub struct Approved {
    pub(super) staged: StagedCommit,
    pub(super) tree: Option<RatchetTreeIn>,
    pub(super) welcomes: Vec<(DeviceId, Bytes)>,
    pub(super) outcome: Outcome,
    pub(super) roles: RoleTable,
}

impl Followed {
    /// Judges a bundle that the caller shows, made in the group's epoch. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn judge_commit(&self, crypto: &Crypto, caller: &Caller, bundle: &CommitBundle) -> Result<Approved, Refused> {
        let message = parse::handshake(&bundle.commit, self.public.group_id(), ContentType::Commit, "commit")?;
        if message.epoch() != self.public.group_context().epoch() || bundle.epoch != self.epoch() {
            return Err(Refused::Malformed("commit"));
        }
        self.check_sender(message.sender(), caller)?;
        let tag = message.confirmation_tag().cloned().ok_or(Refused::Malformed("commit"))?;
        let (sender, staged, outcome, roles) = self.staged(crypto, message)?;
        if outcome.joined && !caller.is(&outcome.committer) {
            return Err(Refused::Sender);
        }
        check_members(&outcome, &roles, bundle)?;
        let welcomes = welcomes(crypto, &staged, &outcome, bundle)?;

        let signer = match sender {
            Sender::Member(leaf) => leaf,
            _ => self.public.ext_commit_sender_index(&staged).map_err(|error| Refused::Invalid(error.to_string()))?,
        };
        let info = Info::parse(&bundle.group_info)?;
        let (context, key) = (staged.group_context(), outcome.committer.device_key());
        info.check(crypto, &Expected { context, tag: &tag, signer: signer.u32(), key })?;
        let tree = info.tree().cloned();
        Ok(Approved { staged, tree, welcomes, outcome, roles })
    }

    /// What a commit does, and who made it.
    pub(super) fn staged(
        &self,
        crypto: &Crypto,
        message: PublicMessageIn,
    ) -> Result<(Sender, StagedCommit, Outcome, RoleTable), Refused> {
        let processed = self.process(crypto, message)?;
        let sender = processed.sender().clone();
        let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
            return Err(Violation::Proposal.into());
        };
        let (outcome, roles) = self.outcome(&sender, &staged)?;
        Ok((sender, *staged, outcome, roles))
    }

    /// Makes the change. After an error the group is of no use any more.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn apply(&mut self, approved: Approved) -> Result<GroupChange, Refused> {
        let Approved { staged, tree, welcomes, outcome, roles } = approved;
        self.public.merge_commit(&self.values, staged).map_err(|error| Refused::Invalid(error.to_string()))?;
        // What the group info lacks the welcome lacks, too, as one who makes both: it can't be looked into.
        let welcome_tree = if !welcomes.is_empty() && tree.is_none() { Some(self.tree()?.into()) } else { None };
        if welcome_tree.as_ref().is_some_and(|tree: &Bytes| tree.len() > TREE_MAX) {
            return Err(Refused::TooLarge);
        }
        if tree.is_some_and(|tree| tree != RatchetTreeIn::from(self.public.export_ratchet_tree())) {
            return Err(Refused::Info("another tree"));
        }
        let joined: BTreeMap<&[u8], &VerifiedDevice> =
            outcome.added.iter().map(|device| (device.device_key().as_slice(), device)).collect();
        let mut before = self.rules.take_members();
        let members = self.public.members().filter_map(|leaf| {
            let known = before.remove(&leaf.index.u32()).filter(|known| leaf.signature_key == known.device_key());
            let device = known.or_else(|| joined.get(leaf.signature_key.as_slice()).map(|device| (*device).clone()));
            Some((leaf.index.u32(), device?))
        });
        let members: BTreeMap<_, _> = members.collect();
        self.pending.clear();
        self.see(members, roles);
        let added = |device: &VerifiedDevice| AddedDevice {
            address: device.address().clone(),
            account_key: *device.account_key(),
            device: device.device(),
            key: *device.device_key(),
        };
        Ok(GroupChange {
            state: self.values.take()?,
            added: outcome.added.iter().map(added).collect(),
            joined: outcome.joined,
            removed_devices: outcome.removed.iter().map(|gone| gone.device.device()).collect(),
            removed: outcome.accounts_removed,
            roles: outcome.roles_changed,
            welcomes,
            welcome_tree,
            base_tree: None,
        })
    }

    /// A member's leaf must be the caller's; a joiner is known by its path alone.
    pub(super) fn check_sender(&self, sender: &Sender, caller: &Caller) -> Result<(), Refused> {
        match terms::author(sender) {
            Author::Member(leaf) if self.rules.member(leaf).is_ok_and(|device| caller.is(device)) => Ok(()),
            Author::Joiner => Ok(()),
            _ => Err(Refused::Sender),
        }
    }

    fn outcome(&self, sender: &Sender, staged: &StagedCommit) -> Result<(Outcome, RoleTable), Refused> {
        let proposals = staged
            .queued_proposals()
            .map(|queued| Ok((terms::author(queued.sender()), terms::deed(queued.proposal())?)))
            .collect::<Result<_, Refused>>()?;
        let (before, now) = (self.public.group_context().extensions(), staged.group_context().extensions());
        let roles = terms::roles(now);
        let outcome = self.rules.commit(Commit {
            author: terms::author(sender),
            path: staged.update_path_leaf_node().map(terms::of_leaf).transpose()?,
            proposals,
            roles: roles.clone(),
            settings_kept: terms::same_settings(before, now),
        })?;
        Ok((outcome, roles.ok_or(Violation::Roles)?))
    }
}

/// Is the change of membership in the bundle what the commit does? Whoever left by themselves need not be named: their
/// access has ended.
fn check_members(outcome: &Outcome, roles: &RoleTable, bundle: &CommitBundle) -> Result<(), Refused> {
    let named: BTreeSet<&Address> = bundle.added.iter().map(|(address, _)| address).collect();
    let added = named.len() == bundle.added.len()
        && named.iter().copied().eq(outcome.accounts_added.iter())
        && bundle.added.iter().all(|(address, role)| roles.of(address) == *role);
    let removed: BTreeSet<&Address> = bundle.removed.iter().collect();
    let gone: BTreeSet<&Address> = outcome.accounts_removed.iter().collect();
    let left: BTreeSet<&Address> =
        outcome.removed.iter().filter(|gone| gone.left).map(|gone| gone.device.address()).collect();
    let removed = removed.len() == bundle.removed.len()
        && removed.is_subset(&gone)
        && gone.difference(&removed).all(|address| left.contains(*address));
    if added && removed { Ok(()) } else { Err(Refused::Members) }
}

/// What each device is welcomed with, if the welcome is for exactly the key packages that the commit adds, and sent to
/// exactly their devices.
fn welcomes(
    crypto: &Crypto,
    staged: &StagedCommit,
    outcome: &Outcome,
    bundle: &CommitBundle,
) -> Result<Vec<(DeviceId, Bytes)>, Refused> {
    let invited = outcome.added.iter().skip(usize::from(outcome.joined)).map(VerifiedDevice::device);
    let mut invited: Vec<DeviceId> = invited.collect();
    let mut listed = bundle.welcome_devices.clone();
    invited.sort_unstable();
    listed.sort_unstable();
    if invited != listed || bundle.welcome.is_empty() != invited.is_empty() {
        return Err(Refused::Welcome);
    }
    if bundle.welcome.is_empty() {
        return Ok(Vec::new());
    }
    let parts = Parts::of(&bundle.welcome)?;
    let devices: BTreeMap<&[u8], DeviceId> =
        outcome.added.iter().map(|device| (device.device_key().as_slice(), device.device())).collect();
    let wanted = staged.add_proposals().map(|add| {
        let key_package = add.add_proposal().key_package();
        let reference = key_package.hash_ref(&crypto.0).map_err(|error| Refused::Invalid(error.to_string()))?;
        let device = devices.get(key_package.leaf_node().signature_key().as_slice()).ok_or(Refused::Welcome)?;
        Ok((reference.as_slice().to_vec(), *device))
    });
    let wanted: BTreeMap<_, _> = wanted.collect::<Result<_, Refused>>()?;
    let mut given: Vec<_> = parts.welcome.secrets().iter().map(|secret| secret.new_member()).collect();
    given.sort_unstable_by(|one, other| one.as_slice().cmp(other.as_slice()));
    if !given.iter().map(|reference| reference.as_slice()).eq(wanted.keys().map(Vec::as_slice)) {
        return Err(Refused::Welcome);
    }
    wanted.iter().map(|(reference, device)| Ok((*device, parts.only(reference)?))).collect()
}
