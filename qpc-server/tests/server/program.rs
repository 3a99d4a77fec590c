//! The built program: what it prints, what it refuses, how it ends.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use qpc_proto::v1::{self, answer::Result as Outcome, request::Method};
use rustls::pki_types::CertificateDer;
use sha2::Digest;

use crate::{
    person::{Device, Person},
    wire::{Wire, soon},
};

pub(crate) fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qpc-server"));
    command.arg("--data-dir").arg(data).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

/// A server that runs as a process of its own; killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) listen: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) fingerprint: String,
    pub(crate) invite: Option<String>,
}

impl Program {
    pub(crate) fn start(data: &Path) -> Self {
        let mut command = program(data);
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]);
        Self::spawn(&mut command)
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Self::ready(child)
    }

    /// As [`Self::spawn`], with the log in a file.
    pub(crate) fn spawn_logging(command: &mut Command, log: fs::File) -> Self {
        Self::ready(command.stdout(Stdio::piped()).stderr(log).spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the line that says it is ready.
    fn ready(mut child: Child) -> Self {
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the line that says it is ready");
        let text = |key: &str| ready[key].as_str().map(str::to_owned);
        Self {
            listen: text("listen").unwrap().parse().unwrap(),
            metrics: text("metrics").unwrap().parse().unwrap(),
            fingerprint: text("fingerprint").unwrap(),
            invite: text("invite"),
            child,
            stdout,
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks it to stop and waits.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Program {
    /// Kills it. It may have ended already.
    pub(crate) fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) fn certificate(data: &Path) -> CertificateDer<'static> {
    fs::read(data.join("server-cert.der")).unwrap().into()
}

#[tokio::test]
async fn a_new_server_is_ready_for_its_first_person_and_keeps_them() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let server = Program::start(&data);
    let certificate = certificate(&data);
    assert_eq!(server.fingerprint, format!("sha256:{}", hex::encode(sha2::Sha256::digest(&certificate))));
    for entry in fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }

    let alice = Person::at("alice", "localhost");
    let device = Device::new();
    let invite = server.invite.clone().unwrap();
    let wire = Wire::connect(server.listen, &certificate).await;
    wire.register(&alice, &invite, &device).await.unwrap();
    wire.authenticate(&alice, &device).await.unwrap();
    let fingerprint = server.fingerprint.clone();
    assert_eq!(server.stop(), (Some(0), String::new()));

    let server = Program::start(&data);
    assert_eq!((&server.fingerprint, &server.invite), (&fingerprint, &Some(invite)));
    let wire = Wire::connect(server.listen, &certificate).await;
    wire.authenticate(&alice, &device).await.unwrap();
    let wire = Wire::connect(server.listen, &certificate).await;
    wire.login(&alice).await.unwrap();
}

/// A client whose server was killed would wait for its idle timeout, were it not told.
#[tokio::test]
async fn clients_of_a_killed_server_are_told_by_the_next_one() {
    let temp = tempfile::tempdir().unwrap();
    let server = Program::start(temp.path());
    let (listen, certificate) = (server.listen, certificate(temp.path()));
    let wire = Wire::connect(listen, &certificate).await;
    drop(server);
    let mut command = program(temp.path());
    command.args(["--listen", &listen.to_string(), "--metrics-listen", "127.0.0.1:0", "--json"]);
    let _server = Program::spawn(&mut command);
    // Something that the server can't place; a client's keep-alive would do.
    let mut call = wire.open().await;
    call.request(Method::ListDevices(v1::ListDevices {})).await;
    assert_eq!(soon(wire.connection.closed()).await, quinn::ConnectionError::Reset);
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = program(temp.path());
    command
        .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"])
        .env("QPC_SERVER__DRAIN", "10m");
    let mut server = Program::spawn(&mut command);
    let certificate = certificate(temp.path());
    let (alice, device) = (Person::at("alice", "localhost"), Device::new());
    let wire = Wire::connect(server.listen, &certificate).await;
    let invite = server.invite.clone().unwrap();
    wire.register(&alice, &invite, &device).await.unwrap();
    wire.authenticate(&alice, &device).await.unwrap();
    // One stream is told that the server stops; the other, which asks for nothing, keeps it from stopping.
    let (mut told, mut keeps) = (wire.open().await, wire.open().await);
    keeps.raw(&[0]).await;
    told.request(Method::Sync(v1::Sync::default())).await;
    server.signal(rustix::process::Signal::TERM);
    while !matches!(soon(told.answer()).await, Some(Outcome::GoAway(_)) | None) {}
    assert!(server.child.try_wait().unwrap().is_none(), "there was nothing to drain");
    server.signal(rustix::process::Signal::TERM);
    let ended = tokio::task::spawn_blocking(move || server.child.wait());
    assert_eq!(soon(ended).await.unwrap().unwrap().code(), Some(0));
}

#[tokio::test]
async fn secrets_are_in_no_log_at_any_level() {
    let temp = tempfile::tempdir().unwrap();
    let (data, log) = (temp.path().join("data"), temp.path().join("log"));
    let mut command = program(&data);
    command
        .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"])
        .env("RUST_LOG", "trace")
        .env("QPC_AUTH_TOKEN", "the standing token")
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap());
    let server = Program::ready(command.spawn().unwrap());
    let (alice, device) = (Person::at("alice", "localhost"), Device::new());
    let wire = Wire::connect(server.listen, &certificate(&data)).await;
    wire.register(&alice, "the standing token", &device).await.unwrap();
    wire.authenticate(&alice, &device).await.unwrap();
    wire.login(&alice).await.unwrap();
    let invite = server.invite.clone().unwrap();
    assert_eq!(server.stop().0, Some(0));

    let log = fs::read_to_string(&log).unwrap();
    let setup = fs::read_to_string(data.join("opaque-setup")).unwrap();
    assert!(log.contains("TRACE") && log.contains("stopped"), "the log is not what it should be");
    for secret in ["the standing token", &invite, &alice.password, setup.split(' ').nth(2).unwrap().trim()] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
    for line in log.lines().filter(|line| line.contains("\"INFO\"") || line.contains("\"WARN\"")) {
        assert!(!line.contains("alice"), "a name above debug: {line}");
    }
}

#[test]
fn a_filter_for_logs_that_is_not_understood_is_said_once() {
    let temp = tempfile::tempdir().unwrap();
    let (data, log) = (temp.path().join("data"), temp.path().join("log"));
    let mut command = program(&data);
    command
        .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"])
        .env("RUST_LOG", "qpc_server=loud");
    let server = Program::spawn_logging(&mut command, fs::File::create(&log).unwrap());
    assert_eq!(server.stop().0, Some(0));
    let log = fs::read_to_string(&log).unwrap();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("\"WARN\"")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("RUST_LOG"), "{log}");
    // The configured level is in force.
    assert!(log.contains("stopped") && !log.contains("\"DEBUG\""), "{log}");
}

#[test]
fn people_are_told_what_to_type_next() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = program(temp.path());
    command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let text: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("Ctrl-C")).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let text = text.join("\n");
    for part in ["is ready", "fingerprint  sha256:", " register alice", " register bob", " chat bob", " chat alice"] {
        assert!(text.contains(part), "{part:?} is missing from\n{text}");
    }
    let register = text.lines().find(|line| line.ends_with("register alice")).unwrap();
    for option in ["--home ", "--server 127.0.0.1:", "--pin sha256:", "--auth-token "] {
        assert!(register.contains(option), "{option:?} is missing from {register}");
    }
}

#[tokio::test]
async fn invites_are_made_through_the_running_server_and_without_one() {
    let temp = tempfile::tempdir().unwrap();
    let alone = |arguments: &[&str]| run(program(temp.path()).args(arguments));
    let (code, before, _) = alone(&["invite", "create"]);
    assert_eq!(code, 0);
    let server = Program::start(temp.path());
    let (code, json, _) = alone(&["invite", "create", "--uses", "2", "--expires", "7d", "--json"]);
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["uses"], 2);

    let certificate = certificate(temp.path());
    for (name, token) in [("alice", before.trim()), ("bob", json["invite"].as_str().unwrap())] {
        let wire = Wire::connect(server.listen, &certificate).await;
        wire.register(&Person::at(name, "localhost"), token, &Device::new()).await.unwrap();
    }
    let (code, _, message) = alone(&["account", "reset", "carol"]);
    let missing = "qpc-server: no account `carol`: `qpc-server admin accounts list` shows them\n";
    assert_eq!((code, message.as_str()), (67, missing));
    let (code, text, _) = alone(&["account", "reset", "alice"]);
    assert_eq!(code, 0);
    let token = text.lines().next().unwrap();
    let wire = Wire::connect(server.listen, &certificate).await;
    wire.register(&Person::at("alice", "localhost"), token, &Device::new()).await.unwrap();
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let first = Program::start(temp.path());
    let (code, out, message) = run(program(temp.path()).args(["--listen", "127.0.0.1:0", "--json"]));
    assert_eq!((code, out.as_str()), (75, ""));
    assert!(message.contains("is in use by another qpc-server (process "), "{message}");
    drop(first);
    assert_eq!(Program::start(temp.path()).stop().0, Some(0));
}

#[tokio::test]
async fn a_database_is_checked_beside_the_server_and_damage_is_found() {
    let temp = tempfile::tempdir().unwrap();
    let check = || run(program(temp.path()).args(["db", "check"]));
    let (code, _, message) = check();
    assert_eq!(code, 78, "{message}");
    assert!(!temp.path().join("qpc.db").exists(), "a check makes nothing");
    let server = Program::start(temp.path());
    let wire = Wire::connect(server.listen, &certificate(temp.path())).await;
    let invite = server.invite.clone().unwrap();
    wire.register(&Person::at("alice", "localhost"), &invite, &Device::new()).await.unwrap();
    let no_blobs = "sound: 0 blobs of 0 bytes, 0 unfinished uploads\n";
    assert_eq!(check(), (0, format!("sound: 0 entries in 1 logs\n{no_blobs}"), String::new()));
    assert_eq!(server.stop().0, Some(0));

    let database = temp.path().join("qpc.db");
    let whole = fs::read(&database).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&database, damaged).unwrap();
    let (code, _, message) = check();
    assert_eq!(code, 65, "{message}");
    assert!(message.contains("page"), "{message}");
    fs::write(&database, whole).unwrap();
    fs::write(temp.path().join("db.key"), "ab".repeat(32)).unwrap();
    let (code, _, message) = check();
    assert_eq!(code, 78);
    assert!(message.contains("the database key does not open"), "{message}");
}

#[tokio::test]
async fn a_domain_may_change_until_somebody_has_an_address_in_it() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(Program::start(temp.path()).stop().0, Some(0));
    let moved = || {
        let mut command = program(temp.path());
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]);
        command.env("QPC_SERVER__DOMAIN", "chat.example");
        command
    };
    let server = Program::spawn(&mut moved());
    let wire = Wire::connect(server.listen, &certificate(temp.path())).await;
    let invite = server.invite.clone().unwrap();
    wire.register(&Person::new("alice"), &invite, &Device::new()).await.unwrap();
    assert_eq!(server.stop().0, Some(0));
    let (code, out, message) = run(program(temp.path()).args(["--listen", "127.0.0.1:0", "--json"]));
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(message.contains("belong to chat.example"), "{message}");
    assert_eq!(Program::spawn(&mut moved()).stop().0, Some(0));
}

#[test]
fn an_address_in_use_is_named() {
    let (temp, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Program::start(temp.path());
    let taken = first.listen.to_string();
    let (code, _, message) = run(program(other.path()).args(["--listen", &taken, "--metrics-listen", "127.0.0.1:0"]));
    assert_eq!(code, 71);
    assert!(message.contains(&format!("can't listen on UDP {taken}")), "{message}");
}

#[test]
fn health_and_metrics_are_shown() {
    let temp = tempfile::tempdir().unwrap();
    let ask = |name: &str, metrics: &str| run(program(temp.path()).env("QPC_METRICS__LISTEN", metrics).arg(name));
    let health = |metrics: &str| ask("health", metrics);
    let server = Program::start(temp.path());
    assert_eq!(health(&server.metrics.to_string()), (0, "ready\n".into(), String::new()));
    // Its name in images that were built before.
    assert_eq!(ask("healthcheck", &server.metrics.to_string()).0, 0);
    let page = http(server.metrics, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("\nqpc_connections_max 25000\n"), "{page}");
    assert!(http(server.metrics, "/healthz").ends_with("alive\n"));
    let metrics = server.metrics.to_string();
    drop(server);
    assert_eq!(health(&metrics).0, 69);
}

pub(crate) fn http(address: SocketAddr, path: &str) -> String {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn wrong_configurations_end_with_78_and_a_place() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("c.toml");
    let shown = file.display().to_string();
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        run(Command::new(env!("CARGO_BIN_EXE_qpc-server")).env_clear().args(["config", "check"]).arg(&file))
    };
    assert_eq!(check("[log]\nlevel = \"debug\"\n"), (0, format!("{shown}: good\n"), String::new()));
    let (code, _, message) = check("[log]\nlevle = \"debug\"\n");
    assert_eq!(
        (code, message),
        (78, format!("qpc-server: {shown}:2:1: unknown key `log.levle`; did you mean `log.level`?\n"))
    );
    let (code, _, message) = check("[server]\nproduction = true\n");
    assert_eq!(code, 78);
    assert_eq!(message.lines().count(), 3, "{message}");

    let data = temp.path().join("data");
    let (code, _, message) = run(program(&data).env("QPC_SERVER__PRODUCTION", "true").env("QPC_DB_KEY", "k"));
    assert_eq!(code, 78);
    assert!(message.contains("storage.key_file: server.production = true takes no key from QPC_DB_KEY"), "{message}");
    assert!(!data.exists(), "a refused server leaves nothing behind");
    let (_, shown, _) = run(program(&data).env("QPC_AUTH_TOKEN", "a secret token").args(["config", "show"]));
    assert!(shown.contains("auth_token = \"(redacted)\"") && !shown.contains("a secret token"), "{shown}");
}

#[test]
fn production_starts_with_its_own_files_and_prints_no_token() {
    let temp = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["chat.example".into()]).unwrap();
    let write = |name: &str, text: &str| {
        let path = temp.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let certificate = write("cert.pem", &made.cert.pem());
    let key = write("key.pem", &made.signing_key.serialize_pem());
    let db_key = write("db-key", &"ab".repeat(32));
    let token = write("token", "a token of more than sixteen\n");
    let mut command = program(&temp.path().join("data"));
    command
        .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"])
        .env("QPC_SERVER__PRODUCTION", "true")
        .env("QPC_SERVER__DOMAIN", "chat.example")
        .env("QPC_SERVER__CERTIFICATE_FILE", certificate)
        .env("QPC_SERVER__CERTIFICATE_KEY_FILE", key)
        .env("QPC_DB_KEY_FILE", db_key)
        .env("QPC_AUTH_TOKEN_FILE", token);
    let server = Program::spawn(&mut command);
    assert_eq!(server.invite, None);
    assert_eq!(server.fingerprint, format!("sha256:{}", hex::encode(sha2::Sha256::digest(made.cert.der()))));
    assert!(!temp.path().join("data/server-key.der").exists() && !temp.path().join("data/db.key").exists());
    assert_eq!(server.stop().0, Some(0));
}
