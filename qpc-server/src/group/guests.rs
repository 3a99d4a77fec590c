//! Devices of other domains that have done something here of late, so that not every message asks the store whose device it is
//! from.
//!
//! Nothing is allowed because of it: each verb looks in its own transaction whether the device is still there.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use qpc_proto::{address::Address, id::DeviceId};

use crate::store::Actor;

/// Devices of other domains that are remembered.
const GUESTS_MAX: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();

/// See the module's text.
pub(super) struct Guests(Mutex<Remembered>);

struct Remembered {
    actors: LruCache<DeviceId, Actor>,
    changes: u64,
}

impl Default for Guests {
    fn default() -> Self {
        Self(Mutex::new(Remembered { actors: LruCache::new(GUESTS_MAX), changes: 0 }))
    }
}

impl Guests {
    pub(super) fn get(&self, sender: &Address, device: DeviceId) -> Option<Actor> {
        self.lock().actors.get(&device).filter(|actor| actor.address() == sender).cloned()
    }

    /// How often something about guests has changed: to be asked for before the store is read.
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Remembers what was read of the store, unless that has changed meanwhile.
    pub(super) fn put(&self, actor: &Actor, changes: u64) {
        let mut remembered = self.lock();
        if remembered.changes == changes {
            remembered.actors.put(actor.device(), actor.clone());
        }
    }

    /// Something about guests has changed.
    pub(super) fn forget(&self) {
        let mut remembered = self.lock();
        remembered.changes = remembered.changes.wrapping_add(1);
        remembered.actors.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::AccountId;

    use super::*;

    fn actor(device: u8, account: u8) -> Actor {
        let address = "bob@b.example".parse().unwrap();
        Actor::authenticated(AccountId::new(1, [account; 10]), DeviceId::new(1, [device; 10]), address)
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (guests, bob) = (Guests::default(), actor(1, 1));
        let get = || guests.get(bob.address(), bob.device());
        let before = guests.changes();
        guests.put(&bob, before);
        assert_eq!(get(), Some(bob.clone()));
        guests.forget();
        assert_eq!(get(), None);
        guests.put(&bob, before);
        assert_eq!(get(), None, "it may be gone");
        guests.put(&actor(1, 2), guests.changes());
        assert_eq!(get(), Some(actor(1, 2)));
    }

    #[test]
    fn a_device_is_that_of_its_address_alone() {
        let (guests, bob) = (Guests::default(), actor(1, 1));
        guests.put(&bob, guests.changes());
        assert_eq!(guests.get(&"ben@b.example".parse().unwrap(), bob.device()), None);
        assert_eq!(guests.get(bob.address(), DeviceId::new(1, [2; 10])), None);
        assert_eq!(guests.get(bob.address(), bob.device()), Some(bob));
    }
}
