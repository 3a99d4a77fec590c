//! Sending what has waited for its time, whether there is a connection or not: the outbox keeps it then.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{CommandError, Event, OutboxState},
    commands,
    core::Core,
    fresh,
    store::scheduled,
};

/// Clocks are set and machines sleep: it is looked at least so often.
const LOOK: Duration = Duration::from_secs(60);

/// Sends what is due, until it is told to stop.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    loop {
        let wait = match step(&core).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "a message that waits for its time could not be sent; it is tried again");
                Some(LOOK)
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = core.scheduled.notified() => {}
            () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}

/// Sends one that is due; gives how long to wait for the next.
async fn step(core: &Arc<Core>) -> Result<Option<Duration>, CommandError> {
    if let Some((number, later)) = core.store.run(|tx| scheduled::due(tx, fresh::now_ms())).await? {
        match commands::send_scheduled(core, (number, later)).await {
            Ok(()) => {}
            // There is no room, or the store has a fault: it waits.
            Err(error @ (CommandError::TryLater { .. } | CommandError::Internal { .. })) => return Err(error),
            Err(error) => {
                let problem = error.to_string();
                let reason = Some(problem.clone());
                core.store.run(move |tx| scheduled::fail(tx, number, &problem)).await?;
                core.events.tell(Event::Outbox { id: number.to_string(), state: OutboxState::Refused, reason });
            }
        }
    }
    let next = core.store.run(scheduled::next).await?;
    Ok(next.map(|at| Duration::from_millis(at.saturating_sub(fresh::now_ms())).min(LOOK)))
}
