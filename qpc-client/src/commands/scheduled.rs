//! Saying something later: this home keeps it, and sends it when it is time and somebody has the home open, or as soon as
//! somebody has after that.

use std::sync::Arc;

use qpc_proto::{
    content::{Content, Kind as Said},
    limits::TEXT_MAX,
};

use super::{
    done, refer, talk,
    target::{self, Target},
    usage,
};
use crate::{
    api::{CommandError, Outcome},
    core::{Core, internal},
    fresh,
    store::scheduled::{self, Later, SCHEDULED_MAX},
};

/// Longest time ahead.
const AHEAD_MAX_MS: u64 = 366 * 86_400_000;

/// Puts something aside until it is time.
pub(super) async fn put(
    core: &Arc<Core>,
    to: String,
    text: String,
    (message, at_ms): (Option<String>, u64),
) -> Result<Outcome, CommandError> {
    if text.len() > TEXT_MAX {
        return Err(usage(format!("a message has at most {TEXT_MAX} bytes")));
    }
    if text.trim().is_empty() {
        return Err(usage("the message is empty"));
    }
    if at_ms > fresh::now_ms().saturating_add(AHEAD_MAX_MS) {
        return Err(usage("a message is sent within the next 366 days"));
    }
    let me = core.me.clone();
    let scheduled = core.store.run(move |tx| {
        let reply_to = match &message {
            Some(message) => Some(refer::id(&refer::find(tx, &target::existing(tx, &me, &to)?, message)?)?),
            None => None,
        };
        let (to, title) = match target::read(tx, &me, &to)? {
            Target::Person(person) => (person.to_string(), person.to_string()),
            Target::Conversation(of) => {
                talk::may_write(tx, &of)?;
                let name = of.name.as_ref().map_or_else(|| of.title.clone(), ToString::to_string);
                (name, of.title)
            }
        };
        let number = scheduled::put(tx, &Later { to, title, text, reply_to, at_ms })?;
        let number = number.ok_or_else(|| CommandError::TryLater {
            message: format!("{SCHEDULED_MAX} messages wait for their time already; this one was not taken"),
        })?;
        let all = scheduled::all(tx)?;
        Ok::<_, CommandError>(all.into_iter().filter(|one| one.number == number).collect())
    });
    let scheduled = scheduled.await?;
    core.scheduled.notify_one();
    Ok(Outcome::Scheduled { scheduled })
}

/// What waits for its time.
pub(super) async fn list(core: &Arc<Core>) -> Result<Outcome, CommandError> {
    Ok(Outcome::Scheduled { scheduled: core.store.run(scheduled::all).await? })
}

/// Does not send it.
pub(super) async fn remove(core: &Arc<Core>, number: i64) -> Result<Outcome, CommandError> {
    match core.store.run(move |tx| scheduled::remove(tx, number)).await? {
        true => Ok(done()),
        false => Err(usage(format!("there is no message {number} that waits for its time; `later list` shows them"))),
    }
}

/// Puts it into the outbox, if it still waits.
pub(crate) async fn send(core: &Arc<Core>, (number, later): (i64, Later)) -> Result<(), CommandError> {
    let id = fresh::message_id().map_err(|error| internal(&error))?;
    let content = Content { reply_to: later.reply_to, ..Content::new(fresh::now_ms(), Said::Text(later.text.into())) };
    let queued = talk::queue(core, later.to, id, content, move |tx, _| match scheduled::remove(tx, number)? {
        true => Ok(()),
        // It was taken back at this moment.
        false => Err(usage("it does not wait any more")),
    });
    queued.await.map(drop)
}
