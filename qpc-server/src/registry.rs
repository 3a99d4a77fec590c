//! Who is here: the live sessions of every account, and the queue of each one's sync call.
//!
//! All of it is a hint (D3): what is lost here costs latency, never a message. Fan-out offers an
//! entry to each session's bounded queue and never waits (invariant 8). A session and a sync
//! call undo their registration when they are dropped.

mod departures;
mod ephemeral;
mod mailbox;
mod seen;
mod sessions;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use dashmap::DashMap;
use qpc_proto::{
    error::CloseCode,
    id::{AccountId, ConversationName, DeviceId, Seq},
};

pub use self::{
    departures::AsOf,
    ephemeral::Ephemeral,
    mailbox::{Behind, News},
    seen::{Lag, Peer, Seen},
};
use self::{departures::Departures, mailbox::Mailbox, sessions::Sessions};
use crate::{metrics::Metrics, policy::limits::SessionLimits};

/// The way to end a session from outside, at once.
pub trait Line: Send + Sync + 'static {
    /// Closes the connection; nothing that is still to be written reaches the peer.
    fn cut(&self, code: CloseCode);

    /// Where it leads, for the operator; `None` where nobody is there any more.
    fn peer(&self) -> Option<Peer> {
        None
    }
}

/// An entry on its way to readers that are here, encoded once for all.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    /// Of which log.
    pub log: ConversationName,
    /// Its place.
    pub seq: Seq,
    /// As it goes out.
    pub frame: Bytes,
}

/// One live session.
struct Session {
    device: DeviceId,
    line: Box<dyn Line>,
    mailbox: Mailbox,
}

/// All live sessions.
pub struct Registry {
    accounts: DashMap<AccountId, Sessions>,
    sessions: AtomicUsize,
    departures: Departures,
    limits: SessionLimits,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("sessions", &self.sessions()).finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(limits: SessionLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        let (accounts, sessions, departures) = (DashMap::new(), AtomicUsize::new(0), Departures::default());
        Arc::new(Self { accounts, sessions, departures, limits, metrics })
    }

    /// Registers a session, until the registration is dropped. Where its device has as many as it may,
    /// the oldest is cut.
    pub fn enter(self: &Arc<Self>, account: AccountId, device: DeviceId, line: Box<dyn Line>) -> Registration {
        let session = Arc::new(Session { device, line, mailbox: Mailbox::default() });
        let surplus = {
            let mut sessions = self.accounts.entry(account).or_default();
            let surplus = sessions.oldest_beyond(device, self.limits.sessions_per_device);
            sessions.push(Arc::clone(&session));
            surplus
        };
        if let Some(oldest) = surplus {
            oldest.line.cut(CloseCode::Replaced);
        }
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.metrics.sessions_active.inc();
        Registration { registry: Arc::clone(self), account, session }
    }

    /// Offers an entry to every session of these accounts that has a sync call open. The one whose
    /// block withholds the body gets the other form.
    pub fn offer(&self, accounts: &[AccountId], offer: &Arc<Offer>, withheld: Option<(AccountId, &Arc<Offer>)>) {
        for account in accounts {
            let form = withheld.filter(|(from, _)| from == account).map_or(offer, |(_, form)| form);
            if let Some(sessions) = self.accounts.get(account) {
                for session in sessions.as_slice() {
                    self.put(session, form);
                }
            }
        }
    }

    /// Offers an entry to the sessions of one device.
    pub fn offer_device(&self, account: AccountId, device: DeviceId, offer: &Arc<Offer>) {
        if let Some(sessions) = self.accounts.get(&account) {
            for session in sessions.as_slice().iter().filter(|session| session.device == device) {
                self.put(session, offer);
            }
        }
    }

    /// Offers an ephemeral event to every session of these accounts that wants such, `waiting` at most of them to one
    /// session. What finds no room is lost.
    pub fn offer_ephemeral(&self, accounts: impl Iterator<Item = AccountId>, event: &Arc<Ephemeral>, waiting: usize) {
        for account in accounts {
            if let Some(sessions) = self.accounts.get(&account) {
                for session in sessions.as_slice() {
                    if let Some(lost) = session.mailbox.offer_ephemeral(event, waiting) {
                        self.metrics.ephemeral.drop(lost);
                    }
                }
            }
        }
    }

    fn put(&self, session: &Session, offer: &Arc<Offer>) {
        if session.mailbox.offer(offer, self.limits.offers, self.limits.behind_logs) {
            self.metrics.behind.inc();
        }
    }

    /// How many times devices have gone; a session that is entered while this stays the same may rely on what
    /// was read of its device after it was asked (invariant 12).
    #[must_use]
    pub fn as_of(&self) -> AsOf {
        self.departures.as_of()
    }

    /// Ends every session of these devices, before it returns (invariant 12). Rare, so it looks
    /// through all sessions instead of keeping an index in each.
    pub fn cut(&self, devices: &[DeviceId], code: CloseCode) {
        // Before it looks: a session that enters later sees the count.
        self.departures.note();
        let doomed: Vec<Arc<Session>> = self
            .accounts
            .iter()
            .flat_map(|sessions| sessions.as_slice().to_vec())
            .filter(|session| devices.contains(&session.device))
            .collect();
        for session in doomed {
            session.line.cut(code);
        }
    }

    /// Live sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Live sessions of one device.
    #[must_use]
    pub fn sessions_of(&self, account: AccountId, device: DeviceId) -> usize {
        self.accounts
            .get(&account)
            .map_or(0, |sessions| sessions.as_slice().iter().filter(|session| session.device == device).count())
    }
}

/// A registered session. Dropping it takes the session out.
pub struct Registration {
    registry: Arc<Registry>,
    account: AccountId,
    session: Arc<Session>,
}

impl Registration {
    /// Opens the queue of this session's sync call. An older sync call of the same device ends: on this
    /// connection by [`News::Replaced`], elsewhere with its connection. It may want ephemeral events as well.
    #[must_use]
    pub fn subscribe(&self, ephemerals: bool) -> Subscription {
        let siblings: Vec<Arc<Session>> = self.registry.accounts.get(&self.account).map_or_else(Vec::new, |sessions| {
            let others = sessions.as_slice().iter().filter(|other| {
                other.device == self.session.device && !Arc::ptr_eq(other, &self.session) && other.mailbox.is_open()
            });
            others.cloned().collect()
        });
        for older in siblings {
            older.line.cut(CloseCode::Replaced);
        }
        self.registry.metrics.syncs_active.inc();
        let generation = self.session.mailbox.open(ephemerals);
        Subscription { registry: Arc::clone(&self.registry), session: Arc::clone(&self.session), generation }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.accounts.remove_if_mut(&self.account, |_, sessions| {
            sessions.remove(&self.session);
            sessions.as_slice().is_empty()
        });
        self.registry.sessions.fetch_sub(1, Ordering::Relaxed);
        self.registry.metrics.sessions_active.dec();
    }
}

/// An open sync call's end of its queue. Dropping it closes the queue.
pub struct Subscription {
    registry: Arc<Registry>,
    session: Arc<Session>,
    generation: u32,
}

impl Subscription {
    /// Waits for what there is to say. Dropping the future loses nothing.
    pub async fn news(&self) -> News {
        self.session.mailbox.news(self.generation).await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.session.mailbox.close(self.generation);
        self.registry.metrics.syncs_active.dec();
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::sync::Mutex;

    use qpc_proto::{address::Domain, id::ConversationId};

    use super::*;

    #[derive(Clone, Default)]
    struct Wire(Arc<Mutex<Option<CloseCode>>>);

    impl Line for Wire {
        fn cut(&self, code: CloseCode) {
            *self.0.lock().unwrap() = Some(code);
        }
    }

    impl Wire {
        fn code(&self) -> Option<CloseCode> {
            *self.0.lock().unwrap()
        }
    }

    fn registry(limits: SessionLimits) -> Arc<Registry> {
        Registry::new(limits, Arc::new(Metrics::new().unwrap()))
    }

    fn account(n: u8) -> AccountId {
        AccountId::new(1, [n; 10])
    }

    fn device(n: u8) -> DeviceId {
        DeviceId::new(1, [n; 10])
    }

    fn offer(seq: u64) -> Arc<Offer> {
        let log =
            ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(1, [0; 10]) };
        Arc::new(Offer { log, seq: Seq(seq), frame: Bytes::from_static(b"frame") })
    }

    async fn offers(subscription: &Subscription) -> Vec<u64> {
        match tokio::time::timeout(std::time::Duration::from_secs(5), subscription.news()).await.unwrap() {
            News::Offers { offers, .. } => offers.iter().map(|offer| offer.seq.0).collect(),
            News::Replaced => panic!("replaced"),
        }
    }

    #[tokio::test]
    async fn an_entry_reaches_the_sync_calls_of_its_audience_alone() {
        let registry = registry(SessionLimits::default());
        let alice = registry.enter(account(1), device(1), Box::new(Wire::default()));
        let bob = registry.enter(account(2), device(2), Box::new(Wire::default()));
        let eve = registry.enter(account(3), device(3), Box::new(Wire::default()));
        let (alice, bob, eve) = (alice.subscribe(false), bob.subscribe(false), eve.subscribe(false));
        let (whole, withheld) = (offer(1), offer(2));
        registry.offer(&[account(1), account(2)], &whole, Some((account(2), &withheld)));
        registry.offer_device(account(3), device(3), &offer(3));
        registry.offer_device(account(3), device(9), &offer(4));
        assert_eq!(offers(&alice).await, [1]);
        assert_eq!(offers(&bob).await, [2]);
        assert_eq!(offers(&eve).await, [3]);
    }

    /// Who relies on what it read of a device must learn that devices have gone, though it was not here when they did.
    #[test]
    fn invariant_12_a_departure_counts_before_it_looks_for_sessions() {
        struct Asks(Arc<Registry>, AsOf, Arc<std::sync::atomic::AtomicBool>);
        impl Line for Asks {
            fn cut(&self, _: CloseCode) {
                self.2.store(self.0.as_of() != self.1, Ordering::SeqCst);
            }
        }
        let registry = registry(SessionLimits::default());
        let (before, counted) = (registry.as_of(), Arc::default());
        let line = Asks(Arc::clone(&registry), before, Arc::clone(&counted));
        let _here = registry.enter(account(1), device(1), Box::new(line));
        assert_eq!(registry.as_of(), before);
        registry.cut(&[device(1)], CloseCode::Revoked);
        assert!(counted.load(Ordering::SeqCst));
    }

    /// Invariant 12: a revoked device's sessions are cut, whatever they are doing.
    #[test]
    fn invariant_12_all_sessions_of_a_device_are_cut_at_once() {
        let registry = registry(SessionLimits::default());
        let wires = [Wire::default(), Wire::default(), Wire::default()];
        let _one = registry.enter(account(1), device(1), Box::new(wires[0].clone()));
        let _two = registry.enter(account(1), device(1), Box::new(wires[1].clone()));
        let _other = registry.enter(account(1), device(2), Box::new(wires[2].clone()));
        registry.cut(&[device(1)], CloseCode::Revoked);
        assert_eq!(wires.map(|wire| wire.code()), [Some(CloseCode::Revoked), Some(CloseCode::Revoked), None]);
    }

    #[test]
    fn the_newest_connections_of_a_device_win() {
        let registry = registry(SessionLimits { sessions_per_device: 2, ..Default::default() });
        let wires = [Wire::default(), Wire::default(), Wire::default()];
        let kept: Vec<_> =
            wires.iter().map(|wire| registry.enter(account(1), device(1), Box::new(wire.clone()))).collect();
        assert_eq!(wires.map(|wire| wire.code()), [Some(CloseCode::Replaced), None, None]);
        drop(kept);
        assert_eq!(registry.sessions(), 0);
        assert!(registry.accounts.is_empty());
    }

    #[tokio::test]
    async fn a_newer_sync_call_ends_the_older_one() {
        let registry = registry(SessionLimits::default());
        let (first, second) = (Wire::default(), Wire::default());
        let one = registry.enter(account(1), device(1), Box::new(first.clone()));
        let two = registry.enter(account(1), device(1), Box::new(second.clone()));
        let older = one.subscribe(false);
        let same_connection = one.subscribe(false);
        assert!(matches!(older.news().await, News::Replaced));
        drop(older);
        registry.offer(&[account(1)], &offer(1), None);
        assert_eq!(offers(&same_connection).await, [1]);
        let _newest = two.subscribe(false);
        assert_eq!((first.code(), second.code()), (Some(CloseCode::Replaced), None));
    }

    /// The budget is 200 bytes besides the connection: what the registry keeps for a session, with the
    /// counts of its `Arc`, the boxed handle of the connection, and its slot in the map of accounts (key, value, control
    /// byte, and an eighth of the table empty).
    #[test]
    fn a_session_entry_is_small() {
        let counts = 2 * size_of::<usize>();
        let handle = size_of::<usize>() * 2;
        let slot = (size_of::<(AccountId, Sessions)>() + 1) * 8 / 7;
        let entry = counts + size_of::<Session>() + handle + slot;
        assert!(entry <= 200, "{entry} bytes: session {}, slot {slot}", size_of::<Session>());
    }

    /// The budget of a waiter is 100 bytes: what an idle sync call holds to be woken.
    #[test]
    fn a_waiter_is_small() {
        assert!(size_of::<Subscription>() <= 100, "{}", size_of::<Subscription>());
    }
}
