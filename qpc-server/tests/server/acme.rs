//! Certificates of an authority: ordered, proved, kept, renewed, and shown to clients who trust it.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use qpc_proto::address::Domain;
use qpc_server::{
    acme::{Binding, Roots, Settings},
    clock::{Clock, SystemClock},
    data_dir::{AcmeFiles, DataDir},
    policy::limits::AcmeLimits,
    rng::{self, SystemRng},
    server::acme::{self, Acme},
};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::{
    authority::{Authority, Mishap, free},
    house::{House, TOKEN},
    person::{Device, Person},
    program::{Program, program, run},
    wire::{Dialer, Wire},
};

/// How long anything here may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);
const DAY: u64 = 86_400_000;

/// The machine's clock, and what a test has let pass.
struct Ahead(Arc<AtomicU64>);

impl Clock for Ahead {
    fn unix_ms(&self) -> u64 {
        SystemClock.unix_ms() + self.0.load(Ordering::SeqCst)
    }
}

/// An authority, and a server with a data directory that asks it.
struct Ordered {
    authority: Authority,
    place: SocketAddr,
    dir: tempfile::TempDir,
    ahead_ms: Arc<AtomicU64>,
    limits: AcmeLimits,
    house: Option<House>,
}

impl Ordered {
    /// An authority, and no server yet.
    async fn new() -> Self {
        let place = free();
        let authority = Authority::start(place).await;
        let dir = tempfile::tempdir().unwrap();
        let limits = AcmeLimits { look: Duration::from_millis(10), ..AcmeLimits::default() };
        Self { authority, place, dir, ahead_ms: Arc::default(), limits, house: None }
    }

    /// Both, with the first certificate shown.
    async fn with_certificate() -> Self {
        let mut of = Self::new().await;
        of.start(|_| ()).await;
        of.until(|of| of.issued() == 1).await;
        of.until_trusted().await;
        of
    }

    async fn start(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings {
            directory: self.authority.directory.clone(),
            contact: None,
            names: vec![Domain::parse("localhost").unwrap()],
            http_listen: self.place,
            roots: Roots::These(vec![self.authority.root.clone()]),
            binding: None,
        };
        change(&mut settings);
        let dir = DataDir::open(self.dir.path()).unwrap();
        let files = AcmeFiles::of(dir.path());
        let kept = files.certificate().map(Result::unwrap);
        let shown = kept.unwrap_or_else(|| dir.certificate(vec!["localhost".into()]).unwrap());
        let limits = self.limits.clone();
        let clock = Arc::new(Ahead(Arc::clone(&self.ahead_ms)));
        self.house = Some(
            House::start_of_parts(|parts| {
                parts.certificate = shown;
                parts.certificate_source = Some(acme::source(dir.path()));
                parts.acme = Some(Acme { settings, files, limits });
                parts.clock = clock;
            })
            .await,
        );
    }

    async fn stop(&mut self) {
        self.house.take().unwrap().running.drain().await.unwrap();
    }

    fn house(&self) -> &House {
        self.house.as_ref().unwrap()
    }

    fn dialer(&self) -> Dialer {
        Dialer::new(self.house().running.listen, &self.authority.root, "127.0.0.1:0", None)
    }

    /// Somebody who trusts the authority comes in.
    async fn is_trusted(&self) -> bool {
        self.dialer().connect().await.is_ok()
    }

    /// A new certificate is shown a moment after it is kept.
    async fn until_trusted(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_trusted().await {
            assert!(Instant::now() < deadline, "nobody is let in");
        }
    }

    fn issued(&self) -> u64 {
        self.house().running.metrics.acme.issued.get()
    }

    fn failed(&self) -> u64 {
        self.house().running.metrics.acme.failed.get()
    }

    /// When what is shown ends.
    fn ends(&self) -> u64 {
        let page = self.house().running.metrics.text().unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix("qpc_certificate_expires_timestamp_seconds "));
        value.unwrap().parse().unwrap()
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        until(|| holds(self)).await;
    }

    fn pass(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Nobody listens for the authority.
    async fn is_closed(&self) -> bool {
        TcpStream::connect(self.place).await.is_err()
    }
}

async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_server_gets_its_certificate_and_whoever_trusts_the_authority_comes_in() {
    let mut of = Ordered::new().await;
    of.authority.next(Mishap::BadNonce);
    of.start(|settings| settings.contact = Some("admin@chat.example".into())).await;
    of.until(|of| of.issued() == 1).await;
    of.until_trusted().await;
    assert_eq!((of.authority.mishaps_left(), of.failed()), (0, 0), "a bad nonce is no failure");
    assert_eq!(of.authority.contacts(), [serde_json::json!(["mailto:admin@chat.example"])]);
    // What is not for this order is nothing, and the listener is there for no longer than the proof.
    assert_eq!(of.authority.strange(), [404; 6]);
    assert_eq!(of.authority.open_at_the_end(), [false]);
    assert!(of.is_closed().await);
    let (days, now) = (DAY / 1000 * 90, SystemClock.unix_ms() / 1000);
    assert!((now + days - 600..=now + days).contains(&of.ends()), "{}", of.ends());
    for name in ["acme-account.json", "acme-certificate.pem"] {
        let mode = fs::metadata(of.dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[tokio::test]
async fn it_is_renewed_before_its_end_and_who_is_connected_stays() {
    let of = Ordered::with_certificate().await;
    let before = of.ends();
    let mut wire = of.dialer().connect().await.unwrap();
    wire.greet().await;
    of.authority.lasts(400);
    of.pass(61 * DAY);
    of.until(|of| of.issued() == 2).await;
    of.until(|of| of.ends() > before + 300 * 86_400).await;
    assert!(of.is_trusted().await);
    let (alice, device) = (Person::at("alice", &of.house().domain), Device::new());
    wire.register(&alice, TOKEN, &device).await.unwrap();
    assert_eq!((of.authority.accounts(), of.authority.orders(), of.failed()), (1, 2, 0));
    assert!(of.is_closed().await);
}

#[tokio::test]
async fn what_looks_old_when_it_is_signed_is_not_ordered_over_and_over() {
    let of = Ordered::with_certificate().await;
    // By the server's clock two thirds of the next one's life are over as well.
    of.pass(61 * DAY);
    of.until(|of| of.issued() == 2).await;
    // Time enough for several orders, each of which takes less than so many people who come in.
    for _ in 0..100 {
        assert!(of.is_trusted().await);
    }
    assert_eq!((of.issued(), of.authority.orders()), (2, 2));
    of.pass(15 * DAY);
    of.until(|of| of.issued() == 3).await;
}

#[tokio::test]
async fn an_authority_that_is_away_or_refuses_changes_nothing_and_is_asked_again() {
    let of = Ordered::with_certificate().await;
    let before = of.ends();
    of.authority.lasts(400);
    let told = async |failed: u64| {
        of.until(|of| of.failed() == failed).await;
        assert_eq!(of.ends(), before);
        assert!(of.is_trusted().await && of.is_closed().await);
    };
    of.authority.set_away(true);
    of.pass(61 * DAY);
    told(1).await;
    of.authority.set_away(false);
    for (failed, mishap) in [(2, Mishap::RateLimited), (3, Mishap::ForeignKey), (4, Mishap::Ended)] {
        of.authority.next(mishap);
        // Longer than the pause, with what chance adds to it.
        of.pass(60 * 60 * 1000);
        told(failed).await;
        assert_eq!(of.authority.mishaps_left(), 0);
    }
    // Whoever has put it right does not have to wait.
    of.house().running.look_at_certificate();
    of.until(|of| of.issued() == 2).await;
    of.until(|of| of.ends() > before).await;
    assert!(of.is_trusted().await);
}

#[tokio::test]
async fn no_more_is_read_of_an_answer_than_is_allowed() {
    let mut of = Ordered::new().await;
    of.limits.exchange = Duration::from_secs(2);
    of.authority.next(Mishap::Endless);
    of.authority.next(Mishap::Silent);
    of.start(|_| ()).await;
    for failed in [1, 2] {
        of.until(|of| of.failed() == failed).await;
        assert_eq!((of.authority.orders() as u64, of.authority.mishaps_left() as u64), (failed, 2 - failed));
        of.house().running.look_at_certificate();
    }
    of.until_trusted().await;
    assert_eq!(of.issued(), 1);
}

#[tokio::test]
async fn an_authority_that_nobody_vouches_for_is_told_nothing() {
    let mut of = Ordered::new().await;
    let other = Authority::start(of.place).await;
    of.start(|settings| settings.roots = Roots::These(vec![other.root.clone()])).await;
    of.until(|of| of.failed() == 1).await;
    assert_eq!(of.authority.accounts(), 0);
    of.stop().await;
    // Nor do the system's roots, of which there may be none.
    of.start(|settings| settings.roots = Roots::System).await;
    of.until(|of| of.failed() == 1).await;
    assert_eq!(of.authority.accounts(), 0);
}

#[tokio::test]
async fn another_start_uses_what_is_kept_and_asks_nobody() {
    let mut of = Ordered::with_certificate().await;
    let before = of.ends();
    of.stop().await;
    of.authority.set_away(true);
    of.start(|_| ()).await;
    assert!(of.is_trusted().await, "from the first moment on");
    assert_eq!((of.ends(), of.issued(), of.failed()), (before, 0, 0));
    of.stop().await;

    // For other names there is none yet; the account is the same.
    of.authority.set_away(false);
    let name = |name| Domain::parse(name).unwrap();
    of.start(|settings| settings.names = vec![name("localhost"), name("chat.example")]).await;
    assert!(of.is_trusted().await, "the old one until the new one is there");
    of.until(|of| of.issued() == 1).await;
    assert_eq!((of.authority.accounts(), of.authority.orders()), (1, 2));
    of.stop().await;

    // Another authority knows nothing of the account.
    let old = std::mem::replace(&mut of.authority, Authority::start(of.place).await);
    of.start(|_| ()).await;
    of.until_trusted().await;
    assert_eq!((of.authority.accounts(), of.authority.issued(), old.issued()), (1, 1, 2));
}

#[tokio::test]
async fn an_account_that_the_authority_has_lost_is_made_anew() {
    let of = Ordered::with_certificate().await;
    of.authority.forget_accounts();
    of.authority.lasts(400);
    of.pass(61 * DAY);
    of.until(|of| of.failed() == 1).await;
    until(|| !of.dir.path().join("acme-account.json").exists()).await;
    of.house().running.look_at_certificate();
    of.until(|of| of.issued() == 2).await;
    assert_eq!(of.authority.accounts(), 1);
}

#[tokio::test]
async fn an_account_may_be_bound_to_one_that_is_known() {
    let key = rng::bytes::<32>(&SystemRng);
    let text = {
        use base64::Engine;
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(key)
    };
    let mut of = Ordered::new().await;
    of.authority.wants_binding("customer 1", &key);
    of.start(|_| ()).await;
    of.until(|of| of.failed() == 1).await;
    of.stop().await;
    of.start(|settings| settings.binding = Some(Binding::parse("customer 2".into(), &text).unwrap())).await;
    of.until(|of| of.failed() == 1).await;
    of.stop().await;
    assert_eq!(of.authority.accounts(), 0);
    of.start(|settings| settings.binding = Some(Binding::parse("customer 1".into(), &text).unwrap())).await;
    of.until_trusted().await;
    assert_eq!(of.authority.accounts(), 1);
}

#[tokio::test]
async fn a_listener_that_is_taken_costs_no_order() {
    let mut of = Ordered::new().await;
    let taken = std::net::TcpListener::bind(of.place).unwrap();
    of.start(|_| ()).await;
    of.until(|of| of.failed() == 1).await;
    assert_eq!(of.authority.orders(), 0);
    drop(taken);
    of.house().running.look_at_certificate();
    of.until_trusted().await;
}

/// The built program, asking this authority.
fn asking(authority: &Authority, place: SocketAddr, temp: &Path) -> std::process::Command {
    fs::write(temp.join("root.pem"), &authority.root_pem).unwrap();
    let mut command = program(&temp.join("data"));
    command
        .env("QPC_ACME__DIRECTORY", &authority.directory)
        .env("QPC_ACME__ACCEPT_TERMS", "true")
        .env("QPC_ACME__HTTP_LISTEN", place.to_string())
        .env("QPC_ACME__CA_FILE", temp.join("root.pem"));
    command
}

#[tokio::test]
async fn the_program_says_what_is_in_the_way_and_a_reload_tries_at_once() {
    let (temp, place, elsewhere) = (tempfile::tempdir().unwrap(), free(), free());
    let authority = Authority::start(elsewhere).await;
    let serve = |log: &str| {
        let mut command = asking(&authority, place, temp.path());
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]);
        Program::spawn_logging(&mut command, File::create(temp.path().join(log)).unwrap())
    };
    let log = |name: &str| fs::read_to_string(temp.path().join(name)).unwrap();
    let doctor = || run(asking(&authority, place, temp.path()).args(["doctor", "--json"])).1;
    let comes_in = async |listen| Dialer::new(listen, &authority.root, "127.0.0.1:0", None).connect().await.is_ok();

    let server = serve("first");
    until(|| log("first").contains("no certificate was ordered")).await;
    let first = log("first");
    assert!(first.contains("clients that rely on the authority refuse this server"), "{first}");
    let said =
        "http://localhost: Connection refused (os error 111) (connection); each name has to lead to this machine";
    assert!(first.contains(said), "{first}");
    // One that signs itself serves meanwhile.
    let own = fs::read(temp.path().join("data/server-cert.der")).unwrap().into();
    Wire::connect(server.listen, &own).await;
    assert!(!comes_in(server.listen).await);
    let found = doctor();
    assert!(found.contains("the authority has signed none yet"), "{found}");

    authority.looks_at(place);
    server.signal(Signal::HUP);
    until(|| log("first").contains("the certificate has changed")).await;
    assert!(comes_in(server.listen).await);
    let found = doctor();
    // 90 days, less the moments since.
    assert!(found.contains(r#"{"check":"certificate","mark":"ok","found":"it lasts "#), "{found}");
    drop(server);
    authority.set_away(true);
    let server = serve("second");
    assert!(comes_in(server.listen).await, "{}", log("second"));
    assert!(!log("second").contains("WARN"), "{}", log("second"));
    let key = fs::read_to_string(temp.path().join("data/acme-certificate.pem")).unwrap();
    let secret = key.lines().nth(2).unwrap();
    assert!(!log("first").contains(secret) && !log("second").contains(secret));
}
