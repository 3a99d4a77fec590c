//! Words that wait for their time: in this home alone, until it has come.

use qpc_proto::id::MessageId;
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{StoreError, row};
use crate::{api, fresh};

/// So many may wait.
pub(crate) const SCHEDULED_MAX: u64 = 1_000;

/// Something to say later.
#[derive(Clone)]
pub(crate) struct Later {
    /// name@domain, or a conversation's id@domain.
    pub(crate) to: String,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) reply_to: Option<MessageId>,
    pub(crate) at_ms: u64,
}

/// Adds it, if there is room; gives its number.
pub(crate) fn put(tx: &Transaction<'_>, later: &Later) -> Result<Option<i64>, StoreError> {
    let waiting: i64 = tx.prepare_cached("SELECT count(*) FROM scheduled")?.query_one([], |row| row.get(0))?;
    if u64::try_from(waiting).unwrap_or(u64::MAX) >= SCHEDULED_MAX {
        return Ok(None);
    }
    tx.prepare_cached("INSERT INTO scheduled (recipient, title, text, reply_to, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((
        &later.to,
        &later.title,
        &later.text,
        later.reply_to.as_ref().map(MessageId::as_bytes),
        row::signed(later.at_ms),
    ))?;
    Ok(Some(tx.last_insert_rowid()))
}

/// Takes it out: it was sent, or shall not be. Says whether it was there.
pub(crate) fn remove(tx: &Transaction<'_>, number: i64) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM scheduled WHERE number = ?1")?.execute([number])? > 0)
}

/// It can't be sent, and is not tried again.
pub(crate) fn fail(tx: &Transaction<'_>, number: i64, problem: &str) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE scheduled SET problem = ?2 WHERE number = ?1")?.execute((number, problem))?;
    Ok(())
}

/// The first whose turn it is, with its number.
pub(crate) fn due(tx: &Transaction<'_>, now_ms: u64) -> Result<Option<(i64, Later)>, StoreError> {
    tx.prepare_cached("SELECT * FROM scheduled WHERE problem IS NULL AND at_ms <= ?1 ORDER BY at_ms, number LIMIT 1")?
        .query_one([row::signed(now_ms)], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

/// When the next one is due, milliseconds since 1970.
pub(crate) fn next(tx: &Transaction<'_>) -> Result<Option<u64>, StoreError> {
    let next: Option<i64> =
        tx.prepare_cached("SELECT min(at_ms) FROM scheduled WHERE problem IS NULL")?.query_one([], |row| row.get(0))?;
    Ok(next.map(|at| u64::try_from(at).unwrap_or_default()))
}

/// All, in the order of their times.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<api::Scheduled>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM scheduled ORDER BY at_ms, number")?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, later) = read(row)?;
        all.push(api::Scheduled {
            number,
            to: later.title,
            at: fresh::rfc3339(later.at_ms),
            text: later.text,
            reply_to: later.reply_to.map(|id| id.to_string()),
            problem: row.get("problem")?,
        });
    }
    Ok(all)
}

fn read(row: &Row<'_>) -> Result<(i64, Later), StoreError> {
    let reply_to: Option<Vec<u8>> = row.get("reply_to")?;
    let later = Later {
        to: row.get("recipient")?,
        title: row.get("title")?,
        text: row.get("text")?,
        reply_to: reply_to.map(|id| row::message_id(&id)).transpose()?,
        at_ms: row::number(row, "at_ms")?,
    };
    Ok((row.get("number")?, later))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{home::HomeKey, store::schema};

    #[test]
    fn they_come_in_the_order_of_their_times_and_there_are_not_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let later = |at_ms: u64| Later {
            to: "bob@a.example".into(),
            title: "bob@a.example".into(),
            text: format!("at {at_ms}"),
            reply_to: Some(MessageId::new(at_ms, [1; 10])),
            at_ms,
        };
        for at_ms in [30, 20, 10] {
            put(&tx, &later(at_ms)).unwrap().unwrap();
        }
        assert_eq!(next(&tx).unwrap(), Some(10));
        assert!(due(&tx, 9).unwrap().is_none());
        let (number, first) = due(&tx, 25).unwrap().unwrap();
        assert_eq!((first.text.as_str(), first.reply_to), ("at 10", Some(MessageId::new(10, [1; 10]))));
        fail(&tx, number, "no").unwrap();
        let (number, second) = due(&tx, 25).unwrap().unwrap();
        assert_eq!(second.text, "at 20");
        assert!(remove(&tx, number).unwrap() && !remove(&tx, number).unwrap());
        let listed: Vec<_> = all(&tx).unwrap().into_iter().map(|one| (one.text, one.problem)).collect();
        assert_eq!(listed, [("at 10".to_owned(), Some("no".to_owned())), ("at 30".to_owned(), None)]);
        for at_ms in 2..SCHEDULED_MAX {
            put(&tx, &later(at_ms)).unwrap().unwrap();
        }
        assert!(put(&tx, &later(1)).unwrap().is_none());
    }
}
