//! The memory adapter: the port's semantics in plain maps, for simulation and tests.
//!
//! Every verb runs at once under one lock, so verbs take effect in the order of their calls
//! and replies are ready when a method returns. Nothing outlives the process.

mod account;
mod contact;
mod follower;
mod link;
mod log;
mod operator;
mod restore;
pub(crate) mod shelf;
mod upkeep;

use std::{
    mem,
    sync::{Arc, OnceLock},
};

use self::{
    account::Accounts, contact::Contacts, follower::Followers, link::Links, log::Logs, restore::Restores, shelf::Shelf,
};
use super::{CommitSink, Reply, StoreFault, VerbError, WakeUps, dispatch::Transact, tables::Tables};

/// A store without durability.
#[derive(Default)]
pub struct MemoryStore {
    shelf: Shelf<World>,
    sink: OnceLock<Arc<dyn CommitSink>>,
}

/// All rows, and what the sink has to be told of.
#[derive(Default)]
struct World {
    accounts: Accounts,
    contacts: Contacts,
    links: Links,
    followers: Followers,
    logs: Logs,
    restores: Restores,
    wake_ups: WakeUps,
}

impl Tables for World {
    fn wake_ups(&mut self) -> &mut WakeUps {
        &mut self.wake_ups
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a process finds that begins where this one ends now: all rows, and none of the verbs that are still to come.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        Self { shelf: self.shelf.after_crash(), ..Self::default() }
    }

    fn run<T, E: VerbError>(&self, mut verb: impl FnMut(&mut dyn Tables) -> Result<T, E>) -> Reply<T, E> {
        self.shelf.run(|world| {
            let outcome = verb(world);
            // The sink is told under the lock: that keeps the order of each log.
            let wake_ups = mem::take(&mut world.wake_ups);
            if let Some(sink) = self.sink.get() {
                wake_ups.tell(sink.as_ref());
            }
            outcome
        })
    }
}

impl Transact for MemoryStore {
    fn tell(&self, sink: Arc<dyn CommitSink>) {
        if self.sink.set(sink).is_err() {
            tracing::error!("the store's sink was set twice; the first one stays");
        }
    }

    fn write<T, E, F>(&self, _bytes: usize, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn Tables) -> Result<T, E> + Send + 'static,
    {
        self.run(verb)
    }

    fn read<T, E, F>(&self, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn Tables) -> Result<T, E> + Send + 'static,
    {
        self.run(verb)
    }

    fn queued(&self) -> u64 {
        0
    }

    fn stop(&self) -> Reply<(), StoreFault> {
        self.shelf.close();
        Reply::ready(Ok(()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::store::{Store, conformance::Backend, memory::MemoryStore};
    use std::sync::Arc;

    /// Forgets everything when it is dropped.
    pub(in crate::store) struct Memory;

    impl Backend for Memory {
        fn open(&self) -> Arc<dyn Store> {
            Arc::new(MemoryStore::new())
        }

        fn persistent(&self) -> bool {
            false
        }
    }

    store_conformance!(Memory);
}
