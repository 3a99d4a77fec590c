//! The way of a message, step by step.

use serde::{Deserialize, Serialize};

/// What happened to a message of one's own. Steps that were not taken, or not by this device, are absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The message's id.
    pub id: String,
    /// The person's address or the group's title.
    pub title: String,
    /// In the order in which they are taken.
    pub steps: Vec<Step>,
    /// Members of whom nothing is known: their programs have not got it, or do not say so.
    pub unheard: Vec<String>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, RFC 3339.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub kind: StepKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum StepKind {
    /// It was written, here or on another device of the account.
    Written,
    /// It was encrypted.
    Encrypted {
        /// Of its group.
        epoch: u64,
        /// Of this device in the conversation.
        counter: u64,
    },
    /// Its bytes left for the server.
    Sent {
        /// How often, until now.
        times: u64,
    },
    /// The server that orders the conversation stored it, by its own clock.
    Stored {
        /// Which.
        server: String,
        /// Its place in the conversation's log.
        seq: u64,
    },
    /// This device's server said so.
    Acknowledged,
    /// The log brought it back, and its place in the chain was checked.
    Returned,
    /// A device of somebody else said that it has it; the time is when this home learned that.
    Received {
        /// Whose.
        account: String,
        /// Which of theirs; absent where that was not noted.
        device: Option<String>,
    },
    /// Somebody else has read it.
    Read {
        /// Who.
        account: String,
        /// On which of their devices.
        device: Option<String>,
    },
}
