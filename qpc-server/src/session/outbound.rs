//! The sync call: the half of a session that writes to the device.
//!
//! Entries are pushed as they are committed, gap-checked against a position for each log; whatever a push
//! lacks is read from the store in pages (D6). A device that does not read is waited for by nobody: its queue
//! fills, it is behind, and it catches up from the store when it reads again.

mod logs;
mod opening;

use std::{
    future::pending,
    pin::{Pin, pin},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use prost::Message;
use qpc_proto::{
    ephemeral::Event,
    error::Code,
    frame,
    id::{ConversationName, Seq},
    limits::{CURSORS_PER_FRAME_MAX, FOLLOWED_MAX},
    v1::{self, answer, request::Method},
};
use quinn::{SendStream, WriteError, Written};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use self::{
    logs::Logs,
    opening::{Cursor, Opening},
};
use super::{ephemeral, link::Link, stream, wire_error::WireError};
use crate::{
    field::{self, FieldError},
    policy::Wait,
    registry::{Behind, Ephemeral, News, Subscription},
    rng,
    store::{Actor, LogPage, Position, ReadError, ReadLog, Reply},
    transport::frames::{Frames, FramesEnd},
};

/// How long the last frames of a sync call may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Room for frames that a session keeps while it has nothing to write.
const OUT_KEPT: usize = 8;

/// Why a sync call ends.
enum End {
    /// The client has finished, or a newer sync call has taken its place.
    Done,
    /// The server stops.
    Stopping,
    /// The stream or connection is gone.
    Lost,
    /// The client, or what it asked for, made going on impossible.
    Refused(WireError),
}

impl<E: Into<WireError>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// A page that is being read.
struct PageRead {
    log: ConversationName,
    reply: Reply<LogPage, ReadError>,
}

struct Outbound {
    link: Arc<Link>,
    actor: Actor,
    news: Subscription,
    logs: Logs,
    opening: Opening,
    page: Option<PageRead>,
    /// Logs to follow that wait until the account's rate of lookups allows it.
    held: Option<(Vec<v1::Cursor>, Instant)>,
    /// Frames that are to be written, in order.
    out: Vec<Bytes>,
    /// What is ephemeral, and is said once nothing else waits.
    whispers: Vec<Arc<Ephemeral>>,
}

/// Runs a sync call on its stream until either side ends it.
pub(super) async fn run(link: Arc<Link>, mut send: SendStream, mut frames: Frames, sync: v1::Sync) {
    let Some(session) = link.session() else { return };
    // Registered before any position is read: what is committed from here on is offered (D6).
    let news = session.subscribe(sync.ephemerals && link.context.limits.ephemerals.enabled);
    let logs = Logs::new(link.context.delivery.depth_share());
    let mut outbound = Outbound {
        actor: session.actor().clone(),
        link: Arc::clone(&link),
        news,
        logs,
        opening: Opening::default(),
        page: None,
        held: None,
        out: Vec::new(),
        whispers: Vec::new(),
    };
    let end = match outbound.follow(sync.cursors) {
        Ok(()) => outbound.serve(&mut send, &mut frames).await,
        Err(end) => end,
    };
    let last = match end {
        End::Lost => return,
        End::Done => None,
        End::Stopping => Some(answer::Result::GoAway(outbound.go_away())),
        End::Refused(refusal) => {
            link.context.metrics.error(refusal.code());
            Some(refusal.into_result())
        }
    };
    outbound.out.extend(last.map(encode));
    // What of it does not arrive in time is in the store.
    if timeout(FAREWELL, send.write_all_chunks(&mut outbound.out)).await.is_ok_and(|written| written.is_ok()) {
        stream::finish(&link, send).await;
    }
}

impl Outbound {
    async fn serve(&mut self, send: &mut SendStream, frames: &mut Frames) -> End {
        let stopping = self.link.context.tasks.stopping().clone();
        // Kept over all turns: it enters a list that all sessions share.
        let mut stopped = pin!(stopping.cancelled());
        loop {
            if let Err(end) = self.turn(send, frames, stopped.as_mut()).await {
                return end;
            }
        }
    }

    /// Waits for one thing and does it. Every branch keeps what it has when it is dropped. Branches are looked at in their
    /// order: what there is to say comes before what the client says, because each look at its stream costs more
    /// than writing a frame to it. News takes all there is, so it is not there again at once and keeps nobody unheard.
    async fn turn(
        &mut self,
        send: &mut SendStream,
        frames: &mut Frames,
        stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), End> {
        self.ask();
        self.write_now(send)?;
        if !self.whispers.is_empty() {
            self.whisper();
            self.write_now(send)?;
        }
        let idle = self.out.is_empty();
        let held = self.held.as_ref().map(|(_, until)| *until);
        // A client that floods the call is read no faster than it is answered.
        let may_read = held.is_none()
            && self.opening.waiting() < CURSORS_PER_FRAME_MAX
            && self.out.len() < self.link.context.limits.session.outbound_frames;
        tokio::select! {
            biased;
            () = stopped => return Err(End::Stopping),
            written = send.write_chunks(&mut self.out), if !idle => self.wrote(written)?,
            news = self.news.news(), if idle => match news {
                News::Offers { offers, behind, ephemerals } => {
                    for offer in offers {
                        self.logs.offer(&offer, &mut self.out);
                    }
                    self.logs.fall_behind(&behind);
                    self.whispers = ephemerals;
                    if behind != Behind::No {
                        ephemeral::forget(&self.link.context, &mut self.whispers);
                    }
                }
                News::Replaced => return Err(End::Done),
            },
            answer = self.opening.answered(), if idle => {
                let (cursors, positions) = answer?;
                self.opened(&cursors, positions);
            }
            page = reply(self.page.as_mut().map(|page| &mut page.reply)), if idle => self.fetched(page)?,
            frame = frames.next(), if may_read => self.read(frame)?,
            () = at(held) => {
                if let Some((cursors, _)) = self.held.take() {
                    self.follow(cursors)?;
                }
            }
        }
        Ok(())
    }

    /// Says what is ephemeral, where all that counts was written; else it is lost.
    fn whisper(&mut self) {
        if self.out.is_empty() {
            self.out = ephemeral::say(&self.link, &mut self.whispers);
        } else {
            ephemeral::forget(&self.link.context, &mut self.whispers);
        }
    }

    /// Writes what the stream takes at once, which mostly is all there is.
    fn write_now(&mut self, send: &mut SendStream) -> Result<(), End> {
        while !self.out.is_empty() {
            match send.write_chunks(&mut self.out).now_or_never() {
                Some(written) => self.wrote(written)?,
                None => break,
            }
        }
        Ok(())
    }

    /// The stream has taken frames, or is gone.
    fn wrote(&mut self, written: Result<Written, WriteError>) -> Result<(), End> {
        let written = written.map_err(|_| End::Lost)?;
        self.out.drain(..written.chunks);
        if self.out.is_empty() && self.out.capacity() > OUT_KEPT {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// Asks the store for what comes next, as far as that may run ahead of the client.
    fn ask(&mut self) {
        let (limits, delivery) = (&self.link.context.limits.session, &self.link.context.delivery);
        self.opening.ask(limits.lookups, |cursors| delivery.positions(&self.actor, cursors));
        if self.page.is_none()
            && let Some((log, after)) = self.logs.next_page()
        {
            let read = ReadLog { log: log.clone(), after, limit: limits.page_entries, max_bytes: limits.page_bytes };
            let reply = delivery.fetch(&self.actor, read);
            self.page = Some(PageRead { log, reply });
        }
    }

    /// The store has said where logs stand.
    fn opened(&mut self, cursors: &[Cursor], positions: Vec<Option<Position>>) {
        for ((log, cursor), position) in cursors.iter().zip(positions) {
            let Some(position) = position else {
                self.logs.not_followed(log, &mut self.out);
                continue;
            };
            self.logs.opened(log, *cursor, &position, &mut self.out);
            // What the client presents it has stored; the store may know less.
            let has = (*cursor).min(position.after);
            if has > Seq(0) {
                self.link.context.delivery.acknowledged(&self.actor, (log, position.place), has, 0);
            }
        }
    }

    /// The store has given a page of a log in which the session is behind.
    fn fetched(&mut self, page: Result<LogPage, ReadError>) -> Result<(), End> {
        let Some(PageRead { log, .. }) = self.page.take() else { return Ok(()) };
        match page {
            Ok(page) => self.logs.page(&log, &page, &mut self.out),
            Err(ReadError::NotFound) => self.logs.ended(&log, &mut self.out),
            Err(error @ (ReadError::DeviceGone | ReadError::Fault(_))) => return Err(error.into()),
        }
        Ok(())
    }

    /// The client has said something, finished, or gone.
    fn read(&mut self, frame: Result<Option<Bytes>, FramesEnd>) -> Result<(), End> {
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(End::Done),
            Err(FramesEnd::Frame(error)) => return Err(error.into()),
            Err(FramesEnd::Slow) => return Err(WireError::new(Code::Malformed, "a frame took too long").into()),
            Err(FramesEnd::Lost(_)) => return Err(End::Lost),
        };
        let malformed = |_| WireError::new(Code::Malformed, "the frame is no request");
        match v1::Request::decode(frame).map_err(malformed)?.method {
            Some(Method::Follow(follow)) => match self.link.context.policy.lookup(self.actor.account()) {
                Ok(()) => self.follow(follow.cursors)?,
                Err(Wait(wait)) => {
                    let now = Instant::now();
                    self.held = Some((follow.cursors, now.checked_add(wait).unwrap_or(now)));
                }
            },
            Some(Method::Acknowledge(acknowledge)) => {
                field::at_most(acknowledge.cursors.len(), CURSORS_PER_FRAME_MAX, "cursors")?;
                for cursor in &acknowledge.cursors {
                    let log = self.named(cursor.conversation.as_ref())?;
                    if let Some((place, seq, entries)) = self.logs.acknowledge(&log, Seq(cursor.seq)) {
                        self.link.context.delivery.acknowledged(&self.actor, (&log, place), seq, entries);
                    }
                }
            }
            Some(Method::Ephemeral(event)) => self.link.context.ephemerals.take(&self.actor, Event::parse(event)),
            Some(_) => return Err(WireError::new(Code::WrongState, "the stream is a sync call").into()),
            // A method of a later version, which the client can't rely on: said, and nothing ends.
            None => {
                let refusal = WireError::new(Code::UnknownMethod, "the method is not known here");
                self.out.push(encode(refusal.into_result()));
            }
        }
        Ok(())
    }

    /// The name of a log; one of this server shares the domain's text with all others.
    fn named(&self, wire: Option<&v1::ConversationName>) -> Result<ConversationName, FieldError> {
        let mut log = field::conversation(wire)?;
        if log.domain == self.link.context.domain {
            log.domain = self.link.context.domain.clone();
        }
        Ok(log)
    }

    fn follow(&mut self, cursors: Vec<v1::Cursor>) -> Result<(), End> {
        field::at_most(cursors.len(), CURSORS_PER_FRAME_MAX, "cursors")?;
        self.logs.expect(cursors.len(), FOLLOWED_MAX);
        for cursor in cursors {
            let log = self.named(cursor.conversation.as_ref())?;
            if !self.logs.open(&log, FOLLOWED_MAX) {
                return Err(WireError::new(Code::TooLarge, "too many logs are followed").into());
            }
            self.opening.push((log, Seq(cursor.seq)));
        }
        Ok(())
    }

    /// Clients come back at different times, not all at once.
    fn go_away(&self) -> v1::GoAway {
        let limits = &self.link.context.limits.session;
        let spread = limits.reconnect_max.saturating_sub(limits.reconnect_min);
        let share = f64::from(u32::from_be_bytes(rng::bytes(&*self.link.context.rng))) / f64::from(u32::MAX);
        let wait = limits.reconnect_min.saturating_add(spread.mul_f64(share));
        v1::GoAway { reconnect_after_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX) }
    }
}

fn encode(result: answer::Result) -> Bytes {
    frame::encode(&v1::Answer { result: Some(result) })
}

/// Waits for a reply, or for ever where none is due.
async fn reply<T, E>(due: Option<&mut Reply<T, E>>) -> Result<T, E>
where
    Reply<T, E>: Future<Output = Result<T, E>> + Unpin,
{
    match due {
        Some(reply) => reply.await,
        None => pending().await,
    }
}

/// Waits for a time, or for ever where none is set.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
