//! Standard input: as messages, one a line, bounded before it is read; and as a person's answers.
//!
//! Threads of their own read, so that a pipe that never ends, or a person who takes their time, holds up
//! nothing else: a wish to stop is heard meanwhile.

use std::io::{self, BufRead, Read};

use qpc_proto::limits::TEXT_MAX;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;

/// Lines that are read ahead.
const AHEAD_MAX: usize = 64;
/// Longest line that is read as a code or a link.
const LINE_MAX: u64 = 1024;

/// A line that is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// Longer than a message may be.
    #[error("line {0} is longer than a message may be ({TEXT_MAX} bytes)")]
    TooLong(u64),
    /// Not text.
    #[error("line {0} is not UTF-8")]
    NotText(u64),
    /// The operating system.
    #[error("standard input can't be read: {0}")]
    Io(#[from] io::Error),
}

/// The lines of standard input, without their ends; an error is the last of them.
pub(super) fn stdin() -> mpsc::Receiver<Result<String, LineError>> {
    let (sender, receiver) = mpsc::channel(AHEAD_MAX);
    let read = move || {
        let mut lines = Lines { input: io::stdin().lock(), number: 0 };
        while let Some(line) = lines.next().transpose() {
            let last = line.is_err();
            if sender.blocking_send(line).is_err() || last {
                return;
            }
        }
    };
    // Nobody waits for this thread: it may be stuck in a read for as long as the process lives.
    std::thread::spawn(read);
    receiver
}

/// What a person types, or a pipe brings. Where nobody waits for it any more the terminal is as it was before.
///
/// # Errors
/// As `ask`.
pub(super) async fn asked<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let _as_it_was = Mode(tcgetattr(io::stdin()).ok());
    let (answer, answered) = oneshot::channel();
    // Nobody waits for this thread: see above.
    std::thread::spawn(move || drop(answer.send(ask())));
    answered.await.unwrap_or_else(|_| Err(Failure::internal("the question was not asked")))
}

/// A line of standard input, such as a code or a link.
///
/// # Errors
/// A [`Failure`] where it can't be read.
pub(super) async fn short_line(what: &'static str) -> Result<String, Failure> {
    asked(move || {
        let mut line = String::new();
        let mut bounded = Read::take(io::stdin().lock(), LINE_MAX);
        bounded.read_line(&mut line).map_err(|error| Failure::data(format!("{what} can't be read: {error}")))?;
        Ok(line)
    })
    .await
}

/// A terminal's mode, given back when this goes.
struct Mode(Option<Termios>);

impl Drop for Mode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}

struct Lines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<String>, LineError> {
        self.number = self.number.saturating_add(1);
        let mut line = Vec::new();
        let most = u64::try_from(TEXT_MAX).unwrap_or(u64::MAX).saturating_add(2);
        if self.input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if line.len() > TEXT_MAX {
            return Err(LineError::TooLong(self.number));
        }
        String::from_utf8(line).map(Some).map_err(|_| LineError::NotText(self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Result<Option<String>, LineError>> {
        let mut lines = Lines { input, number: 0 };
        let mut read = Vec::new();
        loop {
            read.push(lines.next());
            if !matches!(read.last(), Some(Ok(Some(_)))) {
                return read;
            }
        }
    }

    #[test]
    fn each_line_is_one_message_without_its_end() {
        let read: Vec<_> = lines(b"one\r\n\ntwo \nlast").into_iter().map(Result::unwrap).collect();
        let expected = [Some("one"), Some(""), Some("two "), Some("last"), None];
        assert_eq!(read, expected.map(|line| line.map(str::to_owned)));
    }

    #[test]
    fn the_longest_message_fits_and_one_byte_more_does_not() {
        let longest = "x".repeat(TEXT_MAX);
        assert_eq!(lines(format!("{longest}\r\nnext").as_bytes()).len(), 3);
        let read = lines(format!("ok\n{longest}x\n").as_bytes());
        assert!(matches!(read.last(), Some(Err(LineError::TooLong(2)))));
        assert!(matches!(lines(b"ok\n\xff\n").last(), Some(Err(LineError::NotText(2)))));
    }
}
