//! What a chat knows: which conversation is open, what was typed here, and what to say about news.

use std::{collections::HashMap, time::Duration};

use qpc_client::{
    Notice,
    api::{Command, CommandError, Conversation, ConversationKind, Event, Message, OutboxState, Outcome, Standing},
};

use super::{
    LAST,
    console::Console,
    files::Fetching,
    place::{self, Place},
};
use crate::cli::{failure::Failure, render::Render, screen::Screen, seat::Seat, terminal};

/// How long the end waits for what was typed to be stored by the server.
const FAREWELL: Duration = Duration::from_secs(10);
/// Most messages shown at once, however many nobody has seen.
const SHOWN_MAX: u32 = 500;

/// Go on?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Yes.
    Stay,
    /// The person wants to go.
    Leave,
}

/// A message that was typed here. News of it come in any order.
#[derive(Debug)]
pub(super) struct Said {
    text: String,
    /// The server has stored it.
    stored: bool,
    /// It came back as a message of the conversation.
    arrived: bool,
    /// It is a file, and the text its name: what was typed does not show it.
    file: bool,
}

impl Said {
    pub(super) const fn new(text: String) -> Self {
        Self { text, stored: false, arrived: false, file: false }
    }

    /// A change of another message, which does not come as one of its own.
    pub(super) const fn change(what: String) -> Self {
        Self { text: what, stored: false, arrived: true, file: false }
    }

    /// Has the server stored it?
    pub(super) const fn is_stored(&self) -> bool {
        self.stored
    }

    pub(super) const fn file(name: String) -> Self {
        Self { text: name, stored: false, arrived: false, file: true }
    }
}

/// A chat.
pub(super) struct Room<'a> {
    pub(super) seat: &'a mut Seat,
    pub(super) screen: &'a Screen,
    pub(super) render: Render,
    pub(super) list: Vec<Conversation>,
    pub(super) place: Option<Place>,
    /// What was typed here, by message id, until all news of it has come.
    pub(super) typed: HashMap<String, Said>,
    pub(super) fetching: Fetching,
    /// The last reason to wait that was told.
    told: Option<String>,
    online: bool,
}

impl<'a> Room<'a> {
    /// Shows the list, or the conversation.
    ///
    /// # Errors
    /// A [`Failure`] where there is no such person or group.
    pub(super) async fn enter(
        seat: &'a mut Seat,
        screen: &'a Screen,
        console: &Console,
        to: Option<String>,
    ) -> Result<Self, Failure> {
        let mut room = Self::empty(seat, screen).await;
        match to {
            None => room.show_list(console).await?,
            Some(to) => {
                room.refresh().await?;
                match place::find(&room.list, &room.render, &to) {
                    Ok(place) => room.open(console, place).await?,
                    Err(why) => return Err(Failure::usage(why)),
                }
            }
        }
        if console.is_terminal() {
            room.say(console, "/help lists the commands")?;
        }
        Ok(room)
    }

    /// One in which nothing is open and nothing was looked at.
    pub(super) async fn empty(seat: &'a mut Seat, screen: &'a Screen) -> Self {
        let render = Render::new(screen, &seat.address().await);
        Self {
            seat,
            screen,
            render,
            list: Vec::new(),
            place: None,
            typed: HashMap::new(),
            fetching: Fetching::default(),
            told: None,
            online: true,
        }
    }

    /// What stands before the line being typed.
    pub(super) fn prompt(&self) -> String {
        let Some(place) = &self.place else { return "> ".to_owned() };
        format!("{}{}> ", place.shown, Render::mark(self.standing()))
    }

    /// How things stand with the key of the person whose conversation is open.
    pub(super) fn standing(&self) -> Option<&Standing> {
        let open = self.place.as_ref()?.conversation.as_ref()?;
        self.list.iter().find(|conversation| conversation.conversation == *open)?.standing.as_ref()
    }

    /// Tells loudly whose key is another one: in the open conversation, or anywhere.
    pub(super) async fn warn(&mut self, console: &Console) -> Result<(), Failure> {
        let mut alarms: Vec<String> = Vec::new();
        match (&self.place, self.standing()) {
            (Some(place), Some(standing)) => alarms.extend(self.render.key_alarm(&place.title, standing)),
            (place, _) => {
                let to = place.as_ref().map(|place| place.to.clone());
                if let Outcome::Contacts { contacts } = self.seat.insist(Command::ChangedKeys { to }).await? {
                    alarms.extend(contacts.iter().filter_map(|contact| self.render.contact_alarm(contact)));
                }
            }
        }
        for alarm in alarms {
            if self.screen.json { self.screen.note(&alarm) } else { console.ring(&alarm)? }
        }
        Ok(())
    }

    /// Names that can be completed.
    pub(super) fn names(&self) -> Vec<String> {
        self.list.iter().map(|conversation| self.render.title(conversation)).collect()
    }

    /// A note of our own.
    pub(super) fn say(&self, console: &Console, text: &str) -> Result<(), Failure> {
        if self.screen.json {
            self.screen.note(text);
            return Ok(());
        }
        console.print(&self.note(text))
    }

    fn note(&self, text: &str) -> String {
        self.screen.paint.dim(&format!("-- {text}"))
    }

    pub(super) async fn refresh(&mut self) -> Result<(), Failure> {
        if let Outcome::Conversations { conversations } = self.seat.insist(Command::Conversations).await? {
            self.list = conversations;
        }
        self.recognise();
        Ok(())
    }

    pub(super) async fn show_list(&mut self, console: &Console) -> Result<(), Failure> {
        self.place = None;
        self.refresh().await?;
        if self.screen.json {
            self.list.iter().try_for_each(|conversation| self.screen.object(conversation))?;
            return self.warn(console).await;
        }
        if self.list.is_empty() {
            return self.say(console, "no conversations yet; /open NAME begins one");
        }
        self.render.conversations(&self.list).iter().try_for_each(|line| console.print(line))?;
        self.warn(console).await
    }

    pub(super) async fn open(&mut self, console: &Console, place: Place) -> Result<(), Failure> {
        let known = self.list.iter().find(|c| Some(&c.conversation) == place.conversation.as_ref()).cloned();
        self.place = Some(place);
        self.told = None;
        let Some(known) = known else {
            return self
                .say(console, "nothing has been said yet; your first message asks whether they want to talk to you");
        };
        let unread = u32::try_from(known.unread).unwrap_or(SHOWN_MAX);
        self.show_last(console, unread.clamp(LAST, SHOWN_MAX)).await?;
        self.tell_request(console)?;
        if !known.topic.is_empty() {
            self.say(console, &format!("about: {}", terminal::line(&known.topic)))?;
        }
        if !known.active {
            let ended = match known.kind {
                ConversationKind::Direct => "this conversation has ended; what you write begins another",
                ConversationKind::Group | ConversationKind::Personal => "you are not in this conversation any more",
            };
            self.say(console, ended)?;
        }
        self.warn(console).await
    }

    /// Tells once that the open conversation is somebody's request.
    fn tell_request(&mut self, console: &Console) -> Result<(), Failure> {
        let Some(place) = self.place.as_mut().filter(|place| !place.told_request) else { return Ok(()) };
        if !self.list.iter().any(|c| c.request && Some(&c.conversation) == place.conversation.as_ref()) {
            return Ok(());
        }
        place.told_request = true;
        let text = format!("{} asks to talk to you: /accept, /decline or /block. Writing to them accepts", place.shown);
        self.say(console, &text)
    }

    pub(super) async fn show_last(&mut self, console: &Console, limit: u32) -> Result<(), Failure> {
        let Some(place) = &self.place else { return self.say(console, "/open a conversation first") };
        let history = self.seat.insist(Command::History { to: place.to.clone(), limit, before: None }).await?;
        let Outcome::Messages { messages } = history else { return Ok(()) };
        messages.iter().try_for_each(|message| self.print(console, message))?;
        let last = messages.last().map_or(i64::MIN, |message| message.local);
        self.shown(last).await
    }

    pub(super) fn print(&self, console: &Console, message: &Message) -> Result<(), Failure> {
        if self.screen.json {
            return Ok(self.screen.object(&Event::Message(message.clone()))?);
        }
        console.print(&self.render.message_named(message))
    }

    /// A message is another one than before: shows it again, if it belongs to the conversation that is open.
    fn changed(&self, console: &Console, message: Message) -> Result<(), Failure> {
        if self.screen.json {
            return Ok(self.screen.object(&Event::Changed(message))?);
        }
        let place = self.place.as_ref().and_then(|place| place.conversation.as_ref());
        if place != Some(&message.conversation) {
            return Ok(());
        }
        console.print(&self.note(&format!("now: {}", self.render.message_named(&message))))
    }

    /// Messages up to here were seen.
    pub(super) async fn shown(&mut self, local: i64) -> Result<(), Failure> {
        let Some(place) = self.place.as_mut().filter(|place| place.through < local) else { return Ok(()) };
        place.through = local;
        self.seat.insist(Command::MarkShown { to: Some(place.to.clone()), local }).await?;
        Ok(())
    }

    /// Something happened.
    ///
    /// # Errors
    /// A [`Failure`] that ends the chat.
    pub(super) async fn hear(&mut self, console: &Console, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message(message) => self.arrived(console, message).await,
            Event::Changed(message) => self.changed(console, message),
            event if self.screen.json => Ok(self.screen.object(&event)?),
            Event::Transfer(_)
            | Event::Disappeared { .. }
            | Event::Typing { .. }
            | Event::Receipt { .. }
            | Event::Presence { .. } => Ok(()),
            Event::Outbox { id, state, reason } => self.outbox(console, &id, state, reason),
            Event::Online { online, problem } => {
                // The first connection is no news.
                if std::mem::replace(&mut self.online, online) == online {
                    return Ok(());
                }
                let why = problem.map(|why| format!(": {}", terminal::body(&why, "   "))).unwrap_or_default();
                let lost =
                    format!("not connected{why}\n   What you write is kept, and sent when the connection is back");
                self.say(console, if online { "connected again" } else { &lost })
            }
            Event::Alarm { text } => {
                // The mark behind a name may be another one now.
                self.refresh().await?;
                console.ring(&self.render.alarm(&text))
            }
            // What came is above what was printed: it is there for the next look.
            Event::History { complete: false, .. } => self.refresh().await,
            Event::History { messages, complete: true } => {
                self.refresh().await?;
                console.print(&self.note(&self.render.history(messages)))
            }
            Event::Read { .. } => self.refresh().await,
            Event::Verification { address, standing } => {
                self.refresh().await?;
                console.print(&self.note(&self.render.standing_event(&address, &standing)))
            }
            Event::Contact { address, state } => {
                self.refresh().await?;
                let who = self.render.name(&address);
                let mut text = self.render.contact(&who, &state);
                if state == "pending" {
                    text.push_str(&format!(": /accept {who}, /decline {who} or /block {who}"));
                }
                console.ring(&self.note(&text))
            }
        }
    }

    async fn arrived(&mut self, console: &Console, message: Message) -> Result<(), Failure> {
        if !self.list.iter().any(|c| c.conversation == message.conversation) {
            self.refresh().await?;
        }
        let here = self.place.as_ref().filter(|place| place.conversation.as_ref() == Some(&message.conversation));
        if let Some(place) = here {
            if message.local > place.through {
                // On a terminal, what was typed here stands there already.
                let file = self.typed.get(&message.id).is_some_and(|said| said.file);
                let stands = self.news(&message.id, |said| said.arrived = true) && !file && console.is_terminal();
                if !stands {
                    self.print(console, &message)?;
                }
                self.shown(message.local).await?;
                self.tell_request(console)?;
            }
            return Ok(());
        }
        if self.screen.json {
            return self.print(console, &message);
        }
        if message.own {
            return Ok(());
        }
        let elsewhere = format!("{}   (/open {})", self.render.message_anywhere(&message), self.open_as(&message));
        let muted = self.list.iter().any(|one| one.muted && one.conversation == message.conversation);
        let note = self.note(&elsewhere);
        if muted { console.print(&note) } else { console.ring(&note) }
    }

    /// Notes news of a message, if it was typed here.
    fn news(&mut self, id: &str, note: impl FnOnce(&mut Said)) -> bool {
        let Some(said) = self.typed.get_mut(id) else { return false };
        note(said);
        if said.stored && said.arrived {
            self.typed.remove(id);
        }
        true
    }

    /// Notes that a message came back as one of the conversation, if it was typed here.
    pub(super) fn news_arrived(&mut self, id: &str) {
        self.news(id, |said| said.arrived = true);
    }

    /// What to type to open the conversation of a message.
    fn open_as(&self, message: &Message) -> String {
        let found = self.list.iter().find(|conversation| conversation.conversation == message.conversation);
        found.map_or_else(|| self.render.name(&message.title), |found| self.render.title(found))
    }

    /// A conversation that began while its place was open gets its name.
    fn recognise(&mut self) {
        let Some(place) = self.place.as_ref().filter(|place| place.kind == ConversationKind::Direct) else { return };
        let goes_on = |c: &Conversation| c.active && place.conversation.as_ref() == Some(&c.conversation);
        if self.list.iter().any(goes_on) {
            return;
        }
        if let Ok(found) = place::find(&self.list, &self.render, &place.title) {
            self.place = Some(Place { through: place.through, told_request: place.told_request, ..found });
        }
    }

    fn outbox(
        &mut self,
        console: &Console,
        id: &str,
        state: OutboxState,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let Some((text, file)) = self.typed.get(id).map(|said| (said.text.clone(), said.file)) else { return Ok(()) };
        let reason = reason.unwrap_or_else(|| "the server gave no reason".to_owned());
        match state {
            OutboxState::Sent => {
                self.news(id, |said| said.stored = true);
                self.told = None;
                if file { self.say(console, &format!("{} is there", terminal::line(&text))) } else { Ok(()) }
            }
            // It shows as not stored until it is.
            OutboxState::Queued => Ok(()),
            OutboxState::Waiting if self.told.as_ref() == Some(&reason) => Ok(()),
            OutboxState::Waiting => {
                let told = self.say(console, &format!("waiting: {}", terminal::line(&reason)));
                self.told = Some(reason);
                told
            }
            OutboxState::Refused => {
                self.typed.remove(id);
                let text = terminal::body(&text, "   ");
                let line = format!("-- not sent: {}\n   {text}", terminal::body(&reason, "   "));
                console.ring(&self.screen.paint.loud(&line))
            }
        }
    }

    /// Events were lost: shows what nobody has seen.
    ///
    /// # Errors
    /// A [`Failure`] that ends the chat.
    pub(super) async fn missed(&mut self, console: &Console) -> Result<(), Failure> {
        self.refresh().await?;
        let Some(place) = &self.place else { return self.say(console, "much has happened; /list shows it") };
        let unshown = Command::Unshown { limit: SHOWN_MAX, to: Some(place.to.clone()) };
        let Outcome::Messages { messages } = self.seat.insist(unshown).await? else { return Ok(()) };
        for message in messages {
            self.arrived(console, message).await?;
        }
        Ok(())
    }

    /// Waits a little for what was typed to be stored, and tells what is not.
    ///
    /// # Errors
    /// A [`Failure`] where nobody can read it.
    pub(super) async fn leave(&mut self, console: &Console) -> Result<(), Failure> {
        if self.fetching.count() > 0 {
            self.say(console, "what has come of the files that you fetch is kept: the same again goes on with them")?;
        }
        if self.typed.values().all(|said| said.stored) {
            return Ok(());
        }
        let flushing = tokio::time::timeout(FAREWELL, self.seat.execute(Command::Flush));
        tokio::pin!(flushing);
        let flushed: Option<Result<Outcome, CommandError>> = loop {
            tokio::select! {
                biased;
                notice = self.seat.next() => match notice? {
                    Notice::Event(event) => self.hear(console, event).await?,
                    Notice::Lagged => {}
                },
                flushed = &mut flushing => break flushed.ok(),
            }
        };
        for file in self.typed.values().filter(|said| said.file && !said.stored) {
            let name = terminal::line(&file.text);
            self.say(console, &format!("{name} is kept, encrypted, and sent while a chat or listen --follow runs"))?;
        }
        match flushed {
            Some(Ok(Outcome::Flushed { waiting })) => {
                waiting.iter().try_for_each(|waiting| self.say(console, &self.render.waiting(waiting)))
            }
            _ => self.say(console, "what you wrote last is kept, and sent when the server can be reached"),
        }
    }
}
