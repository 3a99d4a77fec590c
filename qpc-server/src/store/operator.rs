//! What the operator asks of the store, and may do there: accounts, devices, invites and conversations, without what
//! people say.
//!
//! These verbs take no actor. Who may call them is judged before: by the file system, at the admin socket.

mod dispatch;

use qpc_proto::{
    address::{AccountName, Address},
    id::{AccountId, ConversationName, DeviceId, Epoch, Seq},
    role::Role,
};

use super::{ConversationKind, DeviceInfo, InviteToken, Reply, StoreFault};

/// What an account of this server is to its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In use.
    Active,
    /// Kept out by the operator, until it is resumed.
    Suspended,
    /// Reset: its token can register the name anew.
    Reset,
    /// Deleted: the name stays taken.
    Deleted,
}

impl Standing {
    /// As programs and tables write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Reset => "reset",
            Self::Deleted => "deleted",
        }
    }
}

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountOverview {
    /// Which.
    pub id: AccountId,
    /// Its name, without the domain.
    pub name: AccountName,
    /// How it stands.
    pub standing: Standing,
    /// Its devices, in order of enrolment.
    pub devices: Vec<DeviceInfo>,
}

/// How much would go with an account or one of its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountExtent {
    /// The account.
    pub account: AccountOverview,
    /// Conversations it is a member of.
    pub conversations: u64,
}

/// What was changed by the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Whose.
    pub account: AccountId,
    /// Devices that it is about.
    pub devices: Vec<DeviceId>,
}

/// An invite, or the token of a reset; the token itself is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteInfo {
    /// Of the token.
    pub token: InviteToken,
    /// Uses left.
    pub uses: u32,
    /// When it ends, milliseconds since 1970; `None` for never.
    pub expires_ms: Option<u64>,
    /// The reset name it is for.
    pub name: Option<AccountName>,
}

/// A conversation, without what is said in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationOverview {
    /// Which, and whose: its domain is that of its hub.
    pub name: ConversationName,
    /// What it is.
    pub kind: ConversationKind,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Its group's epoch.
    pub epoch: Epoch,
    /// The last entry.
    pub head: Seq,
    /// The last entry that retention has taken.
    pub floor: Seq,
    /// Its members now.
    pub members: u64,
}

/// One conversation, with who is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationDetail {
    /// What a list says.
    pub overview: ConversationOverview,
    /// In order of address.
    pub members: Vec<(Address, Role)>,
    /// Bytes of the bodies that are stored.
    pub bytes: u64,
}

/// How many accounts have passwords that were registered with an OPAQUE setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetupUse {
    /// Of the setup.
    pub version: u32,
    /// Accounts in use, suspended ones included.
    pub accounts: u64,
}

/// Why an operator's change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// There is no such account, device or invite.
    #[error("no such object")]
    NotFound,
    /// Several have that beginning.
    #[error("several begin like this")]
    Ambiguous,
    /// The account was reset or deleted: there is nothing left to change.
    #[error("the account is not in use")]
    NotInUse,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// The operator's verbs.
pub trait OperatorStore {
    /// This server's own accounts whose name is greater than `after`, in order, at most `limit`.
    fn accounts(&self, after: Option<AccountName>, limit: usize) -> Reply<Vec<AccountOverview>, StoreFault>;
    /// One account, with what it is in.
    fn account_extent(&self, name: &AccountName) -> Reply<AccountExtent, OperatorError>;
    /// Suspends an account, or ends that. What it has and what waits for it stays. Suspended already, it is no error.
    fn set_suspended(&self, name: &AccountName, suspended: bool) -> Reply<Changed, OperatorError>;
    /// Deletes an account as its owner could.
    fn remove_account(&self, name: &AccountName, now_ms: u64) -> Reply<Changed, OperatorError>;
    /// Revokes a device as its owner could.
    fn remove_device(&self, name: &AccountName, device: DeviceId) -> Reply<Changed, OperatorError>;
    /// The OPAQUE setups that accounts use, in order of their versions. Reads all accounts.
    fn setup_use(&self) -> Reply<Vec<SetupUse>, StoreFault>;
    /// Accounts that use one of them, in order of name, at most `limit`. Reads all accounts.
    fn accounts_of_setup(&self, version: u32, limit: usize) -> Reply<Vec<AccountName>, StoreFault>;
    /// Invites and reset tokens whose hash is greater than `after`, in order, at most `limit`.
    fn invites(&self, after: Option<InviteToken>, limit: usize) -> Reply<Vec<InviteInfo>, StoreFault>;
    /// Ends the invite whose hash begins so; without `forget` it only looks.
    fn end_invite(&self, beginning: Vec<u8>, forget: bool) -> Reply<InviteInfo, OperatorError>;
    /// Conversations that are here after one of them, ordered by id and domain, at most `limit`.
    fn conversations(
        &self,
        after: Option<ConversationName>,
        limit: usize,
    ) -> Reply<Vec<ConversationOverview>, StoreFault>;
    /// One conversation.
    fn conversation(&self, name: &ConversationName) -> Reply<ConversationDetail, OperatorError>;
}
