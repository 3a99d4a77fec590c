//! One stream: requests in, answers out, in the same order.
//!
//! A pipelined request begins when it is read; what changes the connection waits until all before it is
//! answered; a sender above its rate waits for its turn, and reading waits with it.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    error::Code,
    limits::PIPELINE_MAX,
    v1::{self, request::Method},
};
use quinn::{RecvStream, SendStream, VarInt};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::{
    calls::Calls,
    dispatch::{self, Started},
    link::Link,
    outbound,
    wire_error::WireError,
};
use crate::{
    policy::{
        Wait,
        access::{self, NO_METHOD, Order, Rule},
    },
    transport::frames::{Frames, FramesEnd},
};

/// How long a stopping server waits for its last bytes to arrive.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Of a stream with blobs; that of all others is 0.
const BULK_PRIORITY: i32 = -1;

/// A request that was read and can not begin yet.
struct Held {
    method: Method,
    rule: Rule,
    read: Instant,
    size: usize,
    not_before: Option<Instant>,
}

/// What becomes of a request that might begin.
enum Turn {
    Begun,
    Wait(Box<Held>),
    Sync(v1::Sync),
}

struct Stream {
    link: Arc<Link>,
    calls: Calls,
    /// Runs by itself: nothing else begins until it is answered.
    alone: bool,
    /// Carries blobs.
    bulk: bool,
}

/// Serves a stream until either side ends it.
pub(super) async fn serve(link: Arc<Link>, mut send: SendStream, recv: RecvStream) {
    let mut frames = Frames::new(recv, link.frame_max(), link.context.limits.session.frame);
    let calls = Calls::new(Arc::clone(&link.context.metrics));
    let mut stream = Stream { link: Arc::clone(&link), calls, alone: false, bulk: false };
    let Some(sync) = stream.run(&mut send, &mut frames).await else { return };
    drop(stream);
    match sync {
        // Boxed: most streams never become a sync call, and their tasks need no room for one.
        Some(sync) => Box::pin(outbound::run(link, send, frames, sync)).await,
        None => finish(&link, send).await,
    }
}

/// Ends the server's side. A stopping server waits for the client to have it all, because closing the connection
/// would throw away what is under way.
pub(super) async fn finish(link: &Link, mut send: SendStream) {
    if send.finish().is_ok() && link.context.tasks.stopping().is_cancelled() {
        drop(timeout(LAST_BYTES, send.stopped()).await);
    }
}

impl Stream {
    /// Gives the request that turns the stream into a sync call, or `None` where all is answered; nothing
    /// where the stream is lost.
    async fn run(&mut self, send: &mut SendStream, frames: &mut Frames) -> Option<Option<v1::Sync>> {
        let stopping = self.link.context.tasks.stopping().clone();
        let mut held: Option<Box<Held>> = None;
        let mut reading = true;
        let mut told = false;
        let limits = Arc::clone(&self.link.context.limits);
        let mut lowered = false;
        loop {
            if !reading && !told {
                frames.stop(VarInt::from_u32(0));
                told = true;
            }
            if let Some(request) = held.take() {
                match self.turn(*request) {
                    Turn::Begun => {}
                    Turn::Wait(request) => held = Some(request),
                    Turn::Sync(sync) => return Some(Some(sync)),
                }
            }
            if self.calls.is_empty() {
                self.alone = false;
                if held.is_none() && !reading {
                    return Some(None);
                }
            }
            let wake = held.as_ref().and_then(|held| held.not_before);
            if self.bulk && !lowered {
                lowered = true;
                // It fails where the stream is lost, which the next write finds out.
                drop(send.set_priority(BULK_PRIORITY));
                self.link.expect_bulk();
            }
            let pipeline_bytes = if self.bulk { limits.blobs.pipeline_bytes } else { limits.session.pipeline_bytes };
            let room = self.calls.len() < PIPELINE_MAX && self.calls.bytes() < pipeline_bytes;
            let may_read = reading && held.is_none() && !self.alone && room;
            frames.set_max(self.link.frame_max());
            // `answers` and `next` keep what they have when they are dropped; the others only wait. Answers come first: there
            // are no more of them than requests, and each look at the stream costs more than writing one.
            tokio::select! {
                biased;
                () = stopping.cancelled(), if reading || held.is_some() => {
                    reading = false;
                    if let Some(Held { rule, read, .. }) = held.take().map(|held| *held) {
                        let refusal = WireError::new(Code::ShuttingDown, "the server is about to stop");
                        self.calls.refuse(rule.name, read, refusal);
                    }
                }
                answers = self.calls.answers(), if !self.calls.is_empty() => {
                    write(send, answers).await?;
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                frame = frames.next(), if may_read => match frame {
                    Ok(Some(frame)) => {
                        match self.accept(frame, &mut reading)?.map_or(Turn::Begun, |request| self.turn(request)) {
                            Turn::Begun => {}
                            Turn::Wait(request) => held = Some(request),
                            Turn::Sync(sync) => return Some(Some(sync)),
                        }
                    }
                    Ok(None) => reading = false,
                    Err(end) => {
                        reading = false;
                        self.refuse(end)?;
                    }
                }
            }
        }
    }

    /// Looks at a frame. Nothing comes of the stream where a stranger has made too many requests.
    fn accept(&mut self, frame: Bytes, reading: &mut bool) -> Option<Option<Held>> {
        let (read, size) = (Instant::now(), frame.len());
        if !self.link.count_request() {
            return None;
        }
        let refused = match v1::Request::decode(frame) {
            Ok(v1::Request { method: Some(method) }) => {
                let rule = access::rule(&method);
                match dispatch::judge(&self.link, &rule) {
                    Ok(()) => {
                        self.bulk |= rule.bulk;
                        let size = size.saturating_add(dispatch::answer_size(&method));
                        return Some(Some(Held { method, rule, read, size, not_before: None }));
                    }
                    Err(refusal) => (rule.name, refusal),
                }
            }
            Ok(v1::Request { method: None }) => {
                (NO_METHOD, WireError::new(Code::UnknownMethod, "the method is not known here"))
            }
            Err(_) => {
                *reading = false;
                (NO_METHOD, WireError::new(Code::Malformed, "the frame is no request"))
            }
        };
        self.calls.refuse(refused.0, read, refused.1);
        Some(None)
    }

    /// Answers a stream that ended before its frame did, if there is somebody to answer.
    fn refuse(&mut self, end: FramesEnd) -> Option<()> {
        let refusal = match end {
            FramesEnd::Frame(error) => error.into(),
            FramesEnd::Slow => WireError::new(Code::Malformed, "a frame took too long"),
            FramesEnd::Lost(_) => return None,
        };
        self.calls.refuse(NO_METHOD, Instant::now(), refusal);
        Some(())
    }

    /// Begins a request, if it is its turn.
    fn turn(&mut self, held: Held) -> Turn {
        let Held { method, rule, read, size, not_before } = held;
        let early = not_before.is_some_and(|not_before| Instant::now() < not_before);
        if early || (rule.order != Order::Pipelined && !self.calls.is_empty()) {
            return Turn::Wait(Box::new(Held { method, rule, read, size, not_before }));
        }
        if let Some(pace) = rule.pace
            && let Some(session) = self.link.session()
            && let Err(Wait(wait)) = self.link.context.policy.pace(pace, session.actor().account())
        {
            let not_before = Instant::now().checked_add(wait);
            return Turn::Wait(Box::new(Held { method, rule, read, size, not_before }));
        }
        match dispatch::start(&self.link, method) {
            Ok(Started::Call(work)) => {
                self.alone = rule.order == Order::Alone;
                self.calls.push(rule.name, read, size, work);
            }
            Ok(Started::Sync(sync)) => return Turn::Sync(sync),
            Err(refusal) => self.calls.refuse(rule.name, read, refusal),
        }
        Turn::Begun
    }
}

/// Writes answers in one go; nothing where the stream is lost. A client that does not read them is
/// not read from either.
async fn write(send: &mut SendStream, mut answers: Vec<Bytes>) -> Option<()> {
    send.write_all_chunks(&mut answers).await.ok()
}
