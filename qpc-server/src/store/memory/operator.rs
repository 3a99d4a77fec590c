//! The operator's lists from maps.

use std::collections::BTreeMap;

use qpc_proto::{
    address::AccountName,
    chain::EntryContent,
    id::{AccountId, ConversationName},
};

use super::World;
use crate::store::{
    InviteToken, SetupUse,
    tables::{AccountRow, AccountState, Fallible, InviteRow, LogId, LogRow, OperatorTables},
};

impl OperatorTables for World {
    fn own_accounts(&mut self, after: Option<&AccountName>, limit: usize) -> Fallible<Vec<AccountRow>> {
        let accounts = &self.accounts;
        let names = accounts.names.iter().filter(|(name, _)| after.is_none_or(|after| *name > after));
        Ok(names.filter_map(|(_, id)| Some(accounts.rows.get(id)?.0.clone())).take(limit).collect())
    }

    fn set_account_state(&mut self, id: AccountId, state: AccountState) -> Fallible<()> {
        if let Some((row, _)) = self.accounts.rows.get_mut(&id) {
            row.state = state;
        }
        Ok(())
    }

    fn setup_use(&mut self) -> Fallible<Vec<SetupUse>> {
        let mut used = BTreeMap::<u32, u64>::new();
        for (_, password) in self.accounts.rows.values().filter(|(row, _)| row.state.is_had()) {
            let accounts = used.entry(password.setup_version).or_default();
            *accounts = accounts.saturating_add(1);
        }
        Ok(used.into_iter().map(|(version, accounts)| SetupUse { version, accounts }).collect())
    }

    fn accounts_of_setup(&mut self, version: u32, limit: usize) -> Fallible<Vec<AccountName>> {
        let accounts = &self.accounts;
        let of = |id| accounts.rows.get(id).filter(|(row, of)| row.state.is_had() && of.setup_version == version);
        Ok(accounts.names.iter().filter(|(_, id)| of(id).is_some()).map(|(name, _)| name.clone()).take(limit).collect())
    }

    fn invites_from(&mut self, first: Option<InviteToken>, limit: usize) -> Fallible<Vec<InviteRow>> {
        let first = first.map_or([0; 32], |token| token.0);
        let mut rows: Vec<_> = self.accounts.invites.values().filter(|row| row.token.0 >= first).cloned().collect();
        rows.sort_unstable_by_key(|row| row.token.0);
        rows.truncate(limit);
        Ok(rows)
    }

    fn conversations(&mut self, after: Option<&ConversationName>, limit: usize) -> Fallible<Vec<(LogId, LogRow)>> {
        let key = |name: &ConversationName| (name.id, name.domain.as_str().to_owned());
        let after = after.map(key);
        let logs = self.logs.rows.iter().filter(|(_, log)| !log.is_inbox()).map(|(id, log)| (*id, log.row.clone()));
        let mut rows: Vec<_> = logs.filter(|(_, row)| Some(key(&row.name)) > after).collect();
        rows.sort_unstable_by_key(|(_, row)| key(&row.name));
        rows.truncate(limit);
        Ok(rows)
    }

    fn stored_bytes(&mut self, log: LogId) -> Fallible<u64> {
        let entries = self.logs.rows.get(&log).into_iter().flat_map(|log| &log.entries);
        let bodies = entries.filter_map(|row| match &row.entry.content {
            EntryContent::Body(body) => Some(u64::try_from(body.len()).unwrap_or(u64::MAX)),
            EntryContent::Removed(_) => None,
        });
        Ok(bodies.fold(0, u64::saturating_add))
    }
}
