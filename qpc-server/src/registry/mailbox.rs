//! The queue of one sync call: bounded, never waited for by those who fill it.
//!
//! When it is full, it remembers of which logs something was dropped: the session is behind in those
//! and reads them from the store (D6). The queue's memory is given back when it is emptied.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use qpc_proto::id::ConversationName;

use super::{Ephemeral, Lag, Offer, ephemeral::Waiting};
use crate::metrics::labels::EphemeralDrop;

/// The logs in which a session is behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Behind {
    /// None.
    #[default]
    No,
    /// These; of each something was dropped.
    Logs(Vec<ConversationName>),
    /// Too many to remember: any of them.
    All,
}

/// What a sync call is told.
#[derive(Debug)]
pub enum News {
    /// Entries, and logs of which entries were dropped. The entries come before what was dropped.
    Offers {
        /// In the order of each log.
        offers: VecDeque<Arc<Offer>>,
        /// What to read from the store.
        behind: Behind,
        /// What may be said when all else is.
        ephemerals: Vec<Arc<Ephemeral>>,
    },
    /// A newer sync call has taken the queue over.
    Replaced,
}

#[derive(Default)]
pub(super) struct Mailbox(Mutex<State>);

#[derive(Default)]
struct State {
    offers: VecDeque<Arc<Offer>>,
    /// Boxed, because most sessions never are; `None` is [`Behind::No`].
    behind: Option<Box<Behind>>,
    /// Grows with each sync call on this session.
    generation: u32,
    open: bool,
    /// There while the sync call wants ephemeral events.
    ephemerals: Option<Box<Waiting>>,
    /// Of the sync call that waits.
    waiter: Option<Waker>,
}

impl Mailbox {
    /// Takes or drops an offer. Says whether the session has just fallen behind.
    pub(super) fn offer(&self, offer: &Arc<Offer>, offers_max: usize, behind_max: usize) -> bool {
        let (fell_behind, waiter) = {
            let mut state = self.lock();
            if !state.open {
                return false;
            }
            let fell_behind = if state.behind.is_none() && state.offers.len() < offers_max {
                state.offers.push_back(Arc::clone(offer));
                false
            } else {
                state.drop_offer(offer, behind_max)
            };
            (fell_behind, state.waiter.take())
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        fell_behind
    }

    /// Takes an ephemeral event, where one is wanted. Says why one was lost, if one was.
    pub(super) fn offer_ephemeral(&self, event: &Arc<Ephemeral>, most: usize) -> Option<EphemeralDrop> {
        let (lost, waiter) = {
            let mut state = self.lock();
            let behind = state.behind.is_some();
            let waiting = state.ephemerals.as_mut()?;
            if behind {
                return Some(EphemeralDrop::Behind);
            }
            (waiting.put(event, most), state.waiter.take())
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        lost
    }

    /// How far the sync call is behind, where one is open.
    pub(super) fn lag(&self) -> Option<Lag> {
        let state = self.lock();
        let behind = match state.behind.as_deref() {
            None | Some(Behind::No) => Some(0),
            Some(Behind::Logs(logs)) => Some(logs.len()),
            Some(Behind::All) => None,
        };
        state.open.then(|| Lag { offers: state.offers.len(), behind })
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Opens the queue for a new sync call, and tells an older one that it is replaced.
    pub(super) fn open(&self, ephemerals: bool) -> u32 {
        let (generation, waiter) = {
            let mut state = self.lock();
            let generation = state.generation.wrapping_add(1);
            let ephemerals = ephemerals.then(Box::default);
            let older = mem::replace(&mut *state, State { generation, open: true, ephemerals, ..State::default() });
            (generation, older.waiter)
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        generation
    }

    /// Closes the queue, unless a newer sync call has taken it over.
    pub(super) fn close(&self, generation: u32) {
        let mut state = self.lock();
        if state.generation == generation {
            *state = State { generation, ..State::default() };
        }
    }

    pub(super) async fn news(&self, generation: u32) -> News {
        poll_fn(|context| self.poll_news(generation, context)).await
    }

    fn poll_news(&self, generation: u32, context: &Context<'_>) -> Poll<News> {
        let mut state = self.lock();
        if state.generation != generation {
            return Poll::Ready(News::Replaced);
        }
        let whispered = state.ephemerals.as_ref().is_some_and(|waiting| !waiting.is_empty());
        if state.offers.is_empty() && state.behind.is_none() && !whispered {
            state.waiter = Some(context.waker().clone());
            return Poll::Pending;
        }
        // From here offers are taken again, before the store is read: nothing falls between.
        let offers = mem::take(&mut state.offers);
        let behind = state.behind.take().map(|behind| *behind).unwrap_or_default();
        let ephemerals = state.ephemerals.as_mut().map(|waiting| waiting.take()).unwrap_or_default();
        Poll::Ready(News::Offers { offers, behind, ephemerals })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_offer(&mut self, offer: &Offer, behind_max: usize) -> bool {
        match self.behind.as_deref_mut() {
            None | Some(Behind::No) => {
                self.behind = Some(Box::new(Behind::Logs(vec![offer.log.clone()])));
                return true;
            }
            Some(Behind::Logs(logs)) if logs.contains(&offer.log) => {}
            Some(Behind::Logs(logs)) if logs.len() < behind_max => logs.push(offer.log.clone()),
            Some(logs @ Behind::Logs(_)) => *logs = Behind::All,
            Some(Behind::All) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use qpc_proto::{
        address::Domain,
        id::{ConversationId, Seq},
    };

    use super::*;

    fn offer(log: u8, seq: u64) -> Arc<Offer> {
        let log =
            ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(1, [log; 10]) };
        Arc::new(Offer { log, seq: Seq(seq), frame: Bytes::new() })
    }

    /// Invariant 8: a reader that takes nothing stops nobody, and learns what to read instead.
    #[tokio::test]
    async fn invariant_8_a_full_queue_never_waits_and_remembers_what_it_dropped() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.offer(&offer(1, 1), 2, 2));
        let generation = mailbox.open(false);
        assert!(!mailbox.offer(&offer(1, 1), 2, 2));
        assert!(!mailbox.offer(&offer(1, 2), 2, 2));
        assert!(mailbox.offer(&offer(1, 3), 2, 2));
        assert!(!mailbox.offer(&offer(2, 1), 2, 2));
        let News::Offers { offers, behind, .. } = mailbox.news(generation).await else { panic!() };
        assert_eq!(offers, [offer(1, 1), offer(1, 2)]);
        assert_eq!(behind, Behind::Logs(vec![offer(1, 0).log.clone(), offer(2, 0).log.clone()]));
        // It takes offers again from here on.
        assert!(!mailbox.offer(&offer(1, 4), 2, 2));
        let News::Offers { offers, behind, .. } = mailbox.news(generation).await else { panic!() };
        assert_eq!((offers.len(), behind), (1, Behind::No));
    }

    #[tokio::test]
    async fn more_logs_than_it_remembers_are_all_logs() {
        let mailbox = Mailbox::default();
        let generation = mailbox.open(false);
        for log in 0..5 {
            mailbox.offer(&offer(log, 1), 0, 3);
        }
        let News::Offers { behind, .. } = mailbox.news(generation).await else { panic!() };
        assert_eq!(behind, Behind::All);
    }

    #[tokio::test]
    async fn a_closed_queue_holds_nothing() {
        let mailbox = Mailbox::default();
        let generation = mailbox.open(false);
        mailbox.offer(&offer(1, 1), 2, 2);
        mailbox.close(generation);
        assert!(!mailbox.offer(&offer(1, 2), 2, 2));
        assert!(mailbox.lock().offers.is_empty());
    }
}
