//! Lines for a person to type: this program with the home that was typed, as a shell reads them back.

use std::{path::Path, sync::OnceLock};

const NAME: &str = "qpc-client";

/// How the program was called; set once, from the command line.
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Notes the home that the command line names, so that every line to type names it, too.
pub(super) fn remember_home(home: &Path) {
    // The first call counts: there is one command line.
    PROGRAM.set(with_home(home)).ok();
}

/// What begins a line to type.
pub(super) fn program() -> &'static str {
    PROGRAM.get().map_or(NAME, String::as_str)
}

/// What to do about a contact's new key.
pub(super) fn changed_key(who: &str, verified: bool) -> String {
    let (program, who) = (program(), quoted(who));
    let unseen = if verified {
        format!("{program} verify {who} --accept-new-key")
    } else {
        format!("{program} contacts trust {who}")
    };
    format!(
        "see the number of the new key, and compare it with them:\n{program} verify {who}\nif it is equal:\n\
         {program} verify {who} --confirm\nto believe the new key unseen:\n{unseen}"
    )
}

/// What to do where numbers differ.
pub(super) fn differs(who: &str) -> String {
    format!(
        "write nothing secret to them; compare once more, digit by digit,\nwhere you see or hear that it is them:\n{} \
         verify {}",
        program(),
        quoted(who)
    )
}

fn with_home(home: &Path) -> String {
    format!("{NAME} --home {}", quoted(&home.to_string_lossy()))
}

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.contains('[') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_home_as_a_shell_reads_it() {
        assert_eq!(with_home(Path::new("/tmp/alice")), "qpc-client --home /tmp/alice");
        assert_eq!(with_home(Path::new("/my home")), "qpc-client --home '/my home'");
        assert_eq!(program(), "qpc-client");
    }
}
