//! Clients of a simulation: on a home in memory and a network of its own, and able to crash.

use std::sync::{Arc, PoisonError};

use quinn::Endpoint;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Client, OpenError, SignInError, core,
    sign_in::{self, Way},
};
use crate::{
    Login, Options, Registration,
    home::KnownServers,
    simulation::Disk,
    store::{Store, identity},
    transport::{Endpoints, Transport},
};

/// What a client has besides its options: the home, which a crash leaves as it is, and its network.
#[derive(Debug, Clone)]
pub struct Place {
    /// The home.
    pub disk: Disk,
    /// The socket.
    pub endpoint: Endpoint,
}

impl Place {
    /// The home, opened, and the task that has it.
    fn store(&self) -> (Store, JoinSet<()>) {
        let (store, disk) = Store::simulated(Arc::clone(&self.disk.0));
        let mut tasks = JoinSet::new();
        tasks.spawn(disk);
        (store, tasks)
    }

    fn transport(&self, options: &Options) -> Result<Transport, OpenError> {
        let server = options.server.clone().ok_or_else(|| OpenError::Damaged("no server is named".into()))?;
        Ok(Transport {
            server,
            trust: options.trust.clone(),
            known: KnownServers::none(),
            program: options.program.clone(),
            datagrams: options.datagrams,
            timeout: options.timeout,
            endpoints: Endpoints::simulated(self.endpoint.clone()),
        })
    }
}

impl Client {
    /// As [`Client::register`], in a simulation.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn simulate_register(place: &Place, options: &Options, new: Registration) -> Result<Self, SignInError> {
        Self::simulate_sign_in(place, options, Way::Register(new)).await
    }

    /// As [`Client::login`], in a simulation.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn simulate_login(place: &Place, options: &Options, login: Login) -> Result<Self, SignInError> {
        Self::simulate_sign_in(place, options, Way::Login(login)).await
    }

    async fn simulate_sign_in(place: &Place, options: &Options, way: Way) -> Result<Self, SignInError> {
        let (store, tasks) = place.store();
        let (core, first) = sign_in::on(store, place.transport(options)?, options, way).await?;
        Ok(Self::run(core, first, None, (CancellationToken::new(), tasks)))
    }

    /// As [`Client::open`], in a simulation.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn simulate_open(place: &Place, options: &Options) -> Result<Self, OpenError> {
        let (store, tasks) = place.store();
        let identity = store.run(identity::get).await?.ok_or(OpenError::NoAccount)?;
        let core = core(identity, store, (place.transport(options)?, None), options)?;
        Ok(Self::run(core, None, None, (CancellationToken::new(), tasks)))
    }

    /// Ends everything at once, as a loss of power does: what is in the home stays as it is. Nobody is told.
    pub fn crash(self) {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
