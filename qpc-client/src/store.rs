//! What this home knows, durable and encrypted: one SQLCipher database, one thread that has it.
//!
//! Work comes as closures over the open transaction. What arrives while a commit is under way shares the next
//! one, each in a savepoint of its own, and is answered when that commit is on the disk: so that a thousand
//! messages in a row are a few dozen commits. What one closure does is done whole or not at all.

pub(crate) mod alarm;
pub(crate) mod answered;
pub(crate) mod archive;
pub(crate) mod asked;
pub(crate) mod attachment;
pub(crate) mod change;
pub(crate) mod contact;
pub(crate) mod continuation;
pub(crate) mod conversation;
mod details;
pub(crate) mod due;
pub(crate) mod ending;
pub(crate) mod entry;
pub(crate) mod founding;
pub(crate) mod group_link;
pub(crate) mod history;
pub(crate) mod identity;
pub(crate) mod join_due;
pub(crate) mod key_packages;
pub(crate) mod lifetime;
pub(crate) mod lost;
pub(crate) mod message;
pub(crate) mod missed;
pub(crate) mod muted;
pub(crate) mod orphan;
pub(crate) mod outbox;
pub(crate) mod own_change;
pub(crate) mod pending;
pub(crate) mod picture;
mod pin;
pub(crate) mod poll;
mod reaction;
pub(crate) mod receipt;
pub(crate) mod release;
pub(crate) mod report;
pub(crate) mod reported;
pub(crate) mod restore;
pub(crate) mod returned;
mod revision;
mod row;
pub(crate) mod scheduled;
pub(crate) mod schema;
pub(crate) mod search;
pub(crate) mod tell;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod trace;
pub(crate) mod undescribed;
pub(crate) mod unheard;
pub(crate) mod unjoined;
pub(crate) mod upload;
pub(crate) mod verification;
pub(crate) mod welcome_tree;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

pub(crate) use self::{conversation::Local, revision::DELETED_KIND};
use crate::home::HomeKey;

/// Closures that may wait for the thread, each with a caller; one more is refused.
const JOBS_MAX: usize = 16_384;
/// Closures that share one commit, at most.
const BATCH_MAX: usize = 64;

/// A fault of the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the key does not open the home's database")]
    WrongKey,
    #[error("the home's database was written by a later version")]
    Newer,
    #[error("the home's database failed: {0}")]
    Engine(#[from] rusqlite::Error),
    #[error("the home's database holds something impossible: {0}")]
    Corrupt(&'static str),
    #[error("the home is closed")]
    Closed,
    #[error("too much waits for the home's database")]
    Busy,
    #[error(transparent)]
    Randomness(#[from] crate::fresh::NoRandomness),
}

type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Job = Box<dyn FnOnce(&Transaction<'_>) -> Result<Finish, StoreError> + Send>;

/// The handle. Clones share the thread, whose end the last of them awaits.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    // Goes first: the thread ends when all of these are gone.
    jobs: mpsc::Sender<Job>,
    _thread: Arc<Ended>,
    /// Where the database is, and its key; `None` for one in memory.
    apart: Option<Arc<Apart>>,
}

/// What a further connection needs.
struct Apart {
    path: PathBuf,
    key: HomeKey,
}

impl fmt::Debug for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apart").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Waits for the thread: a process that exits while it still closes the database takes the
/// cryptography from under it, and dies of that.
#[derive(Debug)]
struct Ended(Option<thread::JoinHandle<()>>);

impl Drop for Ended {
    fn drop(&mut self) {
        // The last handle may go with the last job, in the thread itself.
        if let Some(thread) = self.0.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // One that panicked has ended, too.
            drop(thread.join());
        }
    }
}

impl Store {
    /// Opens the database, or makes it.
    pub(crate) fn open(path: &Path, key: &HomeKey) -> Result<Self, StoreError> {
        let connection = schema::open(path, key)?;
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let serving = thread::Builder::new().name("qpc-store".into()).spawn(move || serve(connection, queue));
        let thread = serving.map_err(|_| StoreError::Closed)?;
        Ok(Self {
            jobs,
            _thread: Arc::new(Ended(Some(thread))),
            apart: Some(Arc::new(Apart { path: path.to_owned(), key: key.clone() })),
        })
    }

    /// A home in memory, which a task has instead of a thread: it takes a moment before it does a transaction and
    /// another before it tells of it, and may be aborted in either.
    #[cfg(feature = "simulation")]
    pub(crate) fn simulated(
        disk: Arc<std::sync::Mutex<Connection>>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        use crate::fresh::jitter;
        /// Longest of the two moments.
        const MOMENT: std::time::Duration = std::time::Duration::from_millis(4);
        let (jobs, mut queue) = mpsc::channel(JOBS_MAX);
        let task = async move {
            while let Some(first) = queue.recv().await {
                tokio::time::sleep(jitter(MOMENT)).await;
                let done = {
                    let mut connection = disk.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    Done::of(&mut connection, first, &mut queue)
                };
                tokio::time::sleep(jitter(MOMENT)).await;
                done.tell();
            }
        };
        (Self { jobs, _thread: Arc::new(Ended(None)), apart: None }, task)
    }

    /// Reads by a connection of its own, which ends with it: where a part of the database is damaged, SQLCipher lets the
    /// connection that came upon it do nothing more.
    pub(crate) async fn read_apart<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        let Some(apart) = self.apart.clone() else { return self.run(work).await };
        let read = tokio::task::spawn_blocking(move || {
            let mut connection = schema::open_apart(&apart.path, &apart.key)?;
            let transaction = connection.transaction().map_err(StoreError::from)?;
            work(&transaction)
        });
        read.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `work` in a transaction and answers when that is on the disk. An error undoes what `work`
    /// has done. Work takes effect in the order in which the futures are first polled.
    pub(crate) async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        self.run_and(work, |_| {}).await
    }

    /// As [`Self::run`]; `after` is called once the result is on the disk, even where nobody waits for
    /// it any more.
    pub(crate) async fn run_and<T, E, F, A>(&self, work: F, after: A) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let (reply, answer) = oneshot::channel::<Result<T, E>>();
        let job: Job = Box::new(move |transaction| {
            transaction.execute_batch("SAVEPOINT work")?;
            let outcome = work(transaction);
            transaction.execute_batch(if outcome.is_ok() {
                "RELEASE work"
            } else {
                "ROLLBACK TO work; RELEASE work"
            })?;
            Ok(Box::new(move |committed: Result<(), StoreError>| {
                let outcome = outcome.and_then(|value| committed.map(|()| value).map_err(E::from));
                if let Ok(value) = &outcome {
                    after(value);
                }
                // Whoever asked may have lost interest.
                drop(reply.send(outcome));
            }) as Finish)
        });
        // Nobody waits for room: who does keeps a place while nothing polls it, and what would may be waiting behind it.
        self.jobs.try_send(job).map_err(|unsent| match unsent {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// The thread: one transaction after the other, until nobody can ask any more.
fn serve(mut connection: Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        Done::of(&mut connection, first, &mut queue).tell();
    }
}

/// A transaction that has ended, and who waits to hear of it.
struct Done {
    committed: Result<(), rusqlite::Error>,
    finishes: Vec<Finish>,
}

impl Done {
    /// Does a job and those that wait behind it, in one transaction. Where there is none, the askers see that their
    /// answers will never come.
    fn of(connection: &mut Connection, first: Job, queue: &mut mpsc::Receiver<Job>) -> Self {
        let mut finishes = Vec::new();
        let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(error) => {
                tracing::error!(%error, "the home's database does not begin a transaction");
                return Self { committed: Err(error), finishes };
            }
        };
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job(&transaction) {
                Ok(finish) => finishes.push(finish),
                Err(error) => tracing::error!(%error, "a savepoint of the home's database failed"),
            }
            if finishes.len() < BATCH_MAX {
                next = queue.try_recv().ok();
            }
        }
        let committed = transaction.commit();
        if let Err(error) = &committed {
            tracing::error!(%error, "a commit of the home's database failed");
        }
        Self { committed, finishes }
    }

    /// Answers those who asked.
    fn tell(self) {
        for finish in self.finishes {
            finish(match &self.committed {
                Ok(()) => Ok(()),
                Err(_) => Err(StoreError::Corrupt("a transaction that does not commit")),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count(store: &Store) -> Result<i64, StoreError> {
        store.run(|tx| Ok(tx.query_one("SELECT count(*) FROM alarm", [], |row| row.get(0))?)).await
    }

    #[tokio::test]
    async fn failed_work_leaves_no_trace_and_its_neighbours_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let good = store.run(|tx| alarm::raise(tx, "one"));
        let bad = store.run(|tx| {
            alarm::raise(tx, "two")?;
            Err::<bool, _>(StoreError::Corrupt("on purpose"))
        });
        let (good, bad) = tokio::join!(good, bad);
        assert!(good.is_ok() && bad.is_err());
        assert_eq!(count(&store).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_last_handle_waits_until_the_database_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.db");
        let store = Store::open(&path, &HomeKey::for_tests()).unwrap();
        store.run(|tx| alarm::raise(tx, "one")).await.unwrap();
        let log = dir.path().join("client.db-wal");
        drop(store.clone());
        assert!(log.exists(), "another handle keeps it open");
        drop(store);
        // The engine removes its log when it closes the database, which is the thread's last act.
        assert!(!log.exists(), "closed before the handle was gone");
    }

    #[tokio::test]
    async fn work_is_done_in_the_order_in_which_it_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let work = (0..1_000).map(|number: i64| {
            store.run(move |tx| {
                tx.execute("INSERT INTO alarm (text, raised_ms) VALUES (?1, ?2)", (number.to_string(), number))?;
                Ok::<i64, StoreError>(tx.query_one("SELECT count(*) FROM alarm", [], |row| row.get(0))?)
            })
        });
        let done = futures_util::future::join_all(work).await;
        let order: Vec<i64> = done.into_iter().map(Result::unwrap).collect();
        assert_eq!(order, (1..=1_000).collect::<Vec<i64>>());
    }

    /// A command that waits while something else of the same task asks: what was asked first is not in the way.
    #[tokio::test]
    async fn who_is_not_polled_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let (began, begun) = std::sync::mpsc::sync_channel(1);
        let (go, held) = std::sync::mpsc::sync_channel::<()>(1);
        let holding = store.run(move |_| {
            began.send(()).unwrap();
            held.recv().unwrap();
            Ok::<_, StoreError>(())
        });
        tokio::pin!(holding);
        assert!(futures_util::poll!(&mut holding).is_pending());
        begun.recv().unwrap();
        // The thread is held up, and a thousand wait that nobody looks at any more.
        let mut waiting: Vec<_> = (0..1_000).map(|_| Box::pin(store.run(|_| Ok::<_, StoreError>(())))).collect();
        for job in &mut waiting {
            assert!(futures_util::poll!(job).is_pending());
        }
        go.send(()).unwrap();
        assert!(store.run(|tx| alarm::raise(tx, "asked last")).await.unwrap());
        futures_util::future::join_all(waiting).await.into_iter().for_each(|done| done.unwrap());
        holding.await.unwrap();
    }

    #[tokio::test]
    async fn one_too_many_is_refused_and_the_others_are_done() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let (go, held) = std::sync::mpsc::sync_channel::<()>(1);
        let (began, begun) = std::sync::mpsc::sync_channel(1);
        let holding = Box::pin(store.run(move |_| {
            began.send(()).unwrap();
            held.recv().unwrap();
            Ok::<_, StoreError>(())
        }));
        let mut all = vec![holding];
        assert!(futures_util::poll!(&mut all[0]).is_pending());
        begun.recv().unwrap();
        let mut waiting: Vec<_> = (0..JOBS_MAX).map(|_| Box::pin(store.run(|_| Ok::<_, StoreError>(())))).collect();
        for job in &mut waiting {
            assert!(futures_util::poll!(job).is_pending());
        }
        assert!(matches!(store.run(|_| Ok::<_, StoreError>(())).await, Err(StoreError::Busy)));
        go.send(()).unwrap();
        all.remove(0).await.unwrap();
        futures_util::future::join_all(waiting).await.into_iter().for_each(|done| done.unwrap());
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_reopening_and_another_key_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.db");
        let store = Store::open(&path, &HomeKey::for_tests()).unwrap();
        store.run(|tx| alarm::raise(tx, "one")).await.unwrap();
        drop(store);
        let other = HomeKey::of_bytes([8; 32]);
        assert!(matches!(Store::open(&path, &other), Err(StoreError::WrongKey)));
        let store = Store::open(&path, &HomeKey::for_tests()).unwrap();
        assert_eq!(count(&store).await.unwrap(), 1);
        let raw = std::fs::read(&path).unwrap();
        assert!(!raw.starts_with(b"SQLite format 3"), "the file is encrypted");
    }
}
