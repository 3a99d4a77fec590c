//! What Tab makes of the words before the cursor: commands and what they take, `@names`, `:emoji:`; again, the next that fits.

use super::{editor::Editor, emoji};
use crate::cli::chat::completion::Completion;

/// Candidates that are offered at most.
const CANDIDATES_MAX: usize = 50;

/// One completion that goes on as long as Tab follows Tab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cycle {
    /// Where in the text what is replaced begins.
    start: usize,
    candidates: Vec<String>,
    at: usize,
}

/// What can be completed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    /// Of conversations, as `/open` takes them.
    pub(super) conversations: &'a [String],
    /// Of the people of the open one.
    pub(super) people: &'a [String],
}

impl Cycle {
    /// Completes, or takes the next candidate; `None` where nothing fits.
    pub(super) fn tab(editor: &mut Editor, going_on: Option<Self>, names: Names<'_>) -> Option<Self> {
        let mut cycle = match going_on {
            Some(cycle) => {
                let at = cycle.at.saturating_add(1);
                Self { at: if at >= cycle.candidates.len() { 0 } else { at }, ..cycle }
            }
            None => {
                let (start, candidates) = candidates(editor.before(), names);
                Self { start, candidates, at: 0 }
            }
        };
        cycle.candidates.truncate(CANDIDATES_MAX);
        let candidate = cycle.candidates.get(cycle.at)?;
        editor.replace(cycle.start, candidate);
        Some(cycle)
    }

    /// What to show of it: nothing where there was one candidate.
    pub(super) fn shown(&self) -> Option<String> {
        (self.candidates.len() > 1).then(|| self.candidates.iter().map(|one| one.trim()).collect::<Vec<_>>().join("  "))
    }
}

fn candidates(before: &str, names: Names<'_>) -> (usize, Vec<String>) {
    let start = before.rfind(char::is_whitespace).map_or(0, |at| at.saturating_add(1));
    let start = if before.is_char_boundary(start) { start } else { before.len() };
    let word = before.get(start..).unwrap_or_default();
    if let Some(name) = word.strip_prefix(':').filter(|name| !name.is_empty()) {
        return (start, emoji::beginning(name).map(str::to_owned).collect());
    }
    if let Some(name) = word.strip_prefix('@') {
        let people = names.people.iter().filter(|who| who.starts_with(name));
        return (start, people.map(|who| format!("@{who} ")).collect());
    }
    let completion = Completion { names: names.conversations.to_vec() };
    (0, completion.candidates(before))
}

/// Puts the emoji where its name was typed to the end: `:tada:`.
pub(super) fn emoji_typed(editor: &mut Editor) {
    let before = editor.before();
    let Some(rest) = before.strip_suffix(':') else { return };
    let Some(start) = rest.rfind(':') else { return };
    let name = rest.get(start.saturating_add(1)..).unwrap_or_default();
    if let Some(emoji) = emoji::named(name) {
        editor.replace(start, emoji);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tabs(typed: &str, times: usize) -> String {
        let (conversations, people) =
            (["bob".to_owned(), "#friends".to_owned()], ["bob".to_owned(), "bonnie".to_owned()]);
        let names = Names { conversations: &conversations, people: &people };
        let mut editor = Editor::default();
        editor.insert(typed);
        let mut cycle = None;
        for _ in 0..times {
            cycle = Cycle::tab(&mut editor, cycle, names);
        }
        editor.text().to_owned()
    }

    #[test]
    fn tab_completes_what_stands_before_the_cursor_and_goes_round() {
        assert_eq!(tabs("/ope", 1), "/open ");
        assert_eq!(tabs("/open b", 1), "/open bob");
        assert_eq!(tabs("hi @bo", 1), "hi @bob ");
        assert_eq!(tabs("hi @bo", 2), "hi @bonnie ");
        assert_eq!(tabs("hi @bo", 3), "hi @bob ");
        assert_eq!(tabs("well :thumbsu", 1), "well 👍");
        assert_eq!(tabs("nothing", 1), "nothing");
        assert_eq!(tabs("", 1), "");
    }

    #[test]
    fn a_name_between_colons_becomes_its_emoji_and_other_words_stay() {
        let typed = |text: &str| {
            let mut editor = Editor::default();
            editor.insert(text);
            emoji_typed(&mut editor);
            editor.text().to_owned()
        };
        assert_eq!(typed("so :tada:"), "so 🎉");
        assert_eq!(typed("at 12:30:"), "at 12:30:");
        assert_eq!(typed(":nothing_of_the_kind:"), ":nothing_of_the_kind:");
    }
}
