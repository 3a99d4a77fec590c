//! Who may, and how much: rates, admission at the door, and what standing a request needs.
//!
//! Before login a rate belongs to an address prefix or to the name that is asked about;
//! after login to the account (D14). Messages are slowed down, everything else is refused with the time
//! to wait. Knows no rules of the domains and keeps nothing on disk.

pub mod access;
pub mod admission;
mod keyed;
pub mod limits;
mod prefix;

use std::{sync::Arc, time::Duration};

use qpc_proto::{
    address::{Address, Domain},
    id::{AccountId, DeviceId},
};

use self::{access::Pace, keyed::Keyed};
pub use self::{limits::Limits, prefix::IpPrefix};
use crate::metrics::{Metrics, labels::Limit};

/// A rate is exceeded: how long until it would not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many of these; {0:?} to wait")]
pub struct Wait(pub Duration);

/// Names and addresses as keys: fixed in size, and of no use to who dumps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TextKey([u8; 16]);

impl TextKey {
    fn of(text: &str) -> Self {
        let mut key = [0; 16];
        blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut key);
        Self(key)
    }
}

/// All rates. Each is a keyed store that is bounded and cleaned.
#[derive(Debug)]
pub struct Policy {
    message: Keyed<AccountId>,
    change: Keyed<AccountId>,
    login_account: Keyed<TextKey>,
    login_prefix: Keyed<IpPrefix>,
    registration: Keyed<IpPrefix>,
    claim_requester: Keyed<AccountId>,
    claim_target: Keyed<TextKey>,
    peer_request: Keyed<TextKey>,
    peer_guest: Keyed<TextKey>,
    peer_claim_requester: Keyed<TextKey>,
    contact: Keyed<AccountId>,
    lookup: Keyed<AccountId>,
    blob: Keyed<AccountId>,
    transfer: Keyed<AccountId>,
    ephemeral: Keyed<DeviceId>,
    request: Keyed<AccountId>,
}

impl Policy {
    /// Makes empty stores for these rates.
    #[must_use]
    pub fn new(rates: &limits::Rates, metrics: &Arc<Metrics>) -> Self {
        Self {
            message: Keyed::new(Limit::Message, rates.message, rates.keys_max, metrics),
            change: Keyed::new(Limit::Change, rates.change, rates.keys_max, metrics),
            login_account: Keyed::new(Limit::LoginAccount, rates.login_account, rates.keys_max, metrics),
            login_prefix: Keyed::new(Limit::LoginPrefix, rates.login_prefix, rates.keys_max, metrics),
            registration: Keyed::new(Limit::Registration, rates.registration, rates.keys_max, metrics),
            claim_requester: Keyed::new(Limit::ClaimRequester, rates.claim_requester, rates.keys_max, metrics),
            claim_target: Keyed::new(Limit::ClaimTarget, rates.claim_target, rates.keys_max, metrics),
            peer_request: Keyed::new(Limit::PeerRequest, rates.peer_request, rates.keys_max, metrics),
            peer_guest: Keyed::new(Limit::PeerGuest, rates.peer_guest, rates.keys_max, metrics),
            peer_claim_requester: Keyed::new(Limit::ClaimRequester, rates.claim_requester, rates.keys_max, metrics),
            contact: Keyed::new(Limit::Contact, rates.contact, rates.keys_max, metrics),
            lookup: Keyed::new(Limit::Lookup, rates.lookup, rates.keys_max, metrics),
            blob: Keyed::new(Limit::Blob, rates.blob, rates.keys_max, metrics),
            transfer: Keyed::new(Limit::Transfer, rates.transfer, rates.keys_max, metrics),
            ephemeral: Keyed::new(Limit::Ephemeral, rates.ephemeral, rates.keys_max, metrics),
            request: Keyed::new(Limit::Request, rates.request, rates.keys_max, metrics),
        }
    }

    /// Takes other rates. Those that are the same go on as they are.
    pub fn set(&self, rates: &limits::Rates) {
        self.message.set(rates.message);
        self.change.set(rates.change);
        self.login_account.set(rates.login_account);
        self.login_prefix.set(rates.login_prefix);
        self.registration.set(rates.registration);
        self.claim_requester.set(rates.claim_requester);
        self.claim_target.set(rates.claim_target);
        self.peer_request.set(rates.peer_request);
        self.peer_guest.set(rates.peer_guest);
        self.contact.set(rates.contact);
        self.lookup.set(rates.lookup);
        self.blob.set(rates.blob);
        self.transfer.set(rates.transfer);
        self.ephemeral.set(rates.ephemeral);
        self.request.set(rates.request);
        self.peer_claim_requester.set(rates.claim_requester);
    }

    /// One message, change of a group, or part or range of a blob by an account. The caller waits and asks again.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn pace(&self, pace: Pace, account: AccountId) -> Result<(), Wait> {
        match pace {
            Pace::Message => self.message.check(&account),
            Pace::Change => self.change.check(&account),
            Pace::Transfer => self.transfer.check(&account),
        }
    }

    /// One login begun for a name, known or not.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn login(&self, name: &str, from: IpPrefix) -> Result<(), Wait> {
        self.login_prefix.check(&from)?;
        self.login_account.check(&TextKey::of(&name.to_ascii_lowercase()))
    }

    /// One registration begun.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn registration(&self, from: IpPrefix) -> Result<(), Wait> {
        self.registration.check(&from)
    }

    /// Key packages of one account claimed by another: charged to both, so that nobody's are drained.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn claim(&self, requester: AccountId, target: &Address) -> Result<(), Wait> {
        self.claim_requester.check(&requester)?;
        self.claim_target.check(&TextKey::of(&target.to_string()))
    }

    /// Anything that another server asks for.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn peer_request(&self, domain: &Domain) -> Result<(), Wait> {
        self.peer_request.check(&TextKey::of(domain.as_str()))
    }

    /// An account of another domain that its server makes known here, or says other devices of.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn peer_guest(&self, domain: &Domain) -> Result<(), Wait> {
        self.peer_guest.check(&TextKey::of(domain.as_str()))
    }

    /// Key packages of an account claimed by somebody of another domain, whose server has named them: charged as
    /// [`Policy::claim`] is. Names cost a peer nothing, but each is charged to the peer as a request first.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn peer_claim(&self, requester: &Address, target: &Address) -> Result<(), Wait> {
        self.peer_claim_requester.check(&TextKey::of(&requester.to_string()))?;
        self.claim_target.check(&TextKey::of(&target.to_string()))
    }

    /// One conversation made, or one answer to a contact.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn contact(&self, account: AccountId) -> Result<(), Wait> {
        self.contact.check(&account)
    }

    /// One page of a log or list.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn lookup(&self, account: AccountId) -> Result<(), Wait> {
        self.lookup.check(&account)
    }

    /// One blob begun, finished or released.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn blob(&self, account: AccountId) -> Result<(), Wait> {
        self.blob.check(&account)
    }

    /// One ephemeral event of a device.
    ///
    /// # Errors
    /// [`Wait`]: it is dropped.
    pub fn ephemeral(&self, device: DeviceId) -> Result<(), Wait> {
        self.ephemeral.check(&device)
    }

    /// Any other request.
    ///
    /// # Errors
    /// [`Wait`].
    pub fn request(&self, account: AccountId) -> Result<(), Wait> {
        self.request.check(&account)
    }

    /// Forgets keys whose rate has recovered. On a timer.
    pub fn clean(&self) {
        self.message.clean();
        self.change.clean();
        self.login_account.clean();
        self.login_prefix.clean();
        self.registration.clean();
        self.claim_requester.clean();
        self.claim_target.clean();
        self.peer_request.clean();
        self.peer_guest.clean();
        self.peer_claim_requester.clean();
        self.contact.clean();
        self.lookup.clean();
        self.blob.clean();
        self.transfer.clean();
        self.ephemeral.clean();
        self.request.clean();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_charged_to_both_sides() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let slow = limits::Rate { per_minute: 1, burst: 1 };
        let rates = limits::Rates { claim_requester: slow, claim_target: slow, ..limits::Rates::default() };
        let policy = Policy::new(&rates, &metrics);
        let [alice, bob, carol] = [1, 2, 3].map(|number| AccountId::new(0, [number; 10]));
        let [dave, erin] = ["dave@localhost", "erin@localhost"].map(|text| Address::parse(text).unwrap());
        assert!(policy.claim(alice, &dave).is_ok());
        assert!(policy.claim(alice, &erin).is_err(), "one asker");
        assert!(policy.claim(bob, &dave).is_err(), "one target");
        assert!(policy.claim(carol, &erin).is_ok());
        let hits = [Limit::ClaimRequester, Limit::ClaimTarget].map(|limit| metrics.rate_limit_hits(limit));
        assert_eq!(hits, [1, 1]);
    }

    #[test]
    fn a_peers_claim_is_charged_to_its_domain_its_requester_and_the_target() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let slow = limits::Rate { per_minute: 1, burst: 2 };
        let once = limits::Rate { per_minute: 1, burst: 1 };
        let rates =
            limits::Rates { peer_request: slow, claim_requester: once, claim_target: once, ..limits::Rates::default() };
        let policy = Policy::new(&rates, &metrics);
        let [b, c] = ["b.example", "c.example"].map(|text| Domain::parse(text).unwrap());
        let address = |text: &str| Address::parse(text).unwrap();
        let claim = |domain: &Domain, requester: &str, target: &str| {
            policy.peer_request(domain)?;
            policy.peer_claim(&address(requester), &address(target))
        };
        assert!(claim(&b, "bob@b.example", "dave@localhost").is_ok());
        assert!(claim(&b, "bob@b.example", "erin@localhost").is_err(), "one requester");
        assert!(claim(&b, "ben@b.example", "erin@localhost").is_err(), "one domain");
        assert!(claim(&c, "carl@c.example", "dave@localhost").is_err(), "one target");
        assert!(claim(&c, "cleo@c.example", "erin@localhost").is_ok());
        // Who is of here shares the target's allowance with those, and nothing else.
        assert!(policy.claim(AccountId::new(0, [1; 10]), &address("erin@localhost")).is_err());
        let hits =
            [Limit::PeerRequest, Limit::ClaimRequester, Limit::ClaimTarget].map(|limit| metrics.rate_limit_hits(limit));
        assert_eq!(hits, [1, 1, 2]);
    }

    #[test]
    fn a_login_is_charged_to_the_name_whatever_its_case_and_to_the_prefix() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let slow = limits::Rate { per_minute: 1, burst: 2 };
        let rates = limits::Rates { login_account: slow, ..limits::Rates::default() };
        let policy = Policy::new(&rates, &metrics);
        let (here, there) = (IpPrefix::of([10, 0, 0, 1].into()), IpPrefix::of([10, 0, 0, 2].into()));
        assert!(policy.login("alice", here).is_ok());
        assert!(policy.login("Alice", there).is_ok());
        assert!(policy.login("ALICE", there).is_err());
        assert!(policy.login("bob", there).is_ok());

        let rates = limits::Rates { login_prefix: slow, ..limits::Rates::default() };
        let policy = Policy::new(&rates, &metrics);
        assert!(policy.login("a", here).is_ok());
        assert!(policy.login("b", here).is_ok());
        assert!(policy.login("c", here).is_err());
        assert!(policy.login("c", there).is_ok());
        assert_eq!(metrics.rate_limit_hits(Limit::LoginPrefix), 1);
    }
}
