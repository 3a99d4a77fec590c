//! What a client says that is ephemeral: that it is writing, before each message, and what it has read, as the real client
//! does. What is sealed are bytes that nobody opens.

use std::time::Duration;

use bytes::Bytes;
use qpc_client::wire::Wire;
use qpc_proto::ephemeral::{Event, SEALED_LEN};
use tokio::time::Instant;

use super::{super::add, Client};

/// A person writes for so long before a message.
const WRITING: Duration = Duration::from_secs(3);
/// Receipts are gathered for so long, once to twice; the real client's.
const GATHER: Duration = Duration::from_secs(1);
/// Accounts up to which receipts and typing are said; the real client's.
const RECEIPTS_MAX: usize = 8;
const TYPING_MAX: usize = 16;

/// What is to be said.
#[derive(Default)]
pub(super) struct Whispers {
    /// Where the next message goes, once it is being written.
    pub(super) chosen: Option<usize>,
    /// Conversations in which something was read.
    unsaid: Vec<u32>,
    receipts_at: Option<Instant>,
}

impl Client {
    /// Something was read in a conversation.
    pub(super) fn is_to_say(&mut self, room: u32) {
        let few = |client: &mut Self| client.seats.of(room).is_some_and(|seat| seat.members() <= RECEIPTS_MAX);
        if !self.shared.ephemeral || self.whispers.unsaid.contains(&room) || !few(self) {
            return;
        }
        self.whispers.unsaid.push(room);
        if self.whispers.receipts_at.is_none() {
            let wait = GATHER.mul_f64(1.0 + self.random.fraction());
            self.whispers.receipts_at = Instant::now().checked_add(wait);
        }
    }

    /// When there is something to say next.
    pub(super) fn next_whisper(&self) -> Option<Instant> {
        [self.writes_at(), self.whispers.receipts_at].into_iter().flatten().min()
    }

    /// When it begins to write the next message, if it has not.
    fn writes_at(&self) -> Option<Instant> {
        let due = self.next_due.filter(|_| self.shared.ephemeral && self.whispers.chosen.is_none())?;
        Some(due.checked_sub(WRITING).unwrap_or(due))
    }

    /// Says what is due.
    pub(super) fn whisper(&mut self, wire: &Wire) {
        let now = Instant::now();
        if self.whispers.receipts_at.is_some_and(|at| at <= now) {
            self.whispers.receipts_at = None;
            for room in std::mem::take(&mut self.whispers.unsaid) {
                self.say(wire, room);
            }
        }
        if self.writes_at().is_some_and(|at| at <= now) {
            self.whispers.chosen = self.seats.choose(&mut self.random);
            let seat = self.whispers.chosen.and_then(|at| self.seats.at(at));
            if let Some(room) = seat.filter(|seat| seat.members() <= TYPING_MAX).map(|seat| seat.room) {
                self.say(wire, room);
            }
        }
    }

    fn say(&self, wire: &Wire, room: u32) {
        let Some(room) = self.shared.room(room) else { return };
        let sealed = Bytes::from_static(&[0x5e; SEALED_LEN]);
        let event = Event { conversation: room.name.clone(), sealed, sender: None };
        if wire.send_datagram(&event.encode()) {
            add(&self.shared.counts.whispered);
        }
    }
}
