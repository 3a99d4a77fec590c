//! Logs: to standard error, as text on a terminal and as JSON otherwise. Their level may change while the program runs.
//!
//! `error` is a bug of ours, `warn` wants an operator, `info` is life cycle, `debug` one connection.
//! Nothing above `debug` names a person, a device or an address, and nothing at all shows content.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, reload};

use crate::config::{Log, LogFormat};

/// Why the level of logs stays.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// The environment has the last word.
    #[error("RUST_LOG stands above log.level")]
    Environment,
    /// Text that is no level.
    #[error("neither a level nor directives")]
    Form,
    /// Logs were set up before, by somebody else.
    #[error("logs are not this program's to change")]
    Foreign,
}

type Set = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// The level of logs, as long as the program runs.
pub struct Level {
    set: Option<Set>,
    by_environment: bool,
}

impl Level {
    /// Takes another level.
    ///
    /// # Errors
    /// [`LevelError`]; the level is what it was.
    pub fn set(&self, level: &str) -> Result<(), LevelError> {
        if self.by_environment {
            return Err(LevelError::Environment);
        }
        let filter = EnvFilter::try_new(level).map_err(|_| LevelError::Form)?;
        let set = self.set.as_ref().ok_or(LevelError::Foreign)?;
        set(filter).map_err(|_| LevelError::Foreign)
    }
}

/// Sets up logs for the whole process; a second call changes nothing. `RUST_LOG` stands above the
/// configured level.
pub fn init(log: &Log) -> Level {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|wanted| !wanted.is_empty());
    let (filter, fault, by_environment) = match wanted.map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None, true),
        Some(Err(fault)) => (configured(log), Some(fault), false),
        None => (configured(log), None, false),
    };
    let terminal = io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (done, set): (_, Set) = if json {
        let lines = lines.json().flatten_event(true).with_filter_reloading();
        let handle = lines.reload_handle();
        (lines.try_init(), Box::new(move |filter| handle.reload(filter)))
    } else {
        let lines = lines.with_ansi(terminal).with_target(false).with_filter_reloading();
        let handle = lines.reload_handle();
        (lines.try_init(), Box::new(move |filter| handle.reload(filter)))
    };
    let set = done.is_ok().then_some(set);
    if set.is_none() {
        tracing::debug!("logs were set up before");
    }
    if let Some(fault) = fault {
        tracing::warn!(%fault, "RUST_LOG is not understood; log.level of the configuration applies");
    }
    Level { set, by_environment }
}

/// For a command whose own output is what counts: only what wants the operator is logged beside it.
#[must_use]
pub fn quiet() -> Log {
    Log { level: "warn".into(), format: LogFormat::Auto }
}

fn configured(log: &Log) -> EnvFilter {
    EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"))
}
