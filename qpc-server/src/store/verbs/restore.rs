//! After a restore: conversations are read-only until they have back what their members have, or a time is over.

use std::collections::{BTreeMap, BTreeSet};

use qpc_proto::id::{AccountId, ConversationName, Seq};

use super::{copy, follower, group, present};
use crate::store::{
    Actor, AppendError, Awaited, CopyAppend, CopyFrom, LogEnd, OfferError, Offered, Restored, StoreFault, rules,
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
    (log, actor): (LogId, &Actor),
    append: &CopyAppend,
) -> Result<Vec<AccountId>, StoreFault> {
    let mut all = Vec::new();
    for (address, ..) in append.change.iter().flat_map(|change| &change.added) {
        let Some(account) = tables.account_at(address)?.map(|account| account.id) else { continue };
        if account != actor.account() && tables.member(log, account)?.is_none() {
            all.push(account);
        }
    }
    Ok(all)
}

pub(in crate::store) fn offer(tables: &mut dyn Tables, actor: &Actor, offered: &Offered) -> Result<Seq, OfferError> {
    present(tables, actor)?;
    let append = &offered.append;
    let (log, row) = own(tables, actor, &append.log)?;
    if !tables.awaits_device(log, actor.device())? && !is_read_only(tables, log, append.now_ms)? {
        return Err(OfferError::NotAwaited);
    }
    let mut head = tables.ends(log)?.head;
    if !append.entries.is_empty() {
        if append.from != CopyFrom::Place(head, group::version(tables, log)?) {
            return Err(OfferError::Moved);
        }
        go_on(tables, log, append)?;
        let others = added(tables, (log, actor), append)?;
        head = copy::take_all(tables, (log, &row), append, copy::Side::Hub)?;
        tables.await_members(log, &others)?;
    }
    if offered.complete {
        tables.arrived(log, actor.device())?;
    }
    Ok(head)
}
