//! The server put together: every room, in the order in which they need each other.
//!
//! [`start`] opens the listeners and returns once clients can connect; [`Running::drain`] empties
//! the house. What it is built of comes in as [`Parts`], so that a test may hand in a memory
//! store and its own clock. Knows nothing of command lines.

pub mod acme;
pub mod backups;
pub mod storage;
mod upkeep;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use qpc_proto::address::{AddressError, Domain};
use quinn::{AsyncUdpSocket, Endpoint};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;
use tracing::info_span;

use crate::{
    account::{Accounts, LoginMeter, OpaqueSetups, RegistrationPolicy, StandingToken},
    admin::{self, AuditLog, Health, Live, Operated},
    blob::Blobs,
    blob_store::{BlobStore, Budget},
    clock::Clock,
    config::{Config, FederationAccess},
    data_dir::ServerCertificate,
    delivery::{Delivery, Ephemerals},
    federation::{self, FederationError},
    group::{Groups, HubKey, public::NoRandomness},
    metrics::Metrics,
    peers::Peers,
    policy::{Limits, Policy},
    registry::Registry,
    rng::{self, Rng},
    session::Context,
    store::{Aftermath, Store, StoreFault},
    tasks::Tasks,
    transport::{self, BindError, Identity, ResetKey},
};

/// Reads the certificate and its key, from time to time. The error is for the operator.
pub type CertificateSource = Arc<dyn Fn() -> Result<ServerCertificate, String> + Send + Sync>;

/// What a server is built of, besides its configuration.
pub struct Parts {
    /// An open store, which nobody has used yet.
    pub store: Arc<dyn Store>,
    /// An open store of blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// What the store hands over after its commits, if it does.
    pub aftermath: Option<Aftermath>,
    /// The metrics that the store counts in.
    pub metrics: Arc<Metrics>,
    /// The OPAQUE secrets.
    pub setups: OpaqueSetups,
    /// What clients verify or pin.
    pub certificate: ServerCertificate,
    /// Where a new one comes from while the server runs, if it may change.
    pub certificate_source: Option<CertificateSource>,
    /// The authority that signs it, if one does.
    pub acme: Option<acme::Acme>,
    /// The hub's key, which groups name.
    pub hub_key: HubKey,
    /// By which clients of an earlier start are told that their connections are gone.
    pub reset_key: ResetKey,
    /// Where federation's certificates come from; without it there is none.
    pub federation: Option<federation::Source>,
    /// The admin socket; a test does without.
    pub admin_socket: Option<AdminSocket>,
    /// The backups that the server makes by itself, if it does.
    pub backups: Option<backups::Schedule>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives randomness.
    pub rng: Arc<dyn Rng>,
}

/// Where the operator's programs come in, and what they may do there besides the server's own.
pub struct AdminSocket {
    /// In the data directory, where the audit log is as well.
    pub path: PathBuf,
    /// What the composition lets them see and do.
    pub controls: admin::Controls,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The domain is no host name; [`crate::config::Loaded::check`] says so earlier.
    #[error("server.domain: {0}")]
    Domain(#[from] AddressError),
    /// The client endpoint.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Other servers.
    #[error("federation: {0}")]
    Federation(#[from] FederationError),
    /// The metrics listener.
    #[error("can't listen on TCP {address}: {error}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The admin socket.
    #[error("can't listen on {}: {error}", path.display())]
    Admin {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The operating system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A listener has no address.
    #[error("a listener has no address: {0}")]
    Address(io::Error),
    /// The store refused the first verb.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// A server that serves.
pub struct Running {
    /// Where clients connect (UDP), with the port that was taken.
    pub listen: SocketAddr,
    /// Where other servers connect (UDP), if they do.
    pub federation_listen: Option<SocketAddr>,
    /// The other servers, as they are connected.
    pub peers: Option<Arc<Peers>>,
    /// Where metrics and health are shown (TCP), if they are.
    pub metrics_listen: Option<SocketAddr>,
    /// What clients pin.
    pub fingerprint: String,
    /// The accounts, for invites and resets.
    pub accounts: Arc<Accounts>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    blobs: Arc<dyn BlobStore>,
    delivery: Arc<Delivery>,
    policy: Arc<Policy>,
    federation: Option<federation::Federation>,
    health: Arc<Health>,
    look: Arc<Notify>,
    /// The same, for who orders certificates.
    order: Arc<Notify>,
    tasks: Tasks,
    patience: Duration,
}

/// Builds a server and opens its doors.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(config: &Config, parts: Parts) -> Result<Running, StartError> {
    let limits = Arc::new(config.edge_limits());
    let Parts { certificate, reset_key, metrics, .. } = &parts;
    let endpoint = transport::bind(config.server.listen, identity(certificate), reset_key, &limits, metrics)?;
    let address = config.metrics.listen;
    let http = TcpListener::bind(address).await.map_err(|error| StartError::Metrics { address, error })?;
    let admin = match &parts.admin_socket {
        Some(AdminSocket { path, .. }) => {
            Some(admin::bind_socket(path).map_err(|error| StartError::Admin { path: path.clone(), error })?)
        }
        None => None,
    };
    let tasks = Tasks::new(Arc::clone(metrics));
    let federation = match &parts.federation {
        Some(source) if config.federation.enabled => {
            let with = (&**metrics, tasks.clone());
            let ports = (Arc::clone(&parts.clock), Arc::clone(&parts.rng));
            Some(federation::Door::bind(federate(config, &limits)?, Arc::clone(source), reset_key, with, ports)?)
        }
        _ => None,
    };
    open(config, (limits, tasks), parts, Doors { endpoint, federation, http: Some(http), admin }).await
}

/// What the configuration says of other servers.
fn federate(config: &Config, limits: &Limits) -> Result<federation::Settings, StartError> {
    let (peers, access) = peers(config)?;
    Ok(federation::Settings {
        domain: Domain::parse(&config.server.domain)?,
        listen: config.federation.listen,
        udp_buffer: limits.transport.udp_buffer,
        peers,
        access,
        limits: limits.federation.clone(),
    })
}

/// With whom it has this server federate.
fn peers(config: &Config) -> Result<(Vec<federation::Peer>, federation::Access), AddressError> {
    let of = &config.federation;
    let peers = of.peers.iter().map(|peer| {
        let domain = Domain::parse(&peer.domain)?;
        Ok(federation::Peer { domain, address: peer.address.clone(), max_in_flight: peer.max_in_flight })
    });
    let denied = of.deny.iter().map(|domain| Domain::parse(domain)).collect::<Result<_, _>>()?;
    let access = federation::Access { open: of.access == FederationAccess::DenyList, denied };
    Ok((peers.collect::<Result<_, AddressError>>()?, access))
}

/// The same on a socket of any kind, with no thread besides the runtime's and nothing else that listens: for a simulation,
/// in which all happens in the same order each time.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start_on(socket: Arc<dyn AsyncUdpSocket>, config: &Config, parts: Parts) -> Result<Running, StartError> {
    let limits = Arc::new(config.edge_limits());
    let Parts { certificate, reset_key, metrics, .. } = &parts;
    let mut endpoint = reset_key.endpoint_config();
    endpoint.rng_seed(Some(rng::bytes(&*parts.rng)));
    let endpoint = transport::on(socket, endpoint, identity(certificate), &limits, metrics)?;
    let tasks = Tasks::new(Arc::clone(metrics)).on_one_thread();
    open(config, (limits, tasks), parts, Doors { endpoint, federation: None, http: None, admin: None }).await
}

/// Where others come in.
struct Doors {
    endpoint: Endpoint,
    federation: Option<federation::Door>,
    http: Option<TcpListener>,
    admin: Option<UnixListener>,
}

fn identity(certificate: &ServerCertificate) -> Identity {
    Identity { chain: certificate.chain.clone(), key: certificate.key.clone_key() }
}

/// Builds the rooms behind doors that are there: nothing has to be undone when an address is taken.
async fn open(
    config: &Config,
    (limits, tasks): (Arc<Limits>, Tasks),
    parts: Parts,
    doors: Doors,
) -> Result<Running, StartError> {
    let Parts { store, blobs, aftermath, metrics, setups, certificate, hub_key, backups, clock, rng, .. } = parts;
    let (source, authority, admin_socket) = (parts.certificate_source, parts.acme, parts.admin_socket);
    let Doors { endpoint, federation, http, admin } = doors;
    let domain = Domain::parse(&config.server.domain)?;
    let fingerprint = certificate.fingerprint();
    let listen = endpoint.local_addr().map_err(StartError::Address)?;
    let federation_listen = match &federation {
        Some(door) => Some(door.local_addr().map_err(StartError::Address)?),
        None => None,
    };
    let peers = federation.as_ref().map(federation::Door::peers);
    let metrics_listen = match &http {
        Some(http) => Some(http.local_addr().map_err(StartError::Address)?),
        None => None,
    };

    // -- rooms, from the store outwards
    let registry = Registry::new(limits.session.clone(), Arc::clone(&metrics));
    let delivery = Delivery::new(
        Arc::clone(&store),
        Arc::clone(&registry),
        Arc::clone(&clock),
        Arc::clone(&metrics),
        &limits.session,
    );
    let delivery = Arc::new(delivery);
    let policy = Arc::new(Policy::new(&limits.rates, &metrics));
    let parts = (Arc::clone(&registry), Arc::clone(&policy), Arc::clone(&metrics));
    let (ephemerals, lookups) = Ephemerals::new(parts, &limits.ephemerals);
    tasks.share("ephemerals", info_span!("ephemerals"), {
        let (ephemerals, store) = (Arc::clone(&ephemerals), Arc::clone(&store));
        let stopping = tasks.stopping().clone();
        async move { ephemerals.look_up(store, lookups, stopping).await }
    });
    store.set_sink(delivery.sink(federation.as_ref().map(federation::Door::remote), Some(Arc::clone(&ephemerals))));
    let (book, every, stopping) = (Arc::clone(&delivery), limits.session.cursor_flush, tasks.stopping().clone());
    tasks.share("cursors", info_span!("cursors"), async move { book.keep_cursors(every, stopping).await });
    if let Some(aftermath) = aftermath {
        tasks.share("aftermath", info_span!("aftermath"), aftermath.run(tasks.stopping().clone()));
    }
    let logins = LoginMeter {
        succeeded: metrics.login_success.clone(),
        failed: metrics.login_failure.clone(),
        seconds: metrics.login.clone(),
        renewed: metrics.opaque_renewed.clone(),
        ..LoginMeter::default()
    };
    let admits = registration(config);
    let accounts =
        Accounts::new(Arc::clone(&store), setups, domain.clone(), admits, Arc::clone(&clock), Arc::clone(&rng))
            .with_limits(config.login_limits())
            .with_meter(logins.clone());
    let accounts = Arc::new(accounts);
    accounts.prepare().await?;
    let hub_key_public = hub_key.public();
    let groups = Groups::new(
        Arc::clone(&store),
        (domain.clone(), hub_key),
        Arc::clone(&clock),
        &limits.groups,
        tasks.clone(),
        Arc::clone(&metrics),
    )?;
    let groups = Arc::new(match &federation {
        Some(door) => groups.with_remote(door.remote(), Arc::clone(&rng), &limits.federation),
        None => groups,
    });
    let parts = (Arc::clone(&store), Arc::clone(&blobs));
    let files = Blobs::new(parts, Arc::clone(&clock), Arc::clone(&metrics), &limits.blobs);
    let files = Arc::new(match &federation {
        Some(door) => files.with_remote(door.remote(), &limits.federation),
        None => files,
    });
    let (leaves, stopping) = (Arc::clone(&groups), tasks.stopping().clone());
    tasks.share("leaves", info_span!("leaves"), async move { leaves.keep_leaves(stopping).await });
    let health = Arc::new(Health::new(Arc::clone(&store), tasks.stopping().clone()));
    let certificate_rng = Arc::clone(&rng);
    let context = Arc::new(Context {
        accounts: Arc::clone(&accounts),
        delivery: Arc::clone(&delivery),
        ephemerals,
        groups: Arc::clone(&groups),
        blobs: Arc::clone(&files),
        registry: Arc::clone(&registry),
        policy: Arc::clone(&policy),
        limits: Arc::clone(&limits),
        metrics: Arc::clone(&metrics),
        tasks: tasks.clone(),
        domain,
        hub_key: hub_key_public,
        rng,
    });

    let look = Arc::new(Notify::new());
    metrics.set_certificate_expires(certificate.expires());
    metrics.users_planned.set(config.server.users_planned.into());
    if let Some(source) = source {
        let shown =
            upkeep::Shown { endpoint: endpoint.clone(), chain: certificate.chain, metrics: Arc::clone(&metrics) };
        upkeep::certificate(&tasks, (source, shown), Arc::clone(&limits), Arc::clone(&look));
    }
    let order = Arc::new(Notify::new());
    if let Some(authority) = authority {
        let around = acme::Surroundings {
            limits: Arc::clone(&limits),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            rng: certificate_rng,
            asked: Arc::clone(&order),
            changed: Arc::clone(&look),
        };
        acme::keep(&tasks, authority, around);
    }

    // -- doors
    // Whoever watches can see the drain: their page is there until the last client is gone.
    let emptied = CancellationToken::new();
    let guard = emptied.clone().drop_guard();
    tasks.share("endpoint", info_span!("endpoint"), async move {
        transport::serve(endpoint, context).await;
        drop(guard);
    });
    let federation = federation.map(|door| {
        let (delivery, store) = (Arc::clone(&delivery), Arc::clone(&store));
        let groups = Arc::clone(&groups);
        door.open(federation::House { groups, delivery, blobs: files, store, policy: Arc::clone(&policy) })
    });
    health.set_bound();
    if let Some(http) = http {
        let page = admin::serve_http(http, Arc::clone(&metrics), Arc::clone(&health), emptied);
        tasks.share("http", info_span!("http"), async move {
            if let Err(error) = page.await {
                tracing::error!(%error, "the metrics listener failed");
            }
        });
        upkeep::machine(&tasks, Arc::clone(&metrics), logins, config.server.data_dir.clone());
    }
    if let Some((socket, AdminSocket { path, controls })) = admin.zip(admin_socket) {
        let audit = AuditLog::new(path.parent().unwrap_or(&path), Arc::clone(&clock));
        audit.look();
        let live = Live {
            registry,
            groups,
            peers: peers.clone(),
            metrics: Arc::clone(&metrics),
            controls: Arc::new(controls),
        };
        let operated = Operated {
            accounts: Arc::clone(&accounts),
            store: Arc::clone(&store),
            blobs: Arc::clone(&blobs),
            quota: Budget { bytes: limits.blobs.account_bytes, blobs: limits.blobs.account_blobs },
            clock: Arc::clone(&clock),
            audit: Arc::new(audit),
            live: Some(live),
        };
        let serve = admin::serve_socket(socket, Arc::new(operated), tasks.clone());
        tasks.share("admin", info_span!("admin"), serve);
    }
    upkeep::retention(&tasks, Arc::clone(&store), &config.retention, Arc::clone(&clock));
    let kept = (config.retention.blobs_days, limits.blobs.upload_expiry);
    upkeep::blobs(&tasks, (Arc::clone(&blobs), Arc::clone(&metrics)), kept, Arc::clone(&clock));
    if let Some(schedule) = backups {
        backups::keep(&tasks, schedule, Arc::clone(&metrics), clock);
    }

    // The sessions' own drain, the endpoint's patience with them, and a moment for the rest.
    let patience = config.server.drain.0.saturating_mul(2).saturating_add(Duration::from_secs(5));
    Ok(Running {
        listen,
        federation_listen,
        peers,
        metrics_listen,
        fingerprint,
        accounts,
        metrics,
        store,
        blobs,
        delivery,
        policy,
        federation,
        health,
        look,
        order,
        tasks,
        patience,
    })
}

fn registration(config: &Config) -> RegistrationPolicy {
    let standing = config.server.auth_token.iter().map(|token| StandingToken::new(token.expose())).collect();
    RegistrationPolicy { standing, open: config.server.open_registration }
}

impl Running {
    /// Takes other rates.
    pub fn set_rates(&self, config: &Config) {
        self.policy.set(&config.edge_limits().rates);
    }

    /// Takes other peers, and another word on who else may come, where there is federation; says whether there is.
    pub fn set_peers(&self, config: &Config) -> bool {
        match (&self.federation, peers(config)) {
            (Some(federation), Ok((peers, access))) => {
                federation.change(peers, access);
                true
            }
            _ => false,
        }
    }

    /// How it goes, for whoever watches over the process, also while it drains.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Has the certificate's files looked at now, and not only when they are next due, and an order that failed made again.
    pub fn look_at_certificate(&self) {
        self.look.notify_one();
        self.order.notify_one();
    }

    /// Stops politely: lets nobody else in, tells clients to come back, finishes what runs within the
    /// drain limit, and closes the store.
    ///
    /// # Errors
    /// The store's, on its last write; everything acknowledged was durable before.
    pub async fn drain(self) -> Result<(), StoreFault> {
        if !self.tasks.finish(self.patience).await {
            tracing::warn!(tasks = self.tasks.running(), "tasks were left when the server stopped");
        }
        // Sessions have ended: nothing is noted any more.
        self.delivery.write_cursors().await;
        let closed = self.blobs.close().await;
        self.store.close().await.and(closed)
    }
}
