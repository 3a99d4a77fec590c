//! A server to measure: its own process, data directory and configuration, and a way to it.
//!
//! Limits that would meet a load generator before the server is loaded are lifted, and said to be.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use qpc_client::{Fingerprint, ServerAddress, wire::Dialer};
use tempfile::TempDir;

use crate::{
    process::{Launch, Server, Usage},
    report::note,
};

/// Lets everybody in.
const TOKEN: &str = "a token for a measured server";
/// Longest wait for the answer to one call.
const CALL_MAX: Duration = Duration::from_secs(10);
/// Many, for a rate a minute and for a burst.
const MANY: &str = "60000000";

/// What is not as an operator gets it, as keys of the configuration.
const LIFTED: [(&str, &str); 20] = [
    ("limits.handshakes_retry", "100000"),
    ("limits.handshakes_max", "100000"),
    ("limits.unauthenticated_per_prefix", "100000"),
    ("limits.handshake_deadline", "\"60s\""),
    ("limits.login_deadline", "\"60s\""),
    ("limits.logins_max", "100000"),
    ("limits.message.rate", MANY),
    ("limits.message.burst", MANY),
    ("limits.login_account.rate", MANY),
    ("limits.login_account.burst", MANY),
    ("limits.login_prefix.rate", MANY),
    ("limits.login_prefix.burst", MANY),
    ("limits.registration.rate", MANY),
    ("limits.registration.burst", MANY),
    ("limits.contact.rate", MANY),
    ("limits.contact.burst", MANY),
    ("limits.lookup.rate", MANY),
    ("limits.lookup.burst", MANY),
    ("limits.request.rate", MANY),
    ("limits.request.burst", MANY),
];

/// A server under measurement.
#[derive(Debug)]
pub struct Bed {
    launch: Launch,
    server: Option<Server>,
    directory: TempDir,
}

impl Bed {
    /// Starts a server of its own on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(program: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("qpc-bench-").tempdir()?;
        let config = directory.path().join("bench.toml");
        fs::write(&config, configuration())?;
        note(&format!("server: {}", program.display()));
        let keys: Vec<_> = LIFTED.iter().map(|(key, _)| *key).collect();
        note(&format!("limits lifted: {}", keys.join(" ")));
        let mut launch = Launch {
            program: program.to_owned(),
            data: directory.path().join("data"),
            config,
            listen: "127.0.0.1:0".into(),
            bug: None,
        };
        let server = launch.start().await?;
        // A restarted one is to be found where it was.
        launch.listen.clone_from(&server.ready.listen);
        Ok(Self { launch, server: Some(server), directory })
    }

    /// The running server.
    ///
    /// # Errors
    /// When it was killed.
    pub fn server(&self) -> anyhow::Result<&Server> {
        self.server.as_ref().context("the server was killed")
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it is not there.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.server()?.pid()?)
    }

    /// Lets registrations in.
    #[must_use]
    pub const fn token(&self) -> &'static str {
        TOKEN
    }

    /// A way to the server, over so many sockets.
    ///
    /// # Errors
    /// When a socket can't be had.
    pub fn dialer(&self, sockets: usize) -> anyhow::Result<Dialer> {
        let ready = &self.server()?.ready;
        let address: ServerAddress = ready.listen.parse()?;
        let pin: Fingerprint = ready.fingerprint.parse()?;
        let sources = vec![IpAddr::V4(Ipv4Addr::LOCALHOST); sockets.max(1)];
        Ok(Dialer::new(&address, pin, &sources, CALL_MAX)?)
    }

    /// Kills the server as `kill -9` does.
    ///
    /// # Errors
    /// The system's.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match self.server.take() {
            Some(server) => Ok(server.kill().await?),
            None => Ok(()),
        }
    }

    /// Starts it again, on the same data and port.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.server = Some(self.launch.start().await?);
        Ok(())
    }

    /// From the next start on the server, if it has bugs planted, has this one at work.
    pub const fn plant(&mut self, bug: &'static str) {
        self.launch.bug = Some(bug);
    }

    /// Has the killed server's program verify its database: every page, every chain.
    ///
    /// # Errors
    /// What it found.
    pub async fn check_database(&self) -> anyhow::Result<()> {
        if self.server.is_some() {
            bail!("the database of a running server can't be checked");
        }
        let output = tokio::process::Command::new(&self.launch.program)
            .args(["db", "check", "--data-dir"])
            .arg(&self.launch.data)
            .arg("--config")
            .arg(&self.launch.config)
            .output()
            .await?;
        if output.status.success() {
            return Ok(());
        }
        Err(anyhow!("db check ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// Where files of this run lie.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves the files there and says where.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.directory.keep()
    }
}

fn configuration() -> String {
    let mut text = format!("server.auth_token = \"{TOKEN}\"\n");
    for (key, value) in LIFTED {
        // Writing to a string can't fail.
        _ = writeln!(text, "{key} = {value}");
    }
    text
}

/// The server's program: as given, else beside this one.
///
/// # Errors
/// When there is none.
pub fn program(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let program = match given {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("qpc-server"),
    };
    if program.is_file() {
        return Ok(program);
    }
    bail!(
        "no server at {}: build it with `cargo build --release -p qpc-server`, or give --server-program",
        program.display()
    )
}
