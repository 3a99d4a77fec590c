//! The steps of this device's own messages, each noted in the transaction that takes it anyway.
//!
//! They tell a person where a message is, and decide nothing.

use qpc_proto::id::{DeviceId, MessageId, Seq};
use rusqlite::Transaction;

use super::{Local, StoreError, outbox::Sealed, row};
use crate::fresh;

/// Messages of which the steps are kept: the last.
const KEPT: u32 = 10_000;

/// What is known of a message's way; times in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Trace {
    pub(crate) epoch: u64,
    pub(crate) counter: u64,
    pub(crate) encrypted_ms: u64,
    pub(crate) sent_ms: Option<u64>,
    pub(crate) times: u64,
    pub(crate) stored_ms: Option<u64>,
    pub(crate) answered_ms: Option<u64>,
    pub(crate) returned_ms: Option<u64>,
}

/// Its bytes are made. Made anew, its way begins anew.
pub(crate) fn encrypted(tx: &Transaction<'_>, id: MessageId, sealed: &Sealed) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO trace (id, epoch, counter, encrypted_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute((id.as_bytes(), row::signed(sealed.epoch.0), row::signed(sealed.counter.0), now()))?;
    Ok(())
}

/// They leave.
pub(crate) fn sent(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE trace SET sent_ms = coalesce(sent_ms, ?2), times = times + 1 WHERE id = ?1")?
        .execute((id.as_bytes(), now()))?;
    Ok(())
}

/// The server says that it has stored them, then.
pub(crate) fn answered(tx: &Transaction<'_>, id: MessageId, stored_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE trace SET stored_ms = ?2, answered_ms = coalesce(answered_ms, ?3) WHERE id = ?1")?
        .execute((id.as_bytes(), row::signed(stored_ms), now()))?;
    Ok(())
}

/// The log of the conversation has brought them back.
pub(crate) fn returned(tx: &Transaction<'_>, id: MessageId, stored_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE trace SET stored_ms = ?2, returned_ms = coalesce(returned_ms, ?3) WHERE id = ?1")?
        .execute((id.as_bytes(), row::signed(stored_ms), now()))?;
    Ok(())
}

/// Nothing of it is to be left.
pub(crate) fn remove(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM trace WHERE id = ?1")?.execute([id.as_bytes()])?;
    Ok(())
}

/// Forgets all but the last. Ids begin with the time.
pub(crate) fn trim(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM trace WHERE id <= (SELECT id FROM trace ORDER BY id DESC LIMIT 1 OFFSET ?1)", [KEPT])?;
    Ok(())
}

/// What is known of a message.
pub(crate) fn of(tx: &Transaction<'_>, id: MessageId) -> Result<Option<Trace>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM trace WHERE id = ?1")?;
    let mut rows = select.query([id.as_bytes()])?;
    let Some(found) = rows.next()? else { return Ok(None) };
    let time = |column: &str| -> Result<Option<u64>, StoreError> {
        Ok(found.get::<_, Option<i64>>(column)?.and_then(|ms| u64::try_from(ms).ok()))
    };
    Ok(Some(Trace {
        epoch: row::number(found, "epoch")?,
        counter: row::number(found, "counter")?,
        encrypted_ms: row::number(found, "encrypted_ms")?,
        sent_ms: time("sent_ms")?,
        times: row::number(found, "times")?,
        stored_ms: time("stored_ms")?,
        answered_ms: time("answered_ms")?,
        returned_ms: time("returned_ms")?,
    }))
}

/// Messages of this account's own whose ids, without dashes, begin or end so, newest first; the last one of all for none.
pub(crate) fn called(tx: &Transaction<'_>, digits: &str, most: u32) -> Result<Vec<i64>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT local FROM message WHERE own = 1 AND kind <> 'notice' \
         AND (substr(lower(hex(id)), -length(?1)) = ?1 OR substr(lower(hex(id)), 1, length(?1)) = ?1) \
         ORDER BY local DESC LIMIT ?2",
    )?;
    let locals = select.query_map((digits, most), |row| row.get(0))?;
    Ok(locals.collect::<Result<_, _>>()?)
}

/// A device that has a message, or whose person has read it, since when this home knows that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receiver {
    pub(crate) account: String,
    /// `None` where it was not noted.
    pub(crate) device: Option<DeviceId>,
    pub(crate) read: bool,
    pub(crate) at_ms: u64,
}

/// Of an entry, in the order of their times.
pub(crate) fn receivers(tx: &Transaction<'_>, conversation: Local, seq: Seq) -> Result<Vec<Receiver>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT account, device, read, min(at_ms) AS at_ms FROM receipt WHERE conversation = ?1 AND seq >= ?2 \
         GROUP BY account, device, read ORDER BY at_ms, read, account, device",
    )?;
    let mut rows = select.query((conversation, row::signed(seq.0)))?;
    let mut receivers = Vec::new();
    while let Some(found) = rows.next()? {
        receivers.push(Receiver {
            account: found.get("account")?,
            device: DeviceId::parse(&found.get::<_, Vec<u8>>("device")?).ok(),
            read: found.get("read")?,
            at_ms: row::number(found, "at_ms")?,
        });
    }
    Ok(receivers)
}

fn now() -> i64 {
    row::signed(fresh::now_ms())
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::{Counter, Epoch};

    use super::*;
    use crate::store::testing::Home;

    fn id(nr: u64) -> MessageId {
        MessageId::new(nr, [7; 10])
    }

    fn sealed(counter: u64) -> Sealed {
        Sealed { counter: Counter(counter), epoch: Epoch(3), body: bytes::Bytes::new() }
    }

    #[test]
    fn each_step_is_noted_when_it_was_taken_first_and_a_new_beginning_forgets_them() {
        let mut home = Home::new();
        let before = fresh::now_ms();
        let of = |home: &mut Home| home.with(|tx| of(tx, id(1))).unwrap();
        home.with(|tx| encrypted(tx, id(1), &sealed(9)));
        let made = of(&mut home);
        assert!((made.epoch, made.counter) == (3, 9) && made.encrypted_ms >= before && made.sent_ms.is_none());
        home.with(|tx| sent(tx, id(1)));
        home.database.execute("UPDATE trace SET sent_ms = 5", []).unwrap();
        home.with(|tx| sent(tx, id(1)));
        let left = of(&mut home);
        assert_eq!((left.times, left.sent_ms), (2, Some(5)));
        home.with(|tx| answered(tx, id(1), 55).and(returned(tx, id(1), 56)));
        let back = of(&mut home);
        assert!(back.sent_ms == left.sent_ms && back.answered_ms.is_some() && back.returned_ms.is_some());
        assert_eq!(back.stored_ms, Some(56), "what the log says counts");
        home.with(|tx| encrypted(tx, id(1), &sealed(10)));
        assert_eq!(of(&mut home), Trace { counter: 10, encrypted_ms: of(&mut home).encrypted_ms, ..made });
        home.with(|tx| remove(tx, id(1)));
        assert_eq!(home.with(|tx| super::of(tx, id(1))), None);
    }

    #[test]
    fn the_last_are_kept() {
        let mut home = Home::new();
        home.with(|tx| (1..=u64::from(KEPT) + 1).try_for_each(|nr| encrypted(tx, id(nr), &sealed(nr))));
        home.with(trim);
        assert_eq!(home.with(|tx| of(tx, id(1))), None);
        assert!(home.with(|tx| of(tx, id(2))).is_some());
    }
}
