//! What a chat knows: which conversation is open, what was typed here, and what to say about news.

use std::{collections::HashMap, time::Duration};

use qpc_client::{
    Notice,
    api::{Command, CommandError, Conversation, ConversationKind, Event, Message, OutboxState, Outcome},
};
use qpc_proto::address::{AccountName, Address};

use super::{
    LAST,
    console::Console,
    typed::{self, COMMANDS, Typed},
};
use crate::cli::{
    failure::Failure,
    render::{self, Render},
    screen::Screen,
    seat::Seat,
    terminal,
};

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

/// The conversation that is open.
struct Place {
    /// As the library is asked for it.
    to: String,
    /// As people see it.
    shown: String,
    kind: ConversationKind,
    /// `None` until its first message.
    conversation: Option<String>,
    /// Messages up to here have been printed.
    through: i64,
}

/// A message that was typed here. News of it come in any order.
#[derive(Debug, Default)]
struct Said {
    text: String,
    /// The server has stored it.
    stored: bool,
    /// It came back as a message of the conversation.
    arrived: bool,
}

/// A chat.
pub(super) struct Room<'a> {
    pub(super) seat: &'a mut Seat,
    screen: &'a Screen,
    render: Render,
    list: Vec<Conversation>,
    place: Option<Place>,
    /// What was typed here, by message id, until all news of it has come.
    typed: HashMap<String, Said>,
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
        let render = Render::new(screen, &seat.address().await);
        let mut room = Self {
            seat,
            screen,
            render,
            list: Vec::new(),
            place: None,
            typed: HashMap::new(),
            told: None,
            online: true,
        };
        match to {
            None => room.show_list(console).await?,
            Some(to) => {
                room.refresh().await?;
                match room.find(&to) {
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

    /// What stands before the line being typed.
    pub(super) fn prompt(&self) -> String {
        self.place.as_ref().map_or_else(|| "> ".to_owned(), |place| format!("{}> ", place.shown))
    }

    /// Names that can be completed.
    pub(super) fn names(&self) -> Vec<String> {
        self.list.iter().map(|conversation| self.render.title(conversation)).collect()
    }

    /// A note of our own.
    fn say(&self, console: &Console, text: &str) -> Result<(), Failure> {
        if self.screen.json {
            self.screen.note(text);
            return Ok(());
        }
        console.print(&self.note(text))
    }

    fn note(&self, text: &str) -> String {
        self.screen.paint.dim(&format!("-- {text}"))
    }

    async fn refresh(&mut self) -> Result<(), Failure> {
        if let Outcome::Conversations { conversations } = self.seat.execute(Command::Conversations).await? {
            self.list = conversations;
        }
        Ok(())
    }

    async fn show_list(&mut self, console: &Console) -> Result<(), Failure> {
        self.place = None;
        self.refresh().await?;
        if self.screen.json {
            return Ok(self.list.iter().try_for_each(|conversation| self.screen.object(conversation))?);
        }
        if self.list.is_empty() {
            return self.say(console, "no conversations yet; /open NAME begins one");
        }
        self.render.conversations(&self.list).iter().try_for_each(|line| console.print(line))
    }

    /// The conversation that a name, title or number means.
    fn find(&self, to: &str) -> Result<Place, String> {
        let by_number = to.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).and_then(|n| self.list.get(n));
        let title = to.strip_prefix('#');
        let is_person = |c: &&Conversation| {
            c.kind == ConversationKind::Direct
                && (c.title.eq_ignore_ascii_case(to) || self.render.name(&c.title).eq_ignore_ascii_case(to))
        };
        let is_group = |c: &&Conversation| c.kind == ConversationKind::Group && c.title == title.unwrap_or(to);
        let person = self.list.iter().filter(|_| title.is_none()).find(is_person);
        if let Some(found) = by_number.or(person).or_else(|| self.list.iter().find(is_group)) {
            return Ok(Place {
                to: found.title.clone(),
                shown: self.render.title(found),
                kind: found.kind,
                conversation: Some(found.conversation.clone()),
                through: i64::MIN,
            });
        }
        if AccountName::parse(to).is_err() && Address::parse(to).is_err() {
            return Err(format!("there is no group or person {to:?} here"));
        }
        Ok(Place {
            to: to.to_lowercase(),
            shown: self.render.name(&to.to_lowercase()),
            kind: ConversationKind::Direct,
            conversation: None,
            through: i64::MIN,
        })
    }

    async fn open(&mut self, console: &Console, place: Place) -> Result<(), Failure> {
        let known = self.list.iter().find(|c| Some(&c.conversation) == place.conversation.as_ref()).cloned();
        self.place = Some(place);
        self.told = None;
        let Some(known) = known else {
            return self
                .say(console, "nothing has been said yet; your first message asks whether they want to talk to you");
        };
        let unread = u32::try_from(known.unread).unwrap_or(SHOWN_MAX);
        self.show_last(console, unread.clamp(LAST, SHOWN_MAX)).await?;
        if known.request {
            let who = self.render.name(&known.title);
            self.say(
                console,
                &format!("{who} asks to talk to you: /accept, /decline or /block. Writing to them accepts"),
            )?;
        }
        if !known.active {
            self.say(console, "you are not in this conversation any more")?;
        }
        Ok(())
    }

    async fn show_last(&mut self, console: &Console, limit: u32) -> Result<(), Failure> {
        let Some(place) = &self.place else { return self.say(console, "/open a conversation first") };
        let history = self.seat.execute(Command::History { to: place.to.clone(), limit }).await?;
        let Outcome::Messages { messages } = history else { return Ok(()) };
        messages.iter().try_for_each(|message| self.print(console, message))?;
        let last = messages.last().map_or(i64::MIN, |message| message.local);
        self.shown(last).await
    }

    fn print(&self, console: &Console, message: &Message) -> Result<(), Failure> {
        if self.screen.json {
            return Ok(self.screen.object(&Event::Message(message.clone()))?);
        }
        console.print(&self.render.message(message))
    }

    async fn shown(&mut self, local: i64) -> Result<(), Failure> {
        let Some(place) = self.place.as_mut().filter(|place| place.through < local) else { return Ok(()) };
        place.through = local;
        self.seat.execute(Command::MarkShown { to: Some(place.to.clone()), local }).await?;
        Ok(())
    }

    /// Something happened.
    ///
    /// # Errors
    /// A [`Failure`] that ends the chat.
    pub(super) async fn hear(&mut self, console: &Console, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message(message) => self.arrived(console, message).await,
            event if self.screen.json => Ok(self.screen.object(&event)?),
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
            Event::Alarm { text } => console.ring(&self.render.alarm(&text)),
            event @ Event::Contact { .. } => {
                self.refresh().await?;
                self.render.event(&event).map_or(Ok(()), |text| console.ring(&self.note(&text)))
            }
        }
    }

    async fn arrived(&mut self, console: &Console, message: Message) -> Result<(), Failure> {
        if !self.list.iter().any(|c| c.conversation == message.conversation) {
            self.refresh().await?;
            self.recognise();
        }
        let here = self.place.as_ref().filter(|place| place.conversation.as_ref() == Some(&message.conversation));
        if let Some(place) = here {
            if message.local > place.through {
                // On a terminal, what was typed here stands there already.
                let stands = self.news(&message.id, |said| said.arrived = true) && console.is_terminal();
                if !stands {
                    self.print(console, &message)?;
                }
                self.shown(message.local).await?;
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
        console.ring(&self.note(&elsewhere))
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

    /// What to type to open the conversation of a message.
    fn open_as(&self, message: &Message) -> String {
        let found = self.list.iter().find(|conversation| conversation.conversation == message.conversation);
        found.map_or_else(|| self.render.name(&message.title), |found| self.render.title(found))
    }

    /// A conversation that began while its place was open gets its name.
    fn recognise(&mut self) {
        let Some(place) = self.place.as_ref().filter(|place| place.conversation.is_none()) else { return };
        if let Ok(found) = self.find(&place.to) {
            self.place = Some(Place { through: place.through, ..found });
        }
    }

    fn outbox(
        &mut self,
        console: &Console,
        id: &str,
        state: OutboxState,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let Some(text) = self.typed.get(id).map(|said| said.text.clone()) else { return Ok(()) };
        let reason = reason.unwrap_or_else(|| "the server gave no reason".to_owned());
        match state {
            OutboxState::Sent => {
                self.news(id, |said| said.stored = true);
                self.told = None;
                Ok(())
            }
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
        self.recognise();
        let Some(place) = &self.place else { return self.say(console, "much has happened; /list shows it") };
        let unshown = Command::Unshown { limit: SHOWN_MAX, to: Some(place.to.clone()) };
        let Outcome::Messages { messages } = self.seat.execute(unshown).await? else { return Ok(()) };
        for message in messages {
            self.arrived(console, message).await?;
        }
        Ok(())
    }

    /// A line was typed.
    ///
    /// # Errors
    /// A [`Failure`] that ends the chat; what can't be done is told and ends nothing.
    pub(super) async fn typed(&mut self, console: &Console, line: &str) -> Result<Flow, Failure> {
        match self.act(console, typed::understand(line)).await {
            Ok(flow) => Ok(flow),
            Err(failure) if failure.is_silent() => Err(failure),
            Err(failure) => {
                let mut text = failure.what;
                if let Some(next) = failure.next {
                    text.push_str(&format!("\n{next}"));
                }
                self.say(console, &terminal::body(&text, "   "))?;
                Ok(Flow::Stay)
            }
        }
    }

    async fn act(&mut self, console: &Console, typed: Typed) -> Result<Flow, Failure> {
        match typed {
            Typed::Nothing => {}
            Typed::Say(text) => self.speak(console, text).await?,
            Typed::Help => {
                let width = COMMANDS.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0);
                for (usage, meaning) in COMMANDS {
                    self.say(console, &format!("{usage:<width$}  {meaning}"))?;
                }
            }
            Typed::Quit => return Ok(Flow::Leave),
            Typed::Open(to) => {
                self.refresh().await?;
                match self.find(&to) {
                    Ok(place) => self.open(console, place).await?,
                    Err(why) => self.say(console, &why)?,
                }
            }
            Typed::List => self.show_list(console).await?,
            Typed::History(limit) => self.show_last(console, limit).await?,
            Typed::Members => self.members(console).await?,
            Typed::Accept(who) => self.contact(console, who, |who| Command::Accept { who }, "accepted").await?,
            Typed::Decline(who) => self.contact(console, who, |who| Command::Decline { who }, "declined").await?,
            Typed::Block(who) => self.contact(console, who, |who| Command::Block { who }, "blocked").await?,
            Typed::Unblock(who) => self.contact(console, who, |who| Command::Unblock { who }, "unblocked").await?,
            Typed::Contacts => self.answer(console, Command::Contacts).await?,
            Typed::Status => self.answer(console, Command::Status).await?,
            Typed::Wrong(why) => self.say(console, &why)?,
        }
        Ok(Flow::Stay)
    }

    async fn speak(&mut self, console: &Console, text: String) -> Result<(), Failure> {
        let Some(place) = &self.place else {
            return self.say(console, "to whom? /open NAME, or a number of /list");
        };
        let sent = self.seat.execute(Command::Send { to: place.to.clone(), text: text.clone() }).await;
        match sent {
            Ok(Outcome::Queued { id }) => {
                self.typed.insert(id, Said { text, ..Said::default() });
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn members(&mut self, console: &Console) -> Result<(), Failure> {
        match &self.place {
            Some(Place { kind: ConversationKind::Group, to, .. }) => {
                let command = Command::GroupMembers { group: to.clone() };
                self.answer(console, command).await
            }
            Some(place) => self.say(console, &format!("{} and you", place.shown)),
            None => self.say(console, "/open a conversation first"),
        }
    }

    async fn contact(
        &mut self,
        console: &Console,
        who: Option<String>,
        command: impl FnOnce(String) -> Command,
        done: &str,
    ) -> Result<(), Failure> {
        let here = || match &self.place {
            Some(Place { kind: ConversationKind::Direct, to, .. }) => Some(to.clone()),
            _ => None,
        };
        let Some(who) = who.or_else(here) else { return self.say(console, "whom? Write the name behind it") };
        let shown = self.render.name(&who);
        self.seat.execute(command(who)).await?;
        self.refresh().await?;
        self.say(console, &format!("{done} {shown}"))
    }

    async fn answer(&self, console: &Console, command: Command) -> Result<(), Failure> {
        let outcome = self.seat.execute(command).await?;
        match render::nothing(&outcome) {
            Some(nothing) => self.say(console, nothing),
            None => self.render.outcome(&outcome).iter().try_for_each(|line| console.print(line)),
        }
    }

    /// Waits a little for what was typed to be stored, and tells what is not.
    ///
    /// # Errors
    /// A [`Failure`] where nobody can read it.
    pub(super) async fn leave(&mut self, console: &Console) -> Result<(), Failure> {
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
        match flushed {
            Some(Ok(Outcome::Flushed { waiting })) => {
                waiting.iter().try_for_each(|waiting| self.say(console, &self.render.waiting(waiting)))
            }
            _ => self.say(console, "what you wrote last is kept, and sent when the server can be reached"),
        }
    }
}
