//! What the operator is shown: plain data, the same for tables and for `--json`.

use serde::{Deserialize, Serialize};

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Without the domain.
    pub name: String,
    /// `active`, `suspended`, `reset` or `deleted`.
    pub state: String,
    /// How many.
    pub devices: usize,
    /// The day one of them was last here, milliseconds since 1970.
    pub last_seen_ms: Option<u64>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// Its id.
    pub device: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was enrolled, milliseconds since 1970.
    pub enrolled_ms: u64,
    /// The day it was last here, milliseconds since 1970.
    pub last_seen_ms: u64,
    /// Live sessions; nothing where no server runs.
    pub sessions: Option<usize>,
}

/// An account with what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDetail {
    /// With the domain.
    pub address: String,
    /// As in a list.
    pub state: String,
    /// In order of enrolment.
    pub devices: Vec<DeviceRow>,
    /// Conversations it is a member of.
    pub conversations: u64,
    /// Bytes of its files.
    pub blob_bytes: u64,
    /// Most that it may have.
    pub blob_bytes_max: u64,
    /// Its files.
    pub blobs: u64,
    /// Most that it may have.
    pub blobs_max: u64,
}

/// What a change would end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Devices that would be signed out for good.
    pub devices: usize,
    /// Sessions that would be ended; nothing where no server runs.
    pub sessions: usize,
    /// Conversations it would be no member of any more.
    pub memberships: u64,
    /// Uses of an invite that would be lost.
    pub uses: u32,
}

/// An invite or the token of a reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRow {
    /// The first eight digits of its hash.
    pub id: String,
    /// Uses left.
    pub uses: u32,
    /// When it ends, milliseconds since 1970; nothing for never.
    pub expires_ms: Option<u64>,
    /// The reset name that it is for.
    pub name: Option<String>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// With the domain; the id where the login has not quite ended.
    pub account: String,
    /// Its id.
    pub device: String,
    /// Address and port; nothing where it is just going.
    pub from: Option<String>,
    /// Since when it is connected, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Whether it reads.
    pub syncs: bool,
    /// Entries that wait in its queue.
    pub queued: usize,
    /// Logs in which it is behind; nothing where they are too many to be counted.
    pub logs_behind: Option<usize>,
}

/// A conversation in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationRow {
    /// Id and domain; the domain is its hub's.
    pub conversation: String,
    /// `direct`, `group` or `personal`.
    pub kind: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Its group's epoch.
    pub epoch: u64,
    /// How many are in it.
    pub members: u64,
    /// Entries that are stored.
    pub entries: u64,
}

/// Somebody in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// With the domain.
    pub account: String,
    /// `member`, `admin` or `owner`.
    pub role: String,
}

/// A conversation with who is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationShown {
    /// What a list says.
    #[serde(flatten)]
    pub row: ConversationRow,
    /// Bytes of the bodies that are stored.
    pub bytes: u64,
    /// In order of address.
    pub members_named: Vec<MemberRow>,
}

/// An OPAQUE setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupRow {
    /// Records of passwords carry it.
    pub version: u32,
    /// When it was made, milliseconds since 1970; nothing where that was not noted.
    pub made_ms: Option<u64>,
    /// Accounts whose passwords were registered with it.
    pub accounts: u64,
    /// `newest`, `older`, or `missing` where the file does not have it.
    pub state: String,
}

/// An account that was reset.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetRow {
    /// Without the domain.
    pub name: String,
    /// Registers the name again.
    pub token: String,
}

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// As in the file.
    pub key: String,
    /// As in the file.
    pub value: String,
}
