//! The small load test that the client's program is by itself: a loop of it, without a command, in the background.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::{
    people::{TOKEN, Town},
    program::http,
    terminal::lines,
};

const CLIENTS: usize = 100;
/// Longest wait for all of them to be online.
const SOON: Duration = Duration::from_secs(60);

fn sessions(town: &Town) -> usize {
    let page = http(town.server.metrics, "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix("qpc_sessions_active "));
    line.expect("the metric").trim().parse().unwrap()
}

/// Looks at the metric until it is this; every look is a request, so that it does not spin.
fn until_sessions(town: &Town, count: usize) {
    let deadline = Instant::now() + SOON;
    while sessions(town) != count {
        assert!(Instant::now() < deadline, "{} sessions, not {count}", sessions(town));
    }
}

fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn a_loop_of_a_hundred_throw_away_clients_is_a_load_test_and_leaves_nothing() {
    let town = Town::found();
    let server = town.server.listen.to_string();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut command = town.client("nobody", &["--server", &server, "--auth-token", TOKEN]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let notes = lines(child.stderr.take().unwrap());
            (child, notes)
        })
        .collect();
    until_sessions(&town, CLIENTS);
    for (_, notes) in &mut clients {
        let online = notes.by_ref().find(|note| note.contains("online as guest-"));
        assert!(online.is_some(), "a client ended");
    }
    until_sessions(&town, CLIENTS);
    for (child, _) in &clients {
        terminate(child);
    }
    for (mut child, notes) in clients {
        let notes: Vec<_> = notes.collect();
        assert_eq!((child.wait().unwrap().code(), notes.len()), (Some(0), 0), "{notes:?}");
    }
    until_sessions(&town, 0);
    let left: Vec<_> = fs::read_dir(town.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["data"]);
}
