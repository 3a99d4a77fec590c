//! People who send each other files beside a load of messages: upload, message, and the other one reads the file.
//!
//! They are pairs of their own, two connections each. A file is due by chance, whether or not the one before has arrived, and
//! what is timed is from then until the other one has compared its last byte.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use qpc_client::wire::{Answers, Dialer};
use qpc_proto::v1::{self, answer::Result as Answer, request::Method};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    accounts::{Prepared, ReadyRoom},
    latency::Latencies,
    random::Random,
    report::Report,
    seat::{Seat, content},
};

/// Of a hundred files: so many, of so many bytes. Images, documents, audio and video.
const MIX: [(u32, usize); 3] = [(70, 1_000_000), (20, 300_000), (10, 8_000_000)];
/// Bytes of the message that goes with a file.
const TEXT: usize = 400;
/// After the end, for what is under way.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many send files, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Pairs that do.
    pub pairs: u32,
    /// From one file to the next, on average, of all of them.
    pub every: Duration,
}

/// What is found, by all.
struct Found {
    /// Files of a megabyte, from due to read.
    images: Latencies,
    files: AtomicU64,
    bytes: AtomicU64,
}

/// Measured from the first to the second.
type Window = Option<(Instant, Instant)>;

/// Pairs at work.
pub struct Attachments {
    plan: Plan,
    found: Arc<Found>,
    window: watch::Sender<Window>,
    pairs: JoinSet<anyhow::Result<()>>,
    dialer: Dialer,
}

/// The conversations of pairs, which are the last users, and those of the others.
#[must_use]
pub fn apart(prepared: &Prepared, plan: Option<&Plan>) -> (usize, Vec<ReadyRoom>, Vec<ReadyRoom>) {
    let of_pairs = plan.map_or(0, |plan| usize::try_from(plan.pairs).unwrap_or(usize::MAX).saturating_mul(2));
    let users = prepared.users.len().saturating_sub(of_pairs);
    let ours = |room: &ReadyRoom| room.members.iter().all(|member| *member as usize >= users);
    let (pairs, others) = prepared.rooms.iter().cloned().partition(ours);
    (users, others, pairs)
}

impl Attachments {
    /// Connects them.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn gather(
        dialer: Dialer,
        prepared: &Prepared,
        rooms: Vec<ReadyRoom>,
        plan: Plan,
        seed: u64,
    ) -> anyhow::Result<Self> {
        ensure!(rooms.len() == usize::try_from(plan.pairs)?, "{} pairs are there, not {}", rooms.len(), plan.pairs);
        let found = Arc::new(Found { images: Latencies::new()?, files: AtomicU64::new(0), bytes: AtomicU64::new(0) });
        let (window, begun) = watch::channel(None);
        let mut random = Random::new(seed);
        let mut pairs = JoinSet::new();
        for room in rooms {
            let pair = Pair::gather(&dialer, prepared, room, Arc::clone(&found)).await?;
            let mean = plan.every.checked_mul(plan.pairs).context("too seldom")?;
            pairs.spawn(pair.run(begun.clone(), mean, random.fork()));
        }
        Ok(Self { plan, found, window, pairs, dialer })
    }

    /// Files are sent from now on, and measured in this time.
    pub fn go(&self, from: Instant, upto: Instant) {
        self.window.send_replace(Some((from, upto)));
    }

    /// Waits for what is under way, and adds its figures.
    ///
    /// # Errors
    /// Whatever did not arrive as it was sent.
    pub async fn end(mut self, seconds: f64) -> anyhow::Result<impl FnOnce(&mut Report)> {
        let all = async {
            while let Some(done) = self.pairs.join_next().await {
                done??;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, all).await.context("files did not arrive")??;
        self.dialer.close().await;
        let (plan, found) = (self.plan, self.found);
        Ok(move |report: &mut Report| {
            let files = found.files.load(Ordering::Relaxed);
            let megabytes = found.bytes.load(Ordering::Relaxed) as f64 / 1e6;
            let every = plan.every.as_secs_f64();
            report
                .note_setting("files", format!("{} pairs, every {every:.1} s; (percent, bytes): {MIX:?}", plan.pairs));
            report.figure("files", "files sent and read", files as f64, "");
            report.figure("files_mb_per_s", "of them, each way", megabytes / seconds.max(1e-9), "MB/s");
            for (key, what, at) in
                [("file_1mb_p50_ms", "1 MB, from due to read, p50", 0.5), ("file_1mb_p95_ms", "p95", 0.95)]
            {
                report.figure(key, what, found.images.quantile(at), "ms");
            }
        })
    }
}

/// One who sends files, and who reads them.
struct Pair {
    sender: Seat,
    receiver: Seat,
    arrivals: Answers,
    // Ends the arrivals when it goes.
    _syncing: qpc_client::wire::Requests,
    epoch: u64,
    counter: u64,
    found: Arc<Found>,
}

impl Pair {
    async fn gather(dialer: &Dialer, prepared: &Prepared, room: ReadyRoom, found: Arc<Found>) -> anyhow::Result<Self> {
        let [one, other] = room.members[..] else { bail!("not two people") };
        let mut seats = Vec::new();
        for user in [one, other] {
            let device = prepared.users.get(usize::try_from(user)?).context("no such user")?;
            let wire = dialer.connect().await?;
            wire.authenticate(device).await?;
            seats.push(Seat { wire, room: room.name.clone() });
        }
        let (Some(receiver), Some(sender)) = (seats.pop(), seats.pop()) else { bail!("not two people") };
        let (mut syncing, mut arrivals) = receiver.wire.open().await?;
        let cursor = v1::Cursor { conversation: Some(room.name.to_wire()), seq: room.seq };
        syncing.send(Method::Sync(v1::Sync { cursors: vec![cursor], ephemerals: false })).await?;
        while !matches!(arrivals.next().await?, Some(Answer::CaughtUp(_))) {}
        let counter = room.counters.first().copied().unwrap_or_default();
        Ok(Self { sender, receiver, arrivals, _syncing: syncing, epoch: room.epoch, counter, found })
    }

    async fn run(
        mut self,
        mut begun: watch::Receiver<Window>,
        mean: Duration,
        mut random: Random,
    ) -> anyhow::Result<()> {
        let (from, upto) = begun.wait_for(Option::is_some).await?.context("no time")?;
        let mut due = Instant::now();
        loop {
            due = due.checked_add(random.exponential(mean)).context("the clock's end")?;
            if due >= upto {
                return Ok(());
            }
            sleep_until(due).await;
            let size = drawn(&mut random);
            self.send(size, &mut random).await?;
            if due >= from {
                self.found.files.fetch_add(1, Ordering::Relaxed);
                self.found.bytes.fetch_add(u64::try_from(size)?, Ordering::Relaxed);
                if size == 1_000_000 {
                    self.found.images.record(0, due.elapsed());
                }
            }
        }
    }

    /// One file, to its last byte at the other side.
    async fn send(&mut self, size: usize, random: &mut Random) -> anyhow::Result<()> {
        let file = content(size);
        self.sender.upload(&file).await?;
        self.counter = self.counter.saturating_add(1);
        let message = v1::Send {
            conversation: Some(self.sender.room.to_wire()),
            message_id: random.message_id().to_bytes(),
            counter: self.counter,
            epoch: self.epoch,
            kind: v1::EntryKind::Message.into(),
            body: vec![0; TEXT].into(),
            leave: false,
        };
        match self.sender.wire.call(Method::Send(message)).await.context("sending the message")? {
            Answer::Send(_) => {}
            other => bail!("a message was refused: {other:?}"),
        }
        while !matches!(self.arrivals.next().await?.context("the stream has ended")?, Answer::Entry(_)) {}
        self.receiver.download(&file).await
    }
}

/// Bytes of one file, as the mix has it.
fn drawn(random: &mut Random) -> usize {
    let mut at = random.index(100);
    for (of_hundred, size) in MIX {
        match at.checked_sub(of_hundred as usize) {
            None => return size,
            Some(left) => at = left,
        }
    }
    MIX[0].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_shares_of_the_mix() {
        assert_eq!(MIX.iter().map(|(of_hundred, _)| of_hundred).sum::<u32>(), 100);
        let mut random = Random::new(1);
        let drawn: Vec<_> = (0..10_000).map(|_| drawn(&mut random)).collect();
        for (of_hundred, size) in MIX {
            let share = drawn.iter().filter(|each| **each == size).count() / 100;
            assert!(share.abs_diff(of_hundred as usize) <= 2, "{share} of {size}");
        }
    }
}
