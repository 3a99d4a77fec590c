//! Files with the built programs: whole at everybody's, whoever is killed meanwhile, on each backend; in a bucket where
//! `QPC_TEST_S3` names one.
//!
//! `QPC_FILE_MB`, `QPC_FILE_KILLS` and `QPC_FILE_MEMBERS` make it larger: 100, 5 and 10 are what `make torture` tries.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    blobs::bytes,
    named::NamedBucket,
    people::{Somebody, Town},
    program::{http, program},
};

/// Who may be in the group besides alice and bob.
const MEMBERS: [&str; 8] = ["carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"];
const PATIENCE: Duration = Duration::from_secs(120);

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// Bytes of blobs that the server has taken or given since it started.
fn carried(town: &Town, direction: &str) -> u64 {
    let page = http(town.server.metrics, "/metrics");
    let name = format!("qpc_blob_bytes_total{{direction=\"{direction}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{page}"));
    value.trim().parse().unwrap()
}

/// The files in a conversation, the oldest first: id and state.
pub(crate) fn files(of: &Somebody<'_>, with: &str) -> Vec<(String, String)> {
    let listed = of.does(&["file", "list", with, "--json"]);
    let word = |file: &Value, key: &str| file[key].as_str().unwrap().to_owned();
    let files = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    files.map(|file| (word(&file, "id"), word(&file, "state"))).collect()
}

/// Bytes that have gone so far, whichever server carried them.
struct Meter<'t> {
    town: &'t mut Town,
    direction: &'static str,
    /// Of servers that are gone.
    before: u64,
}

impl Meter<'_> {
    fn total(&self) -> u64 {
        self.before + carried(self.town, self.direction)
    }

    /// Waits until so many bytes have gone in all; says whether they have, or the client has ended before.
    fn reaches(&self, bytes: u64, client: &mut Child) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.total() < bytes {
            assert!(Instant::now() < deadline, "{} of {bytes} bytes have gone", self.total());
            if client.try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    fn restart_server(&mut self) {
        self.before = self.total();
        self.town.restart();
    }
}

/// What somebody does: a command, the one with which it goes on after a kill, and how to see that it is done. Without
/// that it is done when the program has ended by itself: a file is in its place before what came of it is removed.
struct Deed<'d> {
    who: &'static str,
    first: &'d [&'d str],
    again: &'d [&'d str],
    done: Option<&'d dyn Fn(&Town) -> bool>,
}

/// Has it done, with its client and its server killed in turn, so often each, at even distances. Gives how many bytes have
/// gone.
fn through_kills(town: &mut Town, deed: &Deed<'_>, (direction, size, kills): (&'static str, u64, u64)) -> u64 {
    let mut meter = Meter { town, direction, before: 0 };
    let already = carried(meter.town, direction);
    let spawn = |town: &Town, arguments: &[&str]| {
        town.client(deed.who, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut client = spawn(meter.town, deed.first);
    for kill in 0..2 * kills {
        let goal = already + size * (kill + 1) / (2 * kills + 1);
        if !meter.reaches(goal, &mut client) {
            break;
        }
        if kill % 2 == 0 {
            client.kill().unwrap();
            client.wait().unwrap();
            client = spawn(meter.town, deed.again);
        } else {
            meter.restart_server();
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ended = client.try_wait().unwrap();
        let done = deed.done.map_or(ended.is_some(), |done| done(meter.town));
        if done {
            break;
        }
        assert!(Instant::now() < deadline, "{:?} does not end", deed.first);
        thread::sleep(Duration::from_millis(50));
    }
    client.kill().unwrap();
    client.wait().unwrap();
    meter.total() - already
}

#[allow(clippy::print_stdout, reason = "figures, for who asks to see them")]
fn goes_on_through_kills(settings: &[(&str, &str)]) {
    let (megabytes, kills) = (from_environment("QPC_FILE_MB", 8), from_environment("QPC_FILE_KILLS", 1));
    let members = usize::try_from(from_environment("QPC_FILE_MEMBERS", 3)).unwrap();
    assert!((2..=MEMBERS.len() + 2).contains(&members), "QPC_FILE_MEMBERS: alice, bob and the names above");
    let size = megabytes * 1_000_000;
    let mut town = Town::with(settings);
    let others: Vec<&'static str> = MEMBERS.into_iter().take(members - 2).collect();
    {
        let (alice, bob) = town.friends();
        alice.does(&["group", "create", "team", "bob"]);
        bob.does(&["listen"]);
        for name in &others {
            let member = town.newcomer(name);
            alice.does(&["send", name, "may I?"]);
            member.does(&["listen"]);
            member.does(&["contacts", "accept", "alice"]);
            alice.does(&["group", "add", "team", name]);
            member.does(&["listen"]);
        }
        let listed = alice.does(&["group", "members", "team", "--json"]);
        assert_eq!(listed.lines().count(), members, "{listed}");
    }
    // What was on its way when somebody was killed goes again: of a large file, and of a small one.
    let most = size + (size / 10).max(2 * kills * 1_048_576);
    let content = bytes(7, usize::try_from(size).unwrap());
    let source = town.path("a film.bin");
    fs::write(&source, &content).unwrap();
    let source = source.to_str().unwrap().to_owned();

    for (number, to) in ["bob", "team"].into_iter().enumerate() {
        // Whatever runs in the home goes on with what was begun there.
        let sent_all = |town: &Town| files(&Somebody::of(town, "alice"), to).iter().all(|(_, state)| state == "there");
        let send = Deed {
            who: "alice",
            first: &["file", "send", to, &source, "--caption", "from the holidays"],
            again: &["listen", "--follow"],
            done: Some(&sent_all),
        };
        let sent = through_kills(&mut town, &send, ("in", size, kills));
        assert!(sent <= most, "{sent} bytes went for {size}");
        let (alice, bob) = (Somebody::of(&town, "alice"), Somebody::of(&town, "bob"));
        bob.does(&["listen"]);
        assert_eq!(files(&alice, to).len(), 1, "it was sent once");
        let id = files(&bob, if to == "bob" { "alice" } else { to }).pop().unwrap().0;
        let target = town.path(&format!("film-{number}.bin"));
        let at = target.to_str().unwrap().to_owned();
        let get: &[&str] = &["file", "get", &id, "-o", &at];
        let fetch = Deed { who: "bob", first: get, again: get, done: None };
        let read = through_kills(&mut town, &fetch, ("out", size, kills));
        assert!(read <= most, "{read} bytes went for {size}");
        println!("{to}: of {size} bytes {sent} were sent and {read} read, with {kills} kills of each side each way");
        assert!(fs::read(&target).unwrap() == content, "other bytes came than were sent");
        for name in others.iter().filter(|_| to == "team") {
            let (member, target) = (Somebody::of(&town, name), town.path(&format!("of-{name}.bin")));
            member.does(&["listen"]);
            let id = files(&member, "team").pop().unwrap().0;
            member.does(&["file", "get", &id, "-o", target.to_str().unwrap()]);
            assert!(fs::read(&target).unwrap() == content, "other bytes came to {name} than were sent");
            fs::remove_file(&target).unwrap();
        }
    }
    // Nothing is left of what was on its way.
    for who in ["alice", "bob"] {
        let left = walk(&town.path(who)).filter(|(_, length)| *length > size / 2).count();
        assert_eq!(left, 0, "{who}'s home has a copy");
    }
}

/// Files below a directory, with their lengths.
pub(crate) fn walk(directory: &std::path::Path) -> Box<dyn Iterator<Item = (std::path::PathBuf, u64)>> {
    Box::new(fs::read_dir(directory).unwrap().flat_map(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path())
        } else {
            Box::new(std::iter::once((entry.path(), entry.metadata().unwrap().len())))
        }
    }))
}

#[test]
fn a_file_is_whole_whoever_is_killed_with_the_database() {
    goes_on_through_kills(&[]);
}

#[test]
fn a_file_is_whole_whoever_is_killed_with_a_directory() {
    goes_on_through_kills(&[("QPC_BLOBS__BACKEND", "directory")]);
}

#[test]
fn a_file_is_whole_whoever_is_killed_with_a_bucket() {
    let Some(named) = NamedBucket::from_environment() else { return };
    let dir = tempfile::tempdir().unwrap();
    let secret_key = dir.path().join("secret-key");
    fs::write(&secret_key, &named.secret_key).unwrap();
    fs::set_permissions(&secret_key, fs::Permissions::from_mode(0o600)).unwrap();
    goes_on_through_kills(&[
        ("QPC_BLOBS__BACKEND", "s3"),
        ("QPC_BLOBS__S3_ENDPOINT", &named.endpoint),
        ("QPC_BLOBS__S3_BUCKET", &named.bucket),
        ("QPC_BLOBS__S3_REGION", &named.region),
        ("QPC_BLOBS__S3_ACCESS_KEY", &named.access_key),
        ("QPC_BLOBS__S3_SECRET_KEY_FILE", secret_key.to_str().unwrap()),
        ("QPC_BLOBS__S3_ALLOW_HTTP", if named.allow_http() { "true" } else { "false" }),
    ]);
}

#[test]
fn a_check_of_the_databases_looks_at_blobs() {
    let directory = ("QPC_BLOBS__BACKEND", "directory");
    let town = Town::with(&[directory]);
    let (alice, _) = town.friends();
    fs::write(town.path("plan.txt"), "the plan").unwrap();
    alice.does(&["file", "send", "bob", town.path("plan.txt").to_str().unwrap()]);
    let check = |arguments: &[&str]| {
        let mut command = program(&town.path("data"));
        let output = command.envs([directory]).args(["db", "check"]).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    for arguments in [&[][..], &["--read-objects"]] {
        let (code, stdout, stderr) = check(arguments);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout.ends_with("sound: 1 blobs of 272 bytes, 0 unfinished uploads\n"), "{stdout}");
    }
    let (object, _) = walk(&town.path("data").join("blobs")).next().unwrap();
    let mut content = fs::read(&object).unwrap();
    content[0] ^= 1;
    fs::write(&object, content).unwrap();
    assert_eq!(check(&[]).0, 0);
    let (code, _, stderr) = check(&["--read-objects"]);
    assert!(code == 65 && stderr.contains("its bytes are not those of its digest"), "{code} {stderr}");
    fs::remove_file(&object).unwrap();
    let (code, _, stderr) = check(&[]);
    assert!(
        code == 65 && stderr.contains("is missing") && stderr.contains("Restore it from a backup"),
        "{code} {stderr}"
    );
}

#[test]
fn who_has_left_reads_no_file_any_more() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    alice.does(&["group", "create", "team", "bob"]);
    bob.does(&["listen"]);
    fs::write(town.path("plan.txt"), "the plan").unwrap();
    alice.does(&["file", "send", "team", town.path("plan.txt").to_str().unwrap()]);
    bob.does(&["listen"]);
    let id = files(&bob, "team").pop().unwrap().0;
    alice.does(&["group", "remove", "team", "bob"]);
    bob.does(&["listen"]);
    let target = town.path("got.txt");
    let (code, _, stderr) = bob.tries(&["file", "get", &id, "-o", target.to_str().unwrap()]);
    assert!(code != 0 && !target.exists(), "{code} {stderr}");
    assert!(stderr.contains("not in its conversation any more"), "{stderr}");
}

#[test]
fn people_who_chat_send_files_and_fetch_them() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let source = town.path("a plan.txt");
    fs::write(&source, "the plan").unwrap();
    let (mut at_alice, mut at_bob) = (alice.chats(&["chat", "bob"]), bob.chats(&["chat", "alice"]));
    at_alice.sees("bob> ");
    at_bob.sees("alice> ");
    at_alice.types("/file nowhere.txt\r");
    at_alice.sees("is not sent");
    at_alice.types("/file\r");
    at_alice.sees("/file which file?");
    at_alice.types(&format!("/file \"{}\" for friday\r", source.display()));
    at_alice.sees("a plan.txt is there");
    at_bob.sees("for friday");
    let id = files(&bob, "alice").pop().unwrap().0;
    at_bob.types("/get ffff\r");
    at_bob.sees("there is no file ffff");
    // Into a directory, under the name that its sender gave it.
    fs::create_dir(town.path("got")).unwrap();
    at_bob.types(&format!("/get {id} \"{}\"\r", town.path("got").display()));
    at_bob.sees("saved:");
    assert_eq!(fs::read_to_string(town.path("got").join("a plan.txt")).unwrap(), "the plan");
    // What is meant by a path with a space can only be guessed.
    at_bob.types(&format!("/get {id} {}\r", town.path("got").join("a plan.txt").display()));
    at_bob.sees("/get to where?");
    for mut chat in [at_alice, at_bob] {
        chat.types("/quit\r");
        chat.ends();
    }
}
