//! Accounts, passwords and invites.

use qpc_proto::{
    address::AccountName,
    id::AccountId,
    v1::{AccountEvent, AccountNotice},
};

use super::{device, inbox, present};
use crate::store::{
    Actor, Admission, ChangePasswordError, CreateAccountError, InviteError, InviteToken, LoginRecord, NewAccount,
    NewInvite, PasswordRecord, StoreFault,
    rules::{self, NotAdmitted},
    tables::{AccountRow, AccountState, InviteRow, Tables},
};

pub(in crate::store) fn create_account(
    tables: &mut dyn Tables,
    new: &NewAccount,
) -> Result<AccountId, CreateAccountError> {
    let name = &new.address.name;
    let before = tables.account_named(name)?;
    let invite = match &new.admission {
        Admission::Open => None,
        Admission::Token(token) => Some(tables.invite(*token)?),
    };
    rules::admit(name, before.as_ref().map(|row| row.state), invite.as_ref().map(Option::as_ref), new.now_ms).map_err(
        |reason| match reason {
            NotAdmitted::Token => InviteError::Invalid.into(),
            NotAdmitted::Name => CreateAccountError::NameTaken,
        },
    )?;
    if device::id_in_use(tables, &new.address.domain, new.device.id)? {
        return Err(CreateAccountError::DeviceExists);
    }
    if let Some(invite) = invite.flatten() {
        use_up(tables, invite)?;
    }
    if let Some(before) = &before {
        tables.remove_account(before.id)?;
    }
    let account =
        AccountRow { id: new.id, address: new.address.clone(), key: new.account_key, state: AccountState::Active };
    tables.insert_account(&account, &new.password)?;
    device::insert(tables, &account, &new.device)?;
    if let Some(before) = before {
        come_back(tables, &before, &account, new.now_ms)?;
    }
    Ok(new.id)
}

fn use_up(tables: &mut dyn Tables, invite: InviteRow) -> Result<(), StoreFault> {
    match invite.uses.saturating_sub(1) {
        0 => tables.remove_invite(invite.token),
        uses => tables.put_invite(&InviteRow { uses, ..invite }),
    }
}

/// A reset name is registered anew: blocks stand as before, and everybody is told of the new key.
pub(super) fn come_back(
    tables: &mut dyn Tables,
    before: &AccountRow,
    account: &AccountRow,
    now_ms: u64,
) -> Result<(), StoreFault> {
    tables.move_contacts(before.id, account.id)?;
    let peers = tables.take_reset_peers(before.id)?;
    let notice = AccountNotice {
        address: account.address.to_string(),
        event: AccountEvent::Reset.into(),
        account_key: bytes::Bytes::copy_from_slice(&account.key),
    };
    inbox::tell_accounts(tables, &peers, None, &notice, now_ms)
}

pub(in crate::store) fn login_record(tables: &mut dyn Tables, name: &AccountName) -> Result<LoginRecord, StoreFault> {
    tables.login_record(name)
}

pub(in crate::store) fn set_decoy(tables: &mut dyn Tables, password: &PasswordRecord) -> Result<(), StoreFault> {
    tables.set_decoy(password)
}

pub(in crate::store) fn change_password(
    tables: &mut dyn Tables,
    actor: &Actor,
    was: &[u8],
    password: &PasswordRecord,
) -> Result<(), ChangePasswordError> {
    present(tables, actor)?;
    let record = tables.login_record(&actor.address().name)?;
    if record.account != Some(actor.account()) || record.password.opaque_record != was {
        return Err(ChangePasswordError::Changed);
    }
    Ok(tables.set_password(actor.account(), password)?)
}

pub(in crate::store) fn check_invite(
    tables: &mut dyn Tables,
    token: InviteToken,
    name: &AccountName,
    now_ms: u64,
) -> Result<(), InviteError> {
    let state = tables.account_named(name)?.map(|row| row.state);
    let invite = tables.invite(token)?;
    match rules::admit(name, state, Some(invite.as_ref()), now_ms) {
        // A good token for a name in use: the registration itself says so.
        Err(NotAdmitted::Name) if state != Some(AccountState::Reset) => Ok(()),
        outcome => Ok(outcome?),
    }
}

pub(in crate::store) fn create_invite(tables: &mut dyn Tables, invite: &NewInvite) -> Result<(), StoreFault> {
    tables.put_invite(&InviteRow { token: invite.token, uses: invite.uses, expires_ms: invite.expires_ms, name: None })
}
