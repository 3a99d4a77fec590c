//! Following groups: every change is judged before it is stored, one at a time for each conversation, off the
//! runtime's threads.
//!
//! The store is the truth: a group in memory is used only while it is the state that is stored, and the transaction
//! that stores a change compares that once more. A group whose change was not stored is dropped, because it was
//! changed already to give the bytes to store.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use qpc_proto::{
    address::Domain,
    id::{ConversationName, Epoch, Seq},
    judge::Violation,
    limits::TREE_PAGE_MAX,
    v1,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{
    elsewhere::Elsewhere,
    public::{Caller, Crypto, Followed, Founding, HubKey, Refused},
    reservations::{Reservations, Turn},
    shelf::{Known, Shelf},
};
use crate::{
    metrics::Metrics,
    policy::limits::GroupLimits,
    store::{
        Actor, Append, AppendError, Appended, CommitAppend, CreateConversationError, GroupChange, GroupVersion, Judged,
        NewConversation, ReadError, Store, StoreFault, StoredGroup,
    },
    tasks::Tasks,
    turns::Turns,
};

/// Judgements of one change: another server on the same store may have been faster once.
const ATTEMPTS: usize = 2;

/// Why a change was not stored.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It breaks a rule.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The group was made before the server followed groups, and its last group info does not say how it stands.
    #[error("the group's public state is not known")]
    Unfollowed,
    /// Others may change the group first.
    #[error("others may change the group before epoch {epoch}")]
    Reserved {
        /// When it is this device's turn.
        epoch: Epoch,
        /// At the latest after this long.
        wait: Duration,
    },
    /// Too many changes wait to be judged.
    #[error("too many changes wait to be judged")]
    Busy,
    /// The copy of another hub's conversation has not come as far as its group.
    #[error("the copy is behind its hub")]
    Behind,
    /// Another domain's hub, or the way there.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// The store.
    #[error(transparent)]
    Store(#[from] AppendError),
}

/// Why a conversation was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Its group.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] CreateConversationError),
}

impl From<ReadError> for ChangeError {
    fn from(error: ReadError) -> Self {
        Self::Store(match error {
            ReadError::NotFound => AppendError::NotFound,
            ReadError::DeviceGone => AppendError::DeviceGone,
            ReadError::Fault(fault) => AppendError::Fault(fault),
        })
    }
}

/// Whose groups they are.
pub(super) struct Hub {
    pub(super) domain: Domain,
    pub(super) key: HubKey,
}

/// See the module's text.
pub(super) struct Follower {
    pub(super) store: Arc<dyn Store>,
    pub(super) hub: Arc<Hub>,
    crypto: Arc<Crypto>,
    pub(super) shelf: Shelf,
    pub(super) turns: Turns<ConversationName>,
    reservations: Reservations,
    waiting: Semaphore,
    at_once: Semaphore,
    tasks: Tasks,
    pub(super) metrics: Arc<Metrics>,
    /// A device has come into a group by itself: one that it takes the place of may go.
    pub(super) joined: Notify,
}

impl Follower {
    pub(super) fn new(
        store: Arc<dyn Store>,
        hub: Hub,
        crypto: Crypto,
        limits: &GroupLimits,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            hub: Arc::new(hub),
            crypto: Arc::new(crypto),
            shelf: Shelf::new(limits.leaves_kept, metrics.groups_kept.clone()),
            turns: Turns::default(),
            reservations: Reservations::new(limits, metrics.group_turns.clone()),
            waiting: Semaphore::new(limits.changes_waiting),
            at_once: Semaphore::new(limits.judged_at_once),
            tasks,
            metrics,
            joined: Notify::new(),
        }
    }

    /// Makes a conversation with its group. The answer may be that it was made before, perhaps with another group: so
    /// what is in memory afterwards is read from the store when it changes next.
    pub(super) async fn create(&self, actor: &Actor, mut new: NewConversation) -> Result<Appended, CreateError> {
        let _place = self.waiting.try_acquire().map_err(|_| ChangeError::Busy)?;
        let (caller, hub) = (caller(actor), Arc::clone(&self.hub));
        let new = self
            .judge(move |crypto| {
                let founding = Founding { name: &new.conversation, hub: &hub.domain, hub_key: &hub.key.public() };
                let mut group = Followed::found(crypto, &caller, &founding, &new.group_info)?;
                new.continues = group.continues().cloned();
                // One of two has its hub at one of the two, and an account's own at its server.
                if new.peer.is_some() && new.continues.is_some() {
                    return Err(Violation::Context.into());
                }
                match &mut new.commit {
                    Some(bundle) => {
                        let approved = group.judge_commit(crypto, &caller, bundle)?;
                        let mut change = group.apply(approved)?;
                        let guests = caller.address.domain != hub.domain || brings_guests(&change, &hub.domain);
                        change.base_tree = guests.then(|| group.tree()).transpose()?.map(Bytes::from);
                        bundle.judged = Some(Judged { basis: GroupVersion::default(), change });
                    }
                    None => new.group = Some(group.state()?),
                }
                Ok::<_, Refused>(new)
            })
            .await?
            .map_err(ChangeError::from)?;
        Ok(self.store.create_conversation(actor, new).await?)
    }

    /// Advances a group by one epoch.
    pub(super) async fn commit(&self, actor: &Actor, mut commit: CommitAppend) -> Result<Appended, ChangeError> {
        let _place = self.waiting.try_acquire().map_err(|_| ChangeError::Busy)?;
        let name = commit.conversation.clone();
        let _turn = self.turns.take(&name).await;
        for _ in 0..ATTEMPTS {
            let known = self.current(actor, &name).await?;
            let epoch = known.version.epoch;
            let stored = if epoch == commit.bundle.epoch {
                if let Err(turn) = self.reservations.judge(&name, actor.device(), Instant::now()) {
                    self.shelf.put(name.clone(), known);
                    return Err(reserved(epoch, turn));
                }
                let (caller, mut group, hub) = (caller(actor), known.group, Arc::clone(&self.hub));
                let (group, judged, given) = self
                    .judge(move |crypto| {
                        let judged = group.judge_commit(crypto, &caller, &commit.bundle).map(|approved| {
                            let mut change = group.apply(approved)?;
                            let guests = brings_guests(&change, &hub.domain);
                            change.base_tree = guests.then(|| group.tree()).transpose()?.map(Bytes::from);
                            Ok::<_, Refused>(change)
                        });
                        (group, judged, commit)
                    })
                    .await?;
                commit = given;
                let change = match judged {
                    Ok(change) => change?,
                    Err(refused) => {
                        self.shelf.put(name.clone(), Known { version: known.version, group, place: None });
                        return Err(refused.into());
                    }
                };
                let joined = change.joined;
                commit.bundle.judged = Some(Judged { basis: known.version, change });
                let stored = self.store.commit(actor, commit.clone()).await;
                if stored.is_ok() {
                    self.reservations.won(&name, actor.device(), Instant::now());
                    self.metrics.joins_admitted.inc_by(u64::try_from(commit.bundle.asked.len()).unwrap_or(u64::MAX));
                    if joined {
                        self.joined.notify_one();
                    }
                    self.shelf.put(name.clone(), Known { version: version(group.epoch(), 0), group, place: None });
                }
                stored
            } else {
                // Stored already, or too late or early: the store says.
                self.shelf.put(name.clone(), known);
                commit.bundle.judged = None;
                self.store.commit(actor, commit.clone()).await
            };
            match stored {
                Err(AppendError::Unjudged) => {}
                Err(AppendError::WrongEpoch(now)) => {
                    return Err(match self.reservations.lost(&name, actor.device(), Instant::now()) {
                        Some(turn) => reserved(now, turn),
                        None => AppendError::WrongEpoch(now).into(),
                    });
                }
                outcome => return Ok(outcome?),
            }
        }
        Err(ChangeError::Busy)
    }

    /// Lets a proposal wait in a group.
    pub(super) async fn propose(&self, actor: &Actor, mut append: Append) -> Result<Appended, ChangeError> {
        let _place = self.waiting.try_acquire().map_err(|_| ChangeError::Busy)?;
        let name = append.conversation.clone();
        let _turn = self.turns.take(&name).await;
        for _ in 0..ATTEMPTS {
            let known = self.current(actor, &name).await?;
            let mut refusal = None;
            append.group = None;
            if known.version.epoch == append.epoch {
                let (caller, mut group) = (caller(actor), known.group);
                let (group, judged, given) = self
                    .judge(move |crypto| {
                        let judged = group
                            .judge_proposal(crypto, &caller, &append.body, append.leave)
                            .map(|approved| group.queue(approved));
                        (group, judged, append)
                    })
                    .await?;
                append = given;
                match judged {
                    Ok(state) => {
                        append.group = Some(Judged { basis: known.version, change: state? });
                        let stored = self.store.append(actor, append.clone()).await;
                        if stored.is_ok() {
                            let proposals = known.version.proposals.saturating_add(1);
                            let version = GroupVersion { proposals, ..known.version };
                            self.shelf.put(name.clone(), Known { version, group, place: None });
                        }
                        match stored {
                            Err(AppendError::Unjudged) => continue,
                            outcome => return Ok(outcome?),
                        }
                    }
                    Err(refused) => {
                        self.shelf.put(name.clone(), Known { version: known.version, group, place: None });
                        refusal = Some(refused);
                    }
                }
            } else {
                self.shelf.put(name.clone(), known);
            }
            // One that is stored already would break the rules a second time, and is answered as the first time.
            match (self.store.append(actor, append.clone()).await, refusal) {
                (Err(AppendError::Unjudged), Some(refused)) => return Err(refused.into()),
                (Err(AppendError::Unjudged), None) => {}
                (outcome, _) => return Ok(outcome?),
            }
        }
        Err(ChangeError::Busy)
    }

    /// One page of a group's tree, of an epoch or of the current one.
    pub(super) async fn read(
        &self,
        actor: &Actor,
        name: &ConversationName,
        of: Option<Epoch>,
        offset: usize,
    ) -> Result<v1::ReadGroupAnswer, ChangeError> {
        let _place = self.waiting.try_acquire().map_err(|_| ChangeError::Busy)?;
        let _turn = self.turns.take(name).await;
        let stored = self.store.public_group(actor, name, None).await?;
        let epoch = stored.version.epoch;
        if !stored.member {
            return Err(AppendError::NotFound.into());
        }
        if of.is_some_and(|of| of != epoch) {
            return Err(AppendError::WrongEpoch(epoch).into());
        }
        if stored.group_info.is_empty() {
            return Err(ChangeError::Behind);
        }
        let known = self.current(actor, name).await?;
        let group = known.group;
        let (group, tree) = self
            .judge(move |_| {
                let tree = group.tree();
                (group, tree)
            })
            .await?;
        self.shelf.put(name.clone(), Known { version: known.version, group, place: None });
        let tree = Bytes::from(tree?);
        let (size, begin) = (tree.len(), offset.min(tree.len()));
        let page = tree.slice(begin..size.min(begin.saturating_add(TREE_PAGE_MAX)));
        Ok(v1::ReadGroupAnswer {
            epoch: known.version.epoch.0,
            group_info: if offset == 0 { stored.group_info } else { Bytes::new() },
            tree: page,
            tree_size: u64::try_from(size).unwrap_or(u64::MAX),
        })
    }

    /// One page of the tree that a commit made.
    pub(super) async fn read_welcome_tree(
        &self,
        actor: &Actor,
        name: &ConversationName,
        seq: Seq,
        offset: usize,
    ) -> Result<v1::ReadGroupAnswer, ChangeError> {
        let page = self.store.welcome_tree(actor, name, seq, (offset, TREE_PAGE_MAX)).await?;
        Ok(v1::ReadGroupAnswer { tree: page.bytes, tree_size: page.size, ..Default::default() })
    }

    /// The group as it is stored now.
    async fn current(&self, actor: &Actor, name: &ConversationName) -> Result<Known, ChangeError> {
        let known = self.shelf.take(name);
        let stored = self.store.public_group(actor, name, known.as_ref().map(|known| known.version)).await?;
        self.matching(name, known, stored).await
    }

    /// The group in memory, if it is the one that is stored; the stored one otherwise.
    pub(super) async fn matching(
        &self,
        name: &ConversationName,
        known: Option<Known>,
        stored: StoredGroup,
    ) -> Result<Known, ChangeError> {
        if let Some(known) = known.filter(|known| known.version == stored.version) {
            return Ok(known);
        }
        self.metrics.group_loads.inc();
        let (name, version) = (name.clone(), stored.version);
        let group = self
            .judge(move |crypto| match &stored.state {
                Some(state) => Ok(Followed::load(&name, state).map_err(Refused::from)?),
                None => match Followed::rebuild(crypto, &name, &stored.group_info) {
                    Ok(group) if group.epoch() == stored.version.epoch => Ok(group),
                    _ => Err(ChangeError::Unfollowed),
                },
            })
            .await??;
        Ok(Known { version, group, place: None })
    }

    /// Does what takes long where nobody waits for the thread.
    pub(super) async fn judge<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Crypto) -> T + Send + 'static,
    ) -> Result<T, ChangeError> {
        let gone = || ChangeError::Store(AppendError::Fault(StoreFault::Stopped));
        let _permit = self.at_once.acquire().await.map_err(|_| gone())?;
        let (crypto, timer) = (Arc::clone(&self.crypto), self.metrics.group_judge.start_timer());
        let done = self.tasks.compute(move || work(&crypto)).await;
        timer.observe_duration();
        let broken = || ChangeError::Store(AppendError::Fault(StoreFault::Engine("a judgement panicked".into())));
        done.ok_or_else(broken)
    }
}

fn caller(actor: &Actor) -> Caller {
    Caller { address: actor.address().clone(), device: actor.device() }
}

/// Somebody of another domain comes in, who may be the first of it: that domain's copy begins with this group.
fn brings_guests(change: &GroupChange, hub: &Domain) -> bool {
    change.added.iter().any(|added| added.address.domain != *hub)
}

fn reserved(now: Epoch, turn: Turn) -> ChangeError {
    ChangeError::Reserved { epoch: Epoch(now.0.saturating_add(turn.ahead)), wait: turn.wait }
}

fn version(epoch: Epoch, proposals: u64) -> GroupVersion {
    GroupVersion { epoch, proposals }
}
