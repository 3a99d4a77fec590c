//! `chat` on the whole screen of a terminal: conversations, messages, and what is typed, at once.
//!
//! One loop owns everything: keys and news change the state ([`state`]), what takes the library is done one after the other while
//! keys go on being heard ([`perform`]), and after each step what has changed is drawn ([`draw`]).

mod areas;
mod complete;
mod draw;
mod editor;
mod emoji;
mod find;
mod help;
mod keys;
mod lay;
mod list;
mod look;
mod perform;
mod purpose;
mod stage;
mod state;
mod theme;
mod thumb;
mod window;
mod wrap;

use std::{io, time::Duration};

use crossterm::event::EventStream;
use futures_util::{FutureExt, StreamExt};
use qpc_client::{
    Notice,
    api::{Command, Event, OutboxState, Outcome},
};

use self::{
    look::Look,
    perform::Done,
    stage::Stage,
    state::{Asked, Focus, View},
    theme::Theme,
    thumb::Depth,
};
use super::{console::Console, deed::Deed, place, room::Room};
use crate::cli::{
    failure::Failure,
    screen::{Paint, Screen},
    seat::Seat,
    signals::Stop,
    terminal,
};

/// Something that takes longer is shown as being done.
const BUSY: Duration = Duration::from_millis(300);
/// News, or keys, that are taken before the screen is drawn again.
const BATCH_MAX: usize = 256;

/// Chats until the person, or a signal, ends it.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn chat(seat: &mut Seat, screen: &Screen, to: Option<String>) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let plain = Screen { paint: Paint(false), ..screen.clone() };
    let console = Console::kept();
    let mut room = Room::empty(seat, &plain).await;
    room.refresh().await?;
    let opened = match to {
        Some(to) => Some(place::find(&room.list, &room.render, &to).map_err(Failure::usage)?),
        None => None,
    };
    let look = Look {
        render: room.render.clone(),
        clock: screen.clock.clone(),
        theme: Theme { colours: screen.paint.0 },
        depth: Depth::of(screen.paint.0),
        me: room.seat.address().await,
    };
    // What is opened is laid out before it is drawn; a terminal that knows no size is taken for one of the usual one.
    let mut view = View::new(look, crossterm::terminal::size().unwrap_or((80, 24)));
    console.set_columns(usize::from(view.areas().messages.width));
    view.listed(&room.list);
    match opened {
        Some(place) => {
            let done = perform::open(&mut room, &console, place).await?;
            view.take(done);
        }
        None => {
            room.warn(&console).await?;
            view.focus = Focus::List;
        }
    }
    let notify = std::env::var_os("QPC_NOTIFY").is_some_and(|value| !value.is_empty() && value != "0");
    let mut stage = Stage::enter(view.mouse)?;
    let ran = Full {
        room: &mut room,
        console: &console,
        view,
        stage: &mut stage,
        keys: EventStream::new(),
        notify,
        before: 0,
    }
    .run(&mut stop)
    .await;
    drop(stage);
    ran?;
    let left = tokio::select! {
        () = stop.wished() => Ok(()),
        left = room.leave(&console) => left,
    };
    for line in console.take().lines {
        screen.note(line.strip_prefix("-- ").unwrap_or(&line));
    }
    left
}

/// A chat that runs.
struct Full<'a, 'b> {
    room: &'a mut Room<'b>,
    console: &'a Console,
    view: View,
    stage: &'a mut Stage,
    keys: EventStream,
    notify: bool,
    /// Messages that waited when the chat began.
    before: u64,
}

impl Full<'_, '_> {
    async fn run(mut self, stop: &mut Stop) -> Result<(), Failure> {
        self.look_at_status().await;
        loop {
            self.draw()?;
            if let Some(asked) = self.view.next() {
                if !self.work(asked, stop).await? {
                    return Ok(());
                }
                continue;
            }
            tokio::select! {
                biased;
                () = stop.wished() => return Ok(()),
                key = self.keys.next() => self.key(key).await?,
                notice = self.room.seat.next() => {
                    self.hear(notice?).await?;
                    // What comes with it is drawn with it.
                    for _ in 0..BATCH_MAX {
                        match self.room.seat.next().now_or_never() {
                            Some(notice) => self.hear(notice?).await?,
                            None => break,
                        }
                    }
                }
                fetched = self.room.fetching.next() => self.room.tell_fetched(self.console, fetched)?,
            }
        }
    }

    fn draw(&mut self) -> Result<(), Failure> {
        self.view.printed(self.console.take());
        if let Some(who) = self.view.ring.take() {
            let notice = (self.notify && !who.is_empty()).then(|| notification(&who));
            self.stage.ring(notice.as_deref())?;
        }
        self.stage.draw(&mut self.view)?;
        self.console.set_columns(usize::from(self.view.areas().messages.width));
        Ok(())
    }

    /// Takes a key and those that came with it.
    async fn key(&mut self, key: Option<io::Result<crossterm::event::Event>>) -> Result<(), Failure> {
        let gone = || Failure::data("the terminal can't be read any more");
        let before = self.view.input.text().to_owned();
        keys::take(&mut self.view, key.ok_or_else(gone)??);
        for _ in 0..BATCH_MAX {
            // Not polled with a waker that wakes nobody: the stream keeps the first that it gets.
            match tokio::time::timeout(Duration::ZERO, self.keys.next()).await {
                Ok(key) => keys::take(&mut self.view, key.ok_or_else(gone)??),
                Err(_) => break,
            }
        }
        if self.view.input.text() != before {
            self.view.writes_itself();
        }
        Ok(())
    }

    /// Does what was asked for, and hears keys meanwhile; says whether to go on.
    async fn work(&mut self, asked: Asked, stop: &mut Stop) -> Result<bool, Failure> {
        match asked {
            Asked::Leave => return Ok(false),
            Asked::Mouse(taken) => self.stage.mouse(taken)?,
            Asked::Redraw => self.stage.redraw()?,
            Asked::Suspend => self.stage.suspend(self.view.mouse)?,
            asked => {
                // What a command does may show in the list: a mark, a mute.
                let changes = matches!(&asked, Asked::Line(line) if line.starts_with('/'));
                let Some(done) = self.library(asked, stop).await? else { return Ok(false) };
                if matches!(done, Done::Leave) {
                    return Ok(false);
                }
                self.view.take(done);
                if changes {
                    self.view.want(Asked::Refresh);
                }
                self.view.waiting = self.waiting();
            }
        }
        Ok(true)
    }

    async fn library(&mut self, asked: Asked, stop: &mut Stop) -> Result<Option<Done>, Failure> {
        let adds = matches!(asked, Asked::Line(_) | Asked::Do { .. });
        // Who says something looks at it; who does something to an older message goes on looking at that.
        let says = match &asked {
            Asked::Line(line) => !line.starts_with('/') || line.starts_with("//"),
            Asked::Do { deed, .. } => matches!(deed, Deed::Reply(_)),
            _ => false,
        };
        if self.view.leaves() && !says {
            return Ok(Some(Done::Nothing));
        }
        let newest = self.view.open.as_ref().filter(|open| open.window.at_end).map(|open| open.window.newest());
        let done = {
            let (room, console) = (&mut *self.room, self.console);
            let work = async move {
                match perform::perform(room, console, asked).await? {
                    // What was said stands there at once, whatever the server says of it.
                    Done::Nothing if adds => match newest {
                        Some(newest) => perform::tail(room, newest).await,
                        None if !says => Ok(Done::Nothing),
                        None => perform::perform(room, console, Asked::Reload { unread: false }).await,
                    },
                    done => Ok(done),
                }
            };
            tokio::pin!(work);
            let slow = tokio::time::sleep(BUSY);
            tokio::pin!(slow);
            loop {
                tokio::select! {
                    biased;
                    () = stop.wished() => return Ok(None),
                    done = &mut work => break done,
                    key = self.keys.next() => {
                        let gone = || Failure::data("the terminal can't be read any more");
                        keys::take(&mut self.view, key.ok_or_else(gone)??);
                        // What is said is kept first: that takes no time.
                        if self.view.leaves() && !says {
                            return Ok(None);
                        }
                    }
                    () = &mut slow, if !self.view.busy => self.view.busy = true,
                }
                self.stage.draw(&mut self.view)?;
            }
        };
        self.view.busy = false;
        if says && let Some(open) = &mut self.view.open {
            open.window.nothing_new();
            open.window.show_last();
        }
        match done {
            Ok(done) => Ok(Some(done)),
            Err(failure) if failure.is_silent() => Err(failure),
            Err(failure) => {
                self.room.tell(self.console, failure)?;
                Ok(Some(Done::Nothing))
            }
        }
    }

    /// Messages that wait: of this chat, and of before it.
    fn waiting(&self) -> u64 {
        let typed = self.room.typed.values().filter(|said| !said.is_stored()).count();
        u64::try_from(typed).unwrap_or(u64::MAX).saturating_add(self.before)
    }

    /// How the connection is when the chat begins: what happened before is told to nobody.
    async fn look_at_status(&mut self) {
        if let Ok(Outcome::Status(status)) = self.room.seat.execute(Command::Status).await {
            self.before = status.outbox;
            self.view.waiting = self.waiting();
            // One that is being made is no failure yet.
            if status.online || status.problem.is_some() {
                self.view.connected(status.online, status.problem, &now());
            }
        }
    }

    async fn hear(&mut self, notice: Notice) -> Result<(), Failure> {
        let event = match notice {
            Notice::Event(event) => event,
            Notice::Lagged => {
                // What counts is in the store.
                self.view.ask(Asked::Refresh);
                self.view.ask(Asked::Reload { unread: false });
                return Ok(());
            }
        };
        match event {
            Event::Message(message) => {
                self.room.news_arrived(&message.id);
                self.view.arrived(message);
            }
            Event::Changed(message) => self.view.changed(&message),
            Event::Transfer(transfer) => self.view.transfer(&transfer),
            Event::Disappeared { conversation, id } => self.view.disappeared(&conversation, &id),
            Event::Typing { conversation, address, typing, .. } => self.view.writes(conversation, address, typing),
            Event::Receipt { conversation, .. } => self.view.received(&conversation),
            Event::Presence { .. } => {}
            Event::Outbox { id, state, reason } => {
                self.view.delivered(&id, state);
                let over = matches!(state, OutboxState::Sent | OutboxState::Refused);
                if over && !self.room.typed.contains_key(&id) {
                    self.before = self.before.saturating_sub(1);
                }
                self.room.hear(self.console, Event::Outbox { id, state, reason }).await?;
                self.view.waiting = self.waiting();
            }
            Event::Online { online, problem } => self.view.connected(online, problem, &now()),
            Event::Read { .. } | Event::History { complete: false, .. } => self.view.want(Asked::Refresh),
            event @ (Event::Alarm { .. }
            | Event::Contact { .. }
            | Event::Verification { .. }
            | Event::History { complete: true, .. }) => {
                self.room.hear(self.console, event).await?;
                self.view.listed(&self.room.list);
            }
        }
        Ok(())
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// What has a desktop show a notification: by whom, and no word of what was said. Terminals that do not know it show nothing.
fn notification(who: &str) -> String {
    format!("\x1b]9;quicprochat: {} has written\x07", terminal::line(who).replace(';', " "))
}

#[cfg(test)]
mod tests;
