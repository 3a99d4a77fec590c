//! Throw-away accounts, with the built programs: they end with the program, whenever that is told to stop.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, ChildStderr, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    people::{TOKEN, Town},
    terminal::lines,
};

/// A program without a command in this home, whose log has come to these words; and the rest of that.
fn guest(town: &Town, home: &str, words: &str) -> (Child, BufReader<ChildStderr>) {
    let server = town.server.listen.to_string();
    let mut command =
        town.client(home, &["--server", &server, "--pin", &town.server.fingerprint, "--auth-token", TOKEN]);
    command.env("QPC_LOG", "qpc_client=debug").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
    }
    (child, log)
}

fn ends_well(mut child: Child, log: BufReader<ChildStderr>) {
    let said: Vec<_> = lines(log).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said:?}");
}

#[test]
fn an_account_that_is_being_made_when_its_program_is_told_to_stop_is_deleted() {
    let town = Town::found();
    let server = Pid::from_raw(i32::try_from(town.server.pid()).unwrap()).unwrap();
    let (child, log) = guest(&town, "nobody", "the account is being made");
    // The server has the request, or has just answered it.
    kill_process(server, Signal::STOP).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    kill_process(server, Signal::CONT).unwrap();
    ends_well(child, log);
    assert_eq!(town.logs(), 0, "an account was left");
}

#[test]
fn a_home_whose_registration_was_cut_off_has_no_account() {
    let town = Town::found();
    let home = town.path("half");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(home.join("key"), "ab".repeat(32)).unwrap();
    fs::write(home.join("client.db"), "").unwrap();
    let output = town.client("half", &[]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("for a throw-away account"), "{stderr}");
    let (child, log) = guest(&town, "half", "online as guest-");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    ends_well(child, log);
    assert_eq!(town.logs(), 0, "an account was left");
}
