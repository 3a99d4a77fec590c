//! What the server that runs goes by now, which a reload or the operator may have changed since it began.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Controls, Setting},
    config::{self, Config},
    logging::Level,
};

/// Shared by the signals' task and the admin socket.
pub(super) struct InForce {
    /// Cancelled when the operator wants a drain.
    pub(super) drain: CancellationToken,
    level: Level,
    now: Mutex<Now>,
}

struct Now {
    limits: Vec<Setting>,
    level: String,
}

impl InForce {
    pub(super) fn new(config: &Config, level: Level) -> Arc<Self> {
        let now = Now { limits: limits(config), level: config.log.level.clone() };
        Arc::new(Self { drain: CancellationToken::new(), level, now: Mutex::new(now) })
    }

    /// A configuration was read again, and taken as far as it can be.
    pub(super) fn take_limits(&self, config: &Config) {
        self.now().limits = limits(config);
    }

    /// The level of logs.
    pub(super) fn level(&self) -> String {
        self.now().level.clone()
    }

    /// Takes another level of logs.
    pub(super) fn set_level(&self, level: &str) -> Result<(), crate::logging::LevelError> {
        self.level.set(level)?;
        level.clone_into(&mut self.now().level);
        Ok(())
    }

    /// For the admin socket.
    pub(super) fn controls(self: &Arc<Self>) -> Controls {
        let (shown, set) = (Arc::clone(self), Arc::clone(self));
        Controls {
            settings: Box::new(move || shown.now().limits.clone()),
            log_level: Box::new(move |level| {
                level.map_or(Ok(()), |level| {
                    set.set_level(level).map_err(|error| format!("log.level stays: {error}"))
                })?;
                Ok(set.level())
            }),
            drain: self.drain.clone(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        // Nothing panics while it holds the lock.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What bounds the server: its limits and rates, and how long things are kept.
fn limits(config: &Config) -> Vec<Setting> {
    let meant = |key: &str| ["limits.", "retention."].iter().any(|section| key.starts_with(section));
    let values = config::values(config).into_iter().filter(|(key, value)| meant(key) && !value.is_null());
    values.map(|(key, value)| Setting { key, value: value.to_string() }).collect()
}
