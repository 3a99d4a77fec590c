//! Rows as the operator asks for them.

use qpc_proto::{
    address::AccountName,
    id::{AccountId, ConversationName},
};

use super::{AccountRow, AccountState, Fallible, InviteRow, LogId, LogRow};
use crate::store::{InviteToken, SetupUse};

/// Lists of everything, in order, and an account's state.
pub(in crate::store) trait OperatorTables {
    /// This server's own accounts with a name greater than `after`.
    fn own_accounts(&mut self, after: Option<&AccountName>, limit: usize) -> Fallible<Vec<AccountRow>>;
    /// Sets what an account is, and nothing else of it.
    fn set_account_state(&mut self, id: AccountId, state: AccountState) -> Fallible<()>;
    /// The OPAQUE setups of own accounts that somebody has, in order, with how many.
    fn setup_use(&mut self) -> Fallible<Vec<SetupUse>>;
    /// Those of one of them, in order of name.
    fn accounts_of_setup(&mut self, version: u32, limit: usize) -> Fallible<Vec<AccountName>>;
    /// Invites from a hash on.
    fn invites_from(&mut self, first: Option<InviteToken>, limit: usize) -> Fallible<Vec<InviteRow>>;
    /// Conversations, by id and domain.
    fn conversations(&mut self, after: Option<&ConversationName>, limit: usize) -> Fallible<Vec<(LogId, LogRow)>>;
    /// Bytes of the bodies that a log has.
    fn stored_bytes(&mut self, log: LogId) -> Fallible<u64>;
}
