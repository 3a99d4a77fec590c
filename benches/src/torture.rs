//! Kill -9 of the server at random moments under load: is every acknowledged message there once, in order, gap-free?
//!
//! Clients pipeline, lose their connections, and send again what was not answered; what they did and saw is judged
//! against the logs at the end. A killed process loses nothing that the kernel has: this is no power cut.

pub mod across;
mod client;
mod lane;
mod reader;
pub mod recorder;
mod verdict;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use qpc_client::wire::Dialer;
use qpc_proto::{
    id::Counter,
    v1::{self, request::Method},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use self::{
    client::{Client, Word},
    lane::Lane,
    reader::Reader,
    recorder::Recorder,
};
use crate::{
    bed::Bed,
    crowd::{self, Person, Room},
    random::Random,
    report::{Report, note},
    stats::median,
};

/// People in one group; its creator has a direct conversation with each other one.
const GROUP: usize = 4;
/// UDP sockets of the clients.
const SOCKETS: usize = 4;
/// The longest pause of a client in a conversation, in milliseconds.
const PAUSE_MS: u64 = 120;
/// From an acknowledgement after a start to the next kill.
const KILL_AFTER_MS: (u64, u64) = (50, 1_500);
/// Longest wait for an acknowledgement after a start.
const LOAD_WITHIN: Duration = Duration::from_secs(20);
/// Longest wait for the clients to end.
const END_WITHIN: Duration = Duration::from_secs(60);
/// A restarted server answers within.
const BAR: Duration = Duration::from_secs(2);
/// What a control run switches on: answers before the commit.
const BUG: &str = "early-ack";
/// Faults that are printed, and of those that a control run is to find.
const SHOWN: usize = 20;
const SHOWN_OF_CONTROL: usize = 3;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often the server is killed.
    pub cycles: u32,
    /// Clients that send.
    pub senders: usize,
    /// For all that is random, besides what scheduling makes so.
    pub seed: u64,
    /// Switch on the bug that is planted in this server; it is a failure when nothing is wrong then.
    pub expect_violations: bool,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no violation.
pub async fn run(program: &Path, plan: &Plan) -> anyhow::Result<Report> {
    if plan.senders < 2 {
        bail!("at least two senders");
    }
    note(&format!("torture: seed {}", plan.seed));
    let mut random = Random::new(plan.seed);
    let mut bed = Bed::start(program).await?;
    let dialer = Arc::new(bed.dialer(SOCKETS)?);
    let recorder = Arc::new(Recorder::create(&bed.directory().join("history.txt"))?);
    let people = crowd::people(&dialer, bed.token(), "torture", plan.senders).await?;
    let prober = crowd::person(&dialer, bed.token(), "prober").await?;
    let (clients, logs) = furnish(&people, &dialer, &recorder, &mut random).await?;

    if plan.expect_violations {
        // Not before: accounts and conversations that are lost leave nothing to look at.
        bed.plant(BUG);
        bed.kill().await?;
        bed.restart().await?;
    }
    let (tell, word) = watch::channel(Word::default());
    let load = client::run_all(clients, &recorder, &word);
    let killing = async {
        let mut restarts = Vec::new();
        for cycle in 1..=plan.cycles {
            let before = recorder.count();
            under_load(&recorder).await?;
            let pause = random.below(KILL_AFTER_MS.1.saturating_sub(KILL_AFTER_MS.0)).saturating_add(KILL_AFTER_MS.0);
            sleep(Duration::from_millis(pause)).await;
            if cycle % 2 == 1 {
                // The worst moment: a client has an answer in its hands, and nothing more was done since.
                under_load(&recorder).await?;
            }
            let acknowledged = recorder.count().saturating_sub(before);
            bed.kill().await?;
            let began = Instant::now();
            bed.restart().await?;
            let answered_in = probe(&dialer, &prober, began).await?;
            note(&format!("kill {cycle}: after {acknowledged} acknowledgements; answers again in {answered_in:.3} s"));
            restarts.push(answered_in);
            tell.send_modify(|word| word.started = [cycle; client::SERVERS_MAX]);
        }
        under_load(&recorder).await?;
        tell.send_modify(|word| word.ending = true);
        anyhow::Ok(restarts)
    };
    let (restarts, ()) = tokio::try_join!(killing, async {
        tokio::select! {
            ended = load => ended,
            never = end_of_patience(word.clone()) => never,
        }
    })?;

    let mut finals = BTreeMap::new();
    for (creator, room) in logs {
        let wire = dialer.connect().await?;
        wire.authenticate(&creator.device).await?;
        finals.insert(room.name.clone(), verdict::read(&wire, &room.name).await?);
        wire.close();
    }
    let conversations = finals.len();
    let record = recorder.finish()?;
    let mut report = Report::new("torture");
    report.figure("seed", "seed", plan.seed, "");
    report.figure("kills", "kills", plan.cycles, "");
    report.figure("senders", "senders", plan.senders, "");
    report.figure("conversations", "conversations", conversations, "");
    report.figure("acknowledged", "messages acknowledged", record.acknowledged, "");
    report.figure("events", "events in the history", record.events.len(), "");
    let mut faults = verdict::judge(record, finals);
    bed.kill().await?;
    if let Err(error) = bed.check_database().await {
        faults.push(error.to_string());
    }
    conclude(&mut report, plan, restarts, faults, bed);
    Ok(report)
}

/// Conversations for everybody, and a client for each. Gives the logs with somebody who may read them whole.
async fn furnish(
    people: &[Person],
    dialer: &Arc<Dialer>,
    recorder: &Recorder,
    random: &mut Random,
) -> anyhow::Result<(Vec<Client>, Vec<(Person, Room)>)> {
    let mut lanes: Vec<Vec<Lane>> = people.iter().map(|_| Vec::new()).collect();
    let mut logs = Vec::new();
    for (people, lanes) in people.chunks(GROUP).zip(lanes.chunks_mut(GROUP)) {
        let Some((creator, others)) = people.split_first() else { continue };
        let mut rooms = Vec::new();
        for other in others {
            rooms.push((vec![creator, other], crowd::direct(creator, other, random).await?, None));
        }
        let others: Vec<&Person> = others.iter().collect();
        let (room, engine) = crowd::group(creator, &others, random).await?;
        rooms.push((people.iter().collect(), room, Some(engine)));
        for (members, room, mut engine) in rooms {
            recorder.invoked(&room.commit);
            recorder.acknowledged(&room.commit, room.at, room.chain);
            for (person, lanes) in people.iter().zip(lanes.iter_mut()) {
                let me = person.device.id();
                if members.iter().any(|member| member.device.id() == me) {
                    let creator = me == creator.device.id();
                    let last = Counter(u64::from(creator));
                    let engine = if creator { engine.take() } else { None };
                    lanes.push(Lane::new(room.name.clone(), me, last, engine, PAUSE_MS, random.fork()));
                }
            }
            logs.push((creator.clone(), room));
        }
    }
    let client = |(person, lanes): (&Person, Vec<Lane>)| {
        let followed: Vec<_> = lanes.iter().map(|lane| lane.conversation.clone()).collect();
        let reader = Reader::new(followed.into_iter(), recorder, random.fork());
        Client { device: person.device.clone(), server: 0, dialer: Arc::clone(dialer), lanes, reader }
    };
    Ok((people.iter().zip(lanes).map(client).collect(), logs))
}

/// Waits for an acknowledgement.
async fn under_load(recorder: &Recorder) -> anyhow::Result<()> {
    timeout(LOAD_WITHIN, recorder.next_acknowledgement()).await.context("nothing is acknowledged any more")
}

/// Seconds since `began` to an answer that the store gave.
async fn probe(dialer: &Dialer, prober: &Person, began: Instant) -> anyhow::Result<f64> {
    let wire = dialer.connect().await?;
    wire.authenticate(&prober.device).await?;
    wire.call(Method::ListConversations(v1::ListConversations::default())).await?;
    let seconds = began.elapsed().as_secs_f64();
    wire.close();
    Ok(seconds)
}

/// Fails some time after the clients were told to end.
async fn end_of_patience(mut word: watch::Receiver<Word>) -> anyhow::Result<()> {
    // Where nobody tells any more, the run has failed already and says why.
    drop(word.wait_for(|word| word.ending).await);
    sleep(END_WITHIN).await;
    bail!("messages were not answered within {END_WITHIN:?}")
}

fn conclude(report: &mut Report, plan: &Plan, mut restarts: Vec<f64>, faults: Vec<String>, bed: Bed) {
    restarts.sort_by(f64::total_cmp);
    let longest = restarts.last().copied().unwrap_or_default();
    report.figure("restart_p50_s", "restart to first answer, p50", median(&restarts), "s");
    report.figure("restart_max_s", "restart to first answer, longest", longest, "s");
    report.figure("violations", "violations", faults.len(), "");
    if longest >= BAR.as_secs_f64() {
        report.fail(format!("a restart took {longest:.3} s"));
    }
    if plan.expect_violations {
        faults.iter().take(SHOWN_OF_CONTROL).for_each(|fault| note(&format!("found, as expected: {fault}")));
        if faults.is_empty() {
            report.fail("violations were expected, and none was found");
        }
        return;
    }
    faults.iter().take(SHOWN).for_each(|fault| report.fail(fault.clone()));
    if faults.len() > SHOWN {
        report.fail(format!("and {} more", faults.len().saturating_sub(SHOWN)));
    }
    if !faults.is_empty() {
        report.fail(format!("the history, logs and data are kept in {}", bed.keep().display()));
    }
}
