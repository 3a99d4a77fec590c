//! Sessions that listen, without connections: the server's registry, its publisher, and for each session a
//! task that waits for news as a sync call does. For the benches of fan-out.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use qpc_proto::{
    chain::LogEntry,
    error::CloseCode,
    id::{AccountId, DeviceId},
};
use qpc_server::{
    clock::Clock,
    delivery::Delivery,
    metrics::Metrics,
    policy::limits::SessionLimits,
    registry::{Line, News, Registration, Registry},
    store::{Audience, CommitSink, Committed, memory::MemoryStore},
};
use tokio::{
    runtime::Runtime,
    task::{JoinSet, yield_now},
};

use crate::specimen::{self, NOW_MS};

/// Nobody is at the other end.
struct NoLine;

impl Line for NoLine {
    fn cut(&self, _: CloseCode) {}
}

struct FixedClock;

impl Clock for FixedClock {
    fn unix_ms(&self) -> u64 {
        NOW_MS
    }
}

/// See the module's text. Each session is of an account of its own.
pub struct Listeners {
    sink: Arc<dyn CommitSink>,
    entry: Arc<LogEntry>,
    audience: Arc<[AccountId]>,
    /// Offers that were taken, by all of them.
    taken: Arc<AtomicU64>,
    /// Offers that were made.
    made: u64,
    // The tasks end before their registrations and their runtime.
    _tasks: JoinSet<()>,
    _sessions: Vec<Arc<Registration>>,
    runtime: Runtime,
}

impl Listeners {
    /// So many, all of whom wait.
    ///
    /// # Errors
    /// When there is no runtime.
    pub fn new(number: u32) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let metrics = Arc::new(Metrics::new()?);
        let registry = Registry::new(SessionLimits::default(), Arc::clone(&metrics));
        let store = Arc::new(MemoryStore::new());
        let sink =
            Delivery::new(store, Arc::clone(&registry), Arc::new(FixedClock), metrics, &SessionLimits::default())
                .sink(None, None);
        let audience: Arc<[AccountId]> = (0..number).map(account).collect();
        let taken = Arc::new(AtomicU64::new(0));
        let (mut tasks, mut sessions) = (JoinSet::new(), Vec::new());
        for account in audience.iter() {
            let session = Arc::new(registry.enter(*account, DeviceId::new(1, [1; 10]), Box::new(NoLine)));
            tasks.spawn_on(listen(Arc::clone(&session), Arc::clone(&taken)), runtime.handle());
            sessions.push(session);
        }
        let entry = Arc::new(specimen::log_entry(200)?);
        let mut all = Self { sink, entry, audience, taken, made: 0, _tasks: tasks, _sessions: sessions, runtime };
        // Until all have opened their queues: an offer before that is not taken.
        while all.taken.load(Ordering::Relaxed) < u64::from(number) {
            all.runtime.block_on(yield_now());
        }
        all.made = u64::from(number);
        Ok(all)
    }

    /// One message is committed and offered to all, which wakes them; they have not run yet.
    pub fn wake(&mut self) {
        let committed = Committed {
            entry: Arc::clone(&self.entry),
            audience: Audience::Members(Arc::clone(&self.audience)),
            withheld_from: None,
            followers: None,
        };
        // Within the runtime, as the server does it (`store::Aftermath`).
        self.runtime.block_on(async { self.sink.committed(vec![committed]) });
        self.made = self.made.saturating_add(u64::try_from(self.audience.len()).unwrap_or_default());
    }

    /// Until all have taken what was offered, and wait again.
    pub fn settle(&self) {
        self.runtime.block_on(async {
            while self.taken.load(Ordering::Relaxed) < self.made {
                yield_now().await;
            }
        });
    }
}

fn account(number: u32) -> AccountId {
    let mut tail = [0; 10];
    tail.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    AccountId::new(1, tail)
}

async fn listen(session: Arc<Registration>, taken: Arc<AtomicU64>) {
    let news = session.subscribe(false);
    // It listens from here.
    taken.fetch_add(1, Ordering::Relaxed);
    while let News::Offers { offers, .. } = news.news().await {
        taken.fetch_add(u64::try_from(offers.len()).unwrap_or_default(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_takes_every_message_once() {
        let mut listeners = Listeners::new(70).unwrap();
        for message in 1..=3 {
            listeners.wake();
            assert_eq!(listeners.taken.load(Ordering::Relaxed), 70 * message);
            listeners.settle();
            assert_eq!(listeners.taken.load(Ordering::Relaxed), 70 * (message + 1));
        }
    }
}
