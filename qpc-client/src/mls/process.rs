//! What comes from others, in the order of the log.

use openmls::{
    framing::errors::{MessageDecryptionError, SecretTreeError},
    group::{MlsGroup, ProcessMessageError, StageCommitError, ValidationError},
    prelude::{
        ContentType, MlsMessageIn, ProcessedMessageContent, Proposal, ProtocolMessage, QueuedProposal, Sender,
        WireFormat, tls_codec::DeserializeBytes as _,
    },
};
use openmls_traits::OpenMlsProvider as _;
use qpc_proto::{
    chain::EntryKind,
    credential::VerifiedDevice,
    id::{Epoch, MessageId},
};
use zeroize::Zeroizing;

use super::{
    Change, Fault, Group, MergeError, Mls, ProcessError, StorageError, Violation,
    change::merge_own,
    config::PAST_EPOCHS_MAX,
    credential::identify,
    group::{epoch_of, group_id},
    judge::Judge,
};

/// What an entry of the log was.
pub enum Processed {
    /// A message.
    Message {
        /// Whose device encrypted it: the sender to show, whatever the header says.
        sender: VerifiedDevice,
        /// The id that the sender gave it; to be compared with the entry's.
        id: MessageId,
        /// What it says.
        plaintext: Zeroizing<Vec<u8>>,
    },
    /// A message of this device's own, which it can't decrypt. The claim is not authenticated: what was said
    /// is in the outbox, or was never said.
    OwnMessage,
    /// A commit, now applied. Our own is one of these when its answer was lost; another's has
    /// done away with ours.
    Commit(Box<Change>),
    /// A proposal, now waiting to be committed.
    Proposal(Proposed),
}

/// A proposal of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// Who made it.
    pub from: Proposer,
    /// What it asks for.
    pub kind: ProposalKind,
}

/// Who proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposer {
    /// A member's device.
    Member(VerifiedDevice),
    /// This device.
    Own,
    /// The hub.
    Hub,
}

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposalKind {
    /// The proposer's account leaves.
    Leave,
    /// Somebody's device is to be removed.
    Remove(VerifiedDevice),
}

impl Group<'_> {
    /// Applies an entry of the conversation's log.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn process(&mut self, kind: EntryKind, body: &[u8]) -> Result<Processed, ProcessError> {
        let message = parse(kind, body)?;
        if message.group_id() != &group_id(&self.name) {
            return Err(ProcessError::Malformed("of another group"));
        }
        self.change(|group, mls| process(group, mls, message))
    }
}

fn parse(kind: EntryKind, body: &[u8]) -> Result<ProtocolMessage, ProcessError> {
    let message: ProtocolMessage = MlsMessageIn::tls_deserialize_exact_bytes(body)
        .map_err(|_| ProcessError::Malformed("not an MLS message"))?
        .try_into_protocol_message()
        .map_err(|_| ProcessError::Malformed("not a message of a group"))?;
    let fits = match kind {
        EntryKind::Message => (WireFormat::PrivateMessage, ContentType::Application),
        EntryKind::Commit => (WireFormat::PublicMessage, ContentType::Commit),
        EntryKind::Proposal => (WireFormat::PublicMessage, ContentType::Proposal),
        EntryKind::Report | EntryKind::Welcome | EntryKind::Contact | EntryKind::Account | EntryKind::Outcome => {
            return Err(ProcessError::Malformed("an entry that is not MLS's"));
        }
    };
    if (message.wire_format(), message.content_type()) == fits {
        Ok(message)
    } else {
        Err(ProcessError::Malformed("another kind of message than the entry's"))
    }
}

fn check_epoch(message: &ProtocolMessage, current: Epoch) -> Result<(), ProcessError> {
    let epoch = Epoch(message.epoch().as_u64());
    let kept = match message.content_type() {
        ContentType::Application => u64::try_from(PAST_EPOCHS_MAX).unwrap_or(u64::MAX),
        _ => 0,
    };
    if epoch > current {
        Err(ProcessError::TooNew { epoch, current })
    } else if epoch.0 < current.0.saturating_sub(kept) {
        Err(ProcessError::TooOld { epoch, current })
    } else {
        Ok(())
    }
}

fn process(group: &mut MlsGroup, mls: &Mls<'_>, message: ProtocolMessage) -> Result<Processed, ProcessError> {
    let current = epoch_of(group);
    check_epoch(&message, current)?;
    let epoch = Epoch(message.epoch().as_u64());
    let processed = group.process_message(&mls.provider, message).map_err(|error| failed(error, epoch, current))?;
    let sender = processed.sender().clone();
    let credential = processed.credential().clone();
    let aad = processed.aad().to_vec();
    match processed.into_content() {
        ProcessedMessageContent::ApplicationMessage(message) => {
            let plaintext = Zeroizing::new(message.into_bytes());
            let id = MessageId::parse(&aad).map_err(|_| ProcessError::Malformed("the message has no id"))?;
            Ok(Processed::Message { sender: identify(&credential)?, id, plaintext })
        }
        ProcessedMessageContent::OwnPrivateMessage => Ok(Processed::OwnMessage),
        ProcessedMessageContent::ProposalMessage(proposal) => Ok(Processed::Proposal(queue(group, mls, *proposal)?)),
        ProcessedMessageContent::StagedCommitMessage(commit) => {
            let change = Judge::of(group, mls.trust)?.commit(&sender, &commit)?;
            group.merge_staged_commit(&mls.provider, *commit).map_err(Fault::engine)?;
            Ok(Processed::Commit(Box::new(Change { beside: aad, ..change })))
        }
        ProcessedMessageContent::OwnPendingCommit => match merge_own(group, mls) {
            Ok(change) => Ok(Processed::Commit(Box::new(Change { beside: aad, ..change }))),
            Err(MergeError::Group(error)) => Err(error.into()),
            Err(MergeError::NonePending) => Err(Fault::engine("our own commit is gone").into()),
        },
        ProcessedMessageContent::ExternalJoinProposalMessage(_)
        | ProcessedMessageContent::UnresolvedAppDataCommit(_) => Err(Violation::Proposal.into()),
    }
}

/// Queues a proposal that may be committed.
fn queue(group: &mut MlsGroup, mls: &Mls<'_>, proposal: QueuedProposal) -> Result<Proposed, ProcessError> {
    let reference = proposal.proposal_reference_ref();
    if group.pending_proposals().any(|pending| pending.proposal_reference_ref() == reference) {
        return Err(ProcessError::Replayed);
    }
    let judge = Judge::of(group, mls.trust)?;
    judge.proposal(proposal.sender(), proposal.proposal())?;
    let from = match proposal.sender() {
        Sender::Member(leaf) if *leaf == group.own_leaf_index() => Proposer::Own,
        Sender::Member(leaf) => Proposer::Member(judge.member(leaf.u32())?.clone()),
        _ => Proposer::Hub,
    };
    let kind = match proposal.proposal() {
        Proposal::Remove(remove) => ProposalKind::Remove(judge.member(remove.removed().u32())?.clone()),
        _ => ProposalKind::Leave,
    };
    group.store_pending_proposal(mls.provider.storage(), proposal).map_err(Fault::from)?;
    Ok(Proposed { from, kind })
}

/// What the caller does about an error of OpenMLS.
fn failed(error: ProcessMessageError<StorageError>, epoch: Epoch, current: Epoch) -> ProcessError {
    use MessageDecryptionError::SecretTreeError as Tree;
    use ValidationError::UnableToDecrypt;
    match error {
        ProcessMessageError::StorageError(error) => Fault::from(error).into(),
        ProcessMessageError::ValidationError(UnableToDecrypt(Tree(SecretTreeError::SecretReuseError))) => {
            ProcessError::Replayed
        }
        ProcessMessageError::ValidationError(ValidationError::NoPastEpochData) => {
            ProcessError::TooOld { epoch, current }
        }
        ProcessMessageError::ValidationError(error @ ValidationError::InvalidMembershipTag) => {
            ProcessError::Unprocessable(error.to_string())
        }
        ProcessMessageError::InvalidCommit(
            error @ (StageCommitError::ConfirmationTagMismatch
            | StageCommitError::UpdatePathError(_)
            | StageCommitError::VerifiedUpdatePathError(_)
            | StageCommitError::MissingDecryptionKey
            | StageCommitError::OwnKeyNotFound),
        ) => ProcessError::Unprocessable(error.to_string()),
        ProcessMessageError::ValidationError(
            error @ (UnableToDecrypt(_) | ValidationError::InvalidSignature | ValidationError::UnknownMember),
        ) => ProcessError::Undecryptable(error.to_string()),
        error => ProcessError::Invalid(error.to_string()),
    }
}
