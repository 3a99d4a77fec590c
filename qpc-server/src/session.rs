//! What a connection says: calls on streams, from the first request to the last answer.
//!
//! A connection is anonymous until `Authenticate` makes it a session; that is the one way. Handlers
//! that need a device take a `state::Session`, which nothing else can make. Nothing here waits for
//! another session, and a session's panic ends that session alone (D13).

mod calls;
mod dispatch;
mod ephemeral;
mod files;
mod link;
mod outbound;
mod proof;
mod state;
mod stream;
mod wire_error;

use std::sync::Arc;

use qpc_proto::address::Domain;

pub(crate) use self::{link::run, wire_error::WireError};
use crate::{
    account::Accounts,
    blob::Blobs,
    delivery::{Delivery, Ephemerals},
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
    /// What is never stored.
    pub ephemerals: Arc<Ephemerals>,
    /// Conversations, contacts, key packages.
    pub groups: Arc<Groups>,
    /// Attachments, as the ciphertext that they are here.
    pub blobs: Arc<Blobs>,
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
    /// With which it may propose removals in its groups.
    pub hub_key: [u8; 32],
    /// For the times at which clients are told to come back.
    pub rng: Arc<dyn Rng>,
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    fn three<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    fn four<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    fn five<A, B, C, D, E, F: Future>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// What an idle session costs besides its QUIC connection, which has most of the 40 KiB: the task of the
    /// connection, and the task of the stream that its sync call runs on.
    #[test]
    fn the_tasks_of_an_idle_session_are_small() {
        let (connection, stream, sync) = (five(run), three(stream::serve), four(outbound::run));
        let sum = connection + stream + sync + size_of::<link::Link>();
        assert!(sum <= 4 * 1024, "connection {connection}, stream {stream}, sync {sync}");
    }
}
