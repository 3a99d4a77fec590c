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
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&log.level))
        .unwrap_or_else(|_| EnvFilter::new("info"));
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
}
