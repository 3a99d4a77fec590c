//! What a person types in a chat, done.

use qpc_client::api::{Command, ConversationKind, LinkText, Outcome};

use super::{
    console::Console,
    deed::Deed,
    object,
    place::{self, Place},
    room::{Flow, Room, Said},
    typed::{self, COMMANDS, Typed},
};
use crate::cli::{exit::Exit, failure::Failure, render, terminal};

/// What a link is worth that is made here, as `group invite` has it.
const LIFETIME_S: u64 = 7 * 24 * 60 * 60;
const USES: u32 = 10;

impl Room<'_> {
    /// A line was typed.
    ///
    /// # Errors
    /// A [`Failure`] that ends the chat; what can't be done is told and ends nothing.
    pub(super) async fn typed(&mut self, console: &Console, line: &str) -> Result<Flow, Failure> {
        if self.screen.json
            && let Some(asked) = object::read(line)
        {
            self.answer_program(asked).await?;
            return Ok(Flow::Stay);
        }
        match self.act(console, typed::understand(line)).await {
            Ok(flow) => Ok(flow),
            Err(failure) if failure.is_silent() => Err(failure),
            Err(failure) => {
                self.tell(console, failure)?;
                Ok(Flow::Stay)
            }
        }
    }

    /// Does what a program wants, and prints the answer.
    async fn answer_program(&self, asked: object::Asked) -> Result<(), Failure> {
        let (reference, command) = asked.into_parts();
        let outcome = match command {
            Ok(command) => self.seat.execute(command).await,
            Err(error) => Err(error),
        };
        Ok(self.screen.object(&object::Answer::new(reference, outcome))?)
    }

    /// Tells what could not be done.
    pub(super) fn tell(&self, console: &Console, failure: Failure) -> Result<(), Failure> {
        let mut text = failure.what;
        if let Some(next) = failure.next {
            text.push_str(&format!("\n{next}"));
        }
        let text = terminal::body(&text, "   ");
        if failure.exit == Exit::KeyDiffers && !self.screen.json {
            console.ring(&self.screen.paint.loud(&format!("-- not sent: {text}")))
        } else {
            self.say(console, &text)
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
                match place::find_or_number(&self.list, &self.render, &to) {
                    Ok(place) => self.open(console, place).await?,
                    Err(why) => self.say(console, &why)?,
                }
            }
            Typed::List => self.show_list(console).await?,
            Typed::History(limit) => self.show_last(console, limit).await?,
            Typed::Members => self.members(console).await?,
            Typed::Invite => {
                let (lifetime_s, uses) = (LIFETIME_S, USES);
                self.of_group(console, |group| Command::GroupInvite { group, lifetime_s, uses }).await?;
            }
            Typed::Invites => self.of_group(console, |group| Command::GroupInvites { group }).await?,
            Typed::Join(link) => {
                self.answer(console, Command::GroupJoin { link: LinkText(link) }).await?;
                self.refresh().await?;
            }
            Typed::Accept(who) => self.contact(console, who, |who| Command::Accept { who }, "accepted").await?,
            Typed::Decline(who) => self.contact(console, who, |who| Command::Decline { who }, "declined").await?,
            Typed::Block(who) => self.contact(console, who, |who| Command::Block { who }, "blocked").await?,
            Typed::Unblock(who) => self.contact(console, who, |who| Command::Unblock { who }, "unblocked").await?,
            Typed::Verify(who) => self.verify(console, who).await?,
            Typed::File { path, caption } => self.send_file(console, &path, caption).await?,
            Typed::Get { id, path } => self.fetch(console, id, path)?,
            Typed::Do { message, deed } => self.deed(console, message, deed).await?,
            Typed::Poll { question, options, several } => {
                let said = question.clone();
                let command = |to| Command::Poll { to, question, options, several };
                self.here(console, command, Said::new(said)).await?;
            }
            Typed::Lifetime(Some(seconds)) => {
                let command = |to| Command::Lifetime { to, seconds: Some(seconds) };
                self.here(console, command, Said::new("(how long messages stay)".to_owned())).await?;
            }
            Typed::Lifetime(None) => match &self.place {
                Some(place) => self.answer(console, Command::Lifetime { to: place.to.clone(), seconds: None }).await?,
                None => self.say(console, "/open a conversation first")?,
            },
            Typed::Pins => match &self.place {
                Some(place) => {
                    let pins = self.seat.execute(Command::Pins { to: place.to.clone() }).await?;
                    self.show(console, &pins)?;
                }
                None => self.say(console, "/open a conversation first")?,
            },
            Typed::Mute { removed } => self.mute(console, removed).await?,
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
                self.typed.insert(id, Said::new(text));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Something is to be done to a message of the conversation that is open.
    ///
    /// # Errors
    /// As [`Room::typed`].
    pub(super) async fn typed_deed(&mut self, console: &Console, message: String, deed: Deed) -> Result<(), Failure> {
        match self.deed(console, message, deed).await {
            Err(failure) if !failure.is_silent() => self.tell(console, failure),
            done => done,
        }
    }

    /// Does something to a message of the conversation that is open.
    async fn deed(&mut self, console: &Console, message: String, deed: Deed) -> Result<(), Failure> {
        let forwarded = match &deed {
            Deed::Forward(whom) => Some(whom.clone()),
            _ => None,
        };
        let said = match &deed {
            Deed::Reply(text) => Said::new(text.clone()),
            deed => Said::change(deed.words()),
        };
        self.here(console, |to| deed.command(to, message), said).await?;
        match forwarded {
            Some(whom) => self.say(console, &format!("forwarded to {}", self.render.name(&whom))),
            None => Ok(()),
        }
    }

    /// Has something sent into the conversation that is open.
    async fn here(
        &mut self,
        console: &Console,
        command: impl FnOnce(String) -> Command,
        said: Said,
    ) -> Result<(), Failure> {
        let Some(place) = &self.place else { return self.say(console, "/open a conversation first") };
        match self.seat.execute(command(place.to.clone())).await? {
            Outcome::Queued { id } => {
                self.typed.insert(id, said);
                Ok(())
            }
            Outcome::Done { note: Some(note) } => self.say(console, &note),
            _ => Ok(()),
        }
    }

    /// Messages, with the digits by which they can be named.
    fn show(&self, console: &Console, outcome: &Outcome) -> Result<(), Failure> {
        match outcome {
            Outcome::Messages { messages } if !messages.is_empty() => {
                messages.iter().try_for_each(|message| self.print(console, message))
            }
            _ => self.say(console, "nothing is pinned here"),
        }
    }

    /// Has the conversation that is open ring no bell, or ring again.
    async fn mute(&mut self, console: &Console, removed: bool) -> Result<(), Failure> {
        let Some(place) = &self.place else { return self.say(console, "/open a conversation first") };
        let (to, shown) = (place.to.clone(), place.shown.clone());
        self.seat.execute(Command::Mute { to, removed }).await?;
        self.refresh().await?;
        let what = if removed { "rings again" } else { "rings no bell any more; /unmute takes that back" };
        self.say(console, &format!("{shown} {what}"))
    }

    /// Asks about the group that is open.
    async fn of_group(&self, console: &Console, command: impl FnOnce(String) -> Command) -> Result<(), Failure> {
        match &self.place {
            Some(Place { kind: ConversationKind::Group, to, .. }) => self.answer(console, command(to.clone())).await,
            _ => self.say(console, "/open a group first"),
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
        let Some(who) = self.whom(console, who)? else { return Ok(()) };
        let shown = self.render.name(&who);
        self.seat.execute(command(who)).await?;
        self.refresh().await?;
        self.say(console, &format!("{done} {shown}"))
    }

    /// Who is meant, if nobody is named the person whose conversation is open; asks back where there is none.
    fn whom(&self, console: &Console, who: Option<String>) -> Result<Option<String>, Failure> {
        let who = who.or_else(|| match &self.place {
            Some(Place { kind: ConversationKind::Direct, title, .. }) => Some(title.clone()),
            _ => None,
        });
        if who.is_none() {
            self.say(console, "whom? Write the name behind it")?;
        }
        Ok(who)
    }

    async fn verify(&self, console: &Console, who: Option<String>) -> Result<(), Failure> {
        let Some(who) = self.whom(console, who)? else { return Ok(()) };
        let Outcome::SafetyNumber(number) = self.seat.execute(Command::SafetyNumber { who }).await? else {
            return Ok(());
        };
        if self.screen.json {
            return Ok(self.screen.object(&number)?);
        }
        let page = self.render.safety_page(&number, console.columns(self.screen));
        page.iter().try_for_each(|line| console.print(line))
    }

    async fn answer(&self, console: &Console, command: Command) -> Result<(), Failure> {
        let outcome = self.seat.execute(command).await?;
        match render::nothing(&outcome) {
            Some(nothing) => self.say(console, &nothing),
            None => self.render.outcome(&outcome).iter().try_for_each(|line| console.print(line)),
        }
    }
}
