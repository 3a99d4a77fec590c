//! A way to a home's account: the driver itself, or a seat beside it in another process (D16).

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    Client, EventStream, Home, OpenError, Options,
    api::{Command, CommandError, Outcome},
    local::{JoinError, Joined},
};

/// How often a home that is busy is tried, between its process's beginning and its end.
const JOIN_ATTEMPTS: usize = 50;
/// How long between two tries.
const JOIN_PAUSE: Duration = Duration::from_millis(100);

/// A way to a home's account. Whichever it is, it does the same.
#[derive(Debug)]
pub struct Session(Seat);

#[derive(Debug)]
enum Seat {
    Driver(Client),
    Joined(Joined),
}

impl Session {
    /// Drives the home, or joins the process that does.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Busy`] only where the process that drives it can't be joined.
    pub fn open(home: Home, options: Options) -> BoxFuture<'static, Result<Self, OpenError>> {
        Self::open_or_join(home, options).boxed()
    }

    async fn open_or_join(home: Home, options: Options) -> Result<Self, OpenError> {
        for attempt in 0..JOIN_ATTEMPTS {
            match Client::open(home.clone(), options.clone()).await {
                Err(OpenError::Busy) => {}
                outcome => return Ok(Self(Seat::Driver(outcome?))),
            }
            match Joined::open(home.dir()).await {
                Ok(joined) => return Ok(Self(Seat::Joined(joined))),
                // The other process is just beginning, or has just ended.
                Err(JoinError::Nobody) => {
                    tracing::debug!(attempt, "another process has the home, and can't be joined yet");
                    tokio::time::sleep(JOIN_PAUSE).await;
                }
                Err(JoinError::Socket(error)) => {
                    tracing::debug!(%error, "the home's socket can't be used");
                    return Err(OpenError::Busy);
                }
            }
        }
        Err(OpenError::Busy)
    }

    /// Does something.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn execute(&self, command: Command) -> BoxFuture<'_, Result<Outcome, CommandError>> {
        match &self.0 {
            Seat::Driver(client) => client.execute(command),
            Seat::Joined(joined) => joined.execute(command).boxed(),
        }
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        match &self.0 {
            Seat::Driver(client) => client.events(),
            Seat::Joined(joined) => joined.events(),
        }
    }

    /// Is the driver in this process?
    #[must_use]
    pub fn drives(&self) -> bool {
        matches!(self.0, Seat::Driver(_))
    }

    /// Revokes this device and empties the home. Only the driver can.
    ///
    /// # Errors
    /// [`CommandError`]; the home is as it was then.
    pub async fn logout(self) -> Result<(), CommandError> {
        match self.0 {
            Seat::Driver(client) => client.logout().await,
            Seat::Joined(_) => Err(CommandError::Usage {
                message: "another program uses this home; end it first, then log out".to_owned(),
            }),
        }
    }

    /// Lets go of the home; what is in the outbox stays there.
    pub async fn close(self) {
        if let Seat::Driver(client) = self.0 {
            client.close().await;
        }
    }
}

impl From<Client> for Session {
    fn from(client: Client) -> Self {
        Self(Seat::Driver(client))
    }
}
