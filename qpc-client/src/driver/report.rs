//! A group that this device could not follow: the others are told, and it waits a while to be put in anew, before it comes
//! back by itself (`qpc_proto::report`).

use std::{sync::Arc, time::Duration};

use qpc_proto::{
    chain::EntryKind,
    error::Code,
    id::{ConversationName, Counter},
    v1,
};
use rusqlite::Transaction;

use super::{join::count_on, session::End};
use crate::{
    core::Core,
    fresh,
    store::{
        StoreError,
        conversation::{self, State},
        report::{self, Outgoing},
    },
    transport::{CallError, Link},
};

/// So long it waits after the server has the report. Whoever has been put in anew has missed less, costs the group one
/// change for all of them, and sees whoever was to blame go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts to find the number that it has with the server.
const ATTEMPTS: usize = 3;

/// Sends a report that is on its way, and waits until the device is in the group again, or for as long as it is worth.
/// `false` where the server takes none for now: then it is sent later, and the device does not come by itself before.
pub(super) async fn and_wait(core: &Arc<Core>, link: &Link, name: &ConversationName) -> Result<bool, End> {
    for _ in 0..ATTEMPTS {
        let Some(report) = next(core, name).await? else { return Ok(true) };
        let local = report.conversation;
        if let Some(answered_ms) = report.answered_ms {
            wait(core, report, answered_ms).await?;
            return Ok(true);
        }
        let counter = report.counter.unwrap_or_default();
        let request = v1::Send {
            conversation: Some(name.to_wire()),
            message_id: report.id.to_bytes(),
            counter: counter.0,
            epoch: report.epoch.0,
            kind: EntryKind::Report.to_wire().into(),
            body: report.body,
            leave: false,
        };
        match link.call(request).await {
            Ok(_) => {
                core.store
                    .run(move |tx| {
                        conversation::raise_counter(tx, local, counter)?;
                        report::answered(tx, local, fresh::now_ms())
                    })
                    .await?;
            }
            Err(CallError::Refused(refused)) if refused.code.is_some_and(Code::retryable) => return Ok(false),
            Err(CallError::Refused(refused)) => {
                tracing::debug!(%refused, "a failure report was not taken");
                if matches!(refused.code, Some(Code::CounterGap | Code::IdConflict)) {
                    count_on(core, link, name).await?;
                    core.store.run(move |tx| report::number(tx, local, None)).await?;
                } else {
                    core.store.run(move |tx| report::remove(tx, local)).await?;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// The report of a conversation that this device waits to come back into, with the number that it is sent with.
async fn next(core: &Arc<Core>, name: &ConversationName) -> Result<Option<Outgoing>, End> {
    let name = name.clone();
    Ok(core.store.run(move |tx| numbered(tx, &name)).await?)
}

fn numbered(tx: &Transaction<'_>, name: &ConversationName) -> Result<Option<Outgoing>, StoreError> {
    let Some(known) = conversation::by_name(tx, name)?.filter(|known| known.state == State::Awaiting) else {
        return Ok(None);
    };
    let Some(mut report) = report::get(tx, known.local)? else { return Ok(None) };
    if report.counter.is_none() {
        let counter: Counter = known.counter.next();
        report::number(tx, known.local, Some(counter))?;
        report.counter = Some(counter);
    }
    Ok(Some(report))
}

/// Waits for what is left of the time; after it the device is on its own.
async fn wait(core: &Arc<Core>, report: Outgoing, answered_ms: u64) -> Result<(), End> {
    let local = report.conversation;
    let waited = Duration::from_millis(fresh::now_ms().saturating_sub(answered_ms));
    let is_back = move |tx: &Transaction<'_>| {
        let back = conversation::get(tx, local)?.state != State::Awaiting;
        Ok::<_, StoreError>(back.then_some(()))
    };
    if core.wait_for(PATIENCE.saturating_sub(waited), is_back).await?.is_none() {
        core.store.run(move |tx| report::remove(tx, local)).await?;
    }
    Ok(())
}
