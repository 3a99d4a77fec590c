//! What a sync call does in each order of events: a model of the queue, the store and the reader.

#![allow(clippy::arithmetic_side_effects, reason = "tests")]

use std::{collections::VecDeque, sync::Arc};

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

/// A list that grows by doubling would have room for half as many again, in each of many sessions.
#[test]
fn a_session_has_room_for_the_logs_it_follows_and_no_more() {
    let mut logs = Logs::new(delivery().depth_share());
    logs.expect(17, 100);
    for number in 0..17 {
        assert!(logs.open(&ConversationName { id: ConversationId::new(1, [number; 10]), ..log() }, 100));
    }
    assert_eq!(logs.places.0.capacity(), 17);
    // One by one it grows as lists do, and never beyond what a session may follow.
    logs.expect(1, 100);
    assert_eq!(logs.places.0.capacity(), 17);
    logs.expect(10_000, 100);
    assert_eq!(logs.places.0.capacity(), 100);
}

fn offer(seq: u64) -> Arc<Offer> {
    Arc::new(Offer { log: log(), seq: Seq(seq), frame: entry_frame(&entry(seq)) })
}

fn delivery() -> Delivery {
    let metrics = Arc::new(Metrics::new().unwrap());
    let registry = Registry::new(SessionLimits::default(), Arc::clone(&metrics));
    Delivery::new(Arc::new(MemoryStore::new()), registry, Arc::new(SystemClock), metrics, &SessionLimits::default())
}

fn position(head: u64) -> Position {
    Position { after: Seq(0), chain: ChainValue([0; 32]), head: Seq(head), place: LogPlace(7) }
}

fn page(after: Seq, head: u64, limit: u64) -> LogPage {
    let last = head.min(after.0 + limit);
    let entries = (after.0 + 1..=last).map(entry).collect();
    LogPage { entries, head: Seq(head), floor: Seq(0), floor_chain: ChainValue([0; 32]) }
}

/// What a client makes of the frames: seqs of entries, and how often it was told that it has caught up, since it was
/// last told where a log stands. Fails where entries don't go on from there.
fn read(out: &[Bytes]) -> (Vec<u64>, usize) {
    let (mut seqs, mut caught_up, mut next) = (Vec::new(), 0, None);
    for frame in out {
        match v1::Answer::decode(&frame[4..]).unwrap().result.unwrap() {
            answer::Result::Entry(entry) => {
                assert!(next.is_none_or(|next| entry.seq == next), "entry {}, not {next:?}", entry.seq);
                next = Some(entry.seq + 1);
                seqs.push(entry.seq);
            }
            answer::Result::CaughtUp(_) => caught_up += 1,
            answer::Result::Following(following) => {
                next = Some(following.after_seq + 1);
                (seqs, caught_up) = (Vec::new(), 0);
            }
            // No entry has this number.
            answer::Result::NotFollowed(_) => next = Some(0),
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
    /// The client follows the log anew, after some entry of those there are.
    Follow(u64),
    /// It may read the log from here on, or not.
    MayRead(bool),
    /// The store looks up the next position that is asked.
    LookUp,
    /// The session hears of the next one that was looked up.
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
        1 => (0..10_u64).prop_map(Step::Follow),
        1 => proptest::bool::weighted(0.7).prop_map(Step::MayRead),
        2 => Just(Step::LookUp),
        2 => Just(Step::Opened),
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
    readable: bool,
    /// Where the client began to follow, until the store is asked, in order.
    asked: VecDeque<Seq>,
    looked_up: VecDeque<(Seq, Option<Position>)>,
    page: Option<Option<LogPage>>,
}

impl World {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit { dropped } => {
                self.head += 1;
                // As the mailbox does it: with one dropped, those after it are dropped as well.
                if !self.readable {
                    // It is not in the audience.
                } else if *dropped || self.dropped {
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
            Step::Follow(after) => {
                assert!(self.logs.open(&log(), 1));
                self.asked.push_back(Seq((*after).min(self.head)));
            }
            Step::MayRead(readable) => self.readable = *readable,
            Step::LookUp => {
                let position = |after| Position { after, ..position(self.head) };
                let asked = self.asked.pop_front();
                self.looked_up.extend(asked.map(|after| (after, self.readable.then(|| position(after)))));
            }
            Step::Opened => match self.looked_up.pop_front() {
                Some((after, Some(position))) => self.logs.opened(&log(), after, &position, &mut self.out),
                Some((_, None)) => self.logs.not_followed(&log(), &mut self.out),
                None => {}
            },
            Step::Ask if self.page.is_none() => {
                let read = |after| self.readable.then(|| page(after, self.head, 3));
                self.page = self.logs.next_page().map(|(_, after)| read(after));
            }
            Step::Fetched => match self.page.take() {
                Some(Some(page)) => self.logs.page(&log(), &page, &mut self.out),
                Some(None) => self.logs.ended(&log(), &mut self.out),
                None => {}
            },
            Step::Ask => {}
        }
    }

    /// All that is under way comes to its end.
    fn settle(&mut self) {
        // Enough to ask for what each answer that is due would begin.
        for _ in 0..self.head + 9 + (self.asked.len() + self.looked_up.len()) as u64 {
            for step in [Step::LookUp, Step::Opened, Step::TakeNews, Step::Ask, Step::Fetched] {
                self.step(&step);
            }
        }
    }
}

proptest! {
    /// Invariant 3, 8: whatever is dropped and however events interleave, the reader gets every entry once, in
    /// order, and is told once that it has caught up; also where it follows the log anew, or its access ends and
    /// begins again, while answers are on their way.
    #[test]
    fn invariant_8_every_entry_arrives_once_and_in_order(steps in prop::collection::vec(step(), 0..120)) {
        let delivery = delivery();
        let mut logs = Logs::new(delivery.depth_share());
        assert!(logs.open(&log(), 1));
        let mut world = World {
            logs, out: Vec::new(), head: 0, queue: Vec::new(), dropped: false, readable: true,
            asked: VecDeque::from([Seq(0)]), looked_up: VecDeque::new(), page: None,
        };
        let (mut answers, mut from, mut away) = (1, 0, false);
        for step in &steps {
            if let Step::Follow(after) = step {
                (answers, from, away) = (answers + 1, (*after).min(world.head), false);
            }
            world.step(step);
            away |= !world.readable;
        }
        world.readable = true;
        if away {
            // What it missed without access nobody told it: it asks.
            world.step(&Step::Follow(0));
            (answers, from) = (answers + 1, 0);
        }
        world.settle();
        let told = |frame: &&Bytes| {
            let result = v1::Answer::decode(&frame[4..]).unwrap().result.unwrap();
            matches!(result, answer::Result::Following(_) | answer::Result::NotFollowed(_))
        };
        // One answer for each time it asked; what ends under way is told besides.
        prop_assert!(world.out.iter().filter(told).count() >= answers);
        let (seqs, caught_up) = read(&world.out);
        prop_assert_eq!(seqs, (from + 1..=world.head).collect::<Vec<_>>());
        prop_assert_eq!(caught_up, 1);
        prop_assert_eq!(world.logs.places.get_mut(&log()).unwrap().head.0, world.head);
        prop_assert!(world.logs.next_page().is_none());
    }
}

#[test]
fn what_was_not_sent_can_not_be_acknowledged_and_what_was_is_said_once() {
    let delivery = delivery();
    let mut logs = Logs::new(delivery.depth_share());
    let mut out = Vec::new();
    assert!(logs.open(&log(), 1));
    logs.opened(&log(), Seq(0), &position(0), &mut out);
    for seq in 1..=3 {
        logs.offer(&offer(seq), &mut out);
    }
    assert_eq!(logs.acknowledge(&log(), Seq(2)), Some((LogPlace(7), Seq(2), 2)));
    assert_eq!(logs.acknowledge(&log(), Seq(1)), None);
    assert_eq!(logs.places.get_mut(&log()).unwrap().depth(), 1);
    assert_eq!(logs.acknowledge(&log(), Seq(99)), Some((LogPlace(7), Seq(3), 1)));
    assert_eq!(logs.acknowledge(&log(), Seq(99)), None);
    assert_eq!(logs.places.get_mut(&log()).unwrap().depth(), 0);
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
    let Some(answer::Result::Following(following)) = v1::Answer::decode(&out[0][4..]).unwrap().result else { panic!() };
    assert_eq!(following.after_seq, 5);
}

#[test]
fn an_offer_out_of_turn_is_not_passed_on_but_fetched_with_what_is_missing() {
    let delivery = delivery();
    let mut logs = Logs::new(delivery.depth_share());
    let mut out = Vec::new();
    assert!(logs.open(&log(), 1));
    logs.opened(&log(), Seq(0), &position(0), &mut out);
    logs.offer(&offer(3), &mut out);
    assert!(read(&out).0.is_empty());
    let (_, after) = logs.next_page().unwrap();
    // While the page is under way the next entry is committed.
    let fetched = page(after, 3, 100);
    logs.offer(&offer(4), &mut out);
    logs.page(&log(), &fetched, &mut out);
    let (_, after) = logs.next_page().expect("the entry that was not in the page");
    logs.page(&log(), &page(after, 4, 100), &mut out);
    assert_eq!(read(&out).0, [1, 2, 3, 4]);
}

#[test]
fn a_page_of_an_earlier_follow_makes_no_gap_in_a_later_one() {
    let delivery = delivery();
    let mut logs = Logs::new(delivery.depth_share());
    let mut out = Vec::new();
    assert!(logs.open(&log(), 1));
    logs.opened(&log(), Seq(6), &Position { after: Seq(6), ..position(9) }, &mut out);
    let (_, after) = logs.next_page().unwrap();
    assert_eq!(after, Seq(6));
    // The client begins anew before the page is there.
    assert!(logs.open(&log(), 1));
    logs.opened(&log(), Seq(0), &position(9), &mut out);
    out.clear();
    logs.page(&log(), &page(Seq(6), 9, 100), &mut out);
    while let Some((_, after)) = logs.next_page() {
        logs.page(&log(), &page(after, 9, 4), &mut out);
    }
    assert_eq!(read(&out), ((1..=9).collect(), 1));
}

#[test]
fn no_more_logs_are_followed_than_allowed() {
    let delivery = delivery();
    let mut logs = Logs::new(delivery.depth_share());
    let mut out = Vec::new();
    let other = ConversationName { id: ConversationId::new(2, [2; 10]), ..log() };
    assert!(logs.open(&log(), 1) && logs.open(&log(), 1));
    assert!(!logs.open(&other, 1));
    // It was asked for twice: the place is free with the second answer.
    logs.not_followed(&log(), &mut out);
    assert!(!logs.open(&other, 1));
    logs.not_followed(&log(), &mut out);
    assert!(logs.open(&other, 1));
}

#[test]
fn places_are_found_by_their_whole_name_whatever_came_before() {
    let name = |domain: &str, number: u8| ConversationName {
        domain: Domain::parse(domain).unwrap(),
        id: ConversationId::new(number.into(), [number; 10]),
    };
    let names = [name("b.example", 2), name("a.example", 2), name("a.example", 3), name("b.example", 1)];
    let mut places = Places::default();
    for (sent, name) in (1..).zip(&names) {
        places.insert(name);
        places.get_mut(name).unwrap().sent = Seq(sent);
    }
    // One that is there stays as it is.
    places.insert(&names[1]);
    let sent = |places: &mut Places| names.each_ref().map(|name| places.get_mut(name).map(|place| place.sent.0));
    assert_eq!((places.len(), sent(&mut places)), (4, [Some(1), Some(2), Some(3), Some(4)]));
    assert_eq!(places.remove(&names[0]).map(|place| place.sent), Some(Seq(1)));
    assert!(places.remove(&names[0]).is_none());
    assert_eq!(sent(&mut places), [None, Some(2), Some(3), Some(4)]);
}
