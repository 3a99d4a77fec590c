//! `search`: messages of the home by their words.

use qpc_client::api::{Command, Outcome, Search};

use super::{args, failure::Failure, render::Render, screen::Screen, seat::Seat};

/// Finds, and prints the oldest of what was found first, as a conversation is read.
///
/// # Errors
/// A [`Failure`] as the library or the output has it.
pub(super) async fn search(seat: &mut Seat, screen: &Screen, asked: args::Search) -> Result<(), Failure> {
    let time = |text: Option<&String>| match text {
        Some(text) => screen.clock.read(text).map(Some).ok_or_else(|| {
            Failure::usage(format!("{text:?} is no time: write a day as 2026-11-30, or a time as 2026-11-30T09:00"))
        }),
        None => Ok(None),
    };
    let search = Search {
        since_ms: time(asked.since.as_ref())?,
        until_ms: time(asked.until.as_ref())?,
        words: asked.words.join(" "),
        to: asked.to,
        from: asked.from,
        before: None,
        limit: asked.limit,
    };
    let Outcome::Found { mut found } = seat.insist(Command::Search(search)).await? else {
        return Err(Failure::internal("the search gave an answer of another kind"));
    };
    let full = u32::try_from(found.len()).is_ok_and(|len| len >= asked.limit);
    if found.is_empty() {
        screen.note("nothing found");
        return Ok(());
    }
    found.reverse();
    let render = Render::new(screen, &seat.address().await);
    for one in &found {
        match screen.json {
            true => screen.object(one)?,
            false => screen.data(&render.found(one))?,
        }
    }
    if full && !screen.json {
        screen.note(&format!("these are the newest {}; there may be more: -n N shows so many", asked.limit));
    }
    Ok(())
}
