//! Links into groups: made and ended by who may add people, asked by who has one, and used up by the commits that let
//! somebody in.
//!
//! The use of a link and the membership that it gives are one transaction, so that no race lets in more than a link is
//! for.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use qpc_proto::{
    chain::EntryKind,
    error::Code,
    id::{AccountId, ConversationName},
    limits::{JOIN_REQUESTS_MAX, JOINS_ASKED_MAX, LINKS_KNOWN_MAX, LINKS_MAX, MEMBERS_MAX},
    link::LinkKey,
    role::{Action, may},
    v1::{ContactEvent, ContactNotice},
};

use super::{
    inbox::{self, Notice},
    present,
};
use crate::store::{
    Actor, Ask, AskError, LinkError, LinkRefusal, LinkSetting, LinkTerms, StoreFault, WaitingRequest,
    tables::{JoinRow, LinkRow, LogId, LogKind, MemberRow, Tables},
};

/// Members of one group who are told of a request, at most: whoever else may add looks when they come.
const TOLD_MAX: usize = 64;

/// A group to which the actor may add people.
fn place(tables: &mut dyn Tables, actor: &Actor, name: &ConversationName) -> Result<LogId, LinkError> {
    let (log, row) = tables.log(name)?.ok_or(LinkError::NotFound)?;
    let me = tables.member(log, actor.account())?.filter(|me| me.until.is_none()).ok_or(LinkError::NotFound)?;
    if row.kind == LogKind::Group && adds(&me) { Ok(log) } else { Err(LinkError::Forbidden) }
}

fn adds(member: &MemberRow) -> bool {
    may(member.role, Action::Add)
}

/// May somebody come in by it now?
fn counts(link: &LinkRow, now_ms: u64) -> Result<(), LinkRefusal> {
    if link.withdrawn {
        Err(LinkRefusal::Withdrawn)
    } else if link.expires_ms <= now_ms {
        Err(LinkRefusal::Expired)
    } else if link.uses_left == 0 {
        Err(LinkRefusal::UsedUp)
    } else {
        Ok(())
    }
}

pub(in crate::store) fn set_link(
    tables: &mut dyn Tables,
    actor: &Actor,
    setting: &LinkSetting,
) -> Result<(), LinkError> {
    present(tables, actor)?;
    let log = place(tables, actor, &setting.conversation)?;
    let known = tables.link(log, setting.link)?;
    let (expires_ms, uses) = match (setting.terms, known) {
        (LinkTerms::Open { expires_ms, uses }, None) => (expires_ms, uses),
        // Made before: the same request again, and whatever became of it since stays.
        (LinkTerms::Open { .. }, Some(_)) => return Ok(()),
        (LinkTerms::Withdrawn, None) => return Err(LinkError::NotFound),
        (LinkTerms::Withdrawn, Some(link)) => {
            tables.put_link(log, &LinkRow { withdrawn: true, ..link })?;
            let which = (log, &setting.conversation, setting.link);
            return Ok(refuse_waiting(tables, which, Code::LinkWithdrawn, setting.now_ms)?);
        }
    };
    let (over, known): (Vec<_>, Vec<_>) =
        tables.links(log)?.into_iter().partition(|link| link.expires_ms <= setting.now_ms);
    let open = known.iter().filter(|link| counts(link, setting.now_ms).is_ok()).count();
    if open >= LINKS_MAX || known.len() >= LINKS_KNOWN_MAX {
        return Err(LinkError::TooMany);
    }
    for link in over {
        tables.remove_link(log, link.key)?;
    }
    Ok(tables.put_link(log, &LinkRow { key: setting.link, expires_ms, uses_left: uses, withdrawn: false })?)
}

/// Lets a request wait; gives when its link ends.
pub(in crate::store) fn ask_to_join(tables: &mut dyn Tables, actor: &Actor, ask: &Ask) -> Result<u64, AskError> {
    present(tables, actor)?;
    let (request, unknown) = (&ask.request, LinkRefusal::Unknown);
    // Nobody asks for somebody else, whoever gave them the link.
    let own = tables
        .account(actor.account())?
        .is_some_and(|account| account.address == *request.address() && account.key == *request.account_key());
    let name = request.conversation();
    let (log, _) = tables.log(name)?.filter(|(_, row)| own && row.kind == LogKind::Group).ok_or(unknown)?;
    let link = tables.link(log, request.link())?.ok_or(unknown)?;
    let members = tables.members(log)?;
    if members.iter().any(|member| member.account == actor.account()) {
        return Err(AskError::Member);
    }
    counts(&link, ask.now_ms)?;
    if members.len() >= MEMBERS_MAX {
        return Err(AskError::Full);
    }
    let readers: Vec<AccountId> =
        members.iter().filter(|member| adds(member)).map(|member| member.account).take(TOLD_MAX).collect();
    if readers.is_empty() {
        return Err(unknown.into());
    }
    let row = JoinRow { account: actor.account(), link: request.link(), request: Bytes::from(request.encode()) };
    let before = tables.join_request(log, actor.account())?;
    if before.as_ref() == Some(&row) {
        return Ok(link.expires_ms);
    }
    let waiting = waiting(tables, log, ask.now_ms)?.len();
    let asked = tables.count_joins_asked(actor.account(), ask.now_ms)?;
    if before.is_none() && (waiting >= JOIN_REQUESTS_MAX || asked >= JOINS_ASKED_MAX) {
        return Err(AskError::TooMany);
    }
    tables.put_join_request(log, &row)?;
    fail::fail_point!("store::join_request");
    let notice = ContactNotice {
        address: actor.address().to_string(),
        event: ContactEvent::AskedToJoin.into(),
        conversation: Some(name.to_wire()),
        ..Default::default()
    };
    for reader in readers {
        inbox::tell_account(tables, reader, || Notice::contact(&notice, actor.device(), ask.now_ms))?;
    }
    Ok(link.expires_ms)
}

/// Requests by links that count.
fn waiting(tables: &mut dyn Tables, log: LogId, now_ms: u64) -> Result<Vec<JoinRow>, StoreFault> {
    let links = tables.links(log)?;
    let live = |key: LinkKey| links.iter().any(|link| link.key == key && counts(link, now_ms).is_ok());
    Ok(tables.join_requests(log)?.into_iter().filter(|row| live(row.link)).collect())
}

pub(in crate::store) fn join_requests(
    tables: &mut dyn Tables,
    actor: &Actor,
    name: &ConversationName,
    now_ms: u64,
) -> Result<Vec<WaitingRequest>, LinkError> {
    present(tables, actor)?;
    let log = place(tables, actor, name)?;
    Ok(waiting(tables, log, now_ms)?.into_iter().map(|row| row.request).collect())
}

/// Links that a commit uses, and how often.
pub(super) type Uses = BTreeMap<LinkKey, u32>;

/// May a commit let in somebody because they have asked? Notes that it uses their link once.
pub(super) fn admits(
    tables: &mut dyn Tables,
    log: LogId,
    account: AccountId,
    now_ms: u64,
    uses: &mut Uses,
) -> Result<Result<(), LinkRefusal>, StoreFault> {
    let Some(request) = tables.join_request(log, account)? else { return Ok(Err(LinkRefusal::Unknown)) };
    let Some(link) = tables.link(log, request.link)? else { return Ok(Err(LinkRefusal::Unknown)) };
    let used = uses.entry(link.key).or_default();
    let left = LinkRow { uses_left: link.uses_left.saturating_sub(*used), ..link };
    *used = used.saturating_add(1);
    Ok(counts(&left, now_ms))
}

/// Counts a commit's uses, and refuses who waits by a link that is used up.
pub(super) fn spend(
    tables: &mut dyn Tables,
    (log, name): (LogId, &ConversationName),
    uses: &Uses,
    now_ms: u64,
) -> Result<(), StoreFault> {
    for (key, used) in uses {
        let Some(link) = tables.link(log, *key)? else { continue };
        let uses_left = link.uses_left.saturating_sub(*used);
        tables.put_link(log, &LinkRow { uses_left, ..link })?;
        fail::fail_point!("store::link_use");
        if uses_left == 0 {
            refuse_waiting(tables, (log, name, *key), Code::LinkUsedUp, now_ms)?;
        }
    }
    Ok(())
}

/// Refuses all who wait by a link, and tells them why.
fn refuse_waiting(
    tables: &mut dyn Tables,
    (log, name, key): (LogId, &ConversationName, LinkKey),
    code: Code,
    now_ms: u64,
) -> Result<(), StoreFault> {
    let notice = ContactNotice {
        address: String::new(),
        event: ContactEvent::JoinRefused.into(),
        conversation: Some(name.to_wire()),
        code: code as u32,
        link_key: key.to_bytes(),
    };
    for row in tables.join_requests(log)?.into_iter().filter(|row| row.link == key) {
        tables.remove_join_request(log, row.account)?;
        // Who ended it is none of the asker's business.
        let body: Bytes = notice.encode_to_vec().into();
        let notice = || Notice { kind: EntryKind::Contact, sender: None, id: None, body: body.clone(), now_ms };
        inbox::tell_account(tables, row.account, notice)?;
    }
    Ok(())
}
