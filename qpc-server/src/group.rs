//! Conversations, their membership, contacts, and the key packages that people are added with.
//!
//! What is judged here is form and size. Who may do what is judged where it is stored, in the same
//! transaction; MLS messages are opaque.

mod contact;
mod conversation;
mod key_package;

use std::sync::Arc;

use qpc_proto::address::Domain;

use crate::{clock::Clock, metrics::Metrics, store::Store};

/// Everything about conversations but their messages. See the module's text.
pub struct Groups {
    store: Arc<dyn Store>,
    domain: Domain,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Groups {
    /// Puts the parts together; `domain` is the one whose conversations these are.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, domain: Domain, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self { store, domain, clock, metrics }
    }
}
