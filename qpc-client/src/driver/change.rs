//! Changing a group: staged, submitted, and applied when it comes back through the log; made anew when another
//! commit was first.

use std::{sync::Arc, time::Duration};

use prost::Message;
use qpc_proto::{
    address::Domain,
    id::{ConversationName, Counter},
    v1::{self, request::Method},
};
use rusqlite::Transaction;

use super::{
    elsewhere,
    pending::{Submitted, submit},
};
use crate::{
    api::CommandError,
    apply::{Applied, ApplyError},
    core::{Core, internal},
    fresh,
    mls::{CommitError, Group, GroupError, Staged},
    store::{
        Local, StoreError, conversation, outbox,
        pending::{self, Pending},
    },
    transport::{CallError, Link, Refused},
    trust::Me,
};

/// How often a commit is made anew when others are first.
const ATTEMPTS: usize = 8;

/// Longest time for the log to bring what was stored before the server answered.
const REACHED: Duration = Duration::from_millis(500);

/// What to do with the group. It is asked anew after a lost race, when things may stand differently.
pub(crate) type Operation = dyn Fn(&Transaction<'_>, &mut Group<'_>) -> Result<Staged, CommitError> + Send + Sync;

/// Why a group was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("{0}")]
    Mls(#[from] CommitError),
    #[error("{0}")]
    Refused(Box<Refused>),
    /// The outcome is unknown: the same request goes out again on the next connection.
    #[error("{0}; the change is submitted again when the connection is back")]
    Call(#[from] CallError),
    #[error("the group is busy; try again")]
    Busy,
    /// What was said before waits for the hub.
    #[error("{}, which orders this conversation; what you have said there waits, and nothing can be changed before it has arrived", elsewhere::unreachable(.0))]
    Hub(Domain),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Apply(error.into())
    }
}

impl From<ChangeError> for CommandError {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        match error {
            ChangeError::Mls(_) | ChangeError::Refused(_) => Self::Usage { message },
            ChangeError::Call(_) => Self::Unreachable { message },
            ChangeError::Busy | ChangeError::Hub(_) => Self::TryLater { message },
            ChangeError::Apply(error) => internal(&error),
        }
    }
}

/// Changes a group, and returns when the change is applied here.
pub(crate) async fn change(
    core: &Arc<Core>,
    link: &Link,
    local: Local,
    operation: Arc<Operation>,
) -> Result<(), ChangeError> {
    let _one = core.one_change.lock().await;
    let _hold = core.hold(local);
    let patience = core.transport.timeout;
    for _ in 0..ATTEMPTS {
        let quiet = core
            .wait_for(patience, move |tx| {
                let busy = outbox::has_sealed(tx, local)? || pending::id_of(tx, local)?.is_some();
                Ok::<_, StoreError>((!busy).then_some(()))
            })
            .await?;
        if quiet.is_none() {
            let waits_for = core.store.run(move |tx| waits_for(tx, local)).await?;
            return Err(waits_for.map_or(ChangeError::Busy, ChangeError::Hub));
        }
        let (me, operation, teller) = (core.me.clone(), Arc::clone(&operation), Arc::clone(core));
        let (staged, _) = core
            .store
            .run_and(
                move |tx| stage(tx, &me, local, &operation),
                move |(_, applied): &(_, Applied)| teller.tell(applied),
            )
            .await?;
        let staged = match staged {
            Ok(staged) => staged,
            // A message was encrypted just before: once more.
            Err(ChangeError::Busy) => continue,
            Err(error) => return Err(error),
        };
        match submit(core, link, staged).await? {
            Submitted::Accepted(seq) => {
                let applied = core
                    .wait_for(patience, move |tx| {
                        let now = conversation::get(tx, local)?;
                        Ok::<_, StoreError>((now.seq >= seq).then_some(()))
                    })
                    .await?;
                return applied.ok_or(ChangeError::Call(CallError::Timeout));
            }
            Submitted::Raced(epoch) => {
                let caught_up = core
                    .wait_for(patience, move |tx| {
                        let now = conversation::get(tx, local)?;
                        Ok::<_, StoreError>((now.epoch >= epoch).then_some(()))
                    })
                    .await?;
                caught_up.ok_or(ChangeError::Busy)?;
            }
            Submitted::Reserved(epoch, wait) => {
                // Those before it may not come: then it is its turn all the same.
                let wait = wait.saturating_add(REACHED).min(patience);
                core.wait_for(wait, move |tx| {
                    let now = conversation::get(tx, local)?;
                    Ok::<_, StoreError>((now.epoch >= epoch).then_some(()))
                })
                .await?;
            }
            Submitted::Refused(refused) => return Err(ChangeError::Refused(refused)),
            Submitted::Theirs => return Err(ChangeError::Busy),
        }
    }
    Err(ChangeError::Busy)
}

/// The hub for which all that waits in a conversation waits.
fn waits_for(tx: &Transaction<'_>, local: Local) -> Result<Option<Domain>, StoreError> {
    let waits = outbox::has_sealed(tx, local)? && outbox::all_queued(tx, local)?;
    Ok(conversation::get(tx, local)?.name.filter(|_| waits).map(|name| name.domain))
}

/// A commit and its request, durable; or why there is none, with the alarm about it.
pub(crate) type StagedChange = (Result<Pending, ChangeError>, Applied);

pub(crate) fn stage(
    tx: &Transaction<'_>,
    me: &Me,
    local: Local,
    operation: &Arc<Operation>,
) -> Result<StagedChange, ApplyError> {
    let mut out = Applied::default();
    let conversation = conversation::get(tx, local)?;
    if outbox::has_sealed(tx, local)? {
        return Ok((Err(ChangeError::Busy), out));
    }
    let name = conversation.named()?;
    let staged = match me.with_mls(tx, |mls| operation(tx, &mut mls.group(name))) {
        Ok(staged) => staged,
        Err(CommitError::Group(GroupError::Fault(fault))) => return Err(fault.into()),
        Err(error) => {
            if let CommitError::Refused(refusal) = &error {
                out.refused(tx, me, refusal)?;
            }
            return Ok((Err(error.into()), out));
        }
    };
    #[cfg(feature = "simulation")]
    if crate::simulation::has(crate::simulation::Bug::AppliesBeforeTheAnswer) {
        me.with_mls(tx, |mls| mls.group(name).merge_pending().map(drop)).ok();
    }
    me.pin_all(tx, &staged.change.added)?;
    let given = outbox::last_counter(tx, local)?.unwrap_or_default();
    let counter: Counter = conversation.counter.max(given).next();
    let pending = submit_commit(name, local, counter, &staged)?;
    pending::put(tx, &pending)?;
    Ok((Ok(pending), out))
}

/// The request that submits a commit.
pub(crate) fn submit_commit(
    name: &ConversationName,
    conversation: Local,
    counter: Counter,
    staged: &Staged,
) -> Result<Pending, StoreError> {
    let id = fresh::message_id()?;
    let request = v1::SubmitCommit {
        conversation: Some(name.to_wire()),
        message_id: id.to_bytes(),
        counter: counter.0,
        commit: Some(staged.to_wire()),
    };
    let request = v1::Request { method: Some(Method::SubmitCommit(request)) }.encode_to_vec();
    Ok(Pending { conversation, id, counter, request: request.into() })
}
