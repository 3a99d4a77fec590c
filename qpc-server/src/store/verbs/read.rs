//! Reading logs, and noting how far a device has read.

use qpc_proto::{
    chain::{ChainValue, EntryContent, LogEntry},
    id::{AccountId, ConversationId, ConversationName, DeviceId, Seq},
};

use super::present;
use crate::store::{
    Acknowledged, Actor, ConversationInfo, ConversationKind, LogPage, LogPlace, Position, ReadError, ReadLog, Refusal,
    StoreFault, rules,
    tables::{Ends, EntryRow, LogId, LogKind, MemberRow, Range, Tables},
};

/// What part of a log the actor may read.
struct Access {
    log: LogId,
    /// Readable is what comes after the floor, up to and including the head.
    floor: Seq,
    floor_chain: ChainValue,
    head: Seq,
    /// The actor is no member any more.
    ended: bool,
}

fn access(
    tables: &mut dyn Tables,
    (account, device): (AccountId, DeviceId),
    name: &ConversationName,
) -> Result<Option<Access>, StoreFault> {
    let Some((log, row)) = tables.log(name)? else { return Ok(None) };
    let ends = tables.ends(log)?;
    let all = Access { log, floor: ends.floor, floor_chain: ends.floor_chain, head: ends.head, ended: false };
    if row.kind == LogKind::Inbox {
        return Ok((name.id.as_bytes() == device.as_bytes()).then_some(all));
    }
    match tables.member(log, account)? {
        Some(member) => member_access(tables, all, member, &ends),
        None => Ok(None),
    }
}

fn who(actor: &Actor) -> (AccountId, DeviceId) {
    (actor.account(), actor.device())
}

/// A member reads from the entry that added it, and no further than the one that removed it.
fn member_access(
    tables: &mut dyn Tables,
    all: Access,
    member: MemberRow,
    ends: &Ends,
) -> Result<Option<Access>, StoreFault> {
    let mut access = Access {
        head: member.until.map_or(ends.head, |until| until.min(ends.head)),
        ended: member.until.is_some(),
        ..all
    };
    let before = Seq(member.from.0.saturating_sub(1));
    if before > access.floor
        && let Some(chain) = tables.chain_at(access.log, before)?
    {
        access.floor = before;
        access.floor_chain = chain;
    }
    Ok((access.floor <= access.head).then_some(access))
}

/// An entry as the actor sees it: what its block withholds looks removed.
fn shown(row: EntryRow, reader: AccountId) -> LogEntry {
    let mut entry = row.entry;
    if row.withheld_from == Some(reader) {
        entry.content = EntryContent::Removed(rules::digest(&entry));
    }
    entry
}

pub(in crate::store) fn read_log(tables: &mut dyn Tables, actor: &Actor, read: &ReadLog) -> Result<LogPage, ReadError> {
    present(tables, actor)?;
    let access = access(tables, who(actor), &read.log)?.ok_or(ReadError::NotFound)?;
    let range =
        Range { after: read.after.max(access.floor), upto: access.head, limit: read.limit, max_bytes: read.max_bytes };
    let rows = tables.entries(access.log, range)?;
    Ok(LogPage {
        entries: rows.into_iter().map(|row| shown(row, actor.account())).collect(),
        head: access.head,
        floor: access.floor,
        floor_chain: access.floor_chain,
    })
}

pub(in crate::store) fn position(
    tables: &mut dyn Tables,
    actor: &Actor,
    name: &ConversationName,
    after: Seq,
) -> Result<Position, ReadError> {
    present(tables, actor)?;
    let access = access(tables, who(actor), name)?.ok_or(ReadError::NotFound)?;
    let after = after.clamp(access.floor, access.head);
    let chain = if after == access.floor {
        access.floor_chain
    } else {
        tables.chain_at(access.log, after)?.ok_or_else(|| broken(name, after))?
    };
    Ok(Position { after, chain, head: access.head, place: LogPlace(access.log.0) })
}

fn broken(name: &ConversationName, seq: Seq) -> StoreFault {
    StoreFault::Engine(format!("log {name} has no entry {seq}"))
}

pub(in crate::store) fn list_conversations(
    tables: &mut dyn Tables,
    actor: &Actor,
    after: Option<ConversationId>,
    limit: usize,
) -> Result<Vec<ConversationInfo>, Refusal> {
    present(tables, actor)?;
    let mut conversations = Vec::new();
    for (log, row) in tables.logs_of(actor.account(), after, limit)? {
        let ends = tables.ends(log)?;
        conversations.push(ConversationInfo {
            conversation: row.name,
            kind: if row.kind == LogKind::Direct { ConversationKind::Direct } else { ConversationKind::Group },
            members: tables.member_addresses(log)?,
            epoch: ends.epoch,
            head: ends.head,
            counter: tables.last_counter(log, actor.device())?,
        });
    }
    Ok(conversations)
}

pub(in crate::store) fn record_cursors(tables: &mut dyn Tables, cursors: &[Acknowledged]) -> Result<(), StoreFault> {
    for cursor in cursors {
        let (account, device, log) = (cursor.account(), cursor.device(), cursor.log());
        // What is revoked, or can't read the log any more, has nothing to wait for.
        if tables.device(device)?.is_none_or(|row| row.account != account) {
            continue;
        }
        // A cursor that is there was begun, and is ended, by what the device may read; only a new one needs a judgement.
        if tables.raise_cursor(LogId(cursor.place().0), device, cursor.seq())? {
            continue;
        }
        let Some(access) = access(tables, (account, device), log)?.filter(|access| !access.ended) else { continue };
        if !tables.raise_cursor(access.log, device, cursor.seq())? {
            tables.start_cursor(access.log, device, cursor.seq().min(access.head))?;
        }
    }
    Ok(())
}
