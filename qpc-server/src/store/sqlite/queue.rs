//! Verbs on their way through a thread: a bounded queue, an outcome, an answer.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use tokio::sync::oneshot;

use crate::store::{Reply, StoreFault, VerbError, tables::Tables};

/// A verb that waits, and the end by which it is answered.
pub(super) trait Job: Send {
    /// Runs the verb and keeps its outcome; a fault of the engine is given back as well.
    fn run(&mut self, tables: &mut dyn Tables) -> Result<(), StoreFault>;
    /// Gives the outcome.
    fn answer(self: Box<Self>);
    /// Gives a fault instead.
    fn refuse(self: Box<Self>, fault: StoreFault);
    /// About how many bytes it writes.
    fn bytes(&self) -> usize;
}

struct Verb<F, T, E> {
    verb: F,
    bytes: usize,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

/// A job and the reply that it will give.
pub(super) fn job<T, E, F>(bytes: usize, verb: F) -> (Box<dyn Job>, Reply<T, E>)
where
    T: Send + 'static,
    E: VerbError,
    F: FnMut(&mut dyn Tables) -> Result<T, E> + Send + 'static,
{
    let (sender, reply) = Reply::channel();
    (Box::new(Verb { verb, bytes, outcome: None, reply: sender }), reply)
}

impl<F, T, E> Job for Verb<F, T, E>
where
    T: Send,
    E: VerbError,
    F: FnMut(&mut dyn Tables) -> Result<T, E> + Send,
{
    fn run(&mut self, tables: &mut dyn Tables) -> Result<(), StoreFault> {
        let outcome = (self.verb)(tables);
        let fault = outcome.as_ref().err().and_then(VerbError::fault).cloned();
        self.outcome = Some(outcome);
        fault.map_or(Ok(()), Err)
    }

    fn answer(self: Box<Self>) {
        let outcome = self.outcome.unwrap_or_else(|| Err(StoreFault::Stopped.into()));
        // Who asked may have gone: the verb took effect all the same.
        drop(self.reply.send(outcome));
    }

    fn refuse(self: Box<Self>, fault: StoreFault) {
        drop(self.reply.send(Err(fault.into())));
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The entrance of a bounded queue, until it is closed.
pub(super) struct Entrance {
    sender: Mutex<Option<SyncSender<Box<dyn Job>>>>,
    waiting: AtomicU64,
}

impl Entrance {
    /// A queue of at most this many.
    pub(super) fn new(limit: usize) -> (Self, Receiver<Box<dyn Job>>) {
        let (sender, receiver) = sync_channel(limit);
        (Self { sender: Mutex::new(Some(sender)), waiting: AtomicU64::new(0) }, receiver)
    }

    /// Enters a job, or refuses it at once.
    pub(super) fn enter(&self, job: Box<dyn Job>) {
        // Held only for a try: the order of calls is the order of the queue.
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = sender.as_ref() else {
            return job.refuse(StoreFault::Stopped);
        };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        match sender.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => {
                self.left(1);
                job.refuse(StoreFault::Busy);
            }
            Err(TrySendError::Disconnected(job)) => {
                self.left(1);
                job.refuse(StoreFault::Stopped);
            }
        }
    }

    /// Jobs have been taken out.
    pub(super) fn left(&self, jobs: u64) {
        self.waiting.fetch_sub(jobs, Ordering::Relaxed);
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Lets no more in; what is inside is still taken out.
    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
