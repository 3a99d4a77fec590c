//! What the server, this process and everything else on the machine used: around a phase, and second by second.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{machine, process::Usage, progress::Progress};

/// The process of a server that may be killed and started again; 0 where there is none to look at.
pub type ServerPid = Arc<AtomicU32>;

/// What was used up to a moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    at: Instant,
    server: Option<Usage>,
    own: Usage,
    machine: f64,
    udp_drops: u64,
}

/// What was used between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// How long it was.
    pub seconds: f64,
    /// The server's user and system time, in seconds.
    pub server_cpu: f64,
    /// This process's.
    pub own_cpu: f64,
    /// Everybody else's.
    pub others_cpu: f64,
    /// What the server holds at the end, in bytes.
    pub rss_bytes: u64,
    /// The most that it ever held, in bytes.
    pub peak_rss_bytes: u64,
    /// What it gave to the disk meanwhile.
    pub write_bytes: u64,
    /// What this process holds at the end, in bytes.
    pub own_rss_bytes: u64,
    /// UDP packets that the kernel dropped meanwhile, because server or clients did not take them in time.
    pub udp_drops: u64,
}

impl Cost {
    /// Takes what came after it as well; what is held is that of the end.
    pub fn add(&mut self, later: &Self) {
        self.seconds += later.seconds;
        self.server_cpu += later.server_cpu;
        self.own_cpu += later.own_cpu;
        self.others_cpu += later.others_cpu;
        self.rss_bytes = later.rss_bytes;
        self.peak_rss_bytes = later.peak_rss_bytes;
        self.write_bytes = self.write_bytes.saturating_add(later.write_bytes);
        self.own_rss_bytes = later.own_rss_bytes;
        self.udp_drops = self.udp_drops.saturating_add(later.udp_drops);
    }
}

impl Reading {
    /// Now.
    ///
    /// # Errors
    /// When `/proc` is not readable.
    pub fn take(pid: &ServerPid) -> anyhow::Result<Self> {
        let server = match pid.load(Ordering::Relaxed) {
            0 => None,
            // One that was killed this moment has used what it had.
            pid => Usage::of(pid).ok(),
        };
        let own = Usage::of(std::process::id())?;
        let (machine, udp_drops) = (machine::busy_seconds()?, machine::udp_drops()?);
        Ok(Self { at: Instant::now(), server, own, machine, udp_drops })
    }

    /// What was used since an earlier one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Cost {
        let (now, before) = (self.server.unwrap_or_default(), earlier.server.unwrap_or_default());
        let server_cpu = (now.cpu_seconds - before.cpu_seconds).max(0.0);
        let own_cpu = self.own.cpu_seconds - earlier.own.cpu_seconds;
        let machine = self.machine - earlier.machine;
        Cost {
            seconds: self.at.saturating_duration_since(earlier.at).as_secs_f64(),
            server_cpu,
            own_cpu,
            others_cpu: (machine - server_cpu - own_cpu).max(0.0),
            rss_bytes: now.rss_bytes,
            peak_rss_bytes: now.peak_rss_bytes,
            write_bytes: now.write_bytes.saturating_sub(before.write_bytes),
            own_rss_bytes: self.own.rss_bytes,
            udp_drops: self.udp_drops.saturating_sub(earlier.udp_drops),
        }
    }

    /// What the server held.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        self.server.unwrap_or_default().rss_bytes
    }
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    /// Seconds since the run began.
    pub at_s: f64,
    /// What was done, a second.
    pub rate_per_s: f64,
    /// The server's share of a core, in percent.
    pub server_percent: f64,
    /// This process's.
    pub bench_percent: f64,
    /// Everybody else's.
    pub others_percent: f64,
    /// What the server held, in bytes.
    pub rss_bytes: u64,
}

/// Samples each second until it is finished.
#[derive(Debug)]
pub struct Sampler {
    what: &'static str,
    samples: Arc<Mutex<Vec<Sample>>>,
    // Ends with this.
    _task: JoinSet<()>,
}

impl Sampler {
    /// Begins; `done` counts what `what` names, for the rate and the line of progress.
    #[must_use]
    pub fn start(what: &'static str, pid: &ServerPid, done: Arc<AtomicU64>) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        task.spawn(sample(what, Arc::clone(pid), done, Arc::clone(&samples)));
        Self { what, samples, _task: task }
    }

    /// What was counted for the rate, and what was sampled so far.
    #[must_use]
    pub fn finish(self) -> (&'static str, Vec<Sample>) {
        (self.what, std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

async fn sample(what: &'static str, pid: ServerPid, done: Arc<AtomicU64>, samples: Arc<Mutex<Vec<Sample>>>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let Ok(first) = Reading::take(&pid) else { return };
    let (mut last, mut counted) = (first, done.load(Ordering::Relaxed));
    let mut progress = Progress::default();
    loop {
        ticks.tick().await;
        let Ok(now) = Reading::take(&pid) else { return };
        let (cost, count) = (now.since(&last), done.load(Ordering::Relaxed));
        let percent = |cpu: f64| 100.0 * cpu / cost.seconds.max(1e-3);
        let sample = Sample {
            at_s: now.since(&first).seconds,
            rate_per_s: count.saturating_sub(counted) as f64 / cost.seconds.max(1e-3),
            server_percent: percent(cost.server_cpu),
            bench_percent: percent(cost.own_cpu),
            others_percent: percent(cost.others_cpu),
            rss_bytes: cost.rss_bytes,
        };
        progress.show(&format!(
            "{:.0} s  {:.0} {what}/s  server {:.0} % of a core, {} MiB  clients {:.0} %  others {:.0} %",
            sample.at_s,
            sample.rate_per_s,
            sample.server_percent,
            sample.rss_bytes >> 20,
            sample.bench_percent,
            sample.others_percent,
        ));
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        (last, counted) = (now, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_work_is_own_and_not_the_servers() {
        let nobody = ServerPid::default();
        let before = Reading::take(&nobody).unwrap();
        let began = Instant::now();
        let mut sum = 0_u64;
        while began.elapsed() < Duration::from_millis(200) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let cost = Reading::take(&nobody).unwrap().since(&before);
        assert!(cost.own_cpu > 0.02 && cost.seconds >= 0.2, "{cost:?}");
        assert!(cost.server_cpu.abs() < f64::EPSILON && cost.rss_bytes == 0);
    }
}
