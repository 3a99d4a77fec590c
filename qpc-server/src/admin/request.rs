//! What the operator may ask for, and what is done then: the same through the socket and, where no
//! server runs, in the program itself.

use std::{fmt, sync::Arc, time::Duration};

use qpc_proto::address::AccountName;
use serde::{Deserialize, Serialize};

use crate::{
    account::Accounts,
    peers::{PeerReport, Peers},
    store::ResetAccountError,
};

/// Most registrations one invite may be for.
const USES_MAX: u32 = 1_000_000;

/// One request: a line of JSON on the socket.
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
    /// Reset an account whose password is forgotten.
    ResetAccount {
        /// Its name, without the domain.
        name: String,
    },
    /// How the connections with other servers stand.
    FederationStatus,
}

/// Its answer: a line of JSON as well.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminAnswer {
    /// It is done; this is the token to hand on.
    Token {
        /// The token itself.
        token: String,
    },
    /// Other servers; nothing where federation is off.
    Federation {
        /// Each of them.
        peers: Option<Vec<PeerReport>>,
    },
    /// Nobody has that name.
    NotFound,
    /// The request makes no sense.
    Malformed {
        /// Why.
        reason: String,
    },
    /// The store failed.
    Failed {
        /// Why.
        reason: String,
    },
}

impl fmt::Debug for AdminAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { .. } => f.write_str("Token(redacted)"),
            Self::Federation { peers } => write!(f, "Federation({:?})", peers.as_ref().map(Vec::len)),
            Self::NotFound => f.write_str("NotFound"),
            Self::Malformed { reason } => write!(f, "Malformed({reason})"),
            Self::Failed { reason } => write!(f, "Failed({reason})"),
        }
    }
}

/// What the operator may ask about.
#[derive(Clone)]
pub struct Operated {
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// Other servers, where there is federation.
    pub peers: Option<Arc<Peers>>,
}

/// Does what is asked.
pub async fn perform(Operated { accounts, peers }: &Operated, request: AdminRequest) -> AdminAnswer {
    match request {
        AdminRequest::FederationStatus => AdminAnswer::Federation { peers: peers.as_ref().map(|peers| peers.report()) },
        AdminRequest::CreateInvite { uses, life_ms } => {
            if !(1..=USES_MAX).contains(&uses) {
                return AdminAnswer::Malformed { reason: format!("an invite is for 1 to {USES_MAX} registrations") };
            }
            match accounts.create_invite(uses, life_ms.map(Duration::from_millis)).await {
                Ok(token) => {
                    tracing::info!(uses, "an invite was created");
                    AdminAnswer::Token { token: token.expose().to_owned() }
                }
                Err(fault) => AdminAnswer::Failed { reason: fault.to_string() },
            }
        }
        AdminRequest::ResetAccount { name } => {
            let name = match AccountName::parse(&name) {
                Ok(name) => name,
                Err(error) => return AdminAnswer::Malformed { reason: error.to_string() },
            };
            match accounts.reset_account(name).await {
                Ok(token) => {
                    tracing::info!("an account was reset");
                    AdminAnswer::Token { token: token.expose().to_owned() }
                }
                Err(ResetAccountError::NotFound) => AdminAnswer::NotFound,
                Err(ResetAccountError::Fault(fault)) => AdminAnswer::Failed { reason: fault.to_string() },
            }
        }
    }
}
