//! Other servers: connections with them in both directions, each proved by a certificate (D11).
//!
//! A peer is the one domain that its certificate names, verified against the federation's CA; whatever a peer says
//! of itself is compared with that. Each server opens a connection of its own (`dial`) for what it asks (`call`) and
//! answers what comes on those of others (`listen`). Each kind of request has a file with both of its sides (`claim`).
//! Certificates are looked at again from time to time (`keep`): new files count without a restart, and a connection ends
//! when its certificate does.

mod act;
pub mod authority;
mod blob;
mod call;
mod certificate;
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

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qpc_proto::{address::Domain, error::CloseCode};
use quinn::{Connection, Endpoint, TokioRuntime, VarInt};
use rustls_pki_types::UnixTime;
use tokio::sync::{Notify, Semaphore, watch};
use tracing::info_span;

use self::certificate::Keys;
pub use self::certificate::{CertificateFault, KeysError, Material};
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
    peers: Vec<Peer>,
    access: Access,
    limits: FederationLimits,
    table: Arc<Peers>,
    metrics: Arc<FederationMetrics>,
    keys: watch::Sender<Arc<Keys>>,
    /// What each peer of the configuration can be reached by.
    reach: BTreeMap<Domain, Reach>,
    /// The one connection each way with each peer.
    links: Mutex<BTreeMap<(Domain, bool), Connection>>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    tasks: Tasks,
}

/// A peer of the configuration, to be asked and to be called.
struct Reach {
    /// Rung when the peer has come here: it can be reached again.
    bell: Notify,
    /// Requests that may be under way.
    places: Semaphore,
    /// Parts of files that may be.
    transfers: Semaphore,
    /// Which logs it may lack something of.
    news: news::News,
    /// What waits to be sent there.
    outgoing: queued::Queued,
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
        let reach = peers.iter().map(|peer| {
            metrics.prepare(peer.domain.as_str());
            (
                peer.domain.clone(),
                Reach {
                    bell: Notify::new(),
                    places: Semaphore::new(peer.max_in_flight),
                    transfers: Semaphore::new(limits.transfers),
                    news: news::News::default(),
                    outgoing: queued::Queued::default(),
                },
            )
        });
        let reach = reach.collect();
        let hall = Hall {
            domain,
            peers,
            access,
            limits,
            table,
            metrics,
            keys: watch::Sender::new(Arc::new(keys)),
            reach,
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
    pub fn open(self, house: House) {
        let Self { hall, endpoint, source } = self;
        let tasks = hall.tasks.clone();
        for peer in hall.peers.clone() {
            let (hall, endpoint) = (Arc::clone(&hall), endpoint.clone());
            let (store, domain) = (Arc::clone(&house.store), peer.domain.clone());
            let push = push::keep_pushing(Arc::clone(&hall), Arc::clone(&store), domain.clone());
            tasks.share("federation-push", info_span!("push"), push);
            let send = outbox::keep_sending(Arc::clone(&hall), store, domain);
            tasks.share("federation-outbox", info_span!("outbox"), send);
            tasks.share("federation-dial", info_span!("peer"), dial::keep_connected(hall, endpoint, peer));
        }
        tasks.share("federation-keys", info_span!("keys"), keep::look(Arc::clone(&hall), endpoint.clone(), source));
        tasks.share("federation", info_span!("federation"), listen::serve(hall, house, endpoint));
    }
}

impl Hall {
    fn configured(&self, domain: &Domain) -> bool {
        self.peers.iter().any(|peer| peer.domain == *domain)
    }

    /// Whether this server federates with a domain.
    fn allows(&self, domain: &Domain) -> bool {
        let known = self.access.open || self.configured(domain);
        known && *domain != self.domain && !self.access.denied.contains(domain)
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<(Domain, bool), Connection>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is there. An older one of the same peer this way is closed: the peer has lost it.
    fn joined(&self, domain: &Domain, direction: Direction, connection: &Connection) -> bool {
        let incoming = direction == Direction::In;
        let mut links = self.links();
        let key = (domain.clone(), incoming);
        let strangers = || links.keys().filter(|(domain, incoming)| *incoming && !self.configured(domain)).count();
        if incoming && !self.configured(domain) && !links.contains_key(&key) && strangers() >= self.limits.strangers {
            return false;
        }
        if let Some(older) = links.insert(key, connection.clone()) {
            close(&older, CloseCode::Replaced);
        }
        drop(links);
        if incoming {
            self.table.incoming(domain, true);
        } else if let Some(peer) = self.reach.get(domain) {
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
        if let Some(peer) = self.reach.get(domain) {
            peer.bell.notify_waiters();
        }
    }

    /// Waits for a peer to come here.
    async fn woken(&self, domain: &Domain) {
        match self.reach.get(domain) {
            Some(peer) => peer.bell.notified().await,
            None => std::future::pending().await,
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
