//! With whom this server federates: the peers of the configuration and who else may come, as it was read last.
//!
//! A change counts as a whole from one moment on. Then what it ends is ended: the tasks of peers that are gone or have
//! become others, and the connections of domains that are not welcome any more. What waits for a peer that is gone stays in
//! the store, as for one that is away, until it is a peer again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
};

use qpc_proto::{address::Domain, error::CloseCode};
use quinn::{Connection, Endpoint};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info_span;

use super::{Access, Hall, House, Peer, close, dial, news, outbox, push, queued};
use crate::policy::limits::FederationLimits;

/// All of it at one moment.
pub(super) struct Circle {
    peers: BTreeMap<Domain, Arc<Reach>>,
    access: Access,
}

impl Circle {
    pub(super) fn new(
        peers: Vec<Peer>,
        access: Access,
        limits: &FederationLimits,
        stopping: &CancellationToken,
    ) -> RwLock<Arc<Self>> {
        let reach = |peer: Peer| (peer.domain.clone(), Arc::new(Reach::new(peer, limits, stopping)));
        RwLock::new(Arc::new(Self { peers: peers.into_iter().map(reach).collect(), access }))
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &Arc<Reach>> {
        self.peers.values()
    }

    pub(super) fn has(&self, domain: &Domain) -> bool {
        self.peers.contains_key(domain)
    }

    fn welcomes(&self, domain: &Domain) -> bool {
        (self.access.open || self.has(domain)) && !self.access.denied.contains(domain)
    }
}

/// A peer of the configuration, to be asked and to be called.
pub(super) struct Reach {
    /// What the configuration says of it.
    pub(super) peer: Peer,
    /// Rung when the peer has come here: it can be reached again.
    pub(super) bell: Notify,
    /// Requests that may be under way.
    pub(super) places: Semaphore,
    /// Parts of files that may be.
    pub(super) transfers: Semaphore,
    /// Which logs it may lack something of.
    pub(super) news: news::News,
    /// When its server was restored from a backup last, as it said on the last connection; milliseconds since 1970.
    pub(super) restored_ms: AtomicU64,
    /// What waits to be sent there.
    pub(super) outgoing: queued::Queued,
    /// Cancelled when it is a peer no more, or another one with the same domain, or when the server stops.
    pub(super) stop: CancellationToken,
}

impl Reach {
    fn new(peer: Peer, limits: &FederationLimits, stopping: &CancellationToken) -> Self {
        Self {
            bell: Notify::new(),
            places: Semaphore::new(peer.max_in_flight),
            transfers: Semaphore::new(limits.transfers),
            news: news::News::default(),
            restored_ms: AtomicU64::new(0),
            outgoing: queued::Queued::default(),
            stop: stopping.child_token(),
            peer,
        }
    }
}

impl Hall {
    /// With whom this server federates now.
    pub(super) fn circle(&self) -> Arc<Circle> {
        Arc::clone(&self.circle.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A peer of the configuration.
    pub(super) fn reach(&self, domain: &Domain) -> Option<Arc<Reach>> {
        self.circle.read().unwrap_or_else(PoisonError::into_inner).peers.get(domain).cloned()
    }

    /// Whether this server federates with a domain.
    pub(super) fn allows(&self, domain: &Domain) -> bool {
        self.circle().welcomes(domain) && *domain != self.domain
    }

    /// Closes this server's own connection to a peer that it has let go of, where there is one.
    pub(super) fn let_go(&self, domain: &Domain) {
        // A stop closes all connections, and says that it is one.
        if self.tasks.stopping().is_cancelled() {
            return;
        }
        let link = self.links().remove(&(domain.clone(), false));
        if let Some(connection) = link {
            close(&connection, if self.allows(domain) { CloseCode::Replaced } else { CloseCode::NotAllowed });
        }
    }

    /// Closes the connections of domains that are not welcome any more. Whoever serves one sees it end.
    fn part(&self) {
        let unwelcome: Vec<Connection> = {
            let links = self.links();
            let circle = self.circle();
            let of = links.iter().filter(|((domain, _), _)| !circle.welcomes(domain));
            of.map(|(_, connection)| connection.clone()).collect()
        };
        unwelcome.iter().for_each(|connection| close(connection, CloseCode::NotAllowed));
    }
}

/// Federation that is open: what serves its peers, and lets them be changed.
pub struct Federation {
    hall: Arc<Hall>,
    /// From where peers are called; nothing once the server stops, whose socket must then be free.
    endpoint: Arc<Mutex<Option<Endpoint>>>,
    house: House,
    /// For each domain, cancelled when the tasks that were begun last for it have ended.
    ended: Mutex<BTreeMap<Domain, CancellationToken>>,
}

impl Federation {
    /// Begins to serve the peers that there are.
    pub(super) fn begin(hall: Arc<Hall>, endpoint: Endpoint, house: House) -> Self {
        let endpoint = Arc::new(Mutex::new(Some(endpoint)));
        let (socket, stopping) = (Arc::clone(&endpoint), hall.tasks.stopping().clone());
        hall.tasks.share("federation-peers", info_span!("peers"), async move {
            stopping.cancelled().await;
            drop(socket.lock().unwrap_or_else(PoisonError::into_inner).take());
        });
        let all = Self { hall, endpoint, house, ended: Mutex::default() };
        all.hall.circle().peers().for_each(|reach| all.serve(reach));
        all
    }

    /// From now on these are the peers, and this says who else may come. Peers that stay as they are notice nothing.
    pub fn change(&self, peers: Vec<Peer>, access: Access) {
        let hall = &self.hall;
        let (new, old) = {
            let mut circle = hall.circle.write().unwrap_or_else(PoisonError::into_inner);
            let reach = |peer: Peer| {
                let before = circle.peers.get(&peer.domain).filter(|before| before.peer == peer);
                let reach = before.map(Arc::clone);
                let domain = peer.domain.clone();
                (domain, reach.unwrap_or_else(|| Arc::new(Reach::new(peer, &hall.limits, hall.tasks.stopping()))))
            };
            let new = Arc::new(Circle { peers: peers.into_iter().map(reach).collect(), access });
            let old = std::mem::replace(&mut *circle, Arc::clone(&new));
            (new, old)
        };
        let stays = |circle: &Circle, reach: &Arc<Reach>| {
            circle.peers.get(&reach.peer.domain).is_some_and(|other| Arc::ptr_eq(other, reach))
        };
        for reach in old.peers().filter(|reach| !stays(&new, reach)) {
            tracing::info!(peer = %reach.peer.domain, "no peer any more, or another one");
            reach.stop.cancel();
        }
        hall.part();
        for reach in new.peers().filter(|reach| !stays(&old, reach)) {
            tracing::info!(peer = %reach.peer.domain, "a new peer");
            self.serve(reach);
        }
        // Of domains that are gone nothing is left here either.
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|domain, ended| new.has(domain) || !ended.is_cancelled());
    }

    /// Serves a peer until it is none any more: connects, hands over, sends. Whatever served the domain before ends first,
    /// so that nothing is sent by two at a time.
    fn serve(&self, reach: &Arc<Reach>) {
        let (hall, domain) = (&self.hall, &reach.peer.domain);
        let endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(endpoint) = endpoint else { return };
        hall.metrics.prepare(domain.as_str());
        hall.table.configure(domain, &reach.peer.address);
        let ended = CancellationToken::new();
        let last =
            Arc::new(Last { hall: Arc::clone(hall), domain: domain.clone(), _ended: ended.clone().drop_guard() });
        let before = self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(domain.clone(), ended);
        let alone = |task: futures_util::future::BoxFuture<'static, ()>| {
            let (last, before) = (Arc::clone(&last), before.clone());
            async move {
                if let Some(before) = before {
                    before.cancelled().await;
                }
                task.await;
                drop(last);
            }
        };
        let of = || (Arc::clone(hall), self.house.clone(), Arc::clone(reach));
        let tasks = &hall.tasks;
        tasks.share("federation-push", info_span!("push"), alone(Box::pin(push::keep_pushing(of()))));
        tasks.share("federation-outbox", info_span!("outbox"), alone(Box::pin(outbox::keep_sending(of()))));
        let dial = dial::keep_connected(Arc::clone(hall), endpoint, Arc::clone(reach));
        tasks.share("federation-dial", info_span!("peer"), alone(Box::pin(dial)));
    }
}

/// Held by all tasks that serve a peer: when the last one has ended, nothing of a peer that is gone is shown any more.
struct Last {
    hall: Arc<Hall>,
    domain: Domain,
    _ended: DropGuard,
}

impl Drop for Last {
    fn drop(&mut self) {
        // While this is held nobody becomes a peer.
        let circle = self.hall.circle.read().unwrap_or_else(PoisonError::into_inner);
        if !circle.has(&self.domain) && !self.hall.tasks.stopping().is_cancelled() {
            self.hall.table.forget(&self.domain);
        }
    }
}
