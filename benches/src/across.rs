//! Messages between people of two servers against those between people of one: what a message costs all servers together,
//! how much later it arrives, and whether it arrives at all.
//!
//! Both are measured in turn, on the same servers and with as many people.

use std::{path::Path, time::Duration};

use anyhow::bail;

use crate::{
    crowd,
    pairs::{Found, Pace, Pair, Rate, measure},
    random::Random,
    report::{Report, note},
    stats::median_of,
    towns::{self, SOCKETS},
    union::Union,
};

/// Key packages of each, of which making a conversation takes one.
const KEY_PACKAGES: usize = 2;

/// How figures of each kind are called: 50th, 95th and 99th percentile, and what came late or not at all.
const WITHIN: [(&str, &str); 4] = [
    ("within_p50_ms", "within one: p50"),
    ("within_p95_ms", "within one: p95"),
    ("within_p99_ms", "within one: p99"),
    ("within_failed", "within one: failed"),
];
const ACROSS: [(&str, &str); 4] = [
    ("across_p50_ms", "to another server: p50"),
    ("across_p95_ms", "to another server: p95"),
    ("across_p99_ms", "to another server: p99"),
    ("across_failed", "to another server: failed"),
];

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Conversations of two within one server, and as many over two.
    pub pairs: usize,
    /// Messages a second, over all.
    pub rate: u32,
    /// Seconds of each measurement.
    pub seconds: u32,
    /// Measurements of each kind.
    pub runs: u32,
    /// For all that is random.
    pub seed: u64,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(program: &Path, plan: &Plan) -> anyhow::Result<Report> {
    if plan.pairs == 0 || plan.rate == 0 || plan.runs == 0 {
        bail!("at least one pair, one message and one run");
    }
    let mut random = Random::new(plan.seed);
    let union = Union::start(program).await?;
    let [a, b, _] = union.beds.as_slice() else { bail!("three servers") };
    let (at_a, at_b) = (a.dialer(SOCKETS)?, b.dialer(SOCKETS)?);
    let ones = crowd::people(&at_a, a.token(), "a", plan.pairs).await?;
    let twos = crowd::people(&at_a, a.token(), "b", plan.pairs).await?;
    let others = crowd::people(&at_b, b.token(), "c", plan.pairs).await?;
    let (mut within, mut across) = (Vec::new(), Vec::new());
    for ((one, two), other) in ones.iter().zip(&twos).zip(&others) {
        for (peer, pairs) in [(two, &mut within), (other, &mut across)] {
            crowd::publish(peer, KEY_PACKAGES).await?;
            let room = towns::direct(one, peer, &mut random).await?;
            pairs.push(Pair::new([one.clone(), peer.clone()], room, [true; 2]));
        }
    }
    let rate = Rate { pace: Pace::PerSecond(plan.rate), lasts: Duration::from_secs(plan.seconds.into()) };
    let mut found: [Vec<Found>; 2] = [Vec::new(), Vec::new()];
    for number in 1..=plan.runs {
        for ((name, pairs), found) in [("within", &mut within), ("across", &mut across)].into_iter().zip(&mut found) {
            let one = measure(&union, pairs, rate, &mut random).await?;
            note(&format!(
                "run {number}, {name}: {:.0} us a message, p50 {:.1}, p95 {:.1}, p99 {:.1} ms, {:.3} % failed",
                one.cpu_us, one.p50, one.p95, one.p99, one.failed
            ));
            found.push(one);
        }
    }
    Ok(report(plan, &found))
}

fn report(plan: &Plan, [within, across]: &[Vec<Found>; 2]) -> Report {
    let of = |found: &[Found], figure: &dyn Fn(&Found) -> f64| median_of(found.iter().map(figure));
    let cpu = |found: &[Found]| of(found, &|one| one.cpu_us);
    let mut report = Report::new("across");
    report.figure("pairs", "pairs", plan.pairs, "");
    report.figure("rate", "messages a second", plan.rate, "/s");
    report.figure("runs", "runs of each, of which these are medians", plan.runs, "");
    report.figure("within_us", "CPU of all servers for a message within one", cpu(within), "us");
    report.figure("across_us", "the same for one to another server", cpu(across), "us");
    report.figure("ratio", "ratio", cpu(across) / cpu(within).max(1e-9), "");
    let figures: [&dyn Fn(&Found) -> f64; 4] = [&|one| one.p50, &|one| one.p95, &|one| one.p99, &|one| one.failed];
    for (names, found) in [(WITHIN, within), (ACROSS, across)] {
        for (((key, text), figure), unit) in names.into_iter().zip(figures).zip(["ms", "ms", "ms", "%"]) {
            report.figure(key, text, of(found, figure), unit);
        }
    }
    report
}
