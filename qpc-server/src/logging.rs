//! Logs: to standard error, as text on a terminal and as JSON otherwise.
//!
//! `error` is a bug of ours, `warn` wants an operator, `info` is life cycle, `debug` one connection.
//! Nothing above `debug` names a person, a device or an address, and nothing at all shows content.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Sets up logs for the whole process; a second call changes nothing. `RUST_LOG` stands above the
/// configured level.
pub fn init(log: &Log) {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|wanted| !wanted.is_empty());
    let (filter, fault) = match wanted.map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(fault)) => (configured(log), Some(fault)),
        None => (configured(log), None),
    };
    let terminal = io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let done = if json {
        lines.json().flatten_event(true).try_init()
    } else {
        lines.with_ansi(terminal).with_target(false).try_init()
    };
    if done.is_err() {
        tracing::debug!("logs were set up before");
    }
    if let Some(fault) = fault {
        tracing::warn!(%fault, "RUST_LOG is not understood; log.level of the configuration applies");
    }
}

fn configured(log: &Log) -> EnvFilter {
    EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"))
}
