//! What `--help` says of each command, so that it fits a screen: its own options, an example, and where the rest is told.

use clap::{Arg, Command, CommandFactory, Error, FromArgMatches};

use super::args::Typed;

/// Where the options are told that every command has.
const COMMON: &str = "Options of every command (--server, --home, --json and others): qpc-client --help";

/// An example for each command that has none of its own.
const EXAMPLES: [(&str, &str); 40] = [
    ("account delete", "account delete"),
    ("alarms acknowledge", "alarms acknowledge 1 2"),
    ("alarms list", "alarms list"),
    ("completions", "completions bash > ~/.local/share/bash-completion/completions/qpc-client"),
    ("contacts accept", "contacts accept bob"),
    ("contacts block", "contacts block eve@evil.example"),
    ("contacts decline", "contacts decline bob"),
    ("contacts list", "contacts list --json"),
    ("contacts trust", "contacts trust bob"),
    ("contacts unblock", "contacts unblock bob"),
    ("conversations", "conversations"),
    ("devices list", "devices list"),
    ("devices revoke", "devices revoke 01a2"),
    ("file get", "file get 01a228b7 -o garden.jpg"),
    ("file list", "file list bob"),
    ("file send", "file send bob garden.jpg --caption 'the garden'"),
    ("group add", "group add friends carol"),
    ("group create", "group create friends bob carol@b.example"),
    ("group describe", "group describe friends --topic 'hikes on Sundays'"),
    ("group invite", "group invite friends --expires 2d --uses 5"),
    ("group invites", "group invites friends"),
    ("group join", "group join 'qpc://…'"),
    ("group leave", "group leave friends"),
    ("group list", "group list"),
    ("group members", "group members friends"),
    ("group move", "group move friends"),
    ("group picture", "group picture friends -o friends.png"),
    ("group remove", "group remove friends carol"),
    ("group role", "group role friends carol admin"),
    ("group uninvite", "group uninvite friends 1"),
    ("history", "history bob -n 100 --ids"),
    ("later cancel", "later cancel 3"),
    ("listen", "listen --follow --json"),
    ("login", "--server chat.example.org login alice"),
    ("logout", "logout"),
    ("man", "man > qpc-client.1"),
    ("password change", "password change"),
    ("register", "--server chat.example.org --auth-token TOKEN register alice"),
    ("send", "send bob 'see you at eight'"),
    ("status", "status"),
];

/// What was typed.
///
/// # Errors
/// Help, the version, or what is wrong with it, to be printed.
pub(super) fn parse() -> Result<Typed, Error> {
    Typed::from_arg_matches(&definition().try_get_matches()?)
}

/// The definition as it is shown to people.
fn definition() -> Command {
    let mut definition = Typed::command();
    // Only then each command has the options of all.
    definition.build();
    for command in definition.get_subcommands_mut() {
        let path = command.get_name().to_owned();
        fit(command, &path);
    }
    definition
}

fn fit(command: &mut Command, path: &str) {
    let common = |arg: Arg| if arg.is_global_set() { arg.hide(true) } else { arg };
    let own = std::mem::replace(command, Command::new("")).mut_args(common);
    let own = match (own.get_after_help().is_some(), EXAMPLES.iter().find(|(of, _)| *of == path)) {
        (false, Some((_, example))) => own.after_help(format!("Example: qpc-client {example}")),
        _ => own,
    };
    let told = own.get_after_help().map(|told| format!("{told}\n")).unwrap_or_default();
    *command = own.after_help(format!("{told}{COMMON}"));
    for below in command.get_subcommands_mut() {
        let path = format!("{path} {}", below.get_name());
        fit(below, &path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines and columns of a small terminal.
    const SCREEN: (usize, usize) = (24, 80);

    fn leaves<'c>(command: &'c Command, path: &str, found: &mut Vec<(String, &'c Command)>) {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        let before = found.len();
        for below in below {
            leaves(below, &format!("{path} {}", below.get_name()), found);
        }
        if found.len() == before {
            found.push((path.trim().to_owned(), command));
        }
    }

    #[test]
    fn the_help_of_each_command_fits_a_screen_and_has_an_example() {
        let definition = definition();
        let mut all = Vec::new();
        leaves(&definition, "", &mut all);
        assert!(all.len() > 40);
        let mut wrong = Vec::new();
        for (path, command) in all {
            for (kind, help) in [
                ("-h", command.clone().term_width(SCREEN.1).render_help().to_string()),
                ("--help", command.clone().term_width(SCREEN.1).render_long_help().to_string()),
            ] {
                let lines = help.trim_end().lines().count();
                if lines > SCREEN.0 || !help.contains("Example: qpc-client ") || help.contains("--passphrase-file <") {
                    wrong.push(format!("{path} {kind}: {lines} lines"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn what_is_typed_is_understood_as_it_would_be_otherwise() {
        let typed = |line: &str| {
            let words = line.split_whitespace();
            Typed::from_arg_matches(&definition().try_get_matches_from(words).unwrap()).unwrap()
        };
        let typed = typed("qpc-client send bob hello --home somewhere --json");
        assert!(typed.common.json && typed.common.home.is_some_and(|home| home.ends_with("somewhere")));
        assert!(definition().try_get_matches_from(["qpc-client", "fly"]).is_err());
    }

    #[test]
    fn each_example_is_of_a_command() {
        let definition = definition();
        let mut all = Vec::new();
        leaves(&definition, "", &mut all);
        for (path, example) in EXAMPLES {
            assert!(all.iter().any(|(known, _)| known == path), "{path}");
            let words = std::iter::once("qpc-client").chain(example.split_whitespace());
            assert!(
                example.contains('\'')
                    || example.contains('>')
                    || definition.clone().try_get_matches_from(words).is_ok(),
                "{example}"
            );
        }
    }
}
