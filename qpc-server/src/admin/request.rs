//! What the operator may ask for, and the answers: each a line of JSON on the socket.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rows::{
    AccountDetail, AccountRow, ConversationRow, ConversationShown, InviteRow, Losses, ResetRow, SessionRow, Setting,
    SetupRow,
};
use crate::peers::PeerReport;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminRequest {
    /// Make an invite.
    CreateInvite {
        /// How many may register with it.
        uses: u32,
        /// How long it lasts, in milliseconds; for ever without.
        life_ms: Option<u64>,
    },
    /// Invites and reset tokens, by the beginning of their hash.
    ListInvites {
        /// Only those after this one.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// End an invite.
    RevokeInvite {
        /// The beginning of its hash, in hexadecimal digits.
        id: String,
        /// Only look.
        dry_run: bool,
    },
    /// Reset an account whose password is forgotten.
    ResetAccount {
        /// Its name, without the domain.
        name: String,
        /// Only say what would be lost.
        #[serde(default)]
        dry_run: bool,
    },
    /// This server's own accounts, by name.
    ListAccounts {
        /// Only those after this one.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// One account with its devices.
    ShowAccount {
        /// Its name.
        name: String,
    },
    /// Keep an account out, and all it has.
    SuspendAccount {
        /// Its name.
        name: String,
        /// Only say what would end.
        dry_run: bool,
    },
    /// Let a suspended account in again.
    ResumeAccount {
        /// Its name.
        name: String,
    },
    /// Delete an account, as its owner could.
    DeleteAccount {
        /// Its name.
        name: String,
        /// Only say what would be lost.
        dry_run: bool,
    },
    /// Revoke a device, as its owner could.
    RevokeDevice {
        /// Whose.
        name: String,
        /// Its id.
        device: String,
        /// Only say what would end.
        dry_run: bool,
    },
    /// Who is connected, by account.
    ListSessions {
        /// Only accounts after this one.
        after: Option<String>,
        /// At most so many, and the rest of the last account's.
        limit: usize,
    },
    /// End sessions, which may come back.
    Kick {
        /// Whose.
        name: String,
        /// Only this device's.
        device: Option<String>,
    },
    /// Conversations, by id.
    ListConversations {
        /// Only those after this one.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// One conversation with its members.
    ShowConversation {
        /// Its name: id and domain.
        name: String,
    },
    /// Limits and rates in force.
    ShowLimits,
    /// The level of logs.
    ShowLogLevel,
    /// Another level of logs, until the next start or SIGHUP.
    SetLogLevel {
        /// As `log.level`.
        level: String,
    },
    /// Stop as SIGTERM does.
    Drain {
        /// Only say how many sessions would end.
        dry_run: bool,
    },
    /// How the connections with other servers stand.
    FederationStatus,
    /// The OPAQUE setups, and how many accounts use each.
    ListSetups,
    /// Make a new one, for all passwords that are registered from now on.
    RotateSetup,
    /// Forget an older one.
    RetireSetup {
        /// Which.
        version: u32,
        /// Reset the accounts that use it; without it they are in the way.
        reset: bool,
        /// Only say how many that would be.
        dry_run: bool,
    },
}

/// How much of a trace a request leaves in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// None: it shows what the configuration or the metrics show.
    Unnoted,
    /// A line: it shows something about people, or would change something.
    Shows,
    /// A line before and one after: it changes something.
    Changes,
}

impl AdminRequest {
    pub(super) fn nature(&self) -> Nature {
        match self {
            Self::ShowLimits | Self::ShowLogLevel | Self::FederationStatus | Self::ListSetups => Nature::Unnoted,
            Self::ListInvites { .. }
            | Self::ListAccounts { .. }
            | Self::ShowAccount { .. }
            | Self::ListSessions { .. }
            | Self::ListConversations { .. }
            | Self::ShowConversation { .. }
            | Self::RevokeInvite { dry_run: true, .. }
            | Self::ResetAccount { dry_run: true, .. }
            | Self::SuspendAccount { dry_run: true, .. }
            | Self::DeleteAccount { dry_run: true, .. }
            | Self::RevokeDevice { dry_run: true, .. }
            | Self::RetireSetup { dry_run: true, .. }
            | Self::Drain { dry_run: true } => Nature::Shows,
            Self::CreateInvite { .. }
            | Self::RevokeInvite { .. }
            | Self::ResetAccount { .. }
            | Self::SuspendAccount { .. }
            | Self::ResumeAccount { .. }
            | Self::DeleteAccount { .. }
            | Self::RevokeDevice { .. }
            | Self::Kick { .. }
            | Self::SetLogLevel { .. }
            | Self::RotateSetup
            | Self::RetireSetup { .. }
            | Self::Drain { .. } => Nature::Changes,
        }
    }
}

/// Its answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminAnswer {
    /// It is done.
    Done {
        /// Sessions that were ended by it.
        sessions: usize,
    },
    /// It is done; this is the token to hand on.
    Token {
        /// The token itself.
        token: String,
    },
    /// A dry run: this would go.
    Would(Losses),
    /// Accounts.
    Accounts {
        /// In order of name.
        accounts: Vec<AccountRow>,
        /// Whether there may be more after the last.
        more: bool,
    },
    /// One account.
    Account(Box<AccountDetail>),
    /// Invites.
    Invites {
        /// In order of their ids.
        invites: Vec<InviteRow>,
        /// Whether there may be more after the last.
        more: bool,
    },
    /// Sessions.
    Sessions {
        /// In order of name.
        sessions: Vec<SessionRow>,
        /// All that are live.
        total: usize,
        /// Whether there are more after the last.
        more: bool,
    },
    /// Conversations.
    Conversations {
        /// In order of id.
        conversations: Vec<ConversationRow>,
        /// Whether there may be more after the last.
        more: bool,
    },
    /// One conversation.
    Conversation(Box<ConversationShown>),
    /// Limits and rates.
    Limits {
        /// As the configuration has them.
        limits: Vec<Setting>,
    },
    /// The level of logs.
    LogLevel {
        /// As `log.level`.
        level: String,
    },
    /// Other servers; nothing where federation is off.
    Federation {
        /// Each of them.
        peers: Option<Vec<PeerReport>>,
    },
    /// OPAQUE setups.
    Setups {
        /// In order of their versions.
        setups: Vec<SetupRow>,
    },
    /// There is a new one.
    Rotated {
        /// Of the new one.
        version: u32,
    },
    /// A dry run: so many accounts would be reset.
    WouldRetire {
        /// Accounts that use it.
        accounts: u64,
    },
    /// Accounts were reset, and then the setup forgotten.
    Retired {
        /// Which, with the tokens to hand on.
        resets: Vec<ResetRow>,
        /// The setup is still there: ask again.
        more: bool,
    },
    /// There is no such thing.
    NotFound,
    /// Only a server that runs knows or does it.
    NoServer,
    /// The request makes no sense.
    Malformed {
        /// Why.
        reason: String,
    },
    /// The store or the audit log failed.
    Failed {
        /// Why.
        reason: String,
    },
}

impl AdminAnswer {
    /// What the audit log says of it.
    pub(super) fn outcome(&self) -> String {
        match self {
            Self::NotFound => "not_found".into(),
            Self::NoServer => "failed: no server runs".into(),
            Self::Malformed { reason } | Self::Failed { reason } => format!("failed: {reason}"),
            _ => "done".into(),
        }
    }
}

impl fmt::Debug for AdminAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever shows people or has a token is redacted.
        match self {
            Self::Federation { peers } => write!(f, "Federation({:?})", peers.as_ref().map(Vec::len)),
            Self::Would(losses) => write!(f, "{losses:?}"),
            answer => write!(f, "{}", answer.outcome()),
        }
    }
}
