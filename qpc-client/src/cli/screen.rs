//! Where output goes: data to standard output, notes to standard error, each whole line at once.
//!
//! Colours appear only on a terminal, and not where NO_COLOR says so. Text of other people is
//! neutralised by whoever renders it; JSON is escaped here, so that it can't move a terminal either.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;
use serde::Serialize;

use super::{clock::Clock, exit::Exit, failure::Failure, terminal};

/// The program's outputs.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    /// One JSON object a line?
    pub(super) json: bool,
    /// Times for people.
    pub(super) clock: Clock,
    /// Are both ends of the conversation a terminal?
    pub(super) interactive: bool,
    /// How standard output is painted.
    pub(super) paint: Paint,
    /// How standard error is painted.
    pub(super) notes: Paint,
    /// Is standard error a terminal?
    pub(super) progress: bool,
}

impl Screen {
    /// The process's.
    pub(super) fn new(json: bool) -> Self {
        let colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            json,
            clock: Clock::system(),
            interactive: io::stdin().is_terminal() && out && !json,
            paint: Paint(out && colors && !json),
            notes: Paint(err && colors && !json),
            progress: err && !json,
        }
    }

    /// How many columns standard output has, where it is a terminal for people.
    pub(super) fn columns(&self) -> Option<usize> {
        let terminal = io::stdout().is_terminal() && !self.json;
        // One that does not know its size is taken for one of the usual size.
        let known = || tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        terminal.then(|| if known() == 0 { 80 } else { known() })
    }

    /// Writes a line of data and flushes it.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn data(&self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(format!("{line}\n").as_bytes())?;
        out.flush()
    }

    /// Writes a line of JSON and flushes it.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn object(&self, object: &impl Serialize) -> io::Result<()> {
        self.data(&json(object)?)
    }

    /// Tells a person something that is no data. A note that can't be written is not missed.
    pub(super) fn note(&self, text: &str) {
        // JSON is escaped as a whole.
        if self.json { self.rendered(text) } else { self.rendered(&terminal::body(text, "  ")) }
    }

    /// The same of a line that was rendered for standard error: it is safe, and perhaps painted.
    pub(super) fn rendered(&self, text: &str) {
        let line =
            if self.json { json(&serde_json::json!({ "note": text })).unwrap_or_default() } else { text.to_owned() };
        io::stderr().lock().write_all(format!("{line}\n").as_bytes()).ok();
    }

    /// Tells the person at a terminal that it was done; nobody else.
    pub(super) fn done(&self, text: &str) {
        if self.progress {
            self.note(text);
        }
    }

    /// Tells why the program ends.
    pub(super) fn failure(&self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        let text = match failure.exit {
            _ if self.json => json(&failure.object()).unwrap_or_default(),
            Exit::KeyDiffers => self.notes.loud(&failure.text()),
            _ => failure.text(),
        };
        io::stderr().lock().write_all(format!("{text}\n").as_bytes()).ok();
    }

    /// Replaces the progress line, where there is one; an empty text removes it.
    pub(super) fn progress(&self, text: &str) {
        if self.progress {
            let mut err = io::stderr().lock();
            err.write_all(format!("\r\u{1b}[K{}", terminal::line(text)).as_bytes()).ok();
            err.flush().ok();
        }
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn with(self, style: anstyle::Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// For what stands beside the words: times, notes.
    pub(super) fn dim(self, text: &str) -> String {
        self.with(anstyle::Style::new().dimmed(), text)
    }

    /// For names.
    pub(super) fn bold(self, text: &str) -> String {
        self.with(anstyle::Style::new().bold(), text)
    }

    /// Black on white, whatever the terminal's colours are.
    pub(super) fn paper(self, text: &str) -> String {
        let (black, white) = (anstyle::Ansi256Color(16), anstyle::Ansi256Color(231));
        self.with(anstyle::Style::new().fg_color(Some(black.into())).bg_color(Some(white.into())), text)
    }

    /// For what is as it should be.
    pub(super) fn good(self, text: &str) -> String {
        self.with(anstyle::Style::new().fg_color(Some(anstyle::AnsiColor::Green.into())), text)
    }

    /// For what must not be missed.
    pub(super) fn loud(self, text: &str) -> String {
        self.with(anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into())), text)
    }
}

/// An object as one line of JSON in which everything harmful to a terminal is escaped.
///
/// # Errors
/// None that our objects can have; the type is the serializer's.
pub(super) fn json(object: &impl Serialize) -> io::Result<String> {
    let mut line = Vec::new();
    object.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Escaping))?;
    String::from_utf8(line).map_err(io::Error::other)
}

/// Compact JSON that also escapes what serde_json leaves as it is: C1 controls and bidi controls.
struct Escaping;

impl serde_json::ser::Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut units = [0; 2];
        for c in fragment.chars() {
            if terminal::harmful(c) {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                write!(writer, "{c}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_reads_back_and_holds_nothing_harmful() {
        let text = "\u{1b}[2J \u{9b}31m \u{202e}x\u{e0041} \"quoted\" ä\n";
        let line = json(&text).unwrap();
        assert!(!line.chars().any(terminal::harmful), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn no_colour_means_no_escape() {
        assert_eq!(Paint(false).loud("x"), "x");
        assert_eq!(Paint(true).loud("x"), "\u{1b}[1m\u{1b}[31mx\u{1b}[0m");
    }

    proptest! {
        #[test]
        fn any_text_survives_json_and_is_one_safe_line(text in any::<String>()) {
            let line = json(&text).unwrap();
            prop_assert!(!line.chars().any(terminal::harmful));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
