//! Who has come into a group by itself is told what it is called, by whoever may and comes first: after a while of their
//! own, so that not all members tell at once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use rusqlite::Transaction;
use tokio::time::sleep;

use super::session::End;
use crate::{
    apply,
    core::Core,
    fresh,
    store::{
        StoreError,
        conversation::{self, State},
        undescribed,
    },
};

/// Tells until the connection ends.
pub(super) async fn run(core: &Arc<Core>) -> Result<Infallible, End> {
    loop {
        let wait = core.store.run(step).await?;
        core.outbox.notify_one();
        tokio::select! {
            biased;
            () = core.described.notified() => {}
            () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}

/// Tells in all groups where it is due; gives how long to wait for the next.
pub(crate) fn step(tx: &Transaction<'_>) -> Result<Option<Duration>, StoreError> {
    while let Some((local, due_ms)) = undescribed::first(tx)? {
        let wait = due_ms.saturating_sub(fresh::now_ms());
        if wait > 0 {
            return Ok(Some(Duration::from_millis(wait)));
        }
        undescribed::remove(tx, local)?;
        let conversation = conversation::get(tx, local)?;
        if conversation.state == State::Active {
            apply::describe_group(tx, &conversation)?;
        }
    }
    Ok(None)
}
