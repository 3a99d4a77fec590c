//! What can go wrong, one enum for each operation. A variant exists because the caller does
//! something about it.

use openmls::group::NewGroupError;
use qpc_proto::{address::Address, id::Epoch};

use super::{Refusal, StorageError, Violation};

/// Nobody's doing but ours or the disk's.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The state can't be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// OpenMLS refuses what should be possible.
    #[error("the MLS engine: {0}")]
    Engine(String),
}

impl Fault {
    pub(crate) fn engine(error: impl ToString) -> Self {
        Self::Engine(error.to_string())
    }
}

/// The group can't be used.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// This device has no such group.
    #[error("this device is not in the conversation's group")]
    NoGroup,
    /// This device was removed; the group can only be deleted.
    #[error("this device was removed from the group")]
    Removed,
    /// See [`Fault`].
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A key package can't be made or stored.
pub type KeyPackageError = Fault;

/// No secret could be exported.
pub type ExportError = GroupError;

/// A group was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one for this conversation already.
    #[error("the conversation has a group already")]
    Exists,
    /// The first members could not be added.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A commit was not made. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// See [`GroupError`].
    #[error(transparent)]
    Group(#[from] GroupError),
    /// An earlier commit waits for its answer: merge or discard it first.
    #[error("an earlier commit waits for its answer")]
    Pending,
    /// This account has proposed to leave, or its removal was proposed: others commit that.
    #[error("this account is about to leave the group, which others commit")]
    Leaving,
    /// The only owner of a group with others in it may not leave it: nobody could make another one.
    #[error("you are the only owner of this group, and others are in it: make one of them an owner first")]
    LastOwner,
    /// It would be longer than a server takes.
    #[error("this change of the group would be larger than a server takes: fewer people at a time may be possible")]
    TooLarge,
    /// There is nothing to commit.
    #[error("there is nothing to commit")]
    Nothing,
    /// Somebody who is to be removed or promoted is not a member.
    #[error("{0} is not a member")]
    NotMember(Address),
    /// Whoever is to be added is in the group with all their devices.
    #[error("{0} is a member already")]
    AlreadyMember(Address),
    /// A key package is not one, has expired, or lacks what our groups need.
    #[error("the key package of a device of {address} can't be used: {reason}")]
    KeyPackage {
        /// Whose it is.
        address: Address,
        /// What is wrong with it.
        reason: String,
    },
    /// A device is not to be believed: an alarm.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The rules of roles forbid it.
    #[error(transparent)]
    NotAllowed(#[from] Violation),
}

/// A commit of our own could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// See [`GroupError`].
    #[error(transparent)]
    Group(#[from] GroupError),
    /// There is none: it was applied, discarded, or has lost to another.
    #[error("no commit waits to be applied")]
    NonePending,
}

/// A message was not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// See [`GroupError`].
    #[error(transparent)]
    Group(#[from] GroupError),
    /// Proposals wait: commit them first, as RFC 9420 section 12.4 asks.
    #[error("proposals wait to be committed")]
    ProposalsPending,
}

/// An entry of the log was not applied. The group is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// See [`GroupError`].
    #[error(transparent)]
    Group(#[from] GroupError),
    /// Of an epoch that has passed: applied before, or its keys are gone. Nothing is to be done.
    #[error("of epoch {epoch}, and the group is in {current}")]
    TooOld {
        /// The entry's.
        epoch: Epoch,
        /// The group's.
        current: Epoch,
    },
    /// Of an epoch that has not come: commits before it were missed or refused.
    #[error("of epoch {epoch}, and the group is only in {current}")]
    TooNew {
        /// The entry's.
        epoch: Epoch,
        /// The group's.
        current: Epoch,
    },
    /// Not an MLS message of this group and kind.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// It was processed before, or somebody shows it twice.
    #[error("processed before")]
    Replayed,
    /// No key opens it, or its signature is not the sender's.
    #[error("can't be decrypted: {0}")]
    Undecryptable(String),
    /// It breaks the rules of MLS. Of a commit: this device can't follow the group any further.
    #[error("invalid: {0}")]
    Invalid(String),
    /// A commit, right in all that is public, and wrong in what only members can check: the path secrets, the confirmation
    /// or the membership tag. The server took it, and this device can't follow: it may come back by itself.
    #[error("wrong in what only members can check: {0}")]
    Unprocessable(String),
    /// It brings in a device that is not to be believed: an alarm.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It breaks the rules of roles: an alarm.
    #[error(transparent)]
    NotAllowed(#[from] Violation),
}

/// A welcome was not accepted. Nothing has changed; its key package is still there.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// See [`Fault`].
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Not a welcome, or not to the conversation that it came with.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The key package that it answers is not (or no longer) ours.
    #[error("the welcome is for no key package of this device")]
    NoKeyPackage,
    /// This device is a member already: the welcome was handled before, or is a fake.
    #[error("this device is in the group already")]
    AlreadyMember,
    /// The group is shown as it was in an epoch that this device has followed before.
    #[error("the group is shown as it was before")]
    Outdated,
    /// It breaks the rules of MLS, or the group is not one of ours.
    #[error("invalid: {0}")]
    Invalid(String),
    /// A member is not to be believed: an alarm.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Who added us may not add.
    #[error(transparent)]
    NotAllowed(#[from] Violation),
}

/// Every operation can meet a fault of the store; the ones on a group say so through
/// [`GroupError`].
macro_rules! faulty {
    ($($error:ident),+) => {
        $(impl From<Fault> for $error {
            fn from(fault: Fault) -> Self {
                Self::Group(fault.into())
            }
        })+
    };
}

faulty!(CommitError, MergeError, EncryptError, ProcessError);

impl From<Fault> for CreateError {
    fn from(fault: Fault) -> Self {
        Self::Commit(fault.into())
    }
}

impl From<NewGroupError<StorageError>> for CreateError {
    fn from(error: NewGroupError<StorageError>) -> Self {
        match error {
            NewGroupError::GroupAlreadyExists => Self::Exists,
            NewGroupError::StorageError(error) => Fault::from(error).into(),
            error => Fault::engine(error).into(),
        }
    }
}
