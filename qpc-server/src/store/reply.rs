//! Replies of verbs, and the faults that any verb can meet.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::{
    AdmitError, AppendError, AskError, ChangePasswordError, ClaimError, ContactError, CopyError, CreateAccountError,
    CreateConversationError, EnrolDeviceError, InviteError, LinkError, OfferError, OperatorError, QueueError,
    ReadError, RemovalError, ResetAccountError,
};

/// A fault of the store itself, not a judgement on the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// The queue is full: the caller may try again soon. Nothing was done.
    #[error("the store's queue is full")]
    Busy,
    /// No space left: reads go on, writes are refused until there is room.
    #[error("no space is left on the disk")]
    Full,
    /// The store has been closed.
    #[error("the store is closed")]
    Stopped,
    /// The engine failed; whether a write took effect is unknown.
    #[error("the storage engine failed: {0}")]
    Engine(String),
}

/// Why a verb that needs no more than an enrolled device was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The acting device was revoked (invariant 12).
    #[error("the device no longer exists")]
    DeviceGone,
    /// The operator keeps the account out.
    #[error("the account is suspended")]
    Suspended,
    /// There is no such object of the actor's.
    #[error("no such object")]
    NotFound,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl Refusal {
    /// What the errors of single verbs say of a suspended account, which have no word for it: come again soon. By then the
    /// connection is cut, and whoever comes again is told at its login.
    pub(super) const COME_AGAIN: StoreFault = StoreFault::Busy;
}

macro_rules! from_refusals {
    ($($error:ty),+ $(,)?) => {
        $(impl From<Refusal> for $error {
            fn from(refusal: Refusal) -> Self {
                match refusal {
                    Refusal::DeviceGone => Self::DeviceGone,
                    Refusal::Suspended => Self::Fault(Refusal::COME_AGAIN),
                    Refusal::NotFound => Self::NotFound,
                    Refusal::Fault(fault) => Self::Fault(fault),
                }
            }
        })+
    };
}

from_refusals!(ContactError, ClaimError, LinkError, AppendError, ReadError, OfferError);

/// The reply to a verb that has been queued. Dropping it does not undo the verb.
#[derive(Debug)]
#[must_use = "a verb's outcome is known from its reply alone"]
pub struct Reply<T, E>(oneshot::Receiver<Result<T, E>>);

impl<T, E> Reply<T, E> {
    /// A reply and the end by which the store gives it.
    pub fn channel() -> (oneshot::Sender<Result<T, E>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// A reply that is known at once.
    pub fn ready(outcome: Result<T, E>) -> Self {
        let (sender, reply) = Self::channel();
        // The receiver is right here.
        drop(sender.send(outcome));
        reply
    }
}

impl<T, E: From<StoreFault>> Future for Reply<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or_else(|_| Err(StoreFault::Stopped.into())))
    }
}

/// The error of a verb: can it be told whether the engine failed?
pub(crate) trait VerbError: From<StoreFault> + Send + 'static {
    /// The fault, where the store itself failed.
    fn fault(&self) -> Option<&StoreFault>;
}

macro_rules! verb_errors {
    ($($error:ty, $pattern:pat => $fault:expr;)+) => {
        $(impl VerbError for $error {
            fn fault(&self) -> Option<&StoreFault> {
                match self {
                    $pattern => Some($fault),
                    #[allow(unreachable_patterns, reason = "a StoreFault is always one")]
                    _ => None,
                }
            }
        })+
    };
}

pub(crate) use verb_errors;

verb_errors! {
    StoreFault, fault => fault;
    Refusal, Refusal::Fault(fault) => fault;
    InviteError, InviteError::Fault(fault) => fault;
    CreateAccountError, CreateAccountError::Invite(InviteError::Fault(fault)) => fault;
    EnrolDeviceError, EnrolDeviceError::Fault(fault) => fault;
    ChangePasswordError, ChangePasswordError::Refused(Refusal::Fault(fault)) => fault;
    ResetAccountError, ResetAccountError::Fault(fault) => fault;
    OperatorError, OperatorError::Fault(fault) => fault;
    ClaimError, ClaimError::Fault(fault) => fault;
    ContactError, ContactError::Fault(fault) => fault;
    AppendError, AppendError::Fault(fault) => fault;
    CreateConversationError, CreateConversationError::Append(AppendError::Fault(fault)) => fault;
    ReadError, ReadError::Fault(fault) => fault;
    OfferError, OfferError::Fault(fault) => fault;
    RemovalError, RemovalError::Fault(fault) => fault;
    LinkError, LinkError::Fault(fault) => fault;
    AskError, AskError::Fault(fault) => fault;
    AdmitError, AdmitError::Fault(fault) => fault;
    CopyError, CopyError::Fault(fault) => fault;
    QueueError, QueueError::Append(AppendError::Fault(fault)) => fault;
}
