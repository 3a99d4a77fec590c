//! Verbs on their way through a thread: a bounded queue, an outcome, an answer. The same for every database.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use tokio::sync::oneshot;

use crate::store::{Reply, StoreFault, VerbError};

/// What a database holds, as its verbs see it within one transaction.
pub(crate) trait Schema: 'static {
    /// The rows.
    type View<'a>: ?Sized;
}

/// A verb that waits, and the end by which it is answered.
pub(crate) trait Job<S: Schema>: Send {
    /// Runs the verb and keeps its outcome; a fault of the engine is given back as well.
    fn run<'a>(&mut self, view: &'a mut S::View<'a>) -> Result<(), StoreFault>;
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
pub(crate) fn job<S, T, E, F>(bytes: usize, verb: F) -> (Box<dyn Job<S>>, Reply<T, E>)
where
    S: Schema,
    T: Send + 'static,
    E: VerbError,
    F: for<'a> FnMut(&'a mut S::View<'a>) -> Result<T, E> + Send + 'static,
{
    let (sender, reply) = Reply::channel();
    (Box::new(Verb { verb, bytes, outcome: None, reply: sender }), reply)
}

impl<S, F, T, E> Job<S> for Verb<F, T, E>
where
    S: Schema,
    T: Send,
    E: VerbError,
    F: for<'a> FnMut(&'a mut S::View<'a>) -> Result<T, E> + Send,
{
    fn run<'a>(&mut self, view: &'a mut S::View<'a>) -> Result<(), StoreFault> {
        let outcome = (self.verb)(view);
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
pub(super) struct Entrance<S> {
    sender: Mutex<Option<SyncSender<Box<dyn Job<S>>>>>,
    waiting: AtomicU64,
}

impl<S: Schema> Entrance<S> {
    /// A queue of at most this many.
    pub(super) fn new(limit: usize) -> (Self, Receiver<Box<dyn Job<S>>>) {
        let (sender, receiver) = sync_channel(limit);
        (Self { sender: Mutex::new(Some(sender)), waiting: AtomicU64::new(0) }, receiver)
    }

    /// Enters a job, or refuses it at once.
    pub(super) fn enter(&self, job: Box<dyn Job<S>>) {
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
