//! Conversations and the inbox: where this device stands in each log.

use qpc_proto::{
    address::Address,
    chain::ChainValue,
    id::{ConversationName, Counter, Epoch, Seq},
    v1,
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{StoreError, continuation, picture, row};
use crate::api::PictureFormat;

/// A conversation's number in this home.
pub(crate) type Local = i64;

/// What a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Inbox = 0,
    Direct = 1,
    Group = 2,
    /// Of this account's devices alone.
    Personal = 3,
}

impl Kind {
    /// What a conversation of the server's list is, if this version knows that.
    pub(crate) const fn from_wire(kind: v1::ConversationKind) -> Option<Self> {
        match kind {
            v1::ConversationKind::Direct => Some(Self::Direct),
            v1::ConversationKind::Group => Some(Self::Group),
            v1::ConversationKind::Personal => Some(Self::Personal),
            v1::ConversationKind::Unspecified => None,
        }
    }

    /// As it is named on the wire; an inbox has no such name.
    pub(crate) const fn to_wire(self) -> v1::ConversationKind {
        match self {
            Self::Direct => v1::ConversationKind::Direct,
            Self::Group => v1::ConversationKind::Group,
            Self::Personal => v1::ConversationKind::Personal,
            Self::Inbox => v1::ConversationKind::Unspecified,
        }
    }

    /// As it is stored.
    pub(super) fn read(stored: i64) -> Result<Self, StoreError> {
        match stored {
            0 => Ok(Self::Inbox),
            1 => Ok(Self::Direct),
            2 => Ok(Self::Group),
            3 => Ok(Self::Personal),
            _ => Err(StoreError::Corrupt("a kind of conversation")),
        }
    }
}

/// How far a conversation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Somebody was written to for the first time; nothing was asked of the server yet.
    Wanted = 0,
    /// The server is being asked to make it.
    Creating = 1,
    /// It is there and this device is not in it yet: a welcome is on its way, or it is about to join by itself.
    Awaiting = 2,
    Active = 3,
    /// This account is out of it; what was said stays.
    Ended = 4,
    /// It is over, and what was said before that is still being read. Nothing is sent any more.
    Ending = 5,
}

/// Is a conversation followed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trusted {
    Yes = 0,
    /// Its history or its members are not what they should be.
    Never = 1,
    /// Somebody in it has a key that a person has to accept first.
    OnceKeyAccepted = 2,
}

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    pub(crate) local: Local,
    pub(crate) name: Option<ConversationName>,
    pub(crate) kind: Kind,
    pub(crate) peer: Option<Address>,
    pub(crate) title: String,
    /// What a group is about.
    pub(crate) topic: String,
    pub(crate) state: State,
    pub(crate) seq: Seq,
    pub(crate) chain: Option<ChainValue>,
    pub(crate) counter: Counter,
    pub(crate) epoch: Epoch,
    pub(crate) waiting: Option<String>,
    pub(crate) request: bool,
    pub(crate) trusted: Trusted,
    /// Does it ring no bell?
    pub(crate) muted: bool,
}

impl Conversation {
    /// Its name; what is active has one.
    pub(crate) fn named(&self) -> Result<&ConversationName, StoreError> {
        self.name.as_ref().ok_or(StoreError::Corrupt("a conversation without a name"))
    }

    /// Is it over for the person, read to its end or not?
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Ending | State::Ended)
    }

    /// Is its log read?
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.state, State::Active | State::Ending)
    }

    /// Is this device about to come into it, where others are already? What is written waits until it has.
    pub(crate) fn is_joining(&self) -> bool {
        match self.state {
            State::Awaiting => true,
            // What it makes itself has no epoch yet.
            State::Creating => self.epoch > Epoch(0),
            State::Wanted | State::Active | State::Ended | State::Ending => false,
        }
    }
}

/// What a new row needs.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) name: Option<ConversationName>,
    pub(crate) kind: Kind,
    pub(crate) peer: Option<Address>,
    pub(crate) title: String,
    pub(crate) state: State,
}

pub(crate) fn insert(tx: &Transaction<'_>, new: &New) -> Result<Local, StoreError> {
    let chain = new.name.as_ref().map(|name| ChainValue::genesis(name).0.to_vec()).unwrap_or_default();
    tx.prepare_cached(
        "INSERT INTO conversation (name, kind, peer, title, state, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((
        new.name.as_ref().map(ToString::to_string),
        new.kind as i64,
        new.peer.as_ref().map(ToString::to_string),
        &new.title,
        new.state as i64,
        chain,
    ))?;
    Ok(tx.last_insert_rowid())
}

pub(crate) fn get(tx: &Transaction<'_>, local: Local) -> Result<Conversation, StoreError> {
    one(tx, "WHERE local = ?1", [local])?.ok_or(StoreError::Corrupt("a conversation that is gone"))
}

pub(crate) fn by_name(tx: &Transaction<'_>, name: &ConversationName) -> Result<Option<Conversation>, StoreError> {
    one(tx, "WHERE name = ?1", [name.to_string()])
}

/// The direct conversation with somebody, ended ones apart.
pub(crate) fn direct_with(tx: &Transaction<'_>, peer: &Address) -> Result<Option<Conversation>, StoreError> {
    one(tx, "WHERE kind = 1 AND state < 4 AND peer = ?1", [peer.to_string()])
}

/// The direct conversation with somebody, made up where there is none.
pub(crate) fn want_direct(tx: &Transaction<'_>, peer: &Address) -> Result<Conversation, StoreError> {
    if let Some(found) = direct_with(tx, peer)? {
        return Ok(found);
    }
    let title = peer.to_string();
    let new = New { name: None, kind: Kind::Direct, peer: Some(peer.clone()), title, state: State::Wanted };
    get(tx, insert(tx, &new)?)
}

/// The conversation of the account with itself.
pub(crate) fn personal(tx: &Transaction<'_>) -> Result<Option<Conversation>, StoreError> {
    one(tx, "WHERE kind = 3 AND state < 4", [])
}

/// The same, made up where there is none.
pub(crate) fn want_personal(tx: &Transaction<'_>, me: &Address) -> Result<Conversation, StoreError> {
    if let Some(found) = personal(tx)? {
        return Ok(found);
    }
    let new = New { name: None, kind: Kind::Personal, peer: None, title: me.to_string(), state: State::Wanted };
    get(tx, insert(tx, &new)?)
}

/// Conversations with a title, those that go on before those that have ended, newest first.
pub(crate) fn by_title(tx: &Transaction<'_>, title: &str) -> Result<Vec<Conversation>, StoreError> {
    many(tx, "WHERE kind <> 0 AND title = ?1 ORDER BY state >= 4, local DESC", [title])
}

/// Everything but the inbox.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    many(tx, "WHERE kind <> 0 ORDER BY local", [])
}

/// Conversations in a state.
pub(crate) fn in_state(tx: &Transaction<'_>, state: State) -> Result<Vec<Conversation>, StoreError> {
    many(tx, "WHERE state = ?1 ORDER BY local", [state as i64])
}

/// The inbox and what goes on and is trusted.
pub(crate) fn going_on(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    many(tx, "WHERE state = 3 AND distrusted = 0 ORDER BY kind, local", [])
}

/// Logs to follow: those, and what is not read to its end yet.
pub(crate) fn followed(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    many(
        tx,
        "WHERE state IN (3, 5) AND distrusted = 0 AND local NOT IN (SELECT conversation FROM lost) ORDER BY kind, local",
        [],
    )
}

/// Logs that would be followed if the server knew them.
pub(super) fn lost(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    many(
        tx,
        "WHERE state IN (3, 5) AND distrusted = 0 AND local IN (SELECT conversation FROM lost) ORDER BY kind, local",
        [],
    )
}

/// Sets where this device stands in the log.
pub(crate) fn set_position(tx: &Transaction<'_>, local: Local, seq: Seq, chain: &ChainValue) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET seq = ?2, chain = ?3 WHERE local = ?1")?.execute((
        local,
        row::signed(seq.0),
        chain.0,
    ))?;
    Ok(())
}

/// Removes one that never came to be.
pub(crate) fn remove(tx: &Transaction<'_>, local: Local) -> Result<(), StoreError> {
    picture::set(tx, local, &[])?;
    tx.execute("DELETE FROM conversation WHERE local = ?1", [local])?;
    Ok(())
}

/// Gives one that was wanted or awaited its name, from the position given on.
pub(crate) fn set_name(tx: &Transaction<'_>, local: Local, name: &ConversationName) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET name = ?2, seq = 0, chain = ?3, counter = 0 WHERE local = ?1")?
        .execute((local, name.to_string(), ChainValue::genesis(name).0))?;
    Ok(())
}

/// Takes back a name that the server did not accept.
pub(crate) fn forget_name(tx: &Transaction<'_>, local: Local) -> Result<(), StoreError> {
    tx.execute("UPDATE conversation SET name = NULL, chain = x'', seq = 0, counter = 0 WHERE local = ?1", [local])?;
    continuation::remove(tx, local)
}

pub(crate) fn set_state(tx: &Transaction<'_>, local: Local, state: State) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET state = ?2 WHERE local = ?1")?.execute((local, state as i64))?;
    Ok(())
}

pub(crate) fn set_title(tx: &Transaction<'_>, local: Local, title: &str) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET title = ?2 WHERE local = ?1")?.execute((local, title))?;
    Ok(())
}

/// What a group's description has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct News {
    /// Its name or what it is about.
    pub(crate) words: bool,
    pub(crate) picture: bool,
}

/// Sets what a group is called and about, and its picture, as an entry says; says what of it is news. What a later entry
/// said stays. An entry that has no place yet is the latest.
pub(crate) fn describe(
    tx: &Transaction<'_>,
    local: Local,
    seq: Option<Seq>,
    state: &v1::GroupState,
) -> Result<News, StoreError> {
    if let Some(seq) = seq {
        let latest = tx
            .prepare_cached("UPDATE conversation SET described_seq = ?2 WHERE local = ?1 AND described_seq < ?2")?
            .execute((local, row::signed(seq.0)))?;
        if latest == 0 {
            return Ok(News::default());
        }
    }
    let changed = tx
        .prepare_cached(
            "UPDATE conversation SET title = ?2, topic = ?3 WHERE local = ?1 AND (title, topic) <> (?2, ?3)",
        )?
        .execute((local, &state.name, &state.topic))?;
    // Whoever sent it may have sent anything.
    let shown = PictureFormat::of(&state.picture).map_or(&[][..], |_| &state.picture);
    Ok(News { words: changed > 0, picture: picture::set(tx, local, shown)? })
}

/// Notes that the server has an entry of ours with this counter.
pub(crate) fn raise_counter(tx: &Transaction<'_>, local: Local, counter: Counter) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET counter = max(counter, ?2) WHERE local = ?1")?
        .execute((local, row::signed(counter.0)))?;
    Ok(())
}

/// Takes the server's word for our last counter.
pub(crate) fn set_counter(tx: &Transaction<'_>, local: Local, counter: Counter) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET counter = ?2 WHERE local = ?1")?
        .execute((local, row::signed(counter.0)))?;
    Ok(())
}

pub(crate) fn set_epoch(tx: &Transaction<'_>, local: Local, epoch: Epoch) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET epoch = ?2 WHERE local = ?1")?.execute((local, row::signed(epoch.0)))?;
    Ok(())
}

/// This device's keys in the group are new.
pub(crate) fn set_renewed(tx: &Transaction<'_>, local: Local, now_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET renewed_ms = ?2 WHERE local = ?1")?
        .execute((local, row::signed(now_ms)))?;
    Ok(())
}

/// Conversations in whose groups this device's keys were made before a time, oldest first, at most so many. Where it was
/// not noted they count as made then.
pub(crate) fn to_renew(tx: &Transaction<'_>, before_ms: u64, limit: u32) -> Result<Vec<Local>, StoreError> {
    tx.execute("UPDATE conversation SET renewed_ms = ?1 WHERE renewed_ms = 0", [row::signed(before_ms)])?;
    let mut select = tx.prepare_cached(
        "SELECT local FROM conversation WHERE kind <> 0 AND state = 3 AND distrusted = 0 AND renewed_ms < ?1 \
         ORDER BY renewed_ms LIMIT ?2",
    )?;
    let due = select.query_map((row::signed(before_ms), limit), |row| row.get(0))?;
    Ok(due.collect::<Result<_, _>>()?)
}

/// Nothing is encrypted for it before it has reached this epoch.
pub(crate) fn hold_until(tx: &Transaction<'_>, local: Local, epoch: Epoch) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET hold_epoch = ?2 WHERE local = ?1")?
        .execute((local, row::signed(epoch.0)))?;
    Ok(())
}

/// Says why what is in the outbox for it waits, or that it does not.
pub(crate) fn set_waiting(tx: &Transaction<'_>, local: Local, reason: Option<&str>) -> Result<bool, StoreError> {
    let changed = tx
        .prepare_cached("UPDATE conversation SET waiting = ?2 WHERE local = ?1 AND waiting IS NOT ?2")?
        .execute((local, reason))?;
    Ok(changed > 0)
}

pub(crate) fn set_request(tx: &Transaction<'_>, local: Local, request: bool) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET request = ?2 WHERE local = ?1")?.execute((local, request))?;
    Ok(())
}

/// Says whether it is followed from now on.
pub(crate) fn set_trusted(tx: &Transaction<'_>, local: Local, trusted: Trusted) -> Result<(), StoreError> {
    tx.execute("UPDATE conversation SET distrusted = ?2 WHERE local = ?1", (local, trusted as i64))?;
    Ok(())
}

/// A key was accepted: what was left alone because of one is tried again.
pub(crate) fn trust_again(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation SET distrusted = ?1 WHERE distrusted = ?2",
        (Trusted::Yes as i64, Trusted::OnceKeyAccepted as i64),
    )?;
    Ok(())
}

pub(super) fn one(
    tx: &Transaction<'_>,
    filter: &str,
    values: impl rusqlite::Params,
) -> Result<Option<Conversation>, StoreError> {
    let mut select = tx.prepare_cached(&format!("SELECT * FROM conversation {filter}"))?;
    let found = select.query_one(values, |row| Ok(read(row))).optional()?;
    found.transpose()
}

fn many(tx: &Transaction<'_>, filter: &str, values: impl rusqlite::Params) -> Result<Vec<Conversation>, StoreError> {
    let mut select = tx.prepare_cached(&format!("SELECT * FROM conversation {filter}"))?;
    let mut rows = select.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn read(row: &Row<'_>) -> Result<Conversation, StoreError> {
    let chain: Vec<u8> = row.get("chain")?;
    Ok(Conversation {
        local: row.get("local")?,
        name: row.get::<_, Option<String>>("name")?.map(|name| row::name(&name)).transpose()?,
        kind: Kind::read(row.get("kind")?)?,
        peer: row.get::<_, Option<String>>("peer")?.map(|peer| row::address(&peer)).transpose()?,
        title: row.get("title")?,
        topic: row.get("topic")?,
        state: match row.get::<_, i64>("state")? {
            0 => State::Wanted,
            1 => State::Creating,
            2 => State::Awaiting,
            3 => State::Active,
            4 => State::Ended,
            5 => State::Ending,
            _ => return Err(StoreError::Corrupt("a state of a conversation")),
        },
        seq: Seq(row::number(row, "seq")?),
        chain: if chain.is_empty() { None } else { Some(row::chain(&chain)?) },
        counter: Counter(row::number(row, "counter")?),
        epoch: Epoch(row::number(row, "epoch")?),
        waiting: row.get("waiting")?,
        request: row.get("request")?,
        trusted: match row.get::<_, i64>("distrusted")? {
            0 => Trusted::Yes,
            2 => Trusted::OnceKeyAccepted,
            _ => Trusted::Never,
        },
        muted: row.get("muted")?,
    })
}
