//! Which message is meant, as typed.

use clap::Args;

/// A message of a conversation.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Of {
    /// A name, name@domain, or a group's name.
    #[arg(value_name = "TO")]
    pub(in crate::cli) to: String,
    /// Which message: `last`, `mine`, or the end of its id, at least 4 digits (`history --ids` shows it).
    #[arg(value_name = "MSG")]
    pub(in crate::cli) message: String,
}

/// What somebody chooses in a poll.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Ballot {
    #[command(flatten)]
    pub(in crate::cli) of: Of,
    /// The numbers of the answers, from 1.
    #[arg(value_name = "NUMBER", required_unless_present_any = ["none", "close"])]
    pub(in crate::cli) choices: Vec<u32>,
    /// Take your vote back.
    #[arg(long, conflicts_with_all = ["choices", "close"])]
    pub(in crate::cli) none: bool,
    /// End your own poll: later votes do not count.
    #[arg(long, conflicts_with = "choices")]
    pub(in crate::cli) close: bool,
}
