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

/// Hands events on. See the module's text. It is part of what the store tells of its commits, so the store is none of its own:
/// neither would ever be let go.
pub struct Ephemerals {
    registry: Arc<Registry>,
    policy: Arc<Policy>,
    metrics: Arc<Metrics>,
    audiences: Audiences,
    lookups: Sender<Lookup>,
    enabled: bool,
    waiting: usize,
}

impl Ephemerals {
    /// Puts the parts together. What is given besides is for [`Ephemerals::look_up`].
    #[must_use]
    pub fn new(
        (registry, policy, metrics): (Arc<Registry>, Arc<Policy>, Arc<Metrics>),
        limits: &EphemeralLimits,
    ) -> (Arc<Self>, Receiver<Lookup>) {
        let (lookups, due) = channel(limits.lookups_waiting.max(1));
        let audiences = Audiences::new(limits.audiences);
        let EphemeralLimits { enabled, waiting, .. } = *limits;
        (Arc::new(Self { registry, policy, metrics, audiences, lookups, enabled, waiting }), due)
    }

    /// Takes what a device says, and hands it on or drops it. Never waits.
    pub fn take(&self, actor: &Actor, event: Result<Event, EphemeralError>) {
        if let Err(reason) = self.judge(actor, event) {
            self.metrics.ephemeral.drop(reason);
        }
    }

    fn judge(&self, actor: &Actor, event: Result<Event, EphemeralError>) -> Result<(), EphemeralDrop> {
        if !self.enabled {
            return Err(EphemeralDrop::Off);
        }
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
    pub async fn look_up(&self, store: Arc<dyn Store>, mut due: Receiver<Lookup>, stopping: CancellationToken) {
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
                    match store.hearers(&actor, &event.conversation).await {
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use qpc_proto::{
        address::{Address, Domain},
        error::CloseCode,
        id::{AccountId, ConversationId, ConversationName, DeviceId},
    };

    use super::*;
    use crate::{
        policy::limits::{Rate, Rates, SessionLimits},
        registry::{Line, News, Registration},
        store::LogPlace,
    };

    struct NoLine;

    impl Line for NoLine {
        fn cut(&self, _: CloseCode) {}
    }

    struct Bench {
        ephemerals: Arc<Ephemerals>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        due: Receiver<Lookup>,
    }

    impl Bench {
        fn new(limits: &EphemeralLimits, burst: u32) -> Self {
            let metrics = Arc::new(Metrics::new().unwrap());
            let registry = Registry::new(SessionLimits::default(), Arc::clone(&metrics));
            let rates = Rates { ephemeral: Rate { per_minute: 1, burst }, ..Rates::default() };
            let policy = Arc::new(Policy::new(&rates, &metrics));
            let parts = (Arc::clone(&registry), policy, Arc::clone(&metrics));
            let (ephemerals, due) = Ephemerals::new(parts, limits);
            Self { ephemerals, registry, metrics, due }
        }

        fn say(&self, event: Event) {
            self.ephemerals.take(&actor(1), Ok(event));
        }

        fn knows(&self, conversation: u8, members: u8) {
            let members = (1..=members).map(account).collect();
            let hearers = Hearers { place: LogPlace(1), members, pair: None, open: true };
            let audiences = &self.ephemerals.audiences;
            audiences.put(&name(conversation), &Arc::new(hearers), audiences.as_of());
        }

        fn dropped(&self, reason: EphemeralDrop) -> u64 {
            self.metrics.ephemeral.dropped(reason)
        }

        fn session(&self, number: u8) -> Registration {
            self.registry.enter(account(number), DeviceId::new(1, [number; 10]), Box::new(NoLine))
        }
    }

    fn account(number: u8) -> AccountId {
        AccountId::new(1, [number; 10])
    }

    fn actor(number: u8) -> Actor {
        let address = Address::parse("alice@chat.example").unwrap();
        Actor::authenticated(account(number), DeviceId::new(1, [number; 10]), address)
    }

    fn name(number: u8) -> ConversationName {
        ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(1, [number; 10]) }
    }

    fn event(conversation: u8, sealed: u8) -> Event {
        Event { conversation: name(conversation), sealed: vec![sealed].into(), sender: Some(DeviceId::new(1, [9; 10])) }
    }

    #[tokio::test]
    async fn the_others_get_it_with_the_sender_that_has_authenticated() {
        let bench = Bench::new(&EphemeralLimits::default(), 100);
        bench.knows(1, 3);
        let [alice, bob, carol, dave] = [1, 2, 3, 4].map(|number| bench.session(number));
        let hears = [&alice, &bob, &carol, &dave].map(|session| session.subscribe(true));
        let deaf = bench.session(2);
        let deaf = deaf.subscribe(false);
        bench.say(event(1, 7));
        for (number, subscription) in hears.iter().enumerate() {
            let news = futures_util::FutureExt::now_or_never(subscription.news());
            if number == 1 {
                // The session that came after it on the same device has taken its place.
                assert!(news.is_some());
                continue;
            }
            let heard = news.map(|news| match news {
                News::Offers { ephemerals, .. } => ephemerals,
                News::Replaced => panic!("replaced"),
            });
            assert_eq!(heard.is_some(), number == 2, "session {number}");
            if let Some(heard) = heard {
                let heard = Event::decode(heard[0].datagram.clone()).unwrap();
                assert_eq!((heard.sender, &heard.sealed[..]), (Some(actor(1).device()), &[7][..]));
            }
        }
        assert!(futures_util::FutureExt::now_or_never(deaf.news()).is_none());
        assert_eq!(bench.metrics.ephemeral.accepted.get(), 1);
    }

    #[tokio::test]
    async fn a_conversation_of_the_most_members_is_served_and_one_more_is_a_crowd() {
        let bench = Bench::new(&EphemeralLimits::default(), 100);
        let most = u8::try_from(EPHEMERAL_MEMBERS_MAX).unwrap();
        bench.knows(1, most);
        bench.knows(2, most + 1);
        bench.say(event(1, 1));
        assert_eq!((bench.metrics.ephemeral.accepted.get(), bench.dropped(EphemeralDrop::Crowd)), (1, 0));
        bench.say(event(2, 1));
        assert_eq!((bench.metrics.ephemeral.accepted.get(), bench.dropped(EphemeralDrop::Crowd)), (1, 1));
    }

    #[tokio::test]
    async fn a_device_has_its_rate_and_not_one_event_more() {
        let bench = Bench::new(&EphemeralLimits::default(), 3);
        bench.knows(1, 2);
        (0..4).for_each(|sealed| bench.say(event(1, sealed)));
        assert_eq!((bench.metrics.ephemeral.accepted.get(), bench.dropped(EphemeralDrop::Rate)), (3, 1));
    }

    #[tokio::test]
    async fn as_many_wait_to_be_looked_up_as_may_and_one_more_is_dropped() {
        let mut bench = Bench::new(&EphemeralLimits { lookups_waiting: 2, ..EphemeralLimits::default() }, 100);
        (0..3).for_each(|sealed| bench.say(event(1, sealed)));
        assert_eq!(bench.dropped(EphemeralDrop::Busy), 1);
        assert!(bench.due.try_recv().is_ok() && bench.due.try_recv().is_ok() && bench.due.try_recv().is_err());
    }
}
