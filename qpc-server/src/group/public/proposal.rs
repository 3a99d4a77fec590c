//! Proposals that come by themselves: a member leaves, or somebody is to be removed.

use openmls::prelude::{ContentType, ProcessedMessageContent, PublicMessageIn, QueuedProposal};
use qpc_proto::judge::{Author, Deed, Violation};

use super::{Caller, Crypto, Followed, Refused, parse, terms};
use crate::store::GroupState;

/// A proposal that may be stored.
pub struct ApprovedProposal {
    queued: Box<QueuedProposal>,
    author: Author,
    deed: Deed,
}

impl ApprovedProposal {
    pub(super) fn author(&self) -> Author {
        self.author
    }

    pub(super) fn deed(&self) -> &Deed {
        &self.deed
    }
}

impl Followed {
    /// Judges a proposal that the caller shows. One that is said to be a leave must be one, and the other way
    /// round, because the server ends the leaver's access with it. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn judge_proposal(
        &self,
        crypto: &Crypto,
        caller: &Caller,
        body: &[u8],
        leave: bool,
    ) -> Result<ApprovedProposal, Refused> {
        let message = parse::handshake(body, self.public.group_id(), ContentType::Proposal, "proposal")?;
        if message.epoch() != self.public.group_context().epoch() {
            return Err(Refused::Malformed("proposal"));
        }
        self.check_sender(message.sender(), caller)?;
        let approved = self.judge_proposed(crypto, message)?;
        let (author, deed) = (approved.author, &approved.deed);
        // One of each: two removals of a leaf in one commit would make it invalid.
        let again = match deed {
            Deed::Remove(_) => self.pending.iter().any(|(_, known)| known == deed),
            _ => self.pending.contains(&(author, deed.clone())),
        };
        if again || leave != (*deed == Deed::Leave) {
            return Err(Violation::Proposal.into());
        }
        Ok(approved)
    }

    /// Judges a proposal by itself, whoever shows it.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) fn judge_proposed(
        &self,
        crypto: &Crypto,
        message: PublicMessageIn,
    ) -> Result<ApprovedProposal, Refused> {
        let processed = self.process(crypto, message)?;
        let author = terms::author(processed.sender());
        let ProcessedMessageContent::ProposalMessage(queued) = processed.into_content() else {
            return Err(Violation::Proposal.into());
        };
        let deed = terms::deed(queued.proposal())?;
        self.rules.proposal(author, &deed)?;
        Ok(ApprovedProposal { queued, author, deed })
    }

    /// Lets it wait for the next commit. After an error the group is of no use any more.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn queue(&mut self, approved: ApprovedProposal) -> Result<GroupState, Refused> {
        self.public.add_proposal(&self.values, *approved.queued)?;
        self.pending.push((approved.author, approved.deed));
        let (members, roles) = (self.rules.take_members(), self.rules.roles().clone());
        self.see(members, roles);
        Ok(self.values.take()?)
    }
}
