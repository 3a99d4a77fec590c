//! Devices of the account, as they are listed.

use serde::{Deserialize, Serialize};

/// A device of the account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub device: String,
    /// What its owner called it.
    pub name: String,
    /// RFC 3339.
    pub enrolled: String,
    /// A day.
    pub last_seen: String,
    /// This one?
    pub current: bool,
}
