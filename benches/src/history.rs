//! What clients saw, and whether a correct server could have shown it.
//!
//! A history is written by the clients, not by the server that is judged. The check is a
//! pure function: message ids are unique and seq gives the order, so nothing needs searching.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use qpc_proto::id::{ConversationName, Counter, DeviceId, MessageId, Seq};

/// One thing a client did or saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message was about to be sent.
    Invoked(Sent),
    /// The server acknowledged it at this place.
    Acknowledged(Sent, Seq),
    /// Its own server keeps it for the one that orders the conversation.
    Kept(Sent),
    /// An entry was pushed to, or read by, somebody; `reader` names the reading session.
    Delivered {
        /// Which reader; a reader that reconnects has a new number.
        reader: u64,
        /// What.
        sent: Sent,
        /// Where it stood.
        seq: Seq,
    },
}

/// One message, as its sender and every reader name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sent {
    /// Where.
    pub conversation: ConversationName,
    /// The sending device.
    pub device: DeviceId,
    /// Its counter.
    pub counter: Counter,
    /// Its id.
    pub id: MessageId,
}

/// One entry of a log as read from its beginning, after everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Final {
    /// Its place.
    pub seq: Seq,
    /// The message.
    pub sent: Sent,
}

/// Something no correct server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Acknowledged, or kept for another server, and not there at the end.
    Lost(MessageId),
    /// Acknowledged at one place, found at another.
    Moved(MessageId),
    /// In a log twice.
    Doubled(MessageId),
    /// Shown to somebody, and not there at the end.
    Unsaid(MessageId),
    /// A log whose seqs are not 1, 2, 3 ...
    Gap(ConversationName, Seq),
    /// In a log though nobody sent it.
    Invented(MessageId),
    /// A device's messages out of the order it made them.
    Reordered(MessageId),
    /// Pushed twice to one reader, or backwards.
    Repeated(MessageId),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(id) => write!(f, "acknowledged message {id} is lost"),
            Self::Moved(id) => write!(f, "message {id} is not where it was acknowledged"),
            Self::Doubled(id) => write!(f, "message {id} is stored twice"),
            Self::Unsaid(id) => write!(f, "message {id} was delivered and is gone"),
            Self::Gap(conversation, seq) => write!(f, "{conversation} has a gap before {seq}"),
            Self::Invented(id) => write!(f, "message {id} was never sent"),
            Self::Reordered(id) => write!(f, "message {id} is out of its sender's order"),
            Self::Repeated(id) => write!(f, "message {id} was delivered twice or backwards"),
        }
    }
}

/// Compares what clients saw with what every log holds at the end.
#[must_use]
pub fn check(events: &[Event], logs: &BTreeMap<ConversationName, Vec<Final>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut found: HashMap<MessageId, (&ConversationName, Seq)> = HashMap::new();
    for (name, entries) in logs {
        let mut expected = Seq(0);
        let mut counters: HashMap<DeviceId, Counter> = HashMap::new();
        for entry in entries {
            expected = expected.next();
            if entry.seq != expected {
                violations.push(Violation::Gap(name.clone(), entry.seq));
                expected = entry.seq;
            }
            if found.insert(entry.sent.id, (name, entry.seq)).is_some() {
                violations.push(Violation::Doubled(entry.sent.id));
            }
            let last = counters.insert(entry.sent.device, entry.sent.counter).unwrap_or_default();
            if entry.sent.counter <= last {
                violations.push(Violation::Reordered(entry.sent.id));
            }
        }
    }
    let mut invoked: HashMap<MessageId, &Sent> = HashMap::new();
    let mut positions: HashMap<(u64, &ConversationName), Seq> = HashMap::new();
    for event in events {
        match event {
            Event::Invoked(sent) => drop(invoked.insert(sent.id, sent)),
            Event::Acknowledged(sent, seq) => match found.get(&sent.id) {
                None => violations.push(Violation::Lost(sent.id)),
                Some(place) if *place != (&sent.conversation, *seq) => violations.push(Violation::Moved(sent.id)),
                Some(_) => {}
            },
            Event::Kept(sent) if !found.contains_key(&sent.id) => violations.push(Violation::Lost(sent.id)),
            Event::Kept(_) => {}
            Event::Delivered { reader, sent, seq } => {
                match found.get(&sent.id) {
                    Some(place) if *place == (&sent.conversation, *seq) => {}
                    _ => violations.push(Violation::Unsaid(sent.id)),
                }
                let position = positions.entry((*reader, &sent.conversation)).or_default();
                if *seq <= *position {
                    violations.push(Violation::Repeated(sent.id));
                }
                *position = *seq;
            }
        }
    }
    for entry in logs.values().flatten() {
        if !invoked.contains_key(&entry.sent.id) {
            violations.push(Violation::Invented(entry.sent.id));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use qpc_proto::{address::Domain, id::ConversationId};

    use super::*;

    fn sent(number: u64) -> Sent {
        Sent {
            conversation: ConversationName {
                domain: Domain::parse("chat.example").unwrap(),
                id: ConversationId::new(1, [1; 10]),
            },
            device: DeviceId::new(1, [2; 10]),
            counter: Counter(number),
            id: MessageId::new(number, [3; 10]),
        }
    }

    /// Three messages, acknowledged, delivered to one reader, all there at the end.
    fn clean() -> (Vec<Event>, BTreeMap<ConversationName, Vec<Final>>) {
        let mut events = Vec::new();
        for number in 1..=3 {
            events.push(Event::Invoked(sent(number)));
            events.push(Event::Acknowledged(sent(number), Seq(number)));
            events.push(Event::Delivered { reader: 1, sent: sent(number), seq: Seq(number) });
        }
        let log = (1..=3).map(|number| Final { seq: Seq(number), sent: sent(number) }).collect();
        (events, BTreeMap::from([(sent(1).conversation, log)]))
    }

    fn with(change: impl FnOnce(&mut Vec<Event>, &mut Vec<Final>)) -> Vec<Violation> {
        let (mut events, mut logs) = clean();
        change(&mut events, logs.values_mut().next().unwrap());
        check(&events, &logs)
    }

    #[test]
    fn a_clean_history_passes() {
        assert_eq!(with(|_, _| {}), []);
    }

    #[test]
    fn an_unanswered_message_may_be_there_or_not() {
        assert_eq!(with(|events, _| events.push(Event::Invoked(sent(4)))), []);
        let stored = with(|events, log| {
            events.push(Event::Invoked(sent(4)));
            log.push(Final { seq: Seq(4), sent: sent(4) });
        });
        assert_eq!(stored, []);
    }

    #[test]
    fn what_a_server_keeps_for_another_is_there_at_the_end() {
        let kept = |number: u64| {
            with(|events, _| {
                events.push(Event::Invoked(sent(number)));
                events.push(Event::Kept(sent(number)));
            })
        };
        assert_eq!((kept(3), kept(4)), (vec![], vec![Violation::Lost(sent(4).id)]));
    }

    #[test]
    fn every_planted_fault_is_found() {
        use Violation::{Doubled, Gap, Invented, Lost, Moved, Reordered, Repeated, Unsaid};
        let lost = with(|_, log| drop(log.pop()));
        assert_eq!(lost, [Lost(sent(3).id), Unsaid(sent(3).id)]);
        let doubled = with(|_, log| log.push(Final { seq: Seq(4), sent: sent(3) }));
        assert!(doubled.contains(&Doubled(sent(3).id)));
        let moved = with(|_, log| log.swap(0, 1));
        assert!(moved.iter().any(|violation| matches!(violation, Gap(..))));
        let swapped = with(|_, log| {
            let (first, second) = (log[0].sent.clone(), log[1].sent.clone());
            log[0].sent = second;
            log[1].sent = first;
        });
        assert!(swapped.contains(&Moved(sent(1).id)) && swapped.contains(&Reordered(sent(1).id)));
        let gap = with(|events, log| {
            events.truncate(6);
            log[2].seq = Seq(4);
        });
        assert_eq!(gap, [Gap(sent(1).conversation, Seq(4)), Invented(sent(3).id)]);
        let repeated = with(|events, _| events.push(Event::Delivered { reader: 1, sent: sent(2), seq: Seq(2) }));
        assert_eq!(repeated, [Repeated(sent(2).id)]);
        let other_reader = with(|events, _| events.push(Event::Delivered { reader: 2, sent: sent(2), seq: Seq(2) }));
        assert_eq!(other_reader, []);
    }
}
