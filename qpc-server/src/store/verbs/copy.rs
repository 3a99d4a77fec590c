//! Copies of conversations that other domains order, and what their inboxes hold for devices here.

use prost::Message;
use qpc_proto::{
    address::{Address, Domain},
    chain::{EntryContent, EntryKind, LogEntry},
    id::{AccountId, ConversationName, DeviceId, Seq},
    role::Role,
    v1::{ContactEvent, ContactNotice, ConversationKind as WireKind, WelcomeNotice},
};

use super::{
    active,
    consent::has_agreed,
    conversation, follower, group, guest,
    inbox::{self, Notice},
    membership, participant, restore,
};
use crate::store::{
    Audience, Committed, ConversationKind, CopiedEntry, CopyAppend, CopyChange, CopyError, CopyFrom, CopyPlace, Met,
    StoreFault, rules,
    tables::{AccountRow, EntryRow, LogId, LogKind, LogRow, MemberRow, Say, Stance, Tables},
};

fn log_kind(kind: ConversationKind) -> LogKind {
    match kind {
        ConversationKind::Direct => LogKind::Direct,
        ConversationKind::Group => LogKind::Group,
        ConversationKind::Personal => LogKind::Personal,
    }
}

pub(in crate::store) fn copy_place(
    tables: &mut dyn Tables,
    name: &ConversationName,
) -> Result<Option<CopyPlace>, StoreFault> {
    let Some((log, row)) = tables.log(name)? else { return Ok(None) };
    let ends = tables.ends(log)?;
    Ok(follower::kind_of(row.kind).map(|kind| CopyPlace { head: ends.head, chain: ends.chain, kind }))
}

pub(in crate::store) fn copy(tables: &mut dyn Tables, append: &CopyAppend) -> Result<Seq, CopyError> {
    for entry in &append.entries {
        judge_own(tables, (&append.log, append.now_ms), entry)?;
    }
    let (log, row) = match &append.from {
        CopyFrom::Place(head, version) => {
            let (log, row) = tables.log(&append.log)?.ok_or(CopyError::Moved)?;
            if tables.ends(log)?.head != *head || group::version(tables, log)? != *version {
                return Err(CopyError::Moved);
            }
            (log, row)
        }
        CopyFrom::Base { kind, after, chain, met, continues } => {
            if !concerns_somebody(tables, append, (log_kind(*kind), continues.as_ref()))? {
                return Err(CopyError::Nobody);
            }
            let peer = met.as_ref().map(|met| meet(tables, met, append.now_ms)).transpose()?;
            begin(tables, append, (log_kind(*kind), peer, continues.as_ref()), (*after, *chain))?
        }
    };
    Ok(take_all(tables, (log, &row), append, Side::Follower)?)
}

/// Where a log is, whose entries are taken as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// At the server that orders it: everybody in it has a row, and agreed to be in it when that server let them in.
    Hub,
    /// At another: people of there have a row if they have agreed.
    Follower,
}

/// Appends judged entries and makes what they change; gives the last entry.
pub(super) fn take_all(
    tables: &mut dyn Tables,
    (log, row): (LogId, &LogRow),
    append: &CopyAppend,
    side: Side,
) -> Result<Seq, StoreFault> {
    let mut head = tables.ends(log)?.head;
    for copied in &append.entries {
        head = copied.entry.seq;
        take(tables, (log, row), copied)?;
        if let Some(change) = &append.change {
            access(tables, (log, row), (change, side), copied)?;
        }
    }
    fail::fail_point!("store::copied");
    match &append.change {
        Some(change) => settle(tables, (log, row.kind), (change, side), append)?,
        None if !append.group_info.is_empty() => {
            let epoch = tables.ends(log)?.epoch;
            tables.set_epoch(log, epoch, &append.group_info)?;
        }
        None => {}
    }
    Ok(head)
}

/// What a device of here is said to have sent went through here.
fn judge_own(
    tables: &mut dyn Tables,
    (log, now_ms): (&ConversationName, u64),
    copied: &CopiedEntry,
) -> Result<(), CopyError> {
    let entry = &copied.entry;
    if !copied.own {
        return Ok(());
    }
    let sent = tables.outgoing(log, entry.id)?.filter(|sent| {
        Some(sent.device) == entry.sender
            && sent.counter == entry.counter
            && sent.kind == entry.kind
            && sent.digest == rules::digest(entry)
    });
    if sent.is_some() || restore::has_forgotten(tables, entry.stored_ms, now_ms)? {
        Ok(())
    } else {
        Err(CopyError::Forged(entry.id))
    }
}

/// Makes somebody of the hub's domain known, of whom that hub is the one to say who it is.
fn meet(tables: &mut dyn Tables, met: &Met, now_ms: u64) -> Result<AccountRow, CopyError> {
    guest::meet(tables, (met.id, &met.address, met.account_key), now_ms)?.ok_or(CopyError::Person)
}

/// Begins a copy, or begins it anew.
fn begin(
    tables: &mut dyn Tables,
    append: &CopyAppend,
    (kind, peer, continues): (LogKind, Option<AccountRow>, Option<&ConversationName>),
    (after, chain): (Seq, qpc_proto::chain::ChainValue),
) -> Result<(LogId, LogRow), CopyError> {
    let (log, row) = match tables.log(&append.log)? {
        Some((log, row)) if row.kind == kind => (log, row),
        // An inbox of here, or a conversation that was of another kind.
        Some(_) => return Err(CopyError::Person),
        None => {
            let (name, continues) = (append.log.clone(), continues.cloned());
            let row = LogRow { name, kind, creation: None, created_ms: append.now_ms, continues };
            (tables.insert_log(&row)?, row)
        }
    };
    for member in tables.members(log)?.iter().copied() {
        membership::end_access(tables, log, member, after)?;
    }
    tables.restart_log(log, after, chain)?;
    let (Some(peer), Some(change)) = (peer, &append.change) else { return Ok((log, row)) };
    // Between two: whoever made the conversation has accepted the other one and asked them.
    for (address, key, _) in &change.added {
        let Some(own) = active(tables, address)?.filter(|own| own.key == *key) else { continue };
        let founder = append.entries.first().and_then(|first| first.sender.as_ref());
        let (asker, asked) = if founder == Some(address) { (own.id, peer.id) } else { (peer.id, own.id) };
        conversation::consent(tables, asker, asked)?;
        tables.set_direct(own.id, peer.id, &append.log)?;
    }
    Ok((log, row))
}

/// Appends one entry as the hub has it.
fn take(tables: &mut dyn Tables, (log, row): (LogId, &LogRow), copied: &CopiedEntry) -> Result<(), StoreFault> {
    let entry = &copied.entry;
    let audience = tables.audience(log)?;
    let withheld_from = match (row.kind, entry.kind, &copied.sender) {
        (LogKind::Direct, EntryKind::Message, Some(sender)) => blocker(tables, &audience, sender)?,
        _ => None,
    };
    tables.append(log, &EntryRow { entry: entry.clone(), withheld_from })?;
    let committed = Committed {
        entry: entry.clone().into(),
        audience: Audience::Members(audience),
        withheld_from,
        followers: tables.followers(log)?,
    };
    tables.emit(committed);
    if copied.own
        && let Some(sent) = tables.outgoing(&row.name, entry.id)?
    {
        tables.remove_outgoing(sent.row)?;
    }
    Ok(())
}

/// Who of a conversation of two has blocked the sender.
fn blocker(tables: &mut dyn Tables, audience: &[AccountId], sender: &Address) -> Result<Option<AccountId>, StoreFault> {
    let Some(sender) = tables.account_at(sender)? else { return Ok(None) };
    for account in audience.iter().copied().filter(|account| *account != sender.id) {
        if tables.stance(account, sender.id)?.blocked {
            return Ok(Some(account));
        }
    }
    Ok(None)
}

/// Does somebody of here get access by what a copy begins with?
fn concerns_somebody(
    tables: &mut dyn Tables,
    append: &CopyAppend,
    (kind, continues): (LogKind, Option<&ConversationName>),
) -> Result<bool, StoreFault> {
    for (address, key, seq) in append.change.iter().flat_map(|change| &change.added) {
        let by =
            append.entries.iter().find(|copied| copied.entry.seq == *seq).and_then(|copied| copied.sender.as_ref());
        if let Some(account) = active(tables, address)?.filter(|account| account.key == *key)
            && comes_in(tables, &account, by, (kind, &append.log, continues))?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Who does not want to be in a group has no access to it, whatever its hub has done. Between two, the request is theirs to
/// answer.
fn comes_in(
    tables: &mut dyn Tables,
    account: &AccountRow,
    by: Option<&Address>,
    (kind, name, continues): (LogKind, &ConversationName, Option<&ConversationName>),
) -> Result<bool, StoreFault> {
    match by {
        _ if kind == LogKind::Direct => Ok(true),
        Some(by) => has_agreed(tables, account, by, (name, continues)),
        None => Ok(false),
    }
}

/// Whose access begins or ends with an entry.
fn access(
    tables: &mut dyn Tables,
    (log, row): (LogId, &LogRow),
    (change, side): (&CopyChange, Side),
    copied: &CopiedEntry,
) -> Result<(), StoreFault> {
    let seq = copied.entry.seq;
    for (address, _) in change.ended.iter().filter(|(_, at)| *at == seq) {
        if let Some(account) = tables.account_at(address)?
            && let Some(member) = tables.member(log, account.id)?.filter(|member| member.until.is_none())
        {
            membership::end_access(tables, log, member, seq)?;
        }
    }
    for (address, key, _) in change.added.iter().filter(|(.., at)| *at == seq) {
        // Somebody who is gone here, or has been reset since, has no access: the hub is to take them out.
        let Some(account) = has_row(tables, side, address)?.filter(|account| account.key == *key) else { continue };
        let agreed = side == Side::Hub
            || comes_in(tables, &account, copied.sender.as_ref(), (row.kind, &row.name, row.continues.as_ref()))?;
        if agreed && tables.member(log, account.id)?.is_none_or(|member| member.until.is_some()) {
            if side == Side::Hub && address.domain != row.name.domain {
                follower::came_back(tables, &address.domain, (log, seq))?;
            }
            let role = role_in(row.kind, change, address);
            tables.put_member(log, MemberRow { account: account.id, role, from: seq, until: None })?;
        }
    }
    Ok(())
}

fn role_in(kind: LogKind, change: &CopyChange, address: &Address) -> Role {
    let known = change.members.iter().find(|(member, _)| member == address).map(|(_, role)| *role);
    if kind == LogKind::Direct { Role::Member } else { known.unwrap_or(Role::Member) }
}

/// Somebody of whom a row says that they are in a conversation.
fn has_row(tables: &mut dyn Tables, side: Side, address: &Address) -> Result<Option<AccountRow>, StoreFault> {
    match side {
        Side::Hub => participant(tables, address),
        Side::Follower => active(tables, address),
    }
}

/// How the group stands after all entries.
fn settle(
    tables: &mut dyn Tables,
    (log, kind): (LogId, LogKind),
    (change, side): (&CopyChange, Side),
    append: &CopyAppend,
) -> Result<(), StoreFault> {
    let before = tables.ends(log)?.epoch;
    if before != change.version.epoch || !append.group_info.is_empty() {
        tables.set_epoch(log, change.version.epoch, &append.group_info)?;
    }
    group::put(tables, log, change.version.proposals, &change.state)?;
    for (seq, tree) in &change.trees {
        tables.put_welcome_tree(log, *seq, tree)?;
    }
    let mut outer = Vec::new();
    for (address, _) in &change.members {
        let role = role_in(kind, change, address);
        let own = match has_row(tables, side, address)? {
            Some(account) => tables.member(log, account.id)?.filter(|member| member.until.is_none()),
            None => None,
        };
        match own {
            Some(member) if member.role == role => {}
            Some(member) => tables.put_member(log, MemberRow { role, ..member })?,
            None => outer.push((address.clone(), role)),
        }
    }
    if side == Side::Follower { tables.set_outer_members(log, &outer) } else { Ok(()) }
}

/// Puts what a domain's inbox holds for a device of here into the device's own; gives how far it was read.
///
/// What is not that domain's to say is passed over, and so is what is for a device that is gone.
pub(in crate::store) fn take_notices(
    tables: &mut dyn Tables,
    (peer, device): (&Domain, DeviceId),
    entries: &[LogEntry],
    now_ms: u64,
) -> Result<(Seq, usize), StoreFault> {
    let last = entries.last().map_or(Seq(0), |entry| entry.seq);
    let Some(row) = tables.device(device)? else { return Ok((last, 0)) };
    let Some(owner) = tables.account(row.account)? else { return Ok((last, 0)) };
    if active(tables, &owner.address)?.is_none_or(|account| account.id != owner.id) {
        return Ok((last, entries.len()));
    }
    let mut read = tables.inbox_read(peer, device)?;
    let mut passed_over = 0_usize;
    for entry in entries.iter().filter(|entry| entry.seq > read).collect::<Vec<_>>() {
        match notice(tables, (peer, &owner), (device, entry), now_ms)? {
            Some(notice) => inbox::deliver(tables, &owner.address.domain, &row, notice)?,
            None => passed_over = passed_over.saturating_add(1),
        }
        read = entry.seq;
    }
    tables.set_inbox_read(peer, device, read)?;
    Ok((read, passed_over))
}

/// What a device is told because of an entry, if anything.
fn notice(
    tables: &mut dyn Tables,
    (peer, owner): (&Domain, &AccountRow),
    (device, entry): (DeviceId, &LogEntry),
    now_ms: u64,
) -> Result<Option<Notice>, StoreFault> {
    let EntryContent::Body(body) = &entry.content else { return Ok(None) };
    let of = |body| Notice { kind: entry.kind, sender: entry.sender, id: Some(entry.id), body, now_ms };
    let theirs = |name: Option<&qpc_proto::v1::ConversationName>| {
        ConversationName::parse(name).ok().filter(|name| name.domain == *peer)
    };
    match entry.kind {
        EntryKind::Welcome => {
            let Ok(mut welcome) = WelcomeNotice::decode(body.clone()) else { return Ok(None) };
            let Some(conversation) = theirs(welcome.conversation.as_ref()) else { return Ok(None) };
            let Ok(from) = Address::parse(&welcome.from) else { return Ok(None) };
            let own = from == owner.address;
            let sender = tables.account_at(&from)?;
            let stance = match &sender {
                Some(sender) => tables.stance(owner.id, sender.id)?,
                None => Stance::default(),
            };
            let log = tables.log(&conversation)?;
            let (member, direct, continues) = match log {
                Some((log, row)) => (tables.member(log, owner.id)?, row.kind == LogKind::Direct, row.continues),
                None => (None, welcome.kind() == WireKind::Direct, None),
            };
            // Who is in it already may be welcomed by any of its members.
            let anew = member.is_none_or(|member| member.from.0 >= welcome.seq);
            if !direct && anew && !has_agreed(tables, owner, &from, (&conversation, continues.as_ref()))? {
                return Ok(None);
            }
            welcome.contact_request = direct && !own && stance.say != Say::Accepted;
            let notice = of(welcome.encode_to_vec().into());
            match sender.filter(|_| stance.blocked) {
                Some(sender) => {
                    membership::hold(tables, (owner.id, sender.id), device, &notice)?;
                    Ok(None)
                }
                None => Ok(Some(notice)),
            }
        }
        EntryKind::Contact => {
            let Ok(contact) = ContactNotice::decode(body.clone()) else { return Ok(None) };
            match contact.event() {
                ContactEvent::Accepted => {
                    let Ok(address) = Address::parse(&contact.address) else { return Ok(None) };
                    let known = tables.account_at(&address)?.filter(|_| address.domain == *peer);
                    let Some(other) = known else { return Ok(None) };
                    let stance = tables.stance(other.id, owner.id)?;
                    tables.set_stance(other.id, owner.id, Stance { say: Say::Accepted, ..stance })?;
                    Ok(Some(of(body.clone())))
                }
                ContactEvent::JoinRefused => Ok(theirs(contact.conversation.as_ref()).map(|_| of(body.clone()))),
                // Of what its own account does a device hears from its own server.
                _ => Ok(None),
            }
        }
        EntryKind::Account => {
            let Ok(account) = qpc_proto::v1::AccountNotice::decode(body.clone()) else { return Ok(None) };
            let address = Address::parse(&account.address).ok().filter(|address| address.domain == *peer);
            Ok(address.map(|_| of(body.clone())))
        }
        _ => Ok(None),
    }
}
