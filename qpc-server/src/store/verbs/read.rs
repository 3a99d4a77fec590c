//! Reading logs, and noting how far a device has read.

use qpc_proto::{
    address::Address,
    chain::{ChainValue, EntryContent, LogEntry},
    id::{AccountId, ConversationId, ConversationName, DeviceId, Seq},
    role::Role,
};

use super::present;
use crate::store::{
    Acknowledged, Actor, ConversationInfo, ConversationKind, Hearers, LogPage, LogPlace, Position, Presence, ReadError,
    ReadLog, Refusal, StoreFault, rules,
    tables::{EntryRow, LogId, LogKind, LogView, MemberRow, Range, Say, Tables},
};

/// What part of a log the actor may read.
struct Access {
    view: LogView,
    /// Readable is what comes after the floor, up to and including the head.
    floor: Seq,
    head: Seq,
    /// The actor is no member any more.
    ended: bool,
}

impl Access {
    /// The chain at a readable entry or the floor.
    fn chain(&self, tables: &mut dyn Tables, name: &ConversationName, seq: Seq) -> Result<ChainValue, StoreFault> {
        if seq == self.view.floor {
            return Ok(self.view.floor_chain);
        }
        let broken = || StoreFault::Engine(format!("log {name} has no entry {seq}"));
        tables.chain_at(self.view.log, seq)?.ok_or_else(broken)
    }
}

fn access(
    tables: &mut dyn Tables,
    (account, device): (AccountId, DeviceId),
    name: &ConversationName,
) -> Result<Option<Access>, StoreFault> {
    let Some(view) = tables.log_view(name, account)? else { return Ok(None) };
    if view.kind == LogKind::Inbox {
        let all = Access { view, floor: view.floor, head: view.head, ended: false };
        return Ok((name.id.as_bytes() == device.as_bytes()).then_some(all));
    }
    Ok(view.member.and_then(|member| member_access(view, member)))
}

fn who(actor: &Actor) -> (AccountId, DeviceId) {
    (actor.account(), actor.device())
}

/// A member reads from the entry that added it, and no further than the one that removed it.
fn member_access(view: LogView, member: MemberRow) -> Option<Access> {
    let before = Seq(member.from.0.saturating_sub(1));
    let access = Access {
        view,
        floor: before.max(view.floor),
        head: member.until.map_or(view.head, |until| until.min(view.head)),
        ended: member.until.is_some(),
    };
    (access.floor <= access.head).then_some(access)
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
    let rows = tables.entries((access.view.log, &read.log), range)?;
    Ok(LogPage {
        entries: rows.into_iter().map(|row| shown(row, actor.account())).collect(),
        head: access.head,
        floor: access.floor,
        floor_chain: access.chain(tables, &read.log, access.floor)?,
    })
}

pub(in crate::store) fn presence(
    tables: &mut dyn Tables,
    actor: &Actor,
    name: &ConversationName,
) -> Result<Presence, ReadError> {
    present(tables, actor)?;
    let view = tables.log_view(name, actor.account())?.filter(|view| view.kind != LogKind::Inbox);
    let inside = |view: &LogView| view.member.is_some_and(|member| member.until.is_none());
    let view = view.filter(inside).ok_or(ReadError::NotFound)?;
    if view.kind != LogKind::Direct {
        return Ok(Presence::Member);
    }
    // Who is alone in it has lost the other one: the conversation is over, and can be read.
    let other = tables.audience(view.log)?.iter().copied().find(|account| *account != actor.account());
    let Some(other) = other else { return Ok(Presence::Unanswered) };
    let accepted = tables.stance(other, actor.account())?.say == Say::Accepted;
    Ok(if accepted { Presence::Member } else { Presence::Unanswered })
}

pub(in crate::store) fn hearers(
    tables: &mut dyn Tables,
    actor: &Actor,
    name: &ConversationName,
) -> Result<Hearers, ReadError> {
    present(tables, actor)?;
    let view = tables.log_view(name, actor.account())?.filter(|view| view.kind != LogKind::Inbox);
    let inside = |view: &LogView| view.member.is_some_and(|member| member.until.is_none());
    let view = view.filter(inside).ok_or(ReadError::NotFound)?;
    let members = tables.audience(view.log)?;
    let place = LogPlace(view.log.0);
    if view.kind != LogKind::Direct {
        return Ok(Hearers { place, members, pair: None, open: true });
    }
    // Who is alone in it has lost the other one.
    let other = members.iter().copied().find(|account| *account != actor.account());
    let Some(other) = other else { return Ok(Hearers { place, members, pair: None, open: false }) };
    let pair = [actor.account(), other];
    let mut open = true;
    for [owner, peer] in [pair, [other, actor.account()]] {
        let stance = tables.stance(owner, peer)?;
        open &= stance.say == Say::Accepted && !stance.blocked;
    }
    Ok(Hearers { place, members, pair: Some(pair), open })
}

pub(in crate::store) fn positions(
    tables: &mut dyn Tables,
    actor: &Actor,
    cursors: &[(ConversationName, Seq)],
) -> Result<Vec<Option<Position>>, Refusal> {
    present(tables, actor)?;
    let position = |(name, after): &(ConversationName, Seq)| {
        let Some(access) = access(tables, who(actor), name)? else { return Ok(None) };
        let after = (*after).clamp(access.floor, access.head);
        let chain = access.chain(tables, name, after)?;
        Ok(Some(Position { after, chain, head: access.head, place: LogPlace(access.view.log.0) }))
    };
    cursors.iter().map(position).collect()
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
            kind: match row.kind {
                LogKind::Direct => ConversationKind::Direct,
                LogKind::Personal => ConversationKind::Personal,
                LogKind::Group | LogKind::Inbox => ConversationKind::Group,
            },
            members: members(tables, log)?,
            epoch: ends.epoch,
            head: ends.head,
            counter: tables.last_counter(log, actor.device())?,
        });
    }
    Ok(conversations)
}

/// Everybody in a conversation, of here and of other domains, in order of address.
fn members(tables: &mut dyn Tables, log: LogId) -> Result<Vec<(Address, Role)>, StoreFault> {
    let mut members = tables.member_addresses(log)?;
    let outer = tables.outer_members(log)?;
    if !outer.is_empty() {
        members.extend(outer);
        members.sort_unstable();
    }
    Ok(members)
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
        if !tables.raise_cursor(access.view.log, device, cursor.seq())? {
            tables.start_cursor(access.view.log, device, cursor.seq().min(access.head))?;
        }
    }
    Ok(())
}
