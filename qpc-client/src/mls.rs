//! End-to-end encryption: one MLS group (RFC 9420) for each conversation.
//!
//! Everything here is synchronous and works on an open transaction of the client's store, so
//! that the change of the group is committed together with the caller's own note ("this entry
//! is handled", "this request is to be sent") or not at all. An operation that returns an
//! error has changed nothing. No leaf is believed that its account did not sign (invariant
//! 13); every commit is judged by the rules of roles before it is applied.
//!
//! What this does not do: talk to a server, remember which account keys are pinned
//! ([`Trust`] asks the caller), or decide when to commit.
//!
//! ```text
//! let mls = Mls::new(&transaction, &device, &trust);
//! let mut group = mls.group(&conversation);
//! let staged = group.add(&invitees)?;      // send staged.to_wire(), keep it until it is answered
//! group.merge_pending()?;                  // it was accepted
//! let message = group.encrypt(id, text)?;  // send message.bytes as of message.epoch
//! group.process(entry.kind, &entry.body)?; // what others sent, in the order of the log
//! ```

mod change;
mod config;
mod credential;
mod device;
mod ephemeral;
mod error;
mod external;
mod group;
mod invite;
mod join;
mod judge;
mod key_package;
mod process;
mod provider;
mod repair;
mod storage;

use qpc_proto::id::ConversationName;
use rusqlite::Transaction;

use self::provider::Provider;
pub(crate) use self::repair::is_external;
pub use self::{
    change::{Change, Departure, Staged},
    config::{COMMIT_SLACK_SECONDS, HubSender, KEY_PACKAGE_LIFETIME_SECONDS, PADDING, PAST_EPOCHS_MAX},
    credential::{Refusal, Trust, Verdict},
    device::{Device, DeviceError},
    ephemeral::EphemeralKey,
    error::{
        CommitError, CreateError, EncryptError, ExportError, Fault, GroupError, JoinError, KeyPackageError, MergeError,
        ProcessError,
    },
    external::{Coming, Joining, has_tree},
    group::{Encrypted, Group, Member},
    invite::Invitee,
    join::{Joined, NewGroup},
    judge::Violation,
    key_package::KeyPackages,
    process::{Processed, ProposalKind, Proposed, Proposer},
    storage::{SCHEMA, StorageError},
};

/// The MLS state of one device, for the length of one transaction.
pub struct Mls<'t> {
    provider: Provider<'t>,
    device: &'t Device,
    trust: &'t dyn Trust,
}

impl<'t> Mls<'t> {
    /// Works on `transaction`, whose database has the tables of [`SCHEMA`], as `device`. `trust`
    /// is asked about every device that enters a group.
    #[must_use]
    pub fn new(transaction: &'t Transaction<'_>, device: &'t Device, trust: &'t dyn Trust) -> Self {
        Self { provider: Provider::new(transaction, device), device, trust }
    }

    /// A handle on the group of a conversation, which need not exist yet. The group is read at the
    /// first use and kept for the next: process a page of entries with one handle.
    #[must_use]
    pub fn group(&self, conversation: &ConversationName) -> Group<'_> {
        Group::new(self, conversation.clone())
    }
}

#[cfg(test)]
mod tests;
