//! What `--help` says of each command, so that it fits a screen: its own options, an example, and where the rest is told.

use clap::{Arg, ArgAction, Command, CommandFactory, Error, FromArgMatches};

use super::args::Typed;

/// Where the options are told that every command has.
const COMMON: &str = "Options of every command (--server, --home, --json and others): qpc-client --help";

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
    definition.get_subcommands_mut().for_each(fit);
    definition
}

fn fit(command: &mut Command) {
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
    let example = own.get_after_help().map(ToString::to_string);
    let below = |more: Option<String>| more.into_iter().chain(example.clone()).chain([COMMON.to_owned()]);
    let short = own.long_about(None::<&str>);
    let full = short.clone().after_help(below(more).collect::<Vec<_>>().join("\n\n"));
    let rows = full.clone().term_width(SCREEN.1).render_help().to_string().trim_end().lines().count();
    *command = match rows {
        rows if rows <= SCREEN.0 => full,
        _ => short.after_help(below(None).collect::<Vec<_>>().join("\n")),
    };
    command.get_subcommands_mut().for_each(fit);
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

    /// Words as a shell makes them of a line that quotes with `'` alone.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        let apart = parts.flat_map(|(nr, part)| match nr % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        });
        apart.take_while(|word| word != ">").collect()
    }

    #[test]
    fn each_example_is_of_its_command() {
        let definition = on_a_small_screen();
        let mut all = Vec::new();
        leaves(&definition, "", &mut all);
        for (path, command) in all {
            let help = command.get_after_help().unwrap().to_string();
            let example = help.lines().find_map(|line| line.strip_prefix("Example: ")).expect(&path);
            let mut found = Some(definition.clone().try_get_matches_from(words(example)).expect(example));
            let mut names = Vec::new();
            while let Some((name, below)) = found.as_ref().and_then(|found| found.subcommand()) {
                names.push(name.to_owned());
                found = Some(below.clone());
            }
            assert_eq!(names.join(" "), path, "{example}");
        }
    }
}
