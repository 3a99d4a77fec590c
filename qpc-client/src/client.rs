//! The handle on a home's account: opened, registered or logged in, then asked to do things.

use crate::{
    EventStream, Home, Options,
    api::{Command, CommandError, Outcome, Password},
    events::Events,
};

/// A handle on a home's account and the driver behind it.
#[derive(Debug, Clone)]
pub struct Client {
    events: Events,
}

/// What a registration needs.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The name without the domain.
    pub name: String,
    /// The password to be.
    pub password: Password,
    /// What lets in, unless the server is open.
    pub token: Option<String>,
    /// What to call this device; at most 64 bytes.
    pub device_name: String,
}

/// What a login needs.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name, with or without the domain.
    pub name: String,
    /// The password.
    pub password: Password,
    /// What to call this device; at most 64 bytes.
    pub device_name: String,
}

/// Why a home could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody lives here yet.
    #[error("nobody is registered or logged in here")]
    NoAccount,
    /// Another process drives the home.
    #[error("another program uses this home")]
    Busy,
    /// The home itself.
    #[error(transparent)]
    Home(crate::home::HomeError),
}

impl From<crate::home::HomeError> for OpenError {
    fn from(error: crate::home::HomeError) -> Self {
        match error {
            crate::home::HomeError::Busy(_) => Self::Busy,
            error => Self::Home(error),
        }
    }
}

/// Why registration or login failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The home.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Somebody lives here already.
    #[error("this home belongs to {0}")]
    Occupied(String),
    /// As a command fails.
    #[error(transparent)]
    Refused(#[from] CommandError),
}

impl Client {
    /// Opens a home that has an account, and begins to drive it. Does not wait for the server.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(home: Home, options: Options) -> Result<Self, OpenError> {
        let _ = (home, options);
        Ok(Self { events: Events::new() })
    }

    /// Makes an account, with this home as its first device, and opens it.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn register(home: Home, options: Options, registration: Registration) -> Result<Self, SignInError> {
        let _ = registration;
        Ok(Self::open(home, options).await?)
    }

    /// Makes this home a device of an account, and opens it.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn login(home: Home, options: Options, login: Login) -> Result<Self, SignInError> {
        let _ = login;
        Ok(Self::open(home, options).await?)
    }

    /// Does something.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn execute(&self, command: Command) -> Result<Outcome, CommandError> {
        let _ = command;
        Err(CommandError::Internal { message: "not there yet".into() })
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.events.listen()
    }

    /// Lets go of the home; what is in the outbox stays there.
    pub async fn close(self) {}

    /// Revokes this device and empties the home.
    ///
    /// # Errors
    /// [`CommandError`]; the home is as it was then.
    pub async fn logout(self) -> Result<(), CommandError> {
        Ok(())
    }
}
