//! Contacts, as they are listed.

use serde::{Deserialize, Serialize};

use super::Standing;

/// A contact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contact {
    /// `name@domain`.
    pub address: String,
    /// `requested` (by us), `pending` (our answer is due), `accepted`, `declined`, `blocked`.
    pub state: String,
    /// Fingerprint of the account key, where it is known.
    pub account_key: Option<String>,
    /// The key changed and nobody has accepted the new one.
    pub key_changed: bool,
    /// The same in more words.
    #[serde(flatten)]
    pub standing: Standing,
}
