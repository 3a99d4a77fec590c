//! Three servers whose people talk among themselves, and now and then with people of another one, against one server with as
//! many people: how many messages a second arrive when everybody talks as fast as they are answered, and what of the machine
//! each server takes for it.
//!
//! All share one machine with those who talk: what a server of its own could do is read off the CPU that a message takes.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};

use crate::{
    crowd::{self, Person},
    pairs::{Found, Pace, Pair, Rate, measure},
    random::Random,
    report::{Report, note},
    stats::median_of,
    towns::{self, SOCKETS},
    union::{DOMAINS, Union},
};

/// Key packages of each, of which making a conversation takes one.
const KEY_PACKAGES: usize = 2;
/// Where those talk to who talk to another server: each has one of its own.
const NEXT: [usize; DOMAINS.len()] = [1, 2, 0];

/// A figure, and in what it is.
type Shown<'f> = (&'f dyn Fn(&Found) -> f64, &'static str);

/// How figures of each kind are called: messages, what each costs, what of the machine each server takes, and what was lost.
const ONE: [(&str, &str); 6] = [
    ("one_rate", "one server: messages"),
    ("one_us", "one server: CPU a message"),
    ("one_cores", "one server: cores"),
    ("one_cores_second", "one server: cores of the second, which has nothing to do"),
    ("one_cores_third", "one server: cores of the third, which has nothing to do"),
    ("one_failed", "one server: failed"),
];
const THREE: [(&str, &str); 6] = [
    ("three_rate", "three servers: messages"),
    ("three_us", "three servers: CPU of all a message"),
    ("three_cores_first", "three servers: cores of the first"),
    ("three_cores_second", "three servers: cores of the second"),
    ("three_cores_third", "three servers: cores of the third"),
    ("three_failed", "three servers: failed"),
];

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Conversations of two in one server, and as many in three.
    pub pairs: usize,
    /// Of ten conversations so many are with somebody of another server.
    pub far: usize,
    /// Messages of each person that may be under way.
    pub window: u64,
    /// Seconds of each measurement.
    pub seconds: u32,
    /// Measurements of each kind, in turn.
    pub runs: u32,
    /// For all that is random.
    pub seed: u64,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(program: &Path, plan: &Plan) -> anyhow::Result<Report> {
    if !plan.pairs.is_multiple_of(DOMAINS.len())
        || plan.pairs == 0
        || plan.far > 10
        || plan.window == 0
        || plan.runs == 0
    {
        bail!("as many pairs at each server, at least one message and one run; at most ten of ten");
    }
    let mut random = Random::new(plan.seed);
    let union = Union::start(program).await?;
    let each = plan.pairs.div_ceil(DOMAINS.len());
    let mut ones = Vec::new();
    let mut others = Vec::new();
    for bed in &union.beds {
        let dialer = bed.dialer(SOCKETS)?;
        // The first server has as many others, who are there by themselves in one of both measurements.
        let people = if ones.is_empty() { each.saturating_add(plan.pairs) } else { each };
        ones.push(crowd::people(&dialer, bed.token(), "a", people).await?);
        others.push(crowd::people(&dialer, bed.token(), "b", people).await?);
    }
    let mut one = Vec::new();
    for at in each..each.saturating_add(plan.pairs) {
        one.push(pair((&ones, 0, at), (&others, 0, at), &mut random).await?);
    }
    let mut three = Vec::new();
    for at in 0..each {
        // Whose server orders a conversation is the first one's; so each has some of either.
        for (home, next) in NEXT.into_iter().enumerate() {
            let peer = if at % 10 < plan.far { next } else { home };
            three.push(pair((&ones, home, at), (&others, peer, at), &mut random).await?);
        }
    }
    let rate = Rate { pace: Pace::Window(plan.window), lasts: Duration::from_secs(plan.seconds.into()) };
    let mut found: [Vec<Found>; 2] = [Vec::new(), Vec::new()];
    for number in 1..=plan.runs {
        for ((name, pairs), found) in [("one", &mut one), ("three", &mut three)].into_iter().zip(&mut found) {
            let talked = measure(&union, pairs, rate, &mut random).await?;
            note(&format!(
                "run {number}, {name}: {:.0} messages a second, {:.0} us each, cores {:.2?}, {:.3} % failed",
                talked.per_second, talked.cpu_us, talked.cores, talked.failed
            ));
            found.push(talked);
        }
    }
    Ok(report(plan, &found))
}

/// Two people and their conversation: of which server each is, and which of its people.
async fn pair(
    (ones, home, first): (&[Vec<Person>], usize, usize),
    (others, peer, second): (&[Vec<Person>], usize, usize),
    random: &mut Random,
) -> anyhow::Result<Pair> {
    let of = |people: &[Vec<Person>], server: usize, at: usize| people.get(server)?.get(at).cloned();
    let one = of(ones, home, first).context("a person")?;
    let other = of(others, peer, second).context("another person")?;
    crowd::publish(&other, KEY_PACKAGES).await?;
    let room = towns::direct(&one, &other, random).await?;
    Ok(Pair::new([one, other], room, [true; 2]))
}

fn report(plan: &Plan, [one, three]: &[Vec<Found>; 2]) -> Report {
    let of = |found: &[Found], figure: &dyn Fn(&Found) -> f64| median_of(found.iter().map(figure));
    let mut report = Report::new("nodes");
    report.figure("pairs", "pairs of each kind", plan.pairs, "");
    report.figure("far", "of ten, with somebody of another server", plan.far, "");
    report.figure("window", "messages of each person under way", plan.window, "");
    report.figure("runs", "runs of each, of which these are medians", plan.runs, "");
    for (names, found) in [(ONE, one), (THREE, three)] {
        let figures: [Shown<'_>; 6] = [
            (&|found| found.per_second, "/s"),
            (&|found| found.cpu_us, "us"),
            (&|found| found.cores[0], ""),
            (&|found| found.cores[1], ""),
            (&|found| found.cores[2], ""),
            (&|found| found.failed, "%"),
        ];
        for ((key, text), (figure, unit)) in names.into_iter().zip(figures) {
            report.figure(key, text, of(found, figure), unit);
        }
    }
    report
}
