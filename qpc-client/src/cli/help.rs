//! What `--help` says of each command, so that it fits a screen: its own options, an example, and where the rest is told.

use clap::{Arg, ArgAction, Command, CommandFactory, Error, FromArgMatches};

use super::args::Typed;

/// Where the options are told that every command has.
const COMMON: &str = "Options of every command (--server, --home, --json and others): qpc-client --help";

/// An example for each command that has none of its own.
const EXAMPLES: [(&str, &str); 43] = [
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
    ("later list", "later list"),
    ("listen", "listen --follow --json"),
    ("login", "--server chat.example.org login alice"),
    ("logout", "logout"),
    ("man", "man > qpc-client.1"),
    ("password change", "password change"),
    ("register", "--server chat.example.org --auth-token TOKEN register alice"),
    ("send", "send bob 'see you at eight'"),
    ("status", "status"),
    ("verify", "verify bob --confirm"),
    ("whoami", "whoami"),
];

/// Rows and columns that the help of a command has at most.
const SCREEN: (usize, usize) = (24, 80);

/// What was typed.
///
/// # Errors
/// Help, the version, or what is wrong with it, to be printed.
pub(super) fn parse() -> Result<Typed, Error> {
    Typed::from_arg_matches(&definition(Typed::command()).try_get_matches()?)
}

/// The definition as it is shown to people. The manual page has all that there is to say.
fn definition(mut definition: Command) -> Command {
    // Only then each command has the options of all.
    definition.build();
    for command in definition.get_subcommands_mut() {
        let path = command.get_name().to_owned();
        fit(command, &path);
    }
    definition
}

fn fit(command: &mut Command, path: &str) {
    let shown = |arg: Arg| {
        let arg = arg.long_help(None::<&str>);
        match arg.get_id().as_str() {
            "help" => arg.action(ArgAction::HelpShort).help("Print help"),
            _ if arg.is_global_set() => arg.hide(true),
            _ => arg,
        }
    };
    let own = std::mem::replace(command, Command::new("")).mut_args(shown);
    // What is said of it beyond its first paragraph stands below, where there is room.
    let more = own.get_long_about().map(ToString::to_string);
    let more = more.and_then(|long| long.split_once("\n\n").map(|(_, more)| more.to_owned()));
    let example = own.get_after_help().map(ToString::to_string).or_else(|| {
        EXAMPLES.iter().find(|(of, _)| *of == path).map(|(_, example)| format!("Example: qpc-client {example}"))
    });
    let below = |more: Option<String>| more.into_iter().chain(example.clone()).chain([COMMON.to_owned()]);
    let short = own.long_about(None::<&str>);
    let full = short.clone().after_help(below(more).collect::<Vec<_>>().join("\n\n"));
    let rows = full.clone().term_width(SCREEN.1).render_help().to_string().trim_end().lines().count();
    *command = match rows {
        rows if rows <= SCREEN.0 => full,
        _ => short.after_help(below(None).collect::<Vec<_>>().join("\n")),
    };
    for below in command.get_subcommands_mut() {
        let path = format!("{path} {}", below.get_name());
        fit(below, &path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_small_screen() -> Command {
        definition(Typed::command().term_width(SCREEN.1))
    }

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
        let definition = on_a_small_screen();
        let mut all = Vec::new();
        leaves(&definition, "", &mut all);
        assert!(all.len() > 40);
        let mut wrong = Vec::new();
        for (path, _) in all {
            for asked in ["-h", "--help"] {
                let words = ["qpc-client"].into_iter().chain(path.split(' ')).chain([asked]);
                let help = definition.clone().try_get_matches_from(words).unwrap_err().render().to_string();
                let lines = help.trim_end().lines().count();
                if lines > SCREEN.0 || !help.contains("Example: qpc-client ") || help.contains("--passphrase-file <") {
                    wrong.push(format!("{path} {asked}: {lines} lines"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn what_is_typed_is_understood_as_it_would_be_otherwise() {
        let typed = |line: &str| {
            let words = line.split_whitespace();
            Typed::from_arg_matches(&on_a_small_screen().try_get_matches_from(words).unwrap()).unwrap()
        };
        let typed = typed("qpc-client send bob hello --home somewhere --json");
        assert!(typed.common.json && typed.common.home.is_some_and(|home| home.ends_with("somewhere")));
        assert!(on_a_small_screen().try_get_matches_from(["qpc-client", "fly"]).is_err());
    }

    #[test]
    fn each_example_is_of_a_command() {
        let definition = on_a_small_screen();
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
