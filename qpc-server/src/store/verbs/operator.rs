//! What the operator may see and change: no content, and nothing that people have not been told can go.

use qpc_proto::{
    address::AccountName,
    id::{ConversationName, DeviceId},
};

use super::{device, reset};
use crate::store::{
    AccountExtent, AccountOverview, Changed, ConversationDetail, ConversationKind, ConversationOverview, InviteInfo,
    InviteToken, OperatorError, Standing, StoreFault,
    tables::{AccountRow, AccountState, InviteRow, LogId, LogKind, LogRow, Tables},
};

/// Conversations counted in one go.
const PAGE: usize = 100;
/// Bytes of a token's hash.
const HASH: usize = 32;

pub(in crate::store) fn accounts(
    tables: &mut dyn Tables,
    after: Option<&AccountName>,
    limit: usize,
) -> Result<Vec<AccountOverview>, StoreFault> {
    let rows = tables.own_accounts(after, limit)?;
    rows.into_iter().filter_map(|row| overview(tables, row).transpose()).collect()
}

pub(in crate::store) fn account_extent(
    tables: &mut dyn Tables,
    name: &AccountName,
) -> Result<AccountExtent, OperatorError> {
    let row = tables.account_named(name)?.ok_or(OperatorError::NotFound)?;
    let (mut conversations, mut after) = (0_u64, None);
    loop {
        let page = tables.logs_of(row.id, after, PAGE)?;
        let Some((_, last)) = page.last() else { break };
        after = Some(last.name.id);
        conversations = conversations.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
    }
    let account = overview(tables, row)?.ok_or(OperatorError::NotFound)?;
    Ok(AccountExtent { account, conversations })
}

pub(in crate::store) fn set_suspended(
    tables: &mut dyn Tables,
    name: &AccountName,
    suspended: bool,
) -> Result<Changed, OperatorError> {
    let row = had(tables, name)?;
    let state = if suspended { AccountState::Suspended } else { AccountState::Active };
    if row.state != state {
        tables.set_account_state(row.id, state)?;
    }
    Ok(changed(tables, &row)?)
}

pub(in crate::store) fn remove_account(
    tables: &mut dyn Tables,
    name: &AccountName,
    now_ms: u64,
) -> Result<Changed, OperatorError> {
    let row = had(tables, name)?;
    let changed = changed(tables, &row)?;
    reset::delete(tables, &row, None, now_ms)?;
    Ok(changed)
}

pub(in crate::store) fn remove_device(
    tables: &mut dyn Tables,
    name: &AccountName,
    device: DeviceId,
) -> Result<Changed, OperatorError> {
    let row = had(tables, name)?;
    if tables.device(device)?.is_none_or(|device| device.account != row.id) {
        return Err(OperatorError::NotFound);
    }
    device::revoke(tables, row.id, &row.address.domain, device)?;
    Ok(Changed { account: row.id, devices: vec![device] })
}

pub(in crate::store) fn invites(
    tables: &mut dyn Tables,
    after: Option<InviteToken>,
    limit: usize,
) -> Result<Vec<InviteInfo>, StoreFault> {
    Ok(tables.invites_from(after.map(next), limit)?.into_iter().map(invite).collect())
}

pub(in crate::store) fn end_invite(
    tables: &mut dyn Tables,
    beginning: &[u8],
    forget: bool,
) -> Result<InviteInfo, OperatorError> {
    let mut first = [0; HASH];
    for (to, from) in first.iter_mut().zip(beginning) {
        *to = *from;
    }
    // The hashes with one beginning lie together: two of them are enough to know that it is not one.
    let mut found = tables.invites_from(Some(InviteToken(first)), 2)?.into_iter();
    let mut alike = found.by_ref().take_while(|row| row.token.0.starts_with(beginning));
    let (one, other) = (alike.next().ok_or(OperatorError::NotFound)?, alike.next());
    if other.is_some() {
        return Err(OperatorError::Ambiguous);
    }
    if forget {
        tables.remove_invite(one.token)?;
    }
    Ok(invite(one))
}

pub(in crate::store) fn conversations(
    tables: &mut dyn Tables,
    after: Option<&ConversationName>,
    limit: usize,
) -> Result<Vec<ConversationOverview>, StoreFault> {
    let rows = tables.conversations(after, limit)?;
    rows.into_iter().filter_map(|(log, row)| described(tables, log, row).transpose()).collect()
}

pub(in crate::store) fn conversation(
    tables: &mut dyn Tables,
    name: &ConversationName,
) -> Result<ConversationDetail, OperatorError> {
    let (log, row) = tables.log(name)?.ok_or(OperatorError::NotFound)?;
    let overview = described(tables, log, row)?.ok_or(OperatorError::NotFound)?;
    let (members, bytes) = (tables.member_addresses(log)?, tables.stored_bytes(log)?);
    Ok(ConversationDetail { overview, members, bytes })
}

/// An account that somebody has.
fn had(tables: &mut dyn Tables, name: &AccountName) -> Result<AccountRow, OperatorError> {
    let row = tables.account_named(name)?.ok_or(OperatorError::NotFound)?;
    if row.state.is_had() { Ok(row) } else { Err(OperatorError::NotInUse) }
}

fn changed(tables: &mut dyn Tables, row: &AccountRow) -> Result<Changed, StoreFault> {
    let devices = tables.devices_of(row.id)?.into_iter().map(|device| device.id).collect();
    Ok(Changed { account: row.id, devices })
}

/// Nothing of an account of another domain, whose own operator is asked about it.
fn overview(tables: &mut dyn Tables, row: AccountRow) -> Result<Option<AccountOverview>, StoreFault> {
    let standing = match row.state {
        AccountState::Active => Standing::Active,
        AccountState::Suspended => Standing::Suspended,
        AccountState::Reset => Standing::Reset,
        AccountState::Deleted => Standing::Deleted,
        AccountState::Guest => return Ok(None),
    };
    let devices = tables.devices_of(row.id)?.into_iter().map(device::info).collect();
    Ok(Some(AccountOverview { id: row.id, name: row.address.name, standing, devices }))
}

/// Nothing of an inbox, which is a device's and no conversation.
fn described(tables: &mut dyn Tables, log: LogId, row: LogRow) -> Result<Option<ConversationOverview>, StoreFault> {
    let kind = match row.kind {
        LogKind::Direct => ConversationKind::Direct,
        LogKind::Group => ConversationKind::Group,
        LogKind::Personal => ConversationKind::Personal,
        LogKind::Inbox => return Ok(None),
    };
    let ends = tables.ends(log)?;
    let members = u64::try_from(tables.members(log)?.len()).unwrap_or(u64::MAX);
    Ok(Some(ConversationOverview {
        name: row.name,
        kind,
        created_ms: row.created_ms,
        epoch: ends.epoch,
        head: ends.head,
        floor: ends.floor,
        members,
    }))
}

fn invite(row: InviteRow) -> InviteInfo {
    InviteInfo { token: row.token, uses: row.uses, expires_ms: row.expires_ms, name: row.name }
}

/// The hash that follows one.
fn next(InviteToken(mut hash): InviteToken) -> InviteToken {
    for byte in hash.iter_mut().rev() {
        let (next, carried) = byte.overflowing_add(1);
        *byte = next;
        if !carried {
            break;
        }
    }
    InviteToken(hash)
}
