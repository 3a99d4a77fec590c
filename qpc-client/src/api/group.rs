//! Groups: how one is made, who is in it and what they may do.

use serde::{Deserialize, Serialize};

use super::Standing;

/// How the keys of a new group are exchanged, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSuite {
    /// By X25519.
    #[default]
    Classical,
    /// By X25519 and ML-KEM-768 together where all devices of all members know it, classically otherwise.
    Auto,
    /// By both, or the group is not made.
    PostQuantum,
}

/// A member of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// `name@domain`.
    pub address: String,
    /// `member`, `admin`, `owner`.
    pub role: String,
    /// Its devices in the group.
    pub devices: u32,
    /// In the MLS group but not on the server's list, or the other way round.
    pub disputed: bool,
    /// Of the key that these devices have; of one's own there is nothing to compare.
    #[serde(flatten)]
    pub standing: Option<Standing>,
}

/// What a member may do in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read, write, leave.
    Member,
    /// Add and remove members, too.
    Admin,
    /// Give roles, too.
    Owner,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        qpc_proto::role::Role::from(self).name()
    }
}

impl From<Role> for qpc_proto::role::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}

/// A group that was continued on another server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Moved {
    /// `id@domain` of the one whose server is gone.
    pub conversation: String,
    /// `id@domain` of the one in which it goes on.
    pub continued_in: String,
    /// What that is called.
    pub title: String,
    /// Who is in it, in order of address.
    pub members: Vec<String>,
    /// Who is in the other one alone, in order of address.
    pub left_out: Vec<LeftOut>,
    /// What to tell the person beyond that, if anything.
    pub note: Option<String>,
}

/// A member who could not be taken along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// `name@domain`.
    pub address: String,
    /// Why, for a person.
    pub reason: String,
}
