//! Who may do what in a group: one function that server and client both ask.
//!
//! Roles live in a group-context extension that only commits change
//! ([`ROLES_EXTENSION`]); [`RoleTable`] is its content, in which also stands what the group continues, for good.

use std::{collections::BTreeMap, fmt};

use prost::Message;

use crate::{address::Address, continuation::Continued, limits::MEMBERS_MAX, v1};

/// Type of the group-context extension with the roles (private use, RFC 9420 section 17.3).
pub const ROLES_EXTENSION: u16 = 0xF100;

/// What a member is in a group. Greater includes smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Role {
    /// Reads, writes, leaves.
    #[default]
    Member,
    /// Also adds and removes members, and describes the group.
    Admin,
    /// Also makes and unmakes admins. There is always one.
    Owner,
}

impl Role {
    /// Reads the wire's number; unknown ones are plain members.
    #[must_use]
    pub const fn from_wire(number: i32) -> Self {
        match number {
            2 => Self::Admin,
            3 => Self::Owner,
            _ => Self::Member,
        }
    }

    /// The wire's enum.
    #[must_use]
    pub const fn to_wire(self) -> v1::Role {
        match self {
            Self::Member => v1::Role::Member,
            Self::Admin => v1::Role::Admin,
            Self::Owner => v1::Role::Owner,
        }
    }

    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Somebody who has this role, for people.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Member => "a plain member",
            Self::Admin => "an admin",
            Self::Owner => "an owner",
        }
    }
}

/// Something that changes a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Add somebody as a plain member.
    Add,
    /// Remove somebody who has this role.
    Remove(Role),
    /// Change somebody's role from the first to the second.
    Promote(Role, Role),
    /// Change name, topic or picture.
    Describe,
    /// Take one's own leaves out.
    Leave,
    /// Refresh one's own leaf.
    Update,
}

/// What somebody does to a group, for people: after "may" or "may not".
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add => f.write_str("add people"),
            Self::Remove(role) => write!(f, "remove {}", role.phrase()),
            Self::Promote(from, to) => write!(f, "make {} {}", from.phrase(), to.phrase()),
            Self::Describe => f.write_str("describe the group"),
            Self::Leave => f.write_str("leave"),
            Self::Update => f.write_str("renew their key"),
        }
    }
}

/// May a member with this role do this?
#[must_use]
pub fn may(role: Role, action: Action) -> bool {
    match action {
        Action::Leave | Action::Update => true,
        Action::Add | Action::Describe => role >= Role::Admin,
        Action::Remove(other) => role >= Role::Admin && role > other,
        Action::Promote(from, to) => role == Role::Owner && from < Role::Owner && to <= Role::Owner,
    }
}

/// The roles of a group: everybody who is more than a plain member. And the group that it continues, if it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleTable {
    roles: BTreeMap<Address, Role>,
    continues: Option<Continued>,
}

/// An extension that is not a role table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the roles extension is not canonical")]
pub struct RoleTableError;

impl RoleTable {
    /// The table of a new group.
    #[must_use]
    pub fn owned_by(owner: Address) -> Self {
        Self { roles: BTreeMap::from([(owner, Role::Owner)]), continues: None }
    }

    /// The same table of a group that continues another one.
    #[must_use]
    pub fn continuing(self, continues: Option<Continued>) -> Self {
        Self { continues, ..self }
    }

    /// What the group continues.
    #[must_use]
    pub fn continues(&self) -> Option<&Continued> {
        self.continues.as_ref()
    }

    /// Somebody's role; a plain member where the table does not say more.
    #[must_use]
    pub fn of(&self, address: &Address) -> Role {
        self.roles.get(address).copied().unwrap_or_default()
    }

    /// Sets a role.
    pub fn set(&mut self, address: Address, role: Role) {
        match role {
            Role::Member => self.roles.remove(&address),
            role => self.roles.insert(address, role),
        };
    }

    /// Everybody who is more than a plain member, in order of address.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, Role)> {
        self.roles.iter().map(|(address, role)| (address, *role))
    }

    /// The extension's content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let roles = self
            .roles
            .iter()
            .map(|(address, role)| v1::RoleEntry { address: address.to_string(), role: role.to_wire() as u32 });
        v1::RoleList { roles: roles.collect(), continues: self.continues.as_ref().map(Continued::to_wire) }
            .encode_to_vec()
    }

    /// Reads the extension's content; only the canonical encoding is accepted.
    ///
    /// # Errors
    /// [`RoleTableError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RoleTableError> {
        let list = v1::RoleList::decode(bytes).map_err(|_| RoleTableError)?;
        if list.roles.len() > MEMBERS_MAX {
            return Err(RoleTableError);
        }
        let continues = list.continues.as_ref().map(|wire| Continued::parse(wire).ok_or(RoleTableError)).transpose()?;
        let mut table = Self::default().continuing(continues);
        for entry in list.roles {
            let address = Address::parse(&entry.address).map_err(|_| RoleTableError)?;
            table.set(address, i32::try_from(entry.role).map_or(Role::Member, Role::from_wire));
        }
        if table.encode() == bytes { Ok(table) } else { Err(RoleTableError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chain::ChainValue,
        id::{ConversationId, ConversationName, Seq},
    };

    #[test]
    fn the_rules_of_roles() {
        use Role::{Admin, Member, Owner};
        let rows: [(Action, [bool; 3]); 9] = [
            (Action::Leave, [true, true, true]),
            (Action::Update, [true, true, true]),
            (Action::Add, [false, true, true]),
            (Action::Describe, [false, true, true]),
            (Action::Remove(Member), [false, true, true]),
            (Action::Remove(Admin), [false, false, true]),
            (Action::Remove(Owner), [false, false, false]),
            (Action::Promote(Member, Admin), [false, false, true]),
            (Action::Promote(Owner, Member), [false, false, false]),
        ];
        for (action, allowed) in rows {
            for (role, allowed) in [Member, Admin, Owner].into_iter().zip(allowed) {
                assert_eq!(may(role, action), allowed, "{role:?} {action:?}");
            }
        }
    }

    #[test]
    fn a_deed_that_a_role_does_not_allow_is_told_in_words() {
        for (action, words) in [
            (Action::Add, "add people"),
            (Action::Remove(Role::Owner), "remove an owner"),
            (Action::Promote(Role::Member, Role::Admin), "make a plain member an admin"),
        ] {
            assert_eq!(action.to_string(), words);
        }
    }

    #[test]
    fn a_role_table_reads_back_and_only_in_canonical_form() {
        let alice = Address::parse("alice@a.example").unwrap();
        let mut table = RoleTable::owned_by(alice.clone());
        table.set(Address::parse("bob@a.example").unwrap(), Role::Admin);
        assert_eq!(RoleTable::decode(&table.encode()), Ok(table.clone()));
        assert_eq!(table.of(&alice), Role::Owner);
        let twice =
            v1::RoleList { roles: vec![v1::RoleEntry { address: alice.to_string(), role: 3 }; 2], continues: None };
        assert_eq!(RoleTable::decode(&twice.encode_to_vec()), Err(RoleTableError));
        let domain = alice.domain.clone();
        let conversation = ConversationName { domain, id: ConversationId::new(1, [1; 10]) };
        let continues = Continued { chain: ChainValue::genesis(&conversation), seq: Seq(7), conversation };
        let continuing = table.continuing(Some(continues.clone()));
        assert_eq!(RoleTable::decode(&continuing.encode()), Ok(continuing.clone()));
        assert_eq!(continuing.continues(), Some(&continues));
        let nothing = v1::RoleList { roles: Vec::new(), continues: Some(v1::Continued::default()) };
        assert_eq!(RoleTable::decode(&nothing.encode_to_vec()), Err(RoleTableError));
    }
}
