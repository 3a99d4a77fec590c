//! Backups as an operator has them, with the built programs: made beside a running server, looked through, refused where they
//! are not what was written, and brought back.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use qpc_server::{
    backup::{self, Backups, Kind, Of, Wish},
    blob_store::objects::ObjectPlace,
    clock::{Clock, SystemClock},
    rng::SystemRng,
    store::sqlite::{DbKey, change_key},
};
use serde_json::Value;

use crate::{
    people::{Somebody, Town},
    program::{http, program, run},
};

/// An operator with a place for backups.
struct Operator<'t> {
    town: &'t Town,
}

impl Operator<'_> {
    fn place(&self) -> PathBuf {
        self.town.path("backups")
    }

    fn tries(&self, data: &str, arguments: &[&str]) -> (i32, String, String) {
        let place = self.place();
        let mut command = program(&self.town.path(data));
        run(command.arg("backup").args(arguments).arg("--to").arg(place))
    }

    /// Of a command that succeeds with a line of JSON.
    fn does(&self, data: &str, arguments: &[&str]) -> Value {
        let (code, out, err) = self.tries(data, &[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{arguments:?}: {err}");
        serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{out}: {error}"))
    }

    fn makes(&self, kind: &str) -> Value {
        self.does("data", &["create", kind])
    }

    /// The names of all that there are.
    fn lists(&self) -> Vec<String> {
        let (code, out, err) = self.tries("data", &["list", "--json"]);
        assert_eq!(code, 0, "{err}");
        let name = |line: &str| text(&serde_json::from_str(line).unwrap(), "name");
        out.lines().map(name).collect()
    }

    /// The objects of a backup, by what they are called there.
    fn objects(&self, backup: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.place().join(backup)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

fn text(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_else(|| panic!("{key} of {of}")).to_owned()
}

fn number(of: &Value, key: &str) -> u64 {
    of[key].as_u64().unwrap_or_else(|| panic!("{key} of {of}"))
}

/// Changes one byte in the middle, and gives what undoes it.
fn flip(path: &Path) -> impl FnOnce() {
    let before = fs::read(path).unwrap();
    let mut after = before.clone();
    let middle = after.len() / 2;
    after[middle] ^= 1;
    fs::write(path, after).unwrap();
    let path = path.to_owned();
    move || fs::write(path, before).unwrap()
}

#[test]
fn what_was_backed_up_beside_a_running_server_comes_back() {
    let mut town = Town::found();
    let operator = Operator { town: &town };
    let (alice, _) = town.friends();
    alice.says("bob", (0..50).map(|number| format!("before {number}")));
    let full = operator.makes("--full");
    alice.says("bob", (0..5).map(|number| format!("between {number}")));
    let incremental = operator.makes("--incremental");
    assert_eq!(text(&incremental, "base"), text(&full, "name"));
    assert!(number(&incremental, "own_bytes") < number(&full, "own_bytes"), "{full} {incremental}");
    assert_eq!(operator.lists(), [text(&full, "name"), text(&incremental, "name")]);
    // May I, an acceptance, and 55 messages; and it is the newest that is meant.
    let verified = operator.does("data", &["verify"]);
    let of_full = operator.does("data", &["verify", &text(&full, "name")]);
    assert_eq!(text(&verified, "name"), text(&incremental, "name"));
    assert_eq!(number(&verified, "entries"), number(&of_full, "entries") + 5);
    assert_eq!(number(&verified, "logs"), town.logs());
    assert!(!town.path("data.verify.restoring").exists(), "the scratch directory is gone");

    // Nobody who has the key file alone, or the place alone, has a server.
    let key = town.path("data").join("db.key").display().to_string();
    let secret = fs::read(town.path("data").join("opaque-setup")).unwrap();
    let found = |path: &Path| fs::read(path).unwrap().windows(32).any(|bytes| bytes == &secret[..32]);
    assert!(!operator.objects(&text(&full, "name")).iter().any(|path| found(path)), "a secret is readable");
    let (code, _, err) = operator.tries("copy", &["restore", "latest"]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("--key-file"), "{err}");
    let (code, _, err) = operator.tries("data", &["restore", "latest", "--key-file", &key]);
    assert_eq!(code, 73, "{err}");
    assert!(err.contains("nothing is overwritten"), "{err}");

    let restored = operator.does("copy", &["restore", "latest", "--key-file", &key]);
    assert_eq!(number(&restored, "entries"), number(&verified, "entries"));
    assert!(number(&restored, "key_packages") > 0, "{restored}");
    // What a configuration names elsewhere is not in it, and that is said.
    let (configuration, token) = (town.path("data").join("qpc-server.toml"), town.path("elsewhere"));
    let before = fs::read_to_string(&configuration).unwrap();
    fs::write(&token, "a token that is long enough").unwrap();
    fs::write(&configuration, format!("[server]\nauth_token_file = {:?}\n", token.display().to_string())).unwrap();
    let named = operator.makes("--full");
    fs::write(&configuration, before).unwrap();
    fs::remove_file(token).unwrap();
    let (code, out, err) = operator.tries("other", &["restore", &text(&named, "name"), "--key-file", &key]);
    let told = out.contains("does not fit here yet:\n") && out.contains("server.auth_token_file: ");
    assert_eq!((code, told), (0, true), "{out} {err}");
    // Bob hears it all from the server that was brought back, and answers.
    town.server.end();
    fs::rename(town.path("data"), town.path("lost")).unwrap();
    fs::rename(town.path("copy"), town.path("data")).unwrap();
    town.restart();
    let (alice, bob) = (Somebody::of(&town, "alice"), Somebody::of(&town, "bob"));
    assert_eq!(bob.hears(55).last().unwrap()["body"], "between 4");
    // What he writes waits until her device has said that it has no more of the conversation either.
    assert_eq!(alice.hears(0).len(), 0);
    bob.does(&["send", "alice", "still here"]);
    assert_eq!(alice.hears(1)[0]["body"], "still here");
}

#[test]
fn a_changed_byte_a_missing_part_and_another_key_are_refused() {
    let town = Town::found();
    let operator = Operator { town: &town };
    let (alice, _bob) = town.friends();
    let full = text(&operator.makes("--full"), "name");
    alice.says("bob", (0..20).map(|number| format!("message {number}")));
    let incremental = text(&operator.makes("--incremental"), "name");
    let verify = |name: &str| operator.tries("data", &["verify", name]);
    assert_eq!((verify(&full).0, verify(&incremental).0), (0, 0));
    for backup in [&full, &incremental] {
        let objects = operator.objects(backup);
        // Two databases with a list and some bytes each, the secrets, the manifest.
        assert!(objects.len() >= 5, "{objects:?}");
        for object in objects {
            let shown = object.display();
            let restore = flip(&object);
            let (code, _, err) = verify(backup);
            assert_eq!(code, 65, "{shown}: {err}");
            assert!(err.contains(backup.as_str()), "{shown}: {err}");
            restore();
            let away = town.path("away");
            fs::rename(&object, &away).unwrap();
            let (code, _, err) = verify(backup);
            // Without its manifest it is no backup at all.
            let expected = if object.ends_with("manifest") { 73 } else { 65 };
            assert_eq!(code, expected, "{shown}: {err}");
            fs::rename(&away, &object).unwrap();
        }
        assert_eq!(verify(backup).0, 0);
    }
    // What the incremental one stands on is part of it.
    let base = operator.objects(&full).into_iter().find(|path| path.ends_with("qpc.db/000000")).unwrap();
    let restore = flip(&base);
    let (code, _, err) = verify(&incremental);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains(&full) && err.contains("is damaged"), "{err}");
    restore();

    let other = town.path("other.key");
    fs::write(&other, "ab".repeat(32)).unwrap();
    let (code, _, err) = operator.tries("copy", &["restore", &full, "--key-file", &other.display().to_string()]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("does not fit the database's key"), "{err}");
    assert!(!town.path("copy").exists() && !town.path("copy.restoring").exists(), "nothing is left of it");
    for (arguments, code, word) in [
        (["verify", "20200101T000000Z-full"], 73, "no such folder"),
        (["verify", "yesterday"], 2, "backup list"),
        (["verify", "../../etc"], 2, "no backup's name"),
    ] {
        let (found, _, err) = operator.tries("data", &arguments);
        assert_eq!((found, err.contains(word)), (code, true), "{arguments:?}: {err}");
    }
}

#[test]
fn unfinished_ones_are_no_backups_and_the_first_is_full() {
    let town = Town::found();
    let operator = Operator { town: &town };
    let (code, _, err) = operator.tries("data", &["create", "--incremental"]);
    assert_eq!((code, err.contains("--full")), (2, true), "{err}");
    let (code, _, err) = operator.tries("data", &["verify"]);
    assert_eq!((code, err.contains("there is no backup in")), (73, true), "{err}");
    let first = operator.does("data", &["create"]);
    assert_eq!(text(&first, "kind"), "full");
    // Somebody has interrupted this one, long ago.
    let half = operator.place().join("20200101T000000Z-full/qpc.db");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("000000"), "half of it").unwrap();
    assert_eq!(operator.lists(), [text(&first, "name")]);
    let second = operator.does("data", &["create"]);
    assert_eq!((text(&second, "kind"), &second["removed"][0]), ("incremental".into(), &"20200101T000000Z-full".into()));
    assert!(!half.exists());
    // Nobody has said where to.
    let (code, _, err) = run(program(&town.path("data")).args(["backup", "create"]));
    assert_eq!((code, err.contains("backup.directory")), (78, true), "{err}");
    let missing =
        program(&town.path("nothing")).args(["backup", "create", "--to"]).arg(operator.place()).output().unwrap();
    assert_ne!(missing.status.code(), Some(0));
    // A file that somebody has put there is in nobody's way.
    let mut stray = fs::File::create(operator.place().join("readme")).unwrap();
    stray.write_all(b"do not delete").unwrap();
    assert_eq!(operator.lists().len(), 2);
    // Of a stopped server, too.
    let mut town = town;
    town.server.end();
    let (code, out, err) =
        run(program(&town.path("data")).args(["backup", "create", "--to"]).arg(town.path("backups")));
    assert_eq!((code, out.contains("-incremental in ")), (0, true), "{out} {err}");
}

#[test]
fn a_server_makes_its_own_and_says_when() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place").display().to_string();
    let town = Town::with(&[("QPC_BACKUP__DIRECTORY", place.as_str())]);
    let newest = || {
        let page = http(town.server.metrics, "/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix("qpc_backup_newest_timestamp_seconds "));
        value.unwrap_or_else(|| panic!("{page}")).parse::<u64>().unwrap()
    };
    let deadline = Instant::now() + Duration::from_secs(120);
    while newest() == 0 {
        assert!(Instant::now() < deadline, "no backup was made");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (code, out, err) = run(program(&town.path("data")).args(["backup", "verify", "--from", &place]));
    assert_eq!((code, out.contains("-full is sound: ")), (0, true), "{out} {err}");
}

#[test]
fn a_changed_key_opens_everything_and_the_old_one_nothing() {
    let mut town = Town::found();
    let (alice, _) = town.friends();
    alice.says("bob", (0..20).map(|number| format!("message {number}")));
    let data = town.path("data");
    let change = |arguments: &[&str]| run(program(&data).args(["db", "change-key"]).args(arguments));
    let (code, _, err) = change(&[]);
    assert_eq!((code, err.contains("is in use")), (75, true), "{err}");
    let place = town.path("backups").display().to_string();
    let before = run(program(&data).args(["backup", "create", "--to", &place]));
    assert_eq!(before.0, 0, "{}", before.2);
    town.server.end();
    let old = fs::read_to_string(data.join("db.key")).unwrap();
    // Begun, and interrupted: one of the two has the new key.
    let key = |text: &str| DbKey::parse(text).unwrap();
    let next = "cd".repeat(32);
    fs::write(data.join("db.key.next"), &next).unwrap();
    change_key(&data.join("qpc.db"), &key(&old), &key(&next)).unwrap();
    let (code, _, err) = run(program(&data).args(["--listen", "127.0.0.1:0"]));
    assert_eq!((code, err.contains("a change of the database's key was interrupted")), (78, true), "{err}");
    assert_eq!(change(&[]).0, 0);
    assert_eq!(fs::read_to_string(data.join("db.key")).unwrap().trim_end(), next);
    assert!(!data.join("db.key.next").exists());
    // To one of the operator's own, and to a random one.
    fs::write(town.path("own.key"), "a passphrase of the operator's\n").unwrap();
    let own = town.path("own.key").display().to_string();
    assert_eq!(change(&["--new-key-file", &own]).0, 0);
    assert_eq!(fs::read_to_string(data.join("db.key")).unwrap(), "a passphrase of the operator's\n");
    assert_eq!(change(&[]).0, 0);
    let random = fs::read_to_string(data.join("db.key")).unwrap();
    assert!(random.trim_end().len() == 64 && random.trim_end() != next && random != old);
    let (code, out, err) = run(program(&data).args(["db", "check"]));
    assert_eq!((code, out.contains("sound: ")), (0, true), "{err}");
    // What was backed up before has the old key, and a new beginning is made.
    let (code, _, err) = run(program(&data).args(["backup", "verify", "--from", &place]));
    assert_eq!((code, err.contains("before the key was changed")), (65, true), "{err}");
    fs::write(town.path("old.key"), old).unwrap();
    let old = town.path("old.key").display().to_string();
    assert_eq!(run(program(&data).args(["backup", "verify", "--from", &place, "--key-file", &old])).0, 0);
    let (code, out, err) = run(program(&data).args(["backup", "create", "--to", &place]));
    assert_eq!((code, out.contains("-full in ")), (0, true), "{out} {err}");
    town.restart();
    let bob = Somebody::of(&town, "bob");
    assert_eq!(bob.hears(20).last().unwrap()["body"], "message 19");
    let in_environment = run(program(&data).args(["db", "change-key"]).env("QPC_DB_KEY", "a key"));
    assert_eq!((in_environment.0, in_environment.2.contains("is in use")), (75, true), "{}", in_environment.2);
    town.server.end();
    let in_environment = run(program(&data).args(["db", "change-key"]).env("QPC_DB_KEY", "a key"));
    assert_eq!((in_environment.0, in_environment.2.contains("QPC_DB_KEY_FILE")), (78, true), "{}", in_environment.2);
}

/// A clock that was wrong once.
struct At(u64);

impl Clock for At {
    fn unix_ms(&self) -> u64 {
        self.0
    }
}

#[tokio::test]
async fn a_backup_of_a_time_that_has_not_come_is_no_reason_to_make_none() {
    const YEAR_2040: u64 = 2_208_988_800_000;
    let town = Town::found();
    let operator = Operator { town: &town };
    let data = town.path("data");
    let key = DbKey::parse(&fs::read_to_string(data.join("db.key")).unwrap()).unwrap();
    let place = Backups::open(&ObjectPlace::Directory(operator.place())).unwrap();
    let of = Of { root: &data, key: &key, domain: "localhost", objects: None };
    let wish = Wish::Kind(Kind::Full);
    let early = backup::create(of, &place, wish, (&At(YEAR_2040), &SystemRng), &mut |_, _| {}).await.unwrap();
    assert_eq!(early.name.to_string(), "20400101T000000Z-full");
    // Neither does a new one stand on it, nor does it hide that one is due.
    let now = operator.does("data", &["create"]);
    assert_eq!(text(&now, "kind"), "full");
    let next = operator.does("data", &["create"]);
    assert_eq!(text(&next, "base"), text(&now, "name"));
    let begun = place.begun_by(SystemClock.unix_ms()).await.unwrap();
    assert_eq!(begun.iter().map(ToString::to_string).collect::<Vec<_>>(), [text(&now, "name"), text(&next, "name")]);
}
