//! Waiting until what can happen now has happened.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::done;
use crate::{
    api::{CommandError, Outcome, Waiting},
    core::{Core, Line},
    store::{
        StoreError,
        conversation::{self, Conversation, Trusted},
        due::{self, What},
        outbox, unjoined,
    },
};

/// How long what this device's own server keeps is waited for: the server that orders the conversation takes it at once, if it
/// can be reached.
const TAKEN: Duration = Duration::from_secs(3);

/// Waits until the outbox has nothing left that can be sent now; files have their own way, which is not waited for.
pub(super) async fn flush(core: &Arc<Core>) -> Result<Outcome, CommandError> {
    let mut progress = core.progress.subscribe();
    let mut line = core.line.subscribe();
    let taken = Instant::now().checked_add(TAKEN);
    loop {
        let patient = taken.filter(|until| *until > Instant::now());
        progress.borrow_and_update();
        let queued = core
            .store
            .run(|tx| {
                let mut queued = Vec::new();
                for (local, messages) in outbox::of_persons_without_files(tx)? {
                    let kept = outbox::all_queued(tx, local)?;
                    queued.push((conversation::get(tx, local)?, messages, kept));
                }
                Ok::<_, StoreError>(queued)
            })
            .await?;
        let reason = |conversation: &Conversation| reason(core, conversation);
        let kept =
            |conversation: &Conversation, kept: bool| kept && patient.is_none() && reason(conversation).is_none();
        if queued.iter().all(|(of, _, all)| reason(of).is_some() || kept(of, *all)) {
            let waiting = queued.into_iter().filter_map(|(conversation, messages, all)| {
                let queued = kept(&conversation, all);
                let reason = match &conversation.name {
                    Some(name) if queued => format!("{} has not taken it yet; your server keeps it", name.domain),
                    _ => reason(&conversation)?,
                };
                Some(Waiting { to: conversation.title, messages, reason, queued })
            });
            return Ok(Outcome::Flushed { waiting: waiting.collect() });
        }
        on_line(&line.borrow_and_update())?;
        tokio::select! {
            biased;
            changed = progress.changed() => changed.map_err(|_| closing())?,
            changed = line.changed() => changed.map_err(|_| closing())?,
            () = sleep_until(patient.unwrap_or_else(Instant::now)), if patient.is_some() => {}
        }
    }
}

/// For what messages into a conversation wait, other than the connection.
fn reason(core: &Core, conversation: &Conversation) -> Option<String> {
    match conversation.trusted {
        Trusted::Yes if core.is_read_only(conversation.local) => Some(
            "the server was restored from a backup, and first waits for what others may have of this conversation"
                .into(),
        ),
        Trusted::Yes => conversation.waiting.clone(),
        Trusted::OnceKeyAccepted => Some("somebody in it has another key, which you have not accepted".to_owned()),
        Trusted::Never => Some("the conversation is not followed any more: see `status`".to_owned()),
    }
}

/// Waits until everything stored on the server for this device has been handled, and it has joined what it is in.
pub(super) async fn catch_up(core: &Arc<Core>) -> Result<Outcome, CommandError> {
    let mut caught_up = core.caught_up.subscribe();
    let mut line = core.line.subscribe();
    loop {
        if on_line(&line.borrow_and_update())? && *caught_up.borrow_and_update() {
            let joined = core.wait_for(core.transport.timeout, |tx| {
                let listed = due::get(tx, What::Conversations)?.is_none();
                Ok::<_, StoreError>((listed && unjoined::all(tx)?.is_empty()).then_some(()))
            });
            // One that can't be joined now is no reason to wait for ever.
            joined.await?;
            if *caught_up.borrow_and_update() {
                return Ok(done());
            }
        }
        tokio::select! {
            biased;
            changed = caught_up.changed() => changed.map_err(|_| closing())?,
            changed = line.changed() => changed.map_err(|_| closing())?,
        }
    }
}

/// Is there a connection? `false` while one is being made.
fn on_line(line: &Line) -> Result<bool, CommandError> {
    match line {
        Line::Up(_) => Ok(true),
        Line::Connecting => Ok(false),
        Line::Down { problem, parked, .. } => Err(Line::error(problem, *parked)),
    }
}

fn closing() -> CommandError {
    CommandError::Unreachable { message: "the client is closing".into() }
}
