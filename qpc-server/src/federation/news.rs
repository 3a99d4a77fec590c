//! What wake-ups say that a peer may lack: which logs have something new, and the messages themselves as far as there is room.
//!
//! All of it is a hint. What is not told, or told in part, is read from the store.

use std::{collections::BTreeMap, sync::Arc};

use qpc_proto::{
    chain::{EntryKind, LogEntry},
    id::ConversationName,
    limits::LOG_PAGE_MAX,
};

use super::hints::Hints;

/// Logs that a wake-up names one by one; beyond that it says that there are some.
pub(super) const NEWS_MAX: usize = 4_096;
/// Bytes of messages that wait here for a peer.
const NEWS_BYTES: usize = 512 * 1024;
/// What a message takes beside its body.
const MESSAGE: usize = 256;

/// What a peer may lack.
pub(super) type News = Hints<Told>;

/// What was told since it was asked for last.
pub(super) struct Told {
    pub(super) logs: BTreeMap<ConversationName, Run>,
    /// There may be more than is named.
    pub(super) all: bool,
    bytes: usize,
}

/// Messages of a log, each following the one before; none where the log has to be read.
pub(super) type Run = Vec<Arc<LogEntry>>;

impl Default for Told {
    fn default() -> Self {
        Self { logs: BTreeMap::new(), all: true, bytes: 0 }
    }
}

impl Hints<Told> {
    /// A log has something new.
    pub(super) fn of(&self, entry: &Arc<LogEntry>) {
        let mut told = self.lock();
        if told.all {
            return;
        }
        told.add(entry);
        drop(told);
        self.bell.notify_one();
    }

    /// What was told. From here on all is named, as far as there is room.
    pub(super) fn take(&self) -> Told {
        std::mem::replace(&mut *self.lock(), Told { all: false, ..Told::default() })
    }
}

impl Told {
    fn add(&mut self, entry: &Arc<LogEntry>) {
        let named = self.logs.len();
        let bytes = self.bytes.saturating_add(weight(entry));
        // What changes a group goes with more than itself.
        let fits = matches!(entry.kind, EntryKind::Message | EntryKind::Report) && bytes <= NEWS_BYTES;
        match self.logs.get_mut(&entry.conversation) {
            Some(run) => {
                let follows = run.last().is_some_and(|last| last.seq.next() == entry.seq);
                if fits && follows && run.len() < LOG_PAGE_MAX {
                    run.push(Arc::clone(entry));
                    self.bytes = bytes;
                } else {
                    let gone = run.drain(..).map(|entry| weight(&entry)).sum();
                    self.bytes = self.bytes.saturating_sub(gone);
                }
            }
            None if named < NEWS_MAX => {
                let run = if fits { vec![Arc::clone(entry)] } else { Vec::new() };
                self.bytes = if fits { bytes } else { self.bytes };
                self.logs.insert(entry.conversation.clone(), run);
            }
            None => *self = Self::default(),
        }
    }
}

fn weight(entry: &LogEntry) -> usize {
    entry.body_len().saturating_add(MESSAGE)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
pub(super) mod tests {
    use bytes::Bytes;
    use qpc_proto::{
        chain::{ChainValue, EntryContent},
        id::{ConversationId, Counter, Epoch, MessageId, Seq},
    };

    use super::*;

    pub(in super::super) fn entry(log: usize, seq: u64, kind: EntryKind, length: usize) -> Arc<LogEntry> {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&u64::try_from(log).unwrap().to_be_bytes());
        let conversation =
            ConversationName { domain: "a.example".parse().unwrap(), id: ConversationId::new(1, random) };
        Arc::new(LogEntry {
            chain: ChainValue::genesis(&conversation),
            conversation,
            seq: Seq(seq),
            stored_ms: 1,
            kind,
            epoch: Epoch(1),
            sender: None,
            counter: Counter(seq),
            id: MessageId::new(1, [1; 10]),
            content: EntryContent::Body(Bytes::from(vec![0; length])),
        })
    }

    fn listening() -> News {
        let news = News::default();
        news.take();
        news
    }

    /// What is told of each log, in the order of their numbers: the places of the messages.
    fn told(news: &News) -> Vec<Vec<u64>> {
        let told = news.take();
        assert!(!told.all);
        let places = |run: Run| run.iter().map(|entry| entry.seq.0).collect();
        told.logs.into_values().map(places).collect()
    }

    #[test]
    fn messages_are_told_as_they_follow_one_another_and_all_else_by_name() {
        use EntryKind::{Commit, Message, Proposal, Report};
        for (entries, expected) in [
            (&[(7, Message), (8, Report), (9, Message)][..], &[7, 8, 9][..]),
            (&[(7, Message), (9, Message)], &[]),
            (&[(7, Message), (7, Message)], &[]),
            (&[(7, Message), (8, Commit), (9, Message)], &[]),
            (&[(7, Proposal), (8, Message)], &[]),
        ] {
            let news = listening();
            entries.iter().for_each(|(seq, kind)| news.of(&entry(1, *seq, *kind, 10)));
            assert_eq!(told(&news), [expected], "{entries:?}");
            assert!(told(&news).is_empty(), "it is told once");
        }
    }

    #[test]
    fn a_log_has_a_page_of_messages_at_most() {
        let news = listening();
        let most = u64::try_from(LOG_PAGE_MAX).unwrap();
        (1..=most).for_each(|seq| news.of(&entry(1, seq, EntryKind::Message, 0)));
        assert_eq!(told(&news)[0].len(), LOG_PAGE_MAX);
        (1..=most + 1).for_each(|seq| news.of(&entry(1, seq, EntryKind::Message, 0)));
        assert_eq!(told(&news), [[0_u64; 0]]);
    }

    #[test]
    fn bytes_are_counted_over_all_logs_and_given_back() {
        let news = listening();
        let half = NEWS_BYTES / 2 - MESSAGE;
        news.of(&entry(1, 1, EntryKind::Message, half));
        news.of(&entry(2, 1, EntryKind::Message, half));
        assert_eq!(told(&news), [[1], [1]], "at the limit");
        news.of(&entry(1, 1, EntryKind::Message, half));
        news.of(&entry(2, 1, EntryKind::Message, half + 1));
        // The gap empties the first log's, and there is room again.
        news.of(&entry(1, 3, EntryKind::Message, 1));
        news.of(&entry(3, 1, EntryKind::Message, half));
        assert_eq!(told(&news), [vec![], vec![], vec![1]]);
    }

    #[test]
    fn beyond_so_many_logs_all_are_meant() {
        let news = listening();
        (0..NEWS_MAX).for_each(|log| news.of(&entry(log, 1, EntryKind::Message, 0)));
        news.of(&entry(0, 2, EntryKind::Message, 0));
        assert_eq!(told(&news).len(), NEWS_MAX);
        (0..=NEWS_MAX).for_each(|log| news.of(&entry(log, 1, EntryKind::Message, 0)));
        let told = news.take();
        assert!(told.all && told.logs.is_empty() && told.bytes == 0);
    }
}
