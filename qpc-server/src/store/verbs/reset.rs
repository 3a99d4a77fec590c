//! The end of an account: by its owner, or by the admin for a forgotten password.

use qpc_proto::{
    id::{AccountId, DeviceId},
    v1::{AccountEvent, AccountNotice},
};

use super::{device, follower, inbox, present};
use crate::store::{
    AccountReset, Actor, Refusal, ResetAccountError, StoreFault,
    tables::{AccountRow, AccountState, InviteRow, Tables},
};

/// Ends an account's devices, memberships and pairs; gives those who shared a conversation with it.
pub(super) fn end(
    tables: &mut dyn Tables,
    account: &AccountRow,
    state: AccountState,
) -> Result<Vec<AccountId>, StoreFault> {
    let devices: Vec<_> = tables.devices_of(account.id)?.into_iter().map(|row| row.id).collect();
    let peers = device::leave_behind(tables, account.id, &devices, true)?;
    let read_elsewhere = match account.state {
        AccountState::Guest => follower::logs_of(tables, account.id)?,
        _ => Vec::new(),
    };
    tables.remove_memberships(account.id)?;
    for log in read_elsewhere {
        let head = tables.ends(log)?.head;
        follower::went(tables, log, &account.address.domain, head)?;
    }
    tables.free_directs(account.id)?;
    tables.remove_joins_asked(account.id)?;
    tables.forget_contacts(account.id, state == AccountState::Reset)?;
    for device in devices {
        device::remove(tables, &account.address.domain, device)?;
    }
    tables.end_account(account.id, state)?;
    Ok(peers.into_iter().collect())
}

pub(in crate::store) fn delete_account(tables: &mut dyn Tables, actor: &Actor, now_ms: u64) -> Result<(), Refusal> {
    present(tables, actor)?;
    let account = tables.account(actor.account())?.ok_or(Refusal::DeviceGone)?;
    Ok(delete(tables, &account, Some(actor.device()), now_ms)?)
}

/// Ends an account for good, and tells everybody it shared a conversation with.
pub(super) fn delete(
    tables: &mut dyn Tables,
    account: &AccountRow,
    by: Option<DeviceId>,
    now_ms: u64,
) -> Result<(), StoreFault> {
    let peers = end(tables, account, AccountState::Deleted)?;
    let notice = AccountNotice {
        address: account.address.to_string(),
        event: AccountEvent::Deleted.into(),
        account_key: bytes::Bytes::new(),
    };
    inbox::tell_accounts(tables, &peers, by, &notice, now_ms)
}

pub(in crate::store) fn reset_account(tables: &mut dyn Tables, reset: &AccountReset) -> Result<(), ResetAccountError> {
    let account = tables
        .account_named(&reset.name)?
        .filter(|account| account.state != AccountState::Deleted)
        .ok_or(ResetAccountError::NotFound)?;
    if account.state.is_had() {
        let peers = end(tables, &account, AccountState::Reset)?;
        // They are told when the name comes back, with the key that it comes back with.
        tables.add_reset_peers(account.id, &peers)?;
    }
    tables.remove_reset_tokens(&reset.name)?;
    tables.put_invite(&InviteRow {
        token: reset.token,
        uses: 1,
        expires_ms: Some(reset.expires_ms),
        name: Some(reset.name.clone()),
    })?;
    Ok(())
}
