//! Conversations, their membership, contacts, and the key packages that people are added with.
//!
//! Changes of a group are judged here, by what is public of it; who may read and write what is judged
//! where it is stored, in the same transaction. Key packages and messages are opaque.

mod contact;
mod conversation;
mod follow;
mod key_package;
pub mod public;
mod shelf;
mod turns;

use std::sync::Arc;

use qpc_proto::address::Domain;

pub use self::follow::{ChangeError, CreateError};
use self::{
    follow::{Follower, Hub},
    public::{Crypto, NoRandomness},
};
use crate::{clock::Clock, metrics::Metrics, policy::limits::GroupLimits, store::Store, tasks::Tasks};

/// Everything about conversations but their messages. See the module's text.
pub struct Groups {
    store: Arc<dyn Store>,
    domain: Domain,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    follower: Follower,
}

impl Groups {
    /// Puts the parts together; `domain` is the one whose conversations these are, and groups name `hub_key` as its.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(
        store: Arc<dyn Store>,
        (domain, hub_key): (Domain, [u8; 32]),
        clock: Arc<dyn Clock>,
        limits: &GroupLimits,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Result<Self, NoRandomness> {
        let hub = Hub { domain: domain.clone(), key: hub_key };
        let follower = Follower::new(Arc::clone(&store), hub, Crypto::new()?, limits, tasks, Arc::clone(&metrics));
        Ok(Self { store, domain, clock, metrics, follower })
    }
}
