//! Who a home belongs to, and how it stands.

use serde::{Deserialize, Serialize};

/// Who a home belongs to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whoami {
    /// `name@domain`.
    pub address: String,
    /// The device id.
    pub device: String,
    /// Fingerprint of the account key, hex in groups of four.
    pub account_key: String,
    /// `host:port`.
    pub server: String,
}

/// How the client is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Whose.
    pub whoami: Whoami,
    /// Connected and authenticated?
    pub online: bool,
    /// Why not, for a person.
    pub problem: Option<String>,
    /// The TLS key exchange group in use, such as X25519MLKEM768.
    pub key_exchange: Option<String>,
    /// Fingerprint of the server's certificate, `sha256:HEX`.
    pub fingerprint: Option<String>,
    /// Messages in the outbox.
    pub outbox: u64,
    /// Things a person should know and has not acknowledged: a server that forked or rolled back, a changed key.
    pub alarms: Vec<String>,
}

/// Something a person must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its number in this home, for [`Command::AcknowledgeAlarms`](super::Command::AcknowledgeAlarms).
    pub number: u64,
    /// When it was raised, RFC 3339.
    pub raised: String,
    /// When a person said that they know, RFC 3339.
    pub acknowledged: Option<String>,
    /// For a person.
    pub text: String,
}
