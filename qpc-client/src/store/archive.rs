//! What there is, found as far as the database can still be read.

use rusqlite::{ErrorCode, Transaction};

use super::{Local, StoreError};

/// Is this a part of the database that can't be read, so that another part may be? What ails the whole of it is none.
pub(crate) fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt(_) => true,
        StoreError::Engine(rusqlite::Error::SqliteFailure(failure, _)) => {
            // SQLCipher calls a page that is not what was written a lack of memory.
            matches!(
                failure.code,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::OutOfMemory | ErrorCode::Unknown
            )
        }
        StoreError::Engine(error) => matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::InvalidColumnType(..)
        ),
        _ => false,
    }
}

/// The conversations, in the order in which they came; without the account's inbox.
pub(crate) fn conversations(tx: &Transaction<'_>) -> Result<Vec<Local>, StoreError> {
    let mut select = tx.prepare_cached("SELECT local FROM conversation WHERE kind <> 0 ORDER BY local")?;
    let locals = select.query_map([], |row| row.get(0))?;
    Ok(locals.collect::<Result<_, _>>()?)
}

/// What is called so, where no more can be said of it.
pub(crate) fn title(tx: &Transaction<'_>, conversation: Local) -> Result<String, StoreError> {
    let mut select = tx.prepare_cached("SELECT title FROM conversation WHERE local = ?1")?;
    Ok(select.query_one([conversation], |row| row.get(0))?)
}

/// How many messages a conversation has that were said by somebody.
pub(crate) fn count(tx: &Transaction<'_>, conversation: Local) -> Result<u64, StoreError> {
    let mut select = tx.prepare_cached("SELECT count(*) FROM message WHERE conversation = ?1 AND kind <> 'notice'")?;
    let count: i64 = select.query_one([conversation], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Places of the next messages, in order, at most so many. Those from `after` on by the index, or by the table where that
/// is damaged.
pub(crate) fn next(
    tx: &Transaction<'_>,
    conversation: Local,
    after: i64,
    (limit, by_table): (u32, bool),
) -> Result<Vec<i64>, StoreError> {
    let how = if by_table { "NOT INDEXED" } else { "" };
    let mut select = tx.prepare_cached(&format!(
        "SELECT local FROM message {how} WHERE conversation = ?1 AND local > ?2 ORDER BY local LIMIT ?3"
    ))?;
    let locals = select.query_map((conversation, after, limit), |row| row.get(0))?;
    Ok(locals.collect::<Result<_, _>>()?)
}

/// Is a message what the client itself had to say?
pub(crate) fn is_notice(kind: &str) -> bool {
    kind == "notice"
}
