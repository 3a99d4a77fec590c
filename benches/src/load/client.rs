//! One client: a task, a connection, a stream for what it sends and a sync call for what comes.
//!
//! It behaves as the real one does where the server can tell: it comes back after a loss with growing patience and
//! jitter, sends what was not answered again byte for byte, and presents its own positions when it syncs.

mod hear;
mod seat;
mod speak;
mod whisper;

use std::{collections::VecDeque, pin::Pin, sync::Arc, sync::atomic::Ordering, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use qpc_client::wire::Device;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};

pub(super) use self::seat::Seat;
use self::{seat::Seats, whisper::Whispers};
use super::{Script, Shared, Stage, add};
use crate::{ledger::Place, mark::Mark, random::Random};

/// First and longest pause before another attempt, each drawn between zero and that; the real client's.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Frames that are taken in one go.
const TOGETHER: usize = 256;
/// A time that does not come.
const NEVER: Duration = Duration::from_secs(86_400);

/// A message without an answer.
struct Pending {
    seat: usize,
    mark: Mark,
    frame: Bytes,
}

/// Why a connection ended.
enum End {
    /// The load is over.
    Over,
    /// It was time to leave and come back.
    Planned,
    /// The server asked to come back after this long.
    GoAway(Duration),
}

/// What a client leaves behind.
pub(super) struct Finished {
    /// By conversation.
    pub(super) places: Vec<(u32, Place)>,
    pub(super) unanswered: u64,
}

/// See the module's text.
pub(super) struct Client {
    shared: Arc<Shared>,
    number: u32,
    device: Device,
    seats: Seats,
    inbox: u64,
    script: Script,
    churn: Option<Duration>,
    random: Random,
    /// Messages made so far.
    made: u32,
    pending: VecDeque<Pending>,
    next_due: Option<Instant>,
    leave_at: Option<Instant>,
    acknowledge_at: Option<Instant>,
    whispers: Whispers,
    inbox_is_new: bool,
    window: (u64, u64),
    talking: bool,
    was_ready: bool,
    was_back: bool,
}

impl Client {
    pub(super) fn new(
        shared: Arc<Shared>,
        number: u32,
        device: Device,
        seats: Vec<Seat>,
        script: Script,
        churn: Option<Duration>,
        random: Random,
    ) -> Self {
        Self {
            shared,
            number,
            device,
            seats: Seats::new(seats),
            inbox: 0,
            script,
            churn,
            random,
            made: 0,
            pending: VecDeque::new(),
            next_due: None,
            leave_at: None,
            acknowledge_at: None,
            whispers: Whispers::default(),
            inbox_is_new: false,
            window: (u64::MAX, u64::MAX),
            talking: false,
            was_ready: false,
            was_back: false,
        }
    }

    /// Lives until the load is over.
    pub(super) async fn run(mut self, mut stage: watch::Receiver<Stage>) -> Finished {
        let mut failures = 0_u32;
        loop {
            let mut over = stage.clone();
            let mut online = false;
            let ended = tokio::select! {
                biased;
                _ = over.wait_for(|stage| *stage == Stage::Over) => break,
                ended = self.connection(&mut stage, &mut online) => ended,
            };
            if online {
                self.shared.counts.online.fetch_sub(1, Ordering::Relaxed);
                failures = 0;
            }
            let pause = match ended {
                Ok(End::Over) => break,
                Ok(End::Planned) => Duration::ZERO,
                Ok(End::GoAway(after)) if self.shared.storms => after,
                Ok(End::GoAway(after)) => {
                    self.shared.counts.error(&format!("client {}: the server stops", self.number));
                    after
                }
                Err(error) => {
                    add(&self.shared.counts.lost_connections);
                    if !self.shared.storms {
                        self.shared.counts.error(&format!("client {}: {error:#}", self.number));
                    }
                    failures = failures.saturating_add(1);
                    let longest = PAUSE_MIN.saturating_mul(4_u32.saturating_pow(failures.saturating_sub(1).min(8)));
                    longest.min(PAUSE_MAX).mul_f64(self.random.fraction())
                }
            };
            sleep(pause).await;
        }
        let unanswered = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        Finished { places: self.seats.into_places(), unanswered }
    }

    /// One connection, from its beginning to its end.
    async fn connection(&mut self, stage: &mut watch::Receiver<Stage>, online: &mut bool) -> anyhow::Result<End> {
        let shared = Arc::clone(&self.shared);
        let gathering = *stage.borrow() == Stage::Gathering;
        let mut turn = if gathering { Some(shared.connecting.acquire().await?) } else { None };
        let shaking = shared.shaking.acquire().await?;
        let wire = shared.dialer.connect().await.context("connecting")?;
        wire.authenticate(&self.device).await.context("authenticating")?;
        drop(shaking);
        let (mut listening, mut sync) = wire.open().await?;
        let mut behind = self.follow(&wire, &mut listening).await?;
        let (mut requests, mut answers) = wire.open().await?;
        for pending in &self.pending {
            requests.send_frame(pending.frame.clone()).await?;
        }
        let timer = sleep(NEVER);
        tokio::pin!(timer);
        loop {
            match *stage.borrow_and_update() {
                Stage::Gathering => {}
                Stage::Talking(start) => self.begin(start),
                Stage::Ending => (self.talking, self.leave_at) = (false, None),
                Stage::Over => return Ok(End::Over),
            }
            if self.talking && *online {
                self.whisper(&wire);
                self.talk(&mut requests).await?;
            }
            self.set(&mut timer);
            tokio::select! {
                biased;
                changed = stage.changed() => changed?,
                frame = sync.next_frame() => {
                    let mut frame = Some(frame?.context("the sync call ended")?);
                    let now = shared.now();
                    let mut taken = 0_usize;
                    while let Some(bytes) = frame.take() {
                        if let Some(end) = self.heard(bytes, now, &mut behind).await? {
                            return Ok(end);
                        }
                        taken = taken.saturating_add(1);
                        if taken < TOGETHER {
                            frame = sync.ready_frame()?;
                        }
                    }
                    if behind == 0 && !*online {
                        *online = true;
                        drop(turn.take());
                        self.there();
                    }
                }
                frame = answers.next_frame(), if !self.pending.is_empty() => {
                    let mut frame = Some(frame?.context("the stream of messages ended")?);
                    let now = shared.now();
                    while let Some(bytes) = frame.take() {
                        self.answered(&bytes, now)?;
                        frame = answers.ready_frame()?;
                    }
                }
                datagram = wire.datagram(), if shared.ephemeral => {
                    drop(datagram?);
                    add(&shared.counts.overheard);
                }
                () = &mut timer => {}
            }
            let now = Instant::now();
            if self.acknowledge_at.is_some_and(|at| at <= now) {
                self.acknowledge(&wire, &mut listening).await?;
            }
            if self.leave_at.is_some_and(|at| at <= now) {
                self.leave_at = self.churn.and_then(|mean| now.checked_add(self.random.exponential(mean)));
                add(&shared.counts.planned_reconnects);
                wire.close();
                return Ok(End::Planned);
            }
        }
    }

    /// The load begins; for one who comes back it has begun before.
    fn begin(&mut self, start: Instant) {
        if self.talking {
            return;
        }
        self.talking = true;
        self.window = self.shared.window();
        if self.next_due.is_none() {
            self.next_due = self.script.first(&mut self.random).and_then(|first| start.checked_add(first));
        }
        if let Some(mean) = self.churn
            && self.leave_at.is_none()
        {
            self.leave_at = start.checked_add(self.random.exponential(mean));
        }
    }

    /// Everything that was there has been read.
    fn there(&mut self) {
        add(&self.shared.counts.online);
        if !self.was_ready {
            self.was_ready = true;
            add(&self.shared.counts.ready);
        }
        if let Some(since) = self.shared.gone_since()
            && !self.was_back
        {
            self.was_back = true;
            add(&self.shared.counts.returned);
            self.shared.returns.record(usize::try_from(self.number).unwrap_or_default(), since);
        }
    }

    /// Sets the timer to what comes next.
    fn set(&self, timer: &mut Pin<&mut Sleep>) {
        let may_talk = self.talking && self.pending.len() < self.script.window();
        let due = self.next_due.filter(|_| may_talk);
        let whisper = self.next_whisper().filter(|_| may_talk);
        let next = [self.acknowledge_at, due, self.leave_at, whisper].into_iter().flatten().min();
        let next = next.or_else(|| Instant::now().checked_add(NEVER));
        match next {
            Some(next) if timer.is_elapsed() || timer.deadline() > next => timer.as_mut().reset(next),
            // One that is too early is cheaper than setting it again and again.
            _ => {}
        }
    }
}
