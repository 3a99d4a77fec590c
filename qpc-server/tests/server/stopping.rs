//! Commands that are told to stop end soon and cleanly, whatever they wait for: a server that does not answer,
//! another process that holds the home's lock, one that drives the home and hangs.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::UdpSocket,
    os::unix::net::UnixListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    people::{TOKEN, Town},
    terminal::lines,
};

/// Longest time between the signal and the end. It takes less than a second; a busy machine has more.
const SOON: Duration = Duration::from_secs(4);
/// Longest wait for the program to come so far that it waits.
const STUCK: Duration = Duration::from_secs(30);

/// Tells a program to stop, and gives its exit code and what it said last.
fn told(mut child: Child, signal: Signal) -> (Option<i32>, String) {
    let pid = rustix::process::Pid::from_child(&child);
    let began = Instant::now();
    rustix::process::kill_process(pid, signal).unwrap();
    let said: Vec<_> = lines(child.stderr.take().unwrap()).collect();
    let code = child.wait().unwrap().code();
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    (code, said.join("\n"))
}

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_server_that_does_not_answer_keeps_no_command_from_stopping() {
    let town = Town::found();
    let alice = town.newcomer("alice");
    fs::write(town.path("password"), "a password\n").unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(STUCK)).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let commands: [(&[&str], i32); 9] = [
        (&[], 0),
        (&["listen", "--follow"], 0),
        (&["listen"], 0),
        (&["chat"], 0),
        (&["send", "bob", "hello"], 75),
        (&["status"], 75),
        (&["contacts", "list"], 75),
        (&["group", "create", "friends"], 75),
        (&["devices", "list"], 75),
    ];
    for (words, expected) in commands {
        let mut command = alice.command(words);
        command.args(["--server", &address]);
        // A chat goes on for as long as there may be something to read.
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        silent.recv_from(&mut [0; 2048]).expect("it tries to connect");
        let (code, said) = told(child, Signal::TERM);
        assert_eq!(code, Some(expected), "{words:?}: {said}");
        drain(&silent);
    }
    let password = town.path("password");
    let newcomer = ["--server", &address, "--auth-token", TOKEN, "--password-file", password.to_str().unwrap()];
    for (words, expected) in [(&["register", "carol"][..], 75), (&["login", "carol"], 75), (&[], 0)] {
        let mut command = town.client("carol", &newcomer);
        command.args(words);
        let child = start(command);
        silent.recv_from(&mut [0; 2048]).expect("it tries to connect");
        let (code, said) = told(child, Signal::INT);
        assert_eq!(code, Some(expected), "{words:?}: {said}");
        drain(&silent);
    }
}

/// Takes what the last program still sent.
fn drain(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    while socket.recv_from(&mut [0; 2048]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
}

#[test]
fn a_home_whose_lock_is_held_keeps_no_command_from_stopping() {
    let town = Town::found();
    let alice = town.newcomer("alice");
    let lock = File::open(town.path("alice").join("lock")).unwrap();
    lock.try_lock().unwrap();
    for (words, expected) in [(&["listen", "--follow"][..], 0), (&[], 0), (&["whoami"], 75)] {
        let mut command = alice.command(words);
        command.env("QPC_LOG", "qpc_client=debug");
        let mut child = start(command);
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("another process has the home") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "{words:?} ended");
        }
        child.stderr = Some(log.into_inner());
        let (code, said) = told(child, Signal::TERM);
        assert_eq!(code, Some(expected), "{words:?}: {said}");
    }
}

#[test]
fn a_driver_that_hangs_keeps_no_command_from_stopping() {
    let town = Town::found();
    let alice = town.newcomer("alice");
    let lock = File::open(town.path("alice").join("lock")).unwrap();
    lock.try_lock().unwrap();
    let socket = town.path("alice").join("socket");
    fs::remove_file(&socket).ok();
    let hanging = UnixListener::bind(&socket).unwrap();
    for (words, expected) in [(&["listen", "--follow"][..], 0), (&["chat", "bob"], 0), (&["conversations"], 75)] {
        let child = start(alice.command(words));
        let (asking, _) = hanging.accept().unwrap();
        let mut asked = String::new();
        BufReader::new(&asking).read_line(&mut asked).unwrap();
        assert!(asked.contains("command"), "{asked}");
        let (code, said) = told(child, Signal::TERM);
        assert_eq!(code, Some(expected), "{words:?}: {said}");
    }
}
