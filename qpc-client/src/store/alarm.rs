//! What a person must know and nothing washes away but their own word that they know it; and what they knew.
//!
//! A text that was acknowledged and is raised again is another alarm.

use rusqlite::{Row, Transaction};

use super::{
    StoreError,
    row::{number, signed},
};
use crate::fresh;

/// Acknowledged alarms that are kept.
const KEPT_MAX: u64 = 1_000;

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) number: u64,
    pub(crate) text: String,
    pub(crate) raised_ms: u64,
    pub(crate) acknowledged_ms: Option<u64>,
}

/// Raises an alarm; says whether it is new.
pub(crate) fn raise(tx: &Transaction<'_>, text: &str) -> Result<bool, StoreError> {
    let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO alarm (text, raised_ms) VALUES (?1, ?2)")?;
    Ok(insert.execute((text, signed(fresh::now_ms())))? > 0)
}

/// The texts of those that nobody has acknowledged, oldest first.
pub(crate) fn open(tx: &Transaction<'_>) -> Result<Vec<String>, StoreError> {
    Ok(all(tx)?.into_iter().filter(|alarm| alarm.acknowledged_ms.is_none()).map(|alarm| alarm.text).collect())
}

/// All of them, oldest first.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Alarm>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM alarm ORDER BY number")?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// Notes that a person knows; says whether there was such an open alarm.
pub(crate) fn acknowledge(tx: &Transaction<'_>, number: u64) -> Result<bool, StoreError> {
    let changed = tx
        .prepare_cached("UPDATE alarm SET acknowledged_ms = ?2 WHERE number = ?1 AND acknowledged_ms IS NULL")?
        .execute((signed(number), signed(fresh::now_ms())))?;
    tx.prepare_cached(
        "DELETE FROM alarm WHERE number IN (SELECT number FROM alarm WHERE acknowledged_ms IS NOT NULL
         ORDER BY acknowledged_ms DESC, number DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([signed(KEPT_MAX)])?;
    Ok(changed > 0)
}

fn read(row: &Row<'_>) -> Result<Alarm, StoreError> {
    let acknowledged = match row.get::<_, Option<i64>>("acknowledged_ms")? {
        Some(_) => Some(number(row, "acknowledged_ms")?),
        None => None,
    };
    Ok(Alarm {
        number: number(row, "number")?,
        text: row.get("text")?,
        raised_ms: number(row, "raised_ms")?,
        acknowledged_ms: acknowledged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{home::HomeKey, store::schema};

    #[test]
    fn an_alarm_stays_until_it_is_acknowledged_and_is_kept_then() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        assert!(raise(&tx, "rolled back").unwrap() && !raise(&tx, "rolled back").unwrap());
        assert_eq!(open(&tx).unwrap(), ["rolled back"]);
        let number = all(&tx).unwrap()[0].number;
        assert!(acknowledge(&tx, number).unwrap() && !acknowledge(&tx, number).unwrap());
        assert!(open(&tx).unwrap().is_empty());
        assert!(all(&tx).unwrap()[0].acknowledged_ms.is_some());
        // Once more is news.
        assert!(raise(&tx, "rolled back").unwrap());
        assert_eq!((open(&tx).unwrap().len(), all(&tx).unwrap().len()), (1, 2));
    }

    #[test]
    fn what_was_acknowledged_is_bounded_and_what_was_not_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        raise(&tx, "open").unwrap();
        for n in 0..KEPT_MAX + 5 {
            raise(&tx, &format!("alarm {n}")).unwrap();
            assert!(acknowledge(&tx, n + 2).unwrap());
        }
        let kept = all(&tx).unwrap();
        assert_eq!(u64::try_from(kept.len()).unwrap(), KEPT_MAX + 1);
        assert_eq!((kept[0].text.as_str(), kept[1].text.as_str()), ("open", "alarm 5"));
    }
}
