//! Whether a person has compared somebody's key with them, and what they compare.

use serde::{Deserialize, Serialize};

/// How things stand with somebody's account key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Nobody has compared it: it is the one that the server showed first, or one that was accepted unseen.
    #[default]
    Unverified,
    /// A person has compared it.
    Verified,
    /// Another key than the known one is presented, and nobody has accepted it.
    Changed,
    /// Of a conversation or group: they are in it with another key than the one that a person has accepted since.
    Earlier,
}

/// The same with its times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// In one word.
    pub verification: Verification,
    /// When a person compared a key of theirs, RFC 3339: the known one, or an earlier one where the word is not
    /// `verified`.
    pub verified_at: Option<String>,
    /// Since when another key is presented, RFC 3339, where that is known.
    pub changed_at: Option<String>,
}

/// What a person and a contact compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetyNumber {
    /// The contact's.
    pub address: String,
    /// Of the contact's key.
    #[serde(flatten)]
    pub standing: Standing,
    /// 60 digits in groups of five. Where the key has changed, the number with the new one.
    pub number: String,
    /// The same in 18 words.
    pub words: String,
    /// What this side shows as a QR code, for the other to scan.
    pub code: String,
    /// Fingerprint of the contact's key, hex in groups of four.
    pub account_key: String,
}

/// What a person has from the contact, to be compared with what this home knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The number, in digits or words, however they are grouped.
    Number(String),
    /// What the contact's QR code says.
    Code(String),
}
