//! Every commit and proposal is judged here before it counts: MLS's terms are put into those of the rules
//! that server and client share (`qpc_proto::judge`), and every leaf that comes in must be trusted.

use openmls::{
    group::{MlsGroup, StagedCommit},
    prelude::{Extension, ExtensionType, Extensions, GroupContext, Proposal, Sender},
};
pub use qpc_proto::judge::Violation;
use qpc_proto::{
    address::Address,
    credential::VerifiedDevice,
    id::Epoch,
    judge::{Author, Commit, Deed, Group as Rules},
    role::ROLES_EXTENSION,
};

use super::{
    Change, Fault, Refusal, Trust,
    credential::admit_leaf,
    group::{members_of, roles_of, stored_roles},
};

/// Why a change does not count.
pub(super) enum Objection {
    Refused(Refusal),
    NotAllowed(Violation),
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

objection!(Refusal => Refused, Violation => NotAllowed);

macro_rules! objection_into {
    ($($error:path),+) => {
        $(impl From<Objection> for $error {
            fn from(objection: Objection) -> Self {
                match objection {
                    Objection::Refused(refusal) => refusal.into(),
                    Objection::NotAllowed(violation) => violation.into(),
                }
            }
        })+
    };
}

objection_into!(super::CommitError, super::ProcessError);

/// The group as it is before the change that is judged.
pub(super) struct Judge<'a> {
    trust: &'a dyn Trust,
    rules: Rules,
    context: &'a Extensions<GroupContext>,
}

impl<'a> Judge<'a> {
    pub(super) fn of(group: &'a MlsGroup, trust: &'a dyn Trust) -> Result<Self, Fault> {
        let members = members_of(group)?.into_iter().map(|member| (member.leaf, member.device)).collect();
        let leaving = group.pending_proposals().filter_map(|pending| match (pending.proposal(), pending.sender()) {
            (Proposal::SelfRemove, Sender::Member(leaf)) => Some(leaf.u32()),
            _ => None,
        });
        Ok(Self { trust, rules: Rules::new(members, stored_roles(group)?, leaving), context: group.extensions() })
    }

    /// Accounts that have proposed to leave.
    pub(super) fn leaving(&self) -> &std::collections::BTreeSet<Address> {
        self.rules.leaving()
    }

    pub(super) fn member(&self, leaf: u32) -> Result<&VerifiedDevice, Fault> {
        self.rules.member(leaf).map_err(Fault::engine)
    }

    /// The leaves of an account.
    pub(super) fn leaves<'s>(&'s self, address: &'s Address) -> impl Iterator<Item = u32> + 's {
        self.rules.leaves(address)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (u32, &VerifiedDevice)> {
        self.rules.members()
    }

    /// Judges a proposal that came by itself, to be committed later by anybody.
    pub(super) fn proposal(&self, sender: &Sender, proposal: &Proposal) -> Result<(), Objection> {
        Ok(self.rules.proposal(author(sender), &self.deed(proposal)?)?)
    }

    /// Judges a commit, and says what it changes.
    pub(super) fn commit(&self, sender: &Sender, commit: &StagedCommit) -> Result<Change, Objection> {
        let proposals = commit
            .queued_proposals()
            .map(|queued| Ok((author(queued.sender()), self.deed(queued.proposal())?)))
            .collect::<Result<_, Objection>>()?;
        let now = commit.group_context().extensions();
        let outcome = self.rules.commit(Commit {
            author: author(sender),
            path: commit.update_path_leaf_node().map(|leaf| admit_leaf(leaf, self.trust)).transpose()?,
            proposals,
            roles: roles_of(now),
            settings_kept: same_settings(self.context, now),
        })?;
        Ok(Change {
            committer: outcome.committer,
            epoch: Epoch(commit.epoch().as_u64()),
            added: outcome.added,
            removed: outcome.removed,
            accounts_added: outcome.accounts_added,
            accounts_removed: outcome.accounts_removed,
            roles_changed: outcome.roles_changed,
            removed_self: commit.self_removed(),
            unheard: outcome.unheard,
            beside: Vec::new(),
        })
    }

    fn deed(&self, proposal: &Proposal) -> Result<Deed, Refusal> {
        Ok(match proposal {
            Proposal::Add(add) => Deed::Add(admit_leaf(add.key_package().leaf_node(), self.trust)?),
            Proposal::Remove(remove) => Deed::Remove(remove.removed().u32()),
            Proposal::SelfRemove => Deed::Leave,
            Proposal::GroupContextExtensions(_) => Deed::Settings,
            Proposal::ExternalInit(_) => Deed::Join,
            _ => Deed::Other,
        })
    }
}

fn author(sender: &Sender) -> Author {
    match sender {
        Sender::Member(leaf) => Author::Member(leaf.u32()),
        Sender::NewMemberCommit => Author::Joiner,
        Sender::External(_) => Author::Hub,
        Sender::NewMemberProposal => Author::Other,
    }
}

/// Whether nothing but the roles differs.
fn same_settings(one: &Extensions<GroupContext>, other: &Extensions<GroupContext>) -> bool {
    let (one, other) = (all_but_roles(one), all_but_roles(other));
    one.len() == other.len() && one.iter().all(|extension| other.contains(extension))
}

fn all_but_roles(extensions: &Extensions<GroupContext>) -> Vec<&Extension> {
    let roles = ExtensionType::Unknown(ROLES_EXTENSION);
    extensions.iter().filter(|extension| extension.extension_type() != roles).collect()
}
