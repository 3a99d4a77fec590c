//! A group that continues another one, whose hub is gone: what it says of that one, and who may begin it.
//!
//! Servers ask it for consent, clients before they begin one and before they believe one.

use std::collections::BTreeMap;

use crate::{
    address::{Address, Domain},
    chain::ChainValue,
    id::{ConversationName, Seq},
    role::Role,
    v1,
};

/// The conversation that a group continues, as far as whoever made the group had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continued {
    /// Which.
    pub conversation: ConversationName,
    /// The last entry.
    pub seq: Seq,
    /// The chain after it.
    pub chain: ChainValue,
}

impl Continued {
    /// As it stands beside the roles.
    #[must_use]
    pub fn to_wire(&self) -> v1::Continued {
        v1::Continued { conversation: Some(self.conversation.to_wire()), seq: self.seq.0, chain: self.chain.to_bytes() }
    }

    /// Reads it.
    #[must_use]
    pub fn parse(wire: &v1::Continued) -> Option<Self> {
        Some(Self {
            conversation: ConversationName::parse(wire.conversation.as_ref()).ok()?,
            seq: Seq(wire.seq),
            chain: ChainValue::parse(&wire.chain)?,
        })
    }
}

/// May this member of a group, whose hub is of a domain that is gone, go on with it elsewhere? Owners and admins may; any
/// member where all of those are of the domain that is gone.
#[must_use]
pub fn may_continue(mover: &Address, members: &BTreeMap<Address, Role>, gone: &Domain) -> bool {
    let leads = |role: Role| role >= Role::Admin;
    members.get(mover).is_some_and(|own| {
        leads(*own) || !members.iter().any(|(address, role)| leads(*role) && address.domain != *gone)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_admins_go_on_elsewhere_and_others_where_none_of_those_is_left() {
        let address = |text: &str| Address::parse(text).unwrap();
        let (alice, bob, carol) = (address("alice@a.example"), address("bob@b.example"), address("carol@c.example"));
        let gone = &alice.domain;
        let with =
            |role| BTreeMap::from([(alice.clone(), Role::Owner), (bob.clone(), role), (carol.clone(), Role::Member)]);
        for role in [Role::Admin, Role::Owner] {
            assert!(may_continue(&bob, &with(role), gone));
            assert!(!may_continue(&carol, &with(role), gone), "there is somebody else for that");
        }
        assert!(may_continue(&carol, &with(Role::Member), gone) && may_continue(&bob, &with(Role::Member), gone));
        assert!(!may_continue(&address("dave@c.example"), &with(Role::Member), gone), "no member");
    }
}
