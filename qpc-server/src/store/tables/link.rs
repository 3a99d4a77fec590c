//! Rows of links into groups, and of who waits by them.

use bytes::Bytes;
use qpc_proto::{id::AccountId, link::LinkKey};

use super::{Fallible, LogId};

/// A link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct LinkRow {
    pub(in crate::store) key: LinkKey,
    pub(in crate::store) expires_ms: u64,
    pub(in crate::store) uses_left: u32,
    pub(in crate::store) withdrawn: bool,
}

/// A request that waits: one for each account and group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct JoinRow {
    pub(in crate::store) account: AccountId,
    pub(in crate::store) link: LinkKey,
    /// Encoded `JoinRequest`.
    pub(in crate::store) request: Bytes,
}

/// Links and requests.
pub(in crate::store) trait LinkTables {
    fn link(&mut self, log: LogId, key: LinkKey) -> Fallible<Option<LinkRow>>;
    /// Of a group, expired and withdrawn ones too.
    fn links(&mut self, log: LogId) -> Fallible<Vec<LinkRow>>;
    /// Adds or replaces a link.
    fn put_link(&mut self, log: LogId, link: &LinkRow) -> Fallible<()>;
    /// Removes a link and the requests that wait by it.
    fn remove_link(&mut self, log: LogId, key: LinkKey) -> Fallible<()>;
    /// Removes, in all groups, links that ended before a time, with their requests.
    fn drop_links(&mut self, before_ms: u64) -> Fallible<()>;

    fn join_request(&mut self, log: LogId, account: AccountId) -> Fallible<Option<JoinRow>>;
    /// Of a group, in order of account.
    fn join_requests(&mut self, log: LogId) -> Fallible<Vec<JoinRow>>;
    /// Groups that an account has asked by links which end after a time.
    fn count_joins_asked(&mut self, account: AccountId, after_ms: u64) -> Fallible<usize>;
    /// Adds a request, or replaces the account's earlier one.
    fn put_join_request(&mut self, log: LogId, request: &JoinRow) -> Fallible<()>;
    fn remove_join_request(&mut self, log: LogId, account: AccountId) -> Fallible<()>;
    /// Removes all of an account.
    fn remove_joins_asked(&mut self, account: AccountId) -> Fallible<()>;
}
