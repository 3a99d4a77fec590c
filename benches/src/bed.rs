//! A server to measure: its own process, data directory and configuration, and a way to it.
//!
//! Limits that would meet a load generator before the server is loaded are lifted, and said to be.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use qpc_client::{Fingerprint, ServerAddress, wire::Dialer};
use tempfile::TempDir;

use crate::{
    cgroup::Cgroups,
    process::{Launch, Ready, Server, Usage},
    profile::Profile,
    report::note,
    sampler::ServerPid,
};

/// Lets everybody in.
const TOKEN: &str = "a token for a measured server";
/// Longest wait for the answer to one call.
const CALL_MAX: Duration = Duration::from_secs(15);

/// A server that somebody else has started.
#[derive(Debug, Clone)]
pub struct External {
    /// `host:port`, UDP.
    pub listen: String,
    /// Of its certificate.
    pub pin: String,
    /// To register with.
    pub token: String,
    /// `host:port`, TCP.
    pub metrics: String,
    /// Its process, where it is on this machine.
    pub pid: Option<u32>,
}

/// How servers are started, or found.
#[derive(Debug, Clone)]
pub struct Beds {
    /// The program.
    pub program: PathBuf,
    /// Instead of starting one.
    pub external: Option<External>,
    /// Lines of configuration besides the profile's.
    pub set: Vec<String>,
    /// Keep all limits while measuring.
    pub all_limits: bool,
    /// The cores that the server may run on; without, all.
    pub cpus: Option<String>,
    /// The control groups that a measured server runs in; one that prepares has no limits.
    pub cgroups: Cgroups,
}

impl Beds {
    /// What the server's program says that it is; a server that runs already is asked nothing.
    #[must_use]
    pub fn version(&self) -> String {
        let output = std::process::Command::new(&self.program).arg("--version").output();
        match (&self.external, output) {
            (None, Ok(output)) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            _ => "unknown".to_owned(),
        }
    }

    /// The profile of a measured server.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        if self.all_limits { Profile::Kept } else { Profile::Measured }
    }

    /// A server on a data directory; without one, on a new one.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn open(&self, data: Option<&Path>, profile: Profile) -> anyhow::Result<Bed> {
        match &self.external {
            Some(external) => Bed::at(external),
            None => {
                let configuration = profile.configuration(TOKEN, &self.set);
                note(&format!("server: {}; limits lifted: {}", self.program.display(), profile.lifted()));
                let cgroups = if profile == Profile::Free { Cgroups::default() } else { self.cgroups.clone() };
                Bed::launch(&self.program, data, &configuration, self.cpus.clone(), cgroups).await
            }
        }
    }
}

/// A server under measurement.
#[derive(Debug)]
pub struct Bed {
    launch: Option<Launch>,
    server: Option<Server>,
    ready: Ready,
    token: String,
    pid: ServerPid,
    directory: TempDir,
}

impl Bed {
    /// Starts a server of its own on a free port of 127.0.0.1, without rates.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(program: &Path) -> anyhow::Result<Self> {
        note(&format!("server: {}; limits lifted: {}", program.display(), Profile::Free.lifted()));
        Self::launch(program, None, &Profile::Free.configuration(TOKEN, &[]), None, Cgroups::default()).await
    }

    /// The same on a data directory, with lines of configuration besides.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_in(program: &Path, data: &Path, lines: &[String]) -> anyhow::Result<Self> {
        Self::launch(program, Some(data), &Profile::Free.configuration(TOKEN, lines), None, Cgroups::default()).await
    }

    async fn launch(
        program: &Path,
        data: Option<&Path>,
        configuration: &str,
        cpus: Option<String>,
        cgroups: Cgroups,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("qpc-bench-").tempdir()?;
        let config = directory.path().join("bench.toml");
        fs::write(&config, configuration)?;
        let data = data.map_or_else(|| directory.path().join("data"), Path::to_owned);
        let (program, listen) = (program.to_owned(), "127.0.0.1:0".into());
        let mut launch = Launch { program, data, config, listen, cpus, cgroups, bug: None };
        let server = launch.start().await?;
        // A restarted one is to be found where it was.
        launch.listen.clone_from(&server.ready.listen);
        let (ready, pid) = (server.ready.clone(), ServerPid::default());
        pid.store(server.pid()?, Ordering::Relaxed);
        Ok(Self { launch: Some(launch), server: Some(server), ready, token: TOKEN.into(), pid, directory })
    }

    fn at(external: &External) -> anyhow::Result<Self> {
        let External { listen, pin, token, metrics, pid } = external.clone();
        let ready = Ready { listen, metrics, fingerprint: pin, invite: String::new() };
        let pid = Arc::new(pid.unwrap_or_default().into());
        let directory = tempfile::Builder::new().prefix("qpc-bench-").tempdir()?;
        Ok(Self { launch: None, server: None, ready, token, pid, directory })
    }

    fn launched(&self) -> anyhow::Result<&Launch> {
        self.launch.as_ref().context("a server that was not started here is not to be touched")
    }

    /// Whether the server was started here.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.launch.is_some()
    }

    /// Where the server says that it is.
    #[must_use]
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// From its last start to being ready.
    ///
    /// # Errors
    /// When it was not started here, or was killed.
    pub fn started_in(&self) -> anyhow::Result<Duration> {
        Ok(self.server.as_ref().context("the server was killed")?.started_in)
    }

    /// Seconds for which its quota has kept its threads from running, where it has one and is in a control group.
    #[must_use]
    pub fn throttled_seconds(&self) -> Option<f64> {
        self.launch.as_ref().and_then(|launch| launch.cgroups.throttled_seconds())
    }

    /// Its process.
    #[must_use]
    pub const fn pid(&self) -> &ServerPid {
        &self.pid
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it is not there.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        match self.pid.load(Ordering::Relaxed) {
            0 => bail!("the server's process is not known"),
            pid => Usage::of(pid),
        }
    }

    /// Lets registrations in.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A way to the server, over so many sockets: on loopback each at an address of its own.
    ///
    /// # Errors
    /// When a socket can't be had.
    pub fn dialer(&self, sockets: usize) -> anyhow::Result<Dialer> {
        let address: ServerAddress = self.ready.listen.parse()?;
        let pin: Fingerprint = self.ready.fingerprint.parse()?;
        let loopback = self.ready.listen.parse::<SocketAddr>().is_ok_and(|at| at.ip() == Ipv4Addr::LOCALHOST);
        let source = |number: usize| match u8::try_from(number.wrapping_rem(250)) {
            Ok(last) if loopback => IpAddr::V4(Ipv4Addr::new(127, 0, 0, last.saturating_add(1))),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let sources: Vec<_> = (0..sockets.max(1)).map(source).collect();
        Ok(Dialer::new(&address, pin, &sources, CALL_MAX)?)
    }

    /// Has the server stop as an operator does.
    ///
    /// # Errors
    /// When it was not started here, or does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.launched()?;
        self.pid.store(0, Ordering::Relaxed);
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// Kills the server as `kill -9` does.
    ///
    /// # Errors
    /// The system's.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.launched()?;
        self.pid.store(0, Ordering::Relaxed);
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
        let server = self.launched()?.start().await?;
        self.pid.store(server.pid()?, Ordering::Relaxed);
        self.ready = server.ready.clone();
        self.server = Some(server);
        Ok(())
    }

    /// From the next start on the server, if it has bugs planted, has this one at work.
    pub const fn plant(&mut self, bug: &'static str) {
        if let Some(launch) = &mut self.launch {
            launch.bug = Some(bug);
        }
    }

    /// Has the killed server's program verify its database: every page, every chain.
    ///
    /// # Errors
    /// What it found.
    pub async fn check_database(&self) -> anyhow::Result<()> {
        if self.server.is_some() {
            bail!("the database of a running server can't be checked");
        }
        let launch = self.launched()?;
        let output = tokio::process::Command::new(&launch.program)
            .args(["db", "check", "--data-dir"])
            .arg(&launch.data)
            .arg("--config")
            .arg(&launch.config)
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
