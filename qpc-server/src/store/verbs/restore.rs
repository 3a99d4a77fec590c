//! After a restore: conversations are read-only until they have back what their members have, or a time is over.

use std::collections::{BTreeMap, BTreeSet};

use qpc_proto::{
    address::Domain,
    id::{AccountId, ConversationName, Seq},
};

use super::{copy, follower, group, guest, present};
use crate::store::{
    Actor, AppendError, Awaited, CopyAppend, CopyFrom, Feed, LogEnd, LogPlace, OfferError, Offered, Restored,
    StoreFault, rules,
    tables::{LogId, LogKind, LogRow, Tables},
};

pub(in crate::store) fn await_offers(tables: &mut dyn Tables, restored: Restored) -> Result<(), StoreFault> {
    tables.await_devices(restored, rules::SEEN_WITHIN_MS)
}

pub(in crate::store) fn restored(tables: &mut dyn Tables) -> Result<Option<Restored>, StoreFault> {
    tables.restored()
}

pub(in crate::store) fn awaited(tables: &mut dyn Tables) -> Result<Awaited, StoreFault> {
    tables.count_awaited()
}

/// May something be given back still?
pub(super) fn is_under_way(tables: &mut dyn Tables, now_ms: u64) -> Result<bool, StoreFault> {
    Ok(tables.restored()?.is_some_and(|restored| now_ms < restored.until_ms))
}

/// May this server have known of something that was stored elsewhere at a time, and have lost it in a restore since? While one
/// is under way that can be anything: clocks differ.
pub(super) fn has_forgotten(tables: &mut dyn Tables, stored_ms: u64, now_ms: u64) -> Result<bool, StoreFault> {
    Ok(tables.restored()?.is_some_and(|restored| stored_ms <= restored.at_ms || now_ms < restored.until_ms))
}

/// Does a conversation wait for what somebody has?
fn is_read_only(tables: &mut dyn Tables, log: LogId, now_ms: u64) -> Result<bool, StoreFault> {
    let waiting = tables.awaited_until()?.is_some_and(|until| now_ms < until);
    if waiting { tables.awaits(log) } else { Ok(false) }
}

/// May something new be written into a conversation?
pub(super) fn writable(tables: &mut dyn Tables, log: LogId, now_ms: u64) -> Result<(), AppendError> {
    if is_read_only(tables, log, now_ms)? { Err(AppendError::ReadOnly) } else { Ok(()) }
}

pub(in crate::store) fn log_end(
    tables: &mut dyn Tables,
    actor: &Actor,
    name: &ConversationName,
) -> Result<LogEnd, OfferError> {
    present(tables, actor)?;
    let (log, row) = own(tables, actor, name)?;
    let ends = tables.ends(log)?;
    Ok(LogEnd { head: ends.head, chain: ends.chain, kind: follower::kind_of(row.kind) })
}

/// A log of which the actor may know how it ends: its device's inbox, or a conversation that its account is or was in.
fn own(tables: &mut dyn Tables, actor: &Actor, name: &ConversationName) -> Result<(LogId, LogRow), OfferError> {
    let (log, row) = tables.log(name)?.ok_or(OfferError::NotFound)?;
    let theirs = match row.kind {
        LogKind::Inbox => name.id.as_bytes() == actor.device().as_bytes(),
        LogKind::Direct | LogKind::Group | LogKind::Personal => tables.member(log, actor.account())?.is_some(),
    };
    if theirs { Ok((log, row)) } else { Err(OfferError::NotFound) }
}

/// Is each entry the next one of its device, with an id of its own (invariants 2 and 11)?
fn go_on(tables: &mut dyn Tables, log: LogId, append: &CopyAppend) -> Result<(), OfferError> {
    let (mut counters, mut ids) = (BTreeMap::new(), BTreeSet::new());
    for entry in append.entries.iter().map(|copied| &copied.entry) {
        let Some(sender) = entry.sender else { continue };
        let before = match counters.get(&sender).copied() {
            Some(before) => before,
            None => tables.last_counter(log, sender)?,
        };
        let known = !ids.insert(entry.id) || tables.entry_by_id(log, entry.id)?.is_some();
        if known || entry.counter != before.next() {
            return Err(OfferError::OutOfOrder);
        }
        counters.insert(sender, entry.counter);
    }
    Ok(())
}

/// Who else is in the log by these entries and was not before, so that they may have more of it.
fn added(
    tables: &mut dyn Tables,
    log: LogId,
    giver: Giver<'_>,
    append: &CopyAppend,
) -> Result<Vec<AccountId>, StoreFault> {
    let mut all = Vec::new();
    for (address, ..) in append.change.iter().flat_map(|change| &change.added) {
        let Some(account) = tables.account_at(address)?.map(|account| account.id) else { continue };
        if Some(account) != giver.account() && tables.member(log, account)?.is_none() {
            all.push(account);
        }
    }
    Ok(all)
}

/// Who gives something back.
#[derive(Clone, Copy)]
enum Giver<'g> {
    Device(&'g Actor),
    /// Another domain, of its copy.
    Domain(&'g Domain),
}

impl Giver<'_> {
    fn account(self) -> Option<AccountId> {
        match self {
            Self::Device(actor) => Some(actor.account()),
            Self::Domain(_) => None,
        }
    }

    fn is_awaited(self, tables: &mut dyn Tables, log: LogId) -> Result<bool, StoreFault> {
        match self {
            Self::Device(actor) => tables.awaits_device(log, actor.device()),
            Self::Domain(domain) => tables.awaits_domain(log, domain),
        }
    }

    fn arrived(self, tables: &mut dyn Tables, log: LogId) -> Result<(), StoreFault> {
        match self {
            Self::Device(actor) => tables.arrived(log, actor.device()),
            Self::Domain(domain) => tables.domain_arrived(log, domain),
        }
    }
}

pub(in crate::store) fn offer(tables: &mut dyn Tables, actor: &Actor, offered: &Offered) -> Result<Seq, OfferError> {
    present(tables, actor)?;
    let (log, row) = own(tables, actor, &offered.append.log)?;
    take(tables, (log, &row), Giver::Device(actor), offered)
}

/// Conversations that wait for a domain, among so many after one; and where to go on, where there are more.
pub(in crate::store) fn awaited_of(
    tables: &mut dyn Tables,
    domain: &Domain,
    after: LogPlace,
    limit: usize,
) -> Result<(Vec<Feed>, Option<LogPlace>), StoreFault> {
    let rows = tables.awaited_of(domain, LogId(after.0), limit)?;
    let last = rows.last().filter(|_| rows.len() == limit).map(|(log, _)| LogPlace(log.0));
    Ok((rows.into_iter().map(|(log, row)| Feed { log: row.name, place: LogPlace(log.0) }).collect(), last))
}

pub(in crate::store) fn take_back(
    tables: &mut dyn Tables,
    domain: &Domain,
    offered: &Offered,
) -> Result<Seq, OfferError> {
    let (log, row) = tables.log(&offered.append.log)?.ok_or(OfferError::NotFound)?;
    take(tables, (log, &row), Giver::Domain(domain), offered)
}

fn take(
    tables: &mut dyn Tables,
    (log, row): (LogId, &LogRow),
    giver: Giver<'_>,
    offered: &Offered,
) -> Result<Seq, OfferError> {
    let append = &offered.append;
    if !giver.is_awaited(tables, log)? && !is_read_only(tables, log, append.now_ms)? {
        return Err(OfferError::NotAwaited);
    }
    let mut head = tables.ends(log)?.head;
    if !append.entries.is_empty() {
        if append.from != CopyFrom::Place(head, group::version(tables, log)?) {
            return Err(OfferError::Moved);
        }
        go_on(tables, log, append)?;
        for met in &offered.met {
            // Who is known under another key has been somebody else since, or was before.
            if tables.account_at(&met.address)?.is_none() {
                guest::meet(tables, (met.id, &met.address, met.account_key), append.now_ms)?;
            }
        }
        let others = added(tables, log, giver, append)?;
        head = copy::take_all(tables, (log, row), append, copy::Side::Hub)?;
        tables.await_members(log, &others)?;
    }
    if offered.complete {
        giver.arrived(tables, log)?;
    }
    Ok(head)
}
