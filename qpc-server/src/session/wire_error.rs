//! The one place where an operation's error becomes a code on the wire.
//!
//! The detail is a fixed text for people who read traces; nothing of a fault's own words, and nothing
//! that a client sent, goes back.

use qpc_proto::{
    credential::LeafError,
    error::Code,
    frame::FrameError,
    judge::Violation,
    role::Action,
    v1::{self, answer},
};

use crate::{
    account::{
        AuthenticateError, ChangePasswordFinishError, ChangePasswordStartError, DeleteError, EnrolError,
        LoginFinishError, LoginStartError, RegisterFinishError, RegisterStartError, RevokeError,
    },
    blob::BlobError,
    blob_store::{BeginError, UploadError},
    field::FieldError,
    group::{
        AnswerError, ChangeError, ClaimRefused, CopyRefused, CreateError, Elsewhere, OfferRefused, Unknown,
        public::Refused,
    },
    policy::Wait,
    remote::RemoteError,
    store::{
        AppendError, AskError, ChangePasswordError, ClaimError, ContactError, CopyError, CreateConversationError,
        LinkError, LinkRefusal, OfferError, QueueError, ReadError, Refusal, StoreFault,
    },
};

/// How long a client waits before it tries again where the server is only busy, in milliseconds.
const BUSY_MS: u32 = 200;
/// The same where an operator has to do something first.
const FULL_MS: u32 = 10_000;
/// The same where another domain has to come back first.
const UNREACHABLE_MS: u32 = 5_000;
/// The same where members have to give back first what a restored server lacks.
const RESTORE_MS: u32 = 2_000;
/// The same where the operator has to resume the account first.
const SUSPENDED_MS: u32 = 60_000;
/// The same after a fault of the server.
const FAULT_MS: u32 = 1_000;

/// A refusal as it goes over the wire.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WireError(Box<v1::Error>);

impl WireError {
    pub(crate) fn new(code: Code, detail: &'static str) -> Self {
        Self(Box::new(v1::Error { code: code as u32, detail: detail.to_owned(), ..v1::Error::default() }))
    }

    fn with(mut self, set: impl FnOnce(&mut v1::Error)) -> Self {
        set(&mut self.0);
        self
    }

    /// Which code it carries.
    pub(crate) fn code(&self) -> Code {
        Code::from_wire(self.0.code).unwrap_or(Code::Internal)
    }

    pub(super) fn into_result(self) -> answer::Result {
        answer::Result::Error(self.into_wire())
    }

    /// As the message that answers carry, those between servers as well.
    pub(crate) fn into_wire(self) -> v1::Error {
        *self.0
    }
}

impl From<FieldError> for WireError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Malformed(field) => Self::new(Code::Malformed, field),
            FieldError::TooLarge(field) => Self::new(Code::TooLarge, field),
        }
    }
}

impl From<FrameError> for WireError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong { .. } => Self::new(Code::FrameTooLong, "the frame is too long"),
            FrameError::Truncated => Self::new(Code::Malformed, "the stream ended inside a frame"),
        }
    }
}

impl From<Wait> for WireError {
    fn from(Wait(wait): Wait) -> Self {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1);
        Self::new(Code::RateLimited, "too many of these").with(|error| error.retry_after_ms = wait_ms)
    }
}

impl From<StoreFault> for WireError {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Busy => Self::new(Code::Busy, "the store's queue is full").with(|e| e.retry_after_ms = BUSY_MS),
            StoreFault::Full => Self::new(Code::StorageFull, "no space is left").with(|e| e.retry_after_ms = FULL_MS),
            StoreFault::Stopped => Self::new(Code::ShuttingDown, "the store is closed"),
            StoreFault::Engine(error) => {
                tracing::error!(%error, "the storage engine failed");
                Self::new(Code::Internal, "the storage engine failed").with(|e| e.retry_after_ms = FAULT_MS)
            }
        }
    }
}

fn device_gone() -> WireError {
    WireError::new(Code::Unauthenticated, "the device no longer exists")
}

/// It may end at any time, and nobody tells the client when.
fn suspended() -> WireError {
    WireError::new(Code::Suspended, "the operator keeps the account out").with(|e| e.retry_after_ms = SUSPENDED_MS)
}

fn not_found(what: &'static str) -> WireError {
    WireError::new(Code::NotFound, what)
}

fn wrong_state(detail: &'static str) -> WireError {
    WireError::new(Code::WrongState, detail)
}

impl From<Refusal> for WireError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::DeviceGone => device_gone(),
            Refusal::Suspended => suspended(),
            Refusal::NotFound => not_found("no such object"),
            Refusal::Fault(fault) => fault.into(),
        }
    }
}

impl From<AppendError> for WireError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::NotFound => not_found("no such conversation"),
            AppendError::DeviceGone => device_gone(),
            AppendError::WrongEpoch(epoch) => {
                Self::new(Code::WrongEpoch, "another epoch is current").with(|error| error.epoch = epoch.0)
            }
            AppendError::CounterGap(counter) => {
                Self::new(Code::CounterGap, "the counter is not the next one").with(|error| error.counter = counter.0)
            }
            AppendError::IdConflict => Self::new(Code::IdConflict, "the counter or id was used for another message"),
            AppendError::ContactPending => Self::new(Code::ContactPending, "the other person has not accepted yet"),
            AppendError::NoSuchCommit => {
                Self::new(Code::HandshakeMalformed, "what is reported is no commit of another device's in that epoch")
            }
            AppendError::NotContact => Self::new(Code::NotContact, "somebody to be added is no contact"),
            AppendError::Link(refusal) => refusal.into(),
            AppendError::Forbidden => Self::new(Code::Forbidden, "the role does not allow this"),
            AppendError::NotEnrolled => Self::new(Code::DeviceNotEnrolled, "a device to be added is not enrolled"),
            AppendError::Unjudged => {
                Self::new(Code::Busy, "the group has changed meanwhile").with(|error| error.retry_after_ms = BUSY_MS)
            }
            AppendError::ReadOnly => Self::new(Code::ReadOnly, "the conversation waits for what its members have")
                .with(|error| error.retry_after_ms = RESTORE_MS),
            AppendError::Membership => Self::new(Code::Forbidden, "the membership change is not acceptable"),
            AppendError::Fault(fault) => fault.into(),
        }
    }
}

impl From<LinkRefusal> for WireError {
    fn from(refusal: LinkRefusal) -> Self {
        match refusal {
            LinkRefusal::Unknown => Self::new(Code::LinkUnknown, "no such link, or no request by it"),
            LinkRefusal::Expired => Self::new(Code::LinkExpired, "the link has expired"),
            LinkRefusal::UsedUp => Self::new(Code::LinkUsedUp, "the link is used up"),
            LinkRefusal::Withdrawn => Self::new(Code::LinkWithdrawn, "the link was withdrawn"),
        }
    }
}

impl From<LinkError> for WireError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::NotFound => not_found("no such group or link"),
            LinkError::DeviceGone => device_gone(),
            LinkError::Forbidden => Self::new(Code::Forbidden, "the role does not allow this"),
            LinkError::TooMany => Self::new(Code::TooLarge, "the group's links"),
            LinkError::Fault(fault) => fault.into(),
        }
    }
}

impl From<AskError> for WireError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Link(refusal) => refusal.into(),
            AskError::DeviceGone => device_gone(),
            AskError::Member => Self::new(Code::AlreadyMember, "the account is a member"),
            AskError::TooMany => Self::new(Code::JoinRequestsFull, "too many requests wait"),
            AskError::Full => Self::new(Code::TooLarge, "the group's members"),
            AskError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ChangeError> for WireError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refused) => refused.into(),
            ChangeError::Reserved { epoch, wait } => {
                let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
                Self::new(Code::CommitReserved, "others may change the group first").with(|error| {
                    error.epoch = epoch.0;
                    error.retry_after_ms = wait_ms;
                })
            }
            ChangeError::Unfollowed => Self::new(Code::NotFollowed, "the group's public state is not known"),
            ChangeError::Busy => {
                Self::new(Code::Busy, "too many changes wait to be judged").with(|error| error.retry_after_ms = BUSY_MS)
            }
            ChangeError::Behind => {
                Self::new(Code::Busy, "the copy is behind its hub").with(|error| error.retry_after_ms = BUSY_MS)
            }
            ChangeError::Elsewhere(error) => error.into(),
            ChangeError::Store(error) => error.into(),
        }
    }
}

impl From<CreateError> for WireError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Change(error) => error.into(),
            CreateError::Store(error) => error.into(),
        }
    }
}

impl From<OfferRefused> for WireError {
    fn from(error: OfferRefused) -> Self {
        match error {
            OfferRefused::Copy(CopyRefused::Chain(_) | CopyRefused::Gap(_)) => {
                Self::new(Code::ChainDiffers, "the entries do not carry the log on")
            }
            OfferRefused::Copy(error) => error.into(),
            OfferRefused::Store(error) => match error {
                OfferError::NotFound => not_found("no such conversation"),
                OfferError::DeviceGone => device_gone(),
                OfferError::NotAwaited => Self::new(Code::NotAwaited, "nothing is awaited from this device"),
                OfferError::OutOfOrder => Self::new(Code::IdConflict, "an entry is not the next one of its device"),
                OfferError::Moved => {
                    Self::new(Code::Busy, "the log has changed meanwhile").with(|error| error.retry_after_ms = BUSY_MS)
                }
                OfferError::Fault(fault) => fault.into(),
            },
        }
    }
}

impl From<Refused> for WireError {
    fn from(refused: Refused) -> Self {
        tracing::debug!(%refused, "a change of a group was refused");
        match refused {
            Refused::Malformed(field) => Self::new(Code::HandshakeMalformed, field),
            Refused::Sender => Self::new(Code::HandshakeSender, "another device made it"),
            Refused::Invalid(_) => Self::new(Code::HandshakeInvalid, "it does not verify"),
            Refused::NoCertificate | Refused::Leaf(LeafError::Certificate(_)) => {
                Self::new(Code::LeafUnsigned, "a leaf that no account signed")
            }
            Refused::Leaf(LeafError::ForeignKey(_)) => Self::new(Code::LeafForeign, "a leaf with another key"),
            Refused::Rule(violation) => violation.into(),
            Refused::Members => Self::new(Code::MembershipDiffers, "not the members that the commit changes"),
            Refused::Welcome => Self::new(Code::WelcomeDiffers, "not the devices that the commit adds"),
            Refused::TooLarge => Self::new(Code::TooLarge, "the group's tree"),
            Refused::Info(reason) => Self::new(Code::GroupInfoDiffers, reason),
            Refused::State(error) => {
                tracing::error!(%error, "a group's state can't be used");
                Self::new(Code::Internal, "the group's state can't be used").with(|e| e.retry_after_ms = FAULT_MS)
            }
        }
    }
}

impl From<Violation> for WireError {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Role { action: Action::Add, .. } => Self::new(Code::AddForbidden, "the role does not add"),
            Violation::Role { action: Action::Remove(_), .. } => {
                Self::new(Code::RemoveForbidden, "the role does not remove them")
            }
            Violation::Role { action: Action::Promote(..), .. } => {
                Self::new(Code::PromoteForbidden, "the role does not change roles")
            }
            Violation::Role { .. } => Self::new(Code::Forbidden, "the role does not allow this"),
            Violation::Stranger(_) => Self::new(Code::JoinForbidden, "not a device of a member"),
            Violation::Identity(_) => Self::new(Code::LeafForeign, "another device's leaf"),
            Violation::TwoKeys(_) => Self::new(Code::TwoAccountKeys, "an account with two keys"),
            Violation::Roles | Violation::Context => Self::new(Code::SettingsForbidden, "settings that may not change"),
            Violation::Hub | Violation::Proposal | Violation::NoLeaf => {
                Self::new(Code::ProposalForbidden, "a proposal that is not accepted")
            }
        }
    }
}

impl From<CreateConversationError> for WireError {
    fn from(error: CreateConversationError) -> Self {
        match error {
            CreateConversationError::DirectExists(name) => {
                Self::new(Code::ConversationExists, "the two have a direct conversation")
                    .with(|error| error.conversation = Some(name.to_wire()))
            }
            CreateConversationError::NotAwaited => Self::new(Code::NotAwaited, "no restore is under way"),
            CreateConversationError::Append(error) => error.into(),
        }
    }
}

impl From<ReadError> for WireError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => not_found("no such log"),
            ReadError::DeviceGone => device_gone(),
            ReadError::Fault(fault) => fault.into(),
        }
    }
}

impl From<BlobError> for WireError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Field(field) => field.into(),
            BlobError::NotFound => not_found("no such conversation or blob"),
            BlobError::DeviceGone => device_gone(),
            BlobError::ContactPending => Self::new(Code::ContactPending, "the other person has not accepted yet"),
            BlobError::TooLarge => Self::new(Code::BlobTooLarge, "the blob is too large"),
            BlobError::Begin(error) => match error {
                BeginError::AccountQuota => Self::new(Code::BlobQuotaAccount, "the account has no room"),
                BeginError::ConversationQuota => Self::new(Code::BlobQuotaConversation, "the conversation has no room"),
                BeginError::TooManyUploads => Self::new(Code::TooManyUploads, "too many uploads are unfinished"),
                BeginError::Fault(fault) => fault.into(),
            },
            BlobError::Upload(error) => match error {
                UploadError::Unknown => Self::new(Code::UploadUnknown, "no such upload"),
                UploadError::PartInvalid => Self::new(Code::PartInvalid, "the part does not fit the blob"),
                UploadError::PartsMissing => Self::new(Code::PartsMissing, "not all parts are stored"),
                UploadError::Fault(fault) => fault.into(),
            },
            BlobError::DigestDiffers => Self::new(Code::DigestDiffers, "not the bytes of the digest"),
            BlobError::Range => Self::new(Code::RangeInvalid, "the range is not in the blob"),
            BlobError::Remote(error) => error.into(),
            BlobError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ClaimError> for WireError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::NotFound => not_found("no key package"),
            ClaimError::DeviceGone => device_gone(),
            ClaimError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ClaimRefused> for WireError {
    fn from(refused: ClaimRefused) -> Self {
        match refused {
            ClaimRefused::Here(error) => error.into(),
            ClaimRefused::Elsewhere(error) => error.into(),
        }
    }
}

impl From<RemoteError> for WireError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Unknown => Self::new(Code::DomainUnknown, "no domain that this server federates with"),
            RemoteError::Unreachable => Self::new(Code::DomainUnreachable, "the domain can't be reached")
                .with(|error| error.retry_after_ms = UNREACHABLE_MS),
            RemoteError::Unfit => Self::new(Code::DomainUnreachable, "the domain's answer is none")
                .with(|error| error.retry_after_ms = UNREACHABLE_MS),
            RemoteError::Busy => Self::new(Code::Busy, "too many requests to the domain are under way")
                .with(|error| error.retry_after_ms = BUSY_MS),
            RemoteError::NotFound => not_found("the domain has no such thing"),
            RemoteError::Range => Self::new(Code::RangeInvalid, "the range is not in the blob"),
            RemoteError::Wait(wait) => Wait(wait).into(),
        }
    }
}

impl From<Elsewhere> for WireError {
    fn from(error: Elsewhere) -> Self {
        match error {
            Elsewhere::Hub(error) => Self(error),
            Elsewhere::Remote(error) => error.into(),
            Elsewhere::Read(error) => error.into(),
            Elsewhere::Queue(QueueError::Append(error)) => error.into(),
            Elsewhere::Queue(QueueError::Full) => {
                Self::new(Code::Busy, "too much waits for the other server").with(|e| e.retry_after_ms = UNREACHABLE_MS)
            }
        }
    }
}

impl From<AnswerError> for WireError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Here(error) => error.into(),
            AnswerError::Elsewhere(error) => error.into(),
        }
    }
}

/// A guest's own server hears it, never a client.
impl From<Unknown> for WireError {
    fn from(error: Unknown) -> Self {
        match error {
            Unknown::Device => Self::new(Code::DeviceNotEnrolled, "no device of that account is known by that id"),
            Unknown::Account => Self::new(Code::DeviceInvalid, "the account is not what its server says"),
            Unknown::Busy => Self::new(Code::Busy, "too many questions about the account wait")
                .with(|error| error.retry_after_ms = BUSY_MS),
            Unknown::Fault(fault) => fault.into(),
        }
    }
}

/// A hub hears it, never a client.
impl From<CopyRefused> for WireError {
    fn from(error: CopyRefused) -> Self {
        match error {
            CopyRefused::Field(error) => error.into(),
            CopyRefused::Unknown => not_found("no copy of this conversation"),
            CopyRefused::Gap(_) => Self::new(Code::CounterGap, "the entries don't follow the copy's last one"),
            CopyRefused::Chain(_) => Self::new(Code::DigestDiffers, "the chain breaks"),
            CopyRefused::Rules(_, refused) => refused.into(),
            CopyRefused::Group(error) => error.into(),
            CopyRefused::Tree(error) => error.into(),
            CopyRefused::Store(CopyError::Moved) => {
                Self::new(Code::Busy, "the copy has changed").with(|error| error.retry_after_ms = BUSY_MS)
            }
            CopyRefused::Store(CopyError::Forged(_)) => {
                Self::new(Code::HandshakeSender, "a device of this domain has not sent this")
            }
            CopyRefused::Store(CopyError::Nobody) => not_found("nobody of here has agreed to be in it"),
            CopyRefused::Store(CopyError::Person) => Self::new(Code::Forbidden, "somebody is not who the hub says"),
            CopyRefused::Store(CopyError::Fault(fault)) => fault.into(),
        }
    }
}

impl From<ContactError> for WireError {
    fn from(error: ContactError) -> Self {
        match error {
            ContactError::NotFound => not_found("no such contact"),
            ContactError::DeviceGone => device_gone(),
            ContactError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RegisterStartError> for WireError {
    fn from(error: RegisterStartError) -> Self {
        match error {
            RegisterStartError::Field(field) => field.into(),
            RegisterStartError::Token => Self::new(Code::TokenInvalid, "the token is not valid"),
            RegisterStartError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RegisterFinishError> for WireError {
    fn from(error: RegisterFinishError) -> Self {
        match error {
            RegisterFinishError::NotStarted => wrong_state("no registration has begun here"),
            RegisterFinishError::Field(field) => field.into(),
            RegisterFinishError::Device => Self::new(Code::DeviceInvalid, "the device's certificate does not fit"),
            RegisterFinishError::Token => Self::new(Code::TokenInvalid, "the token is not valid"),
            RegisterFinishError::NameTaken => Self::new(Code::NameTaken, "the name is taken"),
            RegisterFinishError::Fault(fault) => fault.into(),
        }
    }
}

impl From<LoginStartError> for WireError {
    fn from(error: LoginStartError) -> Self {
        match error {
            LoginStartError::Field(field) => field.into(),
            LoginStartError::Busy => {
                Self::new(Code::Busy, "too many logins are under way").with(|error| error.retry_after_ms = FAULT_MS)
            }
            LoginStartError::Record => {
                tracing::error!("a password record can't be used");
                Self::new(Code::Internal, "the password's record can't be used")
            }
            LoginStartError::Fault(fault) => fault.into(),
        }
    }
}

impl From<LoginFinishError> for WireError {
    fn from(error: LoginFinishError) -> Self {
        match error {
            LoginFinishError::NotStarted => wrong_state("no login has begun here"),
            LoginFinishError::Suspended => suspended(),
            LoginFinishError::Failed => Self::new(Code::LoginFailed, "unknown name or wrong password"),
        }
    }
}

impl From<EnrolError> for WireError {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::NotProved => wrong_state("the password was not proved here"),
            EnrolError::Field(field) => field.into(),
            EnrolError::Device => Self::new(Code::DeviceInvalid, "the device's certificate does not fit"),
            EnrolError::TooMany => Self::new(Code::TooManyDevices, "the account has as many devices as it may"),
            EnrolError::Suspended => suspended(),
            EnrolError::AccountGone => Self::new(Code::Unauthenticated, "the account no longer exists"),
            EnrolError::Fault(fault) => fault.into(),
        }
    }
}

impl From<AuthenticateError> for WireError {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::Field(field) => field.into(),
            AuthenticateError::Suspended => suspended(),
            AuthenticateError::Refused => Self::new(Code::Unauthenticated, "the device did not prove itself"),
            AuthenticateError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RevokeError> for WireError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Field(field) => field.into(),
            RevokeError::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<ChangePasswordStartError> for WireError {
    fn from(error: ChangePasswordStartError) -> Self {
        match error {
            ChangePasswordStartError::NotProved => wrong_state("the password was not proved here"),
            ChangePasswordStartError::Field(field) => field.into(),
        }
    }
}

impl From<ChangePasswordFinishError> for WireError {
    fn from(error: ChangePasswordFinishError) -> Self {
        match error {
            ChangePasswordFinishError::NotStarted => wrong_state("no password change has begun here"),
            ChangePasswordFinishError::Field(field) => field.into(),
            ChangePasswordFinishError::Store(ChangePasswordError::Changed) => {
                wrong_state("the password was changed since it was proved here")
            }
            ChangePasswordFinishError::Store(ChangePasswordError::Refused(refusal)) => refusal.into(),
        }
    }
}

impl From<DeleteError> for WireError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotProved => wrong_state("the password was not proved here"),
            DeleteError::Refused(refusal) => refusal.into(),
        }
    }
}

#[cfg(test)]
mod tests;
