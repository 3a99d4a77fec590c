//! What others propose, above all that they leave, is committed by whoever comes first: after a random moment, so
//! that not all members try at once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{change::change, session::End};
use crate::{
    apply::ApplyError,
    core::Core,
    fresh,
    mls::GroupError,
    store::{
        Local,
        conversation::{self, Kind},
    },
    transport::Link,
};

/// Longest moment before a commit.
const MOMENT: Duration = Duration::from_millis(1500);

/// Commits until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    loop {
        if !proposed(core).await?.is_empty() {
            sleep(fresh::jitter(MOMENT)).await;
            for conversation in proposed(core).await? {
                let committed = change(core, link, conversation, Arc::new(|group| group.commit_proposals())).await;
                if let Err(error) = committed {
                    tracing::debug!(%error, "proposals were not committed");
                }
            }
        }
        core.proposals.notified().await;
    }
}

/// Groups with proposals that wait.
async fn proposed(core: &Arc<Core>) -> Result<Vec<Local>, End> {
    let me = core.me.clone();
    let waiting = core.store.run(move |tx| {
        me.with_mls(tx, |mls| {
            let mut waiting = Vec::new();
            for log in conversation::followed(tx)? {
                let (false, Some(name)) = (log.kind == Kind::Inbox, &log.name) else { continue };
                match mls.group(name).has_proposals() {
                    Ok(true) => waiting.push(log.local),
                    Ok(false) | Err(GroupError::NoGroup | GroupError::Removed) => {}
                    Err(GroupError::Fault(fault)) => return Err(ApplyError::from(fault)),
                }
            }
            Ok(waiting)
        })
    });
    Ok(waiting.await?)
}
