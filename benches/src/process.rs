//! A release server in a process of its own, and what the kernel says it used.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{cgroup::Cgroups, machine::TICKS_PER_SECOND};

/// Longest wait for a server to be ready.
const READY_MAX: Duration = Duration::from_secs(30);
/// Longest wait for a server to end when it is asked to.
const STOP_MAX: Duration = Duration::from_secs(60);

/// What the server prints when it is ready.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// `host:port`, UDP.
    pub listen: String,
    /// `host:port`, TCP.
    pub metrics: String,
    /// `sha256:HEX` of the certificate.
    pub fingerprint: String,
    /// A token to register with.
    pub invite: String,
}

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Its configuration file.
    pub config: PathBuf,
    /// `host:port`; port 0 lets the system choose.
    pub listen: String,
    /// The cores it may run on, as `taskset` takes them; without, all.
    pub cpus: Option<String>,
    /// The control groups it runs in.
    pub cgroups: Cgroups,
    /// A bug to switch on, in a server that has bugs planted.
    pub bug: Option<&'static str>,
}

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// What it said when it was ready.
    pub ready: Ready,
    /// From start to that.
    pub started_in: Duration,
}

impl Launch {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start, or is not ready in time.
    pub async fn start(&self) -> anyhow::Result<Server> {
        let began = Instant::now();
        // What stands before the program becomes it: the process is the server's.
        let mut words = self.cgroups.join();
        if let Some(cpus) = &self.cpus {
            words.extend(["taskset", "--cpu-list", cpus].map(Into::into));
        }
        words.push(self.program.clone().into());
        let (first, rest) = words.split_first().context("a program")?;
        let mut child = Command::new(first)
            .args(rest)
            .args(["--json", "--metrics-listen", "127.0.0.1:0"])
            .arg("--listen")
            .arg(&self.listen)
            .arg("--data-dir")
            .arg(&self.data)
            .arg("--config")
            .arg(&self.config)
            .env("RUST_LOG", "warn")
            .env("QPC_PLANTED_BUG", self.bug.unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let out = child.stdout.take().context("the server's output")?;
        let mut lines = BufReader::new(out).lines();
        let line = timeout(READY_MAX, lines.next_line()).await.context("the server is not ready in time")??;
        let Some(line) = line else { bail!("the server ended before it was ready") };
        let ready = serde_json::from_str(&line).with_context(|| format!("the server's ready line: {line}"))?;
        Ok(Server { child, ready, started_in: began.elapsed() })
    }
}

impl Server {
    /// Its process id.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Kills it as a power cut would: no warning, no cleaning up.
    ///
    /// # Errors
    /// The system's.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.start_kill()?;
        self.child.wait().await.map(drop)
    }

    /// Asks it to stop, as an operator does, and waits until it has.
    ///
    /// # Errors
    /// The system's, or when it does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("the server has ended")?, Signal::TERM)?;
        timeout(STOP_MAX, self.child.wait()).await.context("the server does not stop")??;
        Ok(())
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// The most that it ever was.
    pub peak_rss_bytes: u64,
    /// Bytes given to the disk.
    pub write_bytes: u64,
}

impl Usage {
    /// Reads `/proc`.
    ///
    /// # Errors
    /// When the process is gone or `/proc` is not readable.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let root = Path::new("/proc").join(pid.to_string());
        let stat = fs::read_to_string(root.join("stat"))?;
        // The second field is the program's name in parentheses, which may hold anything.
        let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let (user, system) = (ticks(11).context("utime")?, ticks(12).context("stime")?);
        let status = fs::read_to_string(root.join("status"))?;
        let (rss_kib, peak_kib) = memory(&status).context("VmRSS and VmHWM")?;
        let io = fs::read_to_string(root.join("io")).unwrap_or_default();
        Ok(Self {
            cpu_seconds: (user + system) / TICKS_PER_SECOND,
            rss_bytes: rss_kib.saturating_mul(1024),
            peak_rss_bytes: peak_kib.saturating_mul(1024),
            write_bytes: number(&io, "write_bytes:").unwrap_or_default(),
        })
    }
}

/// Resident memory of a process and the most that it was, in KiB.
fn memory(status: &str) -> Option<(u64, u64)> {
    Some((number(status, "VmRSS:")?, number(status, "VmHWM:")?))
}

fn number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 1024 * 1024 && usage.peak_rss_bytes > 1024 * 1024);
    }

    #[test]
    fn the_most_that_a_process_held_is_not_what_it_holds() {
        let status = "Name:\tqpc-server\nVmPeak:\t  900000 kB\nVmHWM:\t   51000 kB\nVmRSS:\t   43000 kB\n";
        assert_eq!(memory(status), Some((43_000, 51_000)));
        assert_eq!(memory("VmRSS:\t 1 kB\n"), None);
    }
}
