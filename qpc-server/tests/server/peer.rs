//! Servers that meet: authorities, crafted certificates, one side of a real federation, and a peer made by hand that may
//! lie.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::Message;
use qpc_proto::{
    FEDERATION_ALPN,
    address::Domain,
    error::CloseCode,
    frame::{self, FrameDecoder},
    limits::FRAME_MAX,
    v1,
};
use qpc_server::{
    blob::Blobs,
    blob_store::memory::MemoryBlobs,
    clock::{Clock, SystemClock},
    delivery::Delivery,
    federation::{Access, Door, Federation, House, Material, Peer, Settings},
    group::{Groups, HubKey},
    metrics::Metrics,
    peers::{LinkState, PeerReport, Peers},
    policy::{Limits, Policy, limits::FederationLimits},
    registry::Registry,
    remote::Remote,
    rng::{self, SystemRng},
    store::memory::MemoryStore,
    tasks::Tasks,
    transport::ResetKey,
};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use crate::wire::soon;

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// A free port of a loopback address that nobody else uses, so that it can be named before it is taken.
pub(crate) fn place() -> SocketAddr {
    let [a, b, c] = rng::bytes(&SystemRng);
    let socket = UdpSocket::bind(SocketAddr::from(([127, a.max(1), b, c.clamp(1, 254)], 0))).unwrap();
    socket.local_addr().unwrap()
}

/// What a certificate says, for the cases that differ from a good one.
#[derive(Clone)]
pub(crate) struct Claims {
    pub(crate) names: Vec<&'static str>,
    pub(crate) uses: Vec<ExtendedKeyUsagePurpose>,
    /// Years from and until.
    pub(crate) years: (i32, i32),
}

impl Claims {
    pub(crate) fn of(name: &'static str) -> Self {
        let uses = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self { names: vec![name], uses, years: (2020, 2096) }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names =
            self.names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        params.distinguished_name.push(DnType::CommonName, "b.example");
        params.extended_key_usages = self.uses.clone();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        params
    }
}

/// Somebody who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate first, then those above it but the first of all.
    chain: Vec<CertificateDer<'static>>,
    pub(crate) root: CertificateDer<'static>,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// A certificate chain with its key, or one that is not its own.
pub(crate) struct Shown {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

fn der(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

impl Authority {
    pub(crate) fn new() -> Self {
        let (params, key) = (authority("everybody's"), key());
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), chain: Vec::new(), root }
    }

    /// One that this one vouches for.
    pub(crate) fn below(&self, name: &str) -> Self {
        let (params, key) = (authority(name), key());
        let own = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let chain = [vec![own], self.chain.clone()].concat();
        Self { issuer: Issuer::new(params, key), chain, root: self.root.clone() }
    }

    pub(crate) fn sign(&self, claims: &Claims) -> Shown {
        let key = key();
        let own = claims.params().signed_by(&key, &self.issuer).unwrap().der().clone();
        Shown { chain: [vec![own], self.chain.clone()].concat(), key: der(&key) }
    }

    pub(crate) fn material(&self, claims: &Claims) -> Material {
        let Shown { chain, key } = self.sign(claims);
        Material { chain, key, authorities: vec![self.root.clone()] }
    }
}

/// A certificate that vouches for itself.
pub(crate) fn self_signed(claims: &Claims) -> Shown {
    let key = key();
    Shown { chain: vec![claims.params().self_signed(&key).unwrap().der().clone()], key: der(&key) }
}

/// The machine's clock, and what a test adds to it.
#[derive(Default)]
pub(crate) struct Ahead(pub(crate) AtomicU64);

impl Clock for Ahead {
    fn unix_ms(&self) -> u64 {
        SystemClock.unix_ms() + self.0.load(Ordering::Relaxed)
    }
}

/// What a side answers from: a store in which nobody is.
fn nobodys_house(own: &str, metrics: &Arc<Metrics>, tasks: &Tasks) -> House {
    let (limits, hub) = (Limits::default(), (domain(own), HubKey::from_seed(&[4; 32])));
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock));
    let registry = Registry::new(limits.session.clone(), Arc::clone(metrics));
    let with = (store.clone(), clock.clone(), Arc::clone(metrics));
    let delivery = Delivery::new(with.0, registry, with.1, with.2, &limits.session);
    let groups = Groups::new(store.clone(), hub, clock, &limits.groups, tasks.clone(), Arc::clone(metrics)).unwrap();
    let policy = Arc::new(Policy::new(&limits.rates, metrics));
    let (parts, clock) = ((store.clone() as Arc<_>, Arc::new(MemoryBlobs::new()) as Arc<_>), Arc::new(SystemClock));
    let blobs = Arc::new(Blobs::new(parts, clock, Arc::clone(metrics), &limits.blobs));
    House { groups: Arc::new(groups), delivery: Arc::new(delivery), blobs, store, policy }
}

/// One real side of a federation, without the server behind it.
pub(crate) struct Side {
    pub(crate) listen: SocketAddr,
    pub(crate) peers: Arc<Peers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<Ahead>,
    /// By which it asks its peers.
    pub(crate) remote: Arc<dyn Remote>,
    federation: Federation,
    /// What its files hold; `None` where they can't be read.
    files: Arc<Mutex<Option<Material>>>,
    /// How often they were read.
    reads: Arc<AtomicU64>,
    tasks: Tasks,
}

/// The same again: keys are not cloned by accident.
pub(crate) fn copy(material: &Material) -> Material {
    let Material { chain, key, authorities } = material;
    Material { chain: chain.clone(), key: key.clone_key(), authorities: authorities.clone() }
}

/// Patient enough for a busy machine, quick to look again.
fn limits() -> FederationLimits {
    FederationLimits {
        reload: Duration::from_millis(20),
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(100),
        call_back: Duration::from_millis(20),
        ..FederationLimits::default()
    }
}

/// A peer as the configuration has it.
fn configured((of, at): &(&str, SocketAddr)) -> Peer {
    Peer { domain: domain(of), address: at.to_string(), max_in_flight: 4 }
}

impl Side {
    /// `a.example`, with these peers.
    pub(crate) fn start(material: Material, peers: &[(&str, SocketAddr)]) -> Self {
        Self::start_with(("a.example", place()), material, peers, |_| ())
    }

    pub(crate) fn start_with(
        (own, listen): (&str, SocketAddr),
        material: Material,
        peers: &[(&str, SocketAddr)],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings {
            domain: domain(own),
            listen,
            udp_buffer: 256 * 1024,
            peers: peers.iter().map(configured).collect(),
            access: Access::default(),
            limits: limits(),
        };
        change(&mut settings);
        let files = Arc::new(Mutex::new(Some(material)));
        let reads = Arc::<AtomicU64>::default();
        let (read, count) = (Arc::clone(&files), Arc::clone(&reads));
        let source = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            read.lock().unwrap().as_ref().map(copy).ok_or_else(|| "no such file".into())
        });
        let (metrics, clock) = (Arc::new(Metrics::new().unwrap()), Arc::new(Ahead::default()));
        let tasks = Tasks::new(Arc::clone(&metrics));
        let ports = (Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SystemRng) as Arc<dyn rng::Rng>);
        let door =
            Door::bind(settings, source, &ResetKey::new([7; 32].into()), (&metrics, tasks.clone()), ports).unwrap();
        let (listen, peers, remote) = (door.local_addr().unwrap(), door.peers(), door.remote());
        let federation = door.open(nobodys_house(own, &metrics, &tasks));
        Self { listen, peers, metrics, clock, remote, federation, files, reads, tasks }
    }

    /// From now on these are its peers, with this word on who else may come.
    pub(crate) fn change(&self, peers: &[(&str, SocketAddr)], access: Access) {
        self.federation.change(peers.iter().map(configured).collect(), access);
    }

    /// Puts other files in place and waits until they have been looked at and what was found has been done.
    pub(crate) async fn replace_files(&self, material: Option<Material>) {
        *self.files.lock().unwrap() = material;
        // One look may have begun before, the next one is done when a third begins.
        let seen = self.reads.load(Ordering::SeqCst) + 3;
        soon(async {
            while self.reads.load(Ordering::SeqCst) < seen {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    pub(crate) fn report(&self, of: &str) -> Option<PeerReport> {
        self.peers.report().into_iter().find(|report| report.domain == of)
    }

    pub(crate) async fn until(&self, of: &str, holds: impl Fn(&PeerReport) -> bool) -> PeerReport {
        soon(async {
            loop {
                if let Some(report) = self.report(of).filter(&holds) {
                    return report;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// Both directions are there.
    pub(crate) async fn until_connected(&self, of: &str) {
        self.until(of, |report| report.outgoing == LinkState::Connected && report.incoming).await;
    }

    /// How often something was refused for this reason.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.metric(&format!("refused_total{{reason=\"{reason}\"}}"))
    }

    /// How often a request to `b.example` ended so.
    pub(crate) fn asked(&self, outcome: &str) -> u64 {
        self.metric(&format!("asked_total{{outcome=\"{outcome}\",peer=\"b.example\"}}"))
    }

    /// Requests that are under way to `b.example`.
    pub(crate) fn in_flight(&self) -> u64 {
        self.metric("in_flight{peer=\"b.example\"}")
    }

    fn metric(&self, of: &str) -> u64 {
        let (page, line) = (self.metrics.text().unwrap(), format!("qpc_federation_{of} "));
        page.lines().find_map(|text| text.strip_prefix(&line)).unwrap().parse().unwrap()
    }

    /// Stops it; nothing has panicked.
    pub(crate) async fn stop(self) {
        assert!(self.tasks.finish(Duration::from_secs(20)).await, "{} tasks are left", self.tasks.running());
        assert_eq!(self.metrics.panics("peer"), 0);
    }
}

/// A peer made by hand: shows whatever certificate it is given, and says what a test wants said.
pub(crate) struct Hand {
    endpoint: Endpoint,
    client: ClientConfig,
    pub(crate) listen: SocketAddr,
}

impl Hand {
    /// It believes whom `trusted` vouches for, and may show what proves nothing.
    pub(crate) fn new(shown: Shown, trusted: &CertificateDer<'static>) -> Self {
        Self::at(place(), shown, trusted)
    }

    /// The same in a place of which somebody else knows.
    pub(crate) fn at(place: SocketAddr, shown: Shown, trusted: &CertificateDer<'static>) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = provider.key_provider.load_private_key(shown.key).unwrap();
        // Not `CertifiedKey::from_der`, which compares the two.
        let resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(shown.chain, key)));
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let roots = Arc::new(roots);
        let mut client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(Arc::clone(&roots))
            .with_client_cert_resolver(Arc::clone(&resolver) as Arc<_>);
        client.alpn_protocols = vec![FEDERATION_ALPN.to_vec()];
        let verifier: Arc<dyn ClientCertVerifier> =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().unwrap();
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        server.alpn_protocols = vec![FEDERATION_ALPN.to_vec()];
        let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).unwrap()));
        let endpoint = Endpoint::server(server, place).unwrap();
        let listen = endpoint.local_addr().unwrap();
        let client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()));
        Self { endpoint, client, listen }
    }

    /// One that shows no certificate and speaks whatever protocol.
    pub(crate) fn without_certificate(trusted: &CertificateDer<'static>, alpn: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![alpn.to_vec()];
        let endpoint = Endpoint::client(place()).unwrap();
        let listen = endpoint.local_addr().unwrap();
        let client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()));
        Self { endpoint, client, listen }
    }

    /// A connection to a real side, whatever becomes of it.
    pub(crate) async fn connect(&self, to: &Side, name: &str) -> Result<Connection, ConnectionError> {
        self.connect_to(to.listen, name).await
    }

    /// The same to whoever is there.
    pub(crate) async fn connect_to(&self, to: SocketAddr, name: &str) -> Result<Connection, ConnectionError> {
        soon(self.endpoint.connect_with(self.client.clone(), to, name).unwrap()).await
    }

    /// Takes the connection of a real side as the peer that it means.
    pub(crate) async fn welcome(&self, own: &str) -> Connection {
        let (_, mut stream, connection) = self.accept().await.unwrap();
        let hello = v1::PeerHelloAnswer { domain: own.into(), server: String::new(), restored_ms: 0 };
        stream.say(&v1::PeerAnswer { result: Some(v1::peer_answer::Result::Hello(hello)) }).await;
        connection
    }

    /// What a real side says that connects here.
    pub(crate) async fn accept(&self) -> Result<(v1::PeerHello, Stream, Connection), String> {
        let incoming = soon(self.endpoint.accept()).await.unwrap();
        let connection = soon(async { incoming.accept().unwrap().await }).await.map_err(|error| error.to_string())?;
        let (send, recv) = soon(connection.accept_bi()).await.map_err(|error| error.to_string())?;
        let mut stream = Stream::new(send, recv);
        let request = stream.next::<v1::PeerRequest>().await.ok_or("the stream ended")?;
        match request.method {
            Some(v1::peer_request::Method::Hello(hello)) => Ok((hello, stream, connection)),
            other => panic!("{other:?}"),
        }
    }
}

/// A stream of frames.
pub(crate) struct Stream {
    pub(crate) send: SendStream,
    recv: RecvStream,
    decoder: FrameDecoder,
}

impl Stream {
    pub(crate) fn new(send: SendStream, recv: RecvStream) -> Self {
        Self { send, recv, decoder: FrameDecoder::new(FRAME_MAX) }
    }

    /// One that the other side opens.
    pub(crate) async fn accept(connection: &Connection) -> Self {
        let (send, recv) = soon(connection.accept_bi()).await.unwrap();
        Self::new(send, recv)
    }

    pub(crate) async fn open(connection: &Connection) -> Self {
        let (send, recv) = soon(connection.open_bi()).await.unwrap();
        Self::new(send, recv)
    }

    pub(crate) async fn say(&mut self, message: &impl Message) {
        // The other side may have hung up.
        self.send.write_all(&frame::encode(message)).await.ok();
    }

    /// The next message; `None` where the stream or its connection ends.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Option<M> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(M::decode(frame).unwrap());
            }
            let chunk = soon(self.recv.read_chunk(usize::MAX, true)).await.ok()??;
            self.decoder.push(chunk.bytes);
        }
    }
}

pub(crate) fn request(method: v1::peer_request::Method) -> v1::PeerRequest {
    v1::PeerRequest { method: Some(method) }
}

pub(crate) fn hello(domain: &str, peer: &str) -> v1::PeerRequest {
    let hello = v1::PeerHello { domain: domain.into(), peer: peer.into(), server: "by hand".into() };
    request(v1::peer_request::Method::Hello(hello))
}

/// With which of our codes a connection was closed; `None` where it was lost in another way.
pub(crate) async fn closed(connection: &Connection) -> Option<CloseCode> {
    match soon(connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => CloseCode::from_wire(close.error_code.into_inner()),
        _ => None,
    }
}
