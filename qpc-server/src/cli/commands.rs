//! The commands that do one thing and end.

use std::{path::Path, sync::Arc};

use super::{
    args::{ChangeKeyArgs, CheckArgs, DiffArgs, InviteArgs, Place, ResetArgs, ShowArgs},
    client_lines::reachable,
    exit::{Exit, Fault},
    print,
    progress::Progress,
    serve::{load, refuse_faults},
};
use crate::{
    account::{Accounts, RegistrationPolicy},
    admin::{self, AdminAnswer, AdminRequest, AskError, AuditLog, Operated},
    blob_store::{Budget, sqlite::BlobReport},
    clock::{Clock, SystemClock},
    config::{self, Config, Overrides},
    data_dir::DataDir,
    logging,
    rng::SystemRng,
    server::storage::{self, Opened},
};

/// `config check FILE`.
pub(super) fn check_config(file: &Path) -> Result<(), Fault> {
    let overrides = Overrides { file: Some(file.to_owned()), ..Overrides::default() };
    let loaded = Config::load(&overrides, [])?;
    refuse_faults(loaded.check().into_iter().chain(loaded.check_files()))?;
    print(&format!("{}: good\n", file.display()))
}

/// `config show`.
pub(super) fn show_config(place: &Place, args: &ShowArgs) -> Result<(), Fault> {
    let loaded = load(place, None, None)?;
    let from = loaded.file.as_ref().map_or_else(|| "no file".into(), |file| file.display().to_string());
    let text = if args.effective { loaded.show_origins()? } else { loaded.config.show()? };
    print(&format!("# from {from}, the environment and the command line\n{text}"))
}

/// `config diff [FILE]`.
pub(super) fn diff_config(place: &Place, args: &DiffArgs) -> Result<(), Fault> {
    let effective = load(place, None, None)?.config;
    let (name, other) = match &args.file {
        Some(file) => {
            let overrides = Overrides { file: Some(file.clone()), ..Overrides::default() };
            (file.display().to_string(), Config::load(&overrides, [])?.config)
        }
        None => ("the defaults".to_owned(), Config::default()),
    };
    let changes = config::changes(&other, &effective);
    let line = |change: &config::Change| {
        let config::Change { key, before, after } = change;
        let restart = !change.is_taken_at_once();
        match args.json {
            true => {
                let json = serde_json::json!({ "key": key, "before": before, "after": after, "restart": restart });
                format!("{json}\n")
            }
            false => format!("{key}: {before} -> {after}\n"),
        }
    };
    let lines: String = changes.iter().map(line).collect();
    if changes.is_empty() && !args.json {
        return print(&format!("nothing differs from {name}\n"));
    }
    print(&lines)
}

/// `invite create`.
pub(super) fn create_invite(place: &Place, args: &InviteArgs) -> Result<(), Fault> {
    let life_ms = args.expires.map(|life| u64::try_from(life.0.as_millis()).unwrap_or(u64::MAX));
    let token = token(administer(place, AdminRequest::CreateInvite { uses: args.uses, life_ms })?)?;
    if !args.json {
        return print(&format!("{token}\n"));
    }
    let expires_ms = life_ms.map(|life| SystemClock.unix_ms().saturating_add(life));
    print(&format!("{}\n", serde_json::json!({ "invite": token, "uses": args.uses, "expires_ms": expires_ms })))
}

/// `account reset NAME`.
pub(super) fn reset_account(place: &Place, args: &ResetArgs) -> Result<(), Fault> {
    let token = token(administer(place, AdminRequest::ResetAccount { name: args.name.clone(), dry_run: false })?)?;
    if args.json {
        return print(&format!("{}\n", serde_json::json!({ "token": token })));
    }
    let name = &args.name;
    print(&format!(
        "{token}\n\n\
         This token registers {name} again, once, within 7 days: qpc-client --auth-token TOKEN register {name}\n\
         The account's devices are signed out and its place in every conversation is gone. Its old identity key and\n\
         the history that only its devices had can't be brought back. When {name} registers again, everybody it shared\n\
         a conversation with is told that its key has changed.\n"
    ))
}

/// `db check`.
pub(super) fn check_database(place: &Place, args: &CheckArgs) -> Result<(), Fault> {
    let loaded = load(place, None, None)?;
    let _level = logging::init(&logging::quiet());
    let report = storage::check(&loaded)?;
    let mut problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let mut progress = Progress::new("blobs");
    let blobs = storage::check_blobs(&loaded, args.read_objects, &mut |done, total| progress.tell(done, total))?;
    progress.clear();
    problems.extend(blobs.iter().flat_map(|blobs| &blobs.problems).map(ToString::to_string));
    if !problems.is_empty() {
        return Err(Fault::new(Exit::Damaged, problems.join("\nqpc-server: ")));
    }
    print(&format!("sound: {} entries in {} logs\n", report.entries, report.logs))?;
    match blobs {
        Some(BlobReport { blobs, bytes, uploads, .. }) => {
            print(&format!("sound: {blobs} blobs of {bytes} bytes, {uploads} unfinished uploads\n"))
        }
        None => print("no blobs: there is no qpc-blobs.db. If there was one, restore it from a backup\n"),
    }
}

/// `db change-key`.
pub(super) fn change_key(place: &Place, args: &ChangeKeyArgs) -> Result<(), Fault> {
    let loaded = load(place, None, None)?;
    let new = args.new_key_file.as_deref().map(config::read_secret).transpose()?;
    let file = storage::change_key(&loaded, new)?;
    print(&format!(
        "The databases have another key; it is in {}.\n\
         Keep a copy of it elsewhere, make a full backup (qpc-server backup create --full), and keep the old key as long as\n\
         backups that were made with it.\n",
        file.display()
    ))
}

/// `health`.
pub(super) fn health(place: &Place) -> Result<(), Fault> {
    let loaded = load(place, None, None)?;
    let address = reachable(loaded.config.metrics.listen);
    let answer = admin::fetch(address, "/readyz")
        .map_err(|error| Fault::new(Exit::NotReady, format!("no answer from http://{address}/readyz: {error}")))?;
    match answer.status {
        200 => print(&answer.body),
        _ => Err(Fault::new(Exit::NotReady, format!("not ready: {}", answer.body.trim()))),
    }
}

fn token(answer: AdminAnswer) -> Result<String, Fault> {
    match answer {
        AdminAnswer::Token { token } => Ok(token),
        _ => Err(Fault::new(Exit::Internal, "the server answered something else")),
    }
}

/// Asks the running server, or does it here where none runs. What comes back is what was asked for.
pub(super) fn administer(place: &Place, request: AdminRequest) -> Result<AdminAnswer, Fault> {
    let loaded = load(place, None, None)?;
    let answer = match admin::ask(&DataDir::admin_socket(&loaded.config.server.data_dir), &request) {
        Ok(answer) => answer,
        Err(AskError::NoServer) => {
            let _level = logging::init(&logging::quiet());
            alone(&loaded, request.clone())?
        }
        Err(error @ AskError::Socket(_)) => return Err(Fault::new(Exit::Io, error)),
        Err(error @ AskError::Answer(_)) => return Err(Fault::new(Exit::Internal, error)),
    };
    match answer {
        AdminAnswer::NotFound => Err(missing(&request)),
        AdminAnswer::NoServer => {
            let directory = loaded.config.server.data_dir.display();
            Err(Fault::new(
                Exit::NotReady,
                format!("no server runs on {directory}, and only one that runs knows or does this"),
            ))
        }
        AdminAnswer::Malformed { reason } => Err(Fault::new(Exit::Usage, reason)),
        AdminAnswer::Failed { reason } => Err(Fault::new(Exit::Io, reason)),
        answer => Ok(answer),
    }
}

/// What is not there, and where to look.
fn missing(request: &AdminRequest) -> Fault {
    let see = |what: &str, command: &str| format!("no {what}: `qpc-server admin {command}` shows them");
    let (exit, message) = match request {
        AdminRequest::RevokeInvite { id, .. } => (Exit::Exists, see(&format!("invite `{id}`"), "invites list")),
        AdminRequest::ShowConversation { name } => {
            (Exit::Exists, see(&format!("conversation `{name}` here"), "conversations list"))
        }
        AdminRequest::RevokeDevice { name, device, .. } | AdminRequest::Kick { name, device: Some(device) } => {
            (Exit::NoAccount, see(&format!("account `{name}` with a device {device}"), &format!("devices list {name}")))
        }
        AdminRequest::ResetAccount { name, .. }
        | AdminRequest::ShowAccount { name }
        | AdminRequest::SuspendAccount { name, .. }
        | AdminRequest::ResumeAccount { name }
        | AdminRequest::DeleteAccount { name, .. }
        | AdminRequest::Kick { name, .. } => (Exit::NoAccount, see(&format!("account `{name}`"), "accounts list")),
        AdminRequest::RetireSetup { version, .. } => {
            (Exit::Exists, format!("no OPAQUE setup {version}: `qpc-server opaque list` shows them"))
        }
        _ => (Exit::Exists, "there is no such thing".to_owned()),
    };
    Fault::new(exit, message)
}

fn alone(loaded: &config::Loaded, request: AdminRequest) -> Result<AdminAnswer, Fault> {
    let opened = storage::open(loaded)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (store, blobs) = (Arc::clone(&opened.store), Arc::clone(&opened.blobs));
    let audit = Arc::new(AuditLog::new(opened.dir.path(), Arc::clone(&clock)));
    let of = loaded.config.edge_limits().blobs;
    let quota = Budget { bytes: of.account_bytes, blobs: of.account_blobs };
    with_accounts(loaded, opened, async |accounts| {
        let operated = Operated { accounts, store, blobs, quota, clock, audit, live: None };
        admin::perform(&operated, rustix::process::getuid().as_raw(), request).await
    })
}

/// Does something with the accounts of a data directory on which no server runs, and closes it.
pub(super) fn with_accounts<T>(
    loaded: &config::Loaded,
    opened: Opened,
    work: impl AsyncFnOnce(Arc<Accounts>) -> T,
) -> Result<T, Fault> {
    let Opened { dir, store, blobs, setups, aftermath, .. } = opened;
    // Nobody is woken here.
    drop(aftermath);
    let domain = qpc_proto::address::Domain::parse(&loaded.config.server.domain)
        .map_err(|error| Fault::new(Exit::Config, error))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let accounts =
        Accounts::new(Arc::clone(&store), setups, domain, RegistrationPolicy::default(), clock, Arc::new(SystemRng));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::new(Exit::Internal, error))?;
    let done = runtime.block_on(async {
        let done = work(Arc::new(accounts)).await;
        let closed = blobs.close().await;
        store.close().await.and(closed).map(|()| done)
    })?;
    // Until here nobody else may open the directory.
    drop(dir);
    Ok(done)
}
