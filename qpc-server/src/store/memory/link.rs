//! Links into groups, and who waits by them, in maps.

use std::collections::BTreeMap;

use qpc_proto::{id::AccountId, link::LinkKey};

use super::World;
use crate::store::tables::{Fallible, JoinRow, LinkRow, LinkTables, LogId};

#[derive(Default)]
pub(super) struct Links {
    links: BTreeMap<(LogId, LinkKey), LinkRow>,
    requests: BTreeMap<(LogId, AccountId), JoinRow>,
}

impl LinkTables for World {
    fn link(&mut self, log: LogId, key: LinkKey) -> Fallible<Option<LinkRow>> {
        Ok(self.links.links.get(&(log, key)).copied())
    }

    fn links(&mut self, log: LogId) -> Fallible<Vec<LinkRow>> {
        Ok(self.links.links.iter().filter(|((of, _), _)| *of == log).map(|(_, link)| *link).collect())
    }

    fn put_link(&mut self, log: LogId, link: &LinkRow) -> Fallible<()> {
        self.links.links.insert((log, link.key), *link);
        Ok(())
    }

    fn remove_link(&mut self, log: LogId, key: LinkKey) -> Fallible<()> {
        self.links.links.remove(&(log, key));
        self.links.requests.retain(|(of, _), row| *of != log || row.link != key);
        Ok(())
    }

    fn drop_links(&mut self, before_ms: u64) -> Fallible<()> {
        let old = self.links.links.iter().filter(|(_, link)| link.expires_ms < before_ms);
        for (log, key) in old.map(|(at, _)| *at).collect::<Vec<_>>() {
            self.remove_link(log, key)?;
        }
        Ok(())
    }

    fn join_request(&mut self, log: LogId, account: AccountId) -> Fallible<Option<JoinRow>> {
        Ok(self.links.requests.get(&(log, account)).cloned())
    }

    fn join_requests(&mut self, log: LogId) -> Fallible<Vec<JoinRow>> {
        Ok(self.links.requests.iter().filter(|((of, _), _)| *of == log).map(|(_, row)| row.clone()).collect())
    }

    fn count_joins_asked(&mut self, account: AccountId, after_ms: u64) -> Fallible<usize> {
        let asked = self.links.requests.iter().filter(|((_, of), _)| *of == account);
        let live = |log: LogId, link| self.links.links.get(&(log, link)).is_some_and(|link| link.expires_ms > after_ms);
        Ok(asked.filter(|((log, _), row)| live(*log, row.link)).count())
    }

    fn put_join_request(&mut self, log: LogId, request: &JoinRow) -> Fallible<()> {
        self.links.requests.insert((log, request.account), request.clone());
        Ok(())
    }

    fn remove_join_request(&mut self, log: LogId, account: AccountId) -> Fallible<()> {
        self.links.requests.remove(&(log, account));
        Ok(())
    }

    fn remove_joins_asked(&mut self, account: AccountId) -> Fallible<()> {
        self.links.requests.retain(|(_, of), _| *of != account);
        Ok(())
    }
}
