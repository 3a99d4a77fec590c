//! `chat`: lines both ways, in one conversation or over the list of all of them.
//!
//! What arrives is shown as it arrives, without touching the line being typed. A message counts as
//! shown when it was printed in its own conversation; elsewhere it only rings a bell.

mod act;
mod completion;
mod console;
mod deed;
mod files;
mod full;
mod object;
mod place;
mod room;
mod typed;

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
};

use qpc_client::Notice;

use self::{
    console::{Console, Input},
    room::{Flow, Room},
};
use super::{failure::Failure, screen::Screen, seat::Seat, signals::Stop};

/// Messages shown when a conversation is opened.
const LAST: u32 = 20;

/// Is this terminal one that moves no cursor?
fn is_dumb(term: Option<&OsStr>) -> bool {
    term.is_none_or(|term| ["", "dumb", "cons25", "emacs"].iter().any(|dumb| term.eq_ignore_ascii_case(dumb)))
}

/// Does the environment want lines, or is the terminal one that can do no more? What is logged to a terminal would be
/// written over a full screen.
fn wants_lines(env: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    set("QPC_CHAT_LINES").is_some_and(|value| value != "0")
        || is_dumb(env("TERM").as_deref())
        || (set("QPC_LOG").is_some() && io::stderr().is_terminal())
}

/// Chats until the person, or a signal, ends it.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn chat(seat: &mut Seat, screen: &Screen, (to, lines): (Option<String>, bool)) -> Result<(), Failure> {
    if screen.interactive && !lines && !wants_lines(|name| std::env::var_os(name)) {
        return full::chat(seat, screen, to).await;
    }
    let mut stop = Stop::listen()?;
    let mut console = Console::open(screen);
    let mut room = Room::enter(seat, screen, &console, to).await?;
    console.ready(&room.prompt(), room.names());
    loop {
        tokio::select! {
            biased;
            () = stop.wished() => return Ok(()),
            notice = room.seat.next() => match notice? {
                Notice::Event(event) => room.hear(&console, event).await?,
                Notice::Lagged => room.missed(&console).await?,
            },
            fetched = room.fetching.next() => room.tell_fetched(&console, fetched)?,
            input = console.next() => match input {
                Input::Line(line) => match room.typed(&console, &line).await? {
                    Flow::Stay => console.ready(&room.prompt(), room.names()),
                    Flow::Leave => break,
                },
                Input::End => break,
                Input::Failed(why) => return Err(Failure::data(why)),
            },
        }
    }
    tokio::select! {
        () = stop.wished() => Ok(()),
        left = room.leave(&console) => left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wanted_by_name_and_by_terminals_that_can_do_no_more() {
        let wants = |variables: &[(&str, &str)]| {
            wants_lines(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
        };
        assert!(!wants(&[("TERM", "xterm")]));
        assert!(!wants(&[("TERM", "xterm"), ("QPC_CHAT_LINES", "0")]));
        assert!(!wants(&[("TERM", "xterm"), ("QPC_CHAT_LINES", "")]));
        assert!(wants(&[("TERM", "xterm"), ("QPC_CHAT_LINES", "1")]));
        for dumb in [&[("TERM", "dumb")][..], &[("TERM", "")], &[]] {
            assert!(wants(dumb), "{dumb:?}");
        }
    }
}
