//! Messages between people of two servers against those between people of one: what a message costs all servers together,
//! how much later it arrives, and whether it arrives at all.
//!
//! Both are measured in turn, on the same servers and with as many people. The load is open: a message is due at its time
//! whether or not earlier ones have arrived, and latency counts from there.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use qpc_client::wire;
use qpc_proto::{
    id::{Counter, MessageId, Seq},
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    crowd::{self, Person, Room},
    latency::Latencies,
    process::Usage,
    random::Random,
    report::{Report, note},
    stats::median,
    towns::{self, SOCKETS},
    union::Union,
};

/// Bytes of a body: a short text, encrypted.
const BODY: usize = 350;
/// Load before what is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// A message that takes longer has failed.
const LATE: Duration = Duration::from_secs(5);
/// Key packages of each, of which making a conversation takes one.
const KEY_PACKAGES: usize = 2;

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

/// Two people, and how far they are in their conversation.
struct Pair {
    people: [Person; 2],
    room: Room,
    counters: [u64; 2],
    seq: u64,
}

/// What all share while they talk.
struct Shared {
    /// When each message was due, until it arrives.
    due: Mutex<HashMap<MessageId, Instant>>,
    deliveries: Latencies,
    late: AtomicU64,
    arrived: AtomicU64,
    from: Instant,
}

impl Shared {
    fn due(&self) -> MutexGuard<'_, HashMap<MessageId, Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one measurement has found.
struct Found {
    cpu_us: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    failed: f64,
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
            let people = [one.clone(), peer.clone()];
            pairs.push(Pair { people, seq: room.at.0, room, counters: [1, 0] });
        }
    }
    let mut found: [Vec<Found>; 2] = [Vec::new(), Vec::new()];
    for number in 1..=plan.runs {
        for ((name, pairs), found) in [("within", &mut within), ("across", &mut across)].into_iter().zip(&mut found) {
            let one = measure(&union, pairs, plan, &mut random).await?;
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
    let of = |found: &[Found], figure: &dyn Fn(&Found) -> f64| {
        let mut figures: Vec<f64> = found.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        median(&figures)
    };
    let cpu = |found: &[Found]| of(found, &|one| one.cpu_us);
    let mut report = Report::new("across");
    report.figure("pairs", "pairs", plan.pairs, "");
    report.figure("rate", "messages a second", plan.rate, "/s");
    report.figure("runs", "runs of each, of which these are medians", plan.runs, "");
    report.figure("within_us", "CPU of all servers for a message within one", cpu(within), "us");
    report.figure("across_us", "the same for one to another server", cpu(across), "us");
    report.figure("ratio", "ratio", cpu(across) / cpu(within).max(1e-9), "");
    for (keys, found) in [
        (["within_p50_ms", "within_p95_ms", "within_p99_ms", "within_failed"], within),
        (["across_p50_ms", "across_p95_ms", "across_p99_ms", "across_failed"], across),
    ] {
        let [p50, p95, p99, failed] = keys;
        let across = p50.starts_with("across");
        let texts: [&'static str; 4] = if across {
            ["to another server: p50", "to another server: p95", "to another server: p99", "to another server: failed"]
        } else {
            ["within one: p50", "within one: p95", "within one: p99", "within one: failed"]
        };
        let [t50, t95, t99, t_failed] = texts;
        report.figure(p50, t50, of(found, &|one| one.p50), "ms");
        report.figure(p95, t95, of(found, &|one| one.p95), "ms");
        report.figure(p99, t99, of(found, &|one| one.p99), "ms");
        report.figure(failed, t_failed, of(found, &|one| one.failed), "%");
    }
    report
}

/// Has some pairs talk for a while.
async fn measure(union: &Union, pairs: &mut [Pair], plan: &Plan, random: &mut Random) -> anyhow::Result<Found> {
    let start = Instant::now().checked_add(Duration::from_millis(200)).context("the clock's end")?;
    let from = start.checked_add(WARM_UP).context("the clock's end")?;
    let until = from.checked_add(Duration::from_secs(plan.seconds.into())).context("the clock's end")?;
    let shared = Arc::new(Shared {
        due: Mutex::default(),
        deliveries: Latencies::new()?,
        late: AtomicU64::new(0),
        arrived: AtomicU64::new(0),
        from,
    });
    let sides = u32::try_from(pairs.len())?.saturating_mul(2);
    let interval = Duration::from_secs(1).saturating_mul(sides).checked_div(plan.rate).context("a rate")?;
    let mut talking: JoinSet<anyhow::Result<(usize, usize, u64)>> = JoinSet::new();
    let mut readers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let mut number = 0_u32;
    for (at, pair) in pairs.iter().enumerate() {
        for (side, (person, counter)) in pair.people.iter().zip(pair.counters).enumerate() {
            let first = interval.saturating_mul(number).checked_div(sides).unwrap_or_default();
            number = number.saturating_add(1);
            let talk = Talk {
                person: person.clone(),
                room: pair.room.clone(),
                counter: Counter(counter),
                due: start.checked_add(first).context("the clock's end")?,
                interval,
                until,
                random: random.fork(),
            };
            let (mine, theirs) = (Arc::clone(&shared), Arc::clone(&shared));
            talking.spawn(async move { Ok((at, side, talk.run(&mine).await?)) });
            let (person, room, seq) = (person.clone(), pair.room.clone(), Seq(pair.seq));
            readers.spawn(async move { read(&person, &room, seq, &theirs).await });
        }
    }
    sleep_until(from).await;
    let (before, arrived) = (cpu(union)?, shared.arrived.load(Ordering::Relaxed));
    sleep_until(until).await;
    let (after, now_arrived) = (cpu(union)?, shared.arrived.load(Ordering::Relaxed));
    while let Some(talked) = talking.join_next().await {
        let (at, side, counter) = talked??;
        if let Some(slot) = pairs.get_mut(at).and_then(|pair| pair.counters.get_mut(side)) {
            *slot = counter;
        }
    }
    let given_up = Instant::now().checked_add(PATIENCE).context("the clock's end")?;
    while !shared.due().is_empty() && Instant::now() < given_up {
        sleep(Duration::from_millis(20)).await;
    }
    readers.abort_all();
    for pair in pairs.iter_mut() {
        // Each message is an entry, behind the commit.
        pair.seq = pair.counters.iter().sum();
    }
    let lost = u64::try_from(shared.due().len())?;
    let summary = shared.deliveries.summary();
    let failed = shared.late.load(Ordering::Relaxed).saturating_add(lost) as f64;
    Ok(Found {
        cpu_us: 1e6 * (after - before) / now_arrived.saturating_sub(arrived).max(1) as f64,
        p50: summary.p50,
        p95: shared.deliveries.quantile(0.95),
        p99: summary.p99,
        failed: 100.0 * failed / summary.count.saturating_add(lost).max(1) as f64,
    })
}

/// Seconds of CPU that all servers have used.
fn cpu(union: &Union) -> anyhow::Result<f64> {
    let used: Vec<Usage> = union.beds.iter().map(crate::bed::Bed::usage).collect::<Result<_, _>>()?;
    Ok(used.iter().map(|usage| usage.cpu_seconds).sum())
}

/// What one person says.
struct Talk {
    person: Person,
    room: Room,
    counter: Counter,
    due: Instant,
    interval: Duration,
    until: Instant,
    random: Random,
}

impl Talk {
    /// Says it; gives the last counter.
    async fn run(mut self, shared: &Shared) -> anyhow::Result<u64> {
        let (mut requests, mut answers) = self.person.wire.open().await?;
        let mut unanswered = 0_u64;
        loop {
            let more = self.due < self.until;
            if !more && unanswered == 0 {
                return Ok(self.counter.0);
            }
            tokio::select! {
                () = sleep_until(self.due), if more => {
                    self.counter = self.counter.next();
                    let id = self.random.message_id();
                    shared.due().insert(id, self.due);
                    let send = v1::Send {
                        conversation: Some(self.room.name.to_wire()),
                        message_id: id.to_bytes(),
                        counter: self.counter.0,
                        epoch: 1,
                        kind: v1::EntryKind::Message.into(),
                        body: crowd::body(&mut self.random, Some(id), BODY),
                        leave: false,
                    };
                    requests.send_frame(wire::frame(Method::Send(send))).await?;
                    unanswered = unanswered.saturating_add(1);
                    self.due = self.due.checked_add(self.interval).context("the clock's end")?;
                }
                answer = answers.next(), if unanswered > 0 => match answer?.context("the stream ended")? {
                    Outcome::Send(_) => unanswered = unanswered.saturating_sub(1),
                    Outcome::Error(error) => bail!("a message was refused with code {}: {}", error.code, error.detail),
                    _ => bail!("an answer of another kind"),
                },
            }
        }
    }
}

/// Reads what the other one says.
async fn read(person: &Person, room: &Room, after: Seq, shared: &Shared) -> anyhow::Result<()> {
    let (mut requests, mut answers) = person.wire.open().await?;
    requests.send(Method::Sync(v1::Sync { cursors: vec![crowd::cursor(&room.name, after)] })).await?;
    loop {
        let Outcome::Entry(entry) = answers.next().await?.context("the sync call ended")? else { continue };
        if entry.sender_device == person.device.id().to_bytes() {
            continue;
        }
        let Some(due) = MessageId::parse(&entry.message_id).ok().and_then(|id| shared.due().remove(&id)) else {
            continue;
        };
        shared.arrived.fetch_add(1, Ordering::Relaxed);
        let took = due.elapsed();
        if due >= shared.from {
            shared.deliveries.record(usize::try_from(entry.seq)?, took);
            if took > LATE {
                shared.late.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
