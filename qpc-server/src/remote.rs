//! The port to other domains: what this server asks their servers for its own people, and what they are to be told (D11).
//!
//! Nothing that is local waits for an answer from here.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use qpc_proto::{
    address::{Address, Domain},
    chain::LogEntry,
    id::ConversationName,
    suite::Suite,
    v1::{self, peer_done},
};

use crate::{blob_store::Place, store::Waiting};

/// Some of a blob that another domain keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRange {
    /// Of the whole blob, in bytes.
    pub size: u64,
    /// From the offset on.
    pub data: Bytes,
    /// For how much longer the domain keeps the blob, in milliseconds; 0 where that has no end.
    pub kept_ms: u64,
}

/// Why another domain gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// This server exchanges nothing with it.
    #[error("no domain that this server federates with")]
    Unknown,
    /// Its server can't be reached now, or did not answer in time. What was asked may have been done.
    #[error("the domain can't be reached")]
    Unreachable,
    /// As many requests to it are under way as may be.
    #[error("too many requests to the domain are under way")]
    Busy,
    /// It has no such thing.
    #[error("the domain has no such thing")]
    NotFound,
    /// What it has ends before what was asked for.
    #[error("the domain has less of it")]
    Range,
    /// It asks to wait so long.
    #[error("the domain asks to wait for {0:?}")]
    Wait(Duration),
    /// It answered something else than was asked, or refused for a reason that is not the asker's.
    #[error("the domain's answer is none")]
    Unfit,
}

/// What other domains can be asked. Dropping a future gives up what it asked for.
pub trait Remote: Send + Sync + 'static {
    /// Whether this server federates with a domain, and knows where its server is.
    fn knows(&self, domain: &Domain) -> bool;

    /// Key packages of an account of another domain, for a requester of this one, which adds it somewhere; and the
    /// certificates of the account's devices, as its server gives them.
    fn claim_key_packages(
        &self,
        requester: &Address,
        target: &Address,
        suite: Suite,
    ) -> BoxFuture<'static, Result<v1::PeerClaimKeyPackagesAnswer, RemoteError>>;

    /// Has a hub do something for somebody of here. Of its refusals those come back that a client may hear.
    fn act(&self, domain: &Domain, deed: v1::PeerDeed) -> BoxFuture<'static, Result<peer_done::Result, RemoteError>>;

    /// The tree that the copy of a conversation begins with, from a byte on.
    fn read_tree(
        &self,
        domain: &Domain,
        conversation: &ConversationName,
        offset: usize,
    ) -> BoxFuture<'static, Result<Bytes, RemoteError>>;

    /// Some of a blob in a conversation that a domain orders, at most so many bytes.
    fn read_blob(
        &self,
        place: &Place,
        offset: u64,
        length: usize,
    ) -> BoxFuture<'static, Result<PeerRange, RemoteError>>;

    /// A log that a domain reads has a new entry. A hint: what is lost is found again by itself.
    fn news(&self, domain: &Domain, entry: &Arc<LogEntry>);

    /// A message waits to be sent to a domain. A hint as well.
    fn outgoing(&self, domain: &Domain, waiting: Waiting);

    /// Devices of here are gone, of which domains may have to be told. A hint, too.
    fn devices_gone(&self);
}

#[cfg(test)]
pub(crate) mod scripted {
    //! Another domain that says what a test has it say, and nothing else.

    use futures_util::FutureExt;

    use super::*;

    type Says<A, T> = Box<dyn Fn(A) -> Result<T, RemoteError> + Send + Sync>;

    /// By default it is not known.
    pub(crate) struct Scripted {
        /// Parts of trees, from an offset on.
        pub(crate) tree: Says<usize, Bytes>,
        /// Ranges of blobs, from an offset on.
        pub(crate) blob: Says<u64, PeerRange>,
    }

    impl Default for Scripted {
        fn default() -> Self {
            Self { tree: Box::new(|_| Err(RemoteError::Unknown)), blob: Box::new(|_| Err(RemoteError::Unknown)) }
        }
    }

    fn at_once<T: Send + 'static>(said: Result<T, RemoteError>) -> BoxFuture<'static, Result<T, RemoteError>> {
        std::future::ready(said).boxed()
    }

    impl Remote for Scripted {
        fn knows(&self, _: &Domain) -> bool {
            true
        }

        fn claim_key_packages(
            &self,
            _: &Address,
            _: &Address,
            _: Suite,
        ) -> BoxFuture<'static, Result<v1::PeerClaimKeyPackagesAnswer, RemoteError>> {
            at_once(Err(RemoteError::Unknown))
        }

        fn act(&self, _: &Domain, _: v1::PeerDeed) -> BoxFuture<'static, Result<peer_done::Result, RemoteError>> {
            at_once(Err(RemoteError::Unknown))
        }

        fn read_tree(
            &self,
            _: &Domain,
            _: &ConversationName,
            offset: usize,
        ) -> BoxFuture<'static, Result<Bytes, RemoteError>> {
            at_once((self.tree)(offset))
        }

        fn read_blob(&self, _: &Place, offset: u64, _: usize) -> BoxFuture<'static, Result<PeerRange, RemoteError>> {
            // Others may come in between, as they may where the answer is on its way.
            let said = (self.blob)(offset);
            async {
                tokio::task::yield_now().await;
                said
            }
            .boxed()
        }

        fn news(&self, _: &Domain, _: &Arc<LogEntry>) {}

        fn outgoing(&self, _: &Domain, _: Waiting) {}

        fn devices_gone(&self) {}
    }
}
