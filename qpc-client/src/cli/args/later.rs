//! What `later` takes.

use clap::Subcommand;

/// What was written to be sent later.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LaterVerb {
    /// What waits for its time, and what could not be sent when it came.
    #[command(after_help = "Example: qpc-client later list")]
    List,
    /// Do not send it.
    #[command(after_help = "Example: qpc-client later cancel 3")]
    Cancel {
        /// Its number, as `later list` shows it.
        #[arg(value_name = "NUMBER")]
        number: i64,
    },
}
