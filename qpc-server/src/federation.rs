//! Other servers: connections with them in both directions, each proved by a certificate (D11).
//!
//! A peer is the one domain that its certificate names, verified against the federation's CA; whatever a peer says
//! of itself is compared with that. Each server opens a connection of its own (`dial`) for what it asks (`call`) and
//! answers what comes on those of others (`listen`). Each kind of request has a file with both of its sides (`claim`).
//! Who the peers are may change meanwhile (`circle`). Certificates are looked at again from time to time (`keep`): new files count without a restart, and a connection ends
//! when its certificate does.

mod act;
pub mod authority;
mod blob;
mod call;
mod certificate;
mod circle;
mod claim;
mod dial;
mod hello;
mod hints;
mod keep;
mod listen;
mod news;
mod outbox;
mod push;
mod queued;
mod restored;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use qpc_proto::{address::Domain, error::CloseCode};
use quinn::{Connection, Endpoint, TokioRuntime, VarInt};
use rustls_pki_types::UnixTime;
use tokio::sync::watch;
use tracing::info_span;

use self::{certificate::Keys, circle::Circle};
pub use self::{
    certificate::{CertificateFault, KeysError, Material},
    circle::Federation,
};
use crate::{
    blob::Blobs,
    clock::Clock,
    delivery::Delivery,
    group::Groups,
    metrics::{
        FederationMetrics,
        labels::{Direction, PeerRefused},
    },
    peers::Peers,
    policy::{Policy, limits::FederationLimits},
    remote::Remote,
    rng::Rng,
    store::Store,
    tasks::Tasks,
    transport::{self, ResetKey},
};

/// Judges the files of federation as a start does: that they go together and prove the domain now, in words for the operator.
///
/// # Errors
/// Why they do not.
pub fn proves(material: Material, domain: &str, now: Duration, limits: &FederationLimits) -> Result<(), String> {
    let domain = Domain::parse(domain).map_err(|error| error.to_string())?;
    let keys = Keys::new(material, &domain, UnixTime::since_unix_epoch(now), limits);
    keys.map(drop).map_err(|error| error.to_string())
}

/// A peer of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Whose server it is.
    pub domain: Domain,
    /// Where it listens: an IP address or host name, and a port.
    pub address: String,
    /// Requests that may be under way to it.
    pub max_in_flight: usize,
}

/// With whom this server federates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Every domain with a certificate of the CA, not only those of the configuration.
    pub open: bool,
    /// Never these.
    pub denied: BTreeSet<Domain>,
}

/// What federation is set to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This server's own domain.
    pub domain: Domain,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Bytes of the socket's buffers.
    pub udp_buffer: usize,
    /// Those to connect to, who may come as well.
    pub peers: Vec<Peer>,
    /// Who else may.
    pub access: Access,
    /// What they may cost.
    pub limits: FederationLimits,
}

/// Reads the certificate, its key and the CA, at the start and again from time to time. The error is for the operator.
pub type Source = Arc<dyn Fn() -> Result<Material, String> + Send + Sync>;

/// Why there is no federation.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// A file is missing or something else.
    #[error("{0}")]
    Files(String),
    /// The certificate, its key or the CA can't be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The socket.
    #[error("can't listen on UDP {address}: {source}")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The metrics are registered already.
    #[error("federation was started twice: {0}")]
    Twice(#[from] prometheus::Error),
}

/// What all parts of federation share.
struct Hall {
    domain: Domain,
    circle: RwLock<Arc<Circle>>,
    limits: FederationLimits,
    table: Arc<Peers>,
    metrics: Arc<FederationMetrics>,
    keys: watch::Sender<Arc<Keys>>,
    /// The one connection each way with each peer.
    links: Mutex<BTreeMap<(Domain, bool), Connection>>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    tasks: Tasks,
}

/// What peers are answered from.
#[derive(Clone)]
pub struct House {
    /// Conversations, key packages, copies.
    pub groups: Arc<Groups>,
    /// Messages.
    pub delivery: Arc<Delivery>,
    /// Files.
    pub blobs: Arc<Blobs>,
    /// What is read of logs.
    pub store: Arc<dyn Store>,
    /// Rates.
    pub policy: Arc<Policy>,
}

/// A listener that answers nobody yet.
pub struct Door {
    hall: Arc<Hall>,
    endpoint: Endpoint,
    source: Source,
}

impl Door {
    /// Opens the socket. Peers that were connected with an earlier start are told so, by the same key.
    ///
    /// # Errors
    /// [`FederationError`].
    pub fn bind(
        settings: Settings,
        source: Source,
        reset_key: &ResetKey,
        (metrics, tasks): (&crate::metrics::Metrics, Tasks),
        (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>),
    ) -> Result<Self, FederationError> {
        let Settings { domain, listen, udp_buffer, peers, access, limits } = settings;
        let material = source().map_err(FederationError::Files)?;
        let keys = Keys::new(material, &domain, unix_time(&*clock), &limits)?;
        let failed = |source| FederationError::Socket { address: listen, source };
        let socket = transport::socket::open(listen, udp_buffer).map_err(failed)?;
        let server = Some(keys.server.clone());
        let endpoint = Endpoint::new(reset_key.endpoint_config(), server, socket, Arc::new(TokioRuntime));
        let metrics = Arc::new(FederationMetrics::new(metrics)?);
        metrics.set_certificate_expires(keys.end());
        let configured = peers.iter().map(|peer| (peer.domain.clone(), peer.address.clone()));
        let table = Arc::new(Peers::new(configured, Arc::clone(&metrics)));
        let circle = Circle::new(peers, access, &limits, tasks.stopping());
        let hall = Hall {
            domain,
            circle,
            limits,
            table,
            metrics,
            keys: watch::Sender::new(Arc::new(keys)),
            links: Mutex::default(),
            clock,
            rng,
            tasks,
        };
        Ok(Self { hall: Arc::new(hall), endpoint: endpoint.map_err(failed)?, source })
    }

    /// Where it listens, with the port that was taken.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The peers, for whoever operates this server.
    #[must_use]
    pub fn peers(&self) -> Arc<Peers> {
        Arc::clone(&self.hall.table)
    }

    /// The peers, for whoever has something to ask them.
    #[must_use]
    pub fn remote(&self) -> Arc<dyn Remote> {
        Arc::new(call::Caller { hall: Arc::clone(&self.hall) })
    }

    /// Begins to answer, and to connect.
    pub fn open(self, house: House) -> Federation {
        let Self { hall, endpoint, source } = self;
        let tasks = hall.tasks.clone();
        let federation = Federation::begin(Arc::clone(&hall), endpoint.clone(), house.clone());
        tasks.share("federation-keys", info_span!("keys"), keep::look(Arc::clone(&hall), endpoint.clone(), source));
        tasks.share("federation", info_span!("federation"), listen::serve(hall, house, endpoint));
        federation
    }
}

impl Hall {
    fn links(&self) -> MutexGuard<'_, BTreeMap<(Domain, bool), Connection>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is there. An older one of the same peer this way is closed: the peer has lost it. Gives `false` where there
    /// is no room for it, or the domain is not welcome any more.
    fn joined(&self, domain: &Domain, direction: Direction, connection: &Connection) -> bool {
        let incoming = direction == Direction::In;
        let mut links = self.links();
        let (circle, key) = (self.circle(), (domain.clone(), incoming));
        // With the links in hand: whoever makes a domain unwelcome looks through them afterwards.
        if !self.allows(domain) {
            return false;
        }
        let strangers = || links.keys().filter(|(domain, incoming)| *incoming && !circle.has(domain)).count();
        if incoming && !circle.has(domain) && !links.contains_key(&key) && strangers() >= self.limits.strangers {
            return false;
        }
        if let Some(older) = links.insert(key, connection.clone()) {
            close(&older, CloseCode::Replaced);
        }
        drop(links);
        if incoming {
            self.table.incoming(domain, true);
        } else if let Some(peer) = self.reach(domain) {
            peer.news.of_all();
            peer.outgoing.of_all();
        }
        true
    }

    /// It is gone, if it was not replaced before.
    fn left(&self, domain: &Domain, direction: Direction, connection: &Connection) {
        let incoming = direction == Direction::In;
        let mut links = self.links();
        let key = (domain.clone(), incoming);
        if links.get(&key).is_some_and(|link| link.stable_id() == connection.stable_id()) {
            links.remove(&key);
            if incoming {
                self.table.incoming(domain, false);
            }
        }
    }

    /// Ends a connection and counts why.
    fn refuse(&self, connection: &Connection, reason: PeerRefused) {
        self.metrics.refused(reason);
        close(
            connection,
            match reason {
                PeerRefused::NotAllowed => CloseCode::NotAllowed,
                PeerRefused::Certificate => CloseCode::CertificateRefused,
                PeerRefused::Slow => CloseCode::TooSlow,
                _ => CloseCode::ProtocolViolation,
            },
        );
    }

    /// Whether this server has a connection to a peer.
    fn is_connected(&self, domain: &Domain) -> bool {
        self.links().contains_key(&(domain.clone(), false))
    }

    /// A peer has come here.
    fn wake(&self, domain: &Domain) {
        if let Some(peer) = self.reach(domain) {
            peer.bell.notify_waiters();
        }
    }

    fn now(&self) -> UnixTime {
        unix_time(&*self.clock)
    }
}

fn unix_time(clock: &dyn Clock) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(clock.unix_ms()))
}

fn close(connection: &Connection, code: CloseCode) {
    connection.close(VarInt::from_u32(code as u32), b"");
}
