//! The commands that do something to a message: from what was typed to what the library is told, and what is said then.

use qpc_client::api::{Command, Outcome};

use super::{
    args::{Ballot, Of, Verb},
    failure::Failure,
    file,
    screen::Screen,
    seat::Seat,
    send,
};

/// Sends a message on, and waits until the server has it: a file takes longer than words.
///
/// # Errors
/// A [`Failure`], as of [`send::send`].
pub(super) async fn forward(
    seat: &mut Seat,
    screen: &Screen,
    (from, message): (String, String),
    to: String,
) -> Result<(), Failure> {
    let forward = Command::Forward { from, message, to: to.clone() };
    let Outcome::Queued { id } = seat.execute(forward).await? else {
        return Err(Failure::internal("forwarding gave an answer of another kind"));
    };
    let files = seat.insist(Command::Files { to: to.clone() }).await;
    let name = match files {
        Ok(Outcome::Files { files }) => files.into_iter().find(|file| file.id == id).map(|file| file.name),
        _ => None,
    };
    match name {
        Some(name) => file::wait(seat, screen, to, (id, name)).await,
        None => send::wait(seat, screen, to, (id, "forwarded")).await,
    }
}

/// What to do, in which conversation, and what to tell the person once it is done; `None` for other commands.
pub(super) fn change(verb: &Verb) -> Option<(String, Command, &'static str)> {
    let (to, command, done) = match verb.clone() {
        Verb::Edit { of: Of { to, message }, text } => (to.clone(), Command::Edit { to, message, text }, "edited"),
        Verb::Delete { of: Of { to, message } } => {
            (to.clone(), Command::Delete { to, message }, "deleted for everybody")
        }
        Verb::React { of: Of { to, message }, emoji, remove } => {
            let done = if remove { "taken away" } else { "reacted" };
            (to.clone(), Command::React { to, message, emoji, removed: remove }, done)
        }
        Verb::Pin(Of { to, message }) => (to.clone(), Command::Pin { to, message, removed: false }, "pinned"),
        Verb::Unpin(Of { to, message }) => {
            (to.clone(), Command::Pin { to, message, removed: true }, "not pinned any more")
        }
        Verb::Poll { to, question, options, several } => {
            (to.clone(), Command::Poll { to, question, options, several }, "asked")
        }
        Verb::Lifetime { to, time: Some(seconds) } => {
            let done = if seconds == 0 { "messages stay from here on" } else { "messages disappear from here on" };
            (to.clone(), Command::Lifetime { to, seconds: Some(seconds) }, done)
        }
        Verb::Vote(Ballot { of: Of { to, message }, close: true, .. }) => {
            (to.clone(), Command::ClosePoll { to, message }, "closed the poll")
        }
        Verb::Vote(Ballot { of: Of { to, message }, choices, .. }) => {
            (to.clone(), Command::Vote { to, message, choices }, "voted")
        }
        _ => return None,
    };
    Some((to, command, done))
}
