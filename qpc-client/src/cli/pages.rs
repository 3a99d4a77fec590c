//! Completions and the manual page, made from the definition that parses.

use clap_complete::Shell;

use super::{args, exit::Exit};

/// The completions for a shell.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut args::definition(), "qpc-client", &mut page);
    page
}

/// The manual page in roff: the program, then each command with its own options.
///
/// # Errors
/// None that a vector can have; the type is the generator's.
pub(super) fn manual() -> std::io::Result<Vec<u8>> {
    let mut definition = args::definition().after_help(None::<&str>);
    definition.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(definition.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    page.extend_from_slice(b".SH COMMANDS\n");
    for command in definition.get_subcommands().filter(|command| command.get_name() != "help") {
        describe(&mut page, command, command.get_name());
    }
    page.extend_from_slice(b".SH \"EXIT STATUS\"\n");
    for exit in Exit::ALL {
        item(&mut page, &(exit as u8).to_string(), exit.meaning());
    }
    page.extend_from_slice(b".SH ENVIRONMENT\n");
    for (name, text) in ENVIRONMENT {
        item(&mut page, name, text);
    }
    Ok(page)
}

/// What the environment can say.
const ENVIRONMENT: [(&str, &str); 11] = [
    ("QPC_SERVER", "as --server"),
    ("QPC_HOME", "as --home"),
    ("QPC_AUTH_TOKEN", "as --auth-token"),
    ("QPC_AUTH_TOKEN_FILE", "a file whose first line is the token"),
    ("QPC_PASSWORD_FILE", "as --password-file"),
    ("QPC_PASSPHRASE_FILE", "as --passphrase-file"),
    ("QPC_GROUP_SUITE", "as --suite of group create"),
    ("QPC_CHAT_LINES", "set to anything but 0: as --lines of chat"),
    ("QPC_NOTIFY", "set to anything but 0: a full-screen chat tells the desktop by whom something came (OSC 9)"),
    ("QPC_LOG", "what to log on standard error, such as qpc_client=debug; nothing unless set"),
    ("NO_COLOR", "set and not empty: no colours"),
];

/// One command and the commands below it.
fn describe(page: &mut Vec<u8>, command: &clap::Command, path: &str) {
    let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
    if below.is_empty() {
        let mut synopsis = path.to_owned();
        for argument in command.get_arguments().filter(|a| !a.is_global_set() && a.get_id() != "help") {
            synopsis.push_str(&format!(" {}", usage(argument)));
        }
        let mut about = command.get_about().map(ToString::to_string).unwrap_or_default();
        for argument in command.get_arguments().filter(|a| !a.is_global_set() && a.get_id() != "help") {
            if let Some(help) = argument.get_help() {
                about.push_str(&format!("\n.br\n{}: {help}", usage(argument)));
            }
        }
        item(page, &synopsis, &about);
    }
    for command in below {
        describe(page, command, &format!("{path} {}", command.get_name()));
    }
}

/// An argument as a synopsis shows it.
fn usage(argument: &clap::Arg) -> String {
    let shown = argument.to_string();
    if argument.is_required_set() || shown.starts_with('[') { shown } else { format!("[{shown}]") }
}

/// A tagged paragraph.
fn item(page: &mut Vec<u8>, tag: &str, text: &str) {
    let escape = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    page.extend_from_slice(format!(".TP\n\\fB{}\\fR\n{}\n", escape(tag), escape(text)).as_bytes());
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn completions_of_every_shell_know_the_commands() {
        for shell in Shell::value_variants() {
            let page = String::from_utf8(completions(*shell)).unwrap();
            assert!(page.contains("conversations") && page.contains("password-file"), "{shell}");
        }
    }

    #[test]
    fn the_manual_tells_commands_exit_codes_and_environment() {
        let page = String::from_utf8(manual().unwrap()).unwrap();
        for part in [
            ".TH qpc-client 1",
            "\\fBregister <NAME> [\\-\\-passphrase]\\fR",
            "\\fBgroup create <NAME> [MEMBER]... [\\-\\-suite <SUITE>]\\fR",
            "\\fBhistory <TO> [\\-\\-limit <N>] [\\-\\-ids]\\fR",
            "\\fBpassword change\\fR",
            "\\fB77\\fR",
            "QPC_AUTH_TOKEN_FILE",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }
}
