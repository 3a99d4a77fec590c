//! A load: thousands of authenticated clients in this process, who talk, listen and judge.
//!
//! Each client is one task with one connection: a stream for what it sends, a sync call for what comes. What is sent
//! carries its sender and due time in its id ([`crate::mark`]); what comes is judged at once and forgotten.
//! Memory is that of the connections, and eight bytes for each message.

mod client;
mod engines;
mod lean;
mod script;
mod sizes;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use qpc_client::wire::{Device, Dialer};
use qpc_proto::{id::ConversationName, v1};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use self::client::{Client, Seat};
pub use self::{engines::Engines, script::Script, sizes::Sizes};
use crate::{
    accounts::ReadyRoom,
    latency::Latencies,
    ledger::{Faults, Ledger},
    mark::Clock,
    report::note,
};

/// Connections that are made at once, before the load.
const TOGETHER: usize = 64;
/// Handshakes at a time while people talk. Each of those people has a machine of their own; all on one would take so long
/// for each that the server gives them up, and would then do little else than begin anew.
const SHAKING: usize = 1000;
/// Longest wait for all clients to be there, for each thousand and besides.
const CONNECT_WITHIN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(60));
/// Errors that are shown.
const SHOWN: u64 = 5;

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connect, read what is there, and wait.
    Gathering,
    /// Talk; scripts count from then.
    Talking(Instant),
    /// No more messages: get the answers to those on their way, and read on.
    Ending,
    /// Leave.
    Over,
}

/// A conversation under load.
pub struct Room {
    /// Its name.
    pub name: ConversationName,
    wire: v1::ConversationName,
    epoch: u64,
    ledger: Mutex<Ledger>,
    /// The members whose engines share an MLS group, sorted.
    encrypted: Vec<u32>,
}

impl Room {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is counted while a load runs.
#[derive(Debug, Default)]
pub struct Counts {
    /// Clients that are connected and have read what was there.
    pub ready: AtomicU64,
    /// Clients that are connected now and have read what was there.
    pub online: AtomicU64,
    /// Clients that are back since the server has gone.
    pub returned: AtomicU64,
    /// Messages that were due in the measured time and sent.
    pub sent: AtomicU64,
    /// Of these, answered.
    pub answered: AtomicU64,
    /// Of these, arrivals at other devices.
    pub delivered: AtomicU64,
    /// Arrivals at other devices, whenever they were due.
    pub arrived: Arc<AtomicU64>,
    /// Answers, whenever the message was due.
    pub acknowledged: Arc<AtomicU64>,
    /// Messages, whenever they were due.
    pub made: AtomicU64,
    /// Ephemeral events that were said.
    pub whispered: AtomicU64,
    /// Those that came.
    pub overheard: AtomicU64,
    /// Connections that ended and were made again, as was planned.
    pub planned_reconnects: AtomicU64,
    /// Connections that were lost.
    pub lost_connections: AtomicU64,
    /// What went wrong.
    pub errors: AtomicU64,
    /// The first few of these.
    pub first_errors: Mutex<Vec<String>>,
}

impl Counts {
    /// Notes that something went wrong, and says the first few.
    pub fn error(&self, what: &str) {
        if add(&self.errors) < SHOWN {
            note(what);
            self.first_errors.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_owned());
        }
    }
}

fn add(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

/// What all clients share.
pub struct Shared {
    pub(crate) dialer: Dialer,
    rooms: Vec<Room>,
    by_id: HashMap<[u8; 16], u32>,
    clock: Clock,
    /// The measured time, in the clock's parts.
    window: Mutex<(u64, u64)>,
    /// What was counted.
    pub counts: Counts,
    /// From due to delivered.
    pub deliveries: Latencies,
    /// From due to answered.
    pub answers: Latencies,
    /// From the server's going to a client's being back.
    pub returns: Latencies,
    /// When it has gone.
    gone: Mutex<Option<Instant>>,
    /// How long acknowledgements are gathered.
    acknowledge: Duration,
    sizes: Sizes,
    engines: Option<Engines>,
    connecting: Semaphore,
    /// Handshakes under way while people talk.
    shaking: Semaphore,
    /// Losing connections is part of the plan.
    storms: bool,
    /// Clients say that they are writing, and what they have read.
    ephemeral: bool,
}

/// How a load behaves.
#[derive(Debug, Clone)]
pub struct Manner {
    /// How long a client gathers acknowledgements.
    pub acknowledge: Duration,
    /// UDP sockets, each at a loopback address of its own.
    pub sockets: usize,
    /// Bytes of text in messages.
    pub sizes: Sizes,
    /// How often a client leaves and comes back; never without.
    pub churn: Option<Duration>,
    /// Whether connections may be lost.
    pub storms: bool,
    /// Whether clients say that they are writing, and what they have read.
    pub ephemeral: bool,
    /// For all that is random.
    pub seed: u64,
}

/// Clients at work.
pub struct Load {
    /// What they share.
    pub shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    tasks: JoinSet<client::Finished>,
    users: u64,
}

impl Load {
    /// Connects everybody, and waits until all have read what was there. Each user has a script.
    ///
    /// # Errors
    /// When not all come.
    pub async fn gather(
        dialer: Dialer,
        users: &[Device],
        rooms: &[ReadyRoom],
        scripts: impl Fn(u32) -> Script,
        engines: Option<Engines>,
        manner: &Manner,
    ) -> anyhow::Result<Self> {
        let grouped = |at: usize| engines.as_ref().map(|engines| engines.members(at)).unwrap_or_default();
        let shared_rooms: Vec<Room> = rooms
            .iter()
            .enumerate()
            .map(|(at, room)| Room {
                name: room.name.clone(),
                wire: room.name.to_wire(),
                epoch: room.epoch,
                ledger: Mutex::new(Ledger::new(room.seq)),
                encrypted: grouped(at),
            })
            .collect();
        let by_id = (0_u32..).zip(rooms).map(|(at, room)| (*room.name.id.as_bytes(), at)).collect();
        let mut seats: Vec<Vec<Seat>> = users.iter().map(|_| Vec::new()).collect();
        for (at, room) in (0_u32..).zip(rooms) {
            for (member, counter) in room.members.iter().zip(&room.counters) {
                if let Some(seats) = usize::try_from(*member).ok().and_then(|member| seats.get_mut(member)) {
                    seats.push(Seat::new(at, room, *counter));
                }
            }
        }
        let shared = Arc::new(Shared {
            dialer,
            rooms: shared_rooms,
            by_id,
            clock: Clock::start(),
            window: Mutex::new((u64::MAX, u64::MAX)),
            counts: Counts::default(),
            deliveries: Latencies::new()?,
            answers: Latencies::new()?,
            returns: Latencies::new()?,
            gone: Mutex::new(None),
            acknowledge: manner.acknowledge,
            sizes: manner.sizes.clone(),
            engines,
            connecting: Semaphore::new(TOGETHER),
            shaking: Semaphore::new(SHAKING),
            storms: manner.storms,
            ephemeral: manner.ephemeral,
        });
        let (stage, listen) = watch::channel(Stage::Gathering);
        let mut tasks = JoinSet::new();
        let mut random = crate::random::Random::new(manner.seed);
        for ((number, device), seats) in (0_u32..).zip(users).zip(seats) {
            let client = Client::new(
                Arc::clone(&shared),
                number,
                device.clone(),
                seats,
                scripts(number),
                manner.churn,
                random.fork(),
            );
            tasks.spawn(client.run(listen.clone()));
        }
        let load = Self { shared, stage, tasks, users: u64::try_from(users.len())? };
        load.all_ready().await?;
        Ok(load)
    }

    /// Waits until all clients are there.
    async fn all_ready(&self) -> anyhow::Result<()> {
        let (each, besides) = CONNECT_WITHIN;
        let thousands = u32::try_from(self.users.div_ceil(1_000))?;
        let longest = each.saturating_mul(thousands).saturating_add(besides);
        let ready = async {
            let mut progress = crate::progress::Progress::default();
            loop {
                let there = self.shared.counts.ready.load(Ordering::Relaxed);
                if there >= self.users {
                    return;
                }
                progress.show(&format!("connected {there} of {}", self.users));
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(longest, ready).await.is_err() {
            let there = self.shared.counts.ready.load(Ordering::Relaxed);
            bail!("only {there} of {} clients are connected after {longest:?}", self.users);
        }
        Ok(())
    }

    /// Begins to talk, now; the measured time begins after `warm_up` and lasts for `measured`. Gives its beginning
    /// and end.
    ///
    /// # Errors
    /// At the clock's end.
    pub fn talk(&self, warm_up: Duration, measured: Duration) -> anyhow::Result<(Instant, Instant)> {
        let start = Instant::now().checked_add(Duration::from_millis(200)).context("the clock's end")?;
        let from = start.checked_add(warm_up).context("the clock's end")?;
        let upto = from.checked_add(measured).context("the clock's end")?;
        let window = (self.shared.clock.parts(from.into_std()), self.shared.clock.parts(upto.into_std()));
        *self.shared.window.lock().unwrap_or_else(PoisonError::into_inner) = window;
        self.stage.send_replace(Stage::Talking(start));
        Ok((from, upto))
    }

    /// The server goes: from now on it counts who is back.
    pub fn server_goes(&self) {
        *self.shared.gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// No more messages; waits until every message is answered and has arrived everywhere, or `patience` has passed,
    /// and gives what is wrong.
    ///
    /// # Errors
    /// When a client's task has failed.
    pub async fn end(mut self, patience: Duration) -> anyhow::Result<Verdict> {
        self.stage.send_replace(Stage::Ending);
        let until = Instant::now().checked_add(patience).context("the clock's end")?;
        // While messages still arrive somebody has to wait; when none did for a while, what is missing is lost.
        let mut last = u64::MAX;
        loop {
            let counts = &self.shared.counts;
            let arrived = counts.arrived.load(Ordering::Relaxed);
            let open = counts.made.load(Ordering::Relaxed) > counts.acknowledged.load(Ordering::Relaxed);
            let all = counts.online.load(Ordering::Relaxed) >= self.users;
            if (all && !open && arrived == last) || Instant::now() >= until {
                break;
            }
            last = arrived;
            sleep_until(Instant::now().checked_add(Duration::from_millis(500)).unwrap_or(until)).await;
        }
        self.stage.send_replace(Stage::Over);
        let mut verdict = Verdict::default();
        while let Some(finished) = self.tasks.join_next().await {
            verdict.reader(&self.shared.rooms, finished?);
        }
        for room in &self.shared.rooms {
            verdict.faults.add(room.ledger().judge());
        }
        self.shared.dialer.close().await;
        verdict.errors = verdict.errors.saturating_add(self.shared.counts.errors.load(Ordering::Relaxed));
        if let Some(engines) = &self.shared.engines {
            verdict.errors = verdict.errors.saturating_add(engines.finish().await);
        }
        Ok(verdict)
    }

    /// How many clients there are.
    #[must_use]
    pub const fn users(&self) -> u64 {
        self.users
    }
}

/// What is wrong, after a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// By the ledgers and places.
    pub faults: Faults,
    /// Messages that were never answered, refusals, broken connections.
    pub errors: u64,
}

impl Verdict {
    fn reader(&mut self, rooms: &[Room], finished: client::Finished) {
        for (room, place) in finished.places {
            let head = usize::try_from(room).ok().and_then(|at| rooms.get(at)).map(|room| room.ledger().head());
            self.faults.add(place.judge(head.unwrap_or_default()));
        }
        self.errors = self.errors.saturating_add(finished.unanswered);
    }
}

impl Shared {
    /// The moment in the clock's parts.
    fn now(&self) -> u64 {
        self.clock.parts(std::time::Instant::now())
    }

    fn window(&self) -> (u64, u64) {
        *self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago the server has gone.
    fn gone_since(&self) -> Option<Duration> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).map(|gone| gone.elapsed())
    }

    fn room(&self, at: u32) -> Option<&Room> {
        usize::try_from(at).ok().and_then(|at| self.rooms.get(at))
    }

    /// Bytes of a message, on average.
    #[must_use]
    pub fn body_mean(&self) -> f64 {
        self.sizes.mean()
    }

    /// What the engines did, where there are some.
    #[must_use]
    pub fn engines(&self) -> Option<&Engines> {
        self.engines.as_ref()
    }
}
