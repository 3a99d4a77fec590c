//! What is to be sent later.

use serde::{Deserialize, Serialize};

/// Words that wait for their time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Its number, for [`Command::Unschedule`](super::Command::Unschedule).
    pub number: i64,
    /// The person's address, or the group's title.
    pub to: String,
    /// When, RFC 3339.
    pub at: String,
    /// The words.
    pub text: String,
    /// Id of the message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Why it was not sent when it was time, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
