//! Rows as the operator asks for them.

use qpc_proto::{
    address::AccountName,
    id::{AccountId, ConversationName},
};

use super::{AccountRow, AccountState, Fallible, InviteRow, LogId, LogRow};
use crate::store::InviteToken;

/// Lists of everything, in order, and an account's state.
pub(in crate::store) trait OperatorTables {
    /// This server's own accounts with a name greater than `after`.
    fn own_accounts(&mut self, after: Option<&AccountName>, limit: usize) -> Fallible<Vec<AccountRow>>;
    /// Sets what an account is, and nothing else of it.
    fn set_account_state(&mut self, id: AccountId, state: AccountState) -> Fallible<()>;
    /// Invites from a hash on.
    fn invites_from(&mut self, first: Option<InviteToken>, limit: usize) -> Fallible<Vec<InviteRow>>;
    /// Conversations, by id and domain.
    fn conversations(&mut self, after: Option<&ConversationName>, limit: usize) -> Fallible<Vec<(LogId, LogRow)>>;
    /// Bytes of the bodies that a log has.
    fn stored_bytes(&mut self, log: LogId) -> Fallible<u64>;
}
