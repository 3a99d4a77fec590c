//! How far others have a conversation and have read it, as they said; and how far this person has.
//!
//! Positions only rise, so that it does not matter which of many receipts are lost. Each rise is kept with its time, the
//! last of them for each device: that tells when a message was read.

use qpc_proto::id::{ConversationName, DeviceId, Seq};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{Local, StoreError, row};

/// Rises that are kept of one device in one conversation, of each kind.
const STEPS_MAX: u32 = 64;

/// How far somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Positions {
    pub(crate) delivered: Seq,
    pub(crate) read: Seq,
}

/// Who has a message since when, and has read it; both in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) account: String,
    pub(crate) delivered_ms: Option<u64>,
    pub(crate) read_ms: Option<u64>,
}

/// Where somebody is now.
pub(crate) fn of(tx: &Transaction<'_>, conversation: Local, account: &str) -> Result<Positions, StoreError> {
    let highest = |read: bool| -> Result<Seq, StoreError> {
        let mut select = tx.prepare_cached(
            "SELECT seq FROM receipt WHERE conversation = ?1 AND account = ?2 AND read = ?3 ORDER BY seq DESC LIMIT 1",
        )?;
        let mut rows = select.query((conversation, account, read))?;
        Ok(Seq(rows.next()?.map_or(Ok(0), |found| row::number(found, "seq"))?))
    };
    Ok(Positions { delivered: highest(false)?, read: highest(true)? })
}

/// Somebody says how far they are; gives where they are now, if that is further than before.
pub(crate) fn raise(
    tx: &Transaction<'_>,
    conversation: Local,
    (account, device): (&str, DeviceId),
    said: Positions,
    now_ms: u64,
) -> Result<Option<Positions>, StoreError> {
    let before = of(tx, conversation, account)?;
    // What was read was received.
    let now =
        Positions { delivered: before.delivered.max(said.delivered).max(said.read), read: before.read.max(said.read) };
    for (read, is) in [(false, said.delivered.max(said.read)), (true, said.read)] {
        let risen = tx
            .prepare_cached(
                "INSERT INTO receipt (conversation, account, device, read, seq, at_ms) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
                 WHERE ?5 > (SELECT coalesce(max(seq), 0) FROM receipt \
                             WHERE conversation = ?1 AND account = ?2 AND device = ?3 AND read = ?4)",
            )?
            .execute((conversation, account, device.as_bytes(), read, row::signed(is.0), row::signed(now_ms)))?;
        if risen == 0 {
            continue;
        }
        tx.prepare_cached(
            "DELETE FROM receipt WHERE conversation = ?1 AND account = ?2 AND device = ?3 AND read = ?4 AND seq <= \
             (SELECT seq FROM receipt WHERE conversation = ?1 AND account = ?2 AND device = ?3 AND read = ?4 \
              ORDER BY seq DESC LIMIT 1 OFFSET ?5)",
        )?
        .execute((conversation, account, device.as_bytes(), read, STEPS_MAX))?;
    }
    Ok((now != before).then_some(now))
}

/// How many others have a message whose row this is, and have read it; none of what others said.
pub(super) fn counts(tx: &Transaction<'_>, conversation: Local, message: &Row<'_>) -> Result<(u64, u64), StoreError> {
    let seq = row::number(message, "seq")?;
    if seq == 0 || !message.get::<_, bool>("own")? {
        return Ok((0, 0));
    }
    let mut select = tx.prepare_cached(
        "SELECT count(DISTINCT iif(read, NULL, account)) AS delivered, count(DISTINCT iif(read, account, NULL)) AS read \
         FROM receipt WHERE conversation = ?1 AND seq >= ?2",
    )?;
    let mut rows = select.query((conversation, row::signed(seq)))?;
    match rows.next()? {
        Some(found) => Ok((row::number(found, "delivered")?, row::number(found, "read")?)),
        None => Ok((0, 0)),
    }
}

/// Who has a message and has read it, in order of address. A time is when this home learned of it.
pub(crate) fn readers(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<Vec<Reader>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT account, min(iif(read, NULL, at_ms)) AS delivered_ms, min(iif(read, at_ms, NULL)) AS read_ms \
         FROM receipt WHERE conversation = ?1 AND seq >= ?2 GROUP BY account ORDER BY account",
    )?;
    let mut rows = select.query((conversation, row::signed(seq.0)))?;
    let mut readers = Vec::new();
    while let Some(found) = rows.next()? {
        let time = |column: &str| -> Result<Option<u64>, StoreError> {
            Ok(found.get::<_, Option<i64>>(column)?.and_then(|ms| u64::try_from(ms).ok()))
        };
        let (delivered_ms, read_ms) = (time("delivered_ms")?, time("read_ms")?);
        readers.push(Reader { account: found.get("account")?, delivered_ms, read_ms });
    }
    Ok(readers)
}

/// How far this person is in a conversation: the last entry of others that is stored here, and the last before which there
/// is none that nobody was shown.
pub(crate) fn own(tx: &Transaction<'_>, conversation: Local) -> Result<Positions, StoreError> {
    let last = |before: i64| -> Result<Seq, StoreError> {
        let mut select = tx.prepare_cached(
            "SELECT seq FROM message WHERE conversation = ?1 AND own = 0 AND seq > 0 AND seq < ?2 ORDER BY local DESC LIMIT 1",
        )?;
        let mut rows = select.query((conversation, before))?;
        Ok(Seq(rows.next()?.map_or(Ok(0), |found| row::number(found, "seq"))?))
    };
    let unshown: Option<i64> = tx
        .prepare_cached("SELECT min(seq) FROM message WHERE shown = 0 AND conversation = ?1 AND own = 0 AND seq > 0")?
        .query_one([conversation], |found| found.get(0))
        .optional()?
        .flatten();
    Ok(Positions { delivered: last(i64::MAX)?, read: last(unshown.unwrap_or(i64::MAX))? })
}

/// The conversations of messages that are about to be marked as shown, up to and including a place.
pub(crate) fn to_be_shown(
    tx: &Transaction<'_>,
    conversation: Option<Local>,
    local: i64,
) -> Result<Vec<ConversationName>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT DISTINCT c.name FROM message m JOIN conversation c ON c.local = m.conversation \
         WHERE m.shown = 0 AND m.local <= ?2 AND (?1 IS NULL OR m.conversation = ?1) AND c.name IS NOT NULL",
    )?;
    let mut rows = select.query((conversation, local))?;
    let mut names = Vec::new();
    while let Some(found) = rows.next()? {
        names.push(row::name(&found.get::<_, String>("name")?)?);
    }
    Ok(names)
}

/// The conversations in which something was said last, newest first, at most so many.
pub(crate) fn recent(tx: &Transaction<'_>, most: u32) -> Result<Vec<ConversationName>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT c.name FROM conversation c WHERE c.kind IN (1, 2) AND c.state = 3 AND c.name IS NOT NULL \
         ORDER BY (SELECT max(m.local) FROM message m WHERE m.conversation = c.local) DESC LIMIT ?1",
    )?;
    let mut rows = select.query([most])?;
    let mut names = Vec::new();
    while let Some(found) = rows.next()? {
        names.push(row::name(&found.get::<_, String>("name")?)?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::store::schema;

    fn with(test: impl FnOnce(&Transaction<'_>)) {
        let dir = tempfile::tempdir().unwrap();
        let mut connection: Connection =
            schema::open(&dir.path().join("client.db"), &crate::home::HomeKey::for_tests()).unwrap();
        let tx = connection.transaction().unwrap();
        tx.execute("INSERT INTO conversation (local, kind, state) VALUES (1, 1, 3)", []).unwrap();
        test(&tx);
    }

    fn device(nr: u8) -> DeviceId {
        DeviceId::new(1, [nr; 10])
    }

    fn at(delivered: u64, read: u64) -> Positions {
        Positions { delivered: Seq(delivered), read: Seq(read) }
    }

    #[test]
    fn positions_only_rise_and_what_was_read_was_received() {
        with(|tx| {
            let raise = |said, now_ms| raise(tx, 1, ("bob@a.example", device(1)), said, now_ms).unwrap();
            assert_eq!(raise(at(3, 0), 10), Some(at(3, 0)));
            assert_eq!(raise(at(2, 0), 11), None);
            assert_eq!(raise(at(0, 5), 12), Some(at(5, 5)));
            assert_eq!(raise(at(5, 4), 13), None);
            assert_eq!(of(tx, 1, "bob@a.example").unwrap(), at(5, 5));
            let reader = |seq| readers(tx, 1, Seq(seq)).unwrap().pop().map(|one| (one.delivered_ms, one.read_ms));
            assert_eq!(reader(3), Some((Some(10), Some(12))));
            assert_eq!(reader(4), Some((Some(12), Some(12))));
            assert_eq!(reader(6), None);
        });
    }

    #[test]
    fn an_account_is_as_far_as_the_furthest_of_its_devices_and_each_is_known() {
        with(|tx| {
            let raise = |nr, said, now_ms| raise(tx, 1, ("bob@a.example", device(nr)), said, now_ms).unwrap();
            assert_eq!(raise(1, at(3, 0), 10), Some(at(3, 0)));
            assert_eq!(raise(2, at(3, 2), 11), Some(at(3, 2)));
            assert_eq!(raise(2, at(2, 2), 12), None);
            let all = crate::store::trace::receivers(tx, 1, Seq(2)).unwrap();
            let all: Vec<_> = all.into_iter().map(|one| (one.device, one.read, one.at_ms)).collect();
            assert_eq!(all, [(Some(device(1)), false, 10), (Some(device(2)), false, 11), (Some(device(2)), true, 11)]);
            assert_eq!(readers(tx, 1, Seq(2)).unwrap().len(), 1);
        });
    }

    #[test]
    fn of_each_device_the_last_rises_are_kept() {
        with(|tx| {
            for seq in 1..=u64::from(STEPS_MAX) + 1 {
                raise(tx, 1, ("bob@a.example", device(1)), at(seq, 0), seq).unwrap();
            }
            let count: u32 = tx.query_one("SELECT count(*) FROM receipt", [], |row| row.get(0)).unwrap();
            assert_eq!(count, STEPS_MAX);
            // Of the oldest message it is still known that it is there.
            assert_eq!(readers(tx, 1, Seq(1)).unwrap()[0].delivered_ms, Some(2));
        });
    }

    #[test]
    fn read_is_what_has_nothing_unseen_before_it() {
        with(|tx| {
            let say = |seq: u64, own: bool, shown: bool| {
                let sql = "INSERT INTO message (conversation, seq, id, sender, own, time_ms, kind, body, shown) \
                           VALUES (1, ?1, ?2, '', ?3, 0, 'text', '', ?4)";
                tx.execute(sql, (row::signed(seq), seq.to_be_bytes(), own, shown)).unwrap();
            };
            assert_eq!(own(tx, 1).unwrap(), at(0, 0));
            say(2, false, true);
            say(3, true, true);
            assert_eq!(own(tx, 1).unwrap(), at(2, 2));
            say(4, false, false);
            say(5, false, true);
            assert_eq!(own(tx, 1).unwrap(), at(5, 2));
            assert_eq!(to_be_shown(tx, None, i64::MAX).unwrap(), []);
        });
    }
}
