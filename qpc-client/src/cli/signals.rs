//! The wish to stop: SIGINT or SIGTERM. Whatever a command waits for then, it ends soon.
//!
//! What waits in the outbox is durable, so that nothing is lost by an end at any moment. SIGHUP is left alone, so
//! that `nohup` means what it always means.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use super::failure::Failure;

/// How long a command that is told to stop may take to end by itself.
pub(super) const GRACE: Duration = Duration::from_millis(700);

/// Does work until it ends; gives `None` where it was told to stop and has not ended by itself within `grace`, or
/// was told twice.
///
/// # Errors
/// A [`Failure`] where the system has no signals to spare.
pub(super) async fn until_told<T>(grace: Duration, work: impl Future<Output = T>) -> Result<Option<T>, Failure> {
    let mut stop = Stop::listen()?;
    let told = async {
        stop.wished().await;
        tokio::select! {
            () = stop.wished() => {}
            () = sleep(grace) => {}
        }
    };
    Ok(tokio::select! {
        biased;
        done = work => Some(done),
        () = told => None,
    })
}

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
