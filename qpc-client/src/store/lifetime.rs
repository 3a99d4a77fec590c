//! Messages that disappear: how long those of a conversation stay, and taking out what has stayed so long.
//!
//! A message brings its own lifetime, so that it does not matter who had heard of which when it was sent. It counts from when the
//! server has stored the message: on all devices alike, read or not. A clock of the server that is ahead gives no message more
//! time than one that came just now would have.

use qpc_proto::{
    id::{MessageId, Seq},
    limits::LIFETIME_MAX_S,
};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, attachment, pin, poll, reaction, row, trace};

/// Taken out in one transaction.
pub(crate) const BATCH: u32 = 500;

/// How long what this account says in a conversation stays, in seconds; 0 for ever.
pub(crate) fn of(tx: &Transaction<'_>, conversation: Local) -> Result<u32, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT coalesce(lifetime_wanted_s, lifetime_s) FROM conversation WHERE local = ?1")?;
    Ok(select.query_one([conversation], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// This account has said how long, and the server has not stored that yet; or will not (`None`).
pub(crate) fn want(tx: &Transaction<'_>, conversation: Local, seconds: Option<u32>) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET lifetime_wanted_s = ?2 WHERE local = ?1")?
        .execute((conversation, seconds))?;
    Ok(())
}

/// An entry says how long. What a later one said stays.
pub(crate) fn set(tx: &Transaction<'_>, conversation: Local, seq: Seq, seconds: u32) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE conversation SET lifetime_s = ?3, lifetime_seq = ?2 WHERE local = ?1 AND lifetime_seq <= ?2",
    )?
    .execute((conversation, row::signed(seq.0), seconds.min(LIFETIME_MAX_S)))?;
    Ok(())
}

/// A member's message tells whoever has heard nothing of it, because they came later, how long messages stay. One that stays
/// says nothing: it may be of a kind that always does, or of a client that knows no lifetimes.
pub(crate) fn learn(tx: &Transaction<'_>, conversation: Local, seconds: u32) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET lifetime_s = ?2 WHERE local = ?1 AND lifetime_seq = 0 AND ?2 > 0")?
        .execute((conversation, seconds.min(LIFETIME_MAX_S)))?;
    Ok(())
}

/// When something ends that was stored then, as far as this device can tell; `None` where it does not.
pub(crate) fn end(seconds: u32, stored_ms: u64, now_ms: u64) -> Option<u64> {
    let lifetime_ms = u64::from(seconds.min(LIFETIME_MAX_S)).saturating_mul(1000);
    (seconds > 0).then(|| stored_ms.min(now_ms).saturating_add(lifetime_ms))
}

/// The lifetime that a message came with.
pub(crate) fn of_message(tx: &Transaction<'_>, message: i64) -> Result<u32, StoreError> {
    let mut select = tx.prepare_cached("SELECT lifetime_s FROM message WHERE local = ?1")?;
    Ok(select.query_one([message], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// A message of ours has such a lifetime, from when the server stores it.
pub(crate) fn put(tx: &Transaction<'_>, message: i64, seconds: u32) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE message SET lifetime_s = ?2 WHERE local = ?1")?.execute((message, seconds))?;
    Ok(())
}

/// A message ends then.
pub(crate) fn put_end(tx: &Transaction<'_>, message: i64, seconds: u32, end_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE message SET lifetime_s = ?2, expires_ms = ?3 WHERE local = ?1")?.execute((
        message,
        seconds,
        row::signed(end_ms),
    ))?;
    Ok(())
}

/// A message that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    /// `id@domain` of its conversation.
    pub(crate) conversation: String,
    pub(crate) id: MessageId,
}

/// Takes out what has come to its end, with all that belongs to it; at most so many.
pub(crate) fn expire(tx: &Transaction<'_>, now_ms: u64, most: u32) -> Result<Vec<Gone>, StoreError> {
    let mut due = Vec::new();
    {
        let mut select = tx.prepare_cached(
            "SELECT m.local, m.conversation, m.id, c.name FROM message m JOIN conversation c ON c.local = m.conversation \
             WHERE m.expires_ms <= ?1 ORDER BY m.expires_ms LIMIT ?2",
        )?;
        let mut rows = select.query((row::signed(now_ms), most))?;
        while let Some(row) = rows.next()? {
            let id = row::message_id(&row.get::<_, Vec<u8>>("id")?)?;
            let conversation = row.get::<_, Option<String>>("name")?.unwrap_or_default();
            due.push((row.get::<_, i64>("local")?, row.get::<_, Local>("conversation")?, Gone { conversation, id }));
        }
    }
    for (local, conversation, gone) in &due {
        attachment::remove(tx, *conversation, gone.id)?;
        reaction::remove_all(tx, *conversation, gone.id)?;
        pin::remove(tx, *conversation, gone.id)?;
        poll::remove(tx, *conversation, gone.id)?;
        trace::remove(tx, gone.id)?;
        tx.prepare_cached("DELETE FROM message WHERE local = ?1")?.execute([local])?;
    }
    Ok(due.into_iter().map(|(_, _, gone)| gone).collect())
}

/// When the next one ends, milliseconds since 1970.
pub(crate) fn next(tx: &Transaction<'_>) -> Result<Option<u64>, StoreError> {
    let mut select = tx.prepare_cached("SELECT min(expires_ms) AS at FROM message WHERE expires_ms IS NOT NULL")?;
    let mut rows = select.query([])?;
    match rows.next()? {
        Some(row) if row.get::<_, Option<i64>>("at")?.is_some() => Ok(Some(row::number(row, "at")?)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{message, search, testing::Home};

    const BOB: &str = "bob@a.example";

    #[test]
    fn what_has_come_to_its_end_is_gone_with_all_that_belongs_to_it() {
        let mut home = Home::new();
        let crew = home.local;
        let mut ids = Vec::new();
        for (nr, end_ms) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
            let (local, id) = home.said(crew, BOB, nr, "needle");
            home.with(|tx| {
                put_end(tx, local, 1, end_ms)?;
                pin::put(tx, crew, id)
            });
            ids.push(id);
        }
        home.said(crew, BOB, 4, "needle that stays");
        assert_eq!(home.with(next), Some(1_000));
        assert_eq!(home.with(|tx| expire(tx, 999, BATCH)), []);
        let gone = home.with(|tx| expire(tx, 2_000, BATCH));
        assert_eq!(gone.iter().map(|gone| gone.id).collect::<Vec<_>>(), ids[..2]);
        assert_eq!(home.with(next), Some(3_000));
        assert_eq!(home.with(|tx| expire(tx, 9_999, 0)), [], "no more than it may at once");
        home.with(|tx| expire(tx, 3_000, BATCH));
        assert_eq!(home.with(next), None);
        let query = search::Query { words: "needle".into(), limit: 10, ..search::Query::default() };
        assert_eq!(home.with(|tx| search::find(tx, &query)).unwrap().len(), 1);
        let pins = |home: &Home| home.database.query_one("SELECT count(*) FROM pin", [], |row| row.get::<_, i64>(0));
        assert_eq!(pins(&home).unwrap(), 0);
    }

    #[test]
    fn our_own_ends_from_when_the_server_has_stored_it() {
        let mut home = Home::new();
        let crew = home.local;
        let (local, id) = home.said(crew, "alice@a.example", 7, "mine");
        home.with(|tx| put(tx, local, 60));
        assert_eq!(home.with(next), None, "it waits in the outbox, and does not grow old there");
        let before = crate::fresh::now_ms();
        let told = home.with(|tx| message::stored(tx, crew, id, Seq(5))).unwrap();
        assert!(told.details.disappears.is_some());
        let end_ms = home.with(next).unwrap();
        assert!((before + 60_000..=crate::fresh::now_ms() + 60_000).contains(&end_ms));
        home.with(|tx| message::unsent(tx, crew, id));
        assert_eq!(home.with(next), None);
    }

    #[test]
    fn the_last_word_on_it_counts_and_ones_own_at_once() {
        let mut home = Home::new();
        let crew = home.local;
        home.with(|tx| {
            let of = || of(tx, crew).unwrap();
            learn(tx, crew, 30).unwrap();
            learn(tx, crew, 0).unwrap();
            assert_eq!(of(), 30, "nobody has said so, and it is seen; what stays says nothing");
            set(tx, crew, Seq(5), 60).unwrap();
            learn(tx, crew, 30).unwrap();
            set(tx, crew, Seq(4), 90).unwrap();
            assert_eq!(of(), 60);
            want(tx, crew, Some(0)).unwrap();
            assert_eq!(of(), 0);
            set(tx, crew, Seq(6), 120).unwrap();
            assert_eq!(of(), 0, "ours comes after it");
            want(tx, crew, None).unwrap();
            assert_eq!(of(), 120);
            set(tx, crew, Seq(7), u32::MAX).unwrap();
            assert_eq!(of(), LIFETIME_MAX_S);
            Ok(())
        });
    }

    #[test]
    fn a_lifetime_begins_when_it_was_stored_and_in_no_future() {
        assert_eq!(end(0, 1_000, 5_000), None);
        assert_eq!(end(2, 1_000, 5_000), Some(3_000));
        assert_eq!(end(2, 9_000, 5_000), Some(7_000));
        assert_eq!(end(u32::MAX, u64::MAX, u64::MAX), Some(u64::MAX));
    }
}
