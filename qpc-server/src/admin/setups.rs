//! The OPAQUE setups, for the operator: listed, a new one made, an old one retired, with the accounts that still use it
//! where that is asked for.

use super::{
    AdminAnswer, AdminRequest, Operated, accounts,
    perform::{malformed, note},
    rows::{ResetRow, SetupRow},
};
use crate::account::{ChangeSetupsError, RotationError};

type Outcome = Result<AdminAnswer, AdminAnswer>;

/// Accounts that one request resets, in less time than a caller waits; who asks goes on until none is left.
const RESETS: usize = 20;

pub(super) async fn list(operated: &Operated) -> Outcome {
    let setups = operated.accounts.setups().await?;
    let newest = setups.iter().filter(|setup| setup.there).map(|setup| setup.version).max();
    let rows = setups.into_iter().map(|setup| SetupRow {
        version: setup.version,
        made_ms: setup.made_ms,
        accounts: setup.accounts,
        state: match setup.there {
            true if Some(setup.version) == newest => "newest",
            true => "older",
            false => "missing",
        }
        .to_owned(),
    });
    Ok(AdminAnswer::Setups { setups: rows.collect() })
}

pub(super) async fn rotate(operated: &Operated) -> Outcome {
    Ok(AdminAnswer::Rotated { version: operated.accounts.rotate_setup().await? })
}

/// Looks how many accounts a setup would take along. What can't be retired is refused.
pub(super) async fn would_retire(operated: &Operated, version: u32) -> Outcome {
    operated.accounts.left_behind(version, 1).await?;
    let setups = operated.accounts.setups().await?;
    let accounts = setups.iter().find(|setup| setup.version == version).map_or(0, |setup| setup.accounts);
    Ok(AdminAnswer::WouldRetire { accounts })
}

/// Retires a setup; with `reset` after its accounts, of which each has lines of its own in the audit log.
pub(super) async fn retire(operated: &Operated, uid: u32, version: u32, reset: bool) -> Outcome {
    let most = if reset { RESETS } else { 1 };
    let left = operated.accounts.left_behind(version, most).await?;
    if !left.is_empty() && !reset {
        return Err(RotationError::InUse.into());
    }
    let (more, mut resets) = (left.len() >= most, Vec::new());
    for name in left {
        let name = name.as_str().to_owned();
        let request = AdminRequest::ResetAccount { name: name.clone(), dry_run: false };
        let action = serde_json::to_value(&request).map_err(failed)?;
        note(operated, uid, &action, "begun".into()).await.map_err(failed)?;
        let answer = accounts::reset(operated, &name, false).await.unwrap_or_else(|refused| refused);
        if let Err(reason) = note(operated, uid, &action, answer.outcome()).await {
            tracing::error!(reason, "an action of the operator has no end in the audit log; its beginning is there");
        }
        match answer {
            AdminAnswer::Token { token } => resets.push(ResetRow { name, token }),
            // Its owner was quicker, and deleted it.
            AdminAnswer::NotFound => {}
            // What was done already is not lost on who asked.
            refused if resets.is_empty() => return Err(refused),
            _ => return Ok(AdminAnswer::Retired { resets, more: true }),
        }
    }
    if !more {
        match operated.accounts.retire_setup(version).await {
            // Somebody else has reset them, and somebody has come back: look again.
            Err(_) if !resets.is_empty() => return Ok(AdminAnswer::Retired { resets, more: true }),
            outcome => outcome?,
        }
    }
    Ok(AdminAnswer::Retired { resets, more })
}

fn failed(reason: impl ToString) -> AdminAnswer {
    AdminAnswer::Failed { reason: reason.to_string() }
}

impl From<RotationError> for AdminAnswer {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Setups(ChangeSetupsError::NotThere) => Self::NotFound,
            RotationError::Setups(ChangeSetupsError::NotKept(_)) => failed(error),
            RotationError::Setups(ChangeSetupsError::Newest | ChangeSetupsError::TooMany) => malformed(error),
            RotationError::InUse => malformed(format!(
                "{error}: `qpc-server opaque list` says how many. Their people go over by a login with the password, or a \
                 change of it; --reset resets the accounts of those who have not"
            )),
            RotationError::Fault(fault) => fault.into(),
        }
    }
}
