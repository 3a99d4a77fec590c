//! `chat`: lines both ways, in one conversation or over the list of all of them.
//!
//! What arrives is shown as it arrives, without touching the line being typed. A message counts as
//! shown when it was printed in its own conversation; elsewhere it only rings a bell.

mod act;
mod completion;
mod console;
mod deed;
mod files;
mod object;
mod place;
mod room;
mod typed;

use qpc_client::Notice;

use self::{
    console::{Console, Input},
    room::{Flow, Room},
};
use super::{failure::Failure, screen::Screen, seat::Seat, signals::Stop};

/// Messages shown when a conversation is opened.
const LAST: u32 = 20;

/// Chats until the person, or a signal, ends it.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn chat(seat: &mut Seat, screen: &Screen, to: Option<String>) -> Result<(), Failure> {
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
