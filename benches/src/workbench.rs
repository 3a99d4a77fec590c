//! A store on the disk for the benches, filled through its own verbs: people, conversations, messages.
//!
//! Ids are numbers in a row and times stand still, so that two runs store the same.

use std::{
    cell::Cell,
    path::Path,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use qpc_proto::{
    address::Address,
    chain::EntryKind,
    id::{AccountId, ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
};
use qpc_server::store::{
    Actor, AddedDevice, Admission, Append, CommitBundle, Consent, ContactDecision, GroupChange, GroupState,
    GroupVersion, Judged, NewAccount, NewConversation, NewDevice, PasswordRecord, ReadLog, Store,
    sqlite::{Batch, DbKey, Options, SqliteStore, StoreObserver},
};
use tokio::runtime::Runtime;

use crate::specimen::NOW_MS;

/// The keys of everybody here: nothing verifies them.
const ACCOUNT_KEY: [u8; 32] = [1; 32];
const DEVICE_KEY: [u8; 32] = [2; 32];

const BODY: Bytes = Bytes::from_static(&[7; 300]);

/// A store, and ids that are numbers in a row.
pub struct Workbench {
    store: SqliteStore,
    runtime: Runtime,
    next: Cell<u64>,
}

/// A conversation, one who writes there, and its last counter.
pub struct Talk {
    name: ConversationName,
    actor: Actor,
    counter: Cell<u64>,
}

impl Workbench {
    /// An empty store in a folder.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(folder: &Path, options: Options) -> anyhow::Result<Self> {
        let key = DbKey::parse(&"5a".repeat(32))?;
        let store = SqliteStore::open(&folder.join("qpc.db"), key, options)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { store, runtime, next: Cell::new(0) })
    }

    fn unique(&self) -> [u8; 10] {
        self.next.set(self.next.get().saturating_add(1));
        let mut bytes = [0; 10];
        bytes.iter_mut().zip(self.next.get().to_be_bytes()).for_each(|(to, from)| *to = from);
        bytes
    }

    fn message_id(&self) -> MessageId {
        MessageId::new(NOW_MS.saturating_add(self.next.get()), self.unique())
    }

    /// Somebody new.
    ///
    /// # Errors
    /// The store's.
    pub fn person(&self) -> anyhow::Result<Actor> {
        let (id, device) = (AccountId::new(NOW_MS, self.unique()), DeviceId::new(NOW_MS, self.unique()));
        let address = Address::parse(&format!("person{}@localhost", self.next.get()))?;
        let actor = Actor::authenticated(id, device, address.clone());
        self.runtime.block_on(self.store.create_account(NewAccount {
            id,
            address,
            password: PasswordRecord::default(),
            account_key: ACCOUNT_KEY,
            device: NewDevice {
                id: device,
                key: DEVICE_KEY,
                certificate: Bytes::from_static(b"certificate"),
                name: "bench".into(),
                now_ms: NOW_MS,
            },
            admission: Admission::Open,
            now_ms: NOW_MS,
        }))?;
        Ok(actor)
    }

    fn create(&self, actor: &Actor, peer: Option<&Actor>, added: &[Actor]) -> anyhow::Result<ConversationName> {
        let domain = actor.address().domain.clone();
        let name = ConversationName { domain, id: ConversationId::new(NOW_MS, self.unique()) };
        let welcome = if added.is_empty() { Bytes::new() } else { BODY };
        let bundle = CommitBundle {
            epoch: Epoch(0),
            commit: BODY,
            welcome,
            welcome_devices: added.iter().map(Actor::device).collect(),
            group_info: BODY,
            added: added.iter().map(|actor| (actor.address().clone(), Role::Member)).collect(),
            removed: Vec::new(),
            asked: Vec::new(),
            judged: Some(Judged {
                basis: GroupVersion::default(),
                change: GroupChange {
                    welcomes: Vec::new(),
                    welcome_tree: None,
                    base_tree: None,
                    state: GroupState { core: BODY, tree: Some(BODY) },
                    added: added.iter().map(added_device).collect(),
                    joined: false,
                    removed: Vec::new(),
                    removed_devices: Vec::new(),
                    roles: Vec::new(),
                },
            }),
        };
        let new = NewConversation {
            conversation: name.clone(),
            peer: peer.map(|peer| peer.address().clone()),
            id: self.message_id(),
            commit: Some(bundle),
            group_info: BODY,
            group: None,
            continues: None,
            again: false,
            now_ms: NOW_MS,
        };
        self.runtime.block_on(self.store.create_conversation(actor, new))?;
        Ok(name)
    }

    /// A conversation of so many, made by somebody new; whom it needs besides are taken from `people`.
    ///
    /// # Errors
    /// The store's.
    pub fn talk(&self, members: usize, people: &[Actor]) -> anyhow::Result<Talk> {
        let actor = self.person()?;
        let others: Vec<Actor> = people.iter().take(members.saturating_sub(1)).cloned().collect();
        for other in &others {
            self.create(&actor, Some(other), std::slice::from_ref(other))?;
            let answer = Consent::Accept;
            let decision = ContactDecision { peer: actor.address().clone(), answer, now_ms: NOW_MS };
            self.runtime.block_on(self.store.answer_contact(other, decision))?;
        }
        let name = self.create(&actor, None, &others)?;
        Ok(Talk { name, actor, counter: Cell::new(1) })
    }

    fn append(&self, talk: &Talk) -> Append {
        talk.counter.set(talk.counter.get().saturating_add(1));
        Append {
            conversation: talk.name.clone(),
            id: self.message_id(),
            counter: Counter(talk.counter.get()),
            epoch: Epoch(1),
            kind: EntryKind::Message,
            body: BODY,
            leave: false,
            group: None,
            reports: None,
            now_ms: NOW_MS,
        }
    }

    /// So many messages, round the conversations, `company` at a time. How long it took.
    ///
    /// # Errors
    /// The store's.
    pub fn send(&self, talks: &[Talk], messages: u64, company: u64) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut turn = talks.iter().cycle();
        let mut left = messages;
        while left > 0 {
            let now = left.min(company);
            let replies = turn.by_ref().zip(0..now).map(|(talk, _)| self.store.append(&talk.actor, self.append(talk)));
            let replies: Vec<_> = replies.collect();
            self.runtime.block_on(try_join_all(replies))?;
            left = left.saturating_sub(now);
        }
        Ok(began.elapsed())
    }

    /// A page of fifty entries: how many came.
    ///
    /// # Errors
    /// The store's.
    pub fn read(&self, talk: &Talk, after: u64) -> anyhow::Result<usize> {
        let read = ReadLog { log: talk.name.clone(), after: Seq(after), limit: 50, max_bytes: usize::MAX };
        Ok(self.runtime.block_on(self.store.read_log(&talk.actor, read))?.entries.len())
    }

    /// Where a reader stands in logs: in how many.
    ///
    /// # Errors
    /// The store's.
    pub fn positions(&self, reader: &Actor, cursors: &[(ConversationName, Seq)]) -> anyhow::Result<usize> {
        let positions = self.runtime.block_on(self.store.positions(reader, cursors.into()))?;
        Ok(positions.iter().flatten().count())
    }

    /// What was asked is done when this returns.
    ///
    /// # Errors
    /// The store's.
    pub fn close(&self) -> anyhow::Result<()> {
        Ok(self.runtime.block_on(self.store.close())?)
    }

    /// One message into each conversation, all in one commit: `gate` is the store's observer.
    ///
    /// # Errors
    /// The store's; or when they were not in one commit.
    pub fn send_in_one_commit(&self, gate: &Gate, talks: &[Talk]) -> anyhow::Result<()> {
        let first = talks.first().context("a conversation")?;
        // Commits next to nothing, and the store's thread is held after it.
        let alone = gate.hold(|| self.store.touch_device(&first.actor, NOW_MS));
        let replies: Vec<_> = talks.iter().map(|talk| self.store.append(&talk.actor, self.append(talk))).collect();
        gate.release();
        self.runtime.block_on(async {
            alone.await?;
            for reply in replies {
                reply.await?;
            }
            anyhow::Ok(())
        })?;
        ensure!(gate.last() == talks.len(), "a commit of {} messages instead of {}", gate.last(), talks.len());
        Ok(())
    }
}

impl Talk {
    /// Entries that its maker has made there.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.counter.get()
    }

    /// Of a reader that has missed so many of the last entries.
    #[must_use]
    pub fn cursor(&self, missed: u64) -> (ConversationName, Seq) {
        (self.name.clone(), Seq(self.sent().saturating_sub(missed)))
    }
}

/// Holds the store's thread after a commit, so that what is asked meanwhile shares the next one.
pub struct Gate {
    /// Whether the next commit holds it.
    armed: AtomicBool,
    /// Verbs in the last commit.
    last: AtomicUsize,
    held: Barrier,
    released: Barrier,
}

impl Gate {
    /// An open one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let (armed, last) = (AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Self { armed, last, held: Barrier::new(2), released: Barrier::new(2) })
    }

    /// Asks the store for something that it commits alone; returns when it is held after that.
    fn hold<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.armed.store(true, Ordering::SeqCst);
        let reply = ask();
        self.held.wait();
        reply
    }

    fn release(&self) {
        self.released.wait();
    }

    fn last(&self) -> usize {
        self.last.load(Ordering::SeqCst)
    }
}

impl StoreObserver for Gate {
    fn committed(&self, batch: Batch) {
        self.last.store(batch.verbs, Ordering::SeqCst);
        if self.armed.swap(false, Ordering::SeqCst) {
            self.held.wait();
            self.released.wait();
        }
    }
}

fn added_device(actor: &Actor) -> AddedDevice {
    let (address, device) = (actor.address().clone(), actor.device());
    AddedDevice { address, account_key: ACCOUNT_KEY, device, key: DEVICE_KEY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_messages_share_a_commit_and_are_there_to_read() {
        let (folder, gate) = (tempfile::tempdir().unwrap(), Gate::new());
        let options = Options { observer: gate.clone(), ..Options::default() };
        let bench = Workbench::open(folder.path(), options).unwrap();
        let people = [bench.person().unwrap()];
        let talks: Vec<_> = (0..60).map(|_| bench.talk(2, &people).unwrap()).collect();
        bench.send_in_one_commit(&gate, &talks).unwrap();
        bench.send_in_one_commit(&gate, &talks).unwrap();
        let last = talks[0].sent();
        assert_eq!(bench.read(&talks[0], last - 2).unwrap(), 2);
        bench.close().unwrap();
    }
}
