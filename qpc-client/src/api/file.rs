//! Files: what a message tells of one, how it stands with it, and how far it has come.

use serde::{Deserialize, Serialize};

/// A file that a message tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// As its sender calls it.
    pub name: String,
    /// Of the file, in bytes, as its sender says.
    pub size: u64,
    /// As its sender says; nothing to rely on.
    pub media_type: String,
}

/// A file in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The message's id, by which it is fetched.
    pub id: String,
    /// As its sender calls it.
    pub name: String,
    /// Of the file, in bytes, as its sender says.
    pub size: u64,
    /// As its sender says; nothing to rely on.
    pub media_type: String,
    /// Who sent it.
    pub sender: String,
    /// Sent by this account?
    pub own: bool,
    /// The sender's clock, RFC 3339.
    pub time: String,
    /// How it stands with it.
    pub state: FileState,
}

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Into this directory, under a name that is free there.
    Directory(String),
    /// Here, where nothing is yet.
    File(String),
}

/// How it stands with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// It is on its way to the server.
    Uploading,
    /// The server has it, and the message that tells of it is to be sent.
    Queued,
    /// It will never be sent.
    Refused,
    /// It can be fetched, as long as the server keeps it.
    There,
    /// The conversation is over: what was not fetched before can't be any more.
    Gone,
}

impl FileState {
    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uploading => "on its way",
            Self::Queued => "queued",
            Self::Refused => "not sent",
            Self::There => "on the server",
            Self::Gone => "out of reach",
        }
    }
}

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the server.
    Up,
    /// To this home.
    Down,
}

/// How far a file has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The message's id.
    pub id: String,
    /// Which way it goes.
    pub direction: Direction,
    /// Bytes of ciphertext that are there.
    pub done: u64,
    /// Bytes of ciphertext in all.
    pub total: u64,
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The message's id.
    pub id: String,
    /// Where it is now.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// A size for people.
#[must_use]
pub fn shown_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} bytes");
    }
    // In tenths of the unit.
    let (mut tenths, mut unit) = (bytes.saturating_add(50) / 100, 0_usize);
    while tenths >= 10_000 && unit < UNITS.len().saturating_sub(1) {
        tenths = tenths.saturating_add(500) / 1_000;
        unit = unit.saturating_add(1);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (2_345_678, "2.3 MB"),
            (999_999, "1.0 MB"),
            (17_000_000_000, "17.0 GB"),
        ] {
            assert_eq!(shown_size(bytes), shown, "{bytes}");
        }
    }
}
