//! The exit codes, in one table that `--help`, the man page and the program share.
//!
//! They are those of sysexits.h where it has one, and clap's 2 for a command line that is wrong.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// It was done.
    Ok = 0,
    /// The command line, or a name in it, is wrong.
    Usage = 2,
    /// What was read (a message, a password file) can't be used.
    Data = 65,
    /// The server can't be reached.
    Unreachable = 69,
    /// A fault of this program or of the server.
    Internal = 70,
    /// Kept, but not done yet.
    TryLater = 75,
    /// Somebody's key is not the one it should be.
    KeyDiffers = 76,
    /// Refused.
    Denied = 77,
}

impl Exit {
    /// Every code, in order.
    pub(super) const ALL: [Self; 8] = [
        Self::Ok,
        Self::Usage,
        Self::Data,
        Self::Unreachable,
        Self::Internal,
        Self::TryLater,
        Self::KeyDiffers,
        Self::Denied,
    ];

    /// What `--json` calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Usage => "usage",
            Self::Data => "data",
            Self::Unreachable => "unreachable",
            Self::Internal => "internal",
            Self::TryLater => "try_later",
            Self::KeyDiffers => "key_differs",
            Self::Denied => "denied",
        }
    }

    /// What it means, in one sentence.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Usage => "the command line is wrong, or names somebody or something that does not exist",
            Self::Data => "a message or a file can't be used: too long, not UTF-8, empty",
            Self::Unreachable => "the server can't be reached; what was to be sent is kept",
            Self::Internal => "a fault of the program, the home directory or the server",
            Self::TryLater => {
                "not now: messages wait (for an acceptance, say), the server asks to try later, or a signal ended it"
            }
            Self::KeyDiffers => {
                "a contact's key is not what it was or should be: a safety number that differs, or a new key that \
                 nobody has accepted; nothing was sent"
            }
            Self::Denied => {
                "refused: password, passphrase or key of the home, token, certificate, or no right to do this"
            }
        }
    }

    /// The table as text, for `--help` and the man page.
    pub(super) fn table() -> String {
        let lines = Self::ALL.map(|exit| format!("  {:>2}  {}", exit as u8, exit.meaning()));
        format!("Exit codes:\n{}", lines.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_documented_ones() {
        let codes = Exit::ALL.map(|exit| exit as u8);
        assert_eq!(codes, [0, 2, 65, 69, 70, 75, 76, 77]);
        assert!(Exit::table().contains("  69  the server can't be reached"));
    }
}
