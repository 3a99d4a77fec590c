//! Groups that continue another one, whose hub is gone, and how what they say of it fits what this device has.

use qpc_proto::{
    continuation::Continued,
    id::{ConversationName, Seq},
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{
    Local, StoreError,
    conversation::{self, Conversation, State},
    row,
};

/// Conversations that one may have gone on in, one after the other, before nobody looks any further.
const STEPS_MAX: usize = 16;

/// How what a group says of the other one's end fits what this device has of that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// This device does not have the other one, or nobody who could have continued it owns this one.
    Foreign = 0,
    /// It has the same.
    Same = 1,
    /// It has not come as far.
    Ahead = 2,
    /// It does not keep what would have to be compared.
    Unknown = 3,
    /// It has another history.
    Differs = 4,
}

impl Fit {
    fn read(stored: i64) -> Result<Self, StoreError> {
        match stored {
            0 => Ok(Self::Foreign),
            1 => Ok(Self::Same),
            2 => Ok(Self::Ahead),
            3 => Ok(Self::Unknown),
            4 => Ok(Self::Differs),
            _ => Err(StoreError::Corrupt("how a continuation fits")),
        }
    }

    /// Does the group count as the other one's continuation?
    pub(crate) const fn counts(self) -> bool {
        matches!(self, Self::Same | Self::Ahead | Self::Unknown)
    }
}

/// What a group continues.
#[derive(Debug, Clone)]
pub(crate) struct Continuation {
    pub(crate) conversation: Local,
    pub(crate) continued: Continued,
    pub(crate) fit: Fit,
    pub(crate) moving: bool,
}

/// Notes what a group continues, once.
pub(crate) fn put(
    tx: &Transaction<'_>,
    conversation: Local,
    continued: &Continued,
    (fit, moving): (Fit, bool),
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO continuation (conversation, before, seq, chain, fit, moving) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((
        conversation,
        continued.conversation.to_string(),
        row::signed(continued.seq.0),
        continued.chain.0,
        fit as i64,
        moving,
    ))?;
    Ok(())
}

/// What a group continues.
pub(crate) fn of(tx: &Transaction<'_>, conversation: Local) -> Result<Option<Continuation>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM continuation WHERE conversation = ?1")?;
    select.query_one([conversation], |row| Ok(read(row))).optional()?.transpose()
}

/// All groups that say they continue one.
pub(crate) fn all_of(tx: &Transaction<'_>, before: &ConversationName) -> Result<Vec<Continuation>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM continuation WHERE before = ?1 ORDER BY conversation")?;
    let mut rows = select.query([before.to_string()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub(crate) fn set_fit(tx: &Transaction<'_>, conversation: Local, fit: Fit) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE continuation SET fit = ?2 WHERE conversation = ?1")?
        .execute((conversation, fit as i64))?;
    Ok(())
}

/// All members of the other one who could be have been added.
pub(crate) fn has_moved(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE continuation SET moving = 0 WHERE conversation = ?1")?.execute([conversation])?;
    Ok(())
}

/// The group was not made.
pub(super) fn remove(tx: &Transaction<'_>, conversation: Local) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM continuation WHERE conversation = ?1")?.execute([conversation])?;
    Ok(())
}

/// The group in which a conversation was continued: of several that count, the one whose id is the smallest, so that all who
/// know of them name the same.
pub(crate) fn successor(tx: &Transaction<'_>, before: &ConversationName) -> Result<Option<Conversation>, StoreError> {
    // As text, ids have the order of their bytes.
    conversation::one(
        tx,
        "WHERE local IN (SELECT conversation FROM continuation WHERE before = ?1 AND fit IN (1, 2, 3)) \
         ORDER BY name LIMIT 1",
        [before.to_string()],
    )
}

/// The group in which people are to go on instead of this one: its continuation, or the one that counts beside it.
pub(crate) fn instead_of(tx: &Transaction<'_>, this: &Conversation) -> Result<Option<Conversation>, StoreError> {
    let Some(name) = &this.name else { return Ok(None) };
    if let Some(next) = successor(tx, name)? {
        return Ok(Some(next));
    }
    match of(tx, this.local)?.filter(|own| own.fit.counts()) {
        Some(own) => Ok(successor(tx, &own.continued.conversation)?.filter(|first| first.local != this.local)),
        None => Ok(None),
    }
}

/// The group that a name means which was given to this one: where it goes on, as far as this account is in that.
pub(crate) fn latest(tx: &Transaction<'_>, this: Conversation) -> Result<Conversation, StoreError> {
    let mut latest = this;
    for _ in 0..STEPS_MAX {
        match instead_of(tx, &latest)?.filter(|next| next.state != State::Ended) {
            Some(next) => latest = next,
            None => break,
        }
    }
    Ok(latest)
}

fn read(row: &Row<'_>) -> Result<Continuation, StoreError> {
    Ok(Continuation {
        conversation: row.get("conversation")?,
        continued: Continued {
            conversation: row::name(&row.get::<_, String>("before")?)?,
            seq: Seq(row::number(row, "seq")?),
            chain: row::chain(&row.get::<_, Vec<u8>>("chain")?)?,
        },
        fit: Fit::read(row.get("fit")?)?,
        moving: row.get("moving")?,
    })
}

#[cfg(test)]
mod tests {
    use qpc_proto::{address::Domain, chain::ChainValue, id::ConversationId};

    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{Kind, New},
            schema,
        },
    };

    #[test]
    fn of_two_groups_that_continue_one_the_smaller_id_counts_whichever_came_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = connection.transaction().unwrap();
        let name = |domain: &str, number: u8| ConversationName {
            domain: Domain::parse(domain).unwrap(),
            id: ConversationId::new(1, [number; 10]),
        };
        let group = |name: &ConversationName| {
            let (title, state) = ("crew".to_owned(), State::Active);
            let new = New { name: Some(name.clone()), kind: Kind::Group, peer: None, title, state };
            conversation::insert(&tx, &new).unwrap()
        };
        let (old, later, first) = (name("a.example", 1), name("b.example", 9), name("c.example", 4));
        let continued = Continued { conversation: old.clone(), seq: Seq(7), chain: ChainValue::genesis(&old) };
        let old = group(&old);
        let get = |local| conversation::get(&tx, local).unwrap();
        let means = |local| latest(&tx, get(local)).unwrap().local;
        assert_eq!(means(old), old);
        let later = group(&later);
        put(&tx, later, &continued, (Fit::Same, true)).unwrap();
        assert_eq!((means(old), means(later)), (later, later));
        let first = group(&first);
        put(&tx, first, &continued, (Fit::Differs, false)).unwrap();
        assert_eq!(
            (means(old), means(later), means(first)),
            (later, later, first),
            "one with another history does not count"
        );
        set_fit(&tx, first, Fit::Ahead).unwrap();
        assert_eq!((means(old), means(later), means(first)), (first, first, first));
        // Whoever is out of the one that counts has nowhere to go.
        conversation::set_state(&tx, first, State::Ended).unwrap();
        assert_eq!((means(old), means(later)), (old, later));
        has_moved(&tx, later).unwrap();
        assert!(!of(&tx, later).unwrap().unwrap().moving);
    }
}
