//! A whole net in this process: a server on SQLCipher that can be stopped and started again, and people with
//! real clients in homes of their own. It is used from plain tests: every step blocks until it is done.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use qpc_client::{
    Client, EventStream, Home, KeySource, KsfParams, Login, Notice, Options, Registration, Session, Trust,
    api::{
        Command, CommandError, Contact, Conversation, Event, GroupSuite, Message, OutboxState, Outcome, Password,
        Status,
    },
};
use qpc_proto::address::AccountName;
use qpc_server::{
    blob_store::sqlite::SqliteBlobs,
    clock::{Clock, SystemClock},
    config::{Config, FederationPeer, Secret},
    data_dir::DataDir,
    federation::Source,
    metrics::Metrics,
    rng::SystemRng,
    server::{self, Parts, Running},
    store::sqlite::{DbKey, SqliteStore},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::peer::{self, Authority, Claims, Hand, Stream};

/// Longest wait for anything that must happen: two hundred messages into a changing group take seconds of syncs, and
/// many times that where something else keeps the disk busy.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const TOKEN: &str = "the standing token of this net";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Makes a group as people do who say nothing of how.
pub(crate) fn new_group<M: Into<String>>(name: &str, members: impl IntoIterator<Item = M>) -> Command {
    let members = members.into_iter().map(Into::into).collect();
    Command::GroupCreate { name: name.into(), members, suite: GroupSuite::default() }
}

/// A server and its people.
pub(crate) struct Net {
    runtime: Rc<Runtime>,
    server: RefCell<Option<Running>>,
    /// What the server keeps, for one that is to lie.
    store: RefCell<Option<Arc<SqliteStore>>>,
    blobs: RefCell<Option<Arc<SqliteBlobs>>>,
    metrics: RefCell<Option<Arc<Metrics>>>,
    /// Where it listens, from its first start on.
    listen: Cell<SocketAddr>,
    /// Where people from now on find it, where that is elsewhere.
    reached_at: Cell<Option<SocketAddr>>,
    fingerprint: RefCell<String>,
    /// By how many milliseconds the server's clock is ahead.
    ahead_ms: Arc<AtomicU64>,
    domain: &'static str,
    federation: Option<Federated>,
    dir: TempDir,
}

/// How a net is one of several.
struct Federated {
    authority: Rc<Authority>,
    source: Source,
    listen: SocketAddr,
    peers: Vec<FederationPeer>,
}

/// The machine's clock, and what a test has let pass.
struct NetClock(Arc<AtomicU64>);

impl Clock for NetClock {
    fn unix_ms(&self) -> u64 {
        SystemClock.unix_ms() + self.0.load(Ordering::SeqCst)
    }
}

impl Net {
    pub(crate) fn start() -> Self {
        Self::begin("localhost", None)
    }

    /// One for each of these domains, all of which know each other.
    pub(crate) fn start_all<const N: usize>(domains: [&'static str; N]) -> [Self; N] {
        let (authority, places) = (Rc::new(Authority::new()), domains.map(|domain| (domain, peer::place())));
        places.map(|(domain, listen)| {
            let material = authority.material(&Claims::of(domain));
            let others = places.iter().filter(|(other, _)| *other != domain);
            let peer = |(domain, at): &(&str, SocketAddr)| FederationPeer {
                domain: (*domain).into(),
                address: at.to_string(),
                max_in_flight: 64,
            };
            let source: Source = Arc::new(move || Ok(peer::copy(&material)));
            let (authority, peers) = (Rc::clone(&authority), others.map(peer).collect());
            Self::begin(domain, Some(Federated { authority, source, listen, peers }))
        })
    }

    fn begin(domain: &'static str, federation: Option<Federated>) -> Self {
        // What happened, for whoever looks into a failure with RUST_LOG.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let net = Self {
            runtime: Rc::new(runtime),
            server: RefCell::new(None),
            store: RefCell::new(None),
            blobs: RefCell::new(None),
            metrics: RefCell::new(None),
            listen: Cell::new("127.0.0.1:0".parse().unwrap()),
            reached_at: Cell::new(None),
            fingerprint: RefCell::new(String::new()),
            ahead_ms: Arc::default(),
            domain,
            federation,
            dir: tempfile::tempdir().unwrap(),
        };
        net.start_server();
        net
    }

    /// From now on the server's peers are these, without another start.
    pub(crate) fn federates_with(&self, domains: &[&str]) {
        let mut config = Config::default();
        let known = self.federation.as_ref().expect("one of several").peers.iter();
        config.federation.peers = known.filter(|peer| domains.contains(&peer.domain.as_str())).cloned().collect();
        let _within = self.runtime.enter();
        assert!(self.server.borrow().as_ref().expect("a server that runs").set_peers(&config));
    }

    /// Starts the server on its data directory, and on the port it had before.
    pub(crate) fn start_server(&self) {
        self.start_server_with(|_| {});
    }

    pub(crate) fn start_server_with(&self, adjust: impl FnOnce(&mut Config)) {
        let mut config = Config::default();
        config.server.listen = self.listen.get();
        config.metrics.listen = "127.0.0.1:0".parse().unwrap();
        config.server.domain = self.domain.into();
        if let Some(federated) = &self.federation {
            config.federation.enabled = true;
            config.federation.listen = federated.listen;
            config.federation.peers.clone_from(&federated.peers);
        }
        config.server.auth_token = Some(Secret::new(TOKEN.into()));
        config.server.data_dir = self.server_dir();
        // People here type faster than people do.
        config.limits.message.rate = 6_000_000;
        config.limits.message.burst = 100_000;
        adjust(&mut config);
        until_free(self.listen.get());
        if let Some(federated) = &self.federation {
            until_free(federated.listen);
        }
        let dir = DataDir::open(&self.server_dir()).unwrap();
        let setups = dir.opaque_setups(&SystemRng, 0).unwrap();
        let key = DbKey::parse(dir.database_key(&SystemRng).unwrap().expose()).unwrap();
        let blobs = DataDir::blobs_database(dir.path());
        let blobs = Arc::new(SqliteBlobs::open(&blobs, key.clone(), SqliteBlobs::options()).unwrap());
        let store = Arc::new(SqliteStore::open(&DataDir::database(dir.path()), key, Default::default()).unwrap());
        let metrics = Arc::new(Metrics::new().unwrap());
        *self.store.borrow_mut() = Some(Arc::clone(&store));
        *self.blobs.borrow_mut() = Some(Arc::clone(&blobs));
        *self.metrics.borrow_mut() = Some(Arc::clone(&metrics));
        let running = self.block(async {
            let parts = Parts {
                store,
                blobs,
                aftermath: None,
                metrics,
                setups,
                certificate: dir.certificate(vec!["localhost".into()]).unwrap(),
                certificate_source: None,
                acme: None,
                backups: None,
                hub_key: dir.hub_key(&SystemRng).unwrap(),
                reset_key: dir.reset_key(&SystemRng).unwrap(),
                federation: self.federation.as_ref().map(|federated| Arc::clone(&federated.source)),
                admin_socket: None,
                clock: Arc::new(NetClock(Arc::clone(&self.ahead_ms))),
                rng: Arc::new(SystemRng),
            };
            server::start(&config, parts).await.unwrap()
        });
        self.listen.set(running.listen);
        self.fingerprint.borrow_mut().clone_from(&running.fingerprint);
        *self.server.borrow_mut() = Some(running);
    }

    pub(crate) fn stop_server(&self) {
        let running = self.server.borrow_mut().take().expect("a server that runs");
        self.store.borrow_mut().take();
        self.block(running.drain()).unwrap();
    }

    /// The server will make another certificate when it starts again.
    pub(crate) fn forget_certificate(&self) {
        for name in ["server-cert.der", "server-key.der"] {
            std::fs::remove_file(self.server_dir().join(name)).unwrap();
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listen.get()
    }

    /// Whoever comes from now on finds the server by this address.
    pub(crate) fn reached_at(&self, address: Option<SocketAddr>) {
        self.reached_at.set(address);
    }

    /// From now on it is so much later for the server.
    pub(crate) fn pass(&self, time: Duration) {
        self.ahead_ms.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Somebody who has a certificate of another domain, and is connected to this one's server.
    pub(crate) fn impostor(&self, domain: &'static str) -> (Hand, quinn::Connection) {
        let federated = self.federation.as_ref().expect("a server of a federation");
        self.block(async {
            let hand = Hand::new(federated.authority.sign(&Claims::of(domain)), &federated.authority.root);
            let connection = hand.connect_to(federated.listen, self.domain).await.unwrap();
            let mut stream = Stream::open(&connection).await;
            stream.say(&peer::hello(domain, self.domain)).await;
            stream.next::<qpc_proto::v1::PeerAnswer>().await.unwrap();
            (hand, connection)
        })
    }

    /// Another server's connection to somebody in the place of this stopped one, with its certificate.
    pub(crate) fn stand_in(&self) -> (quinn::Connection, Hand) {
        let Federated { authority, listen, .. } = self.federation.as_ref().expect("a server of a federation");
        self.block(async {
            let hand = Hand::at(*listen, authority.sign(&Claims::of(self.domain)), &authority.root);
            (hand.welcome(self.domain).await, hand)
        })
    }

    /// The other servers, as they are connected.
    pub(crate) fn peers(&self) -> Arc<qpc_server::peers::Peers> {
        let server = self.server.borrow();
        server.as_ref().and_then(|running| running.peers.clone()).expect("a server of a federation")
    }

    /// The server's store, behind its back.
    pub(crate) fn store(&self) -> Arc<SqliteStore> {
        Arc::clone(self.store.borrow().as_ref().expect("a server that runs"))
    }

    /// The server's blobs, behind its back.
    pub(crate) fn blobs(&self) -> Arc<SqliteBlobs> {
        Arc::clone(self.blobs.borrow().as_ref().expect("a server that runs"))
    }

    /// What it counts since it started.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(self.metrics.borrow().as_ref().expect("a server that runs"))
    }

    /// The admin resets an account; gives the token that registers its name anew.
    pub(crate) fn reset(&self, name: &str) -> String {
        let server = self.server.borrow();
        let accounts = &server.as_ref().expect("a server that runs").accounts;
        self.block(accounts.reset_account(AccountName::parse(name).unwrap())).unwrap().expose().to_owned()
    }

    pub(crate) fn server_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("server")
    }

    pub(crate) fn home_dir(&self, who: &str) -> std::path::PathBuf {
        self.dir.path().join(who)
    }

    /// Somebody new, registered and connected.
    pub(crate) fn person(&self, name: &str) -> Person {
        self.register(name, name, TOKEN)
    }

    /// An account registered with a token, in a home of its own name.
    pub(crate) fn register(&self, name: &str, home: &str, token: &str) -> Person {
        let registration = Registration {
            name: name.into(),
            password: Password(PASSWORD.into()),
            token: Some(token.into()),
            device_name: "first".into(),
        };
        let client = self.block(Client::register(self.home(home), self.options(), registration)).unwrap();
        self.seat(name, home, client)
    }

    /// Another device of somebody, in a home called `home`.
    pub(crate) fn device(&self, name: &str, home: &str) -> Person {
        let login = Login { name: name.into(), password: Password(PASSWORD.into()), device_name: home.into() };
        let client = self.block(Client::login(self.home(home), self.options(), login)).unwrap();
        self.seat(name, home, client)
    }

    /// Two people who have accepted each other, and have nothing left to read.
    pub(crate) fn pair(&self) -> (Person, Person) {
        let (alice, bob) = (self.person("alice"), self.person("bob"));
        self.acquaint(&alice, &bob);
        (alice, bob)
    }

    pub(crate) fn acquaint(&self, one: &Person, other: &Person) {
        one.say(other, ["may I?"]);
        other.expects(["may I?"]);
        other.do_it(Command::Accept { who: one.name.clone() });
        one.until("accepted", |one| one.contact(&other.name).is_some_and(|known| known.state == "accepted"));
        one.talks_to(other);
        other.talks_to(one);
    }

    pub(crate) fn home(&self, name: &str) -> Home {
        Home::at(self.home_dir(name), KeySource::File)
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            server: Some(self.reached_at.get().unwrap_or(self.listen.get()).to_string().parse().unwrap()),
            trust: Trust::Pin(self.fingerprint.borrow().parse().unwrap()),
            ksf: KsfParams::weak(),
            ..Options::default()
        }
    }

    pub(crate) fn block<T>(&self, work: impl Future<Output = T>) -> T {
        block(&self.runtime, work)
    }

    fn seat(&self, name: &str, home: &str, client: Client) -> Person {
        let events = client.events();
        Person {
            runtime: Rc::clone(&self.runtime),
            name: name.into(),
            peer: RefCell::new(String::new()),
            home: self.home(home),
            options: self.options(),
            seat: RefCell::new(Some((Session::from(client), events))),
        }
    }
}

/// A server that has stopped gives its port back a moment later, and while none listens, the system may lend it to a socket of
/// another test.
fn until_free(port: SocketAddr) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while let Err(error) = std::net::UdpSocket::bind(port) {
        assert!(std::time::Instant::now() < deadline, "the port is not given back: {error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn block<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("it happens in time") })
}

/// Somebody with a client.
pub(crate) struct Person {
    runtime: Rc<Runtime>,
    pub(crate) name: String,
    peer: RefCell<String>,
    home: Home,
    pub(crate) options: Options,
    seat: RefCell<Option<(Session, EventStream)>>,
}

impl Person {
    /// From now on `send` is to them.
    pub(crate) fn talks_to(&self, other: &Person) {
        self.peer.borrow_mut().clone_from(&other.name);
    }

    /// Lets go of the home: nothing is received or sent until `connect`.
    pub(crate) fn disconnect(&self) {
        let (session, _) = self.seat.borrow_mut().take().expect("somebody who is there");
        block(&self.runtime, session.close());
    }

    /// Opens the home again.
    pub(crate) fn connect(&self) {
        let session = block(&self.runtime, Session::open(self.home.clone(), self.options.clone())).unwrap();
        let events = session.events();
        *self.seat.borrow_mut() = Some((session, events));
    }

    /// Revokes the device and leaves the home empty.
    pub(crate) fn log_out(&self) {
        let (session, _) = self.seat.borrow_mut().take().expect("somebody who is there");
        block(&self.runtime, session.logout()).unwrap();
    }

    /// Sends to whom they talk to.
    pub(crate) fn send<const N: usize>(&self, texts: [&str; N]) {
        let peer = self.peer.borrow().clone();
        self.write(&peer, texts);
    }

    pub(crate) fn say<const N: usize>(&self, to: &Person, texts: [&str; N]) {
        self.write(&to.name, texts);
    }

    pub(crate) fn write<const N: usize>(&self, to: &str, texts: [&str; N]) {
        for text in texts {
            self.do_it(Command::Send { to: to.into(), text: text.into() });
        }
    }

    /// Sends many at once, in order.
    pub(crate) fn send_all(&self, texts: &[String]) {
        let peer = self.peer.borrow().clone();
        self.send_all_to(&peer, texts);
    }

    pub(crate) fn send_all_to(&self, to: &str, texts: &[String]) {
        let seat = self.seat.borrow();
        let (session, _) = seat.as_ref().expect("somebody who is there");
        let sends = texts.iter().map(|text| session.execute(Command::Send { to: to.into(), text: text.clone() }));
        for queued in block(&self.runtime, futures_util::future::join_all(sends)) {
            queued.unwrap();
        }
    }

    /// Waits for exactly these texts, from whomever, in this order, and takes note of them.
    #[track_caller]
    pub(crate) fn expects<const N: usize>(&self, texts: [&str; N]) {
        self.expects_all(&texts.map(String::from));
    }

    #[track_caller]
    pub(crate) fn expects_all(&self, texts: &[String]) {
        let mut unshown = Vec::new();
        self.until(&format!("{} texts for {}", texts.len(), self.name), |me| {
            unshown = me.unshown();
            unshown.len() >= texts.len()
        });
        let bodies: Vec<_> = unshown.iter().map(|message| message.body.clone()).collect();
        assert_eq!(bodies, texts, "what {} reads", self.name);
        if let Some(last) = unshown.last() {
            self.do_it(Command::MarkShown { to: None, local: last.local });
        }
    }

    /// Waits until this text has come, among others.
    #[track_caller]
    pub(crate) fn expects_among(&self, text: &str) {
        self.until(&format!("{text:?} for {}", self.name), |me| {
            me.unshown().iter().any(|message| message.body == text)
        });
    }

    /// What nobody has been shown, at most a page.
    pub(crate) fn unshown(&self) -> Vec<Message> {
        match self.do_it(Command::Unshown { limit: 1_000, to: None }) {
            Outcome::Messages { messages } => messages,
            other => panic!("{other:?}"),
        }
    }

    /// Has everything that is stored for this device been handled, and nothing come of it?
    #[track_caller]
    pub(crate) fn expects_nothing(&self) {
        self.do_it(Command::CatchUp);
        assert_eq!(self.unshown(), []);
    }

    /// Waits until `happened`, looking again after every event.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !happened(self) {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            assert!(!left.is_zero(), "{}: {what} did not happen; {:?}", self.name, self.status());
            // What is looked at may change without an event: look again from time to time.
            let left = left.min(Duration::from_millis(250));
            let mut seat = self.seat.borrow_mut();
            let (_, events) = seat.as_mut().expect("somebody who is there");
            self.runtime.block_on(async {
                drop(tokio::time::timeout(left, events.next()).await);
                // One look for all that has happened.
                while events.next().now_or_never().is_some() {}
            });
        }
    }

    /// Waits for an event.
    #[track_caller]
    pub(crate) fn sees(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut seat = self.seat.borrow_mut();
        let (_, events) = seat.as_mut().expect("somebody who is there");
        self.runtime.block_on(async {
            let seen = async {
                loop {
                    match events.next().await.expect("a client that runs") {
                        Notice::Event(event) if wanted(&event) => return event,
                        _ => {}
                    }
                }
            };
            tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{}: no {what}", self.name))
        })
    }

    /// Waits until an outgoing message has come to this.
    #[track_caller]
    pub(crate) fn sees_outbox(&self, wanted: OutboxState) -> String {
        let event = self.sees("outbox", |event| matches!(event, Event::Outbox { state, .. } if *state == wanted));
        match event {
            Event::Outbox { reason, .. } => reason.unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn do_it(&self, command: Command) -> Outcome {
        let said = format!("{command:?}");
        self.attempt(command).unwrap_or_else(|error| panic!("{}: {said}: {error:?}", self.name))
    }

    pub(crate) fn attempt(&self, command: Command) -> Result<Outcome, CommandError> {
        let seat = self.seat.borrow();
        let (session, _) = seat.as_ref().expect("somebody who is there");
        block(&self.runtime, session.execute(command))
    }

    /// Begins something and is cut off after a while, if it is not done by then: says whether it was done.
    pub(crate) fn cut_off(&self, command: Command, after: Duration) -> bool {
        let seat = self.seat.borrow();
        let (session, _) = seat.as_ref().expect("somebody who is there");
        self.runtime.block_on(async { tokio::time::timeout(after, session.execute(command)).await.is_ok() })
    }

    pub(crate) fn status(&self) -> Status {
        match self.do_it(Command::Status) {
            Outcome::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn conversations(&self) -> Vec<Conversation> {
        match self.do_it(Command::Conversations) {
            Outcome::Conversations { conversations } => conversations,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn history(&self, with: &str) -> Vec<Message> {
        match self.do_it(Command::History { to: with.into(), limit: 1_000, before: None }) {
            Outcome::Messages { messages } => messages,
            other => panic!("{other:?}"),
        }
    }

    /// The same, nothing where there is no such conversation.
    pub(crate) fn history_if_any(&self, with: &str) -> Vec<Message> {
        match self.attempt(Command::History { to: with.into(), limit: 1_000, before: None }) {
            Ok(Outcome::Messages { messages }) => messages,
            Ok(other) => panic!("{other:?}"),
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn contact(&self, who: &str) -> Option<Contact> {
        match self.do_it(Command::Contacts) {
            Outcome::Contacts { contacts } => {
                contacts.into_iter().find(|one| one.address == format!("{who}@localhost"))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Everybody in a group; with a mark where the MLS group and the server's list differ.
    pub(crate) fn members(&self, group: &str) -> Vec<String> {
        match self.do_it(Command::GroupMembers { group: group.into() }) {
            Outcome::Members { members, .. } => {
                let names = members.into_iter().map(|member| {
                    let name = member.address.trim_end_matches("@localhost");
                    if member.disputed { format!("{name}?") } else { name.to_owned() }
                });
                names.collect()
            }
            other => panic!("{other:?}"),
        }
    }
}
