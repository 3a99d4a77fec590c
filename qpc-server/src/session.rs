//! What a connection says: calls on streams, from the first request to the last answer.
//!
//! A connection is anonymous until `Authenticate` makes it a session; that is the one way. Handlers
//! that need a device take a [`state::Session`], which nothing else can make. Nothing here waits for
//! another session, and a session's panic ends that session alone (D13).

mod calls;
mod dispatch;
mod frames;
mod link;
mod outbound;
mod proof;
mod state;
mod stream;
mod wire_error;

use std::sync::Arc;

use qpc_proto::address::Domain;

pub(crate) use self::link::run;
use crate::{
    account::Accounts,
    delivery::Delivery,
    group::Groups,
    metrics::Metrics,
    policy::{Limits, Policy},
    registry::Registry,
    rng::Rng,
    tasks::Tasks,
};

/// What sessions work with: put together once, by the composition.
pub struct Context {
    /// Accounts and devices.
    pub accounts: Arc<Accounts>,
    /// Messages.
    pub delivery: Arc<Delivery>,
    /// Conversations, contacts, key packages.
    pub groups: Arc<Groups>,
    /// Who is here.
    pub registry: Arc<Registry>,
    /// Rates.
    pub policy: Arc<Policy>,
    /// Every other bound.
    pub limits: Arc<Limits>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Owner of every task.
    pub tasks: Tasks,
    /// The domain that this server is the hub of.
    pub domain: Domain,
    /// For the times at which clients are told to come back.
    pub rng: Arc<dyn Rng>,
}
