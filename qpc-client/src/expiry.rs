//! Taking out messages that have come to their end, whether there is a connection or not.

use std::{sync::Arc, time::Duration};

use rusqlite::Transaction;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    api::Event,
    core::Core,
    fresh,
    store::{
        StoreError,
        lifetime::{self, Gone},
    },
};

/// Clocks are set and machines sleep: it is looked at least so often.
const LOOK: Duration = Duration::from_secs(60);

/// Takes out what is due, until it is told to stop.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    loop {
        let wait = match core.store.run(step).await {
            Ok((gone, wait)) => {
                for Gone { conversation, id } in gone {
                    core.events.tell(Event::Disappeared { conversation, id: id.to_string() });
                }
                wait
            }
            Err(error) => {
                tracing::warn!(%error, "messages that should disappear could not be taken out; it is tried again");
                Some(LOOK)
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = core.expiring.notified() => {}
            () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}

/// Takes out some of what is due; gives how long to wait for more.
fn step(tx: &Transaction<'_>) -> Result<(Vec<Gone>, Option<Duration>), StoreError> {
    let gone = lifetime::expire(tx, fresh::now_ms(), lifetime::BATCH)?;
    let wait = lifetime::next(tx)?.map(|at| Duration::from_millis(at.saturating_sub(fresh::now_ms())).min(LOOK));
    Ok((gone, wait))
}

/// Takes out all that is due.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<(), StoreError> {
    while !lifetime::expire(tx, fresh::now_ms(), lifetime::BATCH)?.is_empty() {}
    Ok(())
}
