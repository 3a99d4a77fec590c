//! What a supervisor such as systemd is told: ready, reloading, stopping, alive (sd_notify(3)).
//!
//! A datagram of lines to the socket that `NOTIFY_SOCKET` names; nothing where there is none. It never waits, and
//! that a supervisor does not listen is no reason to stop. `WATCHDOG=1` is said only while the server is found to be alive:
//! one that hangs is silent, and is started again.

use std::{
    convert::Infallible,
    ffi::OsString,
    future::pending,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};

/// Whoever started this process and wants to know how it goes.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names, if it does.
    #[must_use]
    pub fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        // The watchdog may be meant for another process of the unit.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        Self::new(std::env::var_os("NOTIFY_SOCKET"), number("WATCHDOG_USEC").filter(|_| ours))
    }

    fn new(socket: Option<OsString>, watchdog_us: Option<u64>) -> Self {
        let socket = socket.filter(|name| !name.is_empty()).and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET can't be used: the supervisor is told nothing");
                None
            }
        });
        let watchdog = watchdog_us.filter(|us| *us > 1 && socket.is_some()).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// Clients can connect; also after a reload.
    pub fn ready(&self) {
        self.say("READY=1\nSTATUS=serving\n");
    }

    /// The configuration is read again; [`Self::ready`] follows.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let us = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000);
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={us}\n"));
    }

    /// Nobody is let in any more, and what runs is finished.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=finishing what runs\n");
    }

    /// Says twice in each of the watchdog's periods that the server is alive, if `alive` finds so. Never ends.
    pub async fn keep_alive(&self, alive: impl AsyncFn() -> bool) -> Infallible {
        let Some(period) = self.watchdog else { return pending().await };
        let mut due = interval(period.checked_div(2).unwrap_or(period));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            if alive().await {
                self.say("WATCHDOG=1\n");
            } else {
                tracing::warn!("the store does not answer: the supervisor's watchdog is not fed");
            }
        }
    }

    fn say(&self, lines: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(lines.as_bytes())
        {
            tracing::debug!(%error, "the supervisor was not told");
        }
    }
}

/// Names that begin with @ are of no file.
fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A supervisor's socket under an abstract name, and what a server has of it.
    fn pair(name: &str, watchdog_us: Option<u64>) -> (UnixDatagram, Supervisor) {
        let name = format!("qpc-{name}-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, Supervisor::new(Some(format!("@{name}").into()), watchdog_us))
    }

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    #[test]
    fn a_life_is_told_line_by_line() {
        let (socket, supervisor) = pair("life", None);
        supervisor.ready();
        assert_eq!(heard(&socket).unwrap(), "READY=1\nSTATUS=serving\n");
        supervisor.reloading();
        let reloading = heard(&socket).unwrap();
        let at: u64 = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end().parse().unwrap();
        assert!(at > 0);
        supervisor.stopping();
        assert!(heard(&socket).unwrap().starts_with("STOPPING=1\n"));
        // Nobody listens, and nobody was asked for: neither is a fault.
        drop(socket);
        supervisor.ready();
        Supervisor::new(Some("/nonexistent/socket".into()), Some(1_000)).ready();
        assert!(Supervisor::new(None, Some(1_000)).watchdog.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_only_while_the_server_is_alive() {
        let (socket, supervisor) = pair("watchdog", Some(10_000_000));
        let alive = Cell::new(true);
        let watch = async {
            // Twice in ten seconds: at 0, 5 and 10.
            tokio::time::sleep(Duration::from_secs(11)).await;
            for _ in 0..3 {
                assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1\n"));
            }
            alive.set(false);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(heard(&socket), None);
            alive.set(true);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1\n"));
        };
        tokio::select! {
            () = watch => {}
            never = supervisor.keep_alive(async || alive.get()) => match never {},
        }
    }
}
