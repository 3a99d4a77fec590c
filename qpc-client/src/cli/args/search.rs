//! What `search` takes.

use clap::Args;

/// A search: its words, and where, by whom and when.
#[derive(Debug, Clone, Args)]
pub(crate) struct Search {
    /// Words, found where a word begins with them; a phrase between quotes is found as it is.
    #[arg(value_name = "WORDS")]
    pub(crate) words: Vec<String>,
    /// In one conversation: a name, name@domain, or a group's name.
    #[arg(long = "in", value_name = "CONVERSATION")]
    pub(crate) to: Option<String>,
    /// Said by this person, or by `me`.
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
    /// Said on this day or later (2026-11-30), or at this time (2026-11-30T09:00).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Said before this day or time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// At most this many, the newest.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}
