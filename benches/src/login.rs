//! Logging in: a full handshake, OPAQUE, the enrolment of a new device and its authentication; and, apart from that,
//! coming back with a device's key.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{StreamExt, stream};
use qpc_client::wire::{Device, Dialer};
use tokio::time::sleep;

use crate::{
    accounts::{self, STRETCHING, password},
    latency::Latencies,
    layout::Layout,
    outcome::Outcome,
    report::{Report, note},
    sampler::{Cost, Reading, Sampler, ServerPid},
    talk::{Common, SETTLE},
};

/// Errors that are shown.
const SHOWN: u64 = 5;

/// One of the two ways.
struct Phase {
    cost: Cost,
    done: u64,
    failed: u64,
    /// Why the first few failed.
    first_errors: Vec<String>,
    latencies: Latencies,
}

/// Runs it: every user once each way, `together` at a time.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, users: u32, together: usize) -> anyhow::Result<Report> {
    let prepared = accounts::prepare(&common.beds, common.accounts.as_deref(), &Layout::alone(users)).await?;
    let bed = prepared.open(&common.beds).await?;
    let dialer = bed.dialer(common.sockets)?;
    let done = Arc::new(AtomicU64::new(0));
    let sampler = Sampler::start("reconnects or logins", bed.pid(), Arc::clone(&done));
    let (dial, together) = (&dialer, together.max(1));

    let reconnects = phase(bed.pid(), &done, together, &prepared.users, |device| come_back(dial, device)).await?;
    sleep(SETTLE).await;
    let logins = phase(bed.pid(), &done, together, &prepared.names, |name| log_in(dial, name)).await?;

    let mut outcome = Outcome::begin("login", common);
    (outcome.users, outcome.op) = (users.into(), "login");
    outcome.cost = logins.cost;
    outcome.duration_s = logins.cost.seconds;
    (outcome.sent, outcome.delivered, outcome.ops) = (users.into(), logins.done, logins.done);
    outcome.errors = logins.failed.saturating_add(reconnects.failed);
    outcome.first_errors = [reconnects.first_errors.as_slice(), &logins.first_errors].concat();
    outcome.latency(&logins.latencies);
    outcome.sampled(sampler);
    outcome.setting("login", "handshake, OPAQUE, enrolment of a new device, its authentication");
    outcome.setting("reconnect", "handshake, authentication with the device's key");
    outcome.setting("stretching", STRETCHING);
    outcome.setting("concurrency", together);
    outcome.setting("load", "closed; latency counts from the beginning of each");
    let Phase { cost, done, latencies, .. } = reconnects;
    outcome.setting("reconnect_latency_ms", latencies.summary().json());
    outcome.setting("reconnect_cpu_us_per_op", 1e6 * cost.server_cpu / done.max(1) as f64);
    let mut report = Report::of(outcome);
    let (each, rate) = (1e6 * cost.server_cpu / done.max(1) as f64, done as f64 / cost.seconds.max(1e-9));
    report.figure("reconnect_cpu_us", "server CPU per reconnect", each, "us");
    report.figure("reconnect_rate", "reconnects", rate, "/s");
    report.figure("reconnect_p50_ms", "reconnect, p50", latencies.summary().p50, "ms");
    report.figure("reconnect_p99_ms", "reconnect, p99", latencies.summary().p99, "ms");
    dialer.close().await;
    Ok(report)
}

/// Everybody once.
async fn phase<'a, T, F>(
    pid: &ServerPid,
    done: &AtomicU64,
    together: usize,
    who: &'a [T],
    act: impl Fn(&'a T) -> F,
) -> anyhow::Result<Phase>
where
    F: Future<Output = anyhow::Result<Duration>>,
{
    let (before, mut phase) = (
        Reading::take(pid)?,
        Phase { cost: Cost::default(), done: 0, failed: 0, first_errors: Vec::new(), latencies: Latencies::new()? },
    );
    let mut acts = stream::iter(who).map(act).buffer_unordered(together);
    while let Some(outcome) = acts.next().await {
        match outcome {
            Ok(took) => {
                phase.done = phase.done.saturating_add(1);
                phase.latencies.record(0, took);
                done.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                if phase.failed < SHOWN {
                    note(&format!("{error:#}"));
                    phase.first_errors.push(format!("{error:#}"));
                }
                phase.failed = phase.failed.saturating_add(1);
            }
        }
    }
    drop(acts);
    phase.cost = Reading::take(pid)?.since(&before);
    Ok(phase)
}

async fn log_in(dialer: &Dialer, name: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let wire = dialer.connect().await.context("connecting")?;
    wire.log_in(name, &password(name)).await.context("logging in")?;
    let took = began.elapsed();
    wire.close();
    Ok(took)
}

async fn come_back(dialer: &Dialer, device: &Device) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let wire = dialer.connect().await.context("connecting")?;
    wire.authenticate(device).await.context("authenticating")?;
    let took = began.elapsed();
    wire.close();
    Ok(took)
}
