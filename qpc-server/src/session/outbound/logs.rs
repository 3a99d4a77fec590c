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

    /// A page was read.
    pub(super) fn page(&mut self, log: &ConversationName, page: &LogPage, out: &mut Vec<Bytes>) {
        let mut more = false;
        let known = self.change(log, |place| {
            if place.stage != Stage::Behind {
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
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use prost::Message;
    use qpc_proto::{
        address::Domain,
        chain::{ChainValue, EntryContent, EntryKind, LogEntry},
        id::{ConversationId, Counter, Epoch, MessageId},
    };

    use super::*;
    use crate::{
        clock::SystemClock, delivery::Delivery, metrics::Metrics, policy::limits::SessionLimits, registry::Registry,
        store::memory::MemoryStore,
    };

    fn log() -> ConversationName {
        ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(1, [1; 10]) }
    }

    fn entry(seq: u64) -> LogEntry {
        LogEntry {
            conversation: log(),
            seq: Seq(seq),
            kind: EntryKind::Message,
            epoch: Epoch(0),
            sender: None,
            counter: Counter(seq),
            id: MessageId::new(seq, [0; 10]),
            stored_ms: 0,
            chain: ChainValue([0; 32]),
            content: EntryContent::Body(Bytes::from_static(b"x")),
        }
    }

    fn offer(seq: u64) -> Arc<Offer> {
        Arc::new(Offer { log: log(), seq: Seq(seq), frame: entry_frame(&entry(seq)) })
    }

    fn delivery() -> Delivery {
        let metrics = Arc::new(Metrics::new().unwrap());
        let registry = Registry::new(SessionLimits::default(), Arc::clone(&metrics));
        Delivery::new(Arc::new(MemoryStore::new()), registry, Arc::new(SystemClock), metrics)
    }

    fn position(head: u64) -> Position {
        Position { after: Seq(0), chain: ChainValue([0; 32]), head: Seq(head) }
    }

    fn page(after: Seq, head: u64, limit: u64) -> LogPage {
        let last = head.min(after.0 + limit);
        let entries = (after.0 + 1..=last).map(entry).collect();
        LogPage { entries, head: Seq(head), floor: Seq(0), floor_chain: ChainValue([0; 32]) }
    }

    /// What a client makes of the frames: seqs of entries, and how often it was told that it has caught up.
    fn read(out: &[Bytes]) -> (Vec<u64>, usize) {
        let (mut seqs, mut caught_up) = (Vec::new(), 0);
        for frame in out {
            match v1::Answer::decode(&frame[4..]).unwrap().result.unwrap() {
                answer::Result::Entry(entry) => seqs.push(entry.seq),
                answer::Result::CaughtUp(_) => caught_up += 1,
                _ => {}
            }
        }
        (seqs, caught_up)
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// An entry is committed, and its offer queued or, where the queue is full, dropped.
        Commit { dropped: bool },
        /// The session takes what its queue holds.
        TakeNews,
        /// The store looks the position up.
        LookUp,
        /// The session hears of it.
        Opened,
        /// The session asks for a page, which the store reads at once.
        Ask,
        /// The session hears of it.
        Fetched,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<bool>().prop_map(|dropped| Step::Commit { dropped }),
            2 => Just(Step::TakeNews),
            1 => Just(Step::LookUp),
            1 => Just(Step::Opened),
            2 => Just(Step::Ask),
            2 => Just(Step::Fetched),
        ]
    }

    /// A session and the world around it.
    struct World {
        logs: Logs,
        out: Vec<Bytes>,
        head: u64,
        queue: Vec<Arc<Offer>>,
        dropped: bool,
        looked_up: Option<Position>,
        open: bool,
        page: Option<LogPage>,
    }

    impl World {
        fn step(&mut self, step: &Step) {
            match step {
                Step::Commit { dropped } => {
                    self.head += 1;
                    // As the mailbox does it: with one dropped, those after it are dropped as well.
                    if *dropped || self.dropped {
                        self.dropped = true;
                    } else {
                        self.queue.push(offer(self.head));
                    }
                }
                Step::TakeNews => {
                    for offer in self.queue.drain(..) {
                        self.logs.offer(&offer, &mut self.out);
                    }
                    if std::mem::take(&mut self.dropped) {
                        self.logs.fall_behind(&Behind::Logs(vec![log()]));
                    }
                }
                Step::LookUp if !self.open && self.looked_up.is_none() => self.looked_up = Some(position(self.head)),
                Step::Opened if !self.open => {
                    if let Some(position) = self.looked_up.take() {
                        self.logs.opened(&log(), Seq(0), &position, &mut self.out);
                        self.open = true;
                    }
                }
                Step::Ask if self.page.is_none() => {
                    self.page = self.logs.next_page().map(|(_, after)| page(after, self.head, 3));
                }
                Step::Fetched => {
                    if let Some(page) = self.page.take() {
                        self.logs.page(&log(), &page, &mut self.out);
                    }
                }
                Step::LookUp | Step::Opened | Step::Ask => {}
            }
        }
    }

    proptest! {
        /// Invariant 3, 8: whatever is dropped and however events interleave, the reader gets every entry once, in
        /// order, and is told once that it has caught up.
        #[test]
        fn invariant_8_every_entry_arrives_once_and_in_order(steps in prop::collection::vec(step(), 0..120)) {
            let delivery = delivery();
            let mut logs = Logs::new(delivery.depth_share());
            assert!(logs.open(&log(), 1));
            let mut world = World {
                logs, out: Vec::new(), head: 0, queue: Vec::new(), dropped: false, looked_up: None, open: false, page: None,
            };
            for step in &steps {
                world.step(step);
            }
            world.step(&Step::LookUp);
            for _ in 0..world.head + 3 {
                for step in [Step::Opened, Step::TakeNews, Step::Ask, Step::Fetched] {
                    world.step(&step);
                }
            }
            let (seqs, caught_up) = read(&world.out);
            prop_assert_eq!(seqs, (1..=world.head).collect::<Vec<_>>());
            prop_assert_eq!(caught_up, 1);
            prop_assert_eq!(world.logs.places[&log()].head.0, world.head);
            prop_assert!(world.logs.next_page().is_none());
        }
    }

    #[test]
    fn what_was_not_sent_can_not_be_acknowledged_and_is_written_down_once() {
        let delivery = delivery();
        let mut logs = Logs::new(delivery.depth_share());
        let mut out = Vec::new();
        assert!(logs.open(&log(), 1));
        logs.opened(&log(), Seq(0), &position(0), &mut out);
        for seq in 1..=3 {
            logs.offer(&offer(seq), &mut out);
        }
        assert!(logs.take_unrecorded(10).is_empty());
        logs.acknowledge(&log(), Seq(2));
        logs.acknowledge(&log(), Seq(1));
        assert_eq!(logs.places[&log()].depth(), (1, 3));
        assert_eq!(logs.take_unrecorded(10), [(log(), Seq(2))]);
        logs.acknowledge(&log(), Seq(99));
        assert_eq!(logs.take_unrecorded(10), [(log(), Seq(3))]);
        assert_eq!(logs.places[&log()].depth(), (0, 0));
        assert!(!logs.has_unrecorded());
    }

    #[test]
    fn a_reader_that_retention_passed_by_is_told_what_is_gone() {
        let delivery = delivery();
        let mut logs = Logs::new(delivery.depth_share());
        let mut out = Vec::new();
        assert!(logs.open(&log(), 1));
        logs.opened(&log(), Seq(0), &position(9), &mut out);
        let (_, after) = logs.next_page().unwrap();
        assert_eq!(after, Seq(0));
        out.clear();
        let late = LogPage { floor: Seq(5), ..page(Seq(5), 9, 100) };
        logs.page(&log(), &late, &mut out);
        assert_eq!(read(&out), (vec![6, 7, 8, 9], 1));
        let Some(answer::Result::Following(following)) = v1::Answer::decode(&out[0][4..]).unwrap().result else {
            panic!()
        };
        assert_eq!(following.after_seq, 5);
    }

    #[test]
    fn no_more_logs_are_followed_than_allowed() {
        let delivery = delivery();
        let mut logs = Logs::new(delivery.depth_share());
        let mut out = Vec::new();
        let other = ConversationName { id: ConversationId::new(2, [2; 10]), ..log() };
        assert!(logs.open(&log(), 1) && logs.open(&log(), 1));
        assert!(!logs.open(&other, 1));
        logs.not_followed(&log(), &mut out);
        assert!(logs.open(&other, 1));
    }
}
