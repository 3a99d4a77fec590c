//! Ephemeral events: from a device to the members of its conversation who are there, and nowhere else.
//!
//! Nothing here is stored, logged or waited for. Who is in a conversation is read once and kept until that changes, so
//! that an event costs no read. Whatever has no room is dropped and counted; nobody is told.

mod audiences;

use std::sync::Arc;

use qpc_proto::{
    ephemeral::{EphemeralError, Event},
    limits::EPHEMERAL_MEMBERS_MAX,
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::audiences::Audiences;
use crate::{
    metrics::{Metrics, labels::EphemeralDrop},
    policy::{Policy, limits::EphemeralLimits},
    registry::{Ephemeral, Registry},
    store::{Actor, Hearers, HearersChanged, Store},
};

/// An event that waits until it is read who is in its conversation.
pub struct Lookup {
    actor: Actor,
    event: Event,
}

/// Hands events on. See the module's text.
pub struct Ephemerals {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    policy: Arc<Policy>,
    metrics: Arc<Metrics>,
    audiences: Audiences,
    lookups: Sender<Lookup>,
    waiting: usize,
}

impl Ephemerals {
    /// Puts the parts together. What is given besides is for [`Ephemerals::look_up`].
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        (registry, policy, metrics): (Arc<Registry>, Arc<Policy>, Arc<Metrics>),
        limits: &EphemeralLimits,
    ) -> (Arc<Self>, Receiver<Lookup>) {
        let (lookups, due) = channel(limits.lookups_waiting.max(1));
        let audiences = Audiences::new(limits.audiences);
        let waiting = limits.waiting;
        (Arc::new(Self { store, registry, policy, metrics, audiences, lookups, waiting }), due)
    }

    /// Takes what a device says, and hands it on or drops it. Never waits.
    pub fn take(&self, actor: &Actor, event: Result<Event, EphemeralError>) {
        if let Err(reason) = self.judge(actor, event) {
            self.metrics.ephemeral.drop(reason);
        }
    }

    fn judge(&self, actor: &Actor, event: Result<Event, EphemeralError>) -> Result<(), EphemeralDrop> {
        self.policy.ephemeral(actor.device()).map_err(|_| EphemeralDrop::Rate)?;
        let event = event.map_err(|_| EphemeralDrop::Malformed)?;
        match self.audiences.get(&event.conversation) {
            Some(hearers) => self.hand_on(actor, event, &hearers),
            None => {
                let lookup = Lookup { actor: actor.clone(), event };
                self.lookups.try_send(lookup).map_err(|_| EphemeralDrop::Busy)
            }
        }
    }

    fn hand_on(&self, actor: &Actor, event: Event, hearers: &Hearers) -> Result<(), EphemeralDrop> {
        if hearers.members.len() > EPHEMERAL_MEMBERS_MAX {
            return Err(EphemeralDrop::Crowd);
        }
        if !hearers.open || !hearers.members.contains(&actor.account()) {
            return Err(EphemeralDrop::Forbidden);
        }
        let sender = actor.device();
        let datagram = Event { sender: Some(sender), ..event.clone() }.encode();
        let taken = Instant::now();
        let event = Arc::new(Ephemeral { conversation: event.conversation, sender, datagram, taken });
        let others = hearers.members.iter().copied().filter(|account| *account != actor.account());
        self.registry.offer_ephemeral(others, &event, self.waiting);
        self.metrics.ephemeral.accepted.inc();
        Ok(())
    }

    /// Reads who is in conversations of which that is not known, until the server stops: one after the other, so that
    /// they take a single reader of the store at most.
    pub async fn look_up(&self, mut due: Receiver<Lookup>, stopping: CancellationToken) {
        loop {
            // Both branches only wait.
            let lookup = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                lookup = due.recv() => lookup,
            };
            let Some(Lookup { actor, event }) = lookup else { return };
            let told = match self.audiences.get(&event.conversation) {
                Some(hearers) => self.hand_on(&actor, event, &hearers),
                None => {
                    let as_of = self.audiences.as_of();
                    match self.store.hearers(&actor, &event.conversation).await {
                        Ok(hearers) => {
                            let hearers = Arc::new(hearers);
                            self.audiences.put(&event.conversation, &hearers, as_of);
                            self.hand_on(&actor, event, &hearers)
                        }
                        Err(_) => Err(EphemeralDrop::Forbidden),
                    }
                }
            };
            if let Err(reason) = told {
                self.metrics.ephemeral.drop(reason);
            }
        }
    }

    /// What was read of these before is not true any more.
    pub(super) fn hearers_changed(&self, changed: &HearersChanged) {
        self.audiences.changed(changed);
    }
}
