//! `qpc-server` without a command: configure, build, announce, wait, drain.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::runtime::{Builder, Runtime};

use super::{
    announce::{self, Announcement},
    args::{Place, ServeArgs},
    certificate, client_lines,
    exit::{Exit, Fault},
    in_force::InForce,
    print,
};
use crate::{
    account::Accounts,
    clock::SystemClock,
    config::{self, Config, ConfigError, Loaded, Overrides},
    data_dir::{DataDir, FederationFiles, Note},
    federation::{self, FederationError},
    logging,
    notify::Supervisor,
    rng::SystemRng,
    server::{
        self, AdminSocket, Parts, Running, StartError,
        backups::Schedule,
        storage::{self, Opened},
    },
    shutdown::{Signals, Wish},
    store::Store,
};

/// Registrations that the starter invite is for.
const STARTER_USES: u32 = 10;
/// How long it lasts.
const STARTER_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long threads have to end once all is stored and closed.
const LAST_WORK: Duration = Duration::from_secs(1);

pub(super) fn serve(place: &Place, args: &ServeArgs) -> Result<(), Fault> {
    let loaded = load(place, args.listen, args.metrics_listen)?;
    let in_force = InForce::new(&loaded.config, logging::init(&loaded.config.log));
    let runtime = runtime(loaded.config.runtime.threads_on(storage::cores()))?;
    let read = || load(place, args.listen, args.metrics_listen);
    let outcome = runtime.block_on(run(loaded, args.json, &Reload { in_force, read: &read }));
    // Ended, not left: OpenSSL frees what is a thread's as the thread ends and as the process does, and not well at once.
    // One that hangs in the file system is not waited for longer.
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

/// Reads the configuration and refuses one that the server can't start with.
pub(super) fn load(
    place: &Place,
    listen: Option<std::net::SocketAddr>,
    metrics_listen: Option<std::net::SocketAddr>,
) -> Result<Loaded, Fault> {
    let loaded = read(place, listen, metrics_listen)??;
    refuse_faults(loaded.check())?;
    Ok(loaded)
}

/// Refuses a configuration with something wrong in it, and names it all.
pub(super) fn refuse_faults(faults: impl IntoIterator<Item = config::Fault>) -> Result<(), Fault> {
    let faults: Vec<String> = faults.into_iter().map(|fault| fault.to_string()).collect();
    if faults.is_empty() { Ok(()) } else { Err(Fault::new(Exit::Config, faults.join("\nqpc-server: "))) }
}

/// Reads it and judges nothing; the inner error is the configuration's own.
pub(super) fn read(
    place: &Place,
    listen: Option<std::net::SocketAddr>,
    metrics_listen: Option<std::net::SocketAddr>,
) -> Result<Result<Loaded, ConfigError>, Fault> {
    let overrides = Overrides { file: place.config.clone(), data_dir: place.data_dir.clone(), listen, metrics_listen };
    Ok(Config::load(&overrides, environment()?))
}

/// The variables that are ours. Others may hold anything.
fn environment() -> Result<Vec<(String, String)>, Fault> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok().filter(|name| name.starts_with("QPC_"))?, value)))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(Fault::new(Exit::Config, format!("{name}: not UTF-8"))),
        })
        .collect()
}

fn runtime(threads: usize) -> Result<Runtime, Fault> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build().map_err(|error| Fault::new(Exit::Internal, error))
}

async fn run(mut loaded: Loaded, json: bool, reload: &Reload<'_>) -> Result<(), Fault> {
    let mut signals = Signals::watch().map_err(|error| Fault::new(Exit::Internal, error))?;
    let Opened { dir, store, blobs, aftermath, metrics, setups } = storage::open(&loaded)?;
    dir.ensure_config()?;
    let config = &loaded.config;
    own_domain(config, &dir, &*store).await?;
    let parts = Parts {
        store,
        blobs,
        aftermath: Some(aftermath),
        metrics,
        setups,
        certificate: certificate::shown(config, &dir)?,
        certificate_source: certificate::source(config, &dir),
        acme: certificate::acme(config, &dir)?,
        hub_key: dir.hub_key(&SystemRng)?,
        reset_key: dir.reset_key(&SystemRng)?,
        federation: config.federation.enabled.then(|| federation_source(config, &dir)),
        admin_socket: Some(AdminSocket {
            path: DataDir::admin_socket(dir.path()),
            controls: reload.in_force.controls(),
        }),
        backups: backups(&loaded, dir.path())?,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
    };
    let running = server::start(config, parts).await?;

    let invite = starter_invite(config, &dir, &running.accounts).await?;
    let announcement = announcement(&running, &dir, invite.as_deref(), config);
    let line = || announce::json(&announcement).map_err(|error| Fault::new(Exit::Internal, error));
    print(&if json { line()? } else { announce::text(&announcement) })?;
    tracing::info!(listen = %running.listen, metrics = running.metrics_listen.map(tracing::field::display), "ready");

    let (supervisor, health) = (Supervisor::from_environment(), running.health());
    supervisor.ready();
    // The watchdog is fed by this task as well: a reload that hangs starves it.
    tokio::select! {
        ended = live(running, (&mut loaded.config, reload), &mut signals, &supervisor) => ended,
        never = supervisor.keep_alive(async || health.is_alive().await) => match never {},
    }
}

/// Waits for signals and does as they say, until the server has stopped.
async fn live(
    running: Running,
    (config, reload): (&mut Config, &Reload<'_>),
    signals: &mut Signals,
    supervisor: &Supervisor,
) -> Result<(), Fault> {
    while wish(signals, &reload.in_force).await == Wish::Reload {
        supervisor.reloading();
        reload.take(config, &running);
        supervisor.ready();
    }
    supervisor.stopping();
    tracing::info!("stopping: a second signal ends it at once");
    // The store's last words may be lost: everything acknowledged was durable before.
    tokio::select! {
        done = running.drain() => done?,
        () = signals.stop() => tracing::warn!("stopped at once"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// What a signal, or the operator at the admin socket, wants next.
async fn wish(signals: &mut Signals, in_force: &InForce) -> Wish {
    // Both branches only wait.
    tokio::select! {
        wish = signals.next() => wish,
        () = in_force.drain.cancelled() => Wish::Stop,
    }
}

/// Every address of the server ends in its domain, which therefore stays once there are accounts.
async fn own_domain(config: &Config, dir: &DataDir, store: &dyn Store) -> Result<(), Fault> {
    let domain = config.server.domain.to_ascii_lowercase();
    match dir.noted(Note::Domain)? {
        Some(noted) if noted.expose() == domain => Ok(()),
        Some(noted) if store.count_accounts().await? > 0 => Err(Fault::new(
            Exit::Config,
            format!(
                "server.domain: {domain}, but the accounts in {} belong to {}: a domain can't be changed",
                dir.path().display(),
                noted.expose(),
            ),
        )),
        _ => Ok(dir.note(Note::Domain, &domain)?),
    }
}

/// What it takes to read the configuration again while the server runs.
struct Reload<'r> {
    in_force: Arc<InForce>,
    read: &'r dyn Fn() -> Result<Loaded, Fault>,
}

impl Reload<'_> {
    /// Takes what can be taken, and says what can't.
    fn take(&self, current: &mut Config, running: &Running) {
        running.look_at_certificate();
        let new = match (self.read)() {
            Ok(loaded) => loaded.config,
            Err(fault) => {
                tracing::warn!(fault = fault.message, "the configuration is wrong, and nothing of it is taken");
                return;
            }
        };
        let changes = config::changes(current, &new);
        let (mut taken, mut later): (Vec<_>, Vec<_>) = changes.into_iter().partition(config::Change::is_taken_at_once);
        running.set_rates(&new);
        // Without federation there is nobody to connect with, whoever the peers are.
        if running.set_peers(&new) {
            current.federation.take_peers(&new.federation);
        } else {
            later.extend(taken.extract_if(.., |change| change.is_of_peers()));
        }
        // Only what was taken: the rest is named again each time, until a start has taken it.
        current.limits.take_rates(&new.limits);
        self.in_force.take_limits(current);
        // The operator may have set another one meanwhile.
        if self.in_force.level() != new.log.level {
            match self.in_force.set_level(&new.log.level) {
                Ok(()) => current.log.level = new.log.level,
                Err(error) => {
                    tracing::warn!(%error, "the level of logs stays");
                    taken.retain(|change| change.key != "log.level");
                }
            }
        }
        for config::Change { key, before, after } in &taken {
            tracing::info!(key, before, after, "the configuration has changed");
        }
        for config::Change { key, .. } in &later {
            tracing::warn!(key, "this counts from the next start on");
        }
        tracing::info!(taken = taken.len(), later = later.len(), "the configuration was read again");
    }
}

/// Reads federation's files anew each time.
fn federation_source(config: &Config, dir: &DataDir) -> federation::Source {
    let files = FederationFiles::configured(&config.federation, dir.path());
    Arc::new(move || files.read().map_err(|error| error.to_string()))
}

/// When and where the server makes backups by itself.
fn backups(loaded: &Loaded, root: &Path) -> Result<Option<Schedule>, Fault> {
    let config = &loaded.config.backup;
    Ok(storage::backups(config)?.map(|place| Schedule {
        place,
        every: config.incremental_every.0.min(config.full_every.0),
        config: loaded.file.clone(),
        data_dir: root.to_owned(),
    }))
}

/// Something to begin with: the invite of the last start while it lasts, else a new one. A production
/// server prints no tokens, and an open one needs none.
async fn starter_invite(config: &Config, dir: &DataDir, accounts: &Accounts) -> Result<Option<String>, Fault> {
    if config.server.production || config.server.open_registration {
        return Ok(None);
    }
    if let Some(kept) = dir.noted(Note::StarterInvite)?
        && accounts.invite_is_valid(kept.expose()).await?
    {
        return Ok(Some(kept.expose().to_owned()));
    }
    let token = accounts.create_invite(STARTER_USES, Some(STARTER_LIFE)).await?;
    dir.note(Note::StarterInvite, token.expose())?;
    Ok(Some(token.expose().to_owned()))
}

fn announcement<'a>(
    running: &'a Running,
    dir: &'a DataDir,
    invite: Option<&'a str>,
    config: &Config,
) -> Announcement<'a> {
    Announcement {
        listen: running.listen,
        metrics: running.metrics_listen.unwrap_or(config.metrics.listen),
        federation: running.federation_listen,
        fingerprint: &running.fingerprint,
        invite,
        data_dir: dir.path(),
        client: client_lines::program("qpc-client"),
        open: config.server.open_registration,
    }
}

impl From<StartError> for Fault {
    fn from(error: StartError) -> Self {
        let exit = match &error {
            StartError::Domain(_) => Exit::Config,
            StartError::Bind(transport) if !matches!(transport, crate::transport::BindError::Socket { .. }) => {
                Exit::Config
            }
            StartError::Federation(FederationError::Files(_) | FederationError::Keys(_)) => Exit::Config,
            StartError::Federation(FederationError::Twice(_)) => Exit::Internal,
            StartError::Federation(FederationError::Socket { .. })
            | StartError::Bind(_)
            | StartError::Metrics { .. }
            | StartError::Admin { .. }
            | StartError::Address(_) => Exit::Listen,
            StartError::Store(_) | StartError::Randomness(_) => Exit::Io,
        };
        let hint = match &error {
            StartError::Bind(_) if exit == Exit::Listen => "; --listen takes another address",
            StartError::Federation(FederationError::Files(_)) => {
                "; `qpc-server federation init-ca` and `issue` make the files"
            }
            StartError::Federation(FederationError::Socket { .. }) => "; federation.listen takes another address",
            StartError::Metrics { .. } => "; --metrics-listen takes another address",
            _ => "",
        };
        Self::new(exit, format!("{error}{hint}"))
    }
}
