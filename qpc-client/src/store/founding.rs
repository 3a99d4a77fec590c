//! The requests by which this device has made conversations, kept as long as entries are: a server that was restored from an
//! earlier backup lets each be made again by the same one.

use prost::Message;
use qpc_proto::v1::{self, request::Method};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, entry, pending::Pending, row};

/// Keeps the request that has made a conversation.
pub(crate) fn keep(tx: &Transaction<'_>, pending: &Pending, now_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO founding (conversation, made_ms, request) VALUES (?1, ?2, ?3)")?
        .execute((pending.conversation, row::signed(now_ms), pending.request.as_ref()))?;
    Ok(())
}

/// Removes those that are too old.
pub(crate) fn prune(tx: &Transaction<'_>, now_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM founding WHERE made_ms < ?1")?.execute([row::signed(entry::kept_since(now_ms))])?;
    Ok(())
}

/// The request that makes a conversation again, if this device has made it and has kept that.
pub(crate) fn again(tx: &Transaction<'_>, conversation: Local) -> Result<Option<v1::CreateConversation>, StoreError> {
    let kept: Option<Vec<u8>> = tx
        .prepare_cached("SELECT request FROM founding WHERE conversation = ?1")?
        .query_one([conversation], |row| row.get(0))
        .optional()?;
    let Some(kept) = kept else { return Ok(None) };
    let own = || StoreError::Corrupt("our own request");
    let request = v1::Request::decode(kept.as_slice()).map_err(|_| own())?;
    match request.method {
        Some(Method::CreateConversation(request)) => Ok(Some(v1::CreateConversation { again: true, ..request })),
        _ => Err(own()),
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::{Counter, MessageId};

    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{self, Kind, New, State},
            schema,
        },
    };

    #[test]
    fn a_conversation_can_be_made_again_as_long_as_its_entries_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let made = |title: &str, now_ms: u64| {
            let new = New { name: None, kind: Kind::Group, peer: None, title: title.into(), state: State::Creating };
            let local = conversation::insert(&tx, &new).unwrap();
            let create = v1::CreateConversation { peer: title.into(), ..Default::default() };
            let request = v1::Request { method: Some(Method::CreateConversation(create)) };
            let request = request.encode_to_vec().into();
            keep(
                &tx,
                &Pending { conversation: local, id: MessageId::new(1, [1; 10]), counter: Counter(1), request },
                now_ms,
            )
            .unwrap();
            local
        };
        let day = 86_400_000;
        let first = made("first", 100 * day);
        let second = made("second", 130 * day);
        let request = again(&tx, first).unwrap().unwrap();
        assert_eq!((request.again, request.peer.as_str()), (true, "first"));
        prune(&tx, 130 * day).unwrap();
        assert!(again(&tx, first).unwrap().is_some());
        prune(&tx, 130 * day + 1).unwrap();
        assert!(again(&tx, first).unwrap().is_none() && again(&tx, second).unwrap().is_some());
    }
}
