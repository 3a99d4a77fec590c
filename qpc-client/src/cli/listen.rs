//! `listen`: what is waiting, and with `--follow` what arrives, each message once.
//!
//! A message is marked as shown only after its line has been flushed, one at a time: a kill may
//! show the last line twice (it has the same id), and never loses one.

use std::{ops::ControlFlow, time::Duration};

use qpc_client::{
    Notice,
    api::{Command, CommandError, Event, Outcome},
};

use super::{failure::Failure, render::Render, screen::Screen, seat::Seat, signals::Stop};

/// Messages taken from the store at once.
const PAGE: u32 = 100;

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Messages alone.
    Messages,
    /// In JSON also messages that were changed, as they are then, each with the word `changed`.
    Changes,
    /// In JSON every event, each with its kind; for people the same as notes.
    Everything,
}

/// Prints what waits, and if `follow` what arrives, until stopped.
///
/// # Errors
/// A [`Failure`]. Where the server can't be reached, what is here already is printed first.
pub(super) async fn listen(
    seat: &mut Seat,
    screen: &Screen,
    follow: bool,
    (what, moments): (What, bool),
    stop: &mut Stop,
) -> Result<(), Failure> {
    let render = Render::new(screen, &seat.address().await);
    let notes = render.clone().noting(screen);
    let mut listening = Listening {
        seat,
        screen,
        render,
        notes,
        what,
        moments,
        stop,
        follow,
        online: true,
        printed: false,
        alarms: Vec::new(),
    };
    if follow { listening.follow().await } else { listening.catch_up().await }
}

struct Listening<'a> {
    seat: &'a mut Seat,
    screen: &'a Screen,
    render: Render,
    notes: Render,
    what: What,
    /// In JSON, what people do at the moment as well.
    moments: bool,
    stop: &'a mut Stop,
    follow: bool,
    online: bool,
    /// Has anything been printed?
    printed: bool,
    /// Alarms that were printed.
    alarms: Vec<String>,
}

/// Go on?
type Flow = ControlFlow<()>;

impl Listening<'_> {
    /// Tells whose key is another one, of those that no alarm has told of just now.
    async fn warn(&mut self) -> Result<(), Failure> {
        if let Outcome::Contacts { contacts } = self.seat.insist(Command::ChangedKeys { to: None }).await? {
            let told = |address: &str| self.alarms.iter().any(|alarm| alarm.contains(address));
            let news = contacts.iter().filter(|contact| !told(&contact.address));
            news.filter_map(|contact| self.notes.contact_alarm(contact)).for_each(|line| self.screen.rendered(&line));
        }
        Ok(())
    }

    /// Hears what has happened so far.
    async fn hear_the_rest(&mut self) -> Result<(), Failure> {
        while let Ok(notice) = tokio::time::timeout(Duration::ZERO, self.seat.next()).await {
            if self.hear(notice?).await?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Prints as the messages come in, not only when all are here: a long backlog shows at once.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        let catching_up = self.seat.execute(Command::CatchUp);
        tokio::pin!(catching_up);
        let mut flow = self.print_waiting().await?;
        let caught_up: Result<_, CommandError> = loop {
            if flow.is_break() {
                return Ok(());
            }
            flow = tokio::select! {
                biased;
                () = self.stop.wished() => Flow::Break(()),
                outcome = &mut catching_up => break outcome,
                notice = self.seat.next() => self.hear(notice?).await?,
            };
        };
        if self.print_waiting().await?.is_continue() {
            self.hear_the_rest().await?;
            self.warn().await?;
            caught_up?;
            if !self.printed {
                self.screen.done("no new messages");
            }
        }
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        self.warn().await?;
        let mut flow = self.print_waiting().await?;
        while flow.is_continue() {
            flow = tokio::select! {
                biased;
                () = self.stop.wished() => Flow::Break(()),
                notice = self.seat.next() => self.hear(notice?).await?,
            };
        }
        Ok(())
    }

    async fn hear(&mut self, notice: Notice) -> Result<Flow, Failure> {
        let event = match notice {
            Notice::Lagged => return self.print_waiting().await,
            Notice::Event(event) => event,
        };
        // The event is a hint; the store is the truth, and knows what has been shown.
        if matches!(event, Event::Message(_)) {
            return self.print_waiting().await;
        }
        if let Event::Alarm { text } = &event
            && !self.follow
        {
            self.alarms.push(text.clone());
        }
        if self.screen.json {
            let changed = self.what == What::Changes && matches!(event, Event::Changed(_) | Event::Disappeared { .. });
            let moment = matches!(event, Event::Typing { .. } | Event::Receipt { .. } | Event::Presence { .. });
            if (self.what == What::Everything && !moment) || changed || (moment && self.moments) {
                self.screen.object(&event)?;
            } else if let Event::Alarm { text } = event {
                self.screen.note(&text);
            }
        } else if let Event::Online { online, .. } = &event
            && (std::mem::replace(&mut self.online, *online) == *online || !self.follow)
        {
            // The first connection is no news, and that there is none is what a single look ends with.
        } else if let Some(note) = self.notes.event(&event) {
            self.screen.rendered(&note);
        }
        Ok(Flow::Continue(()))
    }

    /// Prints what nobody has been shown. A stop is heard between two messages, never between the
    /// printing of one and its mark.
    async fn print_waiting(&mut self) -> Result<Flow, Failure> {
        loop {
            let unshown = self.seat.insist(Command::Unshown { limit: PAGE, to: None }).await?;
            let Outcome::Messages { messages } = unshown else { return Ok(Flow::Continue(())) };
            if messages.is_empty() {
                return Ok(Flow::Continue(()));
            }
            self.printed = true;
            for message in messages {
                match (self.screen.json, self.what) {
                    (false, _) => self.screen.data(&self.render.message_anywhere(&message))?,
                    (true, What::Messages | What::Changes) => self.screen.object(&message)?,
                    (true, What::Everything) => self.screen.object(&Event::Message(message.clone()))?,
                }
                self.seat.insist(Command::MarkShown { to: None, local: message.local }).await?;
                if self.stop.was_wished().await {
                    return Ok(Flow::Break(()));
                }
            }
        }
    }
}
