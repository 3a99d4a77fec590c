//! `send`: one message, or each line of standard input, pipelined; ends when the server has
//! stored them all, or when it is known why it has not.
//!
//! What was queued is durable before anything else happens: whatever ends this command, a later
//! one sends it.

use std::{collections::HashSet, time::Duration};

use qpc_client::{
    Notice,
    api::{Command, CommandError, Event, OutboxState, Outcome, Waiting},
};
use qpc_proto::limits::TEXT_MAX;
use serde::Serialize;

use super::{exit::Exit, failure::Failure, hint, input, render::Render, screen::Screen, seat::Seat, terminal};

/// Messages on their way before no further line is read.
const WINDOW: usize = 512;
/// How long a lost connection may take to come back before the command says so and ends.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long news of a message may come after the outbox said that it is done with it.
const LATE_NEWS: Duration = Duration::from_secs(2);
/// Messages from which on there is a progress line.
const LONG_INPUT: u64 = 20;

/// Sends `text`, or the lines of standard input if it is `-`.
///
/// # Errors
/// A [`Failure`]: what was refused or waits, an unreachable server, input that is no message.
pub(super) async fn send(
    seat: &mut Seat,
    screen: &Screen,
    to: String,
    (text, reply_to): (String, Option<String>),
) -> Result<(), Failure> {
    let mut sending = Sending::new(seat, screen, to).await;
    sending.reply_to = reply_to;
    let input = if text == "-" {
        sending.lines().await
    } else if text.len() > TEXT_MAX {
        Err(Failure::data(format!("the message is longer than a message may be ({TEXT_MAX} bytes)")))
    } else if text.is_empty() {
        Err(Failure::data("the message is empty"))
    } else {
        sending.say(text).await
    };
    // Even if the input ended badly: what was queued before is sent, and reported first.
    let sent = if sending.queued > 0 { sending.finish().await } else { Ok(()) };
    screen.progress("");
    input.and(sent)
}

/// Does one thing to what was said, and waits as `send` does. `done` is what to tell the person.
///
/// # Errors
/// A [`Failure`], as of [`send`].
pub(super) async fn change(
    seat: &mut Seat,
    screen: &Screen,
    to: String,
    (command, done): (Command, &str),
) -> Result<(), Failure> {
    let mut sending = Sending::new(seat, screen, to).await;
    sending.done = Some(done.to_owned());
    sending.queue(command).await?;
    if sending.queued > 0 { sending.finish().await } else { Ok(()) }
}

/// Waits as `send` does for what was queued otherwise. `done` is what to tell the person.
///
/// # Errors
/// A [`Failure`], as of [`send`].
pub(super) async fn wait(
    seat: &mut Seat,
    screen: &Screen,
    to: String,
    (id, done): (String, &str),
) -> Result<(), Failure> {
    let mut sending = Sending::new(seat, screen, to).await;
    sending.done = Some(done.to_owned());
    sending.pending.insert(id);
    sending.queued = 1;
    sending.finish().await
}

/// What `--json` tells of a message.
#[derive(Serialize)]
struct News<'a> {
    id: &'a str,
    state: OutboxState,
    reason: Option<&'a str>,
}

/// Messages on their way to one conversation.
struct Sending<'a> {
    seat: &'a mut Seat,
    screen: &'a Screen,
    render: Render,
    to: String,
    /// What the messages answer.
    reply_to: Option<String>,
    /// What to tell the person, where it is no message.
    done: Option<String>,
    /// Queued, and nothing heard of them yet.
    pending: HashSet<String>,
    waiting: HashSet<String>,
    queued: u64,
    refused: u64,
    reason: Option<String>,
    /// Is there a connection? `None` where there never was one that we know of.
    online: Option<bool>,
}

impl<'a> Sending<'a> {
    async fn new(seat: &'a mut Seat, screen: &'a Screen, to: String) -> Self {
        let render = Render::new(screen, &seat.address().await).noting(screen);
        Self {
            seat,
            screen,
            render,
            to,
            reply_to: None,
            done: None,
            pending: HashSet::new(),
            waiting: HashSet::new(),
            queued: 0,
            refused: 0,
            reason: None,
            online: None,
        }
    }

    async fn lines(&mut self) -> Result<(), Failure> {
        let mut lines = input::stdin();
        loop {
            tokio::select! {
                biased;
                notice = self.seat.next() => self.hear(notice?)?,
                line = lines.recv() => match line {
                    None => return Ok(()),
                    // An empty message says nothing: blank lines are what separates things in files.
                    Some(Ok(line)) if line.is_empty() => {}
                    Some(Ok(line)) => self.say(line).await?,
                    Some(Err(error)) => {
                        return Err(Failure::data(error.to_string())
                            .next("the lines before it were sent; nothing after it was read"));
                    }
                },
            }
            if self.pending.len() >= WINDOW {
                self.flush().await?;
            }
        }
    }

    async fn say(&mut self, text: String) -> Result<(), Failure> {
        let to = self.to.clone();
        let command = match self.reply_to.clone() {
            Some(message) => Command::Reply { to, message, text },
            None => Command::Send { to, text },
        };
        self.queue(command).await
    }

    async fn queue(&mut self, send: Command) -> Result<(), Failure> {
        let mut queued = self.seat.execute(send.clone()).await;
        // A full outbox has room again as soon as the server takes what is in it, if it does.
        if matches!(queued, Err(CommandError::TryLater { .. })) && self.flush().await.is_ok() {
            queued = self.seat.execute(send).await;
        }
        let queued = queued.map_err(|error| kept(error.into()))?;
        if let Outcome::Done { note: Some(note) } = &queued {
            self.screen.note(note);
        }
        if let Outcome::Queued { id } = queued {
            if self.queued == 0 {
                self.warn().await;
            }
            self.pending.insert(id);
            self.queued = self.queued.saturating_add(1);
            self.show_progress();
        }
        Ok(())
    }

    /// Tells whose key is another one, of those who are written to. It goes to the keys that were known all the same.
    async fn warn(&self) {
        let changed = self.seat.execute(Command::ChangedKeys { to: Some(self.to.clone()) }).await;
        if let Ok(Outcome::Contacts { contacts }) = changed {
            contacts
                .iter()
                .filter_map(|contact| self.render.contact_alarm(contact))
                .for_each(|line| self.screen.rendered(&line));
        }
    }

    fn hear(&mut self, notice: Notice) -> Result<(), Failure> {
        match notice {
            Notice::Event(Event::Outbox { id, state, reason }) => self.outbox(id, state, reason)?,
            Notice::Event(Event::Online { online, .. }) => {
                if online || self.online.is_some() {
                    self.online = Some(online);
                }
            }
            Notice::Event(Event::Alarm { text }) => self.screen.rendered(&self.render.alarm(&text)),
            // Lost news is made good by the next flush.
            Notice::Lagged
            | Notice::Event(
                Event::Message(_)
                | Event::Changed(_)
                | Event::Disappeared { .. }
                | Event::Transfer(_)
                | Event::Contact { .. }
                | Event::Verification { .. }
                | Event::History { .. }
                | Event::Typing { .. }
                | Event::Receipt { .. }
                | Event::Presence { .. }
                | Event::Read { .. },
            ) => {}
        }
        Ok(())
    }

    fn outbox(&mut self, id: String, state: OutboxState, reason: Option<String>) -> Result<(), Failure> {
        if state == OutboxState::Queued {
            // What comes of it is still to be told.
            let ours = self.pending.contains(&id) || self.waiting.contains(&id);
            if ours && self.screen.json {
                self.screen.object(&News { id: &id, state, reason: reason.as_deref() })?;
            }
            return Ok(());
        }
        if !self.pending.remove(&id) && !self.waiting.remove(&id) {
            return Ok(());
        }
        match state {
            OutboxState::Queued => {}
            OutboxState::Sent => self.online = Some(true),
            OutboxState::Waiting => {
                self.waiting.insert(id.clone());
            }
            OutboxState::Refused => self.refused = self.refused.saturating_add(1),
        }
        if state != OutboxState::Sent && reason.is_some() {
            self.reason.clone_from(&reason);
        }
        self.show_progress();
        if self.screen.json {
            self.screen.object(&News { id: &id, state, reason: reason.as_deref() })?;
        }
        Ok(())
    }

    fn show_progress(&self) {
        if self.queued >= LONG_INPUT {
            let open = u64::try_from(self.pending.len().saturating_add(self.waiting.len())).unwrap_or(u64::MAX);
            let done = self.queued.saturating_sub(open).saturating_sub(self.refused);
            self.screen.progress(&format!("{done} of {} stored by the server", self.queued));
        }
    }

    /// Waits until the outbox has done what it can now; gives what it can't.
    async fn flush(&mut self) -> Result<Vec<Waiting>, Failure> {
        loop {
            match self.flush_once().await? {
                Ok(Outcome::Flushed { waiting }) => {
                    self.late_news(&waiting).await?;
                    return Ok(waiting);
                }
                Ok(_) => return Err(Failure::internal("the outbox gave an answer of another kind")),
                Err(CommandError::Unreachable { .. }) if self.seat.moved().await? || self.comes_back().await? => {}
                Err(error) => return Err(kept(error.into())),
            }
        }
    }

    /// A server that restarts, a network that changes: does a connection that was there come back soon?
    async fn comes_back(&mut self) -> Result<bool, Failure> {
        let deadline = tokio::time::Instant::now().checked_add(PATIENCE);
        let Some(deadline) = deadline.filter(|_| self.online.is_some()) else { return Ok(false) };
        self.online = Some(false);
        while self.online != Some(true) {
            match tokio::time::timeout_at(deadline, self.seat.next()).await {
                Ok(notice) => self.hear(notice?)?,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn flush_once(&mut self) -> Result<Result<Outcome, CommandError>, Failure> {
        let flushing = self.seat.execute(Command::Flush);
        tokio::pin!(flushing);
        loop {
            tokio::select! {
                biased;
                notice = self.seat.next() => self.hear(notice?)?,
                outcome = &mut flushing => return Ok(outcome),
            }
        }
    }

    /// Answers and events travel apart: hears what is still under way, then forgets what waits.
    async fn late_news(&mut self, waiting: &[Waiting]) -> Result<(), Failure> {
        let ours = self.ours(waiting).map_or(0, |waiting| waiting.messages);
        let deadline = tokio::time::Instant::now().checked_add(LATE_NEWS);
        while u64::try_from(self.pending.len()).unwrap_or(u64::MAX) > ours {
            let Some(deadline) = deadline else { break };
            match tokio::time::timeout_at(deadline, self.seat.next()).await {
                Ok(notice) => self.hear(notice?)?,
                Err(_) => break,
            }
        }
        self.pending.clear();
        Ok(())
    }

    fn ours<'w>(&self, waiting: &'w [Waiting]) -> Option<&'w Waiting> {
        let to = self.render.name(&self.to.to_lowercase());
        waiting.iter().find(|waiting| self.render.name(&waiting.to).to_lowercase() == to)
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        let mut waiting = self.flush().await?;
        if self.ours(&waiting).is_some() || !self.waiting.is_empty() {
            // What they wait for may have come while nobody listened.
            if matches!(self.seat.execute(Command::CatchUp).await, Ok(Outcome::Done { .. })) {
                waiting = self.flush().await?;
            }
        }
        let place = format!("to {}", self.to);
        if self.refused > 0 {
            let reason = self.reason.clone().unwrap_or_else(|| "the server gave no reason".to_owned());
            return Err(Failure::denied(format!("{} of {} not sent: {reason}", self.refused, self.queued)).at(place));
        }
        if let Some(waiting) = self.ours(&waiting).filter(|waiting| waiting.queued) {
            self.screen.progress("");
            let to = self.render.name(&self.to);
            let reason = terminal::line(&waiting.reason);
            self.screen.done(&match waiting.messages {
                1 => format!("queued for {to}: {reason}, and sends it"),
                n => format!("{n} messages queued for {to}: {reason}, and sends them"),
            });
            return Ok(());
        }
        if let Some(waiting) = self.ours(&waiting) {
            return Err(Failure::new(Exit::TryLater, self.render.waiting(waiting))
                .at(place)
                .next("kept here; whichever command runs when that has changed sends them"));
        }
        if !self.waiting.is_empty() {
            let reason = self.reason.clone().unwrap_or_else(|| "the server has not taken it yet".to_owned());
            let what = format!("{} of {} wait: {reason}", self.waiting.len(), self.queued);
            return Err(kept(Failure::new(Exit::TryLater, what).at(place)));
        }
        self.screen.progress("");
        let to = self.render.name(&self.to);
        self.screen.done(&match self.queued {
            _ if self.done.is_some() => {
                let done = self.done.as_deref().unwrap_or_default();
                format!("{done} in the conversation with {to}: the server has stored it")
            }
            1 => format!("sent to {to}: the server has stored it"),
            n => format!("sent to {to}: the server has stored {n} messages"),
        });
        Ok(())
    }
}

/// Says what becomes of messages that could not be sent now.
fn kept(failure: Failure) -> Failure {
    let next = format!(
        "the messages are kept and sent when the server can be reached: by any later command, or {} listen --follow",
        hint::program()
    );
    match failure.exit {
        Exit::Unreachable | Exit::TryLater => {
            let next = failure.next.as_deref().map_or(next.clone(), |own| format!("{own}\n{next}"));
            failure.next(next)
        }
        _ => failure,
    }
}
