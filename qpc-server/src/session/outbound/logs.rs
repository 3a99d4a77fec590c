//! Where a sync call stands in each log that it follows. No I/O and no clock: what happens goes in, frames
//! come out.
//!
//! The rule that keeps every log gap-free for the reader: an entry goes out if it is the next one; one that was sent
//! is skipped; where entries are missing, the log is behind until pages from the store have filled the gap.

use std::collections::VecDeque;

use bytes::Bytes;
use qpc_proto::{
    id::{ConversationName, Seq},
    v1::{self, answer},
};

use super::encode;
use crate::{
    delivery::{DepthShare, entry_frame},
    registry::{Behind, Offer},
    store::{LogPage, LogPlace, Position},
};

/// How a log's entries come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The store is asked where it stands.
    Opening,
    /// As they are committed.
    Live,
    /// In pages from the store.
    Behind,
}

#[derive(Debug, Clone)]
struct Place {
    stage: Stage,
    /// The last entry that was sent, or where the client was.
    sent: Seq,
    /// The last entry that is known to exist.
    head: Seq,
    /// The last entry that was offered and not sent since the store was last asked.
    missed: Seq,
    /// Where the store has it.
    place: LogPlace,
    /// Offers were dropped since the store was last asked, nobody knows which.
    stale: bool,
    acknowledged: Seq,
    /// The client waits to be told that it has caught up.
    announce: bool,
    /// Answers of the store that are due: one, and one more for each time the client follows the log anew meanwhile.
    due: u16,
    /// A page of it is being read. One that was asked before the client followed the log anew is none of it.
    reading: bool,
}

impl Place {
    /// Of a log that the client wants to follow, with so many answers due from before.
    fn opening(due: u16) -> Self {
        Self {
            stage: Stage::Opening,
            sent: Seq(0),
            head: Seq(0),
            missed: Seq(0),
            place: LogPlace::default(),
            stale: false,
            acknowledged: Seq(0),
            announce: false,
            due: due.saturating_add(1),
            reading: false,
        }
    }

    /// Its part of the figure of undelivered entries.
    fn depth(&self) -> u64 {
        self.head.0.saturating_sub(self.acknowledged.0)
    }
}

/// Places by log, in order: a session follows a dozen logs, for which a table would have room for thirty.
#[derive(Default)]
struct Places(Vec<(ConversationName, Place)>);

impl Places {
    fn at(&self, log: &ConversationName) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.id.cmp(&log.id).then_with(|| other.domain.cmp(&log.domain)))
    }

    fn get_mut(&mut self, log: &ConversationName) -> Option<&mut Place> {
        let at = self.at(log).ok()?;
        self.0.get_mut(at).map(|(_, place)| place)
    }

    /// Makes room for so many more and no more than that, where most are still to come: a list that grows by doubling ends
    /// up half empty.
    fn reserve(&mut self, more: usize) {
        if more > self.0.len() {
            self.0.reserve_exact(more);
        }
    }

    /// Adds one that opens, unless the log is there.
    fn insert(&mut self, log: &ConversationName) {
        if let Err(at) = self.at(log) {
            self.0.insert(at, (log.clone(), Place::opening(0)));
        }
    }

    fn remove(&mut self, log: &ConversationName) -> Option<Place> {
        self.at(log).ok().map(|at| self.0.remove(at).1)
    }

    fn names(&self) -> impl Iterator<Item = &ConversationName> {
        self.0.iter().map(|(log, _)| log)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// All logs of one sync call.
pub(super) struct Logs {
    places: Places,
    /// Logs that are behind, in the order in which they are read.
    behind: VecDeque<ConversationName>,
    share: DepthShare,
}

impl Logs {
    pub(super) fn new(share: DepthShare) -> Self {
        Self { places: Places::default(), behind: VecDeque::new(), share }
    }

    /// So many logs are about to be opened, some of which may be open.
    pub(super) fn expect(&mut self, more: usize, max: usize) {
        self.places.reserve(more.min(max.saturating_sub(self.places.len())));
    }

    /// The client wants to follow a log. Says no where it follows as many as it may.
    pub(super) fn open(&mut self, log: &ConversationName, max: usize) -> bool {
        if self.change(log, |place| *place = Place::opening(place.due)).is_some() {
            return true;
        }
        let fits = self.places.len() < max;
        if fits {
            self.places.insert(log);
        }
        fits
    }

    /// The store has said where a log stands.
    pub(super) fn opened(&mut self, log: &ConversationName, cursor: Seq, position: &Position, out: &mut Vec<Bytes>) {
        out.push(encode(answer::Result::Following(v1::Following {
            conversation: Some(log.to_wire()),
            head_seq: position.head.0,
            after_seq: position.after.0,
            chain: position.chain.to_bytes(),
        })));
        if !self.answered(log) {
            return;
        }
        let mut behind = false;
        self.change(log, |place| {
            // What the client presents it has stored; the server may know less.
            let has = cursor.min(position.after);
            place.sent = position.after;
            place.place = position.place;
            place.head = position.head.max(place.missed);
            place.acknowledged = has;
            place.announce = true;
            behind = place.stale || place.head > place.sent;
            place.stage = if behind { Stage::Behind } else { Stage::Live };
        });
        if behind {
            self.behind.push_back(log.clone());
        } else {
            self.caught_up(log, out);
        }
    }

    /// The store has said that the client may not read a log that it wants to follow.
    pub(super) fn not_followed(&mut self, log: &ConversationName, out: &mut Vec<Bytes>) {
        out.push(refused(log));
        if self.answered(log) {
            self.leave(log);
        }
    }

    /// A log that was read page by page may not be read any more.
    pub(super) fn ended(&mut self, log: &ConversationName, out: &mut Vec<Bytes>) {
        if self.was_reading(log) {
            out.push(refused(log));
            self.leave(log);
        }
    }

    /// An answer of the store has come. Is it the one to what the client last asked of this log? An earlier one goes to
    /// the client, which waits for one each time, and changes nothing here.
    fn answered(&mut self, log: &ConversationName) -> bool {
        let Some(place) = self.places.get_mut(log) else { return false };
        place.due = place.due.saturating_sub(1);
        place.due == 0
    }

    /// A page has come. Is it for the log as the client follows it now? Otherwise another was or will be asked for.
    fn was_reading(&mut self, log: &ConversationName) -> bool {
        self.places.get_mut(log).is_some_and(|place| std::mem::take(&mut place.reading))
    }

    fn leave(&mut self, log: &ConversationName) {
        if let Some(place) = self.places.remove(log) {
            self.share.change(place.depth(), 0);
        }
    }

    /// An entry was committed.
    pub(super) fn offer(&mut self, offer: &Offer, out: &mut Vec<Bytes>) {
        let mut fell_behind = false;
        self.change(&offer.log, |place| {
            place.head = place.head.max(offer.seq);
            if place.stage != Stage::Live {
                place.missed = place.missed.max(offer.seq);
            } else if offer.seq == place.sent.next() {
                place.sent = offer.seq;
                out.push(offer.frame.clone());
            } else if offer.seq > place.sent {
                place.stage = Stage::Behind;
                place.missed = offer.seq;
                fell_behind = true;
            }
        });
        if fell_behind {
            self.behind.push_back(offer.log.clone());
        }
    }

    /// Offers were dropped because the queue was full.
    pub(super) fn fall_behind(&mut self, behind: &Behind) {
        let logs: Vec<ConversationName> = match behind {
            Behind::No => return,
            Behind::Logs(logs) => logs.clone(),
            Behind::All => self.places.names().cloned().collect(),
        };
        for log in logs {
            let mut live = false;
            self.change(&log, |place| {
                place.stale = true;
                live = place.stage == Stage::Live;
                if live {
                    place.stage = Stage::Behind;
                }
            });
            if live {
                self.behind.push_back(log);
            }
        }
    }

    /// The page to read next: which log, after which entry.
    pub(super) fn next_page(&mut self) -> Option<(ConversationName, Seq)> {
        while let Some(log) = self.behind.pop_front() {
            if let Some(place) = self.places.get_mut(&log)
                && place.stage == Stage::Behind
            {
                // What is offered from here on may not be in the page.
                place.missed = Seq(0);
                place.stale = false;
                place.reading = true;
                return Some((log, place.sent));
            }
        }
        None
    }

    /// The page that was asked for has been read.
    pub(super) fn page(&mut self, log: &ConversationName, page: &LogPage, out: &mut Vec<Bytes>) {
        if !self.was_reading(log) {
            return;
        }
        let mut more = false;
        self.change(log, |place| {
            if page.floor > place.sent {
                // Retention has passed the reader by while it was catching up: it is told which range is gone.
                out.push(encode(answer::Result::Following(v1::Following {
                    conversation: Some(log.to_wire()),
                    head_seq: page.head.0,
                    after_seq: page.floor.0,
                    chain: page.floor_chain.to_bytes(),
                })));
                place.sent = page.floor;
            }
            for entry in page.entries.iter().filter(|entry| entry.seq > place.sent) {
                out.push(entry_frame(entry));
            }
            let last = page.entries.last().map_or(place.sent, |entry| entry.seq.max(place.sent));
            place.sent = last;
            place.head = place.head.max(last);
            // An empty page ends it: what a reader may no longer see is not waited for.
            more = place.stale || place.missed > last || (page.head > last && !page.entries.is_empty());
            if !more {
                place.stage = Stage::Live;
                place.head = last;
            }
        });
        if more {
            self.behind.push_back(log.clone());
        } else {
            self.caught_up(log, out);
        }
    }

    /// The client has stored entries up to this one. What was not sent can't be acknowledged. Gives what is new:
    /// in which log, up to which entry, and how many.
    pub(super) fn acknowledge(&mut self, log: &ConversationName, seq: Seq) -> Option<(LogPlace, Seq, u64)> {
        let mut news = None;
        self.change(log, |place| {
            let seq = seq.min(place.sent);
            if place.stage != Stage::Opening && seq > place.acknowledged {
                news = Some((place.place, seq, seq.0.saturating_sub(place.acknowledged.0)));
                place.acknowledged = seq;
            }
        });
        news
    }

    fn caught_up(&mut self, log: &ConversationName, out: &mut Vec<Bytes>) {
        if let Some(place) = self.places.get_mut(log)
            && std::mem::take(&mut place.announce)
        {
            out.push(encode(answer::Result::CaughtUp(v1::CaughtUp { conversation: Some(log.to_wire()) })));
        }
    }

    /// Changes a place and keeps the figures in step; nothing where the log is not followed.
    fn change(&mut self, log: &ConversationName, change: impl FnOnce(&mut Place)) -> Option<()> {
        let place = self.places.get_mut(log)?;
        let before = place.depth();
        change(place);
        self.share.change(before, place.depth());
        Some(())
    }
}

/// Tells the client that it does not follow a log.
fn refused(log: &ConversationName) -> Bytes {
    encode(answer::Result::NotFollowed(v1::NotFollowed { conversation: Some(log.to_wire()) }))
}

#[cfg(test)]
mod tests;
