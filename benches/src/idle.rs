//! What a connection costs that is there and silent.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    accounts,
    layout::Layout,
    load::{Load, Manner, Script, Sizes},
    metrics::Metrics,
    outcome::Outcome,
    report::Report,
    sampler::{Reading, Sampler},
    sizing,
    talk::{self, Common, SETTLE},
};

/// Connections before the measured ones, so that what a server reserves once does not count.
const WARM_UP: u32 = 64;

/// Runs it: each connection sends one keep-alive in 30 s.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, users: u32, quiet: Duration) -> anyhow::Result<Report> {
    let layout = Layout::alone(users.saturating_add(WARM_UP));
    let prepared = accounts::prepare(&common.beds, common.accounts.as_deref(), &layout).await?;
    let bed = prepared.open(&common.beds).await?;
    let manner = Manner {
        acknowledge: common.acknowledge,
        sockets: common.sockets,
        sizes: Sizes::of_text(common.text, &prepared.users)?,
        churn: None,
        ephemeral: false,
        storms: false,
        seed: common.seed,
    };
    let (measured, warm) = prepared.users.split_at(usize::try_from(users)?);
    let silent = |_: u32| Script::Silent;
    let warm = Load::gather(bed.dialer(manner.sockets)?, warm, &[], silent, None, &manner).await?;
    sleep(SETTLE).await;
    let before = Reading::take(bed.pid())?;
    let load = Load::gather(bed.dialer(manner.sockets)?, measured, &[], silent, None, &manner).await?;
    sleep(SETTLE).await;
    let after = Reading::take(bed.pid())?;
    let first_page = Metrics::read(&bed.ready().metrics).await?;
    let sampler = Sampler::start("reconnects", bed.pid(), std::sync::Arc::default());
    sleep(quiet).await;
    let last = Reading::take(bed.pid())?;
    let page = Metrics::read(&bed.ready().metrics).await?;

    let mut outcome = Outcome::begin("idle", common);
    outcome.users = load.users();
    outcome.cost = last.since(&after);
    outcome.duration_s = outcome.cost.seconds;
    (outcome.op, outcome.ops) = ("user", load.users());
    outcome.rss_of_users = Some(after.rss_bytes().saturating_sub(before.rss_bytes()));
    outcome.setting("keep_alive_s", 30);
    outcome.setting("connections_before", WARM_UP);
    let (sessions, syncs) = (page.value("qpc_sessions_active")?, page.value("qpc_syncs_active")?);
    let wanted = f64::from(users.saturating_add(WARM_UP));
    if sessions < wanted || syncs < wanted {
        outcome.errors = outcome.errors.saturating_add(1);
    }
    outcome.sampled(sampler);
    talk::finish(&mut outcome, load).await?;
    warm.end(Duration::ZERO).await?;
    let mut report = Report::of(outcome);
    let gathering = after.since(&before);
    let each = 1e6 * gathering.server_cpu / f64::from(users.max(1));
    report.figure("gather_s", "time until all were connected", gathering.seconds, "s");
    report.figure("cpu_reconnect_us", "server CPU to connect, authenticate, sync", each, "us each");
    sizing::traffic(&mut report, &first_page, &page, last.since(&after).seconds, 0)?;
    report.figure("sessions", "sessions by the server's count", sessions, "");
    report.figure("syncs", "sync calls by the server's count", syncs, "");
    Ok(report)
}
