//! One authenticated connection: its parts run beside each other until one of them ends it.

use std::{sync::Arc, time::Duration};

use super::{
    Greeted, describe, ephemeral, join, key_packages, links, lost, offer, own, pending, proposals, receive, renew,
    send, uploads,
};
use crate::{
    apply::ApplyError,
    core::Core,
    store::{StoreError, outbox},
    transport::{CallError, Link},
};

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum End {
    Call(CallError),
    /// The server asked to come back after this long.
    GoAway(Duration),
    Apply(ApplyError),
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<ApplyError> for End {
    fn from(error: ApplyError) -> Self {
        Self::Apply(error)
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Apply(error.into())
    }
}

/// What comes before all else: who only looks in for a moment has then done its part of a restore, and reads what is back.
async fn give_back(core: &Arc<Core>, link: &Link, greeted: Greeted) -> Result<(), End> {
    offer::run(core, link, greeted.restored).await?;
    lost::look(core, link).await
}

/// Runs a session to its end.
pub(super) async fn run(core: &Arc<Core>, link: &Link, greeted: Option<Greeted>) -> End {
    if let Some(greeted) = greeted
        && let Err(end) = give_back(core, link, greeted).await
    {
        return link.lost().map_or(end, End::Call);
    }
    let stock = greeted.map(|greeted| greeted.stock);
    let begun = core.store.run(|tx| {
        outbox::ground_all(tx)?;
        links::are_due(tx)
    });
    let links_due = match begun.await {
        Ok(due) => due,
        Err(error) => return error.into(),
    };
    let ended = tokio::select! {
        biased;
        ended = receive::run(core, link) => ended,
        ended = send::run(core, link) => ended,
        ended = pending::run(core, link) => ended,
        ended = key_packages::run(core, link, stock) => ended,
        ended = proposals::run(core, link) => ended,
        ended = join::run(core, link) => ended,
        ended = own::run(core, link) => ended,
        ended = describe::run(core) => ended,
        ended = links::run(core, link, links_due) => ended,
        ended = renew::run(core, link) => ended,
        ended = uploads::run(core, link) => ended,
        ended = lost::run(core, link) => ended,
        ended = ephemeral::run(core, link) => ended,
        lost = link.closed() => Err(End::Call(lost)),
    };
    match ended {
        Err(End::Call(CallError::Timeout)) => link.lost().map_or(End::Call(CallError::Timeout), End::Call),
        Err(end) => link.lost().map_or(end, End::Call),
        Ok(never) => match never {},
    }
}
