//! Accounts: registration and login by password without the server seeing it (OPAQUE,
//! RFC 9807), devices and their proof, invites, password change, reset and deletion.
//!
//! Requests come in as wire messages and are parsed here, within the bounds of
//! `qpc_proto::limits`. What has been proved lives in a [`LoginStage`], which belongs to one
//! connection. Knows no sockets and no SQL, and leaves rate limits to `policy`.

mod device;
mod field;
mod invite;
mod login;
mod opaque;
mod password;
mod registration;
mod rotation;
mod setups;
mod stage;
mod token;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use qpc_proto::{
    address::{AccountName, Address, Domain},
    id::AccountId,
    limits::DEVICES_PER_ACCOUNT_MAX,
};
use tokio::sync::Semaphore;

use crate::{
    clock::Clock,
    rng::Rng,
    store::{Restored, Store, StoreFault},
};

pub use self::{
    device::{AuthenticateError, EnrolError, Recognised, RevokeError},
    field::FieldError,
    login::{LoginFinishError, LoginStartError},
    password::{ChangePasswordFinishError, ChangePasswordStartError, DeleteError},
    registration::{RegisterFinishError, RegisterStartError},
    rotation::{RotationError, SetupStanding},
    setups::{ChangeSetupsError, KeepSetups, OpaqueSetups, SetupFileError},
    stage::{LoginMeter, LoginStage},
    token::{StandingToken, Token},
};

/// Who may register.
#[derive(Default)]
pub struct RegistrationPolicy {
    /// Tokens that let in any number of times, besides the stored invites.
    pub standing: Vec<StandingToken>,
    /// Nobody needs a token. A reset name takes its reset token all the same.
    pub open: bool,
}

/// Bounds on logins that have begun and not ended; rows of `docs/limits.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginLimits {
    /// How old a login may be when it is finished.
    pub deadline: Duration,
    /// Logins that may be under way at once, on the whole server. One more is told to come back.
    pub states_max: usize,
    /// Devices that an account may have, at most [`DEVICES_PER_ACCOUNT_MAX`].
    pub devices_per_account: usize,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(15), states_max: 4096, devices_per_account: DEVICES_PER_ACCOUNT_MAX }
    }
}

/// Everything the server does with accounts.
pub struct Accounts {
    store: Arc<dyn Store>,
    setups: OpaqueSetups,
    domain: Domain,
    registration: RegistrationPolicy,
    limits: LoginLimits,
    logins: Arc<Semaphore>,
    meter: LoginMeter,
    /// A name that stands for any other, where the outcome does not depend on it.
    somebody: AccountName,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// The last restore: while a server runs there is none.
    restored: OnceLock<Restored>,
}

impl Accounts {
    /// Puts the parts together, with the default [`LoginLimits`] and a [`LoginMeter`] of its own.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        setups: OpaqueSetups,
        domain: Domain,
        registration: RegistrationPolicy,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let limits = LoginLimits::default();
        let logins = Arc::new(Semaphore::new(limits.states_max));
        let meter = LoginMeter::default();
        #[expect(clippy::expect_used, reason = "a constant, parsed when the server starts and by no request")]
        let somebody = AccountName::parse("somebody").expect("a valid name");
        Self {
            store,
            setups,
            domain,
            registration,
            limits,
            logins,
            meter,
            somebody,
            clock,
            rng,
            restored: OnceLock::new(),
        }
    }

    /// Sets other bounds. Before the first login.
    #[must_use]
    pub fn with_limits(mut self, limits: LoginLimits) -> Self {
        self.logins = Arc::new(Semaphore::new(limits.states_max.min(Semaphore::MAX_PERMITS)));
        self.limits = limits;
        self
    }

    /// Counts logins in these metrics.
    #[must_use]
    pub fn with_meter(mut self, meter: LoginMeter) -> Self {
        self.meter = meter;
        self
    }

    /// Gives the store the record that unknown names are answered with, and asks it whether it was restored. Before the
    /// first login.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn prepare(&self) -> Result<(), StoreFault> {
        self.prepare_decoy().await?;
        if let Some(restored) = self.store.restored().await? {
            self.restored.get_or_init(|| restored);
        }
        Ok(())
    }

    async fn prepare_decoy(&self) -> Result<(), StoreFault> {
        let decoy = self.setups.decoy(&*self.rng).map_err(|error| StoreFault::Engine(error.to_string()))?;
        self.store.set_decoy(decoy).await
    }

    /// The last restore; zeros where there was none.
    fn restored(&self) -> Restored {
        self.restored.get().copied().unwrap_or(Restored { at_ms: 0, until_ms: 0 })
    }

    /// The domain whose accounts these are.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Begins a connection: `binding` is its TLS exporter output
    /// ([`qpc_proto::transcript::EXPORTER_LABEL`]).
    #[must_use]
    pub fn stage(&self, binding: [u8; qpc_proto::transcript::EXPORTER_LEN]) -> LoginStage {
        LoginStage::new(binding, crate::rng::bytes(&*self.rng))
    }

    fn address(&self, name: &AccountName) -> Address {
        Address { name: name.clone(), domain: self.domain.clone() }
    }

    /// Stands where a device's owner would, when there is no such device.
    fn nobody(&self) -> Address {
        self.address(&self.somebody)
    }

    fn new_account_id(&self) -> AccountId {
        AccountId::new(self.clock.unix_ms(), crate::rng::bytes(&*self.rng))
    }
}
