//! The bounded queue of the readers. A verb wakes one thread, the one that rested last: its page cache is the
//! warmest, and the others sleep on.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, Thread},
};

use super::queue::{Job, Schema};
use crate::store::StoreFault;

/// Verbs that wait to read, and threads that wait for them.
pub(super) struct Readings<S> {
    state: Mutex<State<S>>,
    limit: usize,
}

struct State<S> {
    jobs: VecDeque<Box<dyn Job<S>>>,
    /// In the order in which they began to rest.
    resting: Vec<Thread>,
    closed: bool,
}

impl<S: Schema> Readings<S> {
    /// A queue of at most this many.
    pub(super) fn new(limit: usize) -> Self {
        let state = State { jobs: VecDeque::new(), resting: Vec::new(), closed: false };
        Self { state: Mutex::new(state), limit }
    }

    /// Enters a job, or refuses it at once.
    pub(super) fn enter(&self, job: Box<dyn Job<S>>) {
        let mut state = self.lock();
        let refusal = if state.closed {
            StoreFault::Stopped
        } else if state.jobs.len() >= self.limit {
            StoreFault::Busy
        } else {
            state.jobs.push_back(job);
            // Where nobody rests, whoever works looks here before resting.
            let rested = state.resting.pop();
            drop(state);
            return rested.iter().for_each(Thread::unpark);
        };
        drop(state);
        job.refuse(refusal);
    }

    /// The next job; `None` once the queue is closed and empty.
    pub(super) fn next(&self) -> Option<Box<dyn Job<S>>> {
        let me = thread::current();
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.resting.push(me.clone());
            drop(state);
            thread::park();
            state = self.lock();
            // A thread may wake for no reason.
            state.resting.retain(|rested| rested.id() != me.id());
        }
    }

    /// Lets no more in; what is inside is still taken out.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let resting = std::mem::take(&mut state.resting);
        drop(state);
        resting.iter().for_each(Thread::unpark);
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    };

    use super::{super::queue::job, *};
    use crate::store::Reply;

    /// Verbs that look at nothing.
    struct Nothing;

    impl Schema for Nothing {
        type View<'a> = ();
    }

    type Readings = super::Readings<Nothing>;

    fn verb(number: usize) -> (Box<dyn Job<Nothing>>, Reply<usize, StoreFault>) {
        job(0, move |_| Ok(number))
    }

    fn refused(readings: &Readings) -> StoreFault {
        let (job, mut reply) = verb(0);
        readings.enter(job);
        match futures_util::FutureExt::now_or_never(&mut reply) {
            Some(Err(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_verb_too_many_is_refused_and_so_is_one_that_comes_late() {
        let readings = Readings::new(2);
        let waiting: Vec<_> = (0..2).map(verb).collect();
        let replies: Vec<_> = waiting.into_iter().map(|(job, reply)| (readings.enter(job), reply)).collect();
        assert_eq!(refused(&readings), StoreFault::Busy);
        readings.close();
        assert_eq!(refused(&readings), StoreFault::Stopped);
        assert!(readings.next().is_some() && readings.next().is_some() && readings.next().is_none());
        drop(replies);
    }

    /// Takes jobs until the end, and says each time that it has.
    fn taker(
        readings: &Arc<Readings>,
        taken: &Arc<AtomicUsize>,
        told: SyncSender<thread::ThreadId>,
    ) -> thread::JoinHandle<()> {
        let (readings, taken) = (Arc::clone(readings), Arc::clone(taken));
        thread::spawn(move || {
            while readings.next().is_some() {
                taken.fetch_add(1, Ordering::SeqCst);
                told.send(thread::current().id()).unwrap();
            }
        })
    }

    #[test]
    fn every_verb_is_taken_once_however_many_threads_rest() {
        let (readings, taken) = (Arc::new(Readings::new(100_000)), Arc::new(AtomicUsize::new(0)));
        let (told, tells) = sync_channel(8);
        let takers: Vec<_> = (0..4).map(|_| taker(&readings, &taken, told.clone())).collect();
        let askers = (0..4).map(|_| {
            let readings = Arc::clone(&readings);
            thread::spawn(move || (0..5_000).for_each(|number| readings.enter(verb(number).0)))
        });
        askers.collect::<Vec<_>>().into_iter().for_each(|asker| asker.join().unwrap());
        // All are taken without another call: no wake-up was lost.
        assert_eq!(tells.iter().take(20_000).count(), 20_000);
        readings.close();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert_eq!(taken.load(Ordering::SeqCst), 20_000);
    }

    #[test]
    fn who_rested_last_reads_next() {
        let (readings, taken) = (Arc::new(Readings::new(10)), Arc::new(AtomicUsize::new(0)));
        let (told, tells) = sync_channel(8);
        let takers: Vec<_> = (0..3).map(|_| taker(&readings, &taken, told.clone())).collect();
        let all_rest = || {
            while readings.lock().resting.len() < 3 {
                thread::yield_now();
            }
        };
        all_rest();
        let last = readings.lock().resting.last().unwrap().id();
        for number in 0..10 {
            readings.enter(verb(number).0);
            assert_eq!(tells.recv().unwrap(), last);
            all_rest();
        }
        readings.close();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    }
}
