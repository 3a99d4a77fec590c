//! Leaves of devices that are gone, or have not read what is no longer kept: which there are, and the hub's proposals to
//! remove them.
//!
//! A row stands from the transaction that revokes the device, in each group of its account, or that removes what it has not read,
//! to the commit that takes its leaf out, so that a restart or a commit in between loses nothing.

use qpc_proto::{
    chain::EntryKind,
    id::{ConversationName, Counter, DeviceId, Epoch},
};

use super::{
    group,
    inbox::{self, Draft},
    restore,
};
use crate::store::{
    AppendError, Audience, Departure, GroupVersion, Removal, RemovalError, StoreFault, StoredGroup,
    tables::{LogKind, Tables},
};

pub(in crate::store) fn departures(tables: &mut dyn Tables, limit: usize) -> Result<Vec<Departure>, StoreFault> {
    tables.departed(limit)
}

pub(in crate::store) fn hub_group(
    tables: &mut dyn Tables,
    name: &ConversationName,
    known: Option<GroupVersion>,
) -> Result<Option<StoredGroup>, StoreFault> {
    let Some((log, _)) = tables.log(name)?.filter(|(_, row)| row.kind != LogKind::Inbox) else { return Ok(None) };
    group::stored(tables, log, known, true).map(Some)
}

pub(in crate::store) fn propose_removal(tables: &mut dyn Tables, removal: &Removal) -> Result<(), RemovalError> {
    let Some((log, row)) = tables.log(&removal.conversation)? else { return Ok(()) };
    let audience = tables.audience(log)?;
    if audience.is_empty() {
        // Nobody is left who could carry it out, or read anything.
        return Ok(tables.remove_departed(log, removal.device)?);
    }
    // What waits for its members after a restore is looked at again.
    restore::writable(tables, log, removal.now_ms).or(Err(RemovalError::Unjudged))?;
    let state = group::judged(tables, log, Some(&removal.judged)).map_err(|error| match error {
        AppendError::Fault(fault) => RemovalError::Fault(fault),
        _ => RemovalError::Unjudged,
    })?;
    let ends = tables.ends(log)?;
    let draft = Draft {
        kind: EntryKind::Proposal,
        epoch: ends.epoch,
        sender: None,
        counter: Counter(0),
        id: inbox::server_id(&ends.chain, ends.head, removal.now_ms),
        body: removal.body.clone(),
        now_ms: removal.now_ms,
    };
    inbox::write(tables, (log, &row.name), draft, Audience::Members(audience), None)?;
    group::put(tables, log, removal.judged.basis.proposals.saturating_add(1), state)?;
    Ok(tables.set_departed_epoch(log, removal.device, ends.epoch)?)
}

pub(in crate::store) fn settle_departure(
    tables: &mut dyn Tables,
    name: &ConversationName,
    device: DeviceId,
    until_after: Option<Epoch>,
) -> Result<(), StoreFault> {
    match (tables.log(name)?, until_after) {
        (Some((log, _)), Some(epoch)) => tables.set_departed_epoch(log, device, epoch),
        (Some((log, _)), None) => tables.remove_departed(log, device),
        (None, _) => Ok(()),
    }
}
