//! A session that outlives the process which drives the home: when that ends, this one takes its
//! place, or joins whoever was faster.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use qpc_client::{
    EventStream, Notice, Session,
    api::{Command, CommandError, Outcome},
};

use super::{failure::Failure, open, settings::Settings};

/// How long it may take to notice that the driving process has ended.
const NOTICED: Duration = Duration::from_millis(300);
/// How long the last messages may take when a program ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// Notices kept while looking for the end of a session.
const EARLY_MAX: usize = 4096;

/// A session and its events.
pub(super) struct Seat {
    settings: Settings,
    session: Arc<Session>,
    events: EventStream,
    /// Heard while looking for something else, and not given out yet.
    early: VecDeque<Notice>,
}

impl Seat {
    /// Drives the home, or joins whoever does.
    ///
    /// # Errors
    /// A [`Failure`]; where nobody lives there, one that says how to register.
    pub(super) async fn take(mut settings: Settings) -> Result<Self, Failure> {
        let session = open::session(&mut settings).await?;
        Ok(Self::of(session, settings))
    }

    /// With a session that there is already.
    pub(super) fn of(session: Session, settings: Settings) -> Self {
        let events = session.events();
        Self { settings, session: Arc::new(session), events, early: VecDeque::new() }
    }

    /// Does something. The answer may be awaited beside [`next`](Self::next).
    pub(super) fn execute(&self, command: Command) -> impl Future<Output = Result<Outcome, CommandError>> + use<> {
        let session = Arc::clone(&self.session);
        async move { session.execute(command).await }
    }

    /// As [`execute`](Self::execute), for commands that may be done twice: a session that ends
    /// meanwhile is replaced, and the next one asked.
    ///
    /// # Errors
    /// A [`Failure`] as the command's, or where no other session can be had.
    pub(super) async fn insist(&mut self, command: Command) -> Result<Outcome, Failure> {
        loop {
            match self.execute(command.clone()).await {
                Err(CommandError::Unreachable { .. }) if self.moved().await? => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    /// What happens next. Another session instead of one that ended counts as lost events.
    /// Cancel-safe.
    ///
    /// # Errors
    /// A [`Failure`] where no other session can be had.
    pub(super) async fn next(&mut self) -> Result<Notice, Failure> {
        if let Some(notice) = self.early.pop_front() {
            return Ok(notice);
        }
        if let Some(notice) = self.events.next().await {
            return Ok(notice);
        }
        self.replace().await?;
        Ok(Notice::Lagged)
    }

    async fn replace(&mut self) -> Result<(), Failure> {
        let session = open::session(&mut self.settings).await?;
        self.events = session.events();
        self.session = Arc::new(session);
        Ok(())
    }

    /// Asked after a command failed: was that because the session ended? Then there is another now.
    ///
    /// # Errors
    /// A [`Failure`] where no other session can be had.
    pub(super) async fn moved(&mut self) -> Result<bool, Failure> {
        while self.early.len() < EARLY_MAX {
            match tokio::time::timeout(NOTICED, self.events.next()).await {
                Err(_) => return Ok(false),
                Ok(Some(notice)) => self.early.push_back(notice),
                Ok(None) => {
                    self.replace().await?;
                    self.early.push_back(Notice::Lagged);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The address of the home's account; empty where it can't be told.
    pub(super) async fn address(&self) -> String {
        match self.execute(Command::Whoami).await {
            Ok(Outcome::Whoami(whoami)) => whoami.address,
            _ => String::new(),
        }
    }

    /// Lets go of the home. What waits in the outbox and can be sent is sent first, if that is soon
    /// done; the rest stays there.
    pub(super) async fn leave(self) {
        // Whether it worked is no matter here: the outbox is durable, and the next program tries again.
        tokio::time::timeout(FAREWELL, self.execute(Command::Flush)).await.ok();
        if let Some(session) = Arc::into_inner(self.session) {
            session.close().await;
        }
    }
}
