//! A running server and its configuration: what it takes anew, what it leaves for the next start, and what it refuses.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use qpc_proto::error::Code;
use rcgen::CertifiedKey;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;

use crate::{
    person::{Device, Person},
    program::{Program, http, program, run},
    wire::{Dialer, Wire},
};

/// How long a server may take to do what a signal asks for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with a file, a certificate of the operator's, and a log.
struct Operated {
    dir: tempfile::TempDir,
    server: Option<Program>,
}

impl Operated {
    /// Starts it with this text behind the certificate's files, `[limits]` and below.
    fn start(certificate: &CertifiedKey<rcgen::KeyPair>, rest: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let mut of = Self { dir, server: None };
        of.show(certificate);
        of.configure("", rest);
        let log = File::create(of.path("log")).unwrap();
        let mut command = program(&of.path("data"));
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]);
        of.server = Some(Program::spawn_logging(&mut command, log));
        of
    }

    fn server(&self) -> &Program {
        self.server.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a certificate where the server looks for it.
    fn show(&self, certificate: &CertifiedKey<rcgen::KeyPair>) {
        fs::write(self.path("key.pem"), certificate.signing_key.serialize_pem()).unwrap();
        fs::write(self.path("cert.pem"), certificate.cert.pem()).unwrap();
    }

    fn configure(&self, server: &str, rest: &str) {
        let [chain, key] = ["cert.pem", "key.pem"].map(|name| self.path(name).display().to_string());
        let text =
            format!("[server]\ncertificate_file = {chain:?}\ncertificate_key_file = {key:?}\n{server}\n{rest}\n");
        fs::write(self.path("data").join("qpc-server.toml"), text).unwrap();
    }

    /// Changes something and has it read everything again; waits until it says this, once more than before. It may have seen a
    /// certificate by itself.
    fn reload(&self, until: &str, change: impl FnOnce(&Self)) -> String {
        let before = self.log().matches(until).count();
        change(self);
        self.server().signal(Signal::HUP);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.matches(until).count() > before {
                return log;
            }
            assert!(Instant::now() < deadline, "it does not say {until:?}: {log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }
}

fn made() -> CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap()
}

/// One that ends in a year.
fn ends_in(year: i32) -> CertifiedKey<rcgen::KeyPair> {
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    CertifiedKey { cert: params.self_signed(&signing_key).unwrap(), signing_key }
}

/// When the certificate that it shows ends, by its metrics.
fn ends(server: &Program) -> u64 {
    shown(server, "qpc_certificate_expires_timestamp_seconds")
}

/// What its metrics say under a name.
fn shown(server: &Program, name: &str) -> u64 {
    let page = http(server.metrics, "/metrics");
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

async fn connects(server: &Program, certificate: &CertificateDer<'static>) -> bool {
    Dialer::new(server.listen, certificate, "127.0.0.1:0", None).connect().await.is_ok()
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_wrong_one_is_not() {
    let (first, second, third) = (ends_in(2080), ends_in(2090), made());
    let of = Operated::start(&first, "");
    assert_eq!(ends(of.server()), 3_471_292_800);
    let wire = Wire::connect(of.server().listen, first.cert.der()).await;
    of.reload("the certificate has changed", |of| of.show(&second));
    assert!(connects(of.server(), second.cert.der()).await);
    assert_eq!(ends(of.server()), 3_786_912_000);
    assert!(!connects(of.server(), first.cert.der()).await, "nobody is shown the old one any more");
    // Who is connected stays so.
    let (alice, device) = (Person::at("alice", "localhost"), Device::new());
    wire.register(&alice, &of.server().invite.clone().unwrap(), &device).await.unwrap();
    // A key of another certificate: half of what a renewal writes.
    let half = |of: &Operated| fs::write(of.path("cert.pem"), third.cert.pem()).unwrap();
    let log = of.reload("the new certificate can't be used", half);
    assert!(log.contains("the old one stays"), "{log}");
    assert!(connects(of.server(), second.cert.der()).await);
    of.reload("the certificate has changed", |of| of.show(&third));
    assert!(connects(of.server(), third.cert.der()).await);
}

#[test]
fn the_people_who_are_planned_for_are_among_the_metrics() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = program(temp.path());
    command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]);
    let server = Program::spawn(command.env("QPC_SERVER__USERS_PLANNED", "1000"));
    assert_eq!(shown(&server, "qpc_users_planned"), 1000);
}

#[tokio::test]
async fn rates_and_the_level_of_logs_are_taken_and_the_rest_is_named() {
    let certificate = made();
    let of = Operated::start(&certificate, "");
    let invite = of.server().invite.clone().unwrap();
    let register = async |name: &str| {
        let wire = Wire::connect(of.server().listen, certificate.cert.der()).await;
        let done = wire.register(&Person::at(name, "localhost"), &invite, &Device::new()).await;
        done.map_err(|error| Code::from_wire(error.code).unwrap())
    };
    assert_eq!(register("alice").await, Ok(()));
    assert_eq!(register("bob").await, Ok(()));
    let log = of.reload("the configuration was read again", |of| {
        of.configure(
            "drain = \"3s\"",
            "[limits]\nlogins_max = 7\n[limits.registration]\nrate = 1\nburst = 1\n[log]\nlevel = \"debug\"",
        );
    });
    for line in [
        r#""message":"the configuration has changed","key":"limits.registration.rate""#,
        r#""message":"the configuration has changed","key":"log.level","before":"\"info\"","after":"\"debug\"""#,
        r#""message":"this counts from the next start on","key":"server.drain""#,
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert_eq!(register("carol").await, Ok(()), "the rate's own burst");
    assert_eq!(register("dora").await, Err(Code::RateLimited));
    assert!(of.log().contains("\"level\":\"DEBUG\""), "{}", of.log());
    // What is wrong changes nothing, not even in part.
    let log = of.reload("nothing of it is taken", |of| {
        of.configure("", "[limits.registration]\nrate = 600\nburst = 600\n[log]\nlevle = \"info\"");
    });
    assert!(log.contains("unknown key `log.levle`; did you mean `log.level`?"), "{log}");
    assert_eq!(register("dora").await, Err(Code::RateLimited));
    // Said again each time, until it is taken.
    let log = of.reload("the configuration was read again", |of| {
        of.configure("drain = \"3s\"", "[limits]\nlogins_max = 7\n[limits.registration]\nrate = 600\nburst = 600");
    });
    for key in ["server.drain", "limits.logins_max"] {
        let line = format!(r#""message":"this counts from the next start on","key":"{key}""#);
        assert_eq!(log.matches(&line).count(), 2, "{key}: {log}");
    }
    assert_eq!(register("dora").await, Ok(()));
}

#[test]
fn what_counts_is_shown_with_where_it_comes_from_and_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let file = data.join("qpc-server.toml");
    fs::write(&file, "[server]\nauth_token = \"open sesame\"\n[limits.message]\nrate = 7\n[log]\nlevel = \"warn\"\n")
        .unwrap();
    let ask = |arguments: &[&str]| run(program(&data).env("QPC_LOG__LEVEL", "debug").args(arguments));
    let (code, shown, _) = ask(&["config", "show", "--effective"]);
    let place = |line: &str| format!("{}:{line}", file.display());
    assert_eq!(code, 0);
    for line in [
        format!("limits.message.rate = 7  # {}", place("4:1")),
        "limits.message.burst = 1000  # default".into(),
        "log.level = \"debug\"  # QPC_LOG__LEVEL".into(),
        format!("server.auth_token = \"(redacted)\"  # {}", place("2:1")),
        format!("server.data_dir = {:?}  # --data-dir", data.display().to_string()),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    // It is a file itself.
    let copy = dir.path().join("copy.toml");
    fs::write(&copy, shown.replace("\"(redacted)\"", "\"open sesame\"")).unwrap();
    assert_eq!(
        ask(&["config", "diff", copy.to_str().unwrap()]),
        (0, format!("nothing differs from {}\n", copy.display()), String::new())
    );
    let expected = format!(
        "limits.message.rate: 6000 -> 7\nlog.level: \"info\" -> \"debug\"\nserver.auth_token: not set -> (a secret)\n\
         server.data_dir: \"data\" -> {:?}\n",
        data.display().to_string()
    );
    assert_eq!(ask(&["config", "diff"]), (0, expected, String::new()));
    let (_, lines, _) = ask(&["config", "diff", "--json"]);
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["key"], &last["restart"]), (&"server.data_dir".into(), &true.into()));
    let missing = ask(&["config", "diff", Path::new("/nowhere/c.toml").to_str().unwrap()]);
    assert_eq!(missing.0, 78, "{missing:?}");
}
