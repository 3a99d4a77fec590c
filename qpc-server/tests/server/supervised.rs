//! A server under systemd, as far as that can be told by its messages (sd_notify(3)).

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use rustix::process::Signal;

use crate::program::{Program, program};

/// The next message of which a line begins so; others of the watchdog may come in between.
fn heard(socket: &UnixDatagram, begins: &str) -> String {
    let mut buffer = [0; 512];
    loop {
        let length = socket.recv(&mut buffer).expect("a message in time");
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if message.starts_with(begins) {
            return message;
        }
        assert_eq!(message, "WATCHDOG=1\n", "instead of {begins}");
    }
}

#[test]
fn a_supervisor_hears_of_the_whole_life() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("notify");
    let name = format!("qpc-supervised-{}", std::process::id());
    let sockets = [
        (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
        (UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(), format!("@{name}")),
    ];
    for (socket, name) in sockets {
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut command = program(&temp.path().join("data"));
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]);
        let mut server = Program::spawn(command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "100000"));
        assert_eq!(heard(&socket, "READY=1"), "READY=1\nSTATUS=serving\n");
        for _ in 0..3 {
            heard(&socket, "WATCHDOG=1");
        }
        server.signal(Signal::HUP);
        let reloading = heard(&socket, "RELOADING=1");
        let since_boot = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!(since_boot.parse::<u64>().unwrap() > 0);
        heard(&socket, "READY=1");
        server.signal(Signal::TERM);
        heard(&socket, "STOPPING=1");
        server.end();
    }
}

#[test]
fn a_watchdog_that_is_meant_for_another_process_is_not_fed() {
    let temp = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(temp.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = program(&temp.path().join("data"));
    command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]);
    command.env("NOTIFY_SOCKET", temp.path().join("notify")).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let server = Program::spawn(&mut command);
    let mut buffer = [0; 512];
    let mut next = || {
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert!(next().starts_with("READY=1"));
    server.signal(Signal::TERM);
    // Nothing was said in between, a thousand times a second or at all.
    assert!(next().starts_with("STOPPING=1"));
}
