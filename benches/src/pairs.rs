//! Pairs of people who talk at a rate, over one server or over two: when each message was due, and when it has arrived.
//!
//! At a rate the load is open: a message is due at its time whether or not earlier ones have arrived, and latency counts from
//! there. Where everybody talks as fast as they are answered it counts from when a message is sent.

use std::{
    collections::HashMap,
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
    random::Random,
    union::{DOMAINS, Union},
};

/// Bytes of a body: a short text, encrypted.
const BODY: usize = 350;
/// Load before what is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// A message that takes longer has failed.
const LATE: Duration = Duration::from_secs(5);

/// Two people, and how far they are in their conversation.
pub struct Pair {
    /// Whoever made it first.
    pub people: [Person; 2],
    /// Which of them talk.
    pub talks: [bool; 2],
    /// Their conversation.
    pub room: Room,
    /// The last counter of each.
    pub counters: [u64; 2],
}

impl Pair {
    /// Who have said nothing yet.
    #[must_use]
    pub fn new(people: [Person; 2], room: Room, talks: [bool; 2]) -> Self {
        Self { people, talks, room, counters: [1, 0] }
    }

    /// Entries of their log, of which each is a message but the commit that made it.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.counters.iter().sum()
    }
}

/// When somebody says something.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// All of them together so many messages a second.
    PerSecond(u32),
    /// Each as soon as fewer than so many of their messages are unanswered.
    Window(u64),
}

/// How often all of them talk together, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// When.
    pub pace: Pace,
    /// For so long.
    pub lasts: Duration,
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
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// CPU of all servers for a message, in microseconds.
    pub cpu_us: f64,
    /// Messages that arrived in a second.
    pub per_second: f64,
    /// Of the machine's cores, what each server took, in their order.
    pub cores: [f64; DOMAINS.len()],
    /// Percentiles, in milliseconds.
    pub p50: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// Messages that came late or not at all, of a hundred.
    pub failed: f64,
}

/// Has some pairs talk for a while, and the others of each listen.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn measure(union: &Union, pairs: &mut [Pair], rate: Rate, random: &mut Random) -> anyhow::Result<Found> {
    let start = Instant::now().checked_add(Duration::from_millis(200)).context("the clock's end")?;
    let from = start.checked_add(WARM_UP).context("the clock's end")?;
    let until = from.checked_add(rate.lasts).context("the clock's end")?;
    let shared = Arc::new(Shared {
        due: Mutex::default(),
        deliveries: Latencies::new()?,
        late: AtomicU64::new(0),
        arrived: AtomicU64::new(0),
        from,
    });
    let mut readers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for pair in pairs.iter() {
        for person in &pair.people {
            let (person, room, seq) = (person.clone(), pair.room.clone(), Seq(pair.entries()));
            let theirs = Arc::clone(&shared);
            readers.spawn(async move { read(&person, &room, seq, &theirs).await });
        }
    }
    let talking = begin(pairs, (start, until), rate, Some(&shared), random)?;
    sleep_until(from).await;
    let (before, arrived) = (cpu(union), shared.arrived.load(Ordering::Relaxed));
    sleep_until(until).await;
    let (after, now_arrived) = (cpu(union), shared.arrived.load(Ordering::Relaxed));
    let seconds = until.elapsed().saturating_add(rate.lasts).as_secs_f64();
    talking.end(pairs).await?;
    let given_up = Instant::now().checked_add(PATIENCE).context("the clock's end")?;
    while !shared.due().is_empty() && Instant::now() < given_up {
        sleep(Duration::from_millis(20)).await;
    }
    readers.abort_all();
    let lost = u64::try_from(shared.due().len())?;
    let summary = shared.deliveries.summary();
    let failed = shared.late.load(Ordering::Relaxed).saturating_add(lost) as f64;
    let arrived = now_arrived.saturating_sub(arrived).max(1) as f64;
    let mut used = [0.0; DOMAINS.len()];
    used.iter_mut().zip(after.iter().zip(before)).for_each(|(used, (after, before))| *used = after - before);
    Ok(Found {
        cpu_us: 1e6 * used.iter().sum::<f64>() / arrived,
        per_second: arrived / seconds,
        cores: used.map(|used| used / seconds),
        p50: summary.p50,
        p95: shared.deliveries.quantile(0.95),
        p99: summary.p99,
        failed: 100.0 * failed / summary.count.saturating_add(lost).max(1) as f64,
    })
}

/// Has some pairs talk for a while, and nobody listen; waits until every message is answered.
///
/// # Errors
/// When one is refused.
pub async fn say(pairs: &mut [Pair], rate: Rate, random: &mut Random) -> anyhow::Result<()> {
    let start = Instant::now();
    let until = start.checked_add(rate.lasts).context("the clock's end")?;
    begin(pairs, (start, until), rate, None, random)?.end(pairs).await
}

/// Those who talk: the pair, the side, and the last counter in the end.
struct Talking(JoinSet<anyhow::Result<(usize, usize, u64)>>);

fn begin(
    pairs: &[Pair],
    (start, until): (Instant, Instant),
    rate: Rate,
    shared: Option<&Arc<Shared>>,
    random: &mut Random,
) -> anyhow::Result<Talking> {
    let sides = pairs.iter().flat_map(|pair| pair.talks).filter(|talks| *talks).count();
    let sides = u32::try_from(sides)?;
    let (interval, window) = match rate.pace {
        Pace::PerSecond(rate) => {
            (Duration::from_secs(1).saturating_mul(sides).checked_div(rate).context("a rate")?, None)
        }
        Pace::Window(window) => (Duration::ZERO, Some(window)),
    };
    let mut talking = Talking(JoinSet::new());
    let mut number = 0_u32;
    for (at, pair) in pairs.iter().enumerate() {
        for (side, (person, counter)) in pair.people.iter().zip(pair.counters).enumerate() {
            if !pair.talks.get(side).copied().unwrap_or_default() {
                continue;
            }
            let first = interval.saturating_mul(number).checked_div(sides).unwrap_or_default();
            number = number.saturating_add(1);
            let talk = Talk {
                person: person.clone(),
                room: pair.room.clone(),
                counter: Counter(counter),
                due: start.checked_add(first).context("the clock's end")?,
                interval,
                window,
                until,
                random: random.fork(),
            };
            let shared = shared.cloned();
            talking.0.spawn(async move { Ok((at, side, talk.run(shared.as_deref()).await?)) });
        }
    }
    Ok(talking)
}

impl Talking {
    /// Waits until all have their answers, and notes how far they came.
    async fn end(mut self, pairs: &mut [Pair]) -> anyhow::Result<()> {
        while let Some(talked) = self.0.join_next().await {
            let (at, side, counter) = talked??;
            if let Some(slot) = pairs.get_mut(at).and_then(|pair| pair.counters.get_mut(side)) {
                *slot = counter;
            }
        }
        Ok(())
    }
}

/// Seconds of CPU that each server has used; none, if it is not there.
fn cpu(union: &Union) -> [f64; DOMAINS.len()] {
    let mut used = [0.0; DOMAINS.len()];
    let seconds = union.beds.iter().map(|bed| bed.usage().map_or(0.0, |usage| usage.cpu_seconds));
    used.iter_mut().zip(seconds).for_each(|(used, seconds)| *used = seconds);
    used
}

/// What one person says.
struct Talk {
    person: Person,
    room: Room,
    counter: Counter,
    due: Instant,
    interval: Duration,
    /// How many may be unanswered, where they are due as soon as that allows it.
    window: Option<u64>,
    until: Instant,
    random: Random,
}

impl Talk {
    /// Says it; gives the last counter.
    async fn run(mut self, shared: Option<&Shared>) -> anyhow::Result<u64> {
        let (mut requests, mut answers) = self.person.wire.open().await?;
        let mut unanswered = 0_u64;
        loop {
            if self.window.is_some() {
                self.due = self.due.max(Instant::now());
            }
            let more = self.due < self.until;
            if !more && unanswered == 0 {
                return Ok(self.counter.0);
            }
            let may = self.window.is_none_or(|window| unanswered < window);
            tokio::select! {
                () = sleep_until(self.due), if more && may => {
                    self.counter = self.counter.next();
                    let id = self.random.message_id();
                    if let Some(shared) = shared {
                        shared.due().insert(id, self.due);
                    }
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
    requests
        .send(Method::Sync(v1::Sync { cursors: vec![crowd::cursor(&room.name, after)], ephemerals: false }))
        .await?;
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
