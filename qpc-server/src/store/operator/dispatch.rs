//! The operator's verbs on top of an adapter's transactions.

use qpc_proto::{
    address::AccountName,
    id::{ConversationName, DeviceId},
};

use super::{
    AccountExtent, AccountOverview, Changed, ConversationDetail, ConversationOverview, InviteInfo, OperatorError,
    OperatorStore, SetupUse,
};
use crate::store::{InviteToken, Reply, StoreFault, dispatch::Transact, verbs::operator as verbs};

impl<A: Transact> OperatorStore for A {
    fn accounts(&self, after: Option<AccountName>, limit: usize) -> Reply<Vec<AccountOverview>, StoreFault> {
        self.read(move |tables| verbs::accounts(tables, after.as_ref(), limit))
    }

    fn account_extent(&self, name: &AccountName) -> Reply<AccountExtent, OperatorError> {
        let name = name.clone();
        self.read(move |tables| verbs::account_extent(tables, &name))
    }

    fn set_suspended(&self, name: &AccountName, suspended: bool) -> Reply<Changed, OperatorError> {
        let name = name.clone();
        self.write(0, move |tables| verbs::set_suspended(tables, &name, suspended))
    }

    fn remove_account(&self, name: &AccountName, now_ms: u64) -> Reply<Changed, OperatorError> {
        let name = name.clone();
        self.write(0, move |tables| verbs::remove_account(tables, &name, now_ms))
    }

    fn remove_device(&self, name: &AccountName, device: DeviceId) -> Reply<Changed, OperatorError> {
        let name = name.clone();
        self.write(0, move |tables| verbs::remove_device(tables, &name, device))
    }

    fn setup_use(&self) -> Reply<Vec<SetupUse>, StoreFault> {
        self.read(|tables| tables.setup_use())
    }

    fn accounts_of_setup(&self, version: u32, limit: usize) -> Reply<Vec<AccountName>, StoreFault> {
        self.read(move |tables| tables.accounts_of_setup(version, limit))
    }

    fn invites(&self, after: Option<InviteToken>, limit: usize) -> Reply<Vec<InviteInfo>, StoreFault> {
        self.read(move |tables| verbs::invites(tables, after, limit))
    }

    fn end_invite(&self, beginning: Vec<u8>, forget: bool) -> Reply<InviteInfo, OperatorError> {
        self.write(0, move |tables| verbs::end_invite(tables, &beginning, forget))
    }

    fn conversations(
        &self,
        after: Option<ConversationName>,
        limit: usize,
    ) -> Reply<Vec<ConversationOverview>, StoreFault> {
        self.read(move |tables| verbs::conversations(tables, after.as_ref(), limit))
    }

    fn conversation(&self, name: &ConversationName) -> Reply<ConversationDetail, OperatorError> {
        let name = name.clone();
        self.read(move |tables| verbs::conversation(tables, &name))
    }
}
