//! People with the built programs, `qpc-server` and `qpc-client`, as they are: over a real socket,
//! through standard streams and a terminal.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    program::{Program, program as server},
    terminal::{Terminal, lines},
};

pub(crate) const TOKEN: &str = "the standing token of a test";

/// The client's program, which lies beside the server's.
fn client() -> PathBuf {
    static BUILT: Once = Once::new();
    let path = Path::new(env!("CARGO_BIN_EXE_qpc-server")).with_file_name("qpc-client");
    BUILT.call_once(|| assert!(path.is_file(), "build it first: cargo build --workspace --bins"));
    path
}

/// A server, and a directory for everybody's home.
pub(crate) struct Town {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) server: Program,
    /// Of the server's environment.
    settings: Vec<(String, String)>,
}

impl Town {
    pub(crate) fn found() -> Self {
        Self::with(&[])
    }

    /// One whose server has these in its environment.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let server = Program::spawn(serving(dir.path(), "127.0.0.1:0").envs(settings.iter().cloned()));
        Self { dir, server, settings }
    }

    /// From its next start on the server has these in its environment, and not those from before.
    pub(crate) fn set(&mut self, settings: &[(String, String)]) {
        self.settings = settings.to_vec();
    }

    /// One around a server that runs, with this directory for people's homes.
    pub(crate) fn around(dir: tempfile::TempDir, server: Program) -> Self {
        Self { dir, server, settings: Vec::new() }
    }

    /// Kills the server as `kill -9` does, and starts it at the same address.
    pub(crate) fn restart(&mut self) {
        let listen = self.server.listen.to_string();
        self.server.end();
        self.server = Program::spawn(serving(self.dir.path(), &listen).envs(self.settings.iter().cloned()));
    }

    /// One whose server has this certificate and key, both in PEM.
    pub(crate) fn showing(shown: (String, String)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { server: Program::spawn(&mut showing(dir.path(), "127.0.0.1:0", shown)), dir, settings: Vec::new() }
    }

    /// From now on the server, at the same address, has this certificate and key.
    pub(crate) fn shows(&mut self, shown: (String, String)) {
        let listen = self.server.listen.to_string();
        self.server.end();
        self.server = Program::spawn(&mut showing(self.dir.path(), &listen, shown));
    }

    /// How many logs the server has: each device has an inbox.
    pub(crate) fn logs(&self) -> u64 {
        let output = server(&self.path("data")).args(["db", "check"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let logs = said.lines().next().and_then(|said| said.strip_suffix(" logs")?.rsplit(' ').next());
        logs.and_then(|logs| logs.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The client's program, in an environment that decides nothing.
    pub(crate) fn client(&self, home: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(client());
        command.env_clear().env("TZ", "UTC").env("NO_COLOR", "1").env("TERM", "xterm").env("QPC_CHAT_LINES", "1");
        command.env("QPC_HOME", self.path(home)).env("TMPDIR", self.dir.path()).stdin(Stdio::null()).args(arguments);
        command
    }

    /// Somebody new.
    pub(crate) fn newcomer(&self, name: &'static str) -> Somebody<'_> {
        let password = self.path(&format!("{name}.password"));
        fs::write(&password, format!("the password of {name}\n")).unwrap();
        let somebody = Somebody { town: self, name };
        let server = self.server.listen.to_string();
        let output = self
            .client(name, &["register", name, "--server", &server, "--pin", &self.server.fingerprint])
            .args(["--auth-token", TOKEN, "--password-file"])
            .arg(&password)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        somebody
    }

    /// Another device of somebody, in a home of its own, with nothing but the password.
    pub(crate) fn device(&self, of: &str, home: &'static str) -> Somebody<'_> {
        let server = self.server.listen.to_string();
        let output = self
            .client(home, &["login", of, "--server", &server, "--pin", &self.server.fingerprint, "--password-file"])
            .arg(self.path(&format!("{of}.password")))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        Somebody { town: self, name: home }
    }

    /// Two people who may write to each other.
    pub(crate) fn friends(&self) -> (Somebody<'_>, Somebody<'_>) {
        let (alice, bob) = (self.newcomer("alice"), self.newcomer("bob"));
        alice.does(&["send", "bob", "may I?"]);
        assert_eq!(bodies(&bob.hears(1)), ["may I?"]);
        bob.does(&["contacts", "accept", "alice"]);
        (alice, bob)
    }
}

fn serving(dir: &Path, listen: &str) -> Command {
    let mut command = server(&dir.join("data"));
    command.env("QPC_AUTH_TOKEN", TOKEN);
    command.args(["--listen", listen, "--metrics-listen", "127.0.0.1:0", "--json"]);
    command
}

fn showing(dir: &Path, listen: &str, (certificate, key): (String, String)) -> Command {
    let mut command = serving(dir, listen);
    for (name, variable, text) in [
        ("certificate.pem", "QPC_SERVER__CERTIFICATE_FILE", certificate),
        ("certificate-key.pem", "QPC_SERVER__CERTIFICATE_KEY_FILE", key),
    ] {
        fs::write(dir.join(name), text).unwrap();
        command.env(variable, dir.join(name));
    }
    command
}

/// Somebody with an account and a home.
pub(crate) struct Somebody<'t> {
    town: &'t Town,
    pub(crate) name: &'static str,
}

impl<'t> Somebody<'t> {
    /// Whose home is known by its name.
    pub(crate) fn of(town: &'t Town, name: &'static str) -> Self {
        Self { town, name }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.town.client(self.name, arguments)
    }

    pub(crate) fn tries(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// Runs a command that succeeds, and gives what it prints.
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.tries(arguments);
        assert_eq!(code, 0, "{} {arguments:?}: {stderr}", self.name);
        stdout
    }

    /// Sends these lines as messages.
    pub(crate) fn says(&self, to: &str, lines: impl Iterator<Item = String>) {
        let input: String = lines.map(|line| line + "\n").collect();
        let mut command = self.command(&["send", to, "-"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }

    /// Listens until so many messages of others have come, or nothing more waits.
    pub(crate) fn hears(&self, count: usize) -> Vec<Value> {
        let heard: Vec<Value> = self.does(&["listen", "--json"]).lines().map(parse).collect();
        let heard: Vec<Value> = heard.into_iter().filter(is_text).collect();
        assert_eq!(heard.len(), count, "{heard:?}");
        heard
    }

    pub(crate) fn follows(&self) -> Follower {
        let mut command = self.command(&["listen", "--follow", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Follower { lines: Box::new(lines(child.stdout.take().unwrap())), child }
    }

    /// What was said in a conversation, as far as this device knows: the sender and the words.
    pub(crate) fn knows(&self, with: &str) -> Vec<(String, String)> {
        let (code, stdout, _) = self.tries(&["history", with, "--limit", "1000", "--json"]);
        let said = stdout.lines().map(parse).filter(|line| code == 0 && line["kind"] == "text");
        let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        said.map(|line| (word(&line, "sender"), word(&line, "body"))).collect()
    }

    /// Waits until it knows this.
    #[track_caller]
    pub(crate) fn learns(&self, with: &str, what: &[(String, String)]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.knows(with) != what {
            assert!(Instant::now() < deadline, "{}: {with}: {:?} is not {what:?}", self.name, self.knows(with));
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn chats(&self, arguments: &[&str]) -> Terminal {
        Terminal::open(self.command(arguments))
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn is_text(message: &Value) -> bool {
    message["kind"] == "text" && message["own"] == false
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["body"].as_str().unwrap()).collect()
}

fn numbered(what: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("{what} {n}"))
}

/// A `listen --follow`; killed when dropped.
pub(crate) struct Follower {
    child: Child,
    lines: Box<dyn Iterator<Item = String> + Send>,
}

impl Follower {
    /// The next messages of others, so many.
    pub(crate) fn hears(&mut self, count: usize) -> Vec<Value> {
        let lines = self.lines.by_ref().map(|line| parse(&line));
        lines.filter(is_text).take(count).collect()
    }

    /// Kills it, and gives what it had printed.
    fn killed(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        self.lines.by_ref().map(|line| parse(&line)).filter(is_text).collect()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // One that was killed already is gone already.
        self.child.kill().ok();
        self.child.wait().unwrap();
    }
}

#[test]
fn three_devices_of_one_and_two_of_another_see_everything_and_a_fourth_has_it_all() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    alice.does(&["group", "create", "team", "bob"]);
    bob.does(&["listen"]);
    let (laptop, tablet) = (town.device("alice", "laptop"), town.device("alice", "tablet"));
    let desk = town.device("bob", "desk");
    let devices = [(&alice, "alice"), (&bob, "bob"), (&laptop, "alice"), (&tablet, "alice"), (&desk, "bob")];
    let listening: Vec<_> = devices.iter().map(|(device, _)| device.follows()).collect();

    let (mut between, mut in_team) = (vec![("alice@localhost".to_owned(), "may I?".to_owned())], Vec::new());
    for (device, who) in devices {
        let said = |words: String| (format!("{who}@localhost"), words);
        // Its groups and what was said before have come.
        device.learns(if who == "alice" { "bob" } else { "alice" }, &between);
        device.learns("team", &in_team);
        let words = format!("to the other, from {}", device.name);
        device.does(&["send", if who == "alice" { "bob" } else { "alice" }, &words]);
        between.push(said(words));
        let words = format!("to all, from {}", device.name);
        device.does(&["send", "team", &words]);
        in_team.push(said(words));
    }
    for (device, who) in devices {
        device.learns(if who == "alice" { "bob" } else { "alice" }, &between);
        device.learns("team", &in_team);
    }

    let phone = town.device("alice", "phone");
    let phone_listens = phone.follows();
    phone.learns("bob", &between);
    phone.learns("team", &in_team);

    let who = parse(phone.does(&["whoami", "--json"]).trim());
    alice.does(&["devices", "revoke", who["device"].as_str().unwrap()]);
    desk.does(&["send", "team", "without the phone"]);
    let before = in_team.clone();
    in_team.push(("bob@localhost".to_owned(), "without the phone".to_owned()));
    for (device, _) in devices {
        device.learns("team", &in_team);
    }
    assert_eq!(phone.knows("team"), before);
    // Three devices of alice's and two of bob's, by the commit of whoever has been connected.
    let deadline = Instant::now() + Duration::from_secs(60);
    let members = || alice.does(&["group", "members", "team"]);
    while !(members().contains('3') && members().contains('2')) {
        assert!(Instant::now() < deadline, "{}", members());
        thread::sleep(Duration::from_millis(100));
    }
    drop((listening, phone_listens));
    let (code, _, stderr) = phone.tries(&["listen"]);
    assert_eq!(code, 77, "{stderr}");
}

#[test]
fn a_stranger_asks_is_accepted_and_both_write() {
    let town = Town::found();
    let (alice, bob) = (town.newcomer("alice"), town.newcomer("bob"));
    alice.does(&["send", "bob", "may I?"]);
    let (code, _, stderr) = alice.tries(&["send", "bob", "are you there?"]);
    assert_eq!(code, 75, "{stderr}");

    assert_eq!(bodies(&bob.hears(1)), ["may I?"]);
    let contacts: Value = parse(bob.does(&["contacts", "list", "--json"]).trim());
    assert_eq!((&contacts["address"], &contacts["state"]), (&"alice@localhost".into(), &"pending".into()));
    bob.does(&["contacts", "accept", "alice"]);
    // What waited goes out with whatever alice does next.
    alice.does(&["send", "bob", "thank you"]);
    let heard = bob.hears(2);
    assert_eq!(bodies(&heard), ["are you there?", "thank you"]);
    assert_eq!(heard[0]["sender"], "alice@localhost");
    assert!(heard[0]["seq"].as_u64() < heard[1]["seq"].as_u64());

    bob.does(&["send", "alice@localhost", "welcome \u{1f642}"]);
    assert_eq!(bodies(&alice.hears(1)), ["welcome \u{1f642}"]);
    assert!(alice.does(&["history", "bob"]).contains("bob: welcome"));
    alice.hears(0);
}

#[test]
fn a_thousand_lines_wait_for_somebody_who_is_away() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    alice.says("bob", numbered("away", 1_000));
    assert_eq!(bodies(&bob.hears(1_000)), numbered("away", 1_000).collect::<Vec<_>>());
    bob.hears(0);
}

#[test]
fn a_killed_reader_gets_every_line_once_and_in_order() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let mut follower = bob.follows();
    let mut heard = thread::scope(|scope| {
        let saying = scope.spawn(|| alice.says("bob", numbered("line", 1_000)));
        let mut heard = follower.hears(400);
        heard.extend(follower.killed());
        saying.join().unwrap();
        heard
    });
    let mut follower = bob.follows();
    while heard.last().is_none_or(|last| last["body"] != "line 999") {
        heard.extend(follower.hears(1));
    }
    // The line before the kill may stand there twice, with the same id; nothing else, and nothing is missing.
    assert!(heard.len() <= 1_001);
    heard.dedup_by(|a, b| a["id"] == b["id"]);
    assert_eq!(bodies(&heard), numbered("line", 1_000).collect::<Vec<_>>());
}

#[test]
fn people_chat_in_terminals_while_programs_run_on_their_homes() {
    let town = Town::found();
    let (alice, bob) = (town.newcomer("alice"), town.newcomer("bob"));
    let mut at_alice = alice.chats(&["chat", "bob"]);
    at_alice.sees("bob> ");
    at_alice.types("hello bob\r");
    at_alice.types("are you there?\r");
    at_alice.sees("-- waiting:");

    assert_eq!(bodies(&bob.hears(1)), ["hello bob"]);
    let mut at_bob = bob.chats(&[]);
    at_bob.sees("alice  ");
    at_bob.sees("wants to talk to you");
    at_bob.types("/open alice\r");
    at_bob.sees("alice: hello bob");
    at_bob.sees("/accept, /decline or /block");
    at_bob.types("half a li");
    at_bob.sees("half a li");
    at_bob.types("\u{15}hello alice\r");
    at_alice.sees("bob: hello alice");
    at_bob.sees("alice: are you there?");

    // Another program on alice's home joins the one that chats.
    alice.says("bob", numbered("from another terminal", 50));
    at_alice.sees("you: from another terminal 49");
    at_bob.sees("alice: from another terminal 49");
    assert!(alice.does(&["status"]).contains("online"));
    for mut chat in [at_alice, at_bob] {
        chat.types("/quit\r");
        chat.ends();
    }
    bob.hears(0);
}

#[test]
fn a_group_talks() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    alice.does(&["group", "create", "friends", "bob"]);
    alice.does(&["send", "friends", "hello everybody"]);
    let heard = bob.hears(1);
    assert_eq!((&heard[0]["body"], &heard[0]["title"]), (&"hello everybody".into(), &"friends".into()));
    bob.does(&["send", "friends", "hello alice"]);
    assert_eq!(bodies(&alice.hears(1)), ["hello alice"]);
    let members = bob.does(&["group", "members", "friends"]);
    assert!(members.contains("alice  owner") && members.contains("bob    member"), "{members}");
}

#[test]
fn an_unknown_certificate_is_refused_with_the_line_that_accepts_it() {
    let town = Town::found();
    let password = town.path("password");
    fs::write(&password, "a password\n").unwrap();
    // By its name: only a loopback address is believed unseen, and only for a throw-away account.
    let server = format!("localhost:{}", town.server.listen.port());
    let mut command = town.client("carol", &["--server", &server, "--auth-token", TOKEN, "--password-file"]);
    let output = command.arg(&password).args(["register", "carol"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(77), "{stderr}");
    let line = stderr.lines().find(|line| line.contains("--pin")).expect(&stderr).trim();
    assert!(line.contains(&town.server.fingerprint));
    // The line works as it is.
    let environment = town.client("carol", &[]);
    let mut shell = Command::new("sh");
    shell.env_clear().envs(environment.get_envs().filter_map(|(k, v)| Some((k, v?)))).args(["-c", line]);
    let output = shell.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // From then on the home knows its server.
    assert!(town.client("carol", &["whoami"]).output().unwrap().status.success());
}

#[test]
fn people_of_a_server_that_is_not_federated_with_are_not_written_to_and_that_is_said() {
    let town = Town::found();
    let _alice = town.newcomer("alice");
    for words in [&["send", "dave@b.example", "hello"][..], &["group", "create", "tea", "dave@b.example"]] {
        let output = town.client("alice", words).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(77), "{stderr}");
        assert!(stderr.contains("your server exchanges nothing with b.example"), "{stderr}");
    }
}

#[test]
fn wrong_passwords_and_tokens_and_absent_servers_have_their_codes() {
    let town = Town::found();
    let alice = town.newcomer("alice");
    let password = town.path("wrong");
    fs::write(&password, "wrong\n").unwrap();
    let server = town.server.listen.to_string();
    let elsewhere = |home: &str, words: &[&str]| {
        let mut command = town.client(home, &["--pin", &town.server.fingerprint, "--password-file"]);
        let output = command.arg(&password).args(words).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(elsewhere("second", &["--server", &server, "login", "alice"]).0, 77);
    assert_eq!(elsewhere("third", &["--server", &server, "--auth-token", "no", "register", "dave"]).0, 77);
    assert_eq!(elsewhere("alice", &["--server", &server, "login", "alice"]).0, 2);
    let absent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = absent.local_addr().unwrap().to_string();
    drop(absent);
    let (code, stderr) = elsewhere("fourth", &["--server", &address, "login", "alice"]);
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains(&address), "{stderr}");
    alice.does(&["whoami"]);
}
