//! Changing the OPAQUE setup: a new one for all passwords that are registered from now on, and the end of an old one.
//!
//! An account goes over to the newest setup when its password is registered anew. Its client does so by itself after a
//! login, which tells it, or its person changes the password. Until then the record and the setup that it was made with
//! work as before.

use qpc_proto::address::AccountName;

use super::{Accounts, ChangeSetupsError};
use crate::store::{SetupUse, StoreFault};

/// A setup, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupStanding {
    /// Records carry it.
    pub version: u32,
    /// When it was made, milliseconds since 1970, where that was noted.
    pub made_ms: Option<u64>,
    /// Accounts whose passwords were registered with it.
    pub accounts: u64,
    /// Whether it is in the file. Passwords that were registered with one that is not do not work.
    pub there: bool,
}

/// Why a setup was not retired, or not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// The setups.
    #[error(transparent)]
    Setups(#[from] ChangeSetupsError),
    /// Accounts use it.
    #[error("passwords that were registered with it are in use")]
    InUse,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl Accounts {
    /// Makes a new setup, with which all passwords are registered from now on, and gives its version.
    ///
    /// # Errors
    /// [`RotationError`].
    pub async fn rotate_setup(&self) -> Result<u32, RotationError> {
        let (rng, now_ms) = (std::sync::Arc::clone(&self.rng), self.clock.unix_ms());
        let version = self.change(move |setups| setups.rotate(&*rng, now_ms)).await?;
        tracing::info!(version, "there is a new OPAQUE setup");
        Ok(version)
    }

    /// All setups, and how many accounts still use each.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn setups(&self) -> Result<Vec<SetupStanding>, StoreFault> {
        let used = self.store.setup_use().await?;
        let all = self.setups.all();
        let of = |version: u32| used.iter().find(|used| used.version == version).map_or(0, |used| used.accounts);
        let there = all.iter().map(|(version, made_ms)| SetupStanding {
            version: *version,
            made_ms: *made_ms,
            accounts: of(*version),
            there: true,
        });
        let gone = used.iter().filter(|used| !all.iter().any(|(version, _)| *version == used.version));
        let gone = gone.map(|SetupUse { version, accounts }| SetupStanding {
            version: *version,
            made_ms: None,
            accounts: *accounts,
            there: false,
        });
        let mut standing: Vec<_> = there.chain(gone).collect();
        standing.sort_unstable_by_key(|setup| setup.version);
        Ok(standing)
    }

    /// At most so many accounts whose passwords were registered with an older setup. Nobody comes to them any more.
    ///
    /// # Errors
    /// [`RotationError`], where it is no older one.
    pub async fn left_behind(&self, version: u32, most: usize) -> Result<Vec<AccountName>, RotationError> {
        self.setups.may_retire(version)?;
        // What was registered with it was queued before it became an older one (`OpaqueSetups::while_newest`): a commit
        // of its own, which also gives names that nobody has a record of the newest one, comes after all of that.
        self.prepare_decoy().await?;
        Ok(self.store.accounts_of_setup(version, most).await?)
    }

    /// Forgets an older setup that no account uses.
    ///
    /// # Errors
    /// [`RotationError`].
    pub async fn retire_setup(&self, version: u32) -> Result<(), RotationError> {
        if !self.left_behind(version, 1).await?.is_empty() {
            return Err(RotationError::InUse);
        }
        self.change(move |setups| setups.retire(version)).await?;
        tracing::info!(version, "an OPAQUE setup is retired");
        Ok(())
    }

    /// Changes the setups off the runtime's threads: a file is written.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&super::OpaqueSetups) -> Result<T, ChangeSetupsError> + Send + 'static,
    ) -> Result<T, ChangeSetupsError> {
        let setups = self.setups.clone();
        let changed = tokio::task::spawn_blocking(move || change(&setups)).await;
        changed.map_err(|error| ChangeSetupsError::NotKept(error.to_string()))?
    }
}
