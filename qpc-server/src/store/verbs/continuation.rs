//! Consent within a group that continues another one, whose hub is gone: its members have agreed to be in a conversation with
//! each other, and are asked no second time for the same one elsewhere.
//!
//! Who is in the other one is as this server knows it: by its own copy, or as the hub that it was.

use std::collections::BTreeMap;

use qpc_proto::{
    address::{Address, Domain},
    continuation::may_continue,
    id::ConversationName,
    role::Role,
};

use crate::store::{
    StoreFault,
    tables::{LogKind, Tables},
};

/// A group that another one continues.
pub(super) struct Before {
    hub: Domain,
    members: BTreeMap<Address, Role>,
}

impl Before {
    /// What a conversation continues; `None` where that is nothing, nothing that is known here, no group, or ordered by the
    /// same domain.
    pub(super) fn of(
        tables: &mut dyn Tables,
        name: &ConversationName,
        continues: Option<&ConversationName>,
    ) -> Result<Option<Self>, StoreFault> {
        let Some(before) = continues.filter(|before| before.domain != name.domain) else { return Ok(None) };
        let Some((log, _)) = tables.log(before)?.filter(|(_, row)| row.kind == LogKind::Group) else { return Ok(None) };
        let members = tables.member_addresses(log)?.into_iter().chain(tables.outer_members(log)?).collect();
        Ok(Some(Self { hub: before.domain.clone(), members }))
    }

    /// Has somebody agreed to be added by this one?
    pub(super) fn consents(&self, adder: &Address, added: &Address) -> bool {
        self.members.contains_key(added) && may_continue(adder, &self.members, &self.hub)
    }
}
