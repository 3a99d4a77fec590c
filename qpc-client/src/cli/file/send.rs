//! `file send`: each file is encrypted into the home, then the command waits until the server has them all, or until it is
//! known why it has not. Whatever ends it, nothing of what was queued is lost.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use qpc_client::{
    Notice,
    api::{Command, CommandError, Direction, Event, FileState, OutboxState, Outcome, Transfer},
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::{absolute, bar};
use crate::cli::{exit::Exit, failure::Failure, hint, render::Render, screen::Screen, seat::Seat};

/// How long a lost connection may take to come back before the command says so and ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends files; the caption stands beside the first.
///
/// # Errors
/// A [`Failure`]: a file that can't be read, what was refused or waits, an unreachable server.
pub(super) async fn send(
    seat: &mut Seat,
    screen: &Screen,
    to: String,
    (paths, caption): (Vec<PathBuf>, Option<String>),
) -> Result<(), Failure> {
    let render = Render::new(screen, &seat.address().await);
    let place = format!("to {}", render.name(&to));
    let mut sending =
        Sending { seat, screen, to, place, pending: HashMap::new(), refused: None, waiting: None, sent: 0, lost: None };
    let mut queued = Ok(());
    let mut caption = caption.unwrap_or_default();
    for path in paths {
        queued = sending.queue(&path, std::mem::take(&mut caption)).await;
        if queued.is_err() {
            break;
        }
    }
    // Even if one could not be read: what was queued before is sent, and reported first.
    let sent = sending.finish().await;
    screen.progress("");
    queued.and(sent)?;
    let to = &sending.place;
    screen.done(&match sending.sent {
        1 => format!("sent {to}: the server has the file"),
        n => format!("sent {to}: the server has {n} files"),
    });
    Ok(())
}

/// Waits until the server has a file that was queued otherwise.
///
/// # Errors
/// As of [`send`].
pub(in crate::cli) async fn wait(
    seat: &mut Seat,
    screen: &Screen,
    to: String,
    (id, name): (String, String),
) -> Result<(), Failure> {
    let render = Render::new(screen, &seat.address().await);
    let place = format!("to {}", render.name(&to));
    let mut sending =
        Sending { seat, screen, to, place, pending: HashMap::new(), refused: None, waiting: None, sent: 0, lost: None };
    sending.tell(&id, &name, "queued", None)?;
    sending.pending.insert(id, name);
    let sent = sending.finish().await;
    screen.progress("");
    sent?;
    screen.done(&format!("forwarded {}: the server has the file", sending.place));
    Ok(())
}

/// What `--json` tells of a file.
#[derive(Serialize)]
struct News<'a> {
    id: &'a str,
    file: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
}

struct Sending<'a> {
    seat: &'a mut Seat,
    screen: &'a Screen,
    to: String,
    place: String,
    /// Names of the files that nothing final was heard of, by id.
    pending: HashMap<String, String>,
    refused: Option<String>,
    waiting: Option<String>,
    sent: u64,
    /// When the command gives up on a connection that is gone.
    lost: Option<Instant>,
}

impl Sending<'_> {
    async fn queue(&mut self, path: &Path, caption: String) -> Result<(), Failure> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let path = absolute(path)?;
        self.screen.progress(&format!("encrypting {name}"));
        let send = Command::FileSend { to: self.to.clone(), path, caption };
        let Outcome::Queued { id } = self.seat.execute(send).await? else {
            return Err(Failure::internal("the file gave an answer of another kind"));
        };
        self.tell(&id, &name, "queued", None)?;
        self.pending.insert(id, name);
        Ok(())
    }

    fn tell(&self, id: &str, file: &str, state: &'static str, reason: Option<&str>) -> Result<(), Failure> {
        if self.screen.json {
            self.screen.object(&News { id, file, state, reason })?;
        }
        Ok(())
    }

    /// Waits until something final is known of all.
    async fn finish(&mut self) -> Result<(), Failure> {
        // Fails where the server can't be reached.
        let mut reaching = Box::pin(self.seat.execute(Command::CatchUp));
        let mut reached = false;
        while !self.pending.is_empty() {
            tokio::select! {
                biased;
                notice = self.seat.next() => self.hear(notice?).await?,
                outcome = &mut reaching, if !reached => match outcome {
                    Err(CommandError::Unreachable { .. }) if self.seat.moved().await? => {
                        reaching = Box::pin(self.seat.execute(Command::CatchUp));
                    }
                    Err(error) => return Err(self.kept(error.into())),
                    Ok(_) => reached = true,
                },
                () = sleep_until(self.lost.unwrap_or_else(Instant::now)), if self.lost.is_some() => {
                    return Err(self.kept(Failure::new(Exit::Unreachable, "the connection was lost")));
                }
            }
        }
        match (self.refused.take(), self.waiting.take()) {
            (Some(reason), _) => Err(Failure::denied(format!("not sent: {reason}")).at(&self.place)),
            (None, Some(reason)) => Err(self.kept(Failure::new(Exit::TryLater, format!("it waits: {reason}")))),
            (None, None) => Ok(()),
        }
    }

    async fn hear(&mut self, notice: Notice) -> Result<(), Failure> {
        match notice {
            Notice::Event(Event::Outbox { id, state, reason }) => self.settle(&id, state, reason)?,
            Notice::Event(Event::Transfer(at)) => self.show(&at),
            Notice::Event(Event::Online { online, .. }) => {
                self.lost = if online { None } else { Instant::now().checked_add(PATIENCE) };
            }
            Notice::Event(Event::Alarm { text }) => self.screen.note(&text),
            Notice::Event(_) => {}
            Notice::Lagged => self.look().await?,
        }
        Ok(())
    }

    /// Events were lost: how do things stand?
    async fn look(&mut self) -> Result<(), Failure> {
        let listed = self.seat.insist(Command::Files { to: self.to.clone() }).await?;
        let Outcome::Files { files } = listed else { return Ok(()) };
        for file in files {
            match file.state {
                FileState::There => self.settle(&file.id, OutboxState::Sent, None)?,
                FileState::Refused | FileState::Gone => self.settle(&file.id, OutboxState::Refused, None)?,
                FileState::Uploading | FileState::Queued => {}
            }
        }
        Ok(())
    }

    fn settle(&mut self, id: &str, state: OutboxState, reason: Option<String>) -> Result<(), Failure> {
        let Some(name) = self.pending.remove(id) else { return Ok(()) };
        let word = match state {
            OutboxState::Sent => "sent",
            OutboxState::Queued => "queued",
            OutboxState::Waiting => "waiting",
            OutboxState::Refused => "refused",
        };
        self.tell(id, &name, word, reason.as_deref())?;
        let reason = || format!("{name}: {}", reason.as_deref().unwrap_or("the server gave no reason"));
        match state {
            OutboxState::Queued => {}
            OutboxState::Sent => self.sent = self.sent.saturating_add(1),
            OutboxState::Waiting => self.waiting = Some(reason()),
            OutboxState::Refused => self.refused = Some(reason()),
        }
        Ok(())
    }

    fn show(&self, at: &Transfer) {
        if let Some(name) = self.pending.get(&at.id).filter(|_| at.direction == Direction::Up) {
            self.screen.progress(&bar(at, name));
        }
    }

    /// Says what becomes of what could not be sent now.
    fn kept(&self, failure: Failure) -> Failure {
        let next = format!(
            "it is queued, encrypted, in the home, and sent when that can be: while {me} listen --follow or {me} chat runs, \
             or with the next file",
            me = hint::program()
        );
        failure.at(&self.place).next(next)
    }
}
