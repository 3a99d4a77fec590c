//! People, devices and conversations for the cases, and the chain check that all of them share.

use std::{
    cell::Cell,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::{ChainValue, EntryKind, LogEntry},
    id::{AccountId, ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    limits::DEVICES_PER_ACCOUNT_MAX,
    role::Role,
};

use super::Backend;
use crate::store::*;

/// A time after which a reply that has not come is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Remembers what the sink was told.
#[derive(Default)]
pub struct Recorder {
    pub committed: Mutex<Vec<Committed>>,
    pub queued: Mutex<Vec<(Domain, Waiting)>>,
    pub gone: Mutex<Vec<DeviceId>>,
    pub changed: Mutex<Vec<HearersChanged>>,
}

impl CommitSink for Recorder {
    fn committed(&self, entries: Vec<Committed>) {
        self.committed.lock().unwrap().extend(entries);
    }

    fn queued(&self, waiting: Vec<(Domain, Waiting)>) {
        self.queued.lock().unwrap().extend(waiting);
    }

    fn devices_gone(&self, devices: &[DeviceId]) {
        self.gone.lock().unwrap().extend_from_slice(devices);
    }

    fn hearers_changed(&self, changed: &HearersChanged) {
        self.changed.lock().unwrap().push(changed.clone());
    }
}

/// A store under test.
pub struct World {
    pub store: Arc<dyn Store>,
    pub sink: Arc<Recorder>,
    pub now_ms: Cell<u64>,
    next: Cell<u64>,
}

/// Waits for a reply.
///
/// # Panics
/// When it does not come.
pub fn wait<T, E: From<StoreFault>>(reply: Reply<T, E>) -> Result<T, E> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, reply).await.expect("no reply") })
}

impl World {
    pub fn new(backend: &dyn Backend) -> Self {
        Self::from(backend.open(), 0)
    }

    fn from(store: Arc<dyn Store>, next: u64) -> Self {
        let sink = Arc::new(Recorder::default());
        store.set_sink(sink.clone());
        Self { store, sink, now_ms: Cell::new(1_700_000_000_000), next: Cell::new(next) }
    }

    /// Closes the store and opens it again; `None` where nothing would be there.
    pub fn reopened(self, backend: &dyn Backend) -> Option<Self> {
        if !backend.persistent() {
            return None;
        }
        wait(self.store.close()).unwrap();
        let world = Self::from(backend.open(), self.next.get());
        world.now_ms.set(self.now_ms.get());
        Some(world)
    }

    fn unique(&self) -> [u8; 10] {
        self.next.set(self.next.get() + 1);
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.next.get().to_be_bytes());
        bytes
    }

    pub fn message_id(&self) -> MessageId {
        MessageId::new(self.now_ms.get(), self.unique())
    }

    pub fn name(&self) -> ConversationName {
        let domain = Address::parse("x@localhost").unwrap().domain;
        ConversationName { domain, id: ConversationId::new(self.now_ms.get(), self.unique()) }
    }

    pub fn new_device(&self) -> NewDevice {
        NewDevice {
            id: DeviceId::new(self.now_ms.get(), self.unique()),
            key: [7; 32],
            certificate: Bytes::from_static(b"certificate"),
            name: "phone".into(),
            now_ms: self.now_ms.get(),
        }
    }

    pub fn new_account(&self, name: &str, admission: Admission) -> NewAccount {
        NewAccount {
            id: AccountId::new(self.now_ms.get(), self.unique()),
            address: address(name),
            password: password(name),
            account_key: [9; 32],
            device: self.new_device(),
            admission,
            now_ms: self.now_ms.get(),
        }
    }

    pub fn register(&self, new: NewAccount) -> Result<Actor, CreateAccountError> {
        let actor = Actor::authenticated(new.id, new.device.id, new.address.clone());
        wait(self.store.create_account(new)).map(|_| actor)
    }

    /// Somebody with one device.
    pub fn person(&self, name: &str) -> Actor {
        self.register(self.new_account(name, Admission::Open)).unwrap()
    }

    /// Another device of somebody.
    pub fn another_device(&self, of: &Actor) -> Actor {
        let device = self.new_device();
        let actor = Actor::authenticated(of.account(), device.id, of.address().clone());
        wait(self.store.enrol_device(of.account(), device, DEVICES_PER_ACCOUNT_MAX)).unwrap();
        actor
    }

    /// What makes a direct conversation with a peer.
    pub fn new_direct(&self, peer: &Actor) -> NewConversation {
        NewConversation {
            conversation: self.name(),
            peer: Some(peer.address().clone()),
            id: self.message_id(),
            commit: Some(bundle(0, &[peer], &[])),
            group_info: Bytes::new(),
            group: None,
            continues: None,
            again: false,
            now_ms: self.now_ms.get(),
        }
    }

    /// What makes a group with members.
    pub fn new_group(&self, members: &[&Actor]) -> NewConversation {
        let commit = (!members.is_empty()).then(|| bundle(0, members, &[]));
        NewConversation { peer: None, commit, conversation: self.name(), ..self.new_direct_without_peer() }
    }

    fn new_direct_without_peer(&self) -> NewConversation {
        NewConversation {
            conversation: self.name(),
            peer: None,
            id: self.message_id(),
            commit: None,
            group_info: Bytes::from_static(b"group info"),
            group: Some(state("epoch 0", Some("tree of one"))),
            continues: None,
            again: false,
            now_ms: self.now_ms.get(),
        }
    }

    pub fn create(&self, actor: &Actor, new: NewConversation) -> ConversationName {
        let name = new.conversation.clone();
        wait(self.store.create_conversation(actor, new)).unwrap();
        name
    }

    /// A direct conversation whose request was accepted, made now or before.
    pub fn friends(&self, one: &Actor, other: &Actor) -> ConversationName {
        let new = self.new_direct(other);
        let name = new.conversation.clone();
        match wait(self.store.create_conversation(one, new)) {
            Err(CreateConversationError::DirectExists(name)) => name,
            outcome => {
                outcome.unwrap();
                self.answer(other, one, Consent::Accept).unwrap();
                name
            }
        }
    }

    /// A group; its members accept the owner first.
    pub fn group(&self, owner: &Actor, members: &[&Actor]) -> ConversationName {
        for member in members {
            self.friends(owner, member);
        }
        self.create(owner, self.new_group(members))
    }

    pub fn answer(&self, actor: &Actor, peer: &Actor, answer: Consent) -> Result<(), ContactError> {
        let decision = ContactDecision { peer: peer.address().clone(), answer, now_ms: self.now_ms.get() };
        wait(self.store.answer_contact(actor, decision))
    }

    /// The conversation as a member sees it.
    pub fn info(&self, actor: &Actor, name: &ConversationName) -> ConversationInfo {
        let mut after = None;
        loop {
            let page = wait(self.store.list_conversations(actor, after, 100)).unwrap();
            after = Some(page.last().expect("the conversation is listed").conversation.id);
            if let Some(info) = page.into_iter().find(|info| info.conversation == *name) {
                return info;
            }
        }
    }

    /// The next message of a device, as it should be.
    pub fn message(&self, actor: &Actor, name: &ConversationName, body: &[u8]) -> Append {
        let info = self.info(actor, name);
        self.numbered(name, info.counter.next(), info.epoch, body)
    }

    pub fn numbered(&self, name: &ConversationName, counter: Counter, epoch: Epoch, body: &[u8]) -> Append {
        Append {
            conversation: name.clone(),
            id: self.message_id(),
            counter,
            epoch,
            kind: EntryKind::Message,
            body: Bytes::copy_from_slice(body),
            leave: false,
            group: None,
            reports: None,
            now_ms: self.now_ms.get(),
        }
    }

    pub fn append(&self, actor: &Actor, append: &Append) -> Result<Appended, AppendError> {
        wait(self.store.append(actor, append.clone()))
    }

    /// Sends a message that must be taken.
    pub fn say(&self, actor: &Actor, name: &ConversationName, body: &str) -> Appended {
        self.append(actor, &self.message(actor, name, body.as_bytes())).unwrap()
    }

    /// The next commit of a device, as it should be.
    pub fn next_commit(
        &self,
        actor: &Actor,
        name: &ConversationName,
        add: &[&Actor],
        remove: &[&Actor],
    ) -> CommitAppend {
        let info = self.info(actor, name);
        let mut bundle = bundle(info.epoch.0, add, remove);
        bundle.judged.as_mut().unwrap().basis = self.version(actor, name);
        CommitAppend {
            conversation: name.clone(),
            id: self.message_id(),
            counter: info.counter.next(),
            bundle,
            now_ms: self.now_ms.get(),
        }
    }

    /// A proposal as the next entry of a device.
    pub fn proposal(&self, actor: &Actor, name: &ConversationName, leave: bool) -> Append {
        let basis = self.version(actor, name);
        let group = Some(Judged { basis, change: state(&format!("with {} and one more", basis.proposals), None) });
        Append { kind: EntryKind::Proposal, leave, group, ..self.message(actor, name, b"proposal") }
    }

    /// Which state of a group is stored.
    pub fn version(&self, actor: &Actor, name: &ConversationName) -> GroupVersion {
        wait(self.store.public_group(actor, name, None)).map(|group| group.version).unwrap_or_default()
    }

    pub fn commit(&self, actor: &Actor, commit: &CommitAppend) -> Result<Appended, AppendError> {
        wait(self.store.commit(actor, commit.clone()))
    }

    pub fn page(&self, actor: &Actor, log: &ConversationName, after: u64) -> Result<LogPage, ReadError> {
        let read = ReadLog { log: log.clone(), after: Seq(after), limit: 1000, max_bytes: usize::MAX };
        wait(self.store.read_log(actor, read))
    }

    /// All entries that somebody may read, whose chain must hold together.
    pub fn entries(&self, actor: &Actor, log: &ConversationName) -> Vec<LogEntry> {
        let page = self.page(actor, log, 0).unwrap();
        verify(&page);
        page.entries
    }

    pub fn inbox(&self, actor: &Actor) -> Vec<LogEntry> {
        self.entries(actor, &inbox_of(actor))
    }

    pub fn positions(
        &self,
        actor: &Actor,
        cursors: &[(&ConversationName, u64)],
    ) -> Result<Vec<Option<Position>>, Refusal> {
        let cursors = cursors.iter().map(|(log, after)| ((*log).clone(), Seq(*after))).collect();
        wait(self.store.positions(actor, cursors))
    }

    /// Of a log that can be read.
    pub fn position(&self, actor: &Actor, log: &ConversationName, after: u64) -> Position {
        self.positions(actor, &[(log, after)]).unwrap()[0].unwrap()
    }

    pub fn acknowledge(&self, actor: &Actor, log: &ConversationName, seq: u64) {
        // Who may not read the log is told no place, and can't have its cursor written.
        let position = self.positions(actor, &[(log, 0)]).map(|positions| positions[0]);
        let place = position.ok().flatten().map_or(LogPlace(0), |position| position.place);
        wait(self.store.record_cursors(vec![Acknowledged::by(actor.into(), log.clone(), place, Seq(seq))])).unwrap();
    }

    /// Takes what the sink was told since the last time.
    pub fn told(&self) -> Vec<Committed> {
        std::mem::take(&mut self.sink.committed.lock().unwrap())
    }
}

/// Fails unless a page is gap-free and chained from its floor to its head.
pub fn verify(page: &LogPage) {
    let (mut seq, mut chain) = (page.floor, page.floor_chain);
    for entry in &page.entries {
        assert_eq!(entry.seq, seq.next(), "a gap");
        assert!(entry.follows(&chain), "entry {} breaks the chain", entry.seq);
        (seq, chain) = (entry.seq, entry.chain);
    }
    assert_eq!(seq, page.head, "the page does not reach the head");
}

pub fn inbox_of(actor: &Actor) -> ConversationName {
    ConversationName::inbox(actor.address().domain.clone(), actor.device())
}

pub fn genesis(name: &ConversationName) -> ChainValue {
    ChainValue::genesis(name)
}

pub fn address(name: &str) -> Address {
    Address::parse(&format!("{name}@localhost")).unwrap()
}

pub fn password(word: &str) -> PasswordRecord {
    PasswordRecord {
        opaque_record: Bytes::copy_from_slice(word.as_bytes()),
        setup_version: 1,
        ksf_version: 1,
        wrapped_account_secret: Bytes::from_static(b"wrapped"),
    }
}

/// A commit that adds and removes people, with a welcome for the devices that act for those added.
pub fn bundle(epoch: u64, add: &[&Actor], remove: &[&Actor]) -> CommitBundle {
    CommitBundle {
        epoch: Epoch(epoch),
        commit: Bytes::copy_from_slice(format!("commit of epoch {epoch}").as_bytes()),
        welcome: if add.is_empty() { Bytes::new() } else { Bytes::from_static(b"welcome") },
        welcome_devices: add.iter().map(|actor| actor.device()).collect(),
        group_info: Bytes::from_static(b"group info"),
        added: add.iter().map(|actor| (actor.address().clone(), Role::Member)).collect(),
        removed: remove.iter().map(|actor| actor.address().clone()).collect(),
        asked: Vec::new(),
        judged: Some(Judged {
            basis: GroupVersion { epoch: Epoch(epoch), proposals: 0 },
            change: change(epoch, add, remove),
        }),
    }
}

/// What such a commit does. Every device here has the same keys.
fn change(epoch: u64, add: &[&Actor], remove: &[&Actor]) -> GroupChange {
    let added = |actor: &&Actor| AddedDevice {
        address: actor.address().clone(),
        account_key: [9; 32],
        device: actor.device(),
        key: [7; 32],
    };
    GroupChange {
        welcomes: Vec::new(),
        welcome_tree: None,
        base_tree: None,
        state: state(&format!("after epoch {epoch}"), Some("tree")),
        added: add.iter().map(added).collect(),
        joined: false,
        removed: remove.iter().map(|actor| actor.address().clone()).collect(),
        removed_devices: remove.iter().map(|actor| actor.device()).collect(),
        roles: Vec::new(),
    }
}

/// A group's state.
pub fn state(core: &str, tree: Option<&str>) -> GroupState {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    GroupState { core: bytes(core), tree: tree.map(bytes) }
}
