//! Conversations that a restored server does not know, because they were made after the backup: whoever has made one makes it
//! again, the others wait for that, and all give back what was said in it.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use rusqlite::Transaction;
use tokio::time::sleep;

use super::{
    contacts,
    offer::{self, Given},
    session::End,
};
use crate::{
    apply::Applied,
    core::Core,
    fresh,
    store::{
        Local, StoreError,
        conversation::{Conversation, Kind},
        lost, restore,
    },
    transport::Link,
};

/// Shortest pause between two looks, and the longest that comes by chance on top of it.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(14);

/// Looks until all are back, or the restore's time is over. The first look is that of the connection's beginning.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    let mut pause = PAUSE_MIN;
    while !core.store.run(lost::all).await?.is_empty() {
        sleep(PAUSE_MIN.saturating_add(fresh::jitter(pause))).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
        look(core, link).await?;
    }
    pending().await
}

/// Looks for each of them once.
pub(super) async fn look(core: &Arc<Core>, link: &Link) -> Result<(), End> {
    let known =
        |tx: &Transaction<'_>| Ok::<_, StoreError>((lost::all(tx)?, restore::is_under_way(tx, fresh::now_ms())?));
    let (logs, under_way) = core.store.run(known).await?;
    for log in logs {
        let local = log.local;
        let back = is_back(core, link, log).await?;
        // One that nobody has made again in time is over: following it says so.
        if back || !under_way {
            found(core, local).await?;
        } else {
            core.set_read_only(local, true);
        }
    }
    Ok(())
}

/// Does the server know it again?
async fn is_back(core: &Arc<Core>, link: &Link, log: Conversation) -> Result<bool, End> {
    let peer = log.peer.clone().filter(|_| log.kind == Kind::Direct);
    match offer::give(core, link, log).await? {
        Given::Unknown { .. } => Ok(false),
        Given::All { .. } => {
            if let Some(peer) = peer {
                contacts::accept_again(core, link, &peer).await?;
            }
            Ok(true)
        }
    }
}

/// It is followed and written to again.
async fn found(core: &Arc<Core>, local: Local) -> Result<(), End> {
    core.set_read_only(local, false);
    let teller = Arc::clone(core);
    core.store
        .run_and(
            move |tx| {
                lost::remove(tx, local)?;
                Ok::<_, StoreError>(Applied { follow: true, outbox: true, ..Applied::default() })
            },
            move |applied| teller.tell(applied),
        )
        .await?;
    Ok(())
}
