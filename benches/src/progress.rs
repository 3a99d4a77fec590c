//! A line on a terminal that says how far a run is. Where standard error is no terminal there is none.

use std::io::{self, IsTerminal, Write as _};

/// The line.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    terminal: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { shown: false, terminal: io::stderr().is_terminal() }
    }
}

impl Progress {
    /// Shows a text in place of the one before.
    pub fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            self.write(&format!("\r\x1b[2K{text}"));
        }
    }

    fn write(&self, text: &str) {
        let mut err = io::stderr().lock();
        // Nowhere is left to say that standard error is closed.
        _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            self.write("\r\x1b[2K");
        }
    }
}
