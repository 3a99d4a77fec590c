//! Doing what the operator asks for, with its trace in the audit log: the same through the socket and, where no server
//! runs, in the program itself.

use std::{sync::Arc, time::Duration};

use super::{
    AdminAnswer, AdminRequest, AuditLog, accounts, lists,
    request::Nature,
    rows::{Losses, Setting},
    sessions, setups,
};
use crate::{
    account::Accounts,
    blob_store::{BlobStore, Budget},
    clock::Clock,
    group::Groups,
    metrics::Metrics,
    peers::Peers,
    registry::Registry,
    store::{OperatorError, Store, StoreFault},
};
use tokio_util::sync::CancellationToken;

/// Most registrations one invite may be for.
const USES_MAX: u32 = 1_000_000;
/// Rows of one answer.
const ROWS_MAX: usize = 1000;
/// The same, for who asks.
pub const ADMIN_ROWS: usize = ROWS_MAX;

/// What the operator may ask about.
#[derive(Clone)]
pub struct Operated {
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// Everything about them.
    pub store: Arc<dyn Store>,
    /// And their files.
    pub blobs: Arc<dyn BlobStore>,
    /// How much of those each account may have.
    pub quota: Budget,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where each action leaves its trace.
    pub audit: Arc<AuditLog>,
    /// The server that runs, if one does.
    pub live: Option<Live>,
}

/// What only a server that runs has.
#[derive(Clone)]
pub struct Live {
    /// Who is here.
    pub registry: Arc<Registry>,
    /// Has devices that are gone proposed for removal.
    pub groups: Arc<Groups>,
    /// Other servers, where there is federation.
    pub peers: Option<Arc<Peers>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the composition can do.
    pub controls: Arc<Controls>,
}

/// Shows all limits and rates in force.
pub type ShowSettings = Box<dyn Fn() -> Vec<Setting> + Send + Sync>;
/// Shows the level of logs, or takes another one and shows that.
pub type LogLevel = Box<dyn Fn(Option<&str>) -> Result<String, String> + Send + Sync>;

/// What the composition lets the operator see and do.
pub struct Controls {
    /// Limits and rates in force.
    pub settings: ShowSettings,
    /// The level of logs.
    pub log_level: LogLevel,
    /// Cancelled to have the server drain and end.
    pub drain: CancellationToken,
}

/// Does what is asked by a user of the system, and leaves its trace.
pub async fn perform(operated: &Operated, uid: u32, request: AdminRequest) -> AdminAnswer {
    let nature = request.nature();
    let action = match serde_json::to_value(&request) {
        Ok(action) => action,
        Err(error) => return AdminAnswer::Failed { reason: error.to_string() },
    };
    if nature == Nature::Changes
        && let Err(reason) = note(operated, uid, &action, "begun".into()).await
    {
        return AdminAnswer::Failed { reason };
    }
    if let Some(live) = &operated.live {
        live.metrics.admin_action(action.get("request").and_then(serde_json::Value::as_str).unwrap_or_default());
    }
    let answer = act(operated, uid, request).await;
    if nature == Nature::Unnoted {
        return answer;
    }
    match note(operated, uid, &action, answer.outcome()).await {
        Ok(head) => {
            if nature == Nature::Changes {
                // A copy of the logs elsewhere holds the chain to this.
                tracing::info!(seq = head.seq, hash = head.hash, "the operator changed something");
            }
            answer
        }
        Err(reason) if nature == Nature::Shows => AdminAnswer::Failed { reason },
        Err(reason) => {
            tracing::error!(reason, "an action of the operator has no end in the audit log; its beginning is there");
            answer
        }
    }
}

/// Adds a line, off the runtime's threads.
pub(super) async fn note(
    operated: &Operated,
    uid: u32,
    action: &serde_json::Value,
    outcome: String,
) -> Result<super::audit::Head, String> {
    let (audit, action) = (Arc::clone(&operated.audit), action.clone());
    let noted = tokio::task::spawn_blocking(move || audit.note(uid, &action, &outcome)).await;
    match noted {
        Ok(noted) => noted.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

async fn act(operated: &Operated, uid: u32, request: AdminRequest) -> AdminAnswer {
    use AdminRequest as Ask;
    let done = match request {
        Ask::FederationStatus => {
            let peers = operated.live.as_ref().and_then(|live| live.peers.as_ref());
            Ok(AdminAnswer::Federation { peers: peers.map(|peers| peers.report()) })
        }
        Ask::CreateInvite { uses, life_ms } => create_invite(operated, uses, life_ms).await,
        Ask::ListInvites { after, limit } => lists::invites(operated, after, rows(limit)).await,
        Ask::RevokeInvite { id, dry_run } => lists::revoke_invite(operated, &id, dry_run).await,
        Ask::ListAccounts { after, limit } => accounts::list(operated, after, rows(limit)).await,
        Ask::ShowAccount { name } => accounts::show(operated, &name).await,
        Ask::ResetAccount { name, dry_run } => accounts::reset(operated, &name, dry_run).await,
        Ask::SuspendAccount { name, dry_run } => accounts::suspend(operated, &name, dry_run).await,
        Ask::ResumeAccount { name } => accounts::resume(operated, &name).await,
        Ask::DeleteAccount { name, dry_run } => accounts::delete(operated, &name, dry_run).await,
        Ask::RevokeDevice { name, device, dry_run } => accounts::revoke(operated, &name, &device, dry_run).await,
        Ask::ListSessions { after, limit } => sessions::list(operated, after, rows(limit)),
        Ask::Kick { name, device } => sessions::kick(operated, &name, device).await,
        Ask::ListConversations { after, limit } => lists::conversations(operated, after, rows(limit)).await,
        Ask::ShowConversation { name } => lists::conversation(operated, &name).await,
        Ask::ShowLimits => live(operated).map(|live| AdminAnswer::Limits { limits: (live.controls.settings)() }),
        Ask::ShowLogLevel => log_level(operated, None),
        Ask::SetLogLevel { level } => log_level(operated, Some(&level)),
        Ask::ListSetups => setups::list(operated).await,
        Ask::RotateSetup => setups::rotate(operated).await,
        Ask::RetireSetup { version, dry_run: true, .. } => setups::would_retire(operated, version).await,
        Ask::RetireSetup { version, reset, .. } => setups::retire(operated, uid, version, reset).await,
        // The server begins to drain when the answer is out.
        Ask::Drain { dry_run } => live(operated).map(|live| {
            let sessions = live.registry.sessions();
            match dry_run {
                true => AdminAnswer::Would(Losses { sessions, ..Losses::default() }),
                false => AdminAnswer::Done { sessions },
            }
        }),
    };
    done.unwrap_or_else(|refused| refused)
}

async fn create_invite(operated: &Operated, uses: u32, life_ms: Option<u64>) -> Result<AdminAnswer, AdminAnswer> {
    if !(1..=USES_MAX).contains(&uses) {
        return Err(malformed(format!("an invite is for 1 to {USES_MAX} registrations")));
    }
    let token = operated.accounts.create_invite(uses, life_ms.map(Duration::from_millis)).await?;
    Ok(AdminAnswer::Token { token: token.expose().to_owned() })
}

fn log_level(operated: &Operated, level: Option<&str>) -> Result<AdminAnswer, AdminAnswer> {
    let level = (live(operated)?.controls.log_level)(level).map_err(malformed)?;
    Ok(AdminAnswer::LogLevel { level })
}

/// The server that runs.
pub(super) fn live(operated: &Operated) -> Result<&Live, AdminAnswer> {
    operated.live.as_ref().ok_or(AdminAnswer::NoServer)
}

pub(super) fn malformed(reason: impl ToString) -> AdminAnswer {
    AdminAnswer::Malformed { reason: reason.to_string() }
}

fn rows(limit: usize) -> usize {
    limit.clamp(1, ROWS_MAX)
}

impl From<StoreFault> for AdminAnswer {
    fn from(fault: StoreFault) -> Self {
        Self::Failed { reason: fault.to_string() }
    }
}

impl From<OperatorError> for AdminAnswer {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::NotFound => Self::NotFound,
            OperatorError::Ambiguous => malformed("several invites begin like this: give more digits of the id"),
            OperatorError::NotInUse => malformed("the account was reset or deleted: there is nothing left to change"),
            OperatorError::Fault(fault) => fault.into(),
        }
    }
}
