//! Requests that wait for their answers on one stream, in order.
//!
//! Answers leave in the order of the requests; all that are ready leave together.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, MaybeDone},
};
use qpc_proto::{
    frame,
    v1::{self, answer},
};
use tokio::time::Instant;

use super::wire_error::WireError;
use crate::{
    metrics::Metrics,
    store::{AppendError, Appended, Reply},
};

/// What comes of a request.
pub(super) type Outcome = Result<answer::Result, WireError>;

/// A request that has begun.
pub(super) enum Work {
    /// It was refused at once.
    Refused(WireError),
    /// A message waits for its commit: the common case, without an allocation of its own.
    Send(Reply<Appended, AppendError>),
    /// Anything else: it begins when all before it are answered.
    Later(BoxFuture<'static, Outcome>),
    /// What begins while those before it are not answered.
    Beside(Box<MaybeDone<BoxFuture<'static, Outcome>>>),
}

struct Call {
    name: &'static str,
    began: Instant,
    /// Bytes of the request, which live on in the store's queue.
    size: usize,
    work: Work,
}

/// The queue of one stream.
pub(super) struct Calls {
    queue: VecDeque<Call>,
    /// Calls that have work to do before it is their turn.
    beside: usize,
    bytes: usize,
    metrics: Arc<Metrics>,
}

impl Calls {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { queue: VecDeque::new(), beside: 0, bytes: 0, metrics }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of the requests that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A request of this name and so many bytes, read at this time, has begun.
    pub(super) fn push(&mut self, name: &'static str, began: Instant, size: usize, work: Work) {
        self.bytes = self.bytes.saturating_add(size);
        self.beside = self.beside.saturating_add(usize::from(matches!(work, Work::Beside(_))));
        self.queue.push_back(Call { name, began, size, work });
    }

    /// A request was refused at once.
    pub(super) fn refuse(&mut self, name: &'static str, began: Instant, refusal: WireError) {
        self.push(name, began, 0, Work::Refused(refusal));
    }

    /// Waits for the first answer and gives it with those behind it that are ready. Dropping the future
    /// loses nothing. Without a call it waits for ever.
    pub(super) async fn answers(&mut self) -> Vec<Bytes> {
        poll_fn(|context| self.poll_answers(context)).await
    }

    fn poll_answers(&mut self, context: &mut Context<'_>) -> Poll<Vec<Bytes>> {
        let mut frames = Vec::new();
        if self.beside > 0 {
            self.queue.iter_mut().for_each(|call| call.advance(context));
        }
        while let Some(call) = self.queue.front_mut() {
            let Poll::Ready(outcome) = call.poll(context) else { break };
            self.metrics.request(call.name, call.began.elapsed().as_secs_f64());
            let result = outcome.unwrap_or_else(|error| {
                self.metrics.error(error.code());
                error.into_result()
            });
            frames.push(frame::encode(&v1::Answer { result: Some(result) }));
            self.bytes = self.bytes.saturating_sub(call.size);
            self.beside = self.beside.saturating_sub(usize::from(matches!(call.work, Work::Beside(_))));
            self.queue.pop_front();
        }
        if frames.is_empty() { Poll::Pending } else { Poll::Ready(frames) }
    }
}

impl Call {
    fn advance(&mut self, context: &mut Context<'_>) {
        if let Work::Beside(work) = &mut self.work {
            // Its outcome is kept until it is its turn.
            let _waits = work.poll_unpin(context).is_pending();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.work {
            Work::Refused(refusal) => Poll::Ready(Err(refusal.clone())),
            Work::Send(reply) => Pin::new(reply).poll(context).map(|stored| Ok(stored.map(send_answer)?)),
            Work::Later(future) => future.as_mut().poll(context),
            Work::Beside(work) => {
                let done = Pin::new(&mut **work).take_output();
                done.map_or(Poll::Pending, Poll::Ready)
            }
        }
    }
}

pub(super) fn send_answer(stored: Appended) -> answer::Result {
    answer::Result::Send(v1::SendAnswer {
        queued: false,
        seq: stored.seq.0,
        chain: stored.chain.to_bytes(),
        stored_ms: stored.stored_ms,
    })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use prost::Message;
    use qpc_proto::{chain::ChainValue, id::Seq};

    use super::*;

    fn seqs(frames: &[Bytes]) -> Vec<u64> {
        let seq = |frame: &Bytes| match v1::Answer::decode(&frame[4..]).unwrap().result {
            Some(answer::Result::Send(answer)) => answer.seq,
            other => panic!("{other:?}"),
        };
        frames.iter().map(seq).collect()
    }

    fn stored(seq: u64) -> Result<Appended, AppendError> {
        Ok(Appended { seq: Seq(seq), chain: ChainValue([0; 32]), stored_ms: 0 })
    }

    /// Invariant 1: there is no answer before the store has replied, which it does after the commit.
    #[tokio::test]
    async fn invariant_1_answers_leave_after_the_commit_in_the_order_of_requests() {
        let mut calls = Calls::new(Arc::new(Metrics::new().unwrap()));
        let replies: Vec<_> = (0..3)
            .map(|_| {
                let (give, reply) = Reply::channel();
                calls.push("send", Instant::now(), 100, Work::Send(reply));
                give
            })
            .collect();
        let [first, second, third] = replies.try_into().unwrap();
        second.send(stored(2)).unwrap();
        assert!(calls.answers().now_or_never().is_none());
        first.send(stored(1)).unwrap();
        assert_eq!(seqs(&calls.answers().await), [1, 2]);
        third.send(stored(3)).unwrap();
        assert_eq!(seqs(&calls.answers().await), [3]);
        assert!(calls.is_empty() && calls.bytes() == 0);
    }

    /// What may begin early is driven while what is before it waits, and its answer waits for its turn.
    #[tokio::test]
    async fn calls_beside_each_other_begin_at_once_and_are_answered_in_order() {
        let mut calls = Calls::new(Arc::new(Metrics::new().unwrap()));
        let (give, reply) = Reply::channel();
        calls.push("send", Instant::now(), 100, Work::Send(reply));
        let (began, mut begun) = tokio::sync::oneshot::channel();
        let work = async move {
            began.send(()).unwrap();
            Ok(send_answer(stored(2).unwrap()))
        };
        let work: BoxFuture<'static, Outcome> = Box::pin(work);
        calls.push("read_blob", Instant::now(), 100, Work::Beside(Box::new(futures_util::future::maybe_done(work))));
        assert!(calls.answers().now_or_never().is_none());
        begun.try_recv().unwrap();
        give.send(stored(1)).unwrap();
        assert_eq!(seqs(&calls.answers().await), [1, 2]);
        assert!(calls.is_empty() && calls.bytes() == 0 && calls.beside == 0);
    }

    /// What a stream keeps for a message that waits for its commit. The store's half, the one-shot cell that
    /// carries the answer, comes on top: two counts, two wakers, a word of state, and the outcome.
    #[test]
    fn a_waiting_request_is_small() {
        assert!(size_of::<Call>() <= 100, "{}", size_of::<Call>());
        let cell = 2 * 8 + 2 * 16 + 8 + size_of::<Option<Result<Appended, AppendError>>>();
        assert!(size_of::<Call>() + cell <= 200, "{} and {cell}", size_of::<Call>());
    }
}
