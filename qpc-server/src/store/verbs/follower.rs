//! Logs that other domains read: who does, what each is handed next, and how far it has come.

use qpc_proto::{
    address::Domain,
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    id::{AccountId, ConversationName, DeviceId, Seq},
    limits::TREE_PAGE_MAX,
};

use crate::store::{
    ConversationKind, CopyBase, Feed, FeedPage, LogPlace, ReadError, StoreFault, TreePage,
    tables::{AccountRow, AccountState, Ends, FollowerRow, LogId, LogKind, Range, Tables},
};

/// Conversations looked at in one go.
const PAGE: usize = 100;

/// What a conversation is; `None` for an inbox.
pub(super) fn kind_of(kind: LogKind) -> Option<ConversationKind> {
    match kind {
        LogKind::Direct => Some(ConversationKind::Direct),
        LogKind::Group => Some(ConversationKind::Group),
        LogKind::Personal => Some(ConversationKind::Personal),
        LogKind::Inbox => None,
    }
}

/// An account has come into a conversation with a commit. If it is the first of its domain, that domain reads the log from
/// there on, beginning with the group that the commit has made.
pub(super) fn came(
    tables: &mut dyn Tables,
    account: &AccountRow,
    (log, seq): (LogId, Seq),
    (tree, group_info): (Option<&bytes::Bytes>, &bytes::Bytes),
) -> Result<(), StoreFault> {
    let domain = &account.address.domain;
    let follows = tables.follower(log, domain)?.is_some_and(|row| row.until.is_none());
    if account.state != AccountState::Guest || follows {
        return Ok(());
    }
    let before = Seq(seq.0.saturating_sub(1));
    tables.put_follower(log, domain, FollowerRow { seq: before, until: None })?;
    let tree = tree.cloned().unwrap_or_default();
    tables.put_base(log, domain, seq, (group_info, &tree))
}

/// A restored hub is given back that somebody of a domain came in. If it is the first one, the domain follows from there on,
/// and may have more of it. What its copy began with is not given back.
pub(super) fn came_back(tables: &mut dyn Tables, domain: &Domain, (log, seq): (LogId, Seq)) -> Result<(), StoreFault> {
    if tables.follower(log, domain)?.is_some_and(|row| row.until.is_none()) {
        return Ok(());
    }
    let before = Seq(seq.0.saturating_sub(1));
    tables.put_follower(log, domain, FollowerRow { seq: before, until: None })?;
    tables.await_domain(log, domain)
}

/// An account's access has ended with an entry. If it was the last of its domain, that domain reads no further.
pub(super) fn went(tables: &mut dyn Tables, log: LogId, domain: &Domain, until: Seq) -> Result<(), StoreFault> {
    let Some(row) = tables.follower(log, domain)? else { return Ok(()) };
    if tables.member_addresses(log)?.iter().any(|(address, _)| address.domain == *domain) {
        return Ok(());
    }
    tables.put_follower(log, domain, FollowerRow { until: Some(until), ..row })
}

/// The conversations that an account is in.
pub(super) fn logs_of(tables: &mut dyn Tables, account: AccountId) -> Result<Vec<LogId>, StoreFault> {
    let (mut logs, mut after) = (Vec::new(), None);
    loop {
        let page = tables.logs_of(account, after, PAGE)?;
        let Some((_, last)) = page.last() else { return Ok(logs) };
        after = Some(last.name.id);
        logs.extend(page.iter().map(|(log, _)| *log));
    }
}

/// The last entry that a domain may read.
fn end(row: &FollowerRow, ends: &Ends) -> Seq {
    row.until.map_or(ends.head, |until| until.min(ends.head))
}

pub(in crate::store) fn feed(
    tables: &mut dyn Tables,
    domain: &Domain,
    after: LogPlace,
    limit: usize,
) -> Result<(Vec<Feed>, Option<LogPlace>), StoreFault> {
    let rows = tables.followed_by(domain, LogId(after.0), limit)?;
    let last = rows.last().filter(|_| rows.len() == limit).map(|(log, ..)| LogPlace(log.0));
    let mut behind = Vec::new();
    for (log, row, follower) in rows {
        if end(&follower, &tables.ends(log)?) > follower.seq {
            behind.push(Feed { log: row.name, place: LogPlace(log.0) });
        }
    }
    Ok((behind, last))
}

pub(in crate::store) fn feed_page(
    tables: &mut dyn Tables,
    (domain, name): (&Domain, &ConversationName),
    with_info: bool,
    (limit, max_bytes): (usize, usize),
) -> Result<FeedPage, ReadError> {
    let (log, row) = tables.log(name)?.ok_or(ReadError::NotFound)?;
    let follower = tables.follower(log, domain)?.ok_or(ReadError::NotFound)?;
    let ends = tables.ends(log)?;
    let (after, head) = (follower.seq, end(&follower, &ends));
    let base = match tables.base(log, domain)?.filter(|(seq, _)| *seq == after.next()) {
        Some((seq, group_info)) => {
            let tree = tables.base_tree(log, domain, 0, TREE_PAGE_MAX)?.ok_or(ReadError::NotFound)?;
            let kind = kind_of(row.kind).ok_or(ReadError::NotFound)?;
            let chain = chain_at(tables, log, name, (after, &ends))?;
            Some(CopyBase { kind, seq, chain, group_info, tree: tree.bytes, tree_size: tree.size })
        }
        None => None,
    };
    // With the group goes the commit that made it, and nothing else: both may be large.
    let limit = if base.is_some() { 1 } else { limit };
    let rows = tables.entries((log, name), Range { after, upto: head, limit, max_bytes })?;
    let entries: Vec<_> = rows.into_iter().map(|row| row.entry).collect();
    let at_head = entries.last().map_or(after, |entry| entry.seq) == ends.head;
    let changed = entries.iter().any(|entry| entry.kind == EntryKind::Commit);
    let wanted = base.is_none() && row.kind != LogKind::Inbox && at_head && (with_info || changed);
    let group_info = if wanted { tables.group_info(log)?.unwrap_or_default() } else { bytes::Bytes::new() };
    Ok(FeedPage { base, entries, after, head, group_info })
}

fn chain_at(
    tables: &mut dyn Tables,
    log: LogId,
    name: &ConversationName,
    (seq, ends): (Seq, &Ends),
) -> Result<ChainValue, ReadError> {
    if seq == ends.floor {
        return Ok(ends.floor_chain);
    }
    let broken = || StoreFault::Engine(format!("log {name} has no entry {seq}"));
    Ok(tables.chain_at(log, seq)?.ok_or_else(broken)?)
}

pub(in crate::store) fn base_tree(
    tables: &mut dyn Tables,
    (domain, name): (&Domain, &ConversationName),
    (offset, most): (usize, usize),
) -> Result<TreePage, ReadError> {
    let log = tables.log(name)?.ok_or(ReadError::NotFound)?.0;
    tables.base_tree(log, domain, offset, most)?.ok_or(ReadError::NotFound)
}

pub(in crate::store) fn follows(
    tables: &mut dyn Tables,
    domain: &Domain,
    name: &ConversationName,
) -> Result<bool, StoreFault> {
    let Some((log, row)) = tables.log(name)? else { return Ok(false) };
    let follower = tables.follower(log, domain)?.filter(|_| row.kind != LogKind::Inbox);
    Ok(follower.is_some_and(|follower| follower.until.is_none()))
}

/// Goes back to where a domain's copy ends, which is before what it is known to have: it was restored from a backup. Says
/// whether there is a way on from there.
pub(in crate::store) fn follower_lacks(
    tables: &mut dyn Tables,
    (domain, name): (&Domain, &ConversationName),
    ends_at: Seq,
) -> Result<bool, StoreFault> {
    let Some((log, _)) = tables.log(name)?.filter(|(_, row)| row.kind != LogKind::Inbox) else { return Ok(false) };
    let Some(follower) = tables.follower(log, domain)? else { return Ok(false) };
    // What came before its people did it may not have.
    let base = tables.base(log, domain)?.map(|(at, _)| Seq(at.0.saturating_sub(1)));
    let to = ends_at.max(base.unwrap_or_default());
    // Without what a copy begins with, an entry follows nothing.
    let follows = ends_at > Seq(0) || base.is_some();
    if !follows || to < tables.ends(log)?.floor || to >= follower.seq {
        return Ok(false);
    }
    tables.set_follower(log, domain, to)?;
    Ok(true)
}

/// Another server says when it was restored last. What it was known to have it may lack, and what it says in its inboxes
/// has places that were in use before.
pub(in crate::store) fn peer_restored(
    tables: &mut dyn Tables,
    domain: &Domain,
    at_ms: u64,
) -> Result<bool, StoreFault> {
    if tables.peer_restore(domain)? == at_ms {
        return Ok(false);
    }
    // The last entry asks whether it has it, and all before.
    tables.step_back(domain)?;
    tables.forget_inboxes_read(domain)?;
    // Nor need it know who they are that it has conversations with.
    tables.announce_members(domain)?;
    tables.set_peer_restore(domain, at_ms)?;
    fail::fail_point!("store::peer_restored");
    Ok(true)
}

/// Entries of a domain's conversation after one of them, as the copy here has them; none of those whose bodies are gone, or
/// behind them.
pub(in crate::store) fn read_copy(
    tables: &mut dyn Tables,
    name: &ConversationName,
    after: Seq,
    (limit, max_bytes): (usize, usize),
) -> Result<Vec<LogEntry>, ReadError> {
    let (log, _) = tables.log(name)?.filter(|(_, row)| row.kind != LogKind::Inbox).ok_or(ReadError::NotFound)?;
    let ends = tables.ends(log)?;
    if after < ends.floor {
        return Ok(Vec::new());
    }
    let rows = tables.entries((log, name), Range { after, upto: ends.head, limit, max_bytes })?;
    let whole =
        rows.into_iter().map(|row| row.entry).take_while(|entry| matches!(entry.content, EntryContent::Body(_)));
    Ok(whole.collect())
}

pub(in crate::store) fn followers_have(
    tables: &mut dyn Tables,
    domain: &Domain,
    places: &[(ConversationName, Seq)],
) -> Result<(), StoreFault> {
    for (name, seq) in places {
        let Some((log, row)) = tables.log(name)? else { continue };
        let Some(follower) = tables.follower(log, domain)? else { continue };
        let seq = (*seq).min(end(&follower, &tables.ends(log)?)).max(follower.seq);
        if follower.until.is_some_and(|until| seq >= until) {
            tables.remove_follower(log, domain)?;
        } else {
            tables.set_follower(log, domain, seq)?;
        }
        // The one reader of an inbox is the device: what its server has, it has.
        if row.kind == LogKind::Inbox
            && let Ok(device) = DeviceId::parse(name.id.as_bytes())
        {
            tables.raise_cursor(log, device, seq)?;
        }
    }
    Ok(())
}
