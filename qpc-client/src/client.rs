//! The handle on a home's account: opened, registered or logged in, then asked to do things.

mod sign_in;
#[cfg(feature = "simulation")]
mod simulated;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::sign_in::{Login, Registration, SignInError};
#[cfg(feature = "simulation")]
pub use self::simulated::Place;
use crate::{
    EventStream, Home, Options, ServerAddress,
    api::{Command, CommandError, Outcome},
    commands,
    core::{Core, Line},
    driver, expiry,
    files::Files,
    home::{HomeError, LockedHome},
    identity::Identity,
    local, mls, scheduled,
    store::{Store, StoreError, identity, trace, upload},
    transport::{Endpoints, Link, Transport},
    trust::Me,
};

/// A handle on a home's account and the driver behind it. Clones are the same client, which ends with
/// [`Client::close`] or the last of them.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
    home: Mutex<Option<LockedHome>>,
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
    Home(HomeError),
    /// The key, made of a passphrase or not, is not the one of the home's database.
    #[error("{}", StoreError::WrongKey)]
    WrongKey,
    /// The home's database can't be opened, or is of a later version.
    #[error("{0}")]
    Database(String),
    /// The server's address in the home, or the home's own identity, makes no sense.
    #[error("this home is damaged: {0}")]
    Damaged(String),
}

impl From<HomeError> for OpenError {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Busy(_) => Self::Busy,
            error => Self::Home(error),
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::WrongKey => Self::WrongKey,
            error => Self::Database(error.to_string()),
        }
    }
}

impl Client {
    /// Opens a home that has an account, and begins to drive it. Does not wait for the server.
    ///
    /// The future is a boxed one, as all of a handle are: so the library's code is compiled once, and not with each program.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(home: Home, options: Options) -> BoxFuture<'static, Result<Self, OpenError>> {
        Self::open_home(home, options).boxed()
    }

    async fn open_home(home: Home, options: Options) -> Result<Self, OpenError> {
        if !home.has_account() {
            return Err(OpenError::NoAccount);
        }
        let locked = off_runtime(move || home.lock()).await??;
        let (locked, store, identity) = read_home(locked).await?;
        let identity = identity.ok_or(OpenError::NoAccount)?;
        let server = match options.server.clone() {
            Some(server) => server,
            None => identity.server.parse::<ServerAddress>().map_err(|error| OpenError::Damaged(error.to_string()))?,
        };
        tidy(&locked, &store).await?;
        let outside = (transport(&locked, server, &options), Some(locked.files()));
        Ok(Self::start(locked, core(identity, store, outside, &options)?, None))
    }

    /// Begins to drive a home, with a connection that is authenticated already if there is one.
    fn start(home: LockedHome, core: Arc<Core>, first: Option<Link>) -> Self {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        match local::bind(home.home().dir()) {
            Ok(listener) => {
                tasks.spawn(local::serve(listener, Arc::clone(&core), stop.clone()));
            }
            // Only other programs on this home miss it.
            Err(error) => tracing::warn!(%error, "other programs can't join this home"),
        }
        Self::run(core, first, Some(home), (stop, tasks))
    }

    /// Runs the driver beside the tasks that are there.
    fn run(
        core: Arc<Core>,
        first: Option<Link>,
        home: Option<LockedHome>,
        (stop, mut tasks): (CancellationToken, JoinSet<()>),
    ) -> Self {
        tasks.spawn(scheduled::run(Arc::clone(&core), stop.clone()));
        tasks.spawn(expiry::run(Arc::clone(&core), stop.clone()));
        tasks.spawn(driver::run(Arc::clone(&core), first, stop.clone()));
        Self(Arc::new(Inner { core, stop, tasks: Mutex::new(tasks), home: Mutex::new(home) }))
    }

    /// Does something. Commands take effect in the order in which their futures are first polled.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn execute(&self, command: Command) -> BoxFuture<'_, Result<Outcome, CommandError>> {
        commands::execute(&self.0.core, command).boxed()
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.0.core.events.listen()
    }

    /// Lets go of the home; what is in the outbox stays there.
    pub async fn close(self) {
        drop(self.stop().await);
    }

    /// Revokes this device and empties the home.
    ///
    /// # Errors
    /// [`CommandError`]; the home is as it was then.
    pub async fn logout(self) -> Result<(), CommandError> {
        self.revoke().await?;
        if let Some(home) = self.stop().await {
            let forgotten = off_runtime(move || home.forget_account()).await;
            forgotten
                .map_err(|error| CommandError::Internal { message: error.to_string() })?
                .map_err(|error| CommandError::Internal { message: error.to_string() })?;
        }
        Ok(())
    }

    /// Has the server forget this device, if it has not yet.
    async fn revoke(&self) -> Result<(), CommandError> {
        let mut line = self.0.core.line.subscribe();
        loop {
            let failed = match self.0.core.link().await {
                Ok(link) => match commands::revoke_own(&self.0.core, &link).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(_) if matches!(&*line.borrow(), Line::Down { gone: true, .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            // A connection that has just ended may have ended because the device is gone already.
            if !matches!(failed, CommandError::Unreachable { .. }) || line.changed().await.is_err() {
                return Err(failed);
            }
        }
    }

    /// Ends everything that runs; gives the home, still locked, the first time.
    async fn stop(&self) -> Option<LockedHome> {
        self.0.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
        self.0.core.transport.endpoints.close().await;
        self.0.core.events.end();
        self.0.home.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// What the handle and the driver share.
fn core(
    identity: Identity,
    store: Store,
    outside: (Transport, Option<Files>),
    options: &Options,
) -> Result<Arc<Core>, OpenError> {
    let device = mls::Device::new(&identity.certificate, &identity.device_secret.seed())
        .map_err(|error| OpenError::Damaged(error.to_string()))?;
    let me = Me { identity: Arc::new(identity), device: Arc::new(device) };
    Ok(Arc::new(Core::new(me, store, outside, options)))
}

fn transport(home: &LockedHome, server: ServerAddress, options: &Options) -> Transport {
    Transport {
        server,
        trust: options.trust.clone(),
        known: home.known_servers(),
        program: options.program.clone(),
        datagrams: options.datagrams,
        timeout: options.timeout,
        endpoints: Endpoints::default(),
    }
}

/// Opens the database of a home; gives who lives there, if anybody does.
async fn read_home(locked: LockedHome) -> Result<(LockedHome, Store, Option<Identity>), OpenError> {
    let (locked, store) = off_runtime(move || {
        let store = Store::open(&locked.home().database(), &locked.key()?)?;
        Ok::<_, OpenError>((locked, store))
    })
    .await??;
    let identity = store.run(identity::get).await?;
    Ok((locked, store, identity))
}

/// Removes files that a program which was killed has left in the home.
async fn tidy(locked: &LockedHome, store: &Store) -> Result<(), OpenError> {
    // What came to its end while nobody drove the home is shown to nobody.
    store.run(expiry::all).await?;
    store.run(trace::trim).await?;
    let files = locked.files();
    let lying = files.spools();
    let known = store.run(move |tx| {
        let known = lying.into_iter().map(|spool| Ok((upload::has_spool(tx, &spool)?, spool)));
        known.collect::<Result<Vec<_>, StoreError>>()
    });
    let known = known.await?;
    off_runtime(move || files.tidy(|name| known.iter().any(|(known, spool)| *known && spool == name))).await
}

/// Files and key stretching block: not on the runtime's threads.
async fn off_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, OpenError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| OpenError::Database(error.to_string()))
}
