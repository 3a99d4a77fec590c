//! What can be done with files, as typed.

use std::path::PathBuf;

use clap::Subcommand;

/// What to do with files.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum FileVerb {
    /// Send files, and wait until the server has them.
    ///
    /// Each is encrypted into the home first: from then on it may be changed or deleted, and whatever ends this command, a
    /// later one goes on where it was.
    #[command(after_help = "Example: qpc-client file send bob garden.jpg --caption 'the garden'")]
    Send {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
        /// The files.
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        /// What to say of them; it stands beside the first one.
        #[arg(long, value_name = "TEXT")]
        caption: Option<String>,
    },
    /// List a conversation's files: their ids, and how it stands with them.
    #[command(after_help = "Example: qpc-client file list bob")]
    List {
        /// A name, name@domain, or a group's name.
        #[arg(value_name = "TO")]
        to: String,
    },
    /// Fetch a file, and print where it is; broken off, the same again goes on where it was.
    #[command(after_help = "Example: qpc-client file get 01a228b7 -o garden.jpg")]
    Get {
        /// Its id as `file list`, `listen` and `history` show it, or the beginning of it if that is enough.
        #[arg(value_name = "ID")]
        id: String,
        /// Where to, a directory or a name that is free; default: the current directory, under the name that its sender
        /// gave it, as far as that is harmless and free.
        #[arg(long, short, value_name = "PATH")]
        output: Option<PathBuf>,
    },
}
