//! Logs of another domain, as its server would hand them over.

use bytes::Bytes;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    id::{ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
};

use super::world::{World, state, wait};
use crate::store::*;

pub(super) fn hub() -> Domain {
    Domain::parse("a.example").unwrap()
}

pub(super) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(super) fn copy(world: &World, append: CopyAppend) -> Result<Seq, CopyError> {
    wait(world.store.copy(append))
}

/// A log as another domain has it.
pub(super) struct Theirs<'w> {
    pub(super) world: &'w World,
    pub(super) name: ConversationName,
    pub(super) head: Seq,
    pub(super) chain: ChainValue,
    pub(super) version: GroupVersion,
}

impl<'w> Theirs<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        let name = ConversationName {
            domain: hub(),
            id: ConversationId::new(1, world.new_device().id.as_bytes()[6..].try_into().unwrap()),
        };
        let chain = ChainValue::genesis(&name);
        Self { world, name, head: Seq(0), chain, version: GroupVersion { epoch: Epoch(1), proposals: 0 } }
    }

    pub(super) fn entry(
        &mut self,
        kind: EntryKind,
        (sender, counter): (DeviceId, u64),
        id: MessageId,
        body: &[u8],
    ) -> LogEntry {
        let mut entry = LogEntry {
            conversation: self.name.clone(),
            seq: self.head.next(),
            kind,
            epoch: Epoch(if kind == EntryKind::Commit { 0 } else { 1 }),
            sender: Some(sender),
            counter: Counter(counter),
            id,
            stored_ms: 7,
            chain: self.chain,
            content: EntryContent::Body(Bytes::copy_from_slice(body)),
        };
        entry.chain = self.chain.after(&entry.header());
        (self.head, self.chain) = (entry.seq, entry.chain);
        entry
    }

    /// What begins a copy between alice of the hub and somebody of here.
    pub(super) fn beginning(&mut self, kind: ConversationKind, own: &Actor) -> CopyAppend {
        let (after, chain) = (self.head, self.chain);
        let id = self.world.message_id();
        let entry = self.entry(EntryKind::Commit, (DeviceId::new(1, [1; 10]), 1), id, b"commit");
        let met = Met {
            id: self.world.new_account("x", Admission::Open).id,
            address: address("alice@a.example"),
            account_key: [5; 32],
        };
        let met = (kind == ConversationKind::Direct).then_some(met);
        let change = CopyChange {
            version: self.version,
            state: state("begun", Some("tree")),
            added: vec![(own.address().clone(), [9; 32], entry.seq)],
            ended: Vec::new(),
            members: vec![(address("alice@a.example"), Role::Owner), (own.address().clone(), Role::Admin)],
            trees: vec![(entry.seq, Bytes::from_static(b"tree"))],
        };
        CopyAppend {
            log: self.name.clone(),
            from: CopyFrom::Base { kind, after, chain, met, continues: None },
            entries: vec![theirs(entry)],
            change: Some(change),
            group_info: Bytes::from_static(b"info"),
            now_ms: 8,
        }
    }

    pub(super) fn append(&mut self, entries: Vec<CopiedEntry>) -> CopyAppend {
        let before = entries.first().map_or(self.head, |first| Seq(first.entry.seq.0 - 1));
        CopyAppend {
            log: self.name.clone(),
            from: CopyFrom::Place(before, self.version),
            entries,
            change: None,
            group_info: Bytes::new(),
            now_ms: 9,
        }
    }

    pub(super) fn said(&mut self, text: &str) -> CopiedEntry {
        let id = self.world.message_id();
        theirs(self.entry(EntryKind::Message, (DeviceId::new(1, [1; 10]), 2), id, text.as_bytes()))
    }
}

/// Something of alice's.
pub(super) fn theirs(entry: LogEntry) -> CopiedEntry {
    CopiedEntry { entry, sender: Some(address("alice@a.example")), own: false }
}
