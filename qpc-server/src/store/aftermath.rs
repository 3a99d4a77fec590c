//! What follows a commit: readers get their hints, then those who asked get their answers.
//!
//! Each of them is woken, and waking a runtime from another thread is a system call each time. So a store
//! that has a thread of its own hands a whole commit's wake-ups over at once, and a task of the runtime
//! does the waking. Nothing here is needed for durability: that was settled before.

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

/// Commits whose wake-ups wait; the store's thread waits when there are more.
const COMMITS_MAX: usize = 64;

/// The wake-ups of one commit.
type Work = Box<dyn FnOnce() + Send>;

/// Where a store's thread leaves the wake-ups.
#[derive(Clone, Default)]
pub struct HandOver(Option<Sender<Work>>);

impl HandOver {
    /// Hands over, or does the work here where nobody takes it. Blocks while too much waits.
    pub(crate) fn give(&self, work: impl FnOnce() + Send + 'static) {
        match &self.0 {
            None => work(),
            Some(sender) => {
                if let Err(unsent) = sender.blocking_send(Box::new(work)) {
                    unsent.0();
                }
            }
        }
    }
}

/// Wake-ups on their way to the runtime.
pub struct Aftermath(Receiver<Work>);

impl Aftermath {
    /// Both ends.
    #[must_use]
    pub fn new() -> (HandOver, Self) {
        let (sender, receiver) = channel(COMMITS_MAX);
        (HandOver(Some(sender)), Self(receiver))
    }

    /// Does the waking until the server stops; then the store's thread does its own, perhaps while the last
    /// of these are still under way. WakeUps may then come out of order, which readers see and mend (D3).
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // Both branches only wait.
            tokio::select! {
                work = self.0.recv() => match work {
                    Some(work) => work(),
                    None => return,
                },
                () = stop.cancelled(), if !self.0.is_closed() => self.0.close(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    fn add(count: &AtomicUsize) {
        count.fetch_add(1, Ordering::SeqCst);
    }

    /// Whoever hands over, and whenever the server stops: all is done, once.
    #[tokio::test]
    async fn nothing_that_was_handed_over_is_lost_when_the_server_stops() {
        let (hand_over, aftermath) = Aftermath::new();
        let (stop, done) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (halfway, count) = (stop.clone(), Arc::clone(&done));
        let store = thread::spawn(move || {
            for number in 0..1000 {
                let count = Arc::clone(&count);
                hand_over.give(move || add(&count));
                if number == 500 {
                    halfway.cancel();
                }
            }
        });
        aftermath.run(stop).await;
        tokio::task::spawn_blocking(|| store.join().unwrap()).await.unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 1000);
    }

    #[test]
    fn without_a_runtime_the_work_is_done_at_once() {
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        HandOver::default().give(move || add(&count));
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
