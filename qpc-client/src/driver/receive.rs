//! The sync call: logs are followed, what comes is applied in batches, what is stored is acknowledged.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    future::pending,
    sync::Arc,
    time::Duration,
};

use qpc_proto::{
    chain::{ChainValue, LogEntry},
    id::{ConversationName, Seq},
    limits::CURSORS_PER_FRAME_MAX,
    v1::{self, answer::Result as Outcome, request::Method},
};
use tokio::time::{Instant, sleep_until};

use super::{session::End, welcome_trees};
use crate::{
    apply::{self, Applied, Item},
    core::Core,
    fresh,
    store::{
        answered,
        conversation::{self, State},
        entry, founding,
    },
    transport::{CallError, Frames, Link, Refused, Requests, request_frame},
};

/// Entries applied in one transaction, at most.
const BATCH_MAX: usize = 128;
/// How long acknowledgements of what comes live are gathered, once to twice this: the server needs them soon, not at
/// once, and not from all members of a group in the same moment. This device's own cursor is in its store, and tells the
/// server more when it next connects.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(3_500);
/// Old raw entries removed after a batch, at most.
const PRUNE: u32 = 256;

/// Follows until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    let (requests, answers) = link.open().await?;
    let mut reader = Reader {
        core,
        link,
        requests,
        followed: HashSet::new(),
        ending: HashSet::new(),
        behind: HashSet::new(),
        opened: false,
        stored: HashMap::new(),
        acknowledge_at: None,
    };
    let mut answers = answers;
    reader.follow().await?;
    loop {
        let first = tokio::select! {
            biased;
            () = core.follow.notified() => {
                reader.follow().await?;
                continue;
            }
            () = at(reader.acknowledge_at) => {
                reader.acknowledge().await?;
                continue;
            }
            () = core.ephemerals.to_stream.notified() => {
                reader.whisper().await?;
                continue;
            }
            // Last: where there is always more to read, the others must have their turn.
            outcome = answers.next() => outcome?.ok_or(CallError::Protocol("the sync call ended"))?,
        };
        let (items, go_away) = collect(core, first, &mut answers)?;
        if !items.is_empty() {
            reader.apply(items).await?;
        }
        if let Some(after) = go_away {
            return Err(End::GoAway(after));
        }
    }
}

struct Reader<'r> {
    core: &'r Arc<Core>,
    link: &'r Link,
    requests: Requests,
    followed: HashSet<ConversationName>,
    /// Logs that were followed again because their conversations are over.
    ending: HashSet<ConversationName>,
    /// Logs whose backlog has not all come yet.
    behind: HashSet<ConversationName>,
    opened: bool,
    /// How far logs are stored here that the server has not been told of.
    stored: HashMap<ConversationName, Seq>,
    /// When it is told.
    acknowledge_at: Option<Instant>,
}

impl Reader<'_> {
    /// Asks for the logs that are not followed yet.
    async fn follow(&mut self) -> Result<(), End> {
        let logs = self.core.store.run(conversation::followed).await?;
        // One that was left, and may be joined again, is asked for anew then.
        let names: HashSet<_> = logs.iter().filter_map(|log| log.name.as_ref()).collect();
        self.followed.retain(|name| names.contains(name));
        self.ending.retain(|name| names.contains(name));
        self.behind.retain(|name| names.contains(name));
        let mut cursors = Vec::new();
        for log in logs {
            let Some(name) = log.name else { continue };
            // What the server says from now on of one that is over is of all that there will ever be.
            let anew = log.state == State::Ending && self.ending.insert(name.clone());
            if self.followed.insert(name.clone()) || anew {
                cursors.push(v1::Cursor { conversation: Some(name.to_wire()), seq: log.seq.0 });
                self.behind.insert(name);
            }
        }
        if !cursors.is_empty() {
            self.core.caught_up.send_replace(false);
        }
        for cursors in cursors.chunks(CURSORS_PER_FRAME_MAX) {
            let cursors = cursors.to_vec();
            let method = if self.opened {
                Method::Follow(v1::Follow { cursors })
            } else {
                Method::Sync(v1::Sync { cursors, ephemerals: true })
            };
            self.opened = true;
            self.requests.write_chunk(request_frame(method)).await.map_err(CallError::from)?;
        }
        self.judge_caught_up();
        Ok(())
    }

    async fn apply(&mut self, items: Vec<Item>) -> Result<(), End> {
        welcome_trees::fetch(self.core, self.link, &items).await?;
        let me = self.core.me.clone();
        let core = Arc::clone(self.core);
        let applied = self
            .core
            .store
            .run_and(
                move |tx| {
                    let applied = apply::batch(tx, &me, items)?;
                    entry::prune(tx, PRUNE)?;
                    founding::prune(tx, fresh::now_ms())?;
                    answered::prune(tx, fresh::now_ms())?;
                    Ok::<_, apply::ApplyError>(applied)
                },
                move |applied| core.tell(applied),
            )
            .await?;
        self.stored(&applied);
        for log in &applied.gone {
            self.followed.remove(log);
            self.behind.remove(log);
        }
        for log in &applied.caught_up {
            self.behind.remove(log);
        }
        if applied.follow {
            self.follow().await?;
        }
        self.judge_caught_up();
        // What was waiting is told at once: a program that came for it may leave now.
        if !applied.caught_up.is_empty() || self.stored.len() >= CURSORS_PER_FRAME_MAX {
            self.acknowledge().await?;
        }
        Ok(())
    }

    fn stored(&mut self, applied: &Applied) {
        self.stored.extend(applied.cursors.iter().map(|(log, seq)| (log.clone(), *seq)));
        if self.acknowledge_at.is_none() && !self.stored.is_empty() {
            let wait = ACKNOWLEDGE_WITHIN.saturating_add(fresh::jitter(ACKNOWLEDGE_WITHIN));
            self.acknowledge_at = Instant::now().checked_add(wait);
        }
    }

    async fn acknowledge(&mut self) -> Result<(), End> {
        self.acknowledge_at = None;
        let cursors =
            self.stored.drain().map(|(log, seq)| v1::Cursor { conversation: Some(log.to_wire()), seq: seq.0 });
        let cursors: Vec<_> = cursors.collect();
        for cursors in cursors.chunks(CURSORS_PER_FRAME_MAX) {
            let frame = request_frame(Method::Acknowledge(v1::Acknowledge { cursors: cursors.to_vec() }));
            self.requests.write_chunk(frame).await.map_err(CallError::from)?;
        }
        Ok(())
    }

    /// Sends what is ephemeral and has no datagram to go in.
    async fn whisper(&mut self) -> Result<(), End> {
        for event in self.core.ephemerals.take_outgoing() {
            self.requests.write_chunk(request_frame(Method::Ephemeral(event))).await.map_err(CallError::from)?;
        }
        Ok(())
    }

    fn judge_caught_up(&self) {
        let caught_up = self.opened && self.behind.is_empty();
        self.core.caught_up.send_if_modified(|was| std::mem::replace(was, caught_up) != caught_up);
    }
}

/// Waits for a time, or for ever where none is set.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// What has come, as far as it is there already.
fn collect(core: &Core, first: Outcome, answers: &mut Frames) -> Result<(Vec<Item>, Option<Duration>), CallError> {
    let mut items = Vec::new();
    let mut next = Some(first);
    while let Some(outcome) = next.take() {
        match outcome {
            Outcome::GoAway(go) => return Ok((items, Some(Duration::from_millis(go.reconnect_after_ms.into())))),
            Outcome::Ephemeral(event) => core.ephemerals.came(event),
            Outcome::Error(error) => return Err(CallError::Refused(Box::new(Refused::parse(error)))),
            outcome => items.push(read(outcome)?),
        }
        if items.len() < BATCH_MAX {
            next = answers.ready()?;
        }
    }
    Ok((items, None))
}

fn read(outcome: Outcome) -> Result<Item, CallError> {
    let name = |wire: Option<v1::ConversationName>| {
        ConversationName::parse(wire.as_ref()).map_err(|_| CallError::Protocol("a log without a name"))
    };
    Ok(match outcome {
        Outcome::Entry(entry) => {
            let log = name(entry.conversation.clone())?;
            match LogEntry::parse(entry) {
                Ok(entry) => Item::Entry(Box::new(entry)),
                Err(error) => {
                    tracing::debug!(%error, "an entry that this version can't read");
                    Item::Unreadable(log)
                }
            }
        }
        Outcome::Following(following) => Item::Following {
            log: name(following.conversation)?,
            head: Seq(following.head_seq),
            after: Seq(following.after_seq),
            chain: ChainValue::parse(&following.chain).ok_or(CallError::Protocol("a chain value has 32 bytes"))?,
        },
        Outcome::CaughtUp(caught_up) => Item::CaughtUp(name(caught_up.conversation)?),
        Outcome::NotFollowed(not) => Item::NotFollowed(name(not.conversation)?),
        _ => return Err(CallError::Protocol("an answer that does not belong to the sync call")),
    })
}
