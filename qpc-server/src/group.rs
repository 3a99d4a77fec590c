//! Conversations, their membership, contacts, and the key packages that people are added with.
//!
//! Changes of a group are judged here, by what is public of it; who may read and write what is judged
//! where it is stored, in the same transaction. Key packages and messages are opaque.

mod contact;
mod conversation;
mod copy;
mod elsewhere;
mod follow;
mod guest;
mod guests;
mod key_package;
mod link;
mod offer;
pub mod public;
mod removals;
mod reservations;
mod shelf;

use std::sync::Arc;

use qpc_proto::address::{Address, Domain};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::{
    contact::AnswerError,
    copy::CopyRefused,
    elsewhere::Elsewhere,
    follow::{ChangeError, CreateError},
    guest::Unknown,
    key_package::{ClaimRefused, certificates_to_wire},
    offer::OfferRefused,
    public::HubKey,
    reservations::Turn,
};
use self::{
    follow::{Follower, Hub},
    public::{Crypto, NoRandomness},
    removals::Removals,
};
use crate::{
    clock::Clock,
    metrics::Metrics,
    policy::limits::{FederationLimits, GroupLimits},
    remote::Remote,
    rng::Rng,
    store::Store,
    tasks::Tasks,
    turns::Turns,
};

/// What it takes to have people of other domains here.
struct Abroad {
    remote: Arc<dyn Remote>,
    rng: Arc<dyn Rng>,
    /// Messages of a device that may wait for other domains, and of all for one.
    waiting: (usize, u64),
    /// One answer about an account at a time: what it says of the account's devices must not be older than what is known.
    turns: Turns<Address>,
    guests: guests::Guests,
}

/// Everything about conversations but their messages. See the module's text.
pub struct Groups {
    store: Arc<dyn Store>,
    domain: Domain,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    abroad: Option<Arc<Abroad>>,
    /// A copy has gone on.
    copied: Notify,
    follower: Follower,
    removals: Removals,
}

impl Groups {
    /// Puts the parts together; `domain` is the one whose conversations these are, and groups name the key as its.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(
        store: Arc<dyn Store>,
        (domain, key): (Domain, HubKey),
        clock: Arc<dyn Clock>,
        limits: &GroupLimits,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Result<Self, NoRandomness> {
        let hub = Hub { domain: domain.clone(), key };
        let follower = Follower::new(Arc::clone(&store), hub, Crypto::new()?, limits, tasks, Arc::clone(&metrics));
        let removals = Removals::new(Arc::clone(&clock));
        Ok(Self { store, domain, clock, metrics, abroad: None, copied: Notify::new(), follower, removals })
    }

    /// With other domains that can be asked, whose people are named here at random.
    #[must_use]
    pub fn with_remote(self, remote: Arc<dyn Remote>, rng: Arc<dyn Rng>, limits: &FederationLimits) -> Self {
        let waiting = (limits.waiting_per_device, limits.waiting_per_domain);
        let (turns, guests) = (Turns::default(), guests::Guests::default());
        Self { abroad: Some(Arc::new(Abroad { remote, rng, waiting, turns, guests })), ..self }
    }

    /// Devices have gone: their leaves are to be proposed for removal soon.
    pub fn devices_gone(&self) {
        self.removals.due();
    }

    /// Proposes the removal of devices that are gone, until it is stopped.
    pub async fn keep_leaves(&self, stopping: CancellationToken) {
        self.removals.run(&self.follower, stopping).await;
    }
}
