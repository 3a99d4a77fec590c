//! A server that is away while messages for its people are queued elsewhere, and comes back: does everything arrive, in
//! order and once; what does the healthy server keep in memory for it; and do its own people notice?
//!
//! The messages are of both kinds that wait: those in conversations that the healthy server orders, where the other one is a
//! reader that is behind, and those in conversations that the other one orders, which wait in the outbox.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use qpc_client::wire::{Dialer, Wire};
use qpc_proto::{
    chain::LogEntry,
    limits::LOG_PAGE_MAX,
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    crowd::{self, Person},
    pairs::{Pace, Pair, Rate, measure, say},
    process::Usage,
    random::Random,
    report::{Report, note},
    stats::median_of,
    towns::{self, SOCKETS},
    union::Union,
};

/// The healthy server, and the one that goes.
const HERE: usize = 0;
const THERE: usize = 1;
/// Conversations of people of the healthy server among themselves, and how often they talk together.
const LOCAL: usize = 20;
const LOCAL_RATE: u32 = 200;
/// Messages a second that are queued while the healthy server's own people are listened to.
const BESIDE: u32 = 500;
/// The same when as many as there may be are queued.
const QUEUED_RATE: u32 = 2_000;
/// Messages of one device that may wait in the outbox.
const WAITING_MAX: u32 = 1_000;
/// How long the one that was away may take to have everything.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Memory may grow by so much, and local messages take so much longer.
const GROWS_MAX: f64 = 16.0 * 1024.0 * 1024.0;
const RATIO_MAX: f64 = 1.2;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Conversations of each kind with people of the server that goes.
    pub pairs: usize,
    /// Messages that are queued for it.
    pub queued: u32,
    /// How often the healthy one's people are listened to while it is there, and while it is away; not at all where it is 0.
    pub runs: u32,
    /// Seconds of each.
    pub seconds: u32,
    /// For all that is random.
    pub seed: u64,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(program: &Path, plan: &Plan) -> anyhow::Result<Report> {
    let mut random = Random::new(plan.seed);
    let mut union = Union::start(program).await?;
    let (mut local, mut away) = furnish(&union, plan, &mut random).await?;
    let seconds = Duration::from_secs(plan.seconds.into());
    let (rate, beside) = (
        Rate { pace: Pace::PerSecond(LOCAL_RATE), lasts: seconds },
        Rate { pace: Pace::PerSecond(BESIDE), lasts: seconds.saturating_add(Duration::from_secs(2)) },
    );
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for number in 1..=plan.runs {
        for (name, away_now, found) in [("there", false, &mut there), ("away", true, &mut gone)] {
            if away_now {
                bed(&mut union)?.kill().await?;
            }
            let mut other = random.fork();
            let (one, said) =
                tokio::join!(measure(&union, &mut local, rate, &mut random), say(&mut away, beside, &mut other));
            said?;
            let one = one?;
            note(&format!(
                "run {number}, {name}: p50 {:.1}, p99 {:.1} ms, {:.3} % failed",
                one.p50, one.p99, one.failed
            ));
            ensure!(one.failed <= 0.0, "local messages were lost or late");
            found.push(one.p99);
            if away_now {
                bed(&mut union)?.restart().await?;
            }
            caught_up(&union, &mut away).await?;
        }
    }
    let (mut report, mut faults) = (Report::new("away"), Vec::new());
    report.figure("pairs", "conversations with people of the other server", away.len(), "");
    if plan.runs > 0 {
        let (there, gone) = (median_of(there), median_of(gone));
        report.figure("local_there_p99_ms", "local messages while it is there, p99, median", there, "ms");
        report.figure("local_away_p99_ms", "the same while it is away", gone, "ms");
        report.figure("local_ratio", "ratio", gone / there.max(1e-9), "");
        if gone > there * RATIO_MAX {
            faults.push(format!("local messages take {:.2} times as long", gone / there.max(1e-9)));
        }
    }

    let before = union.beds.get(HERE).context("a server")?.usage()?.rss_bytes;
    bed(&mut union)?.kill().await?;
    let most = Most::begin(union.beds.get(HERE).context("a server")?.pid().load(Ordering::Relaxed));
    let senders = u32::try_from(away.len())?;
    ensure!(plan.queued.div_ceil(senders.max(1)) <= WAITING_MAX, "too few conversations for so many messages");
    let lasts = Duration::from_secs_f64(f64::from(plan.queued) / f64::from(QUEUED_RATE));
    let earlier: u64 = away.iter().map(Pair::entries).sum();
    say(&mut away, Rate { pace: Pace::PerSecond(QUEUED_RATE), lasts }, &mut random).await?;
    let queued = away.iter().map(Pair::entries).sum::<u64>().saturating_sub(earlier);
    note(&format!("{queued} messages queued"));
    let began = Instant::now();
    bed(&mut union)?.restart().await?;
    faults.extend(caught_up(&union, &mut away).await?);
    let (took, most) = (began.elapsed().as_secs_f64(), most.end().await);
    let grown = most.saturating_sub(before);
    report.figure("queued", "messages queued while it was away", queued, "");
    report.figure("caught_up_s", "until it had all of them", took, "s");
    report.figure("grown_bytes", "memory of the healthy server grew by", grown, "bytes, at most");
    if grown as f64 > GROWS_MAX {
        faults.push(format!("its memory grew by {:.1} MiB", grown as f64 / 1024.0 / 1024.0));
    }
    faults.into_iter().for_each(|fault| report.fail(fault));
    Ok(report)
}

fn bed(union: &mut Union) -> anyhow::Result<&mut crate::bed::Bed> {
    union.beds.get_mut(THERE).context("a server")
}

/// Pairs at the healthy server, and of both kinds with people of the other one, to whom only those here talk.
async fn furnish(union: &Union, plan: &Plan, random: &mut Random) -> anyhow::Result<(Vec<Pair>, Vec<Pair>)> {
    let [here, there, _] = union.beds.as_slice() else { bail!("three servers") };
    let (way_here, way_there) = (here.dialer(SOCKETS)?, there.dialer(SOCKETS)?);
    // By their names, whoever is of the other server comes first in one kind, and last in the other.
    let firsts = crowd::people(&way_there, there.token(), "a", plan.pairs).await?;
    let ours = crowd::people(&way_here, here.token(), "b", plan.pairs.max(LOCAL)).await?;
    let others = crowd::people(&way_here, here.token(), "c", LOCAL).await?;
    let lasts = crowd::people(&way_there, there.token(), "d", plan.pairs).await?;
    let (mut local, mut away) = (Vec::new(), Vec::new());
    for (one, other) in ours.iter().zip(&others) {
        crowd::publish(other, 1).await?;
        let room = towns::direct(one, other, random).await?;
        local.push(Pair::new([one.clone(), other.clone()], room, [true; 2]));
    }
    for ((first, own), last) in firsts.iter().zip(&ours).zip(&lasts) {
        crowd::publish(own, 1).await?;
        let room = towns::direct(first, own, random).await?;
        away.push(Pair::new([first.clone(), own.clone()], room, [false, true]));
        crowd::publish(last, 1).await?;
        let room = towns::direct(own, last, random).await?;
        away.push(Pair::new([own.clone(), last.clone()], room, [true, false]));
    }
    Ok((local, away))
}

/// What somebody has read: of which pair and side, over which connection, and what was wrong.
struct Read {
    at: usize,
    side: usize,
    wire: Wire,
    faults: Vec<String>,
}

/// Waits until people of the server that was away can read everything there; gives what is wrong with it. They have new
/// connections then.
async fn caught_up(union: &Union, away: &mut [Pair]) -> anyhow::Result<Vec<String>> {
    let dialer = Arc::new(union.beds.get(THERE).context("a server")?.dialer(SOCKETS)?);
    let deadline = Instant::now().checked_add(CAUGHT_UP_WITHIN).context("the clock's end")?;
    let mut reading: JoinSet<anyhow::Result<Read>> = JoinSet::new();
    for (at, pair) in away.iter().enumerate() {
        let side = usize::from(pair.talks.first().copied().unwrap_or_default());
        let Some(person) = pair.people.get(side).cloned() else { continue };
        let (dialer, name, entries) = (Arc::clone(&dialer), pair.room.name.to_wire(), pair.entries());
        reading.spawn(async move {
            let wire = connect(&dialer, &person).await?;
            let faults = whole(&wire, name, entries, deadline).await?;
            Ok(Read { at, side, wire, faults })
        });
    }
    let mut faults = Vec::new();
    while let Some(read) = reading.join_next().await {
        let Read { at, side, wire, faults: found } = read??;
        faults.extend(found);
        if let Some(person) = away.get_mut(at).and_then(|pair| pair.people.get_mut(side)) {
            person.wire = wire;
        }
    }
    Ok(faults)
}

async fn connect(dialer: &Dialer, person: &Person) -> anyhow::Result<Wire> {
    let wire = dialer.connect().await?;
    wire.authenticate(&person.device).await?;
    Ok(wire)
}

/// Reads a log from its beginning until it has so many entries: each in its place, and each device's in their order.
async fn whole(
    wire: &Wire,
    name: v1::ConversationName,
    entries: u64,
    deadline: Instant,
) -> anyhow::Result<Vec<String>> {
    let (mut after, mut counters) = (0_u64, std::collections::HashMap::new());
    let mut faults = Vec::new();
    while after < entries {
        let limit = u32::try_from(LOG_PAGE_MAX)?;
        let read = v1::ReadLog { conversation: Some(name.clone()), after_seq: after, limit };
        let Outcome::ReadLog(page) = wire.call(Method::ReadLog(read)).await? else {
            bail!("an answer of another kind")
        };
        if page.entries.is_empty() {
            if Instant::now() >= deadline {
                faults.push(format!("{after} of {entries} entries have come"));
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
        for entry in page.entries {
            let entry = LogEntry::parse(entry)?;
            let counter = counters.entry(entry.sender).or_insert(0_u64);
            if entry.seq.0 != after.saturating_add(1) || entry.counter.0 != counter.saturating_add(1) {
                faults
                    .push(format!("entry {} after {after}, of counter {} after {counter}", entry.seq, entry.counter.0));
            }
            (after, *counter) = (entry.seq.0, entry.counter.0);
        }
    }
    Ok(faults)
}

/// The most memory that a process has while this lasts.
struct Most {
    bytes: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    looking: JoinSet<()>,
}

impl Most {
    fn begin(pid: u32) -> Self {
        let (bytes, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut looking = JoinSet::new();
        let (most, end) = (Arc::clone(&bytes), Arc::clone(&over));
        looking.spawn(async move {
            while !end.load(Ordering::Relaxed) {
                if let Ok(usage) = Usage::of(pid) {
                    most.fetch_max(usage.rss_bytes, Ordering::Relaxed);
                }
                sleep(LOOK_AGAIN).await;
            }
        });
        Self { bytes, over, looking }
    }

    async fn end(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        while self.looking.join_next().await.is_some() {}
        self.bytes.load(Ordering::Relaxed)
    }
}
