//! The wish to stop: SIGINT or SIGTERM, for commands that go on until then.
//!
//! SIGHUP is left alone, so that `nohup` means what it always means.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

/// Listens from the moment it is made, so that no signal is lost before anybody waits.
#[derive(Debug)]
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Begins to listen.
    ///
    /// # Errors
    /// A [`Failure`] where the system has no signals to spare.
    pub(super) fn listen() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(|error| Failure::internal(format!("no signals: {error}")));
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    /// Waits for the wish. Cancel-safe.
    pub(super) async fn wished(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Has it been expressed already?
    pub(super) async fn was_wished(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.wished() => true,
            () = std::future::ready(()) => false,
        }
    }
}
