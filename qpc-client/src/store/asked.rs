//! Groups that this device has asked by a link to be let into, until somebody does or it is known that nobody will.

use bytes::Bytes;
use prost::Message;
use qpc_proto::{id::ConversationName, v1};
use rusqlite::Transaction;

use super::{StoreError, row};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) name: ConversationName,
    /// Encoded `JoinRequest`.
    pub(crate) request: Bytes,
    /// When its link ends; `None` until the server has answered.
    pub(crate) expires_ms: Option<u64>,
    /// It is being sent by whoever made it.
    pub(crate) flying: bool,
}

/// Adds one, on its way; an earlier one into the same group is forgotten.
pub(crate) fn put(tx: &Transaction<'_>, name: &ConversationName, request: &Bytes) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO asked (name, request, flying) VALUES (?1, ?2, 1)")?
        .execute((name.to_string(), request.as_ref()))?;
    Ok(())
}

pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Asked>, StoreError> {
    let mut select = tx.prepare_cached("SELECT name, request, expires_ms, flying FROM asked ORDER BY name")?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let expires_ms = row.get::<_, Option<i64>>("expires_ms")?;
        all.push(Asked {
            name: row::name(&row.get::<_, String>("name")?)?,
            request: row.get::<_, Vec<u8>>("request")?.into(),
            expires_ms: expires_ms.map(|ms| u64::try_from(ms).unwrap_or_default()),
            flying: row.get("flying")?,
        });
    }
    Ok(all)
}

/// The server has it: the link ends then.
pub(crate) fn waits(tx: &Transaction<'_>, name: &ConversationName, expires_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE asked SET expires_ms = ?2, flying = 0 WHERE name = ?1")?
        .execute((name.to_string(), row::signed(expires_ms)))?;
    Ok(())
}

/// Whoever sent them is gone: they are sent again.
pub(crate) fn ground_all(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE asked SET flying = 0 WHERE flying <> 0", [])?;
    Ok(())
}

/// Is what was asked into this group asked by this link?
pub(crate) fn is_by(tx: &Transaction<'_>, name: &ConversationName, link_key: &[u8]) -> Result<bool, StoreError> {
    let asked = all(tx)?.into_iter().find(|asked| asked.name == *name);
    let request = asked.map(|asked| v1::JoinRequest::decode(asked.request)).transpose();
    let request = request.map_err(|_| StoreError::Corrupt("a request to join"))?;
    Ok(request.is_some_and(|request| request.link_key == link_key))
}

/// Let in, or never to be; says whether it was asked.
pub(crate) fn remove(tx: &Transaction<'_>, name: &ConversationName) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM asked WHERE name = ?1")?.execute([name.to_string()])? > 0)
}
