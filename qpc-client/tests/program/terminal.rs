//! What programs write, awaited with a deadline: lines of a pipe, or a terminal that the test sits at.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use ptyprocess::{PtyProcess, WaitStatus};

use crate::emulator::Emulator;

/// Longest wait for anything to be seen.
const SOON: Duration = Duration::from_secs(30);
/// Wide enough that nothing wraps.
pub(crate) const COLUMNS: u16 = 200;
pub(crate) const ROWS: u16 = 50;

/// The lines of a pipe, as they come; a line that does not come soon fails the test.
pub(crate) fn lines(pipe: impl Read + Send + 'static) -> impl Iterator<Item = String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    std::iter::from_fn(move || match receiver.recv_timeout(SOON) {
        Ok(line) => Some(line),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("waited for a line"),
    })
}

/// A program in a terminal.
pub(crate) struct Terminal {
    process: PtyProcess,
    keys: File,
    screen: Arc<Screen>,
}

#[derive(Default)]
struct Screen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What was written to the terminal and not looked at yet.
    text: Vec<u8>,
    ended: bool,
}

impl Terminal {
    pub(crate) fn open(mut command: Command) -> Self {
        command.stdin(Stdio::inherit());
        let mut process = PtyProcess::spawn(command).unwrap();
        process.set_window_size(COLUMNS, ROWS).unwrap();
        let (keys, mut output) = (process.get_raw_handle().unwrap(), process.get_raw_handle().unwrap());
        process.set_terminate_delay(Duration::from_millis(10));
        let screen = Arc::new(Screen::default());
        let writing = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                // The other end is closed: that is an error of input and output here.
                let read = output.read(&mut bytes).unwrap_or(0);
                let mut state = writing.state.lock().unwrap();
                state.text.extend_from_slice(&bytes[..read]);
                state.ended = read == 0;
                writing.changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self { process, keys, screen }
    }

    /// Types.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text after the one that was seen last, and gives what stood between.
    pub(crate) fn sees(&self, what: &str) -> String {
        self.until(&format!("to see {what:?}"), |state| {
            let at = state.text.windows(what.len()).position(|window| window == what.as_bytes())?;
            let after = state.text.split_off(at + what.len());
            Some(std::mem::replace(&mut state.text, after))
        })
    }

    /// Waits until the screen, as this emulator has it, shows a text; what was written is fed to it.
    pub(crate) fn shows(&self, screen: &mut Emulator, what: &str) {
        self.until(&format!("a screen with {what:?}"), |state| {
            screen.feed(&std::mem::take(&mut state.text));
            if screen.text().contains(what) {
                return Some(Vec::new());
            }
            // For whoever reads of a failure.
            if state.ended {
                state.text = screen.text().into_bytes();
            }
            None
        });
    }

    /// Waits for the program's end, which is good, and gives what it still wrote.
    pub(crate) fn ends(&self) -> String {
        self.ends_with(0)
    }

    /// Waits for the program's end with this code, and gives what it still wrote.
    pub(crate) fn ends_with(&self, expected: i32) -> String {
        let rest = self.until("the end", |state| state.ended.then(|| std::mem::take(&mut state.text)));
        let status = self.process.wait().unwrap();
        assert!(matches!(status, WaitStatus::Exited(_, code) if code == expected), "{status:?}: {rest}");
        rest
    }

    fn until(&self, what: &str, mut is: impl FnMut(&mut State) -> Option<Vec<u8>>) -> String {
        let deadline = Instant::now() + SOON;
        let mut state = self.screen.state.lock().unwrap();
        loop {
            if let Some(found) = is(&mut state) {
                return String::from_utf8_lossy(&found).into_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = String::from_utf8_lossy(&state.text);
            assert!(!left.is_zero() && !state.ended, "waited for {what}; there is {seen:?}");
            state = self.screen.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}
