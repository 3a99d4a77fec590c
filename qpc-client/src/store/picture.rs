//! Pictures of groups, apart from the conversations, which are read far more often.

use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError};

pub(crate) fn get(tx: &Transaction<'_>, conversation: Local) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = tx.prepare_cached("SELECT bytes FROM picture WHERE conversation = ?1")?;
    Ok(select.query_one([conversation], |row| row.get(0)).optional()?)
}

pub(crate) fn exists(tx: &Transaction<'_>, conversation: Local) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("SELECT 1 FROM picture WHERE conversation = ?1")?.exists([conversation])?)
}

/// Sets it, an empty one takes it away; says whether that is news.
pub(crate) fn set(tx: &Transaction<'_>, conversation: Local, bytes: &[u8]) -> Result<bool, StoreError> {
    let changed = if bytes.is_empty() {
        tx.prepare_cached("DELETE FROM picture WHERE conversation = ?1")?.execute([conversation])?
    } else {
        tx.prepare_cached(
            "INSERT INTO picture (conversation, bytes) VALUES (?1, ?2) \
             ON CONFLICT (conversation) DO UPDATE SET bytes = excluded.bytes WHERE bytes <> excluded.bytes",
        )?
        .execute((conversation, bytes))?
    };
    Ok(changed > 0)
}

#[cfg(test)]
mod tests {
    use qpc_proto::{id::Seq, v1};

    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{self, Kind, New, News, State},
            schema,
        },
    };

    #[test]
    fn what_is_no_picture_is_none_and_says_the_rest_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = connection.transaction().unwrap();
        let new = New { name: None, kind: Kind::Group, peer: None, title: "tea".into(), state: State::Active };
        let local = conversation::insert(&tx, &new).unwrap();
        let says = |seq, name: &str, picture: &[u8]| {
            let picture = bytes::Bytes::copy_from_slice(picture);
            let state = v1::GroupState { name: name.into(), topic: String::new(), picture };
            conversation::describe(&tx, local, Some(Seq(seq)), &state).unwrap()
        };
        let png = b"\x89PNG\r\n\x1a\nand so on";
        assert_eq!(says(1, "tea", png), News { words: false, picture: true });
        assert_eq!(says(2, "tea", png), News::default());
        assert_eq!(get(&tx, local).unwrap().as_deref(), Some(&png[..]));
        assert_eq!(says(1, "later", b""), News::default(), "what was said before counts no more");
        // Somebody sends a program, a page, a picture of a kind that nobody asked for.
        for (seq, bytes) in [(3, &b"#!/bin/sh\nrm -r"[..]), (5, b"<svg/>"), (7, b"GIF89a"), (9, b"\x89PNG")] {
            says(seq, "tea", png);
            assert_eq!(says(seq + 1, "coffee", bytes), News { words: true, picture: true }, "{bytes:?}");
            assert!(!exists(&tx, local).unwrap());
            assert_eq!(conversation::get(&tx, local).unwrap().title, "coffee");
        }
    }
}
