//! One device's messages into one conversation, pipelined on one stream.
//!
//! After an unknown outcome the same bytes go out again, in the same order. Only a definite refusal lets a message
//! be made anew, under the same id and counter, as the protocol has it.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use qpc_client::wire::{self, Answers, Engine, Requests, Wire};
use qpc_proto::{
    chain::ChainValue,
    error::Code,
    id::{ConversationName, Counter, DeviceId, MessageId, Seq},
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::recorder::Recorder;
use crate::{crowd, history::Sent, random::Random};

/// Messages without an answer, at most.
const DEPTH: usize = 32;
/// Messages in one go, at most.
const BURST: u64 = 16;
/// Bodies have so many bytes at least, and fewer than so many more.
const BODY: (usize, usize) = (64, 1_500);
/// One in so many messages of a lane that may is a commit.
const COMMITS: u64 = 40;
/// A server that is there answers within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// From a refusal for the moment to the next attempt.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// A message on its way.
struct Pending {
    sent: Sent,
    commit: Option<v1::CommitBundle>,
    frame: Bytes,
    /// It was refused for good: it may be made anew.
    refused: bool,
}

/// See the module's text.
pub(super) struct Lane {
    pub(super) conversation: ConversationName,
    device: DeviceId,
    /// The epoch as far as this lane knows.
    epoch: u64,
    /// Of the message made last.
    last: Counter,
    /// Without an answer, or waiting to be sent; in order.
    pending: VecDeque<Pending>,
    /// How many of those in front are on the stream.
    on_stream: usize,
    /// Refused ones, which go out again once the stream is empty.
    again: VecDeque<Pending>,
    /// With a refusal that said so: the last counter the server has.
    rolled_back: Option<Counter>,
    /// What makes commits, in a lane that may: alone in its conversation.
    engine: Option<Engine>,
    /// The longest pause between two goes, in milliseconds.
    pause_ms: u64,
    left_in_burst: u64,
    next_burst: Instant,
    random: Random,
}

impl Lane {
    pub(super) fn new(
        conversation: ConversationName,
        device: DeviceId,
        last: Counter,
        engine: Option<Engine>,
        pause_ms: u64,
        random: Random,
    ) -> Self {
        Self {
            conversation,
            device,
            epoch: 1,
            last,
            pending: VecDeque::new(),
            on_stream: 0,
            again: VecDeque::new(),
            rolled_back: None,
            engine,
            pause_ms,
            left_in_burst: 0,
            next_burst: Instant::now(),
            random,
        }
    }

    /// Is everything answered?
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.again.is_empty()
    }

    /// Sends on one connection until that fails. Once `ending` says so, it makes no more messages, and returns
    /// when all are answered.
    pub(super) async fn run(
        &mut self,
        wire: &Wire,
        recorder: &Recorder,
        ending: &impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let (mut requests, mut answers) = wire.open().await?;
        self.on_stream = 0;
        self.take_back();
        loop {
            self.fill(&mut requests).await?;
            if self.on_stream > 0 {
                self.answer(&mut answers, recorder).await?;
            } else if ending() {
                return Ok(());
            }
            if self.on_stream == 0 && !self.again.is_empty() {
                self.renumber(recorder);
                self.take_back();
            }
            if !ending() && self.again.is_empty() {
                self.make(recorder).await;
            }
        }
    }

    /// Puts refused ones back in front.
    fn take_back(&mut self) {
        while let Some(pending) = self.again.pop_back() {
            self.pending.push_front(pending);
        }
    }

    /// Sends what is not on the stream yet, unless refused ones have to go first.
    async fn fill(&mut self, requests: &mut Requests) -> anyhow::Result<()> {
        while self.again.is_empty() && self.on_stream < DEPTH {
            let Some(pending) = self.pending.get_mut(self.on_stream) else { break };
            if pending.refused {
                // A commit is applied when it is made. A server that has lost an epoch never takes it: a message then.
                pending.commit = pending.commit.take().filter(|commit| commit.epoch == self.epoch);
                pending.frame = made(&mut self.random, &pending.sent, pending.commit.as_ref(), self.epoch);
                pending.refused = false;
                if pending.commit.is_some() {
                    self.epoch = self.epoch.saturating_add(1);
                }
            }
            requests.send_frame(pending.frame.clone()).await?;
            self.on_stream = self.on_stream.saturating_add(1);
        }
        Ok(())
    }

    /// Makes the next messages, when it is time.
    async fn make(&mut self, recorder: &Recorder) {
        if self.left_in_burst == 0 {
            if self.on_stream > 0 {
                // Answers come first; the pause goes on meanwhile.
                if Instant::now() < self.next_burst {
                    return;
                }
            } else {
                sleep_until(self.next_burst).await;
            }
            self.left_in_burst = self.random.below(BURST).saturating_add(1);
            let pause = Duration::from_millis(self.random.below(self.pause_ms));
            self.next_burst = Instant::now().checked_add(pause).unwrap_or_else(Instant::now);
        }
        while self.left_in_burst > 0 && self.pending.len() < DEPTH {
            self.left_in_burst = self.left_in_burst.saturating_sub(1);
            let commit = self.commit();
            self.last = self.last.next();
            let sent = self.sent(self.last);
            recorder.invoked(&sent);
            let frame = made(&mut self.random, &sent, commit.as_ref(), self.epoch);
            if commit.is_some() {
                self.epoch = self.epoch.saturating_add(1);
            }
            self.pending.push_back(Pending { sent, commit, frame, refused: false });
        }
    }

    /// A commit, where it is time for one and the group is in the epoch that it is believed to be in.
    fn commit(&mut self) -> Option<v1::CommitBundle> {
        let engine = self.engine.as_mut().filter(|_| self.random.below(COMMITS) == 0)?;
        let current = engine.epoch(&self.conversation).ok()? == self.epoch;
        if current { engine.commit(&self.conversation, &[]).ok() } else { None }
    }

    fn sent(&mut self, counter: Counter) -> Sent {
        let (conversation, id) = (self.conversation.clone(), self.random.message_id());
        Sent { conversation, device: self.device, counter, id }
    }

    /// Reads one answer, which belongs to the first on the stream.
    async fn answer(&mut self, answers: &mut Answers, recorder: &Recorder) -> anyhow::Result<()> {
        let answer = timeout(ANSWER_WITHIN, answers.next()).await.context("no answer in time")??;
        let answer = answer.context("the stream ended")?;
        let Some(mut pending) = self.pending.pop_front() else { bail!("an answer to nothing") };
        self.on_stream = self.on_stream.saturating_sub(1);
        let (seq, chain) = match answer {
            Outcome::Send(answer) if answer.queued => {
                recorder.kept(&pending.sent);
                return Ok(());
            }
            Outcome::Send(answer) => (answer.seq, answer.chain),
            Outcome::SubmitCommit(answer) => (answer.seq, answer.chain),
            Outcome::Error(error) => {
                pending.refused = self.refused(&pending.sent, &error, recorder);
                if !pending.refused {
                    sleep(RETRY_AFTER).await;
                }
                self.again.push_back(pending);
                return Ok(());
            }
            _ => bail!("an answer of another kind"),
        };
        if let Some(before) = self.again.front() {
            let (id, earlier) = (pending.sent.id, before.sent.id);
            recorder.alarm(format!("message {id} was taken after its device's earlier {earlier} was refused"));
        }
        recorder.acknowledged(&pending.sent, Seq(seq), ChainValue::parse(&chain));
        Ok(())
    }

    /// Learns from a refusal. Was it definite?
    fn refused(&mut self, sent: &Sent, error: &v1::Error, recorder: &Recorder) -> bool {
        match Code::from_wire(error.code) {
            Some(Code::WrongEpoch) => {
                self.epoch = error.epoch;
                true
            }
            // Those behind a refused one meet a gap. The first one does not, unless the server has forgotten.
            Some(Code::CounterGap) => {
                if self.again.is_empty() {
                    let (id, last) = (sent.id, error.counter);
                    recorder
                        .alarm(format!("all before {id} was acknowledged, and the server is back at counter {last}"));
                    self.rolled_back = Some(Counter(error.counter));
                }
                true
            }
            // The same bytes will do, later.
            Some(code) if code.retryable() => false,
            code => {
                recorder.alarm(format!("message {} was refused with {code:?}: {}", sent.id, error.detail));
                self.rolled_back.get_or_insert(Counter(error.counter));
                true
            }
        }
    }

    /// A server that has forgotten acknowledged messages takes only the counters after those it has left. What it
    /// refused is a new message then, so that the run goes on and the loss is judged at the end.
    fn renumber(&mut self, recorder: &Recorder) {
        let Some(mut counter) = self.rolled_back.take() else { return };
        let mut renumbered = VecDeque::new();
        while let Some(pending) = self.again.pop_front() {
            counter = counter.next();
            let sent = self.sent(counter);
            recorder.invoked(&sent);
            renumbered.push_back(Pending { sent, refused: true, ..pending });
        }
        for pending in &mut self.pending {
            counter = counter.next();
            pending.sent.counter = counter;
            pending.refused = true;
        }
        self.again = renumbered;
        self.last = counter;
    }
}

/// A message or commit as a frame. A message's body begins with its id.
fn made(random: &mut Random, sent: &Sent, commit: Option<&v1::CommitBundle>, epoch: u64) -> Bytes {
    let (conversation, message_id) = (Some(sent.conversation.to_wire()), MessageId::to_bytes(&sent.id));
    let counter = sent.counter.0;
    wire::frame(if let Some(commit) = commit {
        let commit = Some(commit.clone());
        Method::SubmitCommit(v1::SubmitCommit { conversation, message_id, counter, commit })
    } else {
        let length = BODY.0.saturating_add(random.index(BODY.1));
        let body = crowd::body(random, Some(sent.id), length);
        let kind = v1::EntryKind::Message.into();
        Method::Send(v1::Send { conversation, message_id, counter, epoch, kind, body, leave: false })
    })
}
