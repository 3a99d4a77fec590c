//! Servers of three domains under load, each killed again and again, and cut off from each other one way and both: is
//! everything that was taken there in the end, once, in order, and the same at every server?
//!
//! Conversations are those of two over two domains and of three over three, ordered by each of them. What a client is told
//! that its server keeps for another one counts as what it is told that is stored. Nobody commits meanwhile: a message of an
//! earlier epoch would have to be encrypted anew.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use qpc_client::wire::Dialer;
use qpc_proto::{
    id::{ConversationName, Counter},
    v1::{self, request::Method},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    SHOWN,
    client::{self, Client, Word},
    end_of_patience,
    lane::Lane,
    reader::Reader,
    recorder::Recorder,
    under_load,
    verdict::{self, Log},
};
use crate::{
    crowd::{self, Person, Room},
    history::Event,
    random::Random,
    report::{Report, note},
    towns::{self, SOCKETS},
    union::{Cut, DOMAINS, Union},
};

/// The longest pause of a client in a conversation, in milliseconds: three servers share a machine with their clients.
const PAUSE_MS: u64 = 2_000;
/// From an acknowledgement to the next kill.
const KILL_AFTER_MS: (u64, u64) = (50, 1_500);
/// For how long a killed server is away, at most.
const AWAY_MS: u64 = 3_000;
/// How long a cut lasts at least, in seconds.
const CUT_MIN: f64 = 1.0;
/// From a cut's end to the next one.
const WHOLE_MS: u64 = 1_000;
/// How long all servers have in the end to have all the same: more than the longest pause before one tries another again.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);
/// Of each: everybody else asks for some once for each conversation.
const KEY_PACKAGES: usize = 16;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often a server is killed; they take turns.
    pub kills: u32,
    /// How often two are cut off from each other.
    pub cuts: u32,
    /// The longest of these.
    pub cut_seconds: u32,
    /// People at each server, each of whom sends.
    pub people: usize,
    /// For all that is random, besides what scheduling makes so.
    pub seed: u64,
}

/// A conversation, and who reads it at the end: with the number of their server, the hub's first.
struct Seen {
    room: Room,
    readers: Vec<(usize, Person)>,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no violation.
pub async fn run(program: &Path, plan: &Plan) -> anyhow::Result<Report> {
    note(&format!("torture across servers: seed {}", plan.seed));
    let mut random = Random::new(plan.seed);
    let mut union = Union::start(program).await?;
    let mut dialers = Vec::new();
    let mut towns = Vec::new();
    for (bed, prefix) in union.beds.iter().zip(["a", "b", "c"]) {
        let dialer = Arc::new(bed.dialer(SOCKETS)?);
        towns.push(crowd::people(&dialer, bed.token(), prefix, plan.people).await?);
        dialers.push(dialer);
    }
    let directory = tempfile::Builder::new().prefix("qpc-bench-across-").tempdir()?;
    let recorder = Arc::new(Recorder::create(&directory.path().join("history.txt"))?);
    let (clients, seen) = furnish(&towns, &dialers, &recorder, &mut random).await?;

    let (tell, word) = watch::channel(Word::default());
    let load = client::run_all(clients, &recorder, &word);
    let harm = async {
        let mut away = Vec::new();
        for kill in 1..=plan.kills {
            away.push(kill_one(&mut union, kill, &recorder, &mut random).await?);
            let number = server_of(kill);
            tell.send_modify(|word| {
                if let Some(started) = word.started.get_mut(number) {
                    *started = kill;
                }
            });
        }
        for cut in 1..=plan.cuts {
            cut_two(&union, (cut, plan.cut_seconds), &recorder, &mut random).await?;
        }
        under_load(&recorder).await?;
        tell.send_modify(|word| word.ending = true);
        anyhow::Ok(())
    };
    let ((), ()) = tokio::try_join!(harm, async {
        tokio::select! {
            ended = load => ended,
            never = end_of_patience(word.clone()) => never,
        }
    })?;

    let record = recorder.finish()?;
    let mut expected: BTreeMap<&ConversationName, usize> = BTreeMap::new();
    let mut kept = 0_u64;
    for event in &record.events {
        match event {
            Event::Invoked(sent) => {
                let count = expected.entry(&sent.conversation).or_default();
                *count = count.saturating_add(1);
            }
            Event::Kept(_) => kept = kept.saturating_add(1),
            _ => {}
        }
    }
    let began = Instant::now();
    let mut logs = BTreeMap::new();
    let mut faults = Vec::new();
    for Seen { room, readers } in &seen {
        let expected = expected.get(&room.name).copied().unwrap_or_default();
        let (hub, differences) = settled(&dialers, room, readers, (began, expected)).await?;
        faults.extend(differences);
        logs.insert(room.name.clone(), hub);
    }
    let settled_in = began.elapsed().as_secs_f64();
    let mut report = Report::new("torture across servers");
    report.figure("seed", "seed", plan.seed, "");
    report.figure("kills", "kills", plan.kills, "");
    report.figure("cuts", "cuts", plan.cuts, "");
    report.figure("conversations", "conversations", logs.len(), "");
    report.figure("acknowledged", "messages acknowledged or kept", record.acknowledged, "");
    report.figure("kept", "of these kept for another server", kept, "");
    report.figure("events", "events in the history", record.events.len(), "");
    report.figure("settled_s", "until every server had the same", settled_in, "s");
    faults.extend(verdict::judge(record, logs));
    for bed in &mut union.beds {
        bed.kill().await?;
        if let Err(error) = bed.check_database().await {
            faults.push(error.to_string());
        }
    }
    report.figure("violations", "violations", faults.len(), "");
    faults.iter().take(SHOWN).for_each(|fault| report.fail(fault.clone()));
    if !faults.is_empty() {
        report.fail(format!("the history is kept in {}", directory.keep().display()));
    }
    Ok(report)
}

/// Which server it is that is killed.
fn server_of(kill: u32) -> usize {
    turn(usize::try_from(kill).unwrap_or_default())
}

/// One after the other.
fn turn(number: usize) -> usize {
    (0..DOMAINS.len()).cycle().nth(number).unwrap_or_default()
}

async fn kill_one(union: &mut Union, kill: u32, recorder: &Recorder, random: &mut Random) -> anyhow::Result<()> {
    let number = server_of(kill);
    let before = recorder.count();
    under_load(recorder).await?;
    sleep(between(random, KILL_AFTER_MS)).await;
    let acknowledged = recorder.count().saturating_sub(before);
    let away = Duration::from_millis(random.below(AWAY_MS));
    let bed = union.beds.get_mut(number).context("a server")?;
    bed.kill().await?;
    sleep(away).await;
    bed.restart().await?;
    let domain = DOMAINS.get(number).copied().unwrap_or_default();
    note(&format!(
        "kill {kill}: {domain}, after {acknowledged} acknowledgements; away for {:.1} s",
        away.as_secs_f64()
    ));
    Ok(())
}

async fn cut_two(
    union: &Union,
    (number, longest): (u32, u32),
    recorder: &Recorder,
    random: &mut Random,
) -> anyhow::Result<()> {
    let one = server_of(number);
    let other = turn(one.saturating_add(1));
    let cut = [Cut::Both, Cut::There, Cut::Back].get(random.index(3)).copied().unwrap_or(Cut::Both);
    // As many short ones as long ones.
    let lasts = Duration::from_secs_f64(CUT_MIN * (f64::from(longest) / CUT_MIN).powf(random.fraction()));
    let before = recorder.count();
    union.cut(one, other, Some(cut));
    sleep(lasts).await;
    union.cut(one, other, None);
    let during = recorder.count().saturating_sub(before);
    let name = |number: usize| DOMAINS.get(number).copied().unwrap_or_default();
    let (one, other) = (name(one), name(other));
    note(&format!("cut {number}: {one} and {other}, {cut:?}, {:.1} s; {during} acknowledgements", lasts.as_secs_f64()));
    sleep(Duration::from_millis(random.below(WHOLE_MS))).await;
    Ok(())
}

fn between(random: &mut Random, (least, most): (u64, u64)) -> Duration {
    Duration::from_millis(random.below(most.saturating_sub(least)).saturating_add(least))
}

/// Conversations for everybody, and a client for each.
async fn furnish(
    towns: &[Vec<Person>],
    dialers: &[Arc<Dialer>],
    recorder: &Recorder,
    random: &mut Random,
) -> anyhow::Result<(Vec<Client>, Vec<Seen>)> {
    let [one, two, three] = towns else { bail!("three servers") };
    for person in towns.iter().flatten() {
        crowd::publish(person, KEY_PACKAGES).await?;
    }
    let mut seen = Vec::new();
    for ((a, b), c) in one.iter().zip(two).zip(three) {
        let all = [(0, a), (1, b), (2, c)];
        // In this order the first one's server is the hub.
        for ((from, creator), (to, peer)) in [(all[0], all[1]), (all[0], all[2]), (all[1], all[2])] {
            let room = towns::direct(creator, peer, random).await?;
            seen.push(Seen { room, readers: vec![(from, creator.clone()), (to, peer.clone())] });
        }
        for at in 0..all.len() {
            let mut people = all.to_vec();
            people.rotate_left(at);
            let Some((&(hub, creator), others)) = people.split_first() else { continue };
            for (_, other) in others {
                towns::known(creator, other).await?;
            }
            let members: Vec<&Person> = others.iter().map(|(_, person)| *person).collect();
            let (request, _) = crowd::creation(creator, v1::ConversationKind::Group, "", &members, random).await?;
            let room = crowd::made(
                creator,
                towns::patiently("making a group", creator, Method::CreateConversation(request.clone())).await?,
                &request,
            )?;
            let readers = others.iter().map(|(server, person)| (*server, (*person).clone()));
            let readers = std::iter::once((hub, creator.clone())).chain(readers).collect();
            seen.push(Seen { room, readers });
        }
    }
    let mut clients = Vec::new();
    for (server, (people, dialer)) in towns.iter().zip(dialers).enumerate() {
        for person in people {
            let me = person.device.id();
            let mut lanes = Vec::new();
            for Seen { room, readers } in &seen {
                let mine = readers.iter().position(|(_, reader)| reader.device.id() == me);
                let Some(place) = mine else { continue };
                towns::readable(person, &room.name).await?;
                let last = Counter(u64::from(place == 0));
                lanes.push(Lane::new(room.name.clone(), me, last, None, PAUSE_MS, random.fork()));
            }
            let followed: Vec<_> = lanes.iter().map(|lane| lane.conversation.clone()).collect();
            let reader = Reader::new(followed.into_iter(), recorder, random.fork());
            let (device, dialer) = (person.device.clone(), Arc::clone(dialer));
            clients.push(Client { device, server, dialer, lanes, reader });
        }
    }
    for Seen { room, .. } in &seen {
        recorder.invoked(&room.commit);
        recorder.acknowledged(&room.commit, room.at, room.chain);
    }
    Ok((clients, seen))
}

/// The log of a conversation at its hub, once every server has so many entries of it; and where theirs are other ones.
async fn settled(
    dialers: &[Arc<Dialer>],
    room: &Room,
    readers: &[(usize, Person)],
    (began, expected): (Instant, usize),
) -> anyhow::Result<(Log, Vec<String>)> {
    let deadline = began.checked_add(SETTLED_WITHIN).context("the clock's end")?;
    let mut logs = Vec::new();
    for (server, person) in readers {
        let wire = dialers.get(*server).context("a way to the server")?.connect().await?;
        wire.authenticate(&person.device).await?;
        let log = loop {
            let log = verdict::read(&wire, &room.name).await?;
            if log.len() >= expected || Instant::now() >= deadline {
                break log;
            }
            sleep(LOOK_AGAIN).await;
        };
        wire.close();
        logs.push((DOMAINS.get(*server).copied().unwrap_or_default(), log));
    }
    let mut logs = logs.into_iter();
    let (_, hub) = logs.next().context("a hub")?;
    let faults = logs.flat_map(|(domain, copy)| hub.differs(&room.name, domain, &copy)).collect();
    Ok((hub, faults))
}
