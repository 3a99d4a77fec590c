//! The public state of a group: read, compared with what a judgement relied on, written.

use qpc_proto::id::{ConversationName, Seq};

use super::{participant, present};
use crate::store::{
    Actor, AddedDevice, AppendError, GroupState, GroupVersion, Judged, ReadError, StoreFault, StoredGroup, TreePage,
    tables::{LogId, LogKind, Tables},
};

pub(in crate::store) fn public_group(
    tables: &mut dyn Tables,
    actor: &Actor,
    name: &ConversationName,
    known: Option<GroupVersion>,
) -> Result<StoredGroup, ReadError> {
    present(tables, actor)?;
    let log = tables.log(name)?.filter(|(_, row)| row.kind != LogKind::Inbox).ok_or(ReadError::NotFound)?.0;
    // Who was a member may ask again about a commit of theirs.
    let member = tables.member(log, actor.account())?.ok_or(ReadError::NotFound)?.until.is_none();
    Ok(stored(tables, log, known, member)?)
}

/// The tree that a commit made, for members who were in by then.
pub(in crate::store) fn welcome_tree(
    tables: &mut dyn Tables,
    actor: &Actor,
    name: &ConversationName,
    seq: Seq,
    (offset, most): (usize, usize),
) -> Result<TreePage, ReadError> {
    present(tables, actor)?;
    let log = tables.log(name)?.ok_or(ReadError::NotFound)?.0;
    let member = tables.member(log, actor.account())?.filter(|member| member.until.is_none() && member.from <= seq);
    member.ok_or(ReadError::NotFound)?;
    tables.welcome_tree(log, seq, offset, most)?.ok_or(ReadError::NotFound)
}

/// A group as it is stored; `member` is who asks.
pub(super) fn stored(
    tables: &mut dyn Tables,
    log: LogId,
    known: Option<GroupVersion>,
    member: bool,
) -> Result<StoredGroup, StoreFault> {
    let version = version(tables, log)?;
    let state = if known == Some(version) { None } else { tables.group(log)? };
    Ok(StoredGroup { member, version, state, group_info: tables.group_info(log)?.unwrap_or_default() })
}

pub(super) fn version(tables: &mut dyn Tables, log: LogId) -> Result<GroupVersion, StoreFault> {
    let epoch = tables.ends(log)?.epoch;
    Ok(GroupVersion { epoch, proposals: tables.group_proposals(log)?.unwrap_or_default() })
}

/// What was judged of a change, if it was judged on the state that is stored.
pub(super) fn judged<'j, T>(
    tables: &mut dyn Tables,
    log: LogId,
    judged: Option<&'j Judged<T>>,
) -> Result<&'j T, AppendError> {
    let judged = judged.ok_or(AppendError::Unjudged)?;
    if judged.basis == version(tables, log)? { Ok(&judged.change) } else { Err(AppendError::Unjudged) }
}

/// Is every device that comes in enrolled here, with the keys that its certificate names?
pub(super) fn enrolled(tables: &mut dyn Tables, added: &[AddedDevice]) -> Result<(), AppendError> {
    for device in added {
        let account = participant(tables, &device.address)?.filter(|account| account.key == device.account_key);
        let known = tables.device(device.device)?.filter(|known| known.key == device.key);
        match (account, known) {
            (Some(account), Some(known)) if known.account == account.id => {}
            _ => return Err(AppendError::NotEnrolled),
        }
    }
    Ok(())
}

/// Writes the state after a commit, or with one more proposal.
pub(super) fn put(tables: &mut dyn Tables, log: LogId, proposals: u64, state: &GroupState) -> Result<(), StoreFault> {
    fail::fail_point!("store::group_state");
    tables.put_group(log, proposals, state)
}
