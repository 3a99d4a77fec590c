//! The terminal while it belongs to the chat: raw, on its other screen, telling pastes from keys. Whatever happens, it is given
//! back as it was: at the end, at a panic, and while the program is put aside.

use std::{
    io::{self, Stdout, Write},
    panic,
    sync::Arc,
    thread,
};

use crossterm::{
    cursor, event, execute,
    terminal::{self, EnterAlternateScreen, LeaveAlternateScreen},
};
use ratatui::{Terminal, backend::CrosstermBackend, layout::Rect};
use rustix::process::{Signal, getpid, kill_process};

use super::{draw, state::View};

type Hook = Arc<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync>;

/// The terminal.
pub(super) struct Stage {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    before: Hook,
}

impl Stage {
    /// Takes the terminal.
    ///
    /// # Errors
    /// What the operating system says; then it is given back.
    pub(super) fn enter(mouse: bool) -> io::Result<Self> {
        let before: Hook = Arc::from(panic::take_hook());
        let (told, owner) = (Arc::clone(&before), thread::current().id());
        panic::set_hook(Box::new(move |info| {
            // Of another thread the chat lives on, and what is told would stand across it.
            if thread::current().id() == owner {
                give_back();
                told(info);
            }
        }));
        let terminal = take(mouse).and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal, before }),
            Err(error) => {
                give_back();
                panic::set_hook(Box::new(move |info| before(info)));
                Err(error)
            }
        }
    }

    /// Columns and rows.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    /// Draws what has changed.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn draw(&mut self, view: &mut View) -> io::Result<()> {
        // Between two sizes the one that is drawn for counts.
        self.terminal.autoresize()?;
        view.size = self.size()?;
        view.prepare();
        self.terminal.draw(|frame| {
            if let Some(cursor) = draw::draw(view, frame.buffer_mut()) {
                frame.set_cursor_position(cursor);
            }
        })?;
        Ok(())
    }

    /// Draws everything anew, whatever stands there.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        // Not `clear`, which asks the terminal where its cursor is, and waits for an answer that the keys' reader takes.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::new(0, 0, size.width, size.height))
    }

    /// Rings, and where that is wanted has the desktop told by whom.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn ring(&mut self, notice: Option<&str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let Some(notice) = notice {
            out.write_all(notice.as_bytes())?;
        }
        out.write_all(b"\x07")?;
        out.flush()
    }

    /// Takes the mouse, or leaves it to the terminal.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn mouse(&mut self, taken: bool) -> io::Result<()> {
        if taken {
            execute!(io::stdout(), event::EnableMouseCapture)
        } else {
            execute!(io::stdout(), event::DisableMouseCapture)
        }
    }

    /// Gives the terminal back, stops the program until the shell has it go on, and takes the terminal again.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn suspend(&mut self, mouse: bool) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::TSTP)?;
        take(mouse)?;
        self.redraw()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        give_back();
        // A hook can't be set while it runs.
        if !thread::panicking() {
            let before = Arc::clone(&self.before);
            panic::set_hook(Box::new(move |info| before(info)));
        }
    }
}

fn take(mouse: bool) -> io::Result<()> {
    terminal::enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, event::EnableBracketedPaste)?;
    if mouse { execute!(io::stdout(), event::EnableMouseCapture) } else { Ok(()) }
}

/// What can't be given back is not there any more.
fn give_back() {
    execute!(
        io::stdout(),
        event::DisableMouseCapture,
        event::DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    )
    .ok();
    terminal::disable_raw_mode().ok();
}
