//! What devices of here send into conversations of other domains: kept until the copy shows it.

use std::collections::BTreeSet;

use prost::Message;
use qpc_proto::{
    address::Domain,
    chain::EntryKind,
    error::Code,
    id::{ConversationName, DeviceId, MessageId},
    v1::{self, OutcomeNotice},
};

use super::{
    active, contact,
    inbox::{self, Notice},
    present,
};
use crate::store::{
    Actor, Announcement, AppendError, Backlog, Due, Outgoing, QueueError, Queued, Refusal, Settled, StoreFault,
    Waiting,
    rules::{self, Claim},
    tables::{LogId, LogKind, LogRow, OutgoingRow, Say, Tables},
};

/// Notes what is about to be sent; the same again is no error.
pub(in crate::store) fn queue(
    tables: &mut dyn Tables,
    actor: &Actor,
    outgoing: &Outgoing,
) -> Result<Queued, QueueError> {
    present(tables, actor).map_err(AppendError::from)?;
    let name = &outgoing.conversation;
    let log = tables.log(name)?.filter(|(_, row)| row.kind != LogKind::Inbox);
    if let Some((log, _)) = log
        && let Some(stored) = tables.entry_by_id(log, outgoing.id)?
    {
        let claim =
            Claim { sender: actor.device(), counter: outgoing.counter, kind: outgoing.kind, epoch: outgoing.epoch };
        return Ok(Queued::Stored(rules::again_by_digest(&stored, &claim, outgoing.digest)?));
    }
    if let Some(known) = tables.outgoing(name, outgoing.id)? {
        let same = known.device == actor.device()
            && known.counter == outgoing.counter
            && known.kind == outgoing.kind
            && known.digest == outgoing.digest;
        return match (same, known.device == actor.device() && known.waits) {
            (true, _) => Ok(Queued::Waits),
            // The hub is about to refuse what its sender has made anew.
            (false, true) => Err(QueueError::Full),
            (false, false) => Err(AppendError::IdConflict.into()),
        };
    }
    if !outgoing.founds {
        let (log, row) = log.ok_or(AppendError::NotFound)?;
        judge(tables, actor, (log, &row), outgoing)?;
    }
    let waits = !outgoing.request.is_empty();
    if waits {
        let (of_device, of_domain) = outgoing.most;
        if tables.waiting_of(actor.device(), of_device)? >= of_device
            || tables.is_waiting_full(&name.domain, of_domain)?
        {
            return Err(QueueError::Full);
        }
    }
    let row = OutgoingRow {
        row: 0,
        device: actor.device(),
        counter: outgoing.counter,
        kind: outgoing.kind,
        digest: outgoing.digest,
        waits,
    };
    let row = tables.put_outgoing(name, outgoing.id, &row, &outgoing.request, outgoing.now_ms)?;
    if waits {
        let (sender, device, request) = (actor.address().clone(), actor.device(), outgoing.request.clone());
        tables.waits(name.domain.clone(), Waiting { row, sender, device, request });
    }
    Ok(Queued::Waits)
}

/// What can be refused here and now, as the hub would refuse it. The copy may be behind, so nothing is refused for what
/// only the hub knows.
fn judge(
    tables: &mut dyn Tables,
    actor: &Actor,
    (log, row): (LogId, &LogRow),
    outgoing: &Outgoing,
) -> Result<(), AppendError> {
    tables.member(log, actor.account())?.filter(|member| member.until.is_none()).ok_or(AppendError::NotFound)?;
    if outgoing.counter <= tables.last_counter(log, actor.device())? {
        return Err(AppendError::IdConflict);
    }
    let epoch = tables.ends(log)?.epoch;
    if outgoing.kind != EntryKind::Report && outgoing.epoch < epoch {
        return Err(AppendError::WrongEpoch(epoch));
    }
    if row.kind == LogKind::Direct && outgoing.kind == EntryKind::Message {
        for (address, _) in tables.outer_members(log)? {
            if let Some(peer) = tables.account_at(&address)? {
                contact::accept_by_writing(tables, actor, peer.id, outgoing.now_ms)?;
            }
        }
    }
    Ok(())
}

/// It was refused for good, or its sender has been told what became of it.
pub(in crate::store) fn unqueue(
    tables: &mut dyn Tables,
    actor: &Actor,
    (conversation, id): (&ConversationName, MessageId),
) -> Result<(), Refusal> {
    present(tables, actor)?;
    let sent = tables.outgoing(conversation, id)?.filter(|row| row.device == actor.device() && !row.waits);
    Ok(sent.map_or(Ok(()), |row| tables.remove_outgoing(row.row))?)
}

pub(in crate::store) fn due(
    tables: &mut dyn Tables,
    domain: &Domain,
    after: i64,
    limit: usize,
) -> Result<Due, StoreFault> {
    let announcements = announcements(tables, domain, limit)?;
    Ok(Due { announcements, waiting: tables.waiting_for(domain, after, limit)? })
}

/// Notes what the hub has said; the sender is told of a refusal through its inbox. Says whether something is to be sent
/// again: what was refused for want of an acceptance that has come here since.
pub(in crate::store) fn settle(tables: &mut dyn Tables, settled: &[Settled], now_ms: u64) -> Result<bool, StoreFault> {
    let mut again = BTreeSet::new();
    for Settled { row, refusal } in settled {
        // The copy may have shown it by now.
        let Some((conversation, id, sent)) = tables.outgoing_row(*row)? else { continue };
        let Some(refusal) = refusal else {
            tables.outgoing_sent(*row)?;
            continue;
        };
        let refusal = v1::Error::decode(refusal.clone()).unwrap_or_default();
        let line = (sent.device, conversation.clone());
        let pending = refusal.code == Code::ContactPending as u32;
        if again.contains(&line) || (pending && accepted(tables, sent.device, &conversation)?) {
            again.insert(line);
            continue;
        }
        // What comes after it would be refused for its counter: its sender makes all of it anew.
        tables.remove_outgoing_from(sent.device, &conversation, *row)?;
        let Some(device) = tables.device(sent.device)? else { continue };
        let Some(account) = tables.account(device.account)? else { continue };
        let notice = OutcomeNotice {
            conversation: Some(conversation.to_wire()),
            message_id: id.to_bytes(),
            error: Some(refusal),
            body_digest: bytes::Bytes::copy_from_slice(&sent.digest.0),
        };
        let body = notice.encode_to_vec().into();
        let notice = Notice { kind: EntryKind::Outcome, sender: None, id: None, body, now_ms };
        inbox::deliver(tables, &account.address.domain, &device, notice)?;
    }
    Ok(!again.is_empty())
}

/// Accounts of here that a domain is to be told of, and what certificates they have.
fn announcements(tables: &mut dyn Tables, domain: &Domain, limit: usize) -> Result<Vec<Announcement>, StoreFault> {
    let due = tables.announcements(domain, limit)?;
    let mut announcements = Vec::with_capacity(due.len());
    for (row, address) in due {
        let certificates = match active(tables, &address)? {
            Some(account) => tables.certificates_of(account.id)?,
            None => Vec::new(),
        };
        announcements.push(Announcement { row, address, certificates });
    }
    Ok(announcements)
}

/// The domain has been told. What has changed since is another row.
pub(in crate::store) fn announced(tables: &mut dyn Tables, rows: &[i64]) -> Result<(), StoreFault> {
    rows.iter().try_for_each(|row| tables.remove_announcement(*row))
}

/// Has the other one of a conversation of two accepted a device's account, as far as is known here?
fn accepted(tables: &mut dyn Tables, device: DeviceId, name: &ConversationName) -> Result<bool, StoreFault> {
    let Some(device) = tables.device(device)? else { return Ok(false) };
    let Some((log, _)) = tables.log(name)?.filter(|(_, row)| row.kind == LogKind::Direct) else { return Ok(false) };
    for (address, _) in tables.outer_members(log)? {
        if let Some(other) = tables.account_at(&address)? {
            return Ok(tables.stance(other.id, device.account)?.say == Say::Accepted);
        }
    }
    Ok(false)
}

pub(in crate::store) fn backlog(tables: &mut dyn Tables, domain: &Domain) -> Result<Backlog, StoreFault> {
    let (outgoing, oldest_ms) = tables.backlog_of(domain)?;
    Ok(Backlog { outgoing, oldest_ms })
}
