//! What a client says: messages when they are due, and the answers to them.

use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use prost::Message;
use qpc_client::wire::{self, Requests};
use qpc_proto::{
    error::Code,
    v1::{self, request::Method},
};
use tokio::time::Instant;

use super::{
    super::{Script, add, lean},
    Client, Pending,
};
use crate::{
    crowd,
    ledger::Tag,
    mark::{Clock, Mark},
};

impl Client {
    /// Sends what is due.
    pub(super) async fn talk(&mut self, requests: &mut Requests) -> anyhow::Result<()> {
        while self.pending.len() < self.script.window() {
            let now = Instant::now();
            let due = match (self.script, self.next_due) {
                (Script::Window { .. }, _) => now,
                (_, Some(due)) if due <= now => {
                    self.next_due = self.script.next(&mut self.random).and_then(|after| due.checked_add(after));
                    due
                }
                _ => break,
            };
            let Some(frame) = self.message(due).await? else { break };
            requests.send_frame(frame).await?;
        }
        Ok(())
    }

    /// The next message, which waits for its answer from here on; nothing where there is nobody to talk with.
    async fn message(&mut self, due: Instant) -> anyhow::Result<Option<Bytes>> {
        let shared = Arc::clone(&self.shared);
        let chosen = self.whispers.chosen.take().or_else(|| self.seats.choose(&mut self.random));
        let Some(at) = chosen else { return Ok(None) };
        let seat = self.seats.at_mut(at).context("a seat")?;
        let room = shared.room(seat.room).context("a conversation")?;
        let (text, length) = shared.sizes.draw(&mut self.random);
        self.made = self.made.saturating_add(1);
        let tag = Tag { sender: self.number, number: self.made };
        let mut mark = Mark { tag, due: shared.clock.parts(due.into_std()), encrypted: false };
        let mut body = None;
        if let Some(engines) = &shared.engines
            && room.encrypted.binary_search(&self.number).is_ok()
            && engines.allows(room.encrypted.len())
        {
            mark.encrypted = true;
            body = Some(engines.encrypt(self.number, seat.room, mark.id(), text).await.context("not encrypted")?);
        }
        let body = body.unwrap_or_else(|| crowd::body(&mut self.random, None, length));
        seat.counter = seat.counter.saturating_add(1);
        let send = v1::Send {
            conversation: Some(room.wire.clone()),
            message_id: mark.id().to_bytes(),
            counter: seat.counter,
            epoch: room.epoch,
            kind: v1::EntryKind::Message.into(),
            body,
            leave: false,
        };
        let frame = wire::frame(Method::Send(send));
        add(&shared.counts.made);
        if (self.window.0..self.window.1).contains(&mark.due) {
            add(&shared.counts.sent);
        }
        self.pending.push_back(Pending { seat: at, mark, frame: frame.clone() });
        Ok(Some(frame))
    }

    /// An answer to the oldest message.
    pub(super) fn answered(&mut self, frame: &[u8], now: u64) -> anyhow::Result<()> {
        let answer = lean::Answer::decode(frame)?;
        if let Some(error) = answer.error {
            let code = Code::from_wire(error.code);
            if !code.is_some_and(|code| code.retryable()) {
                // All that follow would meet a gap.
                self.script = Script::Silent;
                self.pending.clear();
                self.next_due = None;
                self.shared.counts.error(&format!("client {}: refused for good", self.number));
            }
            bail!("a message was refused with code {}: {}", error.code, error.detail);
        }
        let sent = answer.sent.context("an answer of another kind")?;
        let Some(pending) = self.pending.pop_front() else { bail!("an answer to nothing") };
        let counts = &self.shared.counts;
        add(&counts.acknowledged);
        let Some(room) = self.seats.at(pending.seat).and_then(|seat| self.shared.room(seat.room)) else {
            return Ok(());
        };
        room.ledger().acknowledged(sent.seq, pending.mark.tag);
        if (self.window.0..self.window.1).contains(&pending.mark.due) {
            add(&counts.answered);
            if !pending.mark.encrypted {
                self.shared.answers.record(usize::try_from(self.number)?, Clock::between(pending.mark.due, now));
            }
        }
        Ok(())
    }
}
