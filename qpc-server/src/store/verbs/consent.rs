//! Whether somebody of here has agreed to come into another domain's group.
//!
//! That domain's word is not asked: it could bring anybody into its groups, in anybody's name.

use qpc_proto::{address::Address, id::ConversationName};

use super::{continuation::Before, participant};
use crate::store::{
    StoreFault,
    tables::{AccountRow, Say, Tables},
};

/// Has an account of here accepted who brings it in, or been in the conversation with them that the group continues? What its
/// own devices bring in is itself.
pub(super) fn has_agreed(
    tables: &mut dyn Tables,
    own: &AccountRow,
    by: &Address,
    (group, continues): (&ConversationName, Option<&ConversationName>),
) -> Result<bool, StoreFault> {
    if *by == own.address {
        return Ok(true);
    }
    if let Some(by) = participant(tables, by)?
        && tables.stance(own.id, by.id)?.say == Say::Accepted
    {
        return Ok(true);
    }
    let before = Before::of(tables, group, continues)?;
    Ok(before.is_some_and(|before| before.consents(by, &own.address)))
}
