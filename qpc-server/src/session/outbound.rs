//! The sync call: the half of a session that writes to the device.
//!
//! Entries are pushed as they are committed, gap-checked against a position for each log; whatever a push
//! lacks is read from the store in pages (D6). A device that does not read is waited for by nobody: its queue
//! fills, it is behind, and it catches up from the store when it reads again.

mod logs;

use std::{collections::VecDeque, future::pending, sync::Arc};

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    error::Code,
    frame,
    id::{ConversationName, Seq},
    limits::{CURSORS_PER_FRAME_MAX, FOLLOWED_MAX},
    v1::{self, answer, request::Method},
};
use quinn::SendStream;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use self::logs::Logs;
use super::{
    frames::{Frames, FramesEnd},
    link::Link,
    stream,
    wire_error::WireError,
};
use crate::{
    field,
    policy::Wait,
    registry::{News, Subscription},
    rng,
    store::{Actor, LogPage, Position, ReadError, ReadLog, Refusal, Reply},
};

/// How long the last frames of a sync call may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

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

/// A log whose position is asked of the store.
struct Lookup {
    log: ConversationName,
    cursor: Seq,
    reply: Reply<Position, ReadError>,
}

/// A page that is being read.
struct PageRead {
    log: ConversationName,
    after: Seq,
    reply: Reply<LogPage, ReadError>,
}

struct Outbound {
    link: Arc<Link>,
    actor: Actor,
    news: Subscription,
    logs: Logs,
    /// Logs to follow whose position has not been asked yet.
    opening: VecDeque<(ConversationName, Seq)>,
    lookups: VecDeque<Lookup>,
    page: Option<PageRead>,
    /// Logs to follow that wait until the account's rate of lookups allows it.
    held: Option<(Vec<v1::Cursor>, Instant)>,
    recording: Option<Reply<(), Refusal>>,
    flush_at: Option<Instant>,
    /// Frames that are to be written, in order.
    out: Vec<Bytes>,
}

/// Runs a sync call on its stream until either side ends it.
pub(super) async fn run(link: Arc<Link>, mut send: SendStream, mut frames: Frames, sync: v1::Sync) {
    let Some(session) = link.session() else { return };
    // Registered before any position is read: what is committed from here on is offered (D6).
    let news = session.subscribe();
    let logs = Logs::new(link.context.delivery.depth_share());
    let mut outbound = Outbound {
        actor: session.actor().clone(),
        link: Arc::clone(&link),
        news,
        logs,
        opening: VecDeque::new(),
        lookups: VecDeque::new(),
        page: None,
        held: None,
        recording: None,
        flush_at: None,
        out: Vec::new(),
    };
    let end = match outbound.follow(sync.cursors) {
        Ok(()) => outbound.serve(&mut send, &mut frames).await,
        Err(end) => end,
    };
    outbound.flush();
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
        loop {
            if let Err(end) = self.turn(send, frames).await {
                return end;
            }
        }
    }

    /// Waits for one thing and does it. Every branch keeps what it has when it is dropped.
    async fn turn(&mut self, send: &mut SendStream, frames: &mut Frames) -> Result<(), End> {
        self.ask();
        let idle = self.out.is_empty();
        let held = self.held.as_ref().map(|(_, until)| *until);
        // A client that floods the call is read no faster than it is answered.
        let may_read = held.is_none()
            && self.opening.len() < CURSORS_PER_FRAME_MAX
            && self.out.len() < self.link.context.limits.session.outbound_frames;
        tokio::select! {
            () = self.link.context.tasks.stopping().cancelled() => return Err(End::Stopping),
            written = send.write_chunks(&mut self.out), if !idle => {
                let written = written.map_err(|_| End::Lost)?;
                self.out.drain(..written.chunks);
            }
            news = self.news.news(), if idle => match news {
                News::Offers { offers, behind } => {
                    for offer in offers {
                        self.logs.offer(&offer, &mut self.out);
                    }
                    self.logs.fall_behind(&behind);
                }
                News::Replaced => return Err(End::Done),
            },
            position = reply(self.lookups.front_mut().map(|lookup| &mut lookup.reply)), if idle => {
                self.opened(position)?;
            }
            page = reply(self.page.as_mut().map(|page| &mut page.reply)), if idle => self.fetched(page)?,
            recorded = reply(self.recording.as_mut()) => {
                self.recording = None;
                match recorded {
                    // A lower bound: what was not written down now comes with the next acknowledgement.
                    Ok(()) | Err(Refusal::Fault(_)) => {}
                    Err(gone @ (Refusal::DeviceGone | Refusal::NotFound)) => return Err(gone.into()),
                }
            }
            frame = frames.next(), if may_read => self.read(frame)?,
            () = at(held) => {
                if let Some((cursors, _)) = self.held.take() {
                    self.follow(cursors)?;
                }
            }
            () = at(self.flush_at), if self.recording.is_none() => self.flush(),
        }
        Ok(())
    }

    /// Asks the store for what comes next, as far as that may run ahead of the client.
    fn ask(&mut self) {
        let (limits, delivery) = (&self.link.context.limits.session, &self.link.context.delivery);
        while self.lookups.len() < limits.lookups
            && let Some((log, cursor)) = self.opening.pop_front()
        {
            let reply = delivery.position(&self.actor, &log, cursor);
            self.lookups.push_back(Lookup { log, cursor, reply });
        }
        if self.page.is_none()
            && let Some((log, after)) = self.logs.next_page()
        {
            let read = ReadLog { log: log.clone(), after, limit: limits.page_entries, max_bytes: limits.page_bytes };
            let reply = delivery.fetch(&self.actor, read);
            self.page = Some(PageRead { log, after, reply });
        }
    }

    /// The store has said where a log stands.
    fn opened(&mut self, position: Result<Position, ReadError>) -> Result<(), End> {
        let Some(Lookup { log, cursor, .. }) = self.lookups.pop_front() else { return Ok(()) };
        match position {
            Ok(position) => {
                self.logs.opened(&log, cursor, &position, &mut self.out);
                self.arm_flush();
            }
            Err(ReadError::NotFound) => self.logs.not_followed(&log, &mut self.out),
            Err(error @ (ReadError::DeviceGone | ReadError::Fault(_))) => return Err(error.into()),
        }
        Ok(())
    }

    /// The store has given a page of a log in which the session is behind.
    fn fetched(&mut self, page: Result<LogPage, ReadError>) -> Result<(), End> {
        let Some(PageRead { log, after, .. }) = self.page.take() else { return Ok(()) };
        match page {
            Ok(page) => self.logs.page(&log, after, &page, &mut self.out),
            Err(ReadError::NotFound) => self.logs.not_followed(&log, &mut self.out),
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
                    self.logs.acknowledge(&field::conversation(cursor.conversation.as_ref())?, Seq(cursor.seq));
                }
                self.arm_flush();
            }
            Some(_) => return Err(WireError::new(Code::WrongState, "the stream is a sync call").into()),
            // A method of a later version, which the client can't rely on: said, and nothing ends.
            None => {
                let refusal = WireError::new(Code::UnknownMethod, "the method is not known here");
                self.out.push(encode(refusal.into_result()));
            }
        }
        Ok(())
    }

    fn follow(&mut self, cursors: Vec<v1::Cursor>) -> Result<(), End> {
        field::at_most(cursors.len(), CURSORS_PER_FRAME_MAX, "cursors")?;
        for cursor in cursors {
            let log = field::conversation(cursor.conversation.as_ref())?;
            if !self.logs.open(&log, FOLLOWED_MAX) {
                return Err(WireError::new(Code::TooLarge, "too many logs are followed").into());
            }
            self.opening.push_back((log, Seq(cursor.seq)));
        }
        Ok(())
    }

    fn arm_flush(&mut self) {
        if self.flush_at.is_none() && self.logs.has_unrecorded() {
            self.flush_at = Instant::now().checked_add(self.link.context.limits.session.cursor_flush);
        }
    }

    /// Writes down how far the device has acknowledged.
    fn flush(&mut self) {
        self.flush_at = None;
        let cursors = self.logs.take_unrecorded(CURSORS_PER_FRAME_MAX);
        if !cursors.is_empty() {
            self.recording = Some(self.link.context.delivery.record(&self.actor, cursors));
            self.arm_flush();
        }
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
