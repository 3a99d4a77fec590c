//! `history`: the last messages of a conversation, however many, a page of the store at a time.
//!
//! Pages are found from the newest to the oldest and printed the other way round: only where they begin is kept in
//! between, never their messages.

use qpc_client::api::{Command, Message, Outcome};

use super::{
    failure::Failure,
    render::{self, Render},
    screen::Screen,
    seat::Seat,
};

/// Messages taken from the store at once.
const PAGE: u32 = 500;

/// A part of the history.
#[derive(Debug, Clone, Copy)]
struct Page {
    limit: u32,
    before: Option<i64>,
}

/// Prints the last `limit` messages, oldest first, with the ends of their `ids` or without.
///
/// # Errors
/// A [`Failure`] as the library or the output has it.
pub(super) async fn history(
    seat: &mut Seat,
    screen: &Screen,
    to: String,
    (limit, ids): (u32, bool),
) -> Result<(), Failure> {
    let pages = pages(seat, &to, limit).await?;
    let render = Render::new(screen, &seat.address().await);
    let mut printed = false;
    for page in pages.into_iter().rev() {
        for message in read(seat, &to, page).await? {
            printed = true;
            match (screen.json, ids) {
                (true, _) => screen.object(&message)?,
                (false, true) => screen.data(&render.message_named(&message))?,
                (false, false) => screen.data(&render.message(&message))?,
            }
        }
    }
    if let Some(nothing) = render::nothing(&Outcome::Messages { messages: Vec::new() }).filter(|_| !printed) {
        screen.note(&nothing);
    }
    Ok(())
}

/// The pages of so many messages, newest first.
async fn pages(seat: &mut Seat, to: &str, limit: u32) -> Result<Vec<Page>, Failure> {
    let (mut left, mut before) = (limit, None);
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let page = Page { limit: left.min(PAGE), before };
        left = left.saturating_sub(page.limit);
        // The oldest page is read once, when it is printed.
        if left == 0 {
            pages.push(page);
            return Ok(pages);
        }
        let messages = read(seat, to, page).await?;
        // What arrives meanwhile moves no page.
        let end = before.or(messages.last().map(|newest| newest.local.saturating_add(1)));
        pages.push(Page { before: end, ..page });
        let Some(oldest) = messages.first().filter(|_| messages.len() >= page.limit as usize) else {
            return Ok(pages);
        };
        before = Some(oldest.local);
    }
}

async fn read(seat: &mut Seat, to: &str, page: Page) -> Result<Vec<Message>, Failure> {
    let command = Command::History { to: to.to_owned(), limit: page.limit, before: page.before };
    match seat.insist(command).await? {
        Outcome::Messages { messages } => Ok(messages),
        _ => Err(Failure::internal("the history gave an answer of another kind")),
    }
}
