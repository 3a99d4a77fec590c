//! How many key packages this device has published, and how many welcomes have used one: what was taken beyond that is
//! of no use to anybody but who drains them.

use rusqlite::Transaction;

use super::{StoreError, row};
use crate::fresh;

/// So many that nobody used, taken within a day, are no accident: a claim that leads to nothing happens, but rarely.
const DRAINED: i64 = 40;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// So many are with the server now, besides those that were.
pub(crate) fn published(tx: &Transaction<'_>, number: usize) -> Result<(), StoreError> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    tx.execute("UPDATE key_package_count SET published = published + ?1", [number])?;
    Ok(())
}

/// A welcome used one.
pub(crate) fn welcomed(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE key_package_count SET welcomed = welcomed + 1")?.execute([])?;
    Ok(())
}

/// Compares with how many are left; says how many were taken within a day without being used, where these are many.
pub(crate) fn drained(tx: &Transaction<'_>, left: u32) -> Result<Option<i64>, StoreError> {
    judge(tx, left, fresh::now_ms())
}

fn judge(tx: &Transaction<'_>, left: u32, now_ms: u64) -> Result<Option<i64>, StoreError> {
    let (published, welcomed, since_ms, before): (i64, i64, i64, i64) =
        tx.query_one("SELECT published, welcomed, since_ms, unused FROM key_package_count", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    let unused = published.saturating_sub(welcomed).saturating_sub(left.into());
    let since_ms = u64::try_from(since_ms).unwrap_or_default();
    let taken = unused.saturating_sub(before);
    let drained = since_ms > 0 && taken >= DRAINED;
    if drained || now_ms.saturating_sub(since_ms) > DAY_MS {
        tx.execute("UPDATE key_package_count SET since_ms = ?1, unused = ?2", (row::signed(now_ms), unused))?;
    }
    Ok(drained.then_some(taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{home::HomeKey, store::schema};

    #[test]
    fn what_was_taken_and_not_used_is_counted_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let day = |number: u64| DAY_MS * 20_000 + number * (DAY_MS + 1);
        published(&tx, 100).unwrap();
        // A home of before had published some that it did not count: only what changes counts.
        assert_eq!(judge(&tx, 150, day(0)).unwrap(), None);
        assert_eq!(judge(&tx, 111, day(0)).unwrap(), None, "39 are taken");
        for _ in 0..30 {
            welcomed(&tx).unwrap();
        }
        assert_eq!(judge(&tx, 85, day(0)).unwrap(), None, "65 are taken, and 30 used");
        assert_eq!(judge(&tx, 80, day(0)).unwrap(), Some(40));
        assert_eq!(judge(&tx, 80, day(0)).unwrap(), None, "it is said once");
        published(&tx, 100).unwrap();
        assert_eq!(judge(&tx, 141, day(0)).unwrap(), None);
        assert_eq!(judge(&tx, 141, day(1)).unwrap(), None, "another day begins");
        assert_eq!(judge(&tx, 110, day(1)).unwrap(), None);
        assert_eq!(judge(&tx, 100, day(1)).unwrap(), Some(41));
    }
}
