//! The outbox on its way: encrypted and kept in one transaction, sent on one stream with many in flight, settled
//! as the answers come (invariant 11).
//!
//! What was encrypted is sent again as it is until the server has refused it for good. After a definite
//! refusal the rest of the conversation is answered first (it is refused too, for its counters), then encrypted anew.

mod seal;
mod settle;

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use qpc_proto::{
    error::Code,
    limits::PIPELINE_MAX,
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::time::sleep;

use self::settle::{Settling, Trouble};
use super::session::End;
use crate::{
    core::Core,
    store::{
        Local,
        outbox::{Outgoing, Sealed},
    },
    transport::{CallError, Frames, Link, Requests, read_answer, request_frame},
};

/// With so few in flight it is time for another batch.
const REFILL_BELOW: usize = PIPELINE_MAX / 2;
/// Pause after a refusal that passes, where the server names no longer one.
const PAUSE: Duration = Duration::from_millis(300);

/// Sends until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    let (requests, answers) = link.open().await?;
    let mut sender =
        Sender { core, link, requests, answers, flying: VecDeque::new(), troubled: HashMap::new(), pause: None };
    loop {
        if sender.flying.len() < REFILL_BELOW && sender.pause.is_none() {
            sender.refill().await?;
        }
        let pause = sender.pause;
        tokio::select! {
            biased;
            outcome = sender.answers.next(), if !sender.flying.is_empty() => {
                let first = outcome?.ok_or(CallError::Protocol("the stream of messages ended"))?;
                sender.settle(first).await?;
            }
            () = core.outbox.notified(), if sender.flying.len() < REFILL_BELOW && pause.is_none() => {}
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => sender.pause = None,
        }
    }
}

struct Sender<'s> {
    core: &'s Arc<Core>,
    link: &'s Link,
    requests: Requests,
    answers: Frames,
    /// Sent and not answered, in order.
    flying: VecDeque<(Outgoing, Sealed)>,
    /// Conversations with a refusal, until the rest of what flies for them is answered.
    troubled: HashMap<Local, Trouble>,
    pause: Option<Duration>,
}

impl Sender<'_> {
    /// Encrypts and sends as much as may be in flight.
    async fn refill(&mut self) -> Result<(), End> {
        let room = PIPELINE_MAX.saturating_sub(self.flying.len());
        let (me, held) = (self.core.me.clone(), self.core.held());
        let troubled = self.troubled.keys().copied().collect();
        let core = Arc::clone(self.core);
        let batch = self
            .core
            .store
            .run_and(
                move |tx| seal::next(tx, &me, room, &held, &troubled),
                move |batch| {
                    if batch.applied.has_news() {
                        core.tell(&batch.applied);
                    }
                },
            )
            .await?;
        if batch.ready.is_empty() {
            return Ok(());
        }
        let mut frames: Vec<Bytes> =
            batch.ready.iter().map(|(outgoing, sealed, name)| frame(outgoing, sealed, name)).collect();
        self.flying.extend(batch.ready.into_iter().map(|(outgoing, sealed, _)| (outgoing, sealed)));
        self.requests.write_all_chunks(&mut frames).await.map_err(CallError::from)?;
        Ok(())
    }

    /// Takes an answer and those that have come with it.
    async fn settle(&mut self, first: Outcome) -> Result<(), End> {
        let mut settling = Settling::default();
        let mut next = Some(first);
        while let Some(outcome) = next.take() {
            let (outgoing, sealed) =
                self.flying.pop_front().ok_or(CallError::Protocol("more answers than requests"))?;
            match read_answer::<v1::Send>(outcome) {
                Ok(answer) => {
                    self.core.set_read_only(outgoing.conversation, false);
                    settling.stored.push((outgoing, sealed, answer));
                }
                Err(CallError::Refused(refused)) => {
                    let trouble = self.troubled.entry(outgoing.conversation).or_default();
                    if refused.code.is_some_and(Code::retryable) {
                        self.pause = self.pause.max(Some(refused.retry_after.max(PAUSE)));
                        settling.grounded.push(outgoing.place);
                        if refused.code == Some(Code::ReadOnly) {
                            self.core.set_read_only(outgoing.conversation, true);
                        }
                        if refused.code == Some(Code::Internal) {
                            settling.doubtful.push(outgoing.conversation);
                        }
                    } else {
                        trouble.add(outgoing, sealed, refused);
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if !self.flying.is_empty() {
                next = self.answers.ready()?;
            }
        }
        for (conversation, trouble) in std::mem::take(&mut self.troubled) {
            if self.flying.iter().any(|(outgoing, _)| outgoing.conversation == conversation) {
                self.troubled.insert(conversation, trouble);
            } else if let Some((outgoing, sealed, refused)) = trouble.first {
                settling.absent.extend(trouble.refused);
                let counter = match refused.code {
                    Some(Code::IdConflict) => Some(self.ask_counter(conversation).await?),
                    _ => None,
                };
                settling.refused.push((outgoing, sealed, refused, counter));
            }
        }
        let (me, core) = (self.core.me.clone(), Arc::clone(self.core));
        self.core.store.run_and(move |tx| settle::settle(tx, &me, settling), move |applied| core.tell(applied)).await?;
        Ok(())
    }

    /// What the server holds for this device's last counter in a conversation.
    async fn ask_counter(&self, conversation: Local) -> Result<qpc_proto::id::Counter, End> {
        let known = self.core.store.run(move |tx| crate::store::conversation::get(tx, conversation)).await?;
        let listed = super::roster::find(self.link, known.named()?).await?;
        Ok(qpc_proto::id::Counter(listed.map_or(known.counter.0, |listed| listed.counter)))
    }
}

fn frame(outgoing: &Outgoing, sealed: &Sealed, name: &v1::ConversationName) -> Bytes {
    request_frame(Method::Send(v1::Send {
        conversation: Some(name.clone()),
        message_id: outgoing.id.to_bytes(),
        counter: sealed.counter.0,
        epoch: sealed.epoch.0,
        kind: outgoing.kind.to_wire().into(),
        body: sealed.body.clone(),
        leave: outgoing.leave,
    }))
}
