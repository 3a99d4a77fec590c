//! What stored messages cost: sending, catching up and reading history with so many of them, and starting again.
//!
//! The messages are put there by the store's own verbs, in the server's data directory, before the server starts:
//! conversations and senders by chance, ids with random tails, times over the last week. Last come those that one
//! device is to have missed, in one conversation among others.

mod fill;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};
use qpc_client::wire::{Dialer, Wire};
use qpc_proto::v1::{self, answer::Result as Outcome, request::Method};

use crate::{
    accounts::{Prepared, ReadyRoom},
    bed::Bed,
    crowd,
    direct::{even, say_load},
    latency::Latencies,
    layout::Layout,
    load::Script,
    report::{Report, note},
    sampler::{Cost, Reading},
    sizing::{self, directory_bytes},
    talk::{self, Common, Scenario, seconds},
};

/// Messages that one device has missed.
const MISSED: u64 = 10_000;
/// Pages of history that are read, and entries of each.
const PAGES: usize = 2_000;
const PAGE_ENTRIES: u32 = 50;
/// Readers, and how many pages each reads at most: the server's rate of lookups is for one account.
const READERS: usize = 50;
const PAGES_EACH: usize = 200;
/// Longest wait for all that was missed.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(120);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Messages that are stored, besides the missed ones.
    pub messages: u64,
    /// Conversations that they are in.
    pub pairs: u32,
    /// Messages a second while sending is measured.
    pub rate: u32,
    /// For so many seconds.
    pub seconds: u32,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, plan: &Plan) -> anyhow::Result<Report> {
    let Plan { messages, pairs, rate, seconds: measured } = *plan;
    if pairs < 2 || rate == 0 {
        bail!("at least two pairs and one message a second");
    }
    if common.beds.external.is_some() {
        bail!("the data of a server that runs already can't be filled");
    }
    let sides = pairs.saturating_mul(2);
    let scenario = Scenario {
        name: "history",
        layout: Layout::pairs(pairs),
        script: move |side: u32| if side < 2 { Script::Silent } else { even(rate, sides, side) },
        unit: 2,
        mls_members: 2,
        mixed: false,
        attachments: None,
        churn: None,
        measured: seconds(measured),
    };
    let mut prepared = talk::prepare(common, &scenario).await?;
    // Others that these users have are not filled.
    prepared.rooms.retain(|room| room.used);
    let missed_after = prepared.rooms.first().context("no conversation")?.seq;
    let began = Instant::now();
    let kept = common.accounts.as_deref().map(|root| root.join(format!("filled-{pairs}-{messages}")));
    let empty = directory_bytes(&prepared.data)?;
    filled(&mut prepared, kept.as_deref(), messages).await?;
    let (fill_s, bytes) = (began.elapsed().as_secs_f64(), directory_bytes(&prepared.data)?);

    let started = Instant::now();
    let mut bed = prepared.open(&common.beds).await?;
    let dialer = bed.dialer(common.sockets)?;
    let first_answer = answer(&dialer, &prepared).await?.elapsed_since(started);
    let pages = pages(&bed, &dialer, &prepared).await?;
    let missed = catch_up(&bed, &dialer, &prepared, missed_after).await?;
    dialer.close().await;
    bed.stop().await?;

    let gathered = talk::gather(common, &scenario, prepared, false).await?;
    let mut report = talk::measure(gathered, scenario.measured).await?;
    say_load(&mut report, Some(rate), 0);
    report.note_setting("stored_messages", messages.saturating_add(MISSED));
    report.note_setting("fill", "the store's own verbs; conversations and senders by chance, times of the last week");
    report.figure("fill_s", "filling, or copying what was filled", fill_s, "s");
    report.figure("database_mib", "database", bytes as f64 / f64::from(1 << 20), "MiB");
    sizing::growth(&mut report, empty, bytes, messages.saturating_add(MISSED), fill::BODY);
    report.figure("started_s", "from start to first answer", first_answer, "s");
    let of = |cost: &Cost, count: u64| 1e6 * cost.server_cpu / count.max(1) as f64;
    let summary = pages.latencies.summary();
    report.figure("page_entries", "entries of a page of history", PAGE_ENTRIES, "");
    report.figure("page_cpu_us", "server CPU per page", of(&pages.cost, summary.count), "us");
    report.figure("page_p50_ms", "page of history, p50", summary.p50, "ms");
    report.figure("page_p99_ms", "page of history, p99", summary.p99, "ms");
    report.figure("caught_up_s", "catching up 10,000 missed messages", missed.seconds, "s");
    report.figure("caught_up_cpu_us", "server CPU per caught up message", of(&missed, MISSED), "us");
    Ok(report)
}

/// Has the data filled, or takes what was filled before.
async fn filled(prepared: &mut Prepared, kept: Option<&Path>, messages: u64) -> anyhow::Result<()> {
    match kept {
        Some(kept) if kept.join("data").is_dir() => prepared.restore(kept),
        _ => {
            fill::fill(prepared, messages, MISSED).await?;
            kept.map_or(Ok(()), |kept| prepared.save(kept))
        }
    }
}

/// The moment of an answer that the store gave.
struct Answered(Instant);

impl Answered {
    fn elapsed_since(&self, began: Instant) -> f64 {
        self.0.saturating_duration_since(began).as_secs_f64()
    }
}

async fn answer(dialer: &Dialer, prepared: &Prepared) -> anyhow::Result<Answered> {
    let wire = user(dialer, prepared, 0).await?;
    wire.call(Method::ListConversations(v1::ListConversations::default())).await?;
    let now = Instant::now();
    wire.close();
    Ok(Answered(now))
}

async fn user(dialer: &Dialer, prepared: &Prepared, user: usize) -> anyhow::Result<Wire> {
    let wire = dialer.connect().await?;
    wire.authenticate(prepared.users.get(user).context("no such user")?).await?;
    Ok(wire)
}

struct Pages {
    cost: Cost,
    latencies: Latencies,
}

/// Reads the last entries of conversations, of some by each of their first members.
async fn pages(bed: &Bed, dialer: &Dialer, prepared: &Prepared) -> anyhow::Result<Pages> {
    let mut readers: Vec<(Wire, &ReadyRoom)> = Vec::new();
    let apart = prepared.rooms.len().div_ceil(READERS).max(1);
    for room in prepared.rooms.iter().step_by(apart) {
        let member = room.members.first().context("a member")?;
        readers.push((user(dialer, prepared, usize::try_from(*member)?).await?, room));
    }
    let latencies = Latencies::new()?;
    let before = Reading::take(bed.pid())?;
    let each = PAGES.div_ceil(readers.len().max(1)).min(PAGES_EACH);
    let outcomes = stream::iter(&readers).map(|(wire, room)| async {
        let (wire, room) = (wire.clone(), *room);
        for _ in 0..each {
            let after_seq = room.seq.saturating_sub(PAGE_ENTRIES.into());
            let read = v1::ReadLog { conversation: Some(room.name.to_wire()), after_seq, limit: PAGE_ENTRIES };
            let began = Instant::now();
            match wire.call(Method::ReadLog(read)).await? {
                Outcome::ReadLog(page) if page.entries.is_empty() => bail!("an empty page"),
                Outcome::ReadLog(_) => latencies.record(0, began.elapsed()),
                _ => bail!("an answer of another kind"),
            }
        }
        anyhow::Ok(())
    });
    let mut outcomes = outcomes.buffer_unordered(4);
    while let Some(outcome) = outcomes.next().await {
        outcome.context("a page of history")?;
    }
    drop(outcomes);
    let cost = Reading::take(bed.pid())?.since(&before);
    Ok(Pages { cost, latencies })
}

/// One device, which was away, reads what it missed.
async fn catch_up(bed: &Bed, dialer: &Dialer, prepared: &Prepared, after: u64) -> anyhow::Result<Cost> {
    let room = prepared.rooms.first().context("no conversation")?;
    let before = Reading::take(bed.pid())?;
    let wire = user(dialer, prepared, 0).await?;
    let (mut requests, mut answers) = wire.open().await?;
    let cursors = vec![crowd::cursor(&room.name, qpc_proto::id::Seq(after))];
    requests.send(Method::Sync(v1::Sync { cursors, ephemerals: false })).await?;
    let mut last = after;
    let read = async {
        while last < room.seq {
            match answers.next().await?.context("the sync call ended")? {
                Outcome::Entry(entry) if entry.seq == last.saturating_add(1) => last = entry.seq,
                Outcome::Entry(entry) => bail!("after {last} came {}", entry.seq),
                Outcome::Following(_) | Outcome::CaughtUp(_) => {}
                _ => bail!("an answer that does not belong to a sync call"),
            }
        }
        Ok(())
    };
    tokio::time::timeout(CATCH_UP_WITHIN, read).await.context("what was missed does not come")??;
    let cost = Reading::take(bed.pid())?.since(&before);
    let cursors = vec![crowd::cursor(&room.name, qpc_proto::id::Seq(last))];
    requests.send(Method::Acknowledge(v1::Acknowledge { cursors })).await?;
    note(&format!("caught up {} messages in {:.2} s", room.seq.saturating_sub(after), cost.seconds));
    wire.close();
    Ok(cost)
}
