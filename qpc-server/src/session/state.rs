//! What a connection is: anonymous, then perhaps a session.
//!
//! [`Session`] is the proof that a device has authenticated: only [`Session::new`] makes one, from an
//! [`Actor`], which only authentication makes.

use crate::{
    registry::{Registration, Subscription},
    store::Actor,
};

/// An authenticated connection.
pub(super) struct Session {
    actor: Actor,
    registration: Registration,
}

impl Session {
    pub(super) fn new(actor: Actor, registration: Registration) -> Self {
        Self { actor, registration }
    }

    /// Who acts.
    pub(super) fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Opens the queue of a sync call, which ends an older one.
    pub(super) fn subscribe(&self, ephemerals: bool) -> Subscription {
        self.registration.subscribe(ephemerals)
    }
}
