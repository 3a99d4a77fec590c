//! Why a command failed: kinds that a caller acts on, each with words for a person.

use serde::{Deserialize, Serialize};

/// Why a command failed, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum CommandError {
    /// The command's words are wrong, or name something that does not exist.
    #[error("{message}")]
    Usage {
        /// For a person.
        message: String,
    },
    /// The server can't be reached.
    #[error("{message}")]
    Unreachable {
        /// For a person.
        message: String,
    },
    /// Wrong password, revoked device, changed server key.
    #[error("{message}")]
    Denied {
        /// For a person.
        message: String,
    },
    /// A contact has another account key than the known one, and nobody has accepted it: nothing is sent to it.
    #[error("{message}")]
    KeyChanged {
        /// For a person.
        message: String,
        /// Whose, `name@domain`.
        who: String,
        /// Had a person compared the earlier key?
        verified: bool,
    },
    /// What a contact has is not what this home knows: somebody may be in between.
    #[error("{message}")]
    KeyDiffers {
        /// For a person.
        message: String,
        /// Whose, `name@domain`.
        who: String,
    },
    /// The server refused it for now.
    #[error("{message}")]
    TryLater {
        /// For a person.
        message: String,
    },
    /// A fault of the client or the server.
    #[error("{message}")]
    Internal {
        /// For a person.
        message: String,
    },
}
