//! A new server made by `init`, with the built programs: what it makes, what it refuses, and that people chat on it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    people::{Somebody, Town},
    program::{Program, run},
};

/// The program in an environment that decides nothing.
pub(crate) fn server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qpc-server"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn init(dir: &Path, more: &[&str]) -> (i32, String, String) {
    run(server().args(["init", "--profile", "1k", "--domain", "chat.example.org", "--dir"]).arg(dir).args(more))
}

/// Everything below a directory, files and directories, with their modes.
fn below(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        found.push((entry.path(), entry.metadata().unwrap().permissions().mode() & 0o777));
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_server_made_by_init_is_one_to_chat_on() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap().join("new/qpc");
    let (code, line, stderr) = init(&root, &["--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let made: Value = serde_json::from_str(&line).unwrap();

    // What it says it has made is what is there, for its owner alone.
    let found = below(&root);
    let said: Vec<PathBuf> =
        made["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().into()).collect();
    for (path, mode) in &found {
        let directory = path.is_dir();
        assert_eq!(*mode, if directory { 0o700 } else { 0o600 }, "{}", path.display());
        assert!(directory || said.contains(path) || path.ends_with("data/lock"), "{} is not named", path.display());
    }
    assert!(said.iter().all(|path| path.is_file()), "{said:?}");
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);

    // The configuration is good, says for how many it is, and differs from the defaults.
    let data = root.join("data");
    let file = data.join("qpc-server.toml");
    assert_eq!(run(server().args(["config", "check"]).arg(&file)).0, 0);
    let diff = run(server().arg("--data-dir").arg(&data).args(["config", "diff"])).1;
    assert!(diff.contains("server.users_planned: 0 -> 1000\n"), "{diff}");

    // The first command that it names starts it; only the ports are others here.
    let next: Vec<&str> = made["next"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let mut start = shell(next[0], &["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]);
    let server_running = Program::spawn(&mut start);
    assert_eq!((Some(&*server_running.fingerprint), &server_running.invite), (made["fingerprint"].as_str(), &None));

    // The second one registers the first account with the invite, once.
    let town = Town::around(temp, server_running);
    let address = town.server.listen.to_string();
    let register = |line: &str, home: &str, name: &str| {
        fs::write(town.path("password"), "the password of somebody\n").unwrap();
        let line = line.replace("~/.qpc-admin", town.path(home).to_str().unwrap());
        let line = line.replace("127.0.0.1:7000", &address).replace("register admin", &format!("register {name}"));
        let mut command = shell(&line, &["--password-file", town.path("password").to_str().unwrap()]);
        run(command.env("TMPDIR", town.dir.path())).0
    };
    assert_eq!(register(next[1], "admin", "admin"), 0);
    assert_ne!(register(next[1], "second", "second"), 0, "the invite is for one");

    // The third invites others.
    let (code, invite, stderr) = run(&mut shell(next[2], &[]));
    assert_eq!(code, 0, "{stderr}");
    let by_invite = next[1].replace(made["invite"].as_str().unwrap(), invite.trim());
    assert_eq!(register(&by_invite, "bob", "bob"), 0);
    // So does the token of the secrets.
    let token = fs::read_to_string(root.join("secrets/qpc_auth_token")).unwrap();
    let by_token = next[1].replace(made["invite"].as_str().unwrap(), &token);
    assert_eq!(register(&by_token, "carol", "carol"), 0);

    let (admin, bob) = (Somebody::of(&town, "admin"), Somebody::of(&town, "bob"));
    admin.does(&["send", "bob", "welcome"]);
    assert_eq!(bob.hears(1)[0]["body"], "welcome");
    bob.does(&["send", "admin", "thank you"]);
    let heard = admin.hears(1);
    assert_eq!((&heard[0]["body"], &heard[0]["sender"]), (&"thank you".into(), &"bob@chat.example.org".into()));

    // A second time nothing is made or changed.
    let before = fs::read(&file).unwrap();
    let (code, out, message) = init(&root, &[]);
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(message.contains("/data is there already (admin.sock, audit.log, domain, hub-key, lock and "), "{message}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

/// A line that was printed to be typed, with more behind it.
fn shell(line: &str, more: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("exec {line} \"$@\""), "sh"]).args(more);
    command.env_clear().env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

#[test]
fn the_invite_and_the_next_commands_are_printed_for_people() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap().join("with a space");
    let (code, text, _) = init(&root, &[]);
    assert_eq!(code, 0);
    let lines: Vec<&str> = text.lines().collect();
    let [.., start, register, invite] = lines.as_slice() else { panic!("{text}") };
    assert!(start.ends_with(&format!("qpc-server --data-dir '{}/data'", root.display())), "{start}");
    assert!(register.contains(" --pin sha256:") && register.ends_with(" register admin"), "{register}");
    assert!(invite.ends_with("invite create --uses 10 --expires 7d"), "{invite}");
    let token = register.split(' ').skip_while(|word| *word != "--auth-token").nth(1).unwrap();
    for (path, _) in below(&root).into_iter().filter(|(path, _)| path.is_file()) {
        let bytes = fs::read(&path).unwrap();
        let kept = bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!kept, "the invite is kept in {}", path.display());
    }
    // Secrets are in the files alone.
    for name in ["qpc_auth_token", "qpc_db_key"] {
        let secret = fs::read_to_string(root.join("secrets").join(name)).unwrap();
        assert_eq!(secret.len(), 64, "{name}");
        assert!(!text.contains(&secret), "{name} is printed");
    }
}

#[test]
fn a_dry_run_says_what_it_would_write_and_writes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap().join("qpc");
    let (code, text, _) = init(&root, &["--dry-run"]);
    assert_eq!(code, 0);
    assert!(!root.exists());
    let (_, line, _) = init(&root, &["--dry-run", "--json"]);
    assert!(!root.exists());
    let said: Value = serde_json::from_str(&line).unwrap();
    let (_, line, _) = init(&root, &["--json"]);
    let made: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(said["files"], made["files"]);
    let written = fs::read_to_string(root.join("data/qpc-server.toml")).unwrap();
    assert_eq!(said["configuration"].as_str().unwrap(), written);
    assert!(text.ends_with(&written), "{text}");
    for file in said["files"].as_array().unwrap() {
        assert!(text.contains(&format!("  {}\n", file.as_str().unwrap())), "{file}: {text}");
    }
}

#[test]
fn what_can_not_be_made_is_refused_with_a_reason_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    let typed = |arguments: &[&str]| run(server().current_dir(&root).arg("init").args(arguments));
    for (arguments, code, said) in [
        (
            ["--profile", "2k", "--domain", "a.example", "--dir", "."],
            2,
            "--profile: no profile `2k`: there are 100, 1k, 5k, 10k, 20k; did you mean `5k`?",
        ),
        (["--profile", "1k", "--domain", "a b", "--dir", "."], 2, "--domain a b: a domain is a host name"),
        (["--profile", "1k", "--domain", "localhost", "--dir", "."], 2, "needs a domain of its own"),
        (["--profile", "1k", "--domain", "", "--dir", "."], 2, "such as chat.example.org"),
        (["--profile", "1k", "--domain", "a.example", "--dir", "/proc/qpc"], 74, "/proc/qpc: "),
    ] {
        let (found, out, message) = typed(&arguments);
        assert_eq!((found, out.as_str()), (code, ""), "{message}");
        assert!(message.contains(said), "{message}");
        assert!(below(&root).is_empty(), "{:?}", below(&root));
    }

    let (code, _, message) = typed(&["--profile", "1k", "--domain", "a.example", "--data-dir", "x"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("--data-dir names what is there") && below(&root).is_empty(), "{message}");

    // What is there stays as it is, and is named.
    for (there, said) in
        [("secrets/other", "/secrets is there already (other)"), ("data/qpc.db", "/data is there already")]
    {
        let path = root.join(there);
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let (code, _, message) = init(&root, &[]);
        assert_eq!(code, 78);
        assert!(message.contains(said) && message.contains("nothing is overwritten"), "{message}");
        assert_eq!((below(&root).len(), fs::read_to_string(&path).unwrap().as_str()), (2, "mine"));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
    fs::write(root.join("file"), "").unwrap();
    let (code, _, message) = init(&root.join("file"), &[]);
    assert_eq!(code, 74, "{message}");
    assert!(message.contains("/file"), "{message}");
    // Another's file is in nobody's way, and neither is an empty directory.
    fs::create_dir(root.join("secrets")).unwrap();
    assert_eq!(init(&root, &[]).0, 0);
    assert!(root.join("secrets/qpc_db_key").is_file());
}

/// The keys of a profile, each with the comment above it.
#[test]
fn every_profile_is_good_and_every_value_of_it_has_its_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/profiles");
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        found += 1;
        assert_eq!(run(server().args(["config", "check"]).arg(&file)).0, 0, "{}", file.display());
        let (code, diff, _) = run(server().arg("--config").arg(&file).args(["config", "diff", "--json"]));
        assert_eq!(code, 0);
        let keys: Vec<Value> = diff.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(keys.iter().any(|key| key["key"] == "server.users_planned"), "{diff}");
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let values = lines.iter().filter(|line| line.contains(" = ") && !line.starts_with('#'));
        assert_eq!(values.count(), keys.len(), "{}: a value as by default", file.display());
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ") && !line.starts_with('#')) {
            // A burst stands with its rate, whose section has the reason.
            let above = lines[..at].iter().rev().find(|above| !above.starts_with("rate") && !above.starts_with('['));
            assert!(above.is_some_and(|above| above.starts_with("# ")), "{}: {line} has no reason", file.display());
        }
    }
    assert_eq!(found, 5);
}
