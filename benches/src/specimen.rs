//! What goes over the wire and into a log, of a given size and always the same: for the benches.

use bytes::Bytes;
use qpc_proto::{
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    id::{ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    v1::{self, answer, request},
};

/// Milliseconds since 1970 at which everything happens.
pub const NOW_MS: u64 = 1_700_000_000_000;

/// A message in a conversation, as the store hands it out.
///
/// # Errors
/// Never: the names are fixed.
pub fn log_entry(bytes: usize) -> anyhow::Result<LogEntry> {
    let conversation = ConversationName { domain: "chat.example".parse()?, id: ConversationId::new(1, [1; 10]) };
    let before = ChainValue::genesis(&conversation);
    let mut entry = LogEntry {
        conversation,
        seq: Seq(4711),
        kind: EntryKind::Message,
        epoch: Epoch(3),
        sender: Some(DeviceId::new(2, [2; 10])),
        counter: Counter(815),
        id: MessageId::new(3, [3; 10]),
        stored_ms: NOW_MS,
        chain: before,
        content: EntryContent::Body(vec![7; bytes].into()),
    };
    entry.chain = before.after(&entry.header());
    Ok(entry)
}

/// The same, as it is pushed to its readers.
#[must_use]
pub fn push(entry: &LogEntry) -> v1::Answer {
    v1::Answer { result: Some(answer::Result::Entry(entry.to_wire())) }
}

/// The request by which it was sent.
#[must_use]
pub fn send(entry: &LogEntry) -> v1::Request {
    let body = match &entry.content {
        EntryContent::Body(body) => body.clone(),
        EntryContent::Removed(_) => Bytes::new(),
    };
    let send = v1::Send {
        conversation: Some(entry.conversation.to_wire()),
        message_id: entry.id.to_bytes(),
        counter: entry.counter.0,
        epoch: entry.epoch.0,
        kind: entry.kind.to_wire().into(),
        body,
        leave: false,
    };
    v1::Request { method: Some(request::Method::Send(send)) }
}
