//! What was asked for, done by the library, and what came of it for the state to take.
//!
//! Commands are those of every chat: what they print is kept and shown where there is room.

use qpc_client::api::{Command, Conversation, Ephemeral, Found, Message, Outcome, Search};

use super::{
    find::FOUND_MAX,
    state::{Asked, Open, View},
    thumb::Thumb,
    window::{PAGE, Window},
};
use crate::cli::{
    chat::{
        console::Console,
        place::{self, Place},
        room::{Flow, Room},
        typed::{self, Typed},
    },
    exit::Exit,
    failure::Failure,
    render::Render,
};

/// Read messages that are shown before the first unread one.
const CONTEXT: u32 = 30;
/// Unread messages that are read from the store when a conversation is opened.
const UNREAD: u32 = 300;

/// What came of it.
pub(super) enum Done {
    Nothing,
    Opened(Box<Open>),
    /// At this message.
    OpenedAt(Box<Open>, i64),
    /// What has these words, or what is wrong with them.
    Found(String, Result<Vec<Found>, String>),
    Window(Box<Window>),
    Older(Vec<Message>),
    Newer(Vec<Message>),
    Listed(Vec<Conversation>),
    Picture(String, Box<Thumb>),
    List,
    Help,
    Leave,
}

/// Does what is asked.
///
/// # Errors
/// A [`Failure`], to be told.
pub(super) async fn perform(room: &mut Room<'_>, console: &Console, asked: Asked) -> Result<Done, Failure> {
    match asked {
        Asked::Line(line) => line_typed(room, console, line).await,
        Asked::Do { message, deed } => {
            room.typed_deed(console, message, deed).await?;
            Ok(Done::Nothing)
        }
        Asked::Open { conversation, title } => {
            let is = |one: &&Conversation| one.conversation == conversation && one.title == title;
            match room.list.iter().find(is).map(|one| Place::of(one, &room.render)) {
                Some(place) => open(room, console, place).await,
                None => Ok(Done::Nothing),
            }
        }
        Asked::Find { words, to } => find(room, words, to).await,
        Asked::GoTo { conversation, title, local } => {
            let is = |one: &&Conversation| one.conversation == conversation && one.title == title;
            let Some(place) = room.list.iter().find(is).map(|one| Place::of(one, &room.render)) else {
                room.say(console, "its conversation is not in the list")?;
                return Ok(Done::Nothing);
            };
            let window = around(room, &place.to, local).await?;
            Ok(Done::OpenedAt(Box::new(opened(room, console, (place, window)).await?), local))
        }
        Asked::Refresh => {
            room.refresh().await?;
            Ok(Done::Listed(room.list.clone()))
        }
        Asked::Older(before) => {
            let to = of(room);
            let Some(to) = to else { return Ok(Done::Nothing) };
            Ok(Done::Older(messages(room, Command::History { to, limit: PAGE, before: Some(before) }).await?))
        }
        Asked::Newer(after) => {
            let Some(to) = of(room) else { return Ok(Done::Nothing) };
            Ok(Done::Newer(messages(room, Command::HistoryAfter { to, after, limit: PAGE }).await?))
        }
        Asked::Reload { unread } => match of(room) {
            Some(to) => Ok(Done::Window(Box::new(window(room, &to, unread).await?))),
            None => Ok(Done::Nothing),
        },
        Asked::Typing { to, typing } => {
            // It is of no use where it can't be said.
            room.seat.execute(Command::Ephemeral(Ephemeral::Typing { to, typing })).await.ok();
            Ok(Done::Nothing)
        }
        Asked::Seen(local) => {
            room.shown(local).await?;
            Ok(Done::Nothing)
        }
        Asked::Get(id) => {
            room.fetch(console, id, None)?;
            Ok(Done::Nothing)
        }
        Asked::Preview(id) => picture(room, console, id).await,
        Asked::Leave => Ok(Done::Leave),
        // These are the terminal's.
        Asked::Mouse(_) | Asked::Redraw | Asked::Suspend => Ok(Done::Nothing),
    }
}

/// Looks at the small picture of a file, because a person wants to.
async fn picture(room: &mut Room<'_>, console: &Console, id: String) -> Result<Done, Failure> {
    let Some(to) = of(room) else { return Ok(Done::Nothing) };
    let asked = Command::FilePreview { to, message: id.clone() };
    let Outcome::Preview { preview } = room.seat.insist(asked).await? else { return Ok(Done::Nothing) };
    // A thread of its own, whose end, good or bad, is no end of the chat.
    let decoded = tokio::task::spawn_blocking(move || Thumb::decode(&preview.0)).await;
    match decoded.ok().flatten() {
        Some(thumb) => Ok(Done::Picture(id, Box::new(thumb))),
        None => {
            room.say(console, "no small picture came with it that can be shown")?;
            Ok(Done::Nothing)
        }
    }
}

/// The open conversation, as the library is asked for it, if something was said there.
fn of(room: &Room<'_>) -> Option<String> {
    room.place.as_ref().map(|place| place.to.clone())
}

async fn line_typed(room: &mut Room<'_>, console: &Console, line: String) -> Result<Done, Failure> {
    match typed::understand(&line) {
        Typed::Open(to) => {
            room.refresh().await?;
            match place::find_or_number(&room.list, &room.render, &to) {
                Ok(place) => open(room, console, place).await,
                Err(why) => Err(Failure::usage(why)),
            }
        }
        Typed::List => Ok(Done::List),
        Typed::Help => Ok(Done::Help),
        // They are there already; the keys move through them.
        Typed::History(_) => Ok(Done::Nothing),
        _ => match room.typed(console, &line).await? {
            Flow::Stay => Ok(Done::Nothing),
            Flow::Leave => Ok(Done::Leave),
        },
    }
}

/// Opens a conversation.
pub(super) async fn open(room: &mut Room<'_>, console: &Console, place: Place) -> Result<Done, Failure> {
    let known = room.list.iter().find(|c| Some(&c.conversation) == place.conversation.as_ref()).cloned();
    let window = match &known {
        Some(known) => window(room, &place.to, known.unread > 0).await?,
        None => Window::new(Vec::new(), true, true, None),
    };
    Ok(Done::Opened(Box::new(opened(room, console, (place, window)).await?)))
}

async fn opened(room: &mut Room<'_>, console: &Console, (place, window): (Place, Window)) -> Result<Open, Failure> {
    let known = room.list.iter().find(|c| Some(&c.conversation) == place.conversation.as_ref()).cloned();
    room.place = Some(place.clone());
    room.warn(console).await?;
    let people = known.iter().flat_map(|known| &known.members).map(|who| room.render.name(who)).collect();
    Ok(Open {
        topic: known.as_ref().map(|known| known.topic.clone()).unwrap_or_default(),
        people,
        request: known.as_ref().is_some_and(|known| known.request),
        active: known.as_ref().is_none_or(|known| known.active),
        mark: Render::mark(room.standing()),
        place,
        window,
    })
}

/// A message and those around it.
async fn around(room: &mut Room<'_>, to: &str, local: i64) -> Result<Window, Failure> {
    let before = Command::History { to: to.to_owned(), limit: PAGE, before: Some(local.saturating_add(1)) };
    let before = messages(room, before).await?;
    let after = messages(room, Command::HistoryAfter { to: to.to_owned(), after: local, limit: PAGE }).await?;
    let (at_start, at_end) = (is_last(&before, PAGE), is_last(&after, PAGE));
    Ok(Window::new([before, after].concat(), at_start, at_end, None))
}

/// Looks for words. What is wrong with them is no failure: they are not typed to their end.
async fn find(room: &mut Room<'_>, words: String, to: Option<String>) -> Result<Done, Failure> {
    if words.trim().is_empty() {
        return Ok(Done::Found(words, Ok(Vec::new())));
    }
    let search = Search { words: words.clone(), to, limit: FOUND_MAX, ..Search::default() };
    match room.seat.insist(Command::Search(search)).await {
        Ok(Outcome::Found { found }) => Ok(Done::Found(words, Ok(found))),
        Ok(_) => Err(Failure::internal("the search gave an answer of another kind")),
        Err(failure) if failure.exit == Exit::Usage => Ok(Done::Found(words, Err(failure.what))),
        Err(failure) => Err(failure),
    }
}

/// The newest messages of a conversation, or the first unread ones with a few before them.
async fn window(room: &mut Room<'_>, to: &str, unread: bool) -> Result<Window, Failure> {
    let to = to.to_owned();
    let first = match unread {
        true => messages(room, Command::Unshown { limit: 1, to: Some(to.clone()) }).await?.pop(),
        false => None,
    };
    let Some(first) = first else {
        let last = messages(room, Command::History { to, limit: PAGE, before: None }).await?;
        return Ok(Window::new(last.clone(), is_last(&last, PAGE), true, None));
    };
    let before = Command::History { to: to.clone(), limit: CONTEXT, before: Some(first.local) };
    let before = messages(room, before).await?;
    let after = Command::HistoryAfter { to, after: first.local.saturating_sub(1), limit: UNREAD };
    let after = messages(room, after).await?;
    let (at_start, at_end) = (is_last(&before, CONTEXT), is_last(&after, UNREAD));
    Ok(Window::new([before, after].concat(), at_start, at_end, Some(first.local)))
}

/// Were there fewer than asked for?
fn is_last(messages: &[Message], asked: u32) -> bool {
    u32::try_from(messages.len()).is_ok_and(|count| count < asked)
}

async fn messages(room: &mut Room<'_>, command: Command) -> Result<Vec<Message>, Failure> {
    match room.seat.insist(command).await? {
        Outcome::Messages { messages } => Ok(messages),
        _ => Err(Failure::internal("the history gave an answer of another kind")),
    }
}

/// What is new behind what is shown, after something was said here.
pub(super) async fn tail(room: &mut Room<'_>, after: Option<i64>) -> Result<Done, Failure> {
    let Some(to) = of(room) else { return Ok(Done::Nothing) };
    let after = after.unwrap_or(i64::MIN);
    Ok(Done::Newer(messages(room, Command::HistoryAfter { to, after, limit: PAGE }).await?))
}

impl View {
    /// Takes what came of something.
    pub(super) fn take(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Opened(open) => self.opened(*open),
            Done::OpenedAt(open, local) => {
                self.opened(*open);
                self.goes_to(local);
            }
            Done::Found(words, found) => self.found(&words, found),
            Done::Window(window) => {
                let height = self.height();
                let Some(open) = &mut self.open else { return };
                let to_new = window.new_from.is_some();
                let empty = Window::new(Vec::new(), true, true, None);
                let before = std::mem::replace(&mut open.window, empty);
                open.window = window.after(before);
                let width = usize::from(self.areas().messages.width.saturating_sub(1));
                if let Some(open) = &mut self.open {
                    open.window.prepare(width, &self.look);
                    if to_new {
                        open.window.show_new(height);
                    }
                }
            }
            Done::Older(messages) => {
                if let Some(open) = &mut self.open {
                    let at_start = is_last(&messages, PAGE);
                    open.window.add_older(messages, at_start);
                }
            }
            Done::Newer(messages) => {
                if let Some(open) = &mut self.open {
                    let at_end = is_last(&messages, PAGE);
                    open.window.add_newer(messages, at_end);
                }
            }
            Done::Listed(list) => self.listed(&list),
            Done::Picture(id, thumb) => {
                if let Some(open) = &mut self.open {
                    open.window.picture(&id, Some(*thumb));
                }
            }
            Done::List => {
                self.focus = super::state::Focus::List;
                self.list.filter.clear();
            }
            Done::Help => self.page = Some(super::help::page()),
            Done::Leave => self.want(Asked::Leave),
        }
    }
}
