//! Where a chat's lines come from and go to: a terminal with line editing, plain streams, or a full screen, which reads for
//! itself and shows what was printed where it has room.
//!
//! On a terminal, what is printed appears above the line being typed, which stays as it is. Printing
//! never waits for the terminal: a stopped one (Ctrl-S) loses lines, and is told how many.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{Config, Editor, ExternalPrinter, error::ReadlineError, history::MemHistory};
use tokio::sync::mpsc;

use super::completion::Completion;
use crate::cli::{failure::Failure, input, screen::Screen};

/// Text that waits for a terminal, in bytes.
const UNPRINTED_MAX: usize = 1024 * 1024;
/// Lines that are kept for a full screen.
const KEPT_MAX: usize = 1000;

/// What was typed.
#[derive(Debug)]
pub(super) enum Input {
    /// A line.
    Line(String),
    /// No more lines; or Ctrl-C.
    End,
    /// Lines can't be read any more.
    Failed(String),
}

/// A chat's input and output.
pub(super) enum Console {
    /// With line editing.
    Terminal(Terminal),
    /// A line in, a line out.
    Plain(Screen, mpsc::Receiver<Result<String, input::LineError>>),
    /// Nothing is read here, and what is printed is kept for whoever shows it.
    Kept(Mutex<Kept>),
}

/// What was printed and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Lines, the oldest first; the oldest go where there are too many.
    pub(super) lines: VecDeque<String>,
    /// Was one of them to be noticed?
    pub(super) rang: bool,
    /// Columns that there are for them.
    pub(super) columns: usize,
}

impl Console {
    /// The terminal if there is one that can edit lines.
    pub(super) fn open(screen: &Screen) -> Self {
        let edits = screen.interactive && !super::is_dumb(std::env::var_os("TERM").as_deref());
        let terminal = if edits { Terminal::open().ok() } else { None };
        terminal.map_or_else(|| Self::Plain(screen.clone(), input::stdin()), Self::Terminal)
    }

    /// One that keeps what is printed.
    pub(super) fn kept() -> Self {
        Self::Kept(Mutex::default())
    }

    /// What was printed since this was asked last; nothing of a console that prints.
    pub(super) fn take(&self) -> Kept {
        match self {
            Self::Kept(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let columns = kept.columns;
                std::mem::replace(&mut *kept, Kept { columns, ..Kept::default() })
            }
            Self::Terminal(_) | Self::Plain(..) => Kept::default(),
        }
    }

    /// What is printed will have so many columns.
    pub(super) fn set_columns(&self, columns: usize) {
        if let Self::Kept(kept) = self {
            kept.lock().unwrap_or_else(PoisonError::into_inner).columns = columns;
        }
    }

    /// How many columns what is printed has, where it is for people.
    pub(super) fn columns(&self, screen: &Screen) -> Option<usize> {
        match self {
            Self::Kept(kept) => Some(kept.lock().unwrap_or_else(PoisonError::into_inner).columns),
            Self::Terminal(_) | Self::Plain(..) => screen.columns(),
        }
    }

    /// Is there somebody to ring a bell for?
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Lets the next line be typed. A terminal shows the prompt, and completes these names.
    pub(super) fn ready(&self, prompt: &str, names: Vec<String>) {
        if let Self::Terminal(terminal) = self {
            terminal.reading.store(true, Ordering::Relaxed);
            terminal.prompts.try_send((prompt.to_owned(), names)).ok();
        }
    }

    /// What is typed next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Input {
        match self {
            Self::Terminal(terminal) => {
                let input = terminal.lines.recv().await.unwrap_or(Input::End);
                terminal.reading.store(false, Ordering::Relaxed);
                input
            }
            Self::Plain(_, lines) => match lines.recv().await {
                Some(Ok(line)) => Input::Line(line),
                Some(Err(error)) => Input::Failed(error.to_string()),
                None => Input::End,
            },
            Self::Kept(_) => std::future::pending().await,
        }
    }

    /// Prints a line.
    ///
    /// # Errors
    /// A [`Failure`] where nobody can read it.
    pub(super) fn print(&self, line: &str) -> Result<(), Failure> {
        match self {
            Self::Terminal(terminal) => terminal.unprinted.push(line),
            Self::Plain(screen, _) => screen.data(line)?,
            Self::Kept(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                for line in line.split('\n') {
                    if kept.lines.len() >= KEPT_MAX {
                        kept.lines.pop_front();
                    }
                    kept.lines.push_back(line.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Prints a line that must be noticed: with a bell, where there is one.
    ///
    /// # Errors
    /// A [`Failure`] where nobody can read it.
    pub(super) fn ring(&self, line: &str) -> Result<(), Failure> {
        if let Self::Kept(kept) = self {
            kept.lock().unwrap_or_else(PoisonError::into_inner).rang = true;
        }
        self.print(&if self.is_terminal() { format!("\u{7}{line}") } else { line.to_owned() })
    }
}

/// A terminal. Whatever happens, it is given back as it was.
pub(super) struct Terminal {
    prompts: mpsc::Sender<(String, Vec<String>)>,
    lines: mpsc::Receiver<Input>,
    /// A prompt stands there, and raw mode is on.
    reading: AtomicBool,
    unprinted: Arc<Unprinted>,
    printer: Option<std::thread::JoinHandle<()>>,
    before: Option<Termios>,
}

impl Terminal {
    fn open() -> Result<Self, ReadlineError> {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            keep_keys(before.clone());
        }
        let config = Config::builder().auto_add_history(true).build();
        let mut editor: Editor<Completion, MemHistory> = Editor::with_history(config, MemHistory::new())?;
        editor.set_helper(Some(Completion::default()));
        let printer = editor.create_external_printer()?;
        let (prompts, asked) = mpsc::channel(1);
        let (typed, lines) = mpsc::channel(1);
        let unprinted = Arc::new(Unprinted::default());
        // Nobody waits for this thread: it is in a read until somebody types or the process ends.
        std::thread::spawn(move || edit(editor, asked, &typed));
        let to_print = Arc::clone(&unprinted);
        let printer = std::thread::spawn(move || to_print.print_all(printer));
        Ok(Self { prompts, lines, reading: AtomicBool::new(false), unprinted, printer: Some(printer), before })
    }
}

/// Has the terminal keep what is typed between two lines as it was typed, for the next one: it
/// would echo it into what is being printed, and take Ctrl-D for itself.
fn keep_keys(mut mode: Termios) {
    mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    mode.input_modes.remove(InputModes::ICRNL);
    tcsetattr(io::stdin(), OptionalActions::Now, &mode).ok();
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let reading = self.reading.load(Ordering::Relaxed);
        self.unprinted.with(|state| state.closed = true);
        // While a line is being read the printer depends on its reader, which nobody can stop.
        if let Some(printer) = self.printer.take().filter(|_| !reading) {
            printer.join().ok();
        }
        if let Some(before) = &self.before {
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
        if reading {
            io::stdout().lock().write_all(b"\n").ok();
        }
    }
}

/// Reads a line for each prompt.
fn edit(
    mut editor: Editor<Completion, MemHistory>,
    mut prompts: mpsc::Receiver<(String, Vec<String>)>,
    typed: &mpsc::Sender<Input>,
) {
    while let Some((prompt, names)) = prompts.blocking_recv() {
        if let Some(completion) = editor.helper_mut() {
            completion.names = names;
        }
        let input = match editor.readline(&prompt) {
            Ok(line) => Input::Line(line),
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Input::End,
            Err(error) => Input::Failed(error.to_string()),
        };
        let last = !matches!(input, Input::Line(_));
        if typed.blocking_send(input).is_err() || last {
            return;
        }
    }
}

/// Text on its way to the terminal.
#[derive(Default)]
struct Unprinted {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: String,
    lost: u64,
    closed: bool,
}

impl Unprinted {
    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &str) {
        self.with(|state| {
            if state.text.len().saturating_add(line.len()) > UNPRINTED_MAX {
                state.lost = state.lost.saturating_add(1);
            } else {
                state.text.push_str(line);
                state.text.push('\n');
            }
        });
    }

    /// What there is to print now; `None` once closed and empty.
    fn take(&self) -> Option<String> {
        let mut state = self.lock();
        loop {
            let mut text = std::mem::take(&mut state.text);
            match std::mem::take(&mut state.lost) {
                0 => {}
                lost => text.push_str(&format!("({lost} lines were not shown: the terminal was stopped. /history)\n")),
            }
            if !text.is_empty() {
                return Some(text);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn print_all(&self, mut printer: impl ExternalPrinter) {
        while let Some(text) = self.take() {
            if printer.print(text).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_bounded_and_the_loss_is_told() {
        let unprinted = Unprinted::default();
        let line = "x".repeat(UNPRINTED_MAX / 2);
        (0..3).for_each(|_| unprinted.push(&line));
        let text = unprinted.take().unwrap();
        assert!(text.len() < UNPRINTED_MAX + 100 && text.contains("2 lines were not shown"));
        unprinted.push("last");
        unprinted.with(|state| state.closed = true);
        assert_eq!(unprinted.take().as_deref(), Some("last\n"));
        assert_eq!(unprinted.take(), None);
    }
}
