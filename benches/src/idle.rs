//! What a connection costs that is there and silent.

use std::{path::Path, time::Duration};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use qpc_client::wire::{Answers, Device, Dialer, Requests, Wire};
use qpc_proto::{
    id::{ConversationName, Seq},
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::time::{sleep, timeout};

use crate::{
    bed::Bed,
    crowd::{self, Person},
    metrics::Metrics,
    process::Usage,
    report::Report,
};

/// Connections before the measured ones, so that what a server reserves once does not count.
const WARM_UP: usize = 64;
/// UDP sockets of the clients.
const SOCKETS: usize = 8;
/// How long things settle before memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// How long the connections are silent: each sends one keep-alive in this time.
const QUIET: Duration = Duration::from_secs(30);
/// Connections that are made at once.
const TOGETHER: usize = 16;
/// Longest wait for a sync call to be open.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// An open sync call, kept.
struct Idle {
    _wire: Wire,
    _sync: (Requests, Answers),
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(program: &Path, users: usize) -> anyhow::Result<Report> {
    let mut bed = Bed::start(program).await?;
    let dialer = bed.dialer(SOCKETS)?;
    let warm = devices(crowd::people(&dialer, bed.token(), "warm", WARM_UP).await?);
    let devices = devices(crowd::people(&dialer, bed.token(), "idle", users).await?);
    // A new process: what registrations have used and given back would be used again, and not be seen to grow.
    bed.kill().await?;
    bed.restart().await?;
    let warm = open_all(&dialer, &warm).await?;
    sleep(SETTLE).await;
    let before = bed.usage()?;
    let idle = open_all(&dialer, &devices).await?;
    sleep(SETTLE).await;
    let after = bed.usage()?;
    sleep(QUIET).await;
    let quiet = bed.usage()?;
    let page = Metrics::read(&bed.server()?.ready.metrics).await?;

    let mut report = Report::new("idle");
    figures(&mut report, users, [before, after, quiet]);
    let (sessions, syncs) = (page.value("qpc_sessions_active")?, page.value("qpc_syncs_active")?);
    report.figure("sessions", "sessions by the server's count", sessions, "");
    report.figure("syncs", "sync calls by the server's count", syncs, "");
    let wanted: f64 = u32::try_from(users.saturating_add(WARM_UP)).context("too many users")?.into();
    if sessions < wanted || syncs < wanted {
        report.fail("connections were lost while they were silent");
    }
    drop((warm, idle));
    dialer.close().await;
    Ok(report)
}

#[expect(clippy::cast_precision_loss, reason = "bytes and counts, far below 2^52")]
fn figures(report: &mut Report, users: usize, [before, after, quiet]: [Usage; 3]) {
    let kib = |bytes: u64| bytes as f64 / 1024.0;
    let grown = after.rss_bytes.saturating_sub(before.rss_bytes);
    report.figure("users", "authenticated connections", users, "");
    report.figure("rss_before_kib", "resident memory before", kib(before.rss_bytes), "KiB");
    report.figure("rss_after_kib", "resident memory with them", kib(after.rss_bytes), "KiB");
    report.figure("rss_per_connection_kib", "resident memory per connection", kib(grown) / users as f64, "KiB");
    let reconnect = 1e6 * (after.cpu_seconds - before.cpu_seconds) / users as f64;
    report.figure("cpu_reconnect_us", "server CPU to connect, authenticate, sync", reconnect, "us each");
    let cpu = quiet.cpu_seconds - after.cpu_seconds;
    report.figure(
        "cpu_quiet_percent",
        "server CPU while all are silent",
        100.0 * cpu / QUIET.as_secs_f64(),
        "% of a core",
    );
}

fn devices(people: Vec<Person>) -> Vec<Device> {
    let leave = |Person { device, wire }| {
        Wire::close(&wire);
        device
    };
    people.into_iter().map(leave).collect()
}

async fn open_all(dialer: &Dialer, devices: &[Device]) -> anyhow::Result<Vec<Idle>> {
    stream::iter(devices).map(|device| open(dialer, device)).buffered(TOGETHER).try_collect().await
}

/// Connects, authenticates, and follows the device's inbox.
async fn open(dialer: &Dialer, device: &Device) -> anyhow::Result<Idle> {
    let wire = dialer.connect().await?;
    wire.authenticate(device).await?;
    let inbox = ConversationName::inbox(wire.domain().clone(), device.id());
    let (mut requests, mut answers) = wire.open().await?;
    requests.send(Method::Sync(v1::Sync { cursors: vec![crowd::cursor(&inbox, Seq(0))] })).await?;
    // Until it has caught up it is not idle.
    let caught_up = async {
        loop {
            match answers.next().await?.context("a sync call ended")? {
                Outcome::CaughtUp(_) => return anyhow::Ok(()),
                Outcome::Following(_) | Outcome::Entry(_) => {}
                _ => anyhow::bail!("an answer that does not belong to a sync call"),
            }
        }
    };
    timeout(OPEN_WITHIN, caught_up).await.context("a sync call does not open")??;
    Ok(Idle { _wire: wire, _sync: (requests, answers) })
}
