//! Commits that members can't process though the server took them: reported, and repaired by adding anew whoever reported
//! (see `qpc_proto::report`).

use openmls::prelude::{MlsMessageBodyIn, MlsMessageIn, Sender, tls_codec::DeserializeBytes as _};
use openmls_traits::signatures::Signer as _;
use qpc_proto::{
    address::Address,
    chain::ChainValue,
    id::{ConversationName, Seq},
    report::Report,
    role::{Action, may},
    suite::Suite,
};

use super::{CommitError, Fault, Group, GroupError, Invitee, KeyPackageError, Mls, Staged, change::Plan, judge::Judge};

impl Mls<'_> {
    /// Makes a report about the commit at this place, after which the log has this chain value; a fresh key package of `suite`
    /// is in it, and its secrets are kept.
    ///
    /// # Errors
    /// [`KeyPackageError`].
    pub fn report(
        &self,
        conversation: &ConversationName,
        suite: Suite,
        at: (Seq, ChainValue),
    ) -> Result<Report, KeyPackageError> {
        let key_package = self.make_key_package(suite, false)?;
        Report::new(conversation, at, key_package.into(), |signed| self.device.signer().sign(signed))
            .map_err(|_| Fault::engine("a report could not be signed"))
    }
}

impl Group<'_> {
    /// Puts devices that can't follow the group in anew, and takes accounts out that made it so, as far as this account
    /// may. A device that is not in the group, or whose key package is of no use, is passed over: it comes back by itself.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn repair(&mut self, devices: &[Invitee<'_>], culprits: &[Address]) -> Result<Staged, CommitError> {
        let suite = self.suite()?;
        let roles = self.roles()?;
        let mut add = Vec::new();
        for invitee in devices.iter().filter(|invitee| !culprits.contains(invitee.address)) {
            match self.mls.check_invitee(suite, invitee) {
                Ok(usable) => add.push(usable),
                Err(CommitError::Group(GroupError::Fault(fault))) => return Err(fault.into()),
                Err(error) => tracing::debug!(%error, "a device that can't follow is not put in anew"),
            }
        }
        self.change(|group, mls| {
            let judge = Judge::of(group, mls.trust)?;
            let mut plan = Plan::default();
            let own = group.own_leaf_index().u32();
            for device in add {
                if let Some((leaf, _)) = judge.members().find(|(leaf, member)| **member == device.0 && *leaf != own) {
                    plan.remove.insert(leaf);
                    plan.add.push(device);
                }
            }
            let mine = roles.of(mls.device.verified().address());
            for culprit in culprits.iter().filter(|culprit| may(mine, Action::Remove(roles.of(culprit)))) {
                plan.remove.extend(judge.leaves(culprit));
            }
            if plan.remove.is_empty() {
                return Err(CommitError::Nothing);
            }
            super::change::stage(group, mls, plan)
        })
    }
}

/// Whether a commit is one by which somebody comes in: who made it may have been shown a wrong group info.
pub(crate) fn is_external(commit: &[u8]) -> bool {
    match MlsMessageIn::tls_deserialize_exact_bytes(commit).map(MlsMessageIn::extract) {
        Ok(MlsMessageBodyIn::PublicMessage(message)) => matches!(message.sender(), Sender::NewMemberCommit),
        _ => false,
    }
}
