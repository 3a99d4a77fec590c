//! The server goes away under all its users and comes again: how long until all are back, and is anything lost?
//!
//! Everybody talks as in the `seed` profile meanwhile. Clients find out and come back as the real one does: after a
//! stop the server has told them when; after a kill the next one answers what they say next with a reset.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::bail;
use tokio::time::{Instant, sleep};

use crate::{
    ccu,
    metrics::Metrics,
    report::Report,
    sampler::{Reading, Sampler},
    talk::{self, Common, Gathered},
};

/// Talk before the server goes, and after all are back.
const TALK: Duration = Duration::from_secs(5);
/// Longest wait for all to be back.
const BACK_WITHIN: Duration = Duration::from_secs(240);

/// How the server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As by `kill -9`.
    Killed,
    /// As by `systemctl restart`.
    Stopped,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, users: u32, ending: Ending) -> anyhow::Result<Report> {
    let scenario = ccu::scenario("storm", users, Duration::from_secs(86_400))?;
    let prepared = talk::prepare(common, &scenario).await?;
    let gathered = talk::gather(common, &scenario, prepared, true).await?;
    let Gathered { mut bed, load, attachments: _, mut outcome, prepared: _, readings } = gathered;
    let shared = std::sync::Arc::clone(&load.shared);
    let sampler = Sampler::start("deliveries", bed.pid(), std::sync::Arc::clone(&shared.counts.arrived));
    let (from, _) = load.talk(Duration::ZERO, scenario.measured)?;
    sleep(TALK).await;

    let gone = Instant::now();
    load.server_goes();
    match ending {
        Ending::Killed => bed.kill().await?,
        Ending::Stopped => bed.stop().await?,
    }
    let down = Instant::now();
    bed.restart().await?;
    let (restart, first) = (down.elapsed(), Reading::take(bed.pid())?);
    while shared.counts.returned.load(Ordering::Relaxed) < outcome.users {
        if gone.elapsed() > BACK_WITHIN {
            let back = shared.counts.returned.load(Ordering::Relaxed);
            let of = shared.returns.summary();
            let [half, most, last] = [of.p50, of.p99, of.max].map(|ms| ms / 1e3);
            bail!(
                "only {back} of {} users are back after {BACK_WITHIN:?}; of these half within {half:.1} s, 99 % within \
                 {most:.1} s, the last within {last:.1} s",
                outcome.users
            );
        }
        sleep(Duration::from_millis(20)).await;
    }
    let (back, last) = (gone.elapsed(), Reading::take(bed.pid())?);
    sleep(TALK).await;
    let page = Metrics::read(&bed.ready().metrics).await?;
    outcome.duration_s = from.elapsed().as_secs_f64();
    outcome.cost = last.since(&first);
    (outcome.op, outcome.ops) = ("return", outcome.users);
    outcome.rss_of_users = Some(last.rss_bytes().saturating_sub(readings.0.rss_bytes()));
    talk::finish(&mut outcome, load).await?;
    outcome.setting("delivery_ms", outcome.latency.json());
    outcome.latency(&shared.returns);
    outcome.setting("latency", "from the server's going to a user's being back, all read that was missed");
    outcome.sampled(sampler);
    let mut report = Report::of(outcome);
    ccu::describe(&mut report);
    report.note_setting("ending", if ending == Ending::Killed { "killed" } else { "stopped" });
    report.figure("all_back_s", "until all were back", back.as_secs_f64(), "s");
    report.figure("stop_s", "until the server had ended", down.saturating_duration_since(gone).as_secs_f64(), "s");
    report.figure("restart_s", "from there until it was ready again", restart.as_secs_f64(), "s");
    report.figure("sessions", "sessions by the server's count", page.value("qpc_sessions_active")?, "");
    Ok(report)
}
