//! What devices have reported of commits that they can't follow: who waits to be put in anew, and who is to blame.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    id::{DeviceId, Seq},
};
use rusqlite::Transaction;

use super::{Local, StoreError, row};

/// Reports of one device in a conversation that count within a day: nobody keeps a group busy with them.
const REPORTS_MAX: i64 = 10;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// So long it is remembered who was blamed.
const KEPT_MS: u64 = 30 * DAY_MS;

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) device: DeviceId,
    pub(crate) address: Address,
    /// Who made the commit; `None` where nobody is to blame.
    pub(crate) maker: Option<Address>,
    /// Where the commit stands.
    pub(crate) seq: Seq,
    /// To put the device in anew with; `None` where it comes by itself.
    pub(crate) key_package: Option<Bytes>,
}

/// Who waits to be put in anew: address, device, key package.
pub(crate) type Waiting = (Address, DeviceId, Bytes);

/// What is to be done about reports of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) waiting: Vec<Waiting>,
    /// Who is blamed, by whom.
    pub(crate) blamed: BTreeMap<Address, BTreeSet<Address>>,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// The first about this commit.
    First,
    Another,
    /// This device has reported too often.
    TooMany,
}

/// Notes one, in the place of an earlier one of the device that still waits.
pub(crate) fn put(
    tx: &Transaction<'_>,
    conversation: Local,
    now_ms: u64,
    reported: &Reported,
) -> Result<Noted, StoreError> {
    tx.prepare_cached("DELETE FROM reported WHERE conversation = ?1 AND at_ms < ?2")?
        .execute((conversation, row::signed(now_ms.saturating_sub(KEPT_MS))))?;
    let day = row::signed(now_ms.saturating_sub(DAY_MS));
    let device = reported.device.as_bytes();
    let of_device: i64 = tx
        .prepare_cached("SELECT count(*) FROM reported WHERE conversation = ?1 AND device = ?2 AND at_ms >= ?3")?
        .query_one((conversation, device, day), |row| row.get(0))?;
    if of_device >= REPORTS_MAX {
        return Ok(Noted::TooMany);
    }
    let of_commit: i64 = tx
        .prepare_cached("SELECT count(*) FROM reported WHERE conversation = ?1 AND seq = ?2")?
        .query_one((conversation, row::signed(reported.seq.0)), |row| row.get(0))?;
    in_again(tx, conversation, reported.device)?;
    tx.prepare_cached(
        "INSERT INTO reported (conversation, at_ms, device, address, maker, seq, key_package) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        conversation,
        row::signed(now_ms),
        device,
        reported.address.to_string(),
        reported.maker.as_ref().map(ToString::to_string),
        row::signed(reported.seq.0),
        reported.key_package.as_deref(),
    ))?;
    Ok(if of_commit == 0 { Noted::First } else { Noted::Another })
}

/// What waits, in the order of the reports, and who was blamed lately.
pub(crate) fn open(tx: &Transaction<'_>, conversation: Local) -> Result<Open, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT device, address, maker, key_package FROM reported WHERE conversation = ?1 ORDER BY rowid",
    )?;
    let mut rows = select.query([conversation])?;
    let mut open = Open::default();
    while let Some(row) = rows.next()? {
        let address = row::address(&row.get::<_, String>("address")?)?;
        if let Some(maker) = row.get::<_, Option<String>>("maker")? {
            open.blamed.entry(row::address(&maker)?).or_default().insert(address.clone());
        }
        if let Some(key_package) = row.get::<_, Option<Vec<u8>>>("key_package")? {
            let device = DeviceId::parse(&row.get::<_, Vec<u8>>("device")?);
            let device = device.map_err(|_| StoreError::Corrupt("a device id"))?;
            open.waiting.push((address, device, key_package.into()));
        }
    }
    Ok(open)
}

/// A device waits no more.
pub(crate) fn in_again(tx: &Transaction<'_>, conversation: Local, device: DeviceId) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE reported SET key_package = NULL WHERE conversation = ?1 AND device = ?2 AND key_package IS NOT NULL",
    )?
    .execute((conversation, device.as_bytes()))?;
    Ok(())
}

/// Somebody is out: should they be added again, it is a new beginning.
pub(crate) fn pardon(tx: &Transaction<'_>, conversation: Local, maker: &Address) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE reported SET maker = NULL WHERE conversation = ?1 AND maker = ?2")?
        .execute((conversation, maker.to_string()))?;
    Ok(())
}

/// The conversation has ended.
pub(crate) fn forget(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM reported WHERE conversation = ?1")?.execute([conversation])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{self, Kind, New, State},
            schema,
        },
    };

    #[test]
    fn a_device_reports_ten_times_a_day_and_who_is_out_is_pardoned() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = database.transaction().unwrap();
        let new = New { name: None, kind: Kind::Group, peer: None, title: "title".into(), state: State::Active };
        let local = conversation::insert(&tx, &new).unwrap();
        let address = |name: &str| Address::parse(&format!("{name}@a.example")).unwrap();
        let device = |number: u8| DeviceId::new(1, [number; 10]);
        let report = |name: &str, number: u8, seq: u64| Reported {
            device: device(number),
            address: address(name),
            maker: Some(address("mallory")),
            seq: Seq(seq),
            key_package: Some(Bytes::copy_from_slice(&[number])),
        };
        let first = 40 * DAY_MS;
        let put = |now, reported: Reported| put(&tx, local, now, &reported).unwrap();
        assert_eq!(put(first, report("bob", 1, 7)), Noted::First);
        assert_eq!(put(first, report("carol", 2, 7)), Noted::Another);
        for seq in 8..17 {
            assert_eq!(put(first, report("bob", 1, seq)), Noted::First, "{seq}");
        }
        assert_eq!(put(first, report("bob", 1, 17)), Noted::TooMany);
        let both = BTreeSet::from([address("bob"), address("carol")]);
        let blamed = BTreeMap::from([(address("mallory"), both)]);
        let waiting = |open: &Open| open.waiting.iter().map(|(_, device, _)| *device).collect::<Vec<_>>();
        let now = open(&tx, local).unwrap();
        assert_eq!((&now.blamed, waiting(&now)), (&blamed, vec![device(2), device(1)]));
        in_again(&tx, local, device(1)).unwrap();
        assert_eq!(waiting(&open(&tx, local).unwrap()), [device(2)]);
        assert_eq!(put(first + DAY_MS + 1, report("bob", 1, 17)), Noted::First, "a day later");
        pardon(&tx, local, &address("mallory")).unwrap();
        assert_eq!(open(&tx, local).unwrap().blamed, BTreeMap::new());
        put(first + KEPT_MS + DAY_MS, report("carol", 2, 18));
        let now = open(&tx, local).unwrap();
        assert_eq!(waiting(&now), [device(1), device(2)], "what is long ago is forgotten, what is not is not");
        forget(&tx, local).unwrap();
        assert_eq!(open(&tx, local).unwrap(), Open::default());
    }
}
