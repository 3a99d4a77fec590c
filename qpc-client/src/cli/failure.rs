//! Why the program stops: what happened, where, what to do next, and the exit code.
//!
//! Every error of the library becomes one of these exactly once, here. The text may quote what
//! a server or a person wrote, so it is neutralised when it is printed.

use std::io;

use qpc_client::api::CommandError;
use serde::Serialize;

use super::{exit::Exit, hint, terminal};

/// An end that is not success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct Failure {
    /// The exit code.
    pub(super) exit: Exit,
    /// What happened; may have further lines with the details.
    pub(super) what: String,
    /// Where: a server, a file, a directory.
    pub(super) place: Option<String>,
    /// What to do next; may be several lines.
    pub(super) next: Option<String>,
}

impl Failure {
    /// A failure that says only what happened.
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), place: None, next: None }
    }

    /// The command line is wrong.
    pub(super) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Input can't be used.
    pub(super) fn data(what: impl Into<String>) -> Self {
        Self::new(Exit::Data, what)
    }

    /// It was refused.
    pub(super) fn denied(what: impl Into<String>) -> Self {
        Self::new(Exit::Denied, what)
    }

    /// A fault.
    pub(super) fn internal(what: impl Into<String>) -> Self {
        Self::new(Exit::Internal, what)
    }

    /// Says where.
    pub(super) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Says what to do next.
    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Nobody reads our output any more: a reason to stop, not to complain.
    pub(super) fn is_silent(&self) -> bool {
        self.exit == Exit::Ok
    }

    /// The three parts for a person.
    pub(super) fn text(&self) -> String {
        let mut text = format!("qpc-client: {}", terminal::body(&self.what, "  "));
        for (label, part) in [("where", &self.place), ("next", &self.next)] {
            if let Some(part) = part {
                text.push_str(&format!("\n  {:<6} {}", format!("{label}:"), terminal::body(part, "         ")));
            }
        }
        text
    }

    /// The same as an object for a program.
    pub(super) fn object(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Object<'a> {
            error: &'static str,
            message: &'a str,
            r#where: Option<&'a str>,
            next: Option<&'a str>,
            exit: u8,
        }
        Object {
            error: self.exit.name(),
            message: &self.what,
            r#where: self.place.as_deref(),
            next: self.next.as_deref(),
            exit: self.exit as u8,
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Usage { message } => Self::usage(message),
            CommandError::Unreachable { message } => Self::new(Exit::Unreachable, message),
            CommandError::Denied { message } => Self::denied(message),
            CommandError::TryLater { message } => Self::new(Exit::TryLater, message),
            CommandError::KeyChanged { message, who, verified } => {
                Self::new(Exit::KeyDiffers, message).next(hint::changed_key(&who, verified))
            }
            CommandError::KeyDiffers { message, who } => Self::new(Exit::KeyDiffers, message).next(hint::differs(&who)),
            CommandError::Internal { message } => Self::internal(message),
        }
    }
}

/// Output that can't be written. A closed pipe (`... | head`) is the reader's right.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(Exit::Ok, "nobody reads the output any more")
        } else {
            Self::new(Exit::Internal, format!("the output can't be written: {error}"))
                .next("is the disk full? What was not written is not marked as shown")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_where_and_what_next() {
        let failure = Failure::new(Exit::Unreachable, "no answer\nsent: 5 packets\ncame back: nothing")
            .at("localhost:7000 (UDP)")
            .next("start the server, or\nallow UDP port 7000");
        assert_eq!(
            failure.text(),
            "qpc-client: no answer\n  sent: 5 packets\n  came back: nothing\n  where: localhost:7000 (UDP)\n  \
             next:  start the server, or\n         allow UDP port 7000"
        );
        assert_eq!(
            serde_json::to_string(&failure.object()).unwrap(),
            r#"{"error":"unreachable","message":"no answer\nsent: 5 packets\ncame back: nothing","#.to_owned()
                + r#""where":"localhost:7000 (UDP)","next":"start the server, or\nallow UDP port 7000","exit":69}"#
        );
    }

    #[test]
    fn a_server_can_not_write_to_the_terminal_through_an_error() {
        let failure = Failure::from(CommandError::Denied { message: "no\u{1b}[2J".to_owned() });
        assert_eq!((failure.exit, failure.text().as_str()), (Exit::Denied, "qpc-client: no␛[2J"));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        assert!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_silent());
        assert!(!Failure::from(io::Error::other("disk full")).is_silent());
    }
}
