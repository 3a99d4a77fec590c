//! Fan-out: every committed entry is encoded once and offered to the sessions of its readers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use qpc_proto::{
    address::Domain,
    chain::{Digest, EntryContent, EntryKind, LogEntry},
    error::CloseCode,
    frame,
    id::DeviceId,
    v1::{self, answer},
};

use super::ephemeral::Ephemerals;
use crate::{
    clock::Clock,
    metrics::Metrics,
    registry::{Offer, Registry},
    remote::Remote,
    store::{Audience, CommitSink, Committed, HearersChanged, Waiting},
};

/// Told of what has become durable, after the commit: by the runtime, or by the store's thread.
pub(super) struct Publisher {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    abroad: Option<Arc<dyn Remote>>,
    ephemerals: Option<Arc<Ephemerals>>,
}

impl Publisher {
    pub(super) fn new(
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        (abroad, ephemerals): (Option<Arc<dyn Remote>>, Option<Arc<Ephemerals>>),
    ) -> Self {
        Self { registry, clock, metrics, abroad, ephemerals }
    }
}

impl CommitSink for Publisher {
    fn committed(&self, entries: Vec<Committed>) {
        // In whole milliseconds, as entries carry them: finer than anybody waits for.
        let now_ms = self.clock.unix_ms();
        for Committed { entry, audience, withheld_from, followers } in entries {
            if let (Some(abroad), Some(followers)) = (&self.abroad, followers) {
                followers.iter().for_each(|domain| abroad.news(domain, &entry));
            }
            let offer = offer(&entry);
            match &audience {
                Audience::Members(accounts) => {
                    let withheld = withheld_from.map(|account| (account, withheld(&entry)));
                    let withheld = withheld.as_ref().map(|(account, form)| (*account, form));
                    self.registry.offer(accounts, &offer, withheld);
                    self.metrics.enqueue.inc();
                    if entry.kind == EntryKind::Report {
                        self.metrics.failures_reported.inc();
                    }
                    self.metrics.enqueue_bytes.inc_by(body_len(&entry));
                    let waited = Duration::from_millis(now_ms.saturating_sub(entry.stored_ms));
                    self.metrics.send_to_delivery.observe(waited.as_secs_f64());
                }
                Audience::Device(account, device) => self.registry.offer_device(*account, *device, &offer),
            }
        }
    }

    fn queued(&self, waiting: Vec<(Domain, Waiting)>) {
        if let Some(abroad) = &self.abroad {
            waiting.into_iter().for_each(|(domain, waiting)| abroad.outgoing(&domain, waiting));
        }
    }

    fn devices_gone(&self, devices: &[DeviceId]) {
        self.registry.cut(devices, CloseCode::Revoked);
        if let Some(abroad) = &self.abroad {
            abroad.devices_gone();
        }
    }

    fn hearers_changed(&self, changed: &HearersChanged) {
        if let Some(ephemerals) = &self.ephemerals {
            ephemerals.hearers_changed(changed);
        }
    }
}

/// The frame by which an entry goes to its readers.
#[must_use]
pub fn entry_frame(entry: &LogEntry) -> Bytes {
    frame::encode(&v1::Answer { result: Some(answer::Result::Entry(entry.to_wire())) })
}

fn offer(entry: &LogEntry) -> Arc<Offer> {
    Arc::new(Offer { log: entry.conversation.clone(), seq: entry.seq, frame: entry_frame(entry) })
}

/// The form for a reader who has blocked the sender: the chain goes on, the body is not there.
fn withheld(entry: &LogEntry) -> Arc<Offer> {
    let content = match &entry.content {
        EntryContent::Body(body) => EntryContent::Removed(Digest::of(body)),
        removed @ EntryContent::Removed(_) => removed.clone(),
    };
    offer(&LogEntry { content, ..entry.clone() })
}

fn body_len(entry: &LogEntry) -> u64 {
    u64::try_from(entry.body_len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use qpc_proto::{
        address::Domain,
        chain::{ChainValue, EntryKind},
        id::{AccountId, ConversationId, ConversationName, Counter, Epoch, MessageId, Seq},
    };

    use super::*;
    use crate::{
        clock::SystemClock,
        policy::limits::SessionLimits,
        registry::{Line, News},
    };

    struct NoLine;

    impl Line for NoLine {
        fn cut(&self, _: CloseCode) {}
    }

    fn entry() -> LogEntry {
        let conversation =
            ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(1, [1; 10]) };
        let chain = ChainValue::genesis(&conversation);
        let mut entry = LogEntry {
            conversation,
            seq: Seq(1),
            kind: EntryKind::Message,
            epoch: Epoch(0),
            sender: None,
            counter: Counter(1),
            id: MessageId::new(1, [2; 10]),
            stored_ms: 1,
            chain,
            content: EntryContent::Body(Bytes::from_static(b"hello")),
        };
        entry.chain = chain.after(&entry.header());
        entry
    }

    fn decoded(frame: &Bytes) -> LogEntry {
        match v1::Answer::decode(&frame[4..]).unwrap().result {
            Some(answer::Result::Entry(entry)) => LogEntry::parse(entry).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Invariant 4: a reader whose block withholds a body sees the same header, digest and chain.
    #[tokio::test]
    async fn invariant_4_all_readers_see_one_chain_and_a_blocker_no_body() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let registry = Registry::new(SessionLimits::default(), Arc::clone(&metrics));
        let (alice, bob) = (AccountId::new(1, [1; 10]), AccountId::new(1, [2; 10]));
        let sessions =
            [alice, bob].map(|account| registry.enter(account, DeviceId::new(1, *b"0123456789"), Box::new(NoLine)));
        let [alices, bobs] = sessions.each_ref().map(|session| session.subscribe(false));
        let publisher =
            Publisher::new(Arc::clone(&registry), Arc::new(SystemClock), Arc::clone(&metrics), (None, None));
        let entry = Arc::new(entry());
        publisher.committed(vec![Committed {
            entry: Arc::clone(&entry),
            audience: Audience::Members([alice, bob].into()),
            withheld_from: Some(bob),
            followers: None,
        }]);
        let mut seen = Vec::new();
        for subscription in [&alices, &bobs] {
            let News::Offers { offers, .. } = subscription.news().await else { panic!() };
            seen.push(decoded(&offers[0].frame));
        }
        assert!(seen[0] == *entry);
        assert!(matches!(seen[1].content, EntryContent::Removed(_)));
        assert!(seen.iter().all(|entry| entry.follows(&ChainValue::genesis(&entry.conversation))));
        assert_eq!((metrics.enqueue.get(), metrics.enqueue_bytes.get()), (1, 5));
    }
}
