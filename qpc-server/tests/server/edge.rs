//! A server's edge with everything below it, on a memory store, and people who are signed in to it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use qpc_proto::{
    chain::ChainValue,
    id::{ConversationId, ConversationName, DeviceId, MessageId},
    role::RoleTable,
    v1::{self, answer, request::Method},
};
use qpc_server::{
    account::{Accounts, OpaqueSetups, RegistrationPolicy},
    blob::Blobs,
    blob_store::{BlobStore, memory::MemoryBlobs},
    clock::{Clock, SystemClock},
    delivery::{Delivery, Ephemerals},
    group::{Groups, HubKey},
    metrics::Metrics,
    policy::{Limits, Policy},
    registry::Registry,
    rng::{self, Rng, SystemRng},
    session::Context,
    store::{Store, memory::MemoryStore},
    tasks::Tasks,
    transport::{self, Identity},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    hand::Hand,
    person::{Device, Person, domain},
    wire::{Call, Dialer, Wire, soon},
};

const HUB_SEED: [u8; 32] = [4; 32];

/// Randomness that can be made to panic: a bug planted in whatever draws from it.
#[derive(Default)]
pub(crate) struct Trap(pub(crate) AtomicBool);

impl Rng for Trap {
    fn fill(&self, buffer: &mut [u8]) {
        assert!(!self.0.load(Ordering::SeqCst), "planted");
        SystemRng.fill(buffer);
    }
}

/// A running edge.
pub(crate) struct House {
    /// Of the accounts: drawn from by every Hello.
    pub(crate) trap: Arc<Trap>,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) context: Arc<Context>,
    /// What it keeps, behind its back.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) dialer: Dialer,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(set: impl FnOnce(&mut Limits)) -> Self {
        Self::keeping(Arc::new(MemoryBlobs::new()), set).await
    }

    /// One that keeps blobs there.
    pub(crate) async fn keeping(blobs: Arc<dyn BlobStore>, set: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        limits.session.drain = Duration::from_secs(5);
        set(&mut limits);
        let metrics = Arc::new(Metrics::new().unwrap());
        let (clock, trap) = (Arc::new(SystemClock), Arc::new(Trap::default()));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let registry = Registry::new(limits.session.clone(), Arc::clone(&metrics));
        let delivery = Delivery::new(
            Arc::clone(&store),
            Arc::clone(&registry),
            clock.clone(),
            Arc::clone(&metrics),
            &limits.session,
        );
        let policy = Arc::new(Policy::new(&limits.rates, &metrics));
        let parts = (Arc::clone(&registry), Arc::clone(&policy), Arc::clone(&metrics));
        let (ephemerals, lookups) = Ephemerals::new(parts, &limits.ephemerals);
        store.set_sink(delivery.sink(None, Some(Arc::clone(&ephemerals))));
        let accounts = Accounts::new(
            Arc::clone(&store),
            OpaqueSetups::generate(&SystemRng, 0),
            domain(),
            RegistrationPolicy { open: true, ..Default::default() },
            clock.clone(),
            trap.clone(),
        );
        accounts.prepare().await.unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let identity = Identity { chain: vec![certificate.clone()], key };
        let reset_key = transport::ResetKey::new([5; 32].into());
        let endpoint =
            transport::bind("127.0.0.1:0".parse().unwrap(), identity, &reset_key, &limits, &metrics).unwrap();
        let address = endpoint.local_addr().unwrap();
        let tasks = Tasks::new(Arc::clone(&metrics));
        let hub_key = HubKey::from_seed(&HUB_SEED);
        let hub_public = hub_key.public();
        let hub = (domain(), hub_key);
        let blobs = Blobs::new((Arc::clone(&store), blobs), clock.clone(), Arc::clone(&metrics), &limits.blobs);
        let groups =
            Groups::new(Arc::clone(&store), hub, clock, &limits.groups, tasks.clone(), Arc::clone(&metrics)).unwrap();
        let context = Arc::new(Context {
            accounts: Arc::new(accounts),
            delivery: Arc::new(delivery),
            ephemerals: Arc::clone(&ephemerals),
            groups: Arc::new(groups),
            blobs: Arc::new(blobs),
            registry,
            policy,
            limits: Arc::new(limits),
            tasks,
            metrics,
            domain: domain(),
            hub_key: hub_public,
            rng: Arc::new(SystemRng),
        });
        let serving = transport::serve(endpoint, Arc::clone(&context));
        context.tasks.share("serve", tracing::Span::none(), serving);
        let (delivery, every) = (Arc::clone(&context.delivery), context.limits.session.cursor_flush);
        let stopping = context.tasks.stopping().clone();
        context.tasks.share("cursors", tracing::Span::none(), async move {
            delivery.keep_cursors(every, stopping).await;
        });
        let (stopping, members) = (context.tasks.stopping().clone(), Arc::clone(&store));
        context.tasks.share("ephemerals", tracing::Span::none(), async move {
            ephemerals.look_up(members, lookups, stopping).await;
        });
        let dialer = Dialer::new(address, &certificate, "127.0.0.1:0", None);
        Self { trap, address, certificate, context, store, dialer }
    }

    pub(crate) async fn wire(&self) -> Wire {
        self.dialer.connect().await.unwrap()
    }

    /// A connection that has said Hello.
    pub(crate) async fn greeted(&self) -> Wire {
        let mut wire = self.wire().await;
        wire.greet().await;
        wire
    }

    /// Registers somebody and signs their first device in.
    pub(crate) async fn register(&self, name: &str) -> Guest {
        let (person, device) = (Person::new(name), Device::new());
        let wire = self.greeted().await;
        wire.register(&person, "", &device).await.unwrap();
        wire.authenticate(&person, &device).await.unwrap();
        Guest { person, device, wire }
    }

    /// Another connection of the same device.
    pub(crate) async fn again(&self, guest: &Guest) -> Guest {
        self.through(&self.dialer, guest).await
    }

    pub(crate) async fn through(&self, dialer: &Dialer, guest: &Guest) -> Guest {
        let mut wire = dialer.connect().await.unwrap();
        wire.greet().await;
        wire.authenticate(&guest.person, &guest.device).await.unwrap();
        Guest { wire, ..guest.clone() }
    }

    /// Two people who may write to each other, and their conversation.
    pub(crate) async fn pair(&self) -> (Guest, Guest, Room) {
        let (alice, bob) = (self.register("alice").await, self.register("bob").await);
        let room = self.befriends(&alice, &bob).await;
        (alice, bob, room)
    }

    /// One asks, and the other accepts.
    pub(crate) async fn befriends(&self, one: &Guest, other: &Guest) -> Room {
        let room = one.create_direct(other).await;
        let accept =
            v1::AnswerContact { address: one.person.address().to_string(), answer: v1::ContactAnswer::Accept.into() };
        let answer = other.wire.call(Method::AnswerContact(accept)).await;
        assert!(matches!(answer, answer::Result::AnswerContact(_)), "{answer:?}");
        room
    }

    /// Waits until a condition holds; conditions here become true by what others do, not by time.
    pub(crate) async fn until(&self, condition: impl Fn(&Context) -> bool) {
        let wait = async {
            while !condition(&self.context) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(wait).await;
    }

    /// No bug has shown itself.
    pub(crate) fn assert_sound(&self) {
        let metrics = &self.context.metrics;
        assert_eq!((metrics.panics("stream"), metrics.panics("connection")), (0, 0));
    }
}

/// Somebody on an authenticated connection.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) person: Person,
    pub(crate) device: Device,
    pub(crate) wire: Wire,
}

impl Guest {
    /// What this device does in MLS groups.
    pub(crate) fn hand(&self) -> Hand {
        Hand::new(&self.person.certify(&self.device), &self.device.key.to_bytes())
    }

    /// Writes to somebody who has not answered.
    pub(crate) async fn asks_to_talk(&self, peer: &Self) -> Room {
        self.create_direct(peer).await
    }

    async fn create_direct(&self, peer: &Self) -> Room {
        let id = ConversationId::new(SystemClock.unix_ms(), rng::bytes(&SystemRng));
        let name = ConversationName { domain: domain(), id };
        let (mut mine, mut theirs) = (self.hand(), peer.hand());
        let group_info = mine.found(&name, &RoleTable::owned_by(self.person.address()));
        let commit = mine.adding(&[&theirs]);
        let create = v1::CreateConversation {
            conversation: Some(name.to_wire()),
            kind: v1::ConversationKind::Direct.into(),
            peer: peer.person.address().to_string(),
            message_id: message_id(),
            commit: Some(commit.clone()),
            group_info,
            again: false,
        };
        let answer = self.wire.call(Method::CreateConversation(create)).await;
        assert!(matches!(answer, answer::Result::CreateConversation(_)), "{answer:?}");
        mine.merge();
        theirs.join(&commit.welcome);
        Room { name, hands: Arc::new(Mutex::new([mine, theirs])) }
    }

    /// Opens a sync call on these logs.
    pub(crate) async fn sync(&self, cursors: Vec<v1::Cursor>) -> Call {
        let mut call = self.wire.open().await;
        call.request(Method::Sync(v1::Sync { cursors, ephemerals: false })).await;
        call
    }

    /// The same, and what is ephemeral as well.
    pub(crate) async fn hears(&self, cursors: Vec<v1::Cursor>) -> Call {
        let mut call = self.wire.open().await;
        call.request(Method::Sync(v1::Sync { cursors, ephemerals: true })).await;
        call
    }
}

/// A conversation.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) name: ConversationName,
    /// The creator's and the other's.
    pub(crate) hands: Arc<Mutex<[Hand; 2]>>,
}

impl Room {
    /// A message; the creator's first counter is 2, because the commit had 1.
    pub(crate) fn message(&self, counter: u64, body: impl Into<Bytes>) -> Method {
        Method::Send(v1::Send {
            conversation: Some(self.name.to_wire()),
            message_id: message_id(),
            counter,
            epoch: 1,
            kind: v1::EntryKind::Message.into(),
            body: body.into(),
            leave: false,
        })
    }

    pub(crate) fn cursor(&self, seq: u64) -> v1::Cursor {
        v1::Cursor { conversation: Some(self.name.to_wire()), seq }
    }

    pub(crate) fn genesis(&self) -> ChainValue {
        ChainValue::genesis(&self.name)
    }
}

pub(crate) fn message_id() -> Bytes {
    MessageId::new(SystemClock.unix_ms(), rng::bytes(&SystemRng)).to_bytes()
}

pub(crate) fn inbox(device: DeviceId) -> v1::Cursor {
    v1::Cursor { conversation: Some(ConversationName::inbox(domain(), device).to_wire()), seq: 0 }
}
