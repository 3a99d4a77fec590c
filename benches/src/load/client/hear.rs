//! What a client hears: entries of the sync call, judged at once, and acknowledged after a while.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use prost::Message;
use qpc_client::wire::{Requests, Wire};
use qpc_proto::{
    id::{ConversationName, MessageId},
    limits::CURSORS_PER_FRAME_MAX,
    v1::{self, request::Method},
};
use tokio::time::Instant;

use super::{
    super::{add, lean},
    Client, End,
};
use crate::mark::{Clock, Mark};

impl Client {
    /// Asks for everything from where it stands. Gives for how many logs what is there has to come.
    pub(super) async fn follow(&mut self, wire: &Wire, requests: &mut Requests) -> anyhow::Result<usize> {
        let inbox = ConversationName::inbox(wire.domain().clone(), self.device.id());
        let own = v1::Cursor { conversation: Some(inbox.to_wire()), seq: self.inbox };
        let shared = &self.shared;
        let cursors = self.seats.iter().filter_map(|seat| {
            let conversation = Some(shared.room(seat.room)?.wire.clone());
            Some(v1::Cursor { conversation, seq: seat.place.seq() })
        });
        let cursors: Vec<_> = std::iter::once(own).chain(cursors).collect();
        let mut first = true;
        for some in cursors.chunks(CURSORS_PER_FRAME_MAX) {
            let cursors = some.to_vec();
            let method = if first {
                Method::Sync(v1::Sync { cursors, ephemerals: shared.ephemeral })
            } else {
                Method::Follow(v1::Follow { cursors })
            };
            requests.send(method).await?;
            first = false;
        }
        Ok(cursors.len())
    }

    /// A frame of the sync call.
    pub(super) async fn heard(&mut self, frame: Bytes, now: u64, behind: &mut usize) -> anyhow::Result<Option<End>> {
        let answer = lean::Answer::decode(frame)?;
        if let Some(entry) = answer.entry {
            self.entry(entry, now).await?;
        } else if answer.caught_up.is_some() {
            *behind = behind.saturating_sub(1);
        } else if let Some(go) = answer.go_away {
            return Ok(Some(End::GoAway(Duration::from_millis(go.reconnect_after_ms.into()))));
        } else if answer.not_followed.is_some() {
            bail!("a member may not follow its conversation");
        } else if let Some(error) = answer.error {
            bail!("the sync call was refused with code {}: {}", error.code, error.detail);
        }
        Ok(None)
    }

    async fn entry(&mut self, entry: lean::Entry, now: u64) -> anyhow::Result<()> {
        if self.acknowledge_at.is_none() {
            // As the real client does: those whom one message has reached do not answer in the same moment.
            let wait = self.shared.acknowledge.mul_f64(1.0 + self.random.fraction());
            self.acknowledge_at = Instant::now().checked_add(wait);
        }
        let shared = Arc::clone(&self.shared);
        let id = <[u8; 16]>::try_from(entry.room()).ok();
        let Some(room) = id.and_then(|id| shared.by_id.get(&id).copied()) else {
            // Nothing else is followed besides.
            self.inbox = self.inbox.max(entry.seq);
            self.inbox_is_new = true;
            return Ok(());
        };
        let seat = self.seats.of(room).context("an entry that came unasked")?;
        let is_new = seat.place.came(entry.seq);
        self.seats.is_new(room);
        let mark = Mark::read(&entry.message_id).context("an entry without an id")?;
        let (room_at, Some(room)) = (room, shared.room(room)) else { return Ok(()) };
        room.ledger().saw(entry.seq, mark.tag);
        if mark.tag.sender == self.number || !is_new {
            return Ok(());
        }
        self.is_to_say(room_at);
        let counts = &shared.counts;
        add(&counts.arrived);
        if (self.window.0..self.window.1).contains(&mark.due) {
            add(&counts.delivered);
            if !mark.encrypted {
                shared.deliveries.record(usize::try_from(self.number)?, Clock::between(mark.due, now));
            }
        }
        if mark.encrypted && room.encrypted.binary_search(&self.number).is_ok() {
            let engines = shared.engines.as_ref().context("no engines")?;
            let id = MessageId::parse(&entry.message_id)?;
            engines.decrypt(self.number, room_at, mark.tag.sender, id, entry.body).await;
        }
        Ok(())
    }

    /// Tells the server what was read.
    pub(super) async fn acknowledge(&mut self, wire: &Wire, requests: &mut Requests) -> anyhow::Result<()> {
        self.acknowledge_at = None;
        let mut cursors = Vec::new();
        if std::mem::take(&mut self.inbox_is_new) {
            let inbox = ConversationName::inbox(wire.domain().clone(), self.device.id());
            cursors.push(v1::Cursor { conversation: Some(inbox.to_wire()), seq: self.inbox });
        }
        for (room, seq) in self.seats.take_new() {
            let Some(room) = self.shared.room(room) else { continue };
            cursors.push(v1::Cursor { conversation: Some(room.wire.clone()), seq });
        }
        for cursors in cursors.chunks(CURSORS_PER_FRAME_MAX) {
            requests.send(Method::Acknowledge(v1::Acknowledge { cursors: cursors.to_vec() })).await?;
        }
        Ok(())
    }
}
