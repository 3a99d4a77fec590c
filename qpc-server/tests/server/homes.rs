//! What opens a home, with the built programs: a passphrase or a key file, and what is said without the right one.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    people::{TOKEN, Town},
    terminal::Terminal,
};

/// Registers alice in a home locked with a passphrase, which is in the file `passphrase`.
fn locked_home(town: &Town) {
    fs::write(town.path("passphrase"), "open sesame\n").unwrap();
    fs::write(town.path("password"), "the password of alice\n").unwrap();
    let server = town.server.listen.to_string();
    let mut command = town.client("alice", &["--server", &server, "--pin", &town.server.fingerprint]);
    command.args(["--auth-token", TOKEN, "--password-file"]).arg(town.path("password"));
    let output = command.arg("--passphrase-file").arg(town.path("passphrase")).args(["register", "alice"]).output();
    assert_eq!(output.as_ref().unwrap().status.code(), Some(0), "{output:?}");
}

fn whoami(town: &Town, passphrase: Option<&str>) -> (i32, String) {
    let mut command = town.client("alice", &["whoami"]);
    if let Some(passphrase) = passphrase {
        fs::write(town.path("typed"), passphrase).unwrap();
        command.arg("--passphrase-file").arg(town.path("typed"));
    }
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_home_opens_with_its_passphrase_alone() {
    let town = Town::found();
    locked_home(&town);
    assert_eq!(whoami(&town, Some("open sesame\n")).0, 0);
    let (code, stderr) = whoami(&town, Some("open barley\n"));
    assert_eq!(code, 77, "{stderr}");
    assert!(stderr.contains("not the passphrase of this home"), "{stderr}");
    let (code, stderr) = whoami(&town, None);
    assert_eq!(code, 77, "{stderr}");
    assert!(stderr.contains("--passphrase-file"), "{stderr}");
}

#[test]
fn a_home_opens_with_its_key_file_alone() {
    let town = Town::found();
    let alice = town.newcomer("alice");
    let (code, stderr) = whoami(&town, Some("any\n"));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("not locked with a passphrase"), "{stderr}");
    let key = town.path("alice").join("key");
    let right = fs::read(&key).unwrap();
    let refused = |why: &str| {
        let (code, stderr) = whoami(&town, None);
        assert_eq!(code, 77, "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    };
    fs::write(&key, "ab".repeat(32)).unwrap();
    refused("does not open");
    fs::write(&key, "ab").unwrap();
    refused("64 hex digits");
    fs::remove_file(&key).unwrap();
    refused("key of this home is gone");
    // Unreadable for everybody, the superuser that tests may run as included.
    fs::create_dir(&key).unwrap();
    refused(&key.display().to_string());
    fs::remove_dir(&key).unwrap();
    fs::write(&key, right).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    alice.does(&["whoami"]);
}

#[test]
fn an_unknown_server_is_asked_about_on_a_terminal_even_on_this_machine() {
    let town = Town::found();
    fs::write(town.path("password"), "the password of carol\n").unwrap();
    let server = town.server.listen.to_string();
    let register = || {
        let mut command = town.client("carol", &["--server", &server, "--auth-token", TOKEN, "--password-file"]);
        command.arg(town.path("password")).args(["register", "carol"]);
        Terminal::open(command)
    };
    let mut asked = register();
    asked.sees(&town.server.fingerprint);
    asked.sees("Trust it from now on?");
    asked.types("no\r");
    asked.sees("was not accepted");
    assert!(!town.path("carol").join("known_servers").exists());
    let mut asked = register();
    asked.sees("Trust it from now on?");
    asked.types(&format!("{}\r", town.server.fingerprint));
    asked.sees("registered carol");
    asked.ends();
    // From then on nobody is asked.
    assert!(town.client("carol", &["contacts", "list"]).output().unwrap().status.success());
}
