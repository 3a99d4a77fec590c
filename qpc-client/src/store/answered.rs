//! What the server has acknowledged and the log has not brought back yet, whole.
//!
//! A program that was started for one message ends with the server's answer. If the server is then restored from an older
//! backup, nobody else may have that message: it is given back as the entry that it was, where the log goes on with it, and
//! waits in the outbox again where not, with the bytes and the id that it had.

use prost::Message;
use qpc_proto::{
    chain::{EntryContent, LogEntry},
    id::{Counter, MessageId, Seq},
    v1,
};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, conversation, entry, message, outbox, own_change, row};
use crate::fresh;

/// Keeps what was acknowledged, and what was encrypted in it.
pub(crate) fn put(
    tx: &Transaction<'_>,
    conversation: Local,
    entry: &LogEntry,
    content: &[u8],
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO answered (conversation, seq, answered_ms, content, entry) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        conversation,
        row::signed(entry.seq.0),
        row::signed(fresh::now_ms()),
        content,
        entry.to_wire().encode_to_vec(),
    ))?;
    Ok(())
}

/// The log has come to a place.
pub(super) fn came(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM answered WHERE conversation = ?1 AND seq = ?2")?
        .execute((conversation, row::signed(seq.0)))?;
    Ok(())
}

/// Removes what came so long before this time that its log is not followed any more.
pub(crate) fn prune(tx: &Transaction<'_>, now_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM answered WHERE answered_ms < ?1")?
        .execute([row::signed(entry::kept_since(now_ms))])?;
    Ok(())
}

/// The entry that was acknowledged for a place and has not come.
pub(crate) fn get(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<Option<LogEntry>, StoreError> {
    let bytes: Option<Vec<u8>> = tx
        .prepare_cached("SELECT entry FROM answered WHERE conversation = ?1 AND seq = ?2")?
        .query_one((conversation, row::signed(seq.0)), |row| row.get(0))
        .optional()?;
    bytes.map(|bytes| parse(&bytes)).transpose()
}

/// Puts all of a conversation that is beyond a place back into the outbox, before what waits there, as it was; the server's
/// answers for it count no more. Gives their ids.
pub(crate) fn take_back(tx: &Transaction<'_>, local: Local, after: Seq) -> Result<Vec<MessageId>, StoreError> {
    let place = (local, row::signed(after.0));
    tx.prepare_cached("DELETE FROM promise WHERE conversation = ?1 AND seq > ?2")?.execute(place)?;
    let mut all = Vec::new();
    {
        let mut taken = tx.prepare_cached(
            "SELECT content, entry FROM answered WHERE conversation = ?1 AND seq > ?2 ORDER BY seq DESC",
        )?;
        let mut rows = taken.query(place)?;
        while let Some(row) = rows.next()? {
            all.push((row.get::<_, Vec<u8>>("content")?, parse(&row.get::<_, Vec<u8>>("entry")?)?));
        }
    }
    tx.prepare_cached("DELETE FROM answered WHERE conversation = ?1 AND seq > ?2")?.execute(place)?;
    let (mut ids, mut lowest) = (Vec::new(), None);
    for (content, entry) in all {
        let EntryContent::Body(body) = entry.content else { return Err(StoreError::Corrupt("an answered entry")) };
        let sealed = outbox::Sealed { counter: entry.counter, epoch: entry.epoch, body };
        outbox::put_first(tx, local, entry.id, (&content, entry.kind), &sealed)?;
        message::unsent(tx, local, entry.id)?;
        own_change::unsent(tx, entry.id)?;
        ids.push(entry.id);
        lowest = Some(entry.counter);
    }
    ids.reverse();
    if let Some(lowest) = lowest {
        conversation::set_counter(tx, local, Counter(lowest.0.saturating_sub(1)))?;
    }
    Ok(ids)
}

fn parse(bytes: &[u8]) -> Result<LogEntry, StoreError> {
    let wire = v1::Entry::decode(bytes).ok();
    wire.and_then(|wire| LogEntry::parse(wire).ok()).ok_or(StoreError::Corrupt("an answered entry"))
}

#[cfg(test)]
mod tests {
    use qpc_proto::{
        chain::{ChainValue, EntryKind},
        id::{ConversationName, DeviceId, Epoch},
    };

    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{self, Kind, New, State},
            entry::Promise,
            schema,
        },
    };

    #[test]
    fn what_does_not_come_back_is_sent_again_before_what_waits() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let name: ConversationName = ConversationName::inbox("a.example".parse().unwrap(), DeviceId::new(1, [1; 10]));
        let new =
            New { name: Some(name.clone()), kind: Kind::Group, peer: None, title: "crew".into(), state: State::Active };
        let local = conversation::insert(&tx, &new).unwrap();
        let mut chain = ChainValue::genesis(&name);
        let mut answered = Vec::new();
        for nr in 1..=3_u64 {
            let mut entry = LogEntry {
                conversation: name.clone(),
                seq: Seq(nr),
                kind: EntryKind::Message,
                epoch: Epoch(1),
                sender: Some(DeviceId::new(1, [1; 10])),
                counter: Counter(nr),
                id: MessageId::new(nr, [7; 10]),
                stored_ms: nr,
                chain,
                content: EntryContent::Body(format!("sealed {nr}").into()),
            };
            entry.chain = chain.after(&entry.header());
            chain = entry.chain;
            assert!(entry::promise(&tx, local, entry.seq, &entry.chain).unwrap());
            put(&tx, local, &entry, format!("said {nr}").as_bytes()).unwrap();
            answered.push(entry);
        }
        let waits = MessageId::new(9, [9; 10]);
        outbox::put(&tx, local, waits, b"waits").unwrap();

        assert_eq!(entry::keep(&tx, local, &answered[0]).unwrap(), Promise::Kept);
        assert!(get(&tx, local, Seq(1)).unwrap().is_none());
        assert!(get(&tx, local, Seq(2)).unwrap().unwrap() == answered[1]);

        let taken = take_back(&tx, local, Seq(1)).unwrap();
        assert_eq!(taken, [answered[1].id, answered[2].id]);
        assert_eq!(outbox::of_conversation(&tx, local).unwrap(), [answered[1].id, answered[2].id, waits]);
        let again = outbox::by_id(&tx, answered[1].id).unwrap().unwrap();
        let sealed = again.sealed.unwrap();
        assert_eq!((again.content.as_slice(), sealed.counter, sealed.epoch), (&b"said 2"[..], Counter(2), Epoch(1)));
        assert_eq!(sealed.body.as_ref(), b"sealed 2");
        assert!(outbox::may_have_left(&tx, answered[1].id).unwrap());
        assert!(take_back(&tx, local, Seq(0)).unwrap().is_empty());
        let mut other = answered[1].clone();
        other.chain = ChainValue::genesis(&name);
        assert_eq!(entry::keep(&tx, local, &other).unwrap(), Promise::None, "its answer counts no more");
    }

    #[test]
    fn it_is_kept_no_longer_than_entries_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let new = New { name: None, kind: Kind::Group, peer: None, title: String::new(), state: State::Active };
        let local = conversation::insert(&tx, &new).unwrap();
        let row = "INSERT INTO answered (conversation, seq, answered_ms, content, entry) VALUES (?1, ?2, ?2, x'', x'')";
        for at_ms in [999, 1_000] {
            tx.execute(row, (local, at_ms)).unwrap();
        }
        let left = || tx.query_one("SELECT count(*) FROM answered", [], |row| row.get::<_, i64>(0)).unwrap();
        prune(&tx, 30 * 86_400_000 + 1_000).unwrap();
        assert_eq!(left(), 1);
    }
}
