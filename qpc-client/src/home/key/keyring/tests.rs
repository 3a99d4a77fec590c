//! A real Secret Service: gnome-keyring on a private D-Bus session, with a home directory of its own. `make keyring` runs
//! these; they need the Debian packages dbus and gnome-keyring.

use std::{fs, path::PathBuf, process::Command};

use super::{super::of, *};
use crate::home::key::{KEY_FILE, KeySource};

/// Names the directory of a home to a test that runs inside the session.
const HOME: &str = "QPC_TEST_KEYRING_HOME";
/// Starts the keyring, unlocked by a password, and runs the rest of the line beside it.
const UNLOCKED: &str = "printf secret | gnome-keyring-daemon --unlock --components=secrets >/dev/null && exec \"$@\"";

/// Runs a step of this module, in a process of its own, on a home.
fn step(mut command: Command, name: &str, home: &Path) {
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("home::key::keyring::tests::{name}"), "--nocapture"]).env(HOME, home);
    let output = command.output().expect("dbus-run-session, of the Debian package dbus");
    let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && ran, "{name}: {output:?}");
}

/// A session with a keyring whose files are in `dir`.
fn session(dir: &Path) -> Command {
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", UNLOCKED, "sh"]).env_remove("DBUS_SESSION_BUS_ADDRESS");
    command.env("HOME", dir).env("XDG_RUNTIME_DIR", dir).env("XDG_DATA_HOME", dir.join("data"));
    command
}

/// The home that this step is about; none where it was not started by [`step`].
fn home() -> Option<PathBuf> {
    std::env::var_os(HOME).map(PathBuf::from)
}

#[test]
fn a_key_in_the_keyring_is_there_for_the_next_session_and_goes_with_the_account() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    step(session(dir.path()), "made", &home);
    step(session(dir.path()), "found_and_forgotten", &home);
    // Without a keyring, a home that had its key there says so, and a new one gets a key file.
    fs::write(home.join(MARKER), "0198").unwrap();
    let mut nobody = Command::new("env");
    nobody.args(["-u", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR=/nonexistent"]);
    step(nobody, "missed", &home);
}

#[test]
fn made() {
    let Some(home) = home() else { return };
    let key = of(&home, &KeySource::Auto, false).unwrap();
    assert!(home.join(MARKER).exists() && !home.join(KEY_FILE).exists());
    // For the next step alone; a real home keeps it nowhere else.
    fs::write(home.join("expected"), key.expose()).unwrap();
}

#[test]
fn found_and_forgotten() {
    let Some(home) = home() else { return };
    let key = of(&home, &KeySource::Auto, true).unwrap();
    assert!(fs::read(home.join("expected")).unwrap() == key.expose());
    let marker = fs::read(home.join(MARKER)).unwrap();
    forget(&home);
    assert!(!home.join(MARKER).exists());
    fs::write(home.join(MARKER), marker).unwrap();
    assert!(matches!(of(&home, &KeySource::Auto, true), Err(KeyError::Gone(_))), "the keyring has forgotten it");
}

#[test]
fn missed() {
    let Some(home) = home() else { return };
    assert!(matches!(of(&home, &KeySource::Auto, true), Err(KeyError::Gone(_))));
    fs::remove_file(home.join(MARKER)).unwrap();
    of(&home, &KeySource::Auto, false).unwrap();
    assert!(home.join(KEY_FILE).exists() && !home.join(MARKER).exists());
}
