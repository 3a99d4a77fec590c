//! The message path: what a device sends into a log, and what it reads from one.
//!
//! A verb enters the store's queue when it is called, so the order of calls is the order of
//! entries (invariant 11), and its answer comes when the entry is durable (invariant 1). Bodies are
//! opaque here: judged by their length, never parsed, logged or measured beyond it (invariant 9).

mod book;
mod depth;
mod ephemeral;
mod publish;

use std::{sync::Arc, time::Duration};

use qpc_proto::{
    chain::EntryKind,
    id::{ConversationName, Epoch, Seq},
    limits::{BODY_MAX, LOG_PAGE_BYTES_MAX, LOG_PAGE_MAX},
    report::Report,
    v1,
};

use self::{book::Book, depth::Depth, publish::Publisher};
pub use self::{depth::DepthShare, ephemeral::Ephemerals, publish::entry_frame};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{self, Clock},
    field::{self, FieldError},
    metrics::{
        Metrics,
        labels::{Presence, Queue},
    },
    policy::limits::SessionLimits,
    registry::Registry,
    remote::Remote,
    store::{
        Actor, Append, AppendError, Appended, CommitSink, LogPage, LogPlace, Position, ReadError, ReadLog, Refusal,
        Reply, Store, StoreFault,
    },
};

/// Sends, reads, follows. See the module's text.
pub struct Delivery {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    depth: Arc<Depth>,
    book: Book,
}

impl Delivery {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        limits: &SessionLimits,
    ) -> Self {
        let book = Book::new(limits.cursors_early, limits.cursors_noted);
        Self { store, registry, clock, metrics, depth: Arc::default(), book }
    }

    /// What the store is to tell of every committed entry ([`Store::set_sink`]), which tells other domains of theirs.
    #[must_use]
    pub fn sink(&self, abroad: Option<Arc<dyn Remote>>, ephemerals: Option<Arc<Ephemerals>>) -> Arc<dyn CommitSink> {
        let (registry, clock) = (Arc::clone(&self.registry), Arc::clone(&self.clock));
        Arc::new(Publisher::new(registry, clock, Arc::clone(&self.metrics), (abroad, ephemerals)))
    }

    /// Stores a message or a failure report.
    ///
    /// # Errors
    /// [`FieldError`] at once; the reply carries the store's judgement.
    pub fn send(&self, actor: &Actor, send: v1::Send) -> Result<Reply<Appended, AppendError>, FieldError> {
        let append = self.parse(send)?;
        if append.kind == EntryKind::Proposal {
            return Err(FieldError::Malformed("kind"));
        }
        Ok(self.store.append(actor, append))
    }

    /// A message, proposal or report as its sender wants it stored. Who stores a proposal judges it first.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(&self, send: v1::Send) -> Result<Append, FieldError> {
        let kind = match EntryKind::from_number(send.kind) {
            Some(kind @ (EntryKind::Message | EntryKind::Proposal | EntryKind::Report)) => kind,
            _ => return Err(FieldError::Malformed("kind")),
        };
        if send.leave && kind != EntryKind::Proposal {
            return Err(FieldError::Malformed("leave"));
        }
        if send.body.is_empty() {
            return Err(FieldError::Malformed("body"));
        }
        field::at_most(send.body.len(), BODY_MAX, "body")?;
        let reports = match kind {
            // Who made it the connection says, and whether it is true the members look at.
            EntryKind::Report => {
                let report = Report::decode(send.body.clone()).map_err(|_| FieldError::Malformed("body"))?;
                Some(report.seq)
            }
            _ => None,
        };
        Ok(Append {
            conversation: field::conversation(send.conversation.as_ref())?,
            id: field::message_id(&send.message_id)?,
            counter: field::counter(send.counter)?,
            epoch: Epoch(send.epoch),
            kind,
            body: send.body,
            leave: send.leave,
            group: None,
            reports,
            now_ms: self.clock.unix_ms(),
        })
    }

    /// One page of history.
    ///
    /// # Errors
    /// [`FieldError`] at once; the reply carries the store's judgement.
    pub fn read(&self, actor: &Actor, read: &v1::ReadLog) -> Result<Reply<LogPage, ReadError>, FieldError> {
        let limit = match usize::try_from(read.limit) {
            Ok(1..=LOG_PAGE_MAX) => usize::try_from(read.limit).unwrap_or(LOG_PAGE_MAX),
            _ => LOG_PAGE_MAX,
        };
        let log = field::conversation(read.conversation.as_ref())?;
        Ok(self
            .store
            .read_log(actor, ReadLog { log, after: Seq(read.after_seq), limit, max_bytes: LOG_PAGE_BYTES_MAX }))
    }

    /// One page for a reader that is behind; counted.
    pub fn fetch(&self, actor: &Actor, read: ReadLog) -> Reply<LogPage, ReadError> {
        self.metrics.fetch.inc();
        self.store.read_log(actor, read)
    }

    /// Where logs stand for a reader that begins to follow them.
    pub fn positions(
        &self,
        actor: &Actor,
        cursors: Arc<[(ConversationName, Seq)]>,
    ) -> Reply<Vec<Option<Position>>, Refusal> {
        self.store.positions(actor, cursors)
    }

    /// A device has acknowledged a log up to an entry, `entries` more than before. It is written down later.
    pub fn acknowledged(&self, actor: &Actor, log: (&ConversationName, LogPlace), seq: Seq, entries: u64) {
        self.book.note(actor.into(), log, seq, entries);
    }

    /// Writes down what is acknowledged every so often, or sooner where it is much, until the server stops.
    pub async fn keep_cursors(&self, every: Duration, stopping: CancellationToken) {
        self.book.keep(&*self.store, every, stopping).await;
    }

    /// Writes down what is acknowledged now.
    pub async fn write_cursors(&self) {
        self.book.write_all(&*self.store).await;
    }

    /// Asks whether the device still exists, and notes that it is here. A session does so after it
    /// is registered: a revocation before that moment is seen here, one after it cuts the session.
    pub fn arrived(&self, actor: &Actor) -> Reply<(), Refusal> {
        self.store.touch_device(actor, self.clock.unix_ms())
    }

    /// Whether a device that was last here on this day is to be noted anew.
    #[must_use]
    pub fn is_due(&self, last_seen_ms: u64) -> bool {
        last_seen_ms < clock::day(self.clock.unix_ms())
    }

    /// A reader's share in the figure of undelivered entries, until it is dropped.
    #[must_use]
    pub fn depth_share(&self) -> DepthShare {
        DepthShare::new(Arc::clone(&self.depth))
    }

    /// Sets the metrics of undelivered entries and of the store's queue, over devices seen within `seen`.
    ///
    /// # Errors
    /// The store's.
    pub async fn measure(&self, seen: Duration) -> Result<(), StoreFault> {
        let now_ms = self.clock.unix_ms();
        // Devices are noted by the day. A time that is not would be another at every look, and the store would
        // count all cursors anew for each.
        let since = clock::day(now_ms.saturating_sub(u64::try_from(seen.as_millis()).unwrap_or(u64::MAX)));
        let figures = self.store.figures(since, now_ms).await?;
        let (noted, ahead) = self.book.waiting();
        let (online, offline) = self.depth.split(figures.undelivered.saturating_sub(ahead));
        self.metrics.set_queue(Queue::Cursors, u64::try_from(noted).unwrap_or(u64::MAX));
        self.metrics.set_depth(Presence::Online, online);
        self.metrics.set_depth(Presence::Offline, offline);
        let age = figures.oldest_ms.map_or(0, |oldest| now_ms.saturating_sub(oldest));
        self.metrics.delivery_oldest.set(Duration::from_millis(age).as_secs_f64());
        self.metrics.set_queue(Queue::StoreWriter, figures.queue);
        self.metrics.restore.set_awaited(self.store.awaited().await?);
        Ok(())
    }
}

/// One page as it goes over the wire.
#[must_use]
pub fn page_to_wire(page: &LogPage) -> v1::LogPage {
    v1::LogPage {
        entries: page.entries.iter().map(qpc_proto::chain::LogEntry::to_wire).collect(),
        head_seq: page.head.0,
        floor_seq: page.floor.0,
        floor_chain: page.floor_chain.to_bytes(),
    }
}

// Room for headers: an entry's are below 500 bytes, and a page has at most 100 entries.
const _: () =
    assert!(LOG_PAGE_BYTES_MAX + qpc_proto::limits::HANDSHAKE_BODY_MAX < qpc_proto::limits::FRAME_MAX * 4 / 5);

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::float_cmp, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::store::{
        conformance::{
            Backend,
            world::{World, inbox_of},
        },
        sqlite::{DbKey, Options, SqliteStore},
    };

    struct Folder(tempfile::TempDir);

    impl Backend for Folder {
        fn open(&self) -> Arc<dyn Store> {
            let options = Options { figures_refresh: Duration::from_secs(3600), ..Options::default() };
            let key = DbKey::parse(&"5a".repeat(32)).unwrap();
            Arc::new(SqliteStore::open(&self.0.path().join("qpc.db"), key, options).unwrap())
        }

        fn persistent(&self) -> bool {
            true
        }
    }

    #[derive(Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn unix_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// What only a count can tell, the age of the oldest entry, stays as it was where nothing is counted.
    #[test]
    fn figures_that_are_looked_at_again_are_not_counted_again() {
        let world = World::new(&Folder(tempfile::tempdir().unwrap()));
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let talk = world.friends(&alice, &bob);
        let (clock, metrics) = (Arc::new(Hands::default()), Arc::new(Metrics::new().unwrap()));
        let registry = Registry::new(SessionLimits::default(), Arc::clone(&metrics));
        let delivery = Delivery::new(
            Arc::clone(&world.store),
            registry,
            clock.clone(),
            Arc::clone(&metrics),
            &SessionLimits::default(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let look = |now_ms: u64| {
            clock.0.store(now_ms, Ordering::Relaxed);
            runtime.block_on(delivery.measure(Duration::from_secs(30 * 24 * 60 * 60))).unwrap();
            metrics.delivery_oldest.get()
        };
        let first_ms = world.now_ms.get();
        assert_eq!(look(first_ms + 1_000), 1.0);
        world.now_ms.set(first_ms + 5_000);
        world.say(&alice, &talk, "later");
        // A count would find that the oldest has gone, and give the age of this one.
        for (reader, log) in [(&alice, inbox_of(&alice)), (&bob, inbox_of(&bob)), (&alice, talk.clone()), (&bob, talk)]
        {
            world.acknowledge(reader, &log, 1);
        }
        assert_eq!(look(first_ms + 11_000), 11.0);
    }
}
