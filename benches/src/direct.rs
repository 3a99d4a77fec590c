//! Direct messages at a steady rate: what one costs the server, how long it takes, and whether each arrives once.
//!
//! The load is open: a message is due at its time whether or not earlier ones are answered, and latencies count
//! from there. Both sides of each pair send, follow the conversation, and acknowledge what comes.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use futures_util::future::try_join3;
use qpc_client::wire::{Answers, Requests};
use qpc_proto::{
    id::{ConversationName, Counter, DeviceId, MessageId, Seq},
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    bed::Bed,
    crowd::{self, Person, Room},
    metrics::Metrics,
    process::Usage,
    random::Random,
    report::Report,
    stats::quantile,
};

/// Length of a body: a short text in an MLS message.
const BODY: usize = 215;
/// UDP sockets of the clients.
const SOCKETS: usize = 4;
/// Load before the measurement.
const WARM_UP: Duration = Duration::from_secs(3);
/// From the last message being due to the last one being there.
const LAST_WITHIN: Duration = Duration::from_secs(15);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Direct conversations.
    pub pairs: u32,
    /// Messages a second, over all.
    pub rate: u32,
    /// Seconds that are measured.
    pub seconds: u32,
    /// How long a client gathers acknowledgements; with zero each entry has one of its own.
    pub acknowledge: Duration,
}

/// When messages are due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    start: Instant,
    interval: Duration,
    /// Messages of one side, and how many of them only warm up.
    messages: u32,
    warm_up: u32,
    /// How long acknowledgements are gathered.
    acknowledge: Duration,
}

impl Schedule {
    /// When message `index` of a side is due, where sides take turns: `turn` is this one's.
    fn due(&self, turn: Duration, index: u32) -> Instant {
        let after = turn.saturating_add(self.interval.saturating_mul(index));
        self.start.checked_add(after).unwrap_or(self.start)
    }
}

/// One side of a pair.
struct Side {
    me: Person,
    peer: DeviceId,
    conversation: ConversationName,
    /// Where the conversation stands before the load.
    at: Seq,
    /// The counter before the first message.
    counter: Counter,
    turn: Duration,
    peer_turn: Duration,
    schedule: Schedule,
    random: Random,
}

/// What one side has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Milliseconds.
    answered: Vec<f64>,
    /// Milliseconds.
    delivered: Vec<f64>,
    lost: u32,
    doubled: u32,
    disordered: u32,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(program: &Path, plan: &Plan) -> anyhow::Result<Report> {
    let Plan { pairs, rate, seconds, acknowledge } = *plan;
    let sides = pairs.saturating_mul(2);
    if pairs == 0 || rate == 0 {
        bail!("at least one pair and one message a second");
    }
    let bed = Bed::start(program).await?;
    let dialer = bed.dialer(SOCKETS)?;
    let mut random = Random::new(1);
    let people = crowd::people(&dialer, bed.token(), "pair", usize::try_from(sides)?).await?;
    let mut rooms = Vec::new();
    for pair in people.chunks_exact(2) {
        let [one, other] = pair else { continue };
        rooms.push((one, other, crowd::direct(one, other, &mut random).await?));
    }

    // Messages of all sides stand evenly in time, one side after the other.
    let turn = |number: u32| Duration::from_secs(1).saturating_mul(number).checked_div(rate).unwrap_or_default();
    let interval = turn(sides);
    let a_side = |of: Duration| of.as_nanos().checked_div(interval.as_nanos()).and_then(|n| u32::try_from(n).ok());
    let warm_up = a_side(WARM_UP).context("no rate")?.max(1);
    let window = Duration::from_secs(seconds.into());
    let measured = a_side(window).context("no rate")?.max(1);
    let start = Instant::now().checked_add(Duration::from_secs(1)).context("the clock's end")?;
    let schedule = Schedule { start, interval, messages: warm_up.saturating_add(measured), warm_up, acknowledge };

    let mut tasks = JoinSet::new();
    for (number, (one, other, room)) in (0u32..).step_by(2).zip(&rooms) {
        let turns = (turn(number), turn(number.saturating_add(1)));
        tasks.spawn(side(one, other, room, Counter(1), turns, schedule, random.fork()).run());
        tasks.spawn(side(other, one, room, Counter(0), (turns.1, turns.0), schedule, random.fork()).run());
    }

    sleep_until(schedule.due(Duration::ZERO, warm_up)).await;
    let metrics = &bed.server()?.ready.metrics;
    let (before, began) = (Metrics::read(metrics).await?, Instant::now());
    let (from, mine_from) = (bed.usage()?, Usage::of(std::process::id())?);
    sleep_until(schedule.due(Duration::ZERO, schedule.messages)).await;
    let (upto, mine_upto) = (bed.usage()?, Usage::of(std::process::id())?);
    let (took, after) = (began.elapsed(), Metrics::read(metrics).await?);

    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        all.add(seen??);
    }
    let mut report = Report::new("direct");
    let sent = f64::from(measured) * f64::from(sides);
    report.figure("pairs", "pairs", pairs, "");
    report.figure("acknowledge_ms", "acknowledgements gathered for", acknowledge.as_secs_f64() * 1e3, "ms");
    report.figure("messages", "messages measured", sent, "");
    report.figure("rate", "messages a second", sent / took.as_secs_f64(), "/s");
    let cpu = |from: Usage, upto: Usage| 1e6 * (upto.cpu_seconds - from.cpu_seconds) / sent;
    report.figure("server_cpu_us", "server CPU per message", cpu(from, upto), "us");
    report.figure("bench_cpu_us", "CPU of all clients per message", cpu(mine_from, mine_upto), "us");
    store_figures(&mut report, &before, &after, took)?;
    all.judge(&mut report);
    sleep(Duration::from_millis(100)).await;
    dialer.close().await;
    Ok(report)
}

fn side(
    me: &Person,
    peer: &Person,
    room: &Room,
    counter: Counter,
    (turn, peer_turn): (Duration, Duration),
    schedule: Schedule,
    random: Random,
) -> Side {
    Side {
        me: me.clone(),
        peer: peer.device.id(),
        conversation: room.name.clone(),
        at: room.at,
        counter,
        turn,
        peer_turn,
        schedule,
        random,
    }
}

fn store_figures(report: &mut Report, before: &Metrics, after: &Metrics, took: Duration) -> anyhow::Result<()> {
    let seconds = took.as_secs_f64();
    let commits = after.since(before, "qpc_store_commit_seconds_count")?;
    let rows = after.since(before, "qpc_store_batch_size_sum")?;
    let batches = after.since(before, "qpc_store_batch_size_count")?;
    let spent = after.since(before, "qpc_store_commit_seconds_sum")?;
    let synced = after.since(before, "qpc_store_fsync_seconds_sum")?;
    report.figure("commits_per_second", "commits a second", commits / seconds, "/s");
    report.figure("rows_per_commit", "rows per commit", rows / batches.max(1.0), "");
    report.figure("commit_work_us", "work of one commit, mean", 1e6 * spent / commits.max(1.0), "us");
    report.figure("commit_sync_us", "sync of one commit, mean", 1e6 * synced / commits.max(1.0), "us");
    report.figure("behind", "readers that fell behind", after.since(before, "qpc_behind_total")?, "");
    Ok(())
}

impl Side {
    async fn run(self) -> anyhow::Result<Seen> {
        let (sends, acks) = self.me.wire.open().await?;
        let sync = self.me.wire.open().await?;
        let sent = self.send(sends);
        let (outcome, answered, mut seen) = try_join3(sent, self.answered(acks), self.follow(sync)).await?;
        seen.answered = answered;
        drop(outcome);
        Ok(seen)
    }

    /// Sends each message when it is due.
    async fn send(&self, mut requests: Requests) -> anyhow::Result<Requests> {
        let mut random = self.random.clone();
        let mut counter = self.counter;
        for index in 0..self.schedule.messages {
            counter = counter.next();
            let mut body = vec![0; BODY];
            random.fill(&mut body);
            if let Some(begin) = body.first_chunk_mut() {
                *begin = index.to_be_bytes();
            }
            let send = v1::Send {
                conversation: Some(self.conversation.to_wire()),
                message_id: MessageId::to_bytes(&random.message_id()),
                counter: counter.0,
                epoch: 1,
                kind: v1::EntryKind::Message.into(),
                body: body.into(),
                leave: false,
            };
            sleep_until(self.schedule.due(self.turn, index)).await;
            requests.send(Method::Send(send)).await?;
        }
        Ok(requests)
    }

    /// Reads the answers, which come in the order of the messages.
    async fn answered(&self, mut answers: Answers) -> anyhow::Result<Vec<f64>> {
        let mut latencies = Vec::new();
        for index in 0..self.schedule.messages {
            let longest = self.patience();
            let answer = timeout(longest, answers.next()).await.context("a message is not answered")??;
            match answer.context("the stream of messages ended")? {
                Outcome::Send(_) => {}
                Outcome::Error(error) => bail!("a message was refused with code {}: {}", error.code, error.detail),
                _ => bail!("an answer of another kind"),
            }
            self.note(self.turn, index, &mut latencies);
        }
        Ok(latencies)
    }

    /// Follows the conversation until the peer's last message, or until no more comes.
    async fn follow(&self, (mut requests, mut answers): (Requests, Answers)) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        let mut next = 0u32;
        requests.send(Method::Sync(v1::Sync { cursors: vec![crowd::cursor(&self.conversation, self.at)] })).await?;
        let mut unacknowledged: Option<(Seq, Instant)> = None;
        while next < self.schedule.messages {
            let due = unacknowledged.map(|(_, since)| since.checked_add(self.schedule.acknowledge).unwrap_or(since));
            let event = tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let cursors = unacknowledged.take().map(|(seq, _)| crowd::cursor(&self.conversation, seq));
                    let cursors = cursors.into_iter().collect();
                    requests.send(Method::Acknowledge(v1::Acknowledge { cursors })).await?;
                    continue;
                }
                event = timeout(self.patience(), answers.next()) => event,
            };
            let Ok(event) = event else { break };
            let entry = match event?.context("a sync call ended")? {
                Outcome::Entry(entry) => entry,
                Outcome::Following(_) | Outcome::CaughtUp(_) => continue,
                _ => bail!("an answer that does not belong to a sync call"),
            };
            let since = unacknowledged.map_or_else(Instant::now, |(_, since)| since);
            unacknowledged = Some((Seq(entry.seq), since));
            if entry.sender_device.as_ref() != self.peer.as_bytes() {
                continue;
            }
            let Some(v1::entry::Content::Body(body)) = &entry.content else { bail!("an entry without its body") };
            let index = u32::from_be_bytes(*body.first_chunk().context("a body of another length")?);
            if index < next {
                seen.doubled = seen.doubled.saturating_add(1);
                continue;
            }
            if index > next {
                seen.disordered = seen.disordered.saturating_add(1);
                seen.lost = seen.lost.saturating_add(index.saturating_sub(next));
            }
            next = index.saturating_add(1);
            self.note(self.peer_turn, index, &mut seen.delivered);
        }
        seen.lost = seen.lost.saturating_add(self.schedule.messages.saturating_sub(next));
        Ok(seen)
    }

    /// Until something must have come: the end of the schedule, and a while.
    fn patience(&self) -> Duration {
        let end = self.schedule.due(self.turn.max(self.peer_turn), self.schedule.messages);
        end.saturating_duration_since(Instant::now()).saturating_add(LAST_WITHIN)
    }

    fn note(&self, turn: Duration, index: u32, latencies: &mut Vec<f64>) {
        if index >= self.schedule.warm_up {
            let late = Instant::now().saturating_duration_since(self.schedule.due(turn, index));
            latencies.push(late.as_secs_f64() * 1e3);
        }
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.delivered.extend(other.delivered);
        self.lost = self.lost.saturating_add(other.lost);
        self.doubled = self.doubled.saturating_add(other.doubled);
        self.disordered = self.disordered.saturating_add(other.disordered);
    }

    fn judge(mut self, report: &mut Report) {
        self.answered.sort_by(f64::total_cmp);
        self.delivered.sort_by(f64::total_cmp);
        let (answered, delivered) = (&self.answered, &self.delivered);
        report.figure("ack_p50_ms", "send to answer, p50", quantile(answered, 0.5), "ms");
        report.figure("ack_p99_ms", "send to answer, p99", quantile(answered, 0.99), "ms");
        report.figure("ack_max_ms", "send to answer, longest", quantile(answered, 1.0), "ms");
        report.figure("delivery_p50_ms", "send to delivery, p50", quantile(delivered, 0.5), "ms");
        report.figure("delivery_p99_ms", "send to delivery, p99", quantile(delivered, 0.99), "ms");
        report.figure("delivery_max_ms", "send to delivery, longest", quantile(delivered, 1.0), "ms");
        report.figure("lost", "messages lost", self.lost, "");
        report.figure("doubled", "messages delivered again", self.doubled, "");
        report.figure("disordered", "messages out of order", self.disordered, "");
        if self.lost > 0 || self.doubled > 0 || self.disordered > 0 {
            report.fail("messages were lost, delivered again, or out of order");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_fails_the_run_and_all_sides_count() {
        let side = |lost, late| Seen { lost, answered: vec![late], delivered: vec![late], ..Seen::default() };
        let judge = |sides: [Seen; 2]| {
            let mut all = Seen::default();
            sides.into_iter().for_each(|side| all.add(side));
            let mut report = Report::new("direct");
            all.judge(&mut report);
            report.passed()
        };
        assert!(judge([side(0, 1.0), side(0, 2.0)]));
        assert!(!judge([side(0, 1.0), side(1, 2.0)]));
    }
}
