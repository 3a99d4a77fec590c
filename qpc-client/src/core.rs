//! What the handle and the driver of one home share.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use qpc_proto::suite::Suite;
use rusqlite::Transaction;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, timeout_at},
};

use crate::{
    api::{CommandError, Event, OutboxState},
    apply::{Applied, ApplyError},
    ephemeral::Ephemerals,
    events::Events,
    files::Files,
    mls,
    options::{KsfParams, Options},
    store::{Local, Store, StoreError},
    transport::{Link, Transport},
    trust::Me,
};

/// Files that are fetched at once; further ones wait for their turn.
const FETCHES_MAX: usize = 4;

/// How it stands with the server.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// An attempt is under way.
    Connecting,
    /// Connected and authenticated.
    Up(Link),
    /// The last attempt failed.
    Down {
        /// For a person.
        problem: String,
        /// There will be no further attempt until a person has done something.
        parked: bool,
        /// The server does not know this device any more.
        gone: bool,
    },
}

impl Line {
    /// What a command says that needs a connection.
    pub(crate) fn error(problem: &str, parked: bool) -> CommandError {
        let message = problem.to_owned();
        if parked { CommandError::Denied { message } } else { CommandError::Unreachable { message } }
    }
}

/// What the handle and the driver share.
pub(crate) struct Core {
    pub(crate) me: Me,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) transport: Transport,
    /// Where the home keeps files; `None` in one that has no directory.
    pub(crate) files: Option<Files>,
    pub(crate) ksf: KsfParams,
    pub(crate) outbox_max: u64,
    pub(crate) line: watch::Sender<Line>,
    /// Counts what was applied and settled: whoever waits for the store to change looks again.
    pub(crate) progress: watch::Sender<u64>,
    /// Everything the server had when it was asked has been handled.
    pub(crate) caught_up: watch::Sender<bool>,
    /// There may be something to send.
    pub(crate) outbox: Notify,
    /// There may be other logs to follow.
    pub(crate) follow: Notify,
    /// There may be something to create or to submit again.
    pub(crate) errands: Notify,
    /// A key package was used.
    pub(crate) key_packages: Notify,
    /// Somebody's proposals may wait for a commit.
    pub(crate) proposals: Notify,
    /// Another device of the account may have done something that this one has to ask the server about.
    pub(crate) elsewhere: Notify,
    /// There may be something to tell the account's other devices.
    pub(crate) own: Notify,
    /// Somebody may have to be told what a group is called.
    pub(crate) described: Notify,
    /// Somebody may wait to be let into a group by a link, or this device does.
    pub(crate) links: Notify,
    /// There may be a message whose time comes sooner than others'.
    pub(crate) scheduled: Notify,
    /// There may be a message that disappears sooner than others.
    pub(crate) expiring: Notify,
    /// There may be files to send.
    pub(crate) uploads: Notify,
    /// What this person and others do at this moment.
    pub(crate) ephemerals: Ephemerals,
    /// Files that are fetched at once.
    pub(crate) fetches: Semaphore,
    /// Their digests.
    fetching: Mutex<HashSet<[u8; 32]>>,
    /// One change of a group at a time.
    pub(crate) one_change: tokio::sync::Mutex<()>,
    changing: Mutex<HashSet<Local>>,
    /// Conversations that the server, which was restored, lets nobody write into for now.
    read_only: Mutex<HashSet<Local>>,
    last_resort_used: AtomicBool,
    post_quantum_last_resort_used: AtomicBool,
}

impl Core {
    pub(crate) fn new(me: Me, store: Store, (transport, files): (Transport, Option<Files>), options: &Options) -> Self {
        Self {
            me,
            store,
            events: Events::new(),
            transport,
            files,
            ksf: options.ksf,
            outbox_max: options.outbox_max,
            line: watch::Sender::new(Line::Connecting),
            progress: watch::Sender::new(0),
            caught_up: watch::Sender::new(false),
            outbox: Notify::new(),
            follow: Notify::new(),
            errands: Notify::new(),
            key_packages: Notify::new(),
            proposals: Notify::new(),
            elsewhere: Notify::new(),
            own: Notify::new(),
            described: Notify::new(),
            links: Notify::new(),
            scheduled: Notify::new(),
            expiring: Notify::new(),
            uploads: Notify::new(),
            ephemerals: Ephemerals::default(),
            fetches: Semaphore::new(FETCHES_MAX),
            fetching: Mutex::default(),
            one_change: tokio::sync::Mutex::new(()),
            changing: Mutex::default(),
            read_only: Mutex::default(),
            last_resort_used: AtomicBool::new(false),
            post_quantum_last_resort_used: AtomicBool::new(false),
        }
    }

    /// Tells everybody what has been committed.
    pub(crate) fn tell(&self, applied: &Applied) {
        for event in &applied.events {
            self.events.tell(event.clone());
        }
        self.ephemerals.applied(applied).into_iter().for_each(|event| self.events.tell(event));
        for suite in &applied.last_resort {
            self.set_last_resort_used(*suite, true);
        }
        for (due, who) in [
            (applied.outbox, &self.outbox),
            (applied.outbox || applied.events.iter().any(lets_files_go), &self.uploads),
            (applied.follow || !applied.gone.is_empty(), &self.follow),
            (applied.welcomed, &self.key_packages),
            (applied.proposals, &self.proposals),
            (applied.elsewhere, &self.elsewhere),
            (applied.own, &self.own),
            (applied.described, &self.described),
            (applied.links, &self.links),
            (applied.expiring, &self.expiring),
        ] {
            if due {
                who.notify_one();
            }
        }
        self.progressed();
    }

    /// The store has changed.
    pub(crate) fn progressed(&self) {
        self.progress.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Was the last-resort key package of a suite used since it was published?
    pub(crate) fn last_resort_used(&self, suite: Suite) -> bool {
        self.used(suite).load(Ordering::Relaxed)
    }

    pub(crate) fn set_last_resort_used(&self, suite: Suite, used: bool) {
        self.used(suite).store(used, Ordering::Relaxed);
    }

    fn used(&self, suite: Suite) -> &AtomicBool {
        match suite {
            Suite::Classical => &self.last_resort_used,
            Suite::PostQuantum => &self.post_quantum_last_resort_used,
        }
    }

    /// Keeps messages of a conversation unencrypted while its group is about to change.
    pub(crate) fn hold(&self, conversation: Local) -> Hold<'_> {
        self.changing().insert(conversation);
        Hold { core: self, conversation }
    }

    /// The conversations that are held.
    pub(crate) fn held(&self) -> HashSet<Local> {
        self.changing().clone()
    }

    fn changing(&self) -> MutexGuard<'_, HashSet<Local>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the server lets anybody write into a conversation.
    pub(crate) fn set_read_only(&self, conversation: Local, read_only: bool) {
        let mut all = self.read_only.lock().unwrap_or_else(PoisonError::into_inner);
        if read_only {
            all.insert(conversation);
        } else {
            all.remove(&conversation);
        }
    }

    /// What the server said last of that.
    pub(crate) fn is_read_only(&self, conversation: Local) -> bool {
        self.read_only.lock().unwrap_or_else(PoisonError::into_inner).contains(&conversation)
    }

    /// Begins to fetch a blob, where nobody does so already.
    pub(crate) fn fetch(&self, digest: [u8; 32]) -> Option<Fetching<'_>> {
        self.fetched().insert(digest).then_some(Fetching { core: self, digest })
    }

    fn fetched(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection; waits for an attempt that is under way, not for the next one.
    pub(crate) async fn link(&self) -> Result<Link, CommandError> {
        let mut line = self.line.subscribe();
        loop {
            match &*line.borrow_and_update() {
                Line::Up(link) => return Ok(link.clone()),
                Line::Down { problem, parked, .. } => return Err(Line::error(problem, *parked)),
                Line::Connecting => {}
            }
            if line.changed().await.is_err() {
                return Err(CommandError::Unreachable { message: "the client is closing".into() });
            }
        }
    }

    /// Waits until `look` finds something, looking whenever the store has changed; `None` after `longest`.
    pub(crate) async fn wait_for<T, F>(&self, longest: Duration, look: F) -> Result<Option<T>, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<Option<T>, StoreError> + Clone + Send + 'static,
    {
        let mut progress = self.progress.subscribe();
        let deadline = Instant::now().checked_add(longest);
        loop {
            progress.borrow_and_update();
            if let Some(found) = self.store.run(look.clone()).await? {
                return Ok(Some(found));
            }
            let changed = match deadline {
                Some(deadline) => timeout_at(deadline, progress.changed()).await,
                None => Ok(progress.changed().await),
            };
            if !matches!(changed, Ok(Ok(()))) {
                return Ok(None);
            }
        }
    }
}

/// May somebody have come within reach of one's files, or a file be of no use any more?
fn lets_files_go(event: &Event) -> bool {
    matches!(event, Event::Contact { .. } | Event::Outbox { state: OutboxState::Refused, .. })
}

/// While it lives, nobody else fetches the same.
pub(crate) struct Fetching<'c> {
    core: &'c Core,
    digest: [u8; 32],
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.core.fetched().remove(&self.digest);
    }
}

/// While it lives, nothing is encrypted for its conversation.
pub(crate) struct Hold<'c> {
    core: &'c Core,
    conversation: Local,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.core.changing().remove(&self.conversation);
        self.core.outbox.notify_one();
        self.core.errands.notify_one();
    }
}

/// A fault of ours, for a person.
pub(crate) fn internal(error: &dyn std::error::Error) -> CommandError {
    tracing::error!(%error, "a command failed");
    CommandError::Internal { message: error.to_string() }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::TryLater { message: error.to_string() },
            error => internal(&error),
        }
    }
}

impl From<ApplyError> for CommandError {
    fn from(error: ApplyError) -> Self {
        internal(&error)
    }
}

impl From<mls::Fault> for CommandError {
    fn from(error: mls::Fault) -> Self {
        internal(&error)
    }
}
