//! Blobs: what one costs the server in each direction and how fast it goes, what many uploads at once take of memory, and
//! whether messages wait for them.
//!
//! Small messages are sent at their times, whether or not earlier ones have arrived, with transfers beside them and without, in turn;
//! a run's figure is the 99th percentile from the due time to the arrival. Transfers are made anew for as long as a run lasts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail, ensure};
use qpc_client::wire::{Dialer, Wire};
use qpc_proto::{
    id::ConversationName,
    v1::{self, answer::Result as Answer, request::Method},
};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{interval, sleep, sleep_until},
};

use crate::{
    accounts::{self, Prepared, ReadyRoom},
    bed::Bed,
    latency::Latencies,
    layout::Layout,
    ledger::Tag,
    mark::{Clock, Mark},
    outcome::Outcome,
    progress::Progress,
    report::Report,
    sampler::{Cost, Reading, ServerPid},
    seat::{PARTS_IN_FLIGHT, RANGES_IN_FLIGHT, Seat, content},
    talk::{Common, SETTLE},
};

/// Pairs that send small messages.
const PAIRS: u32 = 20;
/// Bytes of one.
const TEXT: usize = 400;
/// Bytes of each blob where many are uploaded at once.
const SMALL: usize = 8 * 1024 * 1024;
/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(50);
/// After a run, for what is under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Bytes of a large blob.
    pub size: usize,
    /// Large blobs each way, one after the other.
    pub rounds: u32,
    /// Uploads at once, for the memory that they take.
    pub uploads: u32,
    /// Transfers beside the messages.
    pub transfers: u32,
    /// Messages a second.
    pub rate: u32,
    /// Runs with transfers, and as many without.
    pub runs: u32,
    /// Seconds of each.
    pub seconds: u32,
}

/// Everybody who takes part.
struct House {
    dialer: Dialer,
    prepared: Arc<Prepared>,
    pid: ServerPid,
}

impl House {
    async fn wire(&self, user: u32) -> anyhow::Result<Wire> {
        let device = self.prepared.users.get(usize::try_from(user)?).context("no such user")?;
        let wire = self.dialer.connect().await?;
        wire.authenticate(device).await?;
        Ok(wire)
    }

    fn room(&self, number: u32) -> anyhow::Result<&ReadyRoom> {
        let rooms = &self.prepared.rooms;
        let used = usize::try_from(number)?.checked_rem(rooms.len()).context("no conversation")?;
        rooms.get(used).context("no such conversation")
    }

    /// The one side of a pair, or the other, on a connection of its own.
    async fn seat(&self, number: u32, side: usize) -> anyhow::Result<Seat> {
        let room = self.room(number)?;
        let user = *room.members.get(side).context("not two people")?;
        Ok(Seat { wire: self.wire(user).await?, room: room.name.clone() })
    }

    /// Large blobs each way: gives what the server took for each, and for how long.
    async fn large(&self, plan: &Plan) -> anyhow::Result<(Cost, Cost)> {
        let (sender, reader) = (self.seat(0, 0).await?, self.seat(0, 1).await?);
        let (mut up, mut down) = (Cost::default(), Cost::default());
        let mut progress = Progress::default();
        for round in 0..plan.rounds {
            progress.show(&format!("large blobs: {round} of {}", plan.rounds));
            let content = content(plan.size);
            let before = Reading::take(&self.pid)?;
            sender.upload(&content).await?;
            let between = Reading::take(&self.pid)?;
            up.add(&between.since(&before));
            let before = Reading::take(&self.pid)?;
            reader.download(&content).await?;
            down.add(&Reading::take(&self.pid)?.since(&before));
            sender.release(&content).await?;
        }
        Ok((up, down))
    }

    /// Many at once: the server's memory before, and the most of it meanwhile, in bytes.
    async fn many(&self, plan: &Plan) -> anyhow::Result<(u64, u64)> {
        let mut seats = Vec::new();
        for number in 0..plan.uploads {
            // Sixteen unfinished uploads of an account are as many as may be.
            seats.push(self.seat(number, 0).await?);
        }
        sleep(SETTLE).await;
        let idle = Reading::take(&self.pid)?.rss_bytes();
        let mut uploads = JoinSet::new();
        for seat in seats {
            uploads.spawn(async move {
                let content = content(SMALL);
                seat.upload(&content).await?;
                seat.release(&content).await
            });
        }
        let mut most = idle;
        let mut looks = interval(LOOK);
        while !uploads.is_empty() {
            // Both branches only wait.
            tokio::select! {
                done = uploads.join_next() => done.context("an upload is gone")???,
                _ = looks.tick() => most = most.max(Reading::take(&self.pid)?.rss_bytes()),
            }
        }
        Ok((idle, most))
    }
}

/// Messages of each pair in a run.
fn each(rate: u32, seconds: u32) -> u64 {
    u64::from(rate).saturating_mul(seconds.into()).checked_div(PAIRS.into()).unwrap_or_default()
}

/// The conversations with small messages.
struct Talk {
    pairs: Vec<Pair>,
    clock: Clock,
}

struct Pair {
    number: u32,
    sender: Wire,
    receiver: Wire,
    room: ConversationName,
    epoch: u64,
    counter: u64,
    seq: u64,
}

impl Talk {
    async fn gather(house: &House) -> anyhow::Result<Self> {
        let mut pairs = Vec::new();
        for number in 0..PAIRS {
            let room = house.room(number)?.clone();
            let [one, other, ..] = room.members[..] else { bail!("not two people") };
            let counter = room.counters.first().copied().unwrap_or_default();
            let (sender, receiver) = (house.wire(one).await?, house.wire(other).await?);
            pairs.push(Pair { number, sender, receiver, room: room.name, epoch: room.epoch, counter, seq: room.seq });
        }
        Ok(Self { pairs, clock: Clock::start() })
    }

    /// A run: how long messages took.
    async fn run(&mut self, rate: u32, seconds: u32) -> anyhow::Result<Arc<Latencies>> {
        let latencies = Arc::new(Latencies::new()?);
        let count = each(rate, seconds);
        let every = Duration::from_secs(PAIRS.into()).checked_div(rate).context("no rate")?;
        let mut talking = JoinSet::new();
        for (at, mut pair) in std::mem::take(&mut self.pairs).into_iter().enumerate() {
            let (clock, latencies) = (self.clock, Arc::clone(&latencies));
            let first = every.mul_f64(at as f64 / f64::from(PAIRS));
            talking.spawn(async move {
                pair.talk(clock, (first, every), count, &latencies).await?;
                Ok::<_, anyhow::Error>(pair)
            });
        }
        while let Some(done) = talking.join_next().await {
            self.pairs.push(done??);
        }
        Ok(latencies)
    }
}

impl Pair {
    async fn talk(
        &mut self,
        clock: Clock,
        (first, every): (Duration, Duration),
        count: u64,
        latencies: &Latencies,
    ) -> anyhow::Result<()> {
        let (mut syncing, mut arrivals) = self.receiver.open().await?;
        let cursor = v1::Cursor { conversation: Some(self.room.to_wire()), seq: self.seq };
        syncing.send(Method::Sync(v1::Sync { cursors: vec![cursor], ephemerals: false })).await?;
        while !matches!(arrivals.next().await?, Some(Answer::CaughtUp(_))) {}
        let (mut requests, mut answers) = self.sender.open().await?;
        let begins = Instant::now().checked_add(first).context("no time")?;
        let (room, epoch, counter, pair) = (self.room.to_wire(), self.epoch, self.counter, self.number);
        let from = self.seq;
        let writing = async {
            for number in 0..count {
                let wait = every.checked_mul(u32::try_from(number)?).context("no time")?;
                let due = begins.checked_add(wait).context("no time")?;
                sleep_until(due.into()).await;
                let tag = Tag { sender: pair, number: u32::try_from(counter.saturating_add(number))? };
                let mark = Mark { tag, due: clock.parts(due), encrypted: false };
                requests
                    .send(Method::Send(v1::Send {
                        conversation: Some(room.clone()),
                        message_id: mark.id().to_bytes(),
                        counter: counter.saturating_add(number).saturating_add(1),
                        epoch,
                        kind: v1::EntryKind::Message.into(),
                        body: vec![0; TEXT].into(),
                        leave: false,
                    }))
                    .await?;
            }
            anyhow::Ok(())
        };
        let answering = async {
            for _ in 0..count {
                match answers.next().await?.context("the stream has ended")? {
                    Answer::Send(_) => {}
                    other => bail!("a message was refused: {other:?}"),
                }
            }
            Ok(())
        };
        let reading = async {
            let mut last = from;
            for _ in 0..count {
                let Some(Answer::Entry(entry)) = arrivals.next().await? else { bail!("no message") };
                let mark = Mark::read(&entry.message_id).context("not a message of ours")?;
                latencies.record(0, Clock::between(mark.due, clock.parts(Instant::now())));
                ensure!(entry.seq == last.saturating_add(1), "message {} came after {last}", entry.seq);
                last = entry.seq;
            }
            Ok(last)
        };
        let longest = every.checked_mul(u32::try_from(count)?).context("no time")?.saturating_add(PATIENCE);
        let ((), (), last) = tokio::time::timeout(longest, async { tokio::try_join!(writing, answering, reading) })
            .await
            .context("messages were lost")??;
        self.counter = self.counter.saturating_add(count);
        self.seq = last;
        Ok(())
    }
}

/// Transfers that go on until they are told to end: half of them uploads, half of them downloads. They have a thread, a
/// runtime and sockets of their own, so that the messages do not wait for the generator.
struct Transfers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

impl Transfers {
    fn start(house: &House, bed: &Bed, plan: Plan) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let dialer = bed.dialer(1)?;
        drop(entered);
        let house = House { dialer, prepared: Arc::clone(&house.prepared), pid: Arc::clone(&house.pid) };
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || runtime.block_on(transfers(&house, &plan, &told)));
        Ok(Self { stop, thread })
    }

    /// Gives how many bytes went.
    async fn end(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join()).await?.map_err(|_| anyhow!("the transfers have panicked"))?
    }
}

async fn transfers(house: &House, plan: &Plan, stop: &Arc<AtomicBool>) -> anyhow::Result<u64> {
    let mut running = JoinSet::new();
    for number in 0..plan.transfers {
        let seat = house.seat(PAIRS.saturating_add(number), 0).await?;
        let (stop, size, reads) = (Arc::clone(stop), plan.size, number % 2 == 1);
        running.spawn(async move {
            let (mut bytes, content) = (0_u64, content(size));
            if reads {
                seat.upload(&content).await?;
            }
            while !stop.load(Ordering::Relaxed) {
                if reads {
                    seat.download(&content).await?;
                } else {
                    seat.upload(&content).await?;
                    seat.release(&content).await?;
                }
                bytes = bytes.saturating_add(u64::try_from(size)?);
            }
            if reads {
                seat.release(&content).await?;
            }
            anyhow::Ok(bytes)
        });
    }
    let mut all = 0_u64;
    while let Some(done) = running.join_next().await {
        all = all.saturating_add(done??);
    }
    house.dialer.close().await;
    Ok(all)
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, plan: &Plan) -> anyhow::Result<Report> {
    ensure!(plan.size > 0 && plan.rounds > 0 && plan.rate > 0, "nothing to do");
    let layout = Layout::pairs(PAIRS.saturating_add(plan.transfers).max(plan.uploads));
    let prepared = accounts::prepare(&common.beds, common.accounts.as_deref(), &layout).await?;
    let bed = prepared.open(&common.beds).await?;
    let house = House { dialer: bed.dialer(common.sockets)?, prepared: Arc::new(prepared), pid: Arc::clone(bed.pid()) };

    let (up, down) = house.large(plan).await?;
    let (idle, most) = house.many(plan).await?;
    let mut talk = Talk::gather(&house).await?;
    let (mut without, mut with, mut transferred) = (Vec::new(), Vec::new(), 0_u64);
    let messages = u64::from(plan.runs)
        .saturating_mul(2)
        .saturating_mul(each(plan.rate, plan.seconds).saturating_mul(PAIRS.into()));
    let mut progress = Progress::default();
    let mut last = Arc::new(Latencies::new()?);
    for number in 0..plan.runs {
        progress.show(&format!("messages beside transfers: {number} of {}", plan.runs));
        without.push(talk.run(plan.rate, plan.seconds).await?.summary().p99);
        let transfers = Transfers::start(&house, &bed, *plan)?;
        last = talk.run(plan.rate, plan.seconds).await?;
        with.push(last.summary().p99);
        transferred = transferred.saturating_add(transfers.end().await?);
    }

    let mut outcome = Outcome::begin("blobs", common);
    (outcome.users, outcome.op) = (layout.users.into(), "megabyte");
    let megabytes = plan.size as f64 / 1e6 * f64::from(plan.rounds);
    outcome.ops = u64::try_from(plan.size)?.saturating_mul(plan.rounds.into()).wrapping_div(1_000_000);
    (outcome.cost, outcome.duration_s) = (up, up.seconds);
    // What is not lost, late or out of order; anything else has ended the run.
    (outcome.sent, outcome.delivered) = (messages, messages);
    outcome.latency(&last);
    outcome.setting("blob_bytes", plan.size);
    outcome.setting("in_flight", format!("{PARTS_IN_FLIGHT} parts, {RANGES_IN_FLIGHT} ranges"));
    outcome.setting("messages_per_s", plan.rate);
    outcome.setting("transfers_beside_them", plan.transfers);
    outcome.setting("load", "one blob at a time each way; then many uploads at once; then messages at their times");
    let mut report = Report::of(outcome);
    for (keys, cost) in [(["up_mb_per_s", "up_cpu_ms_per_mb"], &up), (["down_mb_per_s", "down_cpu_ms_per_mb"], &down)] {
        let [rate, cpu] = keys;
        report.figure(rate, if rate.starts_with("up") { "sent" } else { "read" }, megabytes / cost.seconds, "MB/s");
        report.figure(cpu, "server CPU", 1e3 * cost.server_cpu / megabytes, "ms per MB");
    }
    report.figure(
        "up_disk_bytes_per_byte",
        "written to the disk",
        up.write_bytes as f64 / 1e6 / megabytes,
        "bytes per byte",
    );
    report.figure(
        "uploads_rss_mib",
        "memory of many uploads at once",
        most.saturating_sub(idle) as f64 / 1_048_576.0,
        "MiB",
    );
    let (without, with) = (median(without), median(with));
    report.figure("p99_without_ms", "delivery p99, no transfers, median", without, "ms");
    report.figure("p99_with_ms", "delivery p99, with transfers, median", with, "ms");
    report.figure("p99_ratio", "the one of the other", with / without.max(1e-9), "");
    let seconds = f64::from(plan.runs) * f64::from(plan.seconds);
    report.figure("beside_mb_per_s", "transfers meanwhile", transferred as f64 / 1e6 / seconds.max(1e-9), "MB/s");
    house.dialer.close().await;
    Ok(report)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
