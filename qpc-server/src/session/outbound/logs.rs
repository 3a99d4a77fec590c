//! Where a sync call stands in each log that it follows. No I/O and no clock: what happens goes in, frames
//! come out.
//!
//! The rule that keeps every log gap-free for the reader: an entry goes out if it is the next one; one that was sent
//! is skipped; where entries are missing, the log is behind until pages from the store have filled the gap.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use qpc_proto::{
    id::{ConversationName, Seq},
    v1::{self, answer},
};

use super::encode;
use crate::{
    delivery::{DepthShare, entry_frame},
    registry::{Behind, Offer},
    store::{LogPage, Position},
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
    /// Offers were dropped since the store was last asked, nobody knows which.
    stale: bool,
    acknowledged: Seq,
    recorded: Seq,
    /// The client waits to be told that it has caught up.
    announce: bool,
}

impl Place {
    fn opening() -> Self {
        Self {
            stage: Stage::Opening,
            sent: Seq(0),
            head: Seq(0),
            missed: Seq(0),
            stale: false,
            acknowledged: Seq(0),
            recorded: Seq(0),
            announce: false,
        }
    }

    /// Its part of the figure of undelivered entries: not acknowledged, and not written down as such.
    fn depth(&self) -> (u64, u64) {
        let until = |seq: Seq| self.head.0.saturating_sub(seq.0);
        (until(self.acknowledged), until(self.recorded))
    }
}

/// All logs of one sync call.
pub(super) struct Logs {
    places: HashMap<ConversationName, Place>,
    /// Logs that are behind, in the order in which they are read.
    behind: VecDeque<ConversationName>,
    unrecorded: HashSet<ConversationName>,
    share: DepthShare,
}

impl Logs {
    pub(super) fn new(share: DepthShare) -> Self {
        Self { places: HashMap::new(), behind: VecDeque::new(), unrecorded: HashSet::new(), share }
    }

    /// The client wants to follow a log. Says no where it follows as many as it may.
    pub(super) fn open(&mut self, log: &ConversationName, max: usize) -> bool {
        if self.places.contains_key(log) {
            self.change(log, |place| *place = Place::opening());
            return true;
        }
        let fits = self.places.len() < max;
        if fits {
            self.places.insert(log.clone(), Place::opening());
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
        let mut behind = false;
        let known = self.change(log, |place| {
            // What the client presents it has stored; the server may know less.
            let has = cursor.min(position.after);
            place.sent = position.after;
            place.head = position.head.max(place.missed);
            place.acknowledged = has;
            place.recorded = has;
            place.announce = true;
            behind = place.stale || place.head > place.sent;
            place.stage = if behind { Stage::Behind } else { Stage::Live };
        });
        if known.is_none() {
            return;
        }
        self.unrecorded.insert(log.clone());
        if behind {
            self.behind.push_back(log.clone());
        } else {
            self.caught_up(log, out);
        }
    }

    /// The client may not read this log, or not any more.
    pub(super) fn not_followed(&mut self, log: &ConversationName, out: &mut Vec<Bytes>) {
        if let Some(place) = self.places.remove(log) {
            self.share.change(place.depth(), (0, 0));
        }
        self.unrecorded.remove(log);
        out.push(encode(answer::Result::NotFollowed(v1::NotFollowed { conversation: Some(log.to_wire()) })));
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
            Behind::All => self.places.keys().cloned().collect(),
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
                return Some((log, place.sent));
            }
        }
        None
    }

    /// A page was read, after this entry.
    pub(super) fn page(&mut self, log: &ConversationName, after: Seq, page: &LogPage, out: &mut Vec<Bytes>) {
        let mut more = false;
        let known = self.change(log, |place| {
            if place.stage != Stage::Behind || place.sent != after {
                // The client has begun to follow the log anew, from elsewhere: this page is not its next one.
                more = place.stage == Stage::Behind;
                return;
            }
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
        if known.is_none() {
            return;
        }
        if more {
            self.behind.push_back(log.clone());
        } else {
            self.caught_up(log, out);
        }
    }

    /// The client has stored entries up to this one. What was not sent can't be acknowledged.
    pub(super) fn acknowledge(&mut self, log: &ConversationName, seq: Seq) {
        let mut news = false;
        self.change(log, |place| {
            let seq = seq.min(place.sent);
            news = place.stage != Stage::Opening && seq > place.acknowledged;
            if news {
                place.acknowledged = seq;
            }
        });
        if news {
            self.unrecorded.insert(log.clone());
        }
    }

    /// Is there an acknowledgement that has not been written down?
    pub(super) fn has_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// Acknowledgements to write down, at most so many.
    pub(super) fn take_unrecorded(&mut self, max: usize) -> Vec<(ConversationName, Seq)> {
        let logs: Vec<ConversationName> = self.unrecorded.iter().take(max).cloned().collect();
        let mut cursors = Vec::with_capacity(logs.len());
        for log in logs {
            self.unrecorded.remove(&log);
            let mut acknowledged = Seq(0);
            self.change(&log, |place| {
                place.recorded = place.acknowledged;
                acknowledged = place.acknowledged;
            });
            if acknowledged > Seq(0) {
                cursors.push((log, acknowledged));
            }
        }
        cursors
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

#[cfg(test)]
mod tests;
