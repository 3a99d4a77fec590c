//! Commits of our own: made, shown to the server, and only then applied.
//!
//! A commit is one change of the group. Making it changes nothing but that it waits; if
//! somebody else's wins, that one is processed and ours is gone.

use std::collections::BTreeSet;

use openmls::{
    group::MlsGroup,
    key_packages::KeyPackage,
    prelude::{LeafNodeIndex, MlsMessageOut, Proposal, QueuedProposal, Sender, tls_codec::Serialize as _},
};
use openmls_traits::OpenMlsProvider as _;
use prost::Message as _;
pub use qpc_proto::judge::Departure;
use qpc_proto::{
    address::Address,
    credential::VerifiedDevice,
    id::{DeviceId, Epoch},
    limits::{FRAME_MAX, HANDSHAKE_BODY_MAX},
    link::JoinRequest,
    role::{Role, RoleTable},
    v1,
};

use super::{
    CommitError, Encrypted, Fault, Group, GroupError, Invitee, MergeError, Mls, Refusal,
    config::{self, roles_extension},
    group::{epoch_of, stored_roles, suite_of},
    judge::Judge,
};

/// What a commit has changed, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose device made it.
    pub committer: VerifiedDevice,
    /// The epoch that it makes.
    pub epoch: Epoch,
    /// Devices that are in now, to be pinned where their accounts are new.
    pub added: Vec<VerifiedDevice>,
    /// Devices that are out.
    pub removed: Vec<Departure>,
    /// Accounts that had no device in the group before.
    pub accounts_added: Vec<Address>,
    /// Accounts that have no device in the group any more.
    pub accounts_removed: Vec<Address>,
    /// Accounts with another role than before.
    pub roles_changed: Vec<(Address, Role)>,
    /// This device is out: the group can only be deleted.
    pub removed_self: bool,
    /// Accounts that had proposed to leave and are still in, because the commit was made before: their
    /// proposals are void, and whoever may remove them should.
    pub unheard: Vec<Address>,
    /// What its maker put beside it, authenticated (RFC 9420 section 6.3.1): the request by a link that it answers, or
    /// nothing.
    pub beside: Vec<u8>,
}

/// A commit that waits: what the server has to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Staged {
    /// The epoch it was made in.
    pub epoch: Epoch,
    /// The encoded PublicMessage.
    pub commit: Vec<u8>,
    /// The encoded welcome for those it adds.
    pub welcome: Option<Vec<u8>>,
    /// The devices that the welcome is for.
    pub welcome_devices: Vec<DeviceId>,
    /// The encoded GroupInfo of the next epoch, with the tree.
    pub group_info: Vec<u8>,
    /// What it changes once it is applied.
    pub change: Change,
    /// Of those it adds, who has asked by a link.
    pub asked: Vec<Address>,
}

impl Staged {
    /// Does a server take it?
    pub(super) fn fits(&self) -> bool {
        let parts = [self.commit.len(), self.welcome.as_ref().map_or(0, Vec::len), self.group_info.len()];
        parts.iter().all(|part| *part <= HANDSHAKE_BODY_MAX)
            && self.to_wire().encoded_len() <= FRAME_MAX.saturating_sub(REQUEST_ROOM)
    }

    /// With which role somebody comes in.
    fn role_of(&self, added: &Address) -> v1::Role {
        let given = self.change.roles_changed.iter().find(|(address, _)| address == added);
        given.map_or(Role::Member, |(_, role)| *role).to_wire()
    }

    /// The bundle of the wire. Accounts that left by themselves are not among the removed: the server
    /// ended their access when they proposed it.
    #[must_use]
    pub fn to_wire(&self) -> v1::CommitBundle {
        let left: BTreeSet<_> =
            self.change.removed.iter().filter(|gone| gone.left).map(|gone| gone.device.address()).collect();
        let removed = self.change.accounts_removed.iter().filter(|address| !left.contains(address));
        v1::CommitBundle {
            epoch: self.epoch.0,
            commit: self.commit.clone().into(),
            welcome: self.welcome.clone().unwrap_or_default().into(),
            welcome_devices: self.welcome_devices.iter().map(DeviceId::to_bytes).collect(),
            group_info: self.group_info.clone().into(),
            added: self
                .change
                .accounts_added
                .iter()
                .map(|address| v1::Member { address: address.to_string(), role: self.role_of(address).into() })
                .collect(),
            removed: removed.map(Address::to_string).collect(),
            asked: self.asked.iter().map(Address::to_string).collect(),
        }
    }
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staged").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Bytes of a frame that the bundle in it leaves to the rest of the request.
const REQUEST_ROOM: usize = 1024;

/// What a commit is to do, besides what was proposed.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) add: Vec<(VerifiedDevice, KeyPackage)>,
    pub(super) remove: BTreeSet<u32>,
    pub(super) roles: Vec<(Address, Role)>,
    pub(super) beside: Vec<u8>,
}

impl Group<'_> {
    /// Adds devices of new or present members.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn add(&mut self, invitees: &[Invitee<'_>]) -> Result<Staged, CommitError> {
        self.add_as(invitees, Vec::new())
    }

    /// The same, and gives those who come in roles, which only an owner may.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn add_as(&mut self, invitees: &[Invitee<'_>], roles: Vec<(Address, Role)>) -> Result<Staged, CommitError> {
        let suite = self.suite()?;
        let check = |invitee| self.mls.check_invitee(suite, invitee);
        let add = invitees.iter().map(check).collect::<Result<Vec<_>, _>>()?;
        if add.is_empty() {
            return Err(CommitError::Nothing);
        }
        self.change(|group, mls| stage(group, mls, Plan { add, roles, ..Plan::default() }))
    }

    /// Lets in who has asked by a link, under the account key that the request names. The commit shows the request to
    /// everybody in the group.
    ///
    /// # Errors
    /// [`CommitError`]; [`CommitError::Refused`] where the key packages are another account key's.
    pub fn let_in(&mut self, request: &JoinRequest, invitees: &[Invitee<'_>]) -> Result<Staged, CommitError> {
        let suite = self.suite()?;
        let mut add = Vec::with_capacity(invitees.len());
        for invitee in invitees.iter().filter(|invitee| invitee.address == request.address()) {
            let (device, key_package) = self.mls.check_invitee(suite, invitee)?;
            if device.account_key() != request.account_key() {
                return Err(Refusal::AccountKeyChanged(Box::new(device)).into());
            }
            add.push((device, key_package));
        }
        if add.is_empty() {
            return Err(CommitError::Nothing);
        }
        let staged = self.change(|group, mls| {
            // Who is in it has brought their other devices or will; the link is for accounts.
            if Judge::of(group, mls.trust)?.leaves(request.address()).next().is_some() {
                return Err(CommitError::AlreadyMember(request.address().clone()));
            }
            stage(group, mls, Plan { add, beside: request.encode(), ..Plan::default() })
        })?;
        Ok(Staged { asked: vec![request.address().clone()], ..staged })
    }

    /// Removes all devices of these accounts.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn remove(&mut self, accounts: &[Address]) -> Result<Staged, CommitError> {
        self.change(|group, mls| {
            let judge = Judge::of(group, mls.trust)?;
            let mut plan = Plan::default();
            for address in accounts {
                let leaves: Vec<u32> = judge.leaves(address).collect();
                if leaves.is_empty() {
                    return Err(CommitError::NotMember(address.clone()));
                }
                plan.remove.extend(leaves);
            }
            if plan.remove.is_empty() {
                return Err(CommitError::Nothing);
            }
            stage(group, mls, plan)
        })
    }

    /// Removes single devices: revoked ones of this account, above all.
    ///
    /// # Errors
    /// [`CommitError`]; [`CommitError::Nothing`] where none of them is in the group.
    pub fn remove_devices(&mut self, devices: &[DeviceId]) -> Result<Staged, CommitError> {
        self.change(|group, mls| {
            let judge = Judge::of(group, mls.trust)?;
            let remove: BTreeSet<u32> = judge
                .members()
                .filter(|(_, member)| devices.contains(&member.device()))
                .map(|(leaf, _)| leaf)
                .collect();
            if remove.is_empty() {
                return Err(CommitError::Nothing);
            }
            stage(group, mls, Plan { remove, ..Plan::default() })
        })
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn set_role(&mut self, account: &Address, role: Role) -> Result<Staged, CommitError> {
        self.change(|group, mls| {
            let judge = Judge::of(group, mls.trust)?;
            if judge.leaves(account).next().is_none() {
                return Err(CommitError::NotMember(account.clone()));
            }
            if stored_roles(group)?.of(account) == role {
                return Err(CommitError::Nothing);
            }
            stage(group, mls, Plan { roles: vec![(account.clone(), role)], ..Plan::default() })
        })
    }

    /// Carries out what others have proposed: above all, that they leave.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn commit_proposals(&mut self) -> Result<Staged, CommitError> {
        self.change(|group, mls| {
            if group.has_pending_proposals() { stage(group, mls, Plan::default()) } else { Err(CommitError::Nothing) }
        })
    }

    /// Replaces this device's own keys in the group, so that older ones that were stolen no longer serve.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn update(&mut self) -> Result<Staged, CommitError> {
        self.change(|group, mls| stage(group, mls, Plan::default()))
    }

    /// Whether this account may leave: not while it is the only owner and others stay.
    ///
    /// # Errors
    /// [`CommitError::LastOwner`], or a fault.
    pub fn may_leave(&mut self) -> Result<(), CommitError> {
        let mls = self.mls;
        let group = self.active()?;
        let judge = Judge::of(group, mls.trust)?;
        let (me, roles) = (mls.device.verified().address(), stored_roles(group)?);
        // Who has said to leave is no owner who stays.
        let staying: BTreeSet<&Address> = judge
            .members()
            .map(|(_, device)| device.address())
            .filter(|address| *address != me && !judge.leaving().contains(address))
            .collect();
        let orphaned = roles.of(me) == Role::Owner
            && !staying.is_empty()
            && !staying.iter().any(|address| roles.of(address) == Role::Owner);
        if orphaned { Err(CommitError::LastOwner) } else { Ok(()) }
    }

    /// The proposal by which this account leaves, to be sent with `leave`. It changes nothing here:
    /// once it is accepted, the group can be deleted, for any member commits it.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn leave(&mut self) -> Result<Encrypted, CommitError> {
        self.may_leave()?;
        let mut left = None;
        // OpenMLS queues its own proposal; a refused one would then spoil every later commit. It
        // comes back through the log.
        let undone = self.change(|group, mls| {
            if group.pending_commit().is_some() {
                return Err(Undone(Some(CommitError::Pending)));
            }
            let epoch = epoch_of(group);
            let proposal =
                group.leave_group_via_self_remove(&mls.provider, mls.device.signer()).map_err(Fault::engine)?;
            let bytes = proposal.tls_serialize_detached().map_err(Fault::engine)?;
            left = Some(Encrypted { epoch, bytes });
            Err::<(), _>(Undone(None))
        });
        match (undone, left) {
            (Err(Undone(None)) | Ok(()), Some(proposal)) => Ok(proposal),
            (Err(Undone(Some(error))), _) => Err(error),
            (_, None) => Err(Fault::engine("no proposal was made").into()),
        }
    }

    /// Applies our commit, which the server has accepted.
    ///
    /// # Errors
    /// [`MergeError`].
    pub fn merge_pending(&mut self) -> Result<Change, MergeError> {
        self.change(|group, mls| merge_own(group, mls))
    }

    /// Drops our commit, which the server has refused. To be called only where it is certain that it
    /// was not accepted.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn discard_pending(&mut self) -> Result<(), GroupError> {
        self.change(|group, mls| Ok(group.clear_pending_commit(mls.provider.storage()).map_err(Fault::from)?))
    }
}

/// An operation whose traces are not wanted, with the error where it failed.
struct Undone(Option<CommitError>);

impl From<Fault> for Undone {
    fn from(fault: Fault) -> Self {
        Self(Some(fault.into()))
    }
}

impl From<GroupError> for Undone {
    fn from(error: GroupError) -> Self {
        Self(Some(error.into()))
    }
}

/// Applies the commit of our own that waits.
pub(super) fn merge_own(group: &mut MlsGroup, mls: &Mls<'_>) -> Result<Change, MergeError> {
    let pending = group.pending_commit().ok_or(MergeError::NonePending)?;
    // It was judged when it was made, and the trust of today does not undo what the server took.
    let judge = Judge::of(group, &Everybody)?;
    let change = judge
        .commit(&Sender::Member(group.own_leaf_index()), pending)
        .map_err(|_| Fault::engine("our own commit is not allowed"))?;
    group.merge_pending_commit(&mls.provider).map_err(Fault::engine)?;
    Ok(change)
}

/// Trust where judgement has been passed already.
struct Everybody;

impl super::Trust for Everybody {
    fn judge(&self, _device: &VerifiedDevice) -> super::Verdict {
        super::Verdict::Trusted
    }
}

/// Makes a commit and lets it wait. It carries out all proposals that are queued, too.
pub(super) fn stage(group: &mut MlsGroup, mls: &Mls<'_>, mut plan: Plan) -> Result<Staged, CommitError> {
    if group.pending_commit().is_some() {
        return Err(CommitError::Pending);
    }
    let epoch = epoch_of(group);
    let judge = Judge::of(group, mls.trust)?;
    if judge.leaving().contains(mls.device.verified().address()) {
        return Err(CommitError::Leaving);
    }
    let proposed_away: BTreeSet<u32> = group.pending_proposals().filter_map(away).collect();
    if proposed_away.contains(&group.own_leaf_index().u32()) {
        return Err(CommitError::Leaving);
    }

    // Who leaves takes all its devices along.
    let mut remove = plan.remove;
    remove.extend(judge.leaving().iter().flat_map(|address| judge.leaves(address)));
    let gone: BTreeSet<u32> = remove.union(&proposed_away).copied().collect();
    let stay: Vec<&VerifiedDevice> =
        judge.members().filter(|(leaf, _)| !gone.contains(leaf)).map(|(_, device)| device).collect();
    // Devices that are in it stay as they are; it is for the others that somebody is added once more.
    let asked = plan.add.first().map(|(device, _)| device.address().clone());
    plan.add.retain(|(device, _)| !stay.contains(&device));
    if let (Some(asked), true) = (asked, plan.add.is_empty()) {
        return Err(CommitError::AlreadyMember(asked));
    }
    let members: BTreeSet<&Address> =
        stay.iter().map(|device| device.address()).chain(plan.add.iter().map(|(device, _)| device.address())).collect();
    let roles = stored_roles(group)?;
    let new_roles = next_roles(&roles, &plan.roles, &members);
    let welcome_devices: Vec<DeviceId> = plan.add.iter().map(|(device, _)| device.device()).collect();
    let mut extensions = group.extensions().clone();
    let group_suite = suite_of(group)?;
    let members = stay.len().saturating_add(welcome_devices.len());

    group.set_aad(plan.beside);
    let mut builder = group
        .commit_builder()
        .force_self_update(true)
        .propose_adds(plan.add.into_iter().map(|(_, key_package)| key_package))
        .propose_removals(remove.difference(&proposed_away).map(|leaf| LeafNodeIndex::new(*leaf)));
    if new_roles != roles {
        extensions.add_or_replace(roles_extension(&new_roles)).map_err(Fault::engine)?;
        builder = builder.propose_group_context_extensions(extensions).map_err(Fault::engine)?;
    }
    let bundle = builder
        .load_psks(mls.provider.storage())
        .map_err(Fault::engine)?
        .create_group_info(true)
        .use_ratchet_tree_extension(config::carries_tree(group_suite, welcome_devices.len(), members))
        .build(mls.provider.rand(), mls.provider.crypto(), mls.device.signer(), |_| true)
        .map_err(Fault::engine)?
        .stage_commit(&mls.provider)
        .map_err(Fault::engine)?;

    let pending = group.pending_commit().ok_or_else(|| Fault::engine("no commit was staged"))?;
    let change = Judge::of(group, mls.trust)?.commit(&Sender::Member(group.own_leaf_index()), pending)?;
    let (commit, welcome, group_info) = bundle.into_messages();
    let encode = |message: MlsMessageOut| message.tls_serialize_detached().map_err(Fault::engine);
    let staged = Staged {
        epoch,
        commit: encode(commit)?,
        welcome: welcome.map(encode).transpose()?,
        welcome_devices,
        group_info: encode(group_info.ok_or_else(|| Fault::engine("no group info was made"))?)?,
        change,
        asked: Vec::new(),
    };
    if staged.fits() { Ok(staged) } else { Err(CommitError::TooLarge) }
}

/// The leaf that a queued proposal removes.
fn away(pending: &QueuedProposal) -> Option<u32> {
    match (pending.proposal(), pending.sender()) {
        (Proposal::SelfRemove, Sender::Member(leaf)) => Some(leaf.u32()),
        (Proposal::Remove(remove), _) => Some(remove.removed().u32()),
        _ => None,
    }
}

/// The role table after a commit: it names members only, and what the group continues stays.
fn next_roles(roles: &RoleTable, set: &[(Address, Role)], members: &BTreeSet<&Address>) -> RoleTable {
    let mut next = RoleTable::default().continuing(roles.continues().cloned());
    for (address, role) in roles.iter().filter(|(address, _)| members.contains(address)) {
        next.set(address.clone(), role);
    }
    for (address, role) in set {
        next.set(address.clone(), *role);
    }
    next
}
