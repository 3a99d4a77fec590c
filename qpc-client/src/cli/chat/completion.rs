//! Tab completes a chat's commands, and names after those that take one.

use rustyline::{Context, Helper, completion::Completer, highlight::Highlighter, hint::Hinter, validate::Validator};

use super::{deed::OF_MESSAGES, typed::COMMANDS};

/// Messages that have a name.
const MESSAGES: [&str; 2] = ["last", "mine"];

/// The names there are.
#[derive(Debug, Default)]
pub(super) struct Completion {
    pub(super) names: Vec<String>,
}

impl Completion {
    /// What a line up to the cursor may become.
    pub(super) fn candidates(&self, typed: &str) -> Vec<String> {
        let commands = COMMANDS.iter().map(|(usage, _)| usage.split_once(' ').map_or(*usage, |(word, _)| word));
        match typed.split_once(' ') {
            None if typed.starts_with('/') => {
                commands.filter(|word| word.starts_with(typed)).map(|word| format!("{word} ")).collect()
            }
            Some((word, beginning)) if OF_MESSAGES.contains(&word) => match beginning.split_once(' ') {
                None => MESSAGES
                    .iter()
                    .filter(|message| message.starts_with(beginning))
                    .map(|message| format!("{word} {message} "))
                    .collect(),
                Some((message, name)) if word == "/forward" => self.named(&format!("{word} {message}"), name),
                Some(_) => Vec::new(),
            },
            Some((word, beginning)) if typed.starts_with('/') => self.named(word, beginning),
            _ => Vec::new(),
        }
    }
}

impl Completion {
    fn named(&self, before: &str, beginning: &str) -> Vec<String> {
        let names = self.names.iter().filter(|name| name.starts_with(beginning));
        names.map(|name| format!("{before} {name}")).collect()
    }
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, line.get(..at).map(|typed| self.candidates(typed)).unwrap_or_default()))
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_names_complete_and_words_do_not() {
        let completion = Completion { names: vec!["bob".to_owned(), "#friends".to_owned()] };
        assert_eq!(completion.candidates("/h"), ["/history ", "/help "]);
        assert_eq!(completion.candidates("/open b"), ["/open bob"]);
        assert_eq!(completion.candidates("/react l"), ["/react last "]);
        assert_eq!(completion.candidates("/forward last b"), ["/forward last bob"]);
        assert!(completion.candidates("/reply last b").is_empty());
        assert!(completion.candidates("bo").is_empty());
    }
}
