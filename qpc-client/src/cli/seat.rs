//! A session that outlives the process which drives the home: when that ends, this one takes its
//! place, or joins whoever was faster.

use std::{sync::Arc, time::Duration};

use qpc_client::{
    EventStream, Notice, Session,
    api::{Command, CommandError, Outcome},
};

use super::{failure::Failure, open, settings::Settings};

/// How long it may take to notice that the driving process has ended.
const NOTICED: Duration = Duration::from_millis(300);

/// A session and its events.
pub(super) struct Seat {
    settings: Settings,
    session: Arc<Session>,
    events: EventStream,
    /// How often the session was replaced.
    moves: u64,
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
        Self { settings, session: Arc::new(session), events, moves: 0 }
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
        if let Some(notice) = self.events.next().await {
            return Ok(notice);
        }
        let session = open::session(&mut self.settings).await?;
        self.events = session.events();
        self.session = Arc::new(session);
        self.moves = self.moves.saturating_add(1);
        Ok(Notice::Lagged)
    }

    /// Asked after a command failed: was that because the session ended? Then there is another now.
    ///
    /// # Errors
    /// A [`Failure`] where no other session can be had.
    pub(super) async fn moved(&mut self) -> Result<bool, Failure> {
        let before = self.moves;
        while let Ok(notice) = tokio::time::timeout(NOTICED, self.next()).await {
            notice?;
            if self.moves != before {
                return Ok(true);
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

    /// Lets go of the home; what is in the outbox stays there.
    pub(super) async fn leave(self) {
        if let Some(session) = Arc::into_inner(self.session) {
            session.close().await;
        }
    }
}
