//! A way to a home's account: the driver itself, or a seat beside it in another process (D16).

use crate::{
    Client, EventStream, Home, OpenError, Options,
    api::{Command, CommandError, Outcome},
};

/// A way to a home's account. Whichever it is, it does the same.
#[derive(Debug)]
pub struct Session(Seat);

#[derive(Debug)]
enum Seat {
    Driver(Client),
}

impl Session {
    /// Drives the home, or joins the process that does.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Busy`] only where the process that drives it can't be joined.
    pub async fn open(home: Home, options: Options) -> Result<Self, OpenError> {
        Ok(Self(Seat::Driver(Client::open(home, options).await?)))
    }

    /// Does something.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn execute(&self, command: Command) -> Result<Outcome, CommandError> {
        let Seat::Driver(client) = &self.0;
        client.execute(command).await
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        let Seat::Driver(client) = &self.0;
        client.events()
    }

    /// Is the driver in this process?
    #[must_use]
    pub fn drives(&self) -> bool {
        true
    }

    /// Revokes this device and empties the home. Only the driver can.
    ///
    /// # Errors
    /// [`CommandError`]; the home is as it was then.
    pub async fn logout(self) -> Result<(), CommandError> {
        let Seat::Driver(client) = self.0;
        client.logout().await
    }

    /// Lets go of the home; what is in the outbox stays there.
    pub async fn close(self) {
        let Seat::Driver(client) = self.0;
        client.close().await;
    }
}

impl From<Client> for Session {
    fn from(client: Client) -> Self {
        Self(Seat::Driver(client))
    }
}
