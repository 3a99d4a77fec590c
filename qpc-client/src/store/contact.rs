//! Contacts: how things stand with them, the account key that was first seen with their name, and whether a person
//! has compared it.

use qpc_proto::{address::Address, v1::ContactState};
use rusqlite::{OptionalExtension, Transaction};

use super::{StoreError, row, verification::Mark};
use crate::fresh;

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) address: Address,
    pub(crate) state: ContactState,
    /// Seen first, or accepted by a person since.
    pub(crate) account_key: Option<[u8; 32]>,
    /// Another one that was presented since, and that nobody has accepted.
    pub(crate) offered_key: Option<[u8; 32]>,
    /// Since when; homes of earlier versions did not note it.
    pub(crate) offered_ms: Option<u64>,
    /// That a person has compared a key of theirs: this one, or an earlier one.
    pub(crate) mark: Option<Mark>,
}

impl Contact {
    /// When a person compared the key that is pinned.
    pub(crate) fn verified_ms(&self) -> Option<u64> {
        self.mark.filter(|mark| Some(mark.account_key) == self.account_key).map(|mark| mark.marked_ms)
    }
}

/// What somebody's key is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// Nobody by that name has been seen.
    Unknown,
    /// It is theirs.
    Same,
    /// They had another one.
    Other,
}

pub(crate) fn get(tx: &Transaction<'_>, address: &Address) -> Result<Option<Contact>, StoreError> {
    Ok(select(tx, "WHERE address = ?1", [address.to_string()])?.pop())
}

/// In order of address.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Contact>, StoreError> {
    select(tx, "ORDER BY address", [])
}

/// Those who present another key than the one that is pinned, in order of address.
pub(crate) fn changed(tx: &Transaction<'_>) -> Result<Vec<Contact>, StoreError> {
    select(tx, "WHERE offered_key IS NOT NULL ORDER BY address", [])
}

/// Notes how things stand; tells whether that is news.
pub(crate) fn set_state(tx: &Transaction<'_>, address: &Address, state: ContactState) -> Result<bool, StoreError> {
    let changed = tx
        .prepare_cached(
            "INSERT INTO contact (address, state) VALUES (?1, ?2) \
             ON CONFLICT (address) DO UPDATE SET state = ?2 WHERE state <> ?2",
        )?
        .execute((address.to_string(), i32::from(state)))?;
    Ok(changed > 0)
}

/// Compares a key with the pinned one.
pub(crate) fn compare(tx: &Transaction<'_>, address: &Address, key: &[u8; 32]) -> Result<Pinned, StoreError> {
    let pinned: Option<Option<Vec<u8>>> = tx
        .prepare_cached("SELECT account_key FROM contact WHERE address = ?1")?
        .query_one([address.to_string()], |row| row.get(0))
        .optional()?;
    Ok(match pinned.flatten() {
        None => Pinned::Unknown,
        Some(pinned) if pinned == key => Pinned::Same,
        Some(_) => Pinned::Other,
    })
}

/// Pins a key where there is none.
pub(crate) fn pin(tx: &Transaction<'_>, address: &Address, key: &[u8; 32]) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO contact (address, account_key) VALUES (?1, ?2) \
         ON CONFLICT (address) DO UPDATE SET account_key = ?2 WHERE account_key IS NULL",
    )?
    .execute((address.to_string(), key))?;
    Ok(())
}

/// Notes that another key than the pinned one was presented.
pub(crate) fn offer(tx: &Transaction<'_>, address: &Address, key: &[u8; 32]) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO contact (address, account_key) VALUES (?1, ?2) \
         ON CONFLICT (address) DO UPDATE SET offered_key = ?2, offered_ms = ?3 \
         WHERE account_key <> ?2 AND offered_key IS NOT ?2",
    )?
    .execute((address.to_string(), key, row::signed(fresh::now_ms())))?;
    Ok(())
}

/// A person accepts the offered key; `false` where none is offered.
pub(crate) fn accept_offer(tx: &Transaction<'_>, address: &Address) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE contact SET account_key = offered_key, offered_key = NULL, offered_ms = NULL \
         WHERE address = ?1 AND offered_key IS NOT NULL",
        [address.to_string()],
    )?;
    Ok(changed > 0)
}

/// A person knows that the offered key is not theirs; says whether there was one.
pub(crate) fn drop_offer(tx: &Transaction<'_>, address: &Address) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE contact SET offered_key = NULL, offered_ms = NULL WHERE address = ?1 AND offered_key IS NOT NULL",
        [address.to_string()],
    )?;
    Ok(changed > 0)
}

fn select(tx: &Transaction<'_>, filter: &str, values: impl rusqlite::Params) -> Result<Vec<Contact>, StoreError> {
    let mut select = tx.prepare_cached(&format!(
        "SELECT * FROM contact LEFT JOIN (SELECT address, account_key AS marked_key, changed_ms AS marked_ms \
         FROM verification WHERE verified = 1) USING (address) {filter}"
    ))?;
    let mut rows = select.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let key = |column| row.get::<_, Option<Vec<u8>>>(column)?.map(row::key).transpose();
        let time =
            |column| Ok::<_, StoreError>(row.get::<_, Option<i64>>(column)?.and_then(|ms| u64::try_from(ms).ok()));
        let marked = key("marked_key")?.zip(time("marked_ms")?);
        all.push(Contact {
            address: row::address(&row.get::<_, String>("address")?)?,
            state: ContactState::try_from(row.get::<_, i32>("state")?).unwrap_or_default(),
            account_key: key("account_key")?,
            offered_key: key("offered_key")?,
            offered_ms: time("offered_ms")?,
            mark: marked.map(|(account_key, marked_ms)| Mark { account_key, marked_ms }),
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use qpc_proto::id::DeviceId;

    use super::*;
    use crate::{
        home::HomeKey,
        store::{schema, verification},
    };

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    fn with_contacts(check: impl FnOnce(&Transaction<'_>, &Address)) {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        check(&database.transaction().unwrap(), &Address::parse("bob@a.example").unwrap());
    }

    fn mark(tx: &Transaction<'_>, bob: &Address, key: &[u8; 32], verified: bool) {
        verification::mark(tx, bob, key, verified, DeviceId::new(1, [1; 10])).unwrap();
    }

    #[test]
    fn a_mark_is_worth_what_its_key_is_worth() {
        with_contacts(|tx, bob| {
            let verified = || get(tx, bob).unwrap().unwrap().verified_ms().is_some();
            pin(tx, bob, &OLD).unwrap();
            assert!(!verified());
            mark(tx, bob, &OLD, true);
            assert!(verified());
            offer(tx, bob, &NEW).unwrap();
            assert!(accept_offer(tx, bob).unwrap());
            assert!(!verified(), "the new key was not compared");
            assert_eq!(get(tx, bob).unwrap().unwrap().mark.map(|mark| mark.account_key), Some(OLD));
            mark(tx, bob, &NEW, true);
            assert!(verified());
            mark(tx, bob, &NEW, false);
            assert_eq!(get(tx, bob).unwrap().unwrap().mark, None);
        });
    }

    #[test]
    fn another_key_waits_from_the_moment_it_was_presented() {
        with_contacts(|tx, bob| {
            pin(tx, bob, &OLD).unwrap();
            offer(tx, bob, &OLD).unwrap();
            assert!(changed(tx).unwrap().is_empty(), "their own key is no other");
            offer(tx, bob, &NEW).unwrap();
            tx.execute("UPDATE contact SET offered_ms = 7", []).unwrap();
            offer(tx, bob, &NEW).unwrap();
            assert_eq!(changed(tx).unwrap()[0].offered_ms, Some(7), "the same again is not news");
            offer(tx, bob, &[3; 32]).unwrap();
            assert!(changed(tx).unwrap()[0].offered_ms > Some(7));
            assert!(drop_offer(tx, bob).unwrap() && !drop_offer(tx, bob).unwrap());
            let kept = get(tx, bob).unwrap().unwrap();
            assert_eq!((kept.account_key, kept.offered_key, kept.offered_ms), (Some(OLD), None, None));
        });
    }
}
