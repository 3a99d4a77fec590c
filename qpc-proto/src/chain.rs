//! The hash chain of a log: what makes a server's fork or rollback visible.
//!
//! Each entry's chain value covers the value before it, a canonical header and the
//! digest of the body, so that a removed body keeps its place. `docs/protocol.md`
//! ("The chain") gives the layout and test vectors.

use std::fmt;

use crate::{
    id::{ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    v1,
};

const GENESIS_CONTEXT: &str = "quicprochat qpc/1 log chain genesis";
const ENTRY_CONTEXT: &str = "quicprochat qpc/1 log chain entry";

/// BLAKE3 of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digests a body.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(*blake3::hash(body).as_bytes())
    }

    /// Reads the 32 bytes of the wire.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The value of a log's chain after some entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainValue(pub [u8; 32]);

impl ChainValue {
    /// The value before the first entry.
    #[must_use]
    pub fn genesis(log: &ConversationName) -> Self {
        Self(*blake3::Hasher::new_derive_key(GENESIS_CONTEXT).update(&log.canonical()).finalize().as_bytes())
    }

    /// The value after the entry with this header.
    #[must_use]
    pub fn after(&self, header: &Header<'_>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(ENTRY_CONTEXT);
        hasher.update(&self.0);
        header.hash_into(&mut hasher);
        Self(*hasher.finalize().as_bytes())
    }

    /// Reads the 32 bytes of the wire.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes as a protobuf field wants them.
    #[must_use]
    pub fn to_bytes(&self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Debug for ChainValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(8) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..")
    }
}

/// What kind of entry a log holds; the numbers are those of the wire and of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// MLS application message.
    Message = 1,
    /// MLS commit.
    Commit = 2,
    /// MLS proposal.
    Proposal = 3,
    /// A member can't follow a commit, and says so: [`crate::report`].
    Report = 4,
    /// Inbox: this device was added to a group.
    Welcome = 16,
    /// Inbox: a contact answered.
    Contact = 17,
    /// Inbox: something happened to an account.
    Account = 18,
    /// Inbox: what became of a message for another server.
    Outcome = 19,
}

impl EntryKind {
    /// Reads the number of the wire or of a stored row.
    #[must_use]
    pub const fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Message,
            2 => Self::Commit,
            3 => Self::Proposal,
            4 => Self::Report,
            16 => Self::Welcome,
            17 => Self::Contact,
            18 => Self::Account,
            19 => Self::Outcome,
            _ => return None,
        })
    }

    /// The wire's enum.
    #[must_use]
    pub const fn to_wire(self) -> v1::EntryKind {
        match self {
            Self::Message => v1::EntryKind::Message,
            Self::Commit => v1::EntryKind::Commit,
            Self::Proposal => v1::EntryKind::Proposal,
            Self::Report => v1::EntryKind::Report,
            Self::Welcome => v1::EntryKind::Welcome,
            Self::Contact => v1::EntryKind::Contact,
            Self::Account => v1::EntryKind::Account,
            Self::Outcome => v1::EntryKind::Outcome,
        }
    }
}

/// The canonical header of an entry: everything the chain covers but the value before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The log.
    pub conversation: &'a ConversationName,
    /// Its place.
    pub seq: Seq,
    /// Its kind.
    pub kind: EntryKind,
    /// The MLS epoch it was made in; 0 in an inbox.
    pub epoch: Epoch,
    /// `None` where the sender is sealed or the server itself.
    pub sender: Option<DeviceId>,
    /// The sender's counter; 0 where the server made the entry.
    pub counter: Counter,
    /// The entry's id.
    pub id: MessageId,
    /// Of the body.
    pub digest: Digest,
}

impl Header<'_> {
    /// The canonical bytes: domain length (u16) and domain, conversation id, seq, kind (u8), epoch,
    /// sender (zeros for none), counter, id, digest; numbers big endian, 8 bytes unless said otherwise.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(160);
        self.visit(|part| bytes.extend_from_slice(part));
        bytes
    }

    fn hash_into(&self, hasher: &mut blake3::Hasher) {
        self.visit(|part| {
            hasher.update(part);
        });
    }

    fn visit(&self, mut part: impl FnMut(&[u8])) {
        let domain = self.conversation.domain.as_str().as_bytes();
        // A domain has at most 253 bytes (limits::DOMAIN_MAX).
        part(&u16::try_from(domain.len()).unwrap_or(u16::MAX).to_be_bytes());
        part(domain);
        part(self.conversation.id.as_bytes());
        part(&self.seq.0.to_be_bytes());
        part(&[self.kind as u8]);
        part(&self.epoch.0.to_be_bytes());
        part(self.sender.as_ref().map_or(&[0; 16], |device| device.as_bytes()));
        part(&self.counter.0.to_be_bytes());
        part(self.id.as_bytes());
        part(&self.digest.0);
    }
}

/// An entry whose fields have been read from the wire, for a reader that follows the chain.
#[derive(Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The log.
    pub conversation: ConversationName,
    /// Its place.
    pub seq: Seq,
    /// Its kind.
    pub kind: EntryKind,
    /// The MLS epoch it was made in.
    pub epoch: Epoch,
    /// Who sent it, as the server says; the MLS sender is who is shown to people.
    pub sender: Option<DeviceId>,
    /// The sender's counter.
    pub counter: Counter,
    /// Its id.
    pub id: MessageId,
    /// When the server stored it, milliseconds since 1970.
    pub stored_ms: u64,
    /// The chain after it, as the server says.
    pub chain: ChainValue,
    /// The body, or the digest of a body that is gone.
    pub content: EntryContent,
}

/// A body, or what is left of it.
#[derive(Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// Opaque bytes.
    Body(bytes::Bytes),
    /// Retention removed it, or a block withholds it.
    Removed(Digest),
}

/// An entry that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A name or id in it is malformed.
    #[error(transparent)]
    Id(#[from] crate::id::IdError),
    /// A kind of a later version.
    #[error("an entry of unknown kind {0}")]
    Kind(i32),
    /// The chain value or digest has another length than 32.
    #[error("a chain value or digest has 32 bytes")]
    Hash,
    /// Neither body nor digest.
    #[error("an entry without content")]
    Content,
}

impl LogEntry {
    /// Parses the wire form.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn parse(wire: v1::Entry) -> Result<Self, EntryError> {
        Ok(Self {
            conversation: ConversationName::parse(wire.conversation.as_ref())?,
            seq: Seq(wire.seq),
            kind: EntryKind::from_number(wire.kind).ok_or(EntryError::Kind(wire.kind))?,
            epoch: Epoch(wire.epoch),
            sender: match wire.sender_device.as_ref() {
                [] => None,
                bytes => Some(DeviceId::parse(bytes)?),
            },
            counter: Counter(wire.counter),
            id: MessageId::parse(&wire.message_id)?,
            stored_ms: wire.stored_ms,
            chain: ChainValue::parse(&wire.chain).ok_or(EntryError::Hash)?,
            content: match wire.content.ok_or(EntryError::Content)? {
                v1::entry::Content::Body(body) => EntryContent::Body(body),
                v1::entry::Content::RemovedBodyDigest(digest) => {
                    EntryContent::Removed(Digest::parse(&digest).ok_or(EntryError::Hash)?)
                }
            },
        })
    }

    /// The wire form; the body is shared, not copied.
    #[must_use]
    pub fn to_wire(&self) -> v1::Entry {
        v1::Entry {
            conversation: Some(self.conversation.to_wire()),
            seq: self.seq.0,
            kind: self.kind.to_wire().into(),
            epoch: self.epoch.0,
            sender_device: self.sender.as_ref().map(DeviceId::to_bytes).unwrap_or_default(),
            counter: self.counter.0,
            message_id: self.id.to_bytes(),
            stored_ms: self.stored_ms,
            chain: self.chain.to_bytes(),
            content: Some(match &self.content {
                EntryContent::Body(body) => v1::entry::Content::Body(body.clone()),
                EntryContent::Removed(digest) => {
                    v1::entry::Content::RemovedBodyDigest(bytes::Bytes::copy_from_slice(&digest.0))
                }
            }),
        }
    }

    /// Bytes of the body; none where it is gone.
    #[must_use]
    pub fn body_len(&self) -> usize {
        match &self.content {
            EntryContent::Body(body) => body.len(),
            EntryContent::Removed(_) => 0,
        }
    }

    /// The canonical header.
    #[must_use]
    pub fn header(&self) -> Header<'_> {
        Header {
            conversation: &self.conversation,
            seq: self.seq,
            kind: self.kind,
            epoch: self.epoch,
            sender: self.sender,
            counter: self.counter,
            id: self.id,
            digest: match &self.content {
                EntryContent::Body(body) => Digest::of(body),
                EntryContent::Removed(digest) => *digest,
            },
        }
    }

    /// Does this entry follow the one whose chain value was `before`?
    #[must_use]
    pub fn follows(&self, before: &ChainValue) -> bool {
        before.after(&self.header()) == self.chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{address::Domain, id::ConversationId};

    fn entry() -> LogEntry {
        let conversation = ConversationName {
            domain: Domain::parse("chat.example").unwrap(),
            id: ConversationId::new(1_700_000_000_000, [1; 10]),
        };
        let mut entry = LogEntry {
            seq: Seq(1),
            kind: EntryKind::Message,
            epoch: Epoch(3),
            sender: Some(DeviceId::new(1_700_000_000_001, [2; 10])),
            counter: Counter(9),
            id: MessageId::new(1_700_000_000_002, [3; 10]),
            stored_ms: 7,
            chain: ChainValue([0; 32]),
            content: EntryContent::Body(bytes::Bytes::from_static(b"body")),
            conversation,
        };
        entry.chain = ChainValue::genesis(&entry.conversation).after(&entry.header());
        entry
    }

    #[test]
    fn an_entry_follows_its_predecessor_alone() {
        let entry = entry();
        assert!(entry.follows(&ChainValue::genesis(&entry.conversation)));
        assert!(!entry.follows(&ChainValue([1; 32])));
    }

    #[test]
    fn a_removed_body_keeps_its_place_in_the_chain() {
        let mut entry = entry();
        entry.content = EntryContent::Removed(Digest::of(b"body"));
        assert!(entry.follows(&ChainValue::genesis(&entry.conversation)));
    }

    #[test]
    fn every_field_of_the_header_counts() {
        let entry = entry();
        let genesis = ChainValue::genesis(&entry.conversation);
        let changes: [fn(&mut LogEntry); 7] = [
            |e| e.seq = Seq(2),
            |e| e.kind = EntryKind::Proposal,
            |e| e.epoch = Epoch(4),
            |e| e.sender = None,
            |e| e.counter = Counter(8),
            |e| e.id = MessageId::new(1, [3; 10]),
            |e| e.content = EntryContent::Body(bytes::Bytes::from_static(b"Body")),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut changed = entry.clone();
            change(&mut changed);
            assert!(!changed.follows(&genesis), "change {index}");
        }
    }

    #[test]
    fn entries_read_back() {
        let entry = entry();
        assert!(LogEntry::parse(entry.to_wire()).is_ok_and(|parsed| parsed == entry));
    }
}
