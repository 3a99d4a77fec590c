//! What all scenarios in which people talk have in common: prepare, gather, talk, measure, judge.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::Context;
use qpc_client::wire::Device;
use tokio::time::{sleep, sleep_until};

use crate::{
    accounts::{self, Prepared, ReadyRoom, STRETCHING},
    attachments::{self, Attachments},
    bed::{Bed, Beds},
    layout::Layout,
    load::{Engines, Load, Manner, Script, Shared, Sizes},
    metrics::Metrics,
    outcome::Outcome,
    report::{Report, note},
    sampler::{Reading, Sampler},
    sizing,
};

/// Load before the measurement: a tenth of its time, but no less and no more than these.
const WARM_UP: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(30));
/// How long things settle before memory is read.
pub const SETTLE: Duration = Duration::from_secs(1);
/// From the end to the last message being there: longer than a client that lost its connection stays away.
const PATIENCE: Duration = Duration::from_secs(120);

/// What every load scenario is told.
#[derive(Debug, Clone)]
pub struct Common {
    /// Where servers come from.
    pub beds: Beds,
    /// Where accounts are kept.
    pub accounts: Option<PathBuf>,
    /// How long a client gathers acknowledgements.
    pub acknowledge: Duration,
    /// UDP sockets of the clients.
    pub sockets: usize,
    /// Of a hundred clients, so many run real MLS.
    pub mls_percent: u32,
    /// What they may do in a second, all together.
    pub mls_per_second: u32,
    /// Bytes of a text, where a scenario has no mix of its own.
    pub text: usize,
    /// Clients say that they are writing, and what they have read.
    pub ephemeral: bool,
    /// For all that is random.
    pub seed: u64,
}

/// One scenario.
pub struct Scenario<F> {
    /// Its name.
    pub name: &'static str,
    /// Who talks with whom.
    pub layout: Layout,
    /// When everybody talks.
    pub script: F,
    /// Neighbours of so many share whether they run real MLS.
    pub unit: u32,
    /// Members of one MLS group, at most.
    pub mls_members: usize,
    /// Use the mix of lengths instead of one.
    pub mixed: bool,
    /// Who sends files beside it: the layout's last users.
    pub attachments: Option<attachments::Plan>,
    /// How often a client leaves and comes back.
    pub churn: Option<Duration>,
    /// How long is measured.
    pub measured: Duration,
}

/// A server with everybody connected.
pub struct Gathered {
    /// The server.
    pub bed: Bed,
    /// The clients.
    pub load: Load,
    /// Who sends files.
    pub attachments: Option<Attachments>,
    /// What the server used before they came, and after.
    pub readings: (Reading, Reading),
    /// What is known so far.
    pub outcome: Outcome,
    /// The server's data lies there.
    pub prepared: Prepared,
}

/// Makes what a scenario's layout lacks.
///
/// # Errors
/// What went wrong.
pub async fn prepare<F>(common: &Common, scenario: &Scenario<F>) -> anyhow::Result<Prepared> {
    accounts::prepare(&common.beds, common.accounts.as_deref(), &scenario.layout).await
}

/// Starts the measured server, and connects everybody.
///
/// # Errors
/// What went wrong.
pub async fn gather<F: Fn(u32) -> Script>(
    common: &Common,
    scenario: &Scenario<F>,
    prepared: Prepared,
    storms: bool,
) -> anyhow::Result<Gathered> {
    let bed = prepared.open(&common.beds).await?;
    let mut outcome = Outcome::begin(scenario.name, common);
    let sizes =
        if scenario.mixed { Sizes::mixed(&prepared.users)? } else { Sizes::of_text(common.text, &prepared.users)? };
    let (users, rooms, pairs) = attachments::apart(&prepared, scenario.attachments.as_ref());
    let users = prepared.users.get(..users).context("too few users")?;
    let engines = engines(common, scenario, users, &rooms)?;
    settings(&mut outcome, common, &prepared, &sizes);
    let before = Reading::take(bed.pid())?;
    let manner = Manner {
        acknowledge: common.acknowledge,
        sockets: common.sockets,
        sizes,
        churn: scenario.churn,
        ephemeral: common.ephemeral,
        storms,
        seed: common.seed,
    };
    let dialer = bed.dialer(manner.sockets)?;
    let load = Load::gather(dialer, users, &rooms, &scenario.script, engines, &manner).await?;
    let attachments = match scenario.attachments {
        Some(plan) => Some(Attachments::gather(bed.dialer(1)?, &prepared, pairs, plan, common.seed).await?),
        None => None,
    };
    outcome.users = load.users();
    sleep(SETTLE).await;
    let after = Reading::take(bed.pid())?;
    Ok(Gathered { bed, load, attachments, readings: (before, after), outcome, prepared })
}

fn engines<F>(
    common: &Common,
    scenario: &Scenario<F>,
    users: &[Device],
    rooms: &[ReadyRoom],
) -> anyhow::Result<Option<Engines>> {
    if common.mls_percent == 0 {
        return Ok(None);
    }
    // Every tenth unit, for instance, from the first on.
    let real = |user: u32| {
        let unit = u64::from(user.checked_div(scenario.unit).unwrap_or_default());
        unit.wrapping_mul(common.mls_percent.into()).wrapping_rem(100) < common.mls_percent.into()
    };
    let began = std::time::Instant::now();
    let engines = Engines::start(users, rooms, real, scenario.mls_members, common.mls_per_second)?;
    note(&format!("MLS groups made in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(Some(engines))
}

fn settings(outcome: &mut Outcome, common: &Common, prepared: &Prepared, sizes: &Sizes) {
    let used = prepared.rooms.iter().filter(|room| room.used);
    let groups = used.clone().filter(|room| room.members.len() > 2).count();
    outcome.setting("accounts", format!("first devices; passwords stretched with {STRETCHING}"));
    outcome.setting("conversations", format!("{} used, {groups} of them groups", used.count()));
    outcome.setting("body_bytes", sizes.to_string());
    let acknowledge = u64::try_from(common.acknowledge.as_millis()).unwrap_or(u64::MAX);
    outcome.setting("acknowledgements_gathered_ms", acknowledge);
    outcome.setting("mls_percent", common.mls_percent);
    outcome.setting("mls_operations_per_second_max", common.mls_per_second);
}

/// Runs a scenario whose figures are those of its messages.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run<F: Fn(u32) -> Script>(common: &Common, scenario: Scenario<F>) -> anyhow::Result<Report> {
    let prepared = prepare(common, &scenario).await?;
    measure(gather(common, &scenario, prepared, false).await?, scenario.measured).await
}

/// Has everybody talk, and measures.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn measure(gathered: Gathered, measured: Duration) -> anyhow::Result<Report> {
    let Gathered { bed, load, attachments, readings, mut outcome, prepared: _ } = gathered;
    let metrics = bed.ready().metrics.clone();
    let sampler = Sampler::start("deliveries", bed.pid(), Arc::clone(&load.shared.counts.arrived));
    let warm_up = measured.mul_f64(0.1).clamp(WARM_UP.0, WARM_UP.1);
    let (from, upto) = load.talk(warm_up, measured)?;
    if let Some(attachments) = &attachments {
        attachments.go(from, upto);
    }
    sleep_until(from).await;
    let body = load.shared.body_mean();
    let throttled = bed.throttled_seconds();
    let (page, first, arrived) = (Metrics::read(&metrics).await?, Reading::take(bed.pid())?, arrived(&load.shared));
    sleep_until(upto).await;
    let (last, now_arrived) = (Reading::take(bed.pid())?, self::arrived(&load.shared));
    let (last_page, last_throttled) = (Metrics::read(&metrics).await?, bed.throttled_seconds());
    outcome.cost = last.since(&first);
    outcome.duration_s = outcome.cost.seconds;
    (outcome.op, outcome.ops) = ("delivery", now_arrived.saturating_sub(arrived));
    outcome.rss_of_users = Some(last.rss_bytes().saturating_sub(readings.0.rss_bytes()));
    finish(&mut outcome, load).await?;
    let mut of_files = None;
    if let Some(attachments) = attachments {
        match attachments.end(measured.as_secs_f64()).await {
            Ok(found) => of_files = Some(found),
            Err(error) => {
                outcome.errors = outcome.errors.saturating_add(1);
                outcome.first_errors.push(format!("files: {error:#}"));
            }
        }
    }
    outcome.sampled(sampler);
    outcome.measured_s = Some((warm_up.as_secs_f64(), warm_up.saturating_add(measured).as_secs_f64()));
    let each = outcome.delivered as f64 / outcome.sent.max(1) as f64;
    let (seconds, ops) = (outcome.cost.seconds, outcome.ops);
    let messages = outcome.sent as f64 / outcome.duration_s.max(1e-9);
    let mut report = Report::of(outcome);
    report.figure("messages_per_s", "messages sent", messages, "/s");
    report.figure("body_mean_bytes", "body of a message, mean", body, "bytes");
    report.figure("deliveries_per_message", "deliveries of a message", each, "");
    let connect = readings.1.since(&readings.0);
    report.figure("gather_s", "time until all were connected", connect.seconds, "s");
    sizing::traffic(&mut report, &page, &last_page, seconds, ops)?;
    store_figures(&mut report, &page, &last_page)?;
    if let Some(add) = of_files {
        add(&mut report);
    }
    if let (Some(before), Some(after)) = (throttled, last_throttled) {
        report.figure("throttled_s", "threads held up by the quota", after - before, "s, all threads together");
    }
    Ok(report)
}

fn arrived(shared: &Shared) -> u64 {
    shared.counts.arrived.load(std::sync::atomic::Ordering::Relaxed)
}

/// Ends a load, and takes over what it counted and found.
///
/// # Errors
/// When a client's task has failed.
pub async fn finish(outcome: &mut Outcome, load: Load) -> anyhow::Result<()> {
    let shared = Arc::clone(&load.shared);
    let verdict = load.end(PATIENCE).await?;
    (outcome.faults, outcome.errors) = (verdict.faults, outcome.errors.saturating_add(verdict.errors));
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    outcome.first_errors.clone_from(&shared.counts.first_errors.lock().unwrap_or_else(PoisonError::into_inner));
    outcome.sent = count(&shared.counts.sent);
    outcome.delivered = count(&shared.counts.delivered);
    outcome.latency(&shared.deliveries);
    let answers = shared.answers.summary();
    outcome.setting("send_to_answer_ms", answers.json());
    outcome.setting("messages_in_all", count(&shared.counts.made));
    outcome.setting("ephemeral_said", count(&shared.counts.whispered));
    outcome.setting("ephemeral_heard", count(&shared.counts.overheard));
    outcome.setting("reconnects_planned", count(&shared.counts.planned_reconnects));
    outcome.setting("connections_lost", count(&shared.counts.lost_connections));
    let engines = shared.engines().map_or_else(|| "none".to_owned(), Engines::said);
    outcome.setting("mls", engines);
    outcome.setting("latency", "from the due time to the arrival; without messages that engines encrypt");
    Ok(())
}

fn store_figures(report: &mut Report, before: &Metrics, after: &Metrics) -> anyhow::Result<()> {
    let since = |name: &str| after.since(before, name).context("the server's figures");
    let (commits, batches) = (since("qpc_store_commit_seconds_count")?, since("qpc_store_batch_size_count")?);
    let (spent, synced) = (since("qpc_store_commit_seconds_sum")?, since("qpc_store_fsync_seconds_sum")?);
    report.figure("commits", "commits", commits, "");
    report.figure("rows_per_commit", "rows per commit", since("qpc_store_batch_size_sum")? / batches.max(1.0), "");
    report.figure("commit_work_us", "work of one commit, mean", 1e6 * spent / commits.max(1.0), "us");
    report.figure("commit_sync_us", "sync of one commit, mean", 1e6 * synced / commits.max(1.0), "us");
    report.figure("behind", "readers that fell behind", since("qpc_behind_total")?, "");
    Ok(())
}

/// Seconds, as a time.
#[must_use]
pub fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
