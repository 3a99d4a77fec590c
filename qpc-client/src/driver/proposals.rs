//! What others propose, above all that they leave, is committed by whoever comes first: after a random moment, so
//! that not all members try at once.
//!
//! A leave that a change of the group has overtaken is void in MLS, and its sender is served no more and can't
//! repeat it. Those who may remove them do so instead, as often as it takes: what is due is in the store.

use std::{convert::Infallible, sync::Arc, time::Duration};

use qpc_proto::{
    address::Address,
    role::{Action, may},
};
use rusqlite::Transaction;
use tokio::time::sleep;

use super::{
    change::{Operation, change},
    session::End,
};
use crate::{
    apply::ApplyError,
    core::Core,
    fresh,
    mls::{Group, GroupError},
    store::{
        Local,
        conversation::{self, Kind},
        unheard,
    },
    transport::Link,
    trust::Me,
};

/// Longest moment before a commit.
const MOMENT: Duration = Duration::from_millis(1500);
/// Commits of one group in a row, before others are waited for.
const ROUNDS: usize = 4;

/// Commits until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    loop {
        for _ in 0..ROUNDS {
            if all_due(core).await?.is_empty() {
                break;
            }
            sleep(fresh::jitter(MOMENT)).await;
            for (conversation, due) in all_due(core).await? {
                if let Err(error) = change(core, link, conversation, due.operation()).await {
                    tracing::debug!(%error, "proposals were not committed");
                }
            }
        }
        core.proposals.notified().await;
    }
}

/// What a group waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    /// Who left unheard and may be removed by this account; with them go the proposals.
    remove: Vec<Address>,
}

impl Due {
    #[cfg(test)]
    pub(crate) fn removing<const N: usize>(remove: [Address; N]) -> Self {
        Self { remove: remove.into() }
    }

    pub(crate) fn operation(self) -> Arc<Operation> {
        Arc::new(
            move |group| {
                if self.remove.is_empty() { group.commit_proposals() } else { group.remove(&self.remove) }
            },
        )
    }
}

async fn all_due(core: &Arc<Core>) -> Result<Vec<(Local, Due)>, End> {
    let me = core.me.clone();
    Ok(core.store.run(move |tx| due(tx, &me)).await?)
}

/// Groups with proposals that wait, or with somebody in them who has left unheard.
pub(crate) fn due(tx: &Transaction<'_>, me: &Me) -> Result<Vec<(Local, Due)>, ApplyError> {
    me.with_mls(tx, |mls| {
        let mut all = Vec::new();
        for log in conversation::followed(tx)? {
            let (false, Some(name)) = (log.kind == Kind::Inbox, &log.name) else { continue };
            let unheard = unheard::of(tx, log.local)?;
            match of_group(&mut mls.group(name), me, unheard.into_iter()) {
                Ok(due) => all.extend(due.map(|due| (log.local, due))),
                Err(GroupError::NoGroup | GroupError::Removed) => {}
                Err(GroupError::Fault(fault)) => return Err(ApplyError::from(fault)),
            }
        }
        Ok(all)
    })
}

fn of_group(group: &mut Group<'_>, me: &Me, unheard: impl Iterator<Item = Address>) -> Result<Option<Due>, GroupError> {
    let roles = group.roles()?;
    let mine = roles.of(me.address());
    let remove: Vec<_> = unheard.filter(|address| may(mine, Action::Remove(roles.of(address)))).collect();
    Ok((!remove.is_empty() || group.has_proposals()?).then_some(Due { remove }))
}
