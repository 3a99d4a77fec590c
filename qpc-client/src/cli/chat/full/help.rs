//! The help of a full-screen chat: keys first, then the commands that every chat has.

use super::state::Page;
use crate::cli::chat::typed::COMMANDS;

/// What keys do.
pub(super) const KEYS: [(&str, &str); 26] = [
    ("F1, ? when nothing is typed", "this page"),
    ("Enter", "say it; Alt-Enter or Ctrl-J begins a new line"),
    ("Tab", "complete a command, @name or :emoji:; again: the next"),
    ("Up, Down", "what you typed before, or other lines of it"),
    ("PgUp, PgDn, wheel", "older and newer messages"),
    ("End when nothing is typed", "to the last message"),
    ("F4", "to the first message that was unread"),
    ("F2, Ctrl-O", "choose a conversation: arrows, letters find, Enter opens"),
    ("Ctrl-N, Ctrl-P", "the next conversation, the one before"),
    ("F6, Ctrl-R", "find messages while you type; Tab: here alone, Enter goes there"),
    ("F3", "the next conversation with something unread"),
    ("Esc, Ctrl-Up", "select a message; Up and Down select others"),
    ("  r, Enter", "answer it"),
    ("  e", "replace its words"),
    ("  d", "delete it for everybody"),
    ("  + and -", "put an emoji on it; take it away"),
    ("  p", "pin it, or take the pin away"),
    ("  f", "send it on to somebody"),
    ("  v", "vote, if it is a poll"),
    ("  s", "show the small picture that came with its file"),
    ("  g", "fetch its file to here"),
    ("Ctrl-A/E/W/U/K, Alt-B/F", "move and cut as in a shell"),
    ("F5", "leave the mouse to the terminal, or take it back"),
    ("Ctrl-L", "draw the screen anew"),
    ("Ctrl-Z", "put the program aside; fg brings it back"),
    ("Ctrl-C", "clear what is typed; Ctrl-C or Ctrl-D again: end"),
];

/// The page.
pub(super) fn page() -> Page {
    let line = |(keys, meaning): &(&str, &str)| format!("{keys}: {meaning}");
    let commands = COMMANDS.iter().map(line);
    let lines = KEYS.iter().map(line).chain(std::iter::once(String::new())).chain(commands).collect();
    Page { title: "help".to_owned(), lines, top: 0 }
}
