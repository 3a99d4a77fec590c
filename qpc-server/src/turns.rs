//! One change at a time for each conversation, or whatever else is named: who comes second waits for their turn.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// Those in which a change is under way or waits. Bounded by who may wait at all.
pub struct Turns<K: Eq + Hash + Clone>(Mutex<HashMap<K, Arc<Lock<()>>>>);

/// The right to change what is named, until it is dropped.
pub struct Turn<'t, K: Eq + Hash + Clone> {
    // In this order they are dropped.
    _guard: OwnedMutexGuard<()>,
    _ticket: Ticket<'t, K>,
}

/// A place in the map, which goes with the last who needs it.
struct Ticket<'t, K: Eq + Hash + Clone> {
    turns: &'t Turns<K>,
    name: &'t K,
    lock: Arc<Lock<()>>,
}

impl<K: Eq + Hash + Clone> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits for the turn. Dropping the future gives the place back.
    pub async fn take<'t>(&'t self, name: &'t K) -> Turn<'t, K> {
        let lock = Arc::clone(self.map().entry(name.clone()).or_default());
        let ticket = Ticket { turns: self, name, lock: Arc::clone(&lock) };
        Turn { _guard: lock.lock_owned().await, _ticket: ticket }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<K, Arc<Lock<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Drop for Ticket<'_, K> {
    fn drop(&mut self) {
        let mut map = self.turns.map();
        // The map's and ours: clones are made under the map's lock alone.
        if Arc::strong_count(&self.lock) <= 2 {
            map.remove(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use qpc_proto::id::{ConversationId, ConversationName};

    use super::*;

    fn name(number: u8) -> ConversationName {
        ConversationName { domain: "a.example".parse().unwrap(), id: ConversationId::new(1, [number; 10]) }
    }

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let (turns, one, other) = (Turns::default(), name(1), name(2));
        let first = turns.take(&one).await;
        assert!(turns.take(&other).now_or_never().is_some(), "another conversation");
        let mut second = Box::pin(turns.take(&one));
        let given_up = Box::pin(turns.take(&one));
        assert!((&mut second).now_or_never().is_none());
        drop(given_up);
        drop(first);
        drop(second.await);
        assert!(turns.map().is_empty());
    }
}
