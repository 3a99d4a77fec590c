//! What a person tells of what they do at the moment, as typed.

use clap::ValueEnum;
use qpc_client::api::Tell;

/// What can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum TellWord {
    /// That you are there; to contacts alone, and off unless you switch it on.
    Presence,
    /// That you are writing.
    Typing,
    /// That messages have come.
    Delivered,
    /// That you have read messages.
    Read,
}

impl From<TellWord> for Tell {
    fn from(word: TellWord) -> Self {
        match word {
            TellWord::Presence => Self::Presence,
            TellWord::Typing => Self::Typing,
            TellWord::Delivered => Self::Delivered,
            TellWord::Read => Self::Read,
        }
    }
}

/// From now on, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Switch {
    /// It is told.
    On,
    /// It is not.
    Off,
}

impl Switch {
    pub(in crate::cli) const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}
