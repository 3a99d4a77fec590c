//! Completions and the manual page, made from the definition that parses.

use std::{fmt::Write as _, io};

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{
    args::{Cli, ENVIRONMENT},
    exit::Exit,
};

/// The completions for a shell.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "qpc-server", &mut page);
    page
}

/// The manual page in roff, of section 8: the program, then each command with its own options.
///
/// # Errors
/// None that a vector can have; the type is the generator's.
pub(super) fn manual() -> io::Result<Vec<u8>> {
    let mut definition = Cli::command().after_help(None::<&str>);
    definition.build();
    let mut page = Vec::new();
    let man = Man::new(definition.clone()).section("8");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut rest = String::from(".SH COMMANDS\n");
    commands(&mut rest, &definition, "");
    rest.push_str(".SH \"EXIT STATUS\"\n");
    for exit in Exit::ALL {
        tagged(&mut rest, &(exit as u8).to_string(), exit.meaning());
    }
    rest.push_str(".SH ENVIRONMENT\n");
    for (name, text) in ENVIRONMENT {
        tagged(&mut rest, name, text);
    }
    page.extend_from_slice(rest.as_bytes());
    Ok(page)
}

/// What can be typed below a command, each with its arguments.
fn commands(page: &mut String, of: &Command, path: &str) {
    for command in of.get_subcommands().filter(|command| command.get_name() != "help") {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            commands(page, command, &path);
            continue;
        }
        let own =
            || command.get_arguments().filter(|argument| !argument.is_global_set() && argument.get_id() != "help");
        let shown: Vec<String> = own().map(synopsis).collect();
        let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        // Writing into a string does not fail.
        _ = writeln!(page, ".SS \"{}{}\"\n{}", escaped(path.trim_start()), escaped(&shown.concat()), escaped(&about));
        for argument in own() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            tagged(page, &argument.to_string(), &help);
        }
    }
}

/// An argument, in brackets where it may be left out.
fn synopsis(argument: &Arg) -> String {
    let shown = argument.to_string();
    if argument.is_required_set() || shown.starts_with('[') { format!(" {shown}") } else { format!(" [{shown}]") }
}

/// A paragraph with its tag.
fn tagged(page: &mut String, tag: &str, text: &str) {
    _ = writeln!(page, ".TP\n\\fB{}\\fR\n{}", escaped(tag), escaped(text));
}

/// Text as roff takes it: no escapes, no hyphenation of options, no requests at the beginning of lines.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq");
    let lines = text.lines().map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.into() });
    lines.collect::<Vec<String>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn completions_of_every_shell_know_the_commands() {
        for shell in Shell::value_variants() {
            let page = String::from_utf8(completions(*shell)).unwrap();
            assert!(page.contains("why-slow") && page.contains("data-dir"), "{shell}");
        }
    }

    #[test]
    fn the_manual_tells_commands_exit_codes_and_environment() {
        let page = String::from_utf8(manual().unwrap()).unwrap();
        for part in [
            ".TH qpc-server 8",
            ".SS \"doctor [\\-\\-reach <HOST:PORT>] [\\-\\-deep] [\\-\\-json]\"",
            ".SS \"invite create [\\-\\-uses <N>]",
            ".SS \"account reset <NAME> [\\-\\-json]\"",
            "\\fB78\\fR",
            "QPC_DB_KEY_FILE",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }

    #[test]
    fn text_can_give_no_orders_to_roff() {
        assert_eq!(escaped(".so /etc\n'x \\n -a \"b\""), "\\&.so /etc\n\\&'x \\en \\-a \\(dqb\\(dq");
    }
}
