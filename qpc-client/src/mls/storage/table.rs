//! The table under the MLS state: typed values by owner, kind and item.
//!
//! An owner is a group or a key; a kind says what is kept of it; the item tells several of a
//! kind apart. Each row carries the number of its value's format.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::mls::Fault;

/// The table, for the migrations of the database it lives in. That database must have
/// `secure_delete` on: forward secrecy is worth what deleted keys leave behind.
pub const SCHEMA: &str = "
CREATE TABLE mls_values (
    owner  BLOB NOT NULL,
    kind   INTEGER NOT NULL,
    item   BLOB NOT NULL,
    format INTEGER NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (owner, kind, item)
) STRICT;
CREATE INDEX mls_values_by_kind ON mls_values (kind);
";

/// JSON of OpenMLS 0.9's storage types. A release of OpenMLS that changes them gets another
/// number and a migration.
const FORMAT: u8 = 1;

/// Why the MLS state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// A value can't be encoded, or is not what its kind says.
    #[error("a stored MLS value is malformed: {0}")]
    Value(#[from] serde_json::Error),
    /// A value was written by another version of this program.
    #[error("a stored MLS value has format {0}; this version reads {FORMAT}")]
    Format(u8),
}

type Result<T> = std::result::Result<T, StorageError>;

/// What a row holds. The numbers are stored: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::mls) enum Kind {
    JoinConfig = 1,
    Tree = 2,
    TranscriptHash = 3,
    Context = 4,
    ConfirmationTag = 5,
    MessageSecrets = 6,
    ResumptionPsks = 7,
    OwnLeafIndex = 8,
    EpochSecrets = 9,
    GroupState = 10,
    ApplicationExportTree = 11,
    OwnLeafNodes = 12,
    QueuedProposal = 13,
    EpochKeys = 14,
    SignatureKeys = 20,
    EncryptionKeys = 21,
    KeyPackage = 22,
    Psk = 23,
}

/// The encoding of a key, the same for equal keys.
pub(in crate::mls) fn key<K: Serialize + ?Sized>(of: &K) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(of)?)
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Zeroizing<Vec<u8>>> {
    Ok(Zeroizing::new(serde_json::to_vec(value)?))
}

fn decode<T: DeserializeOwned>(format: u8, value: &[u8]) -> Result<T> {
    if format == FORMAT { Ok(serde_json::from_slice(value)?) } else { Err(StorageError::Format(format)) }
}

/// The table, on the connection of the transaction that is open.
#[derive(Clone, Copy)]
pub(in crate::mls) struct Table<'t> {
    connection: &'t Connection,
}

impl<'t> Table<'t> {
    pub(in crate::mls) fn new(connection: &'t Connection) -> Self {
        Self { connection }
    }

    pub(in crate::mls) fn put<T: Serialize + ?Sized>(
        &self,
        owner: &[u8],
        kind: Kind,
        item: &[u8],
        value: &T,
    ) -> Result<()> {
        // An upsert and not a replacement: a row keeps its place in the order of a queue.
        self.connection
            .prepare_cached(
                "INSERT INTO mls_values (owner, kind, item, format, value) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET format = excluded.format, value = excluded.value",
            )?
            .execute(params![owner, kind as u8, item, FORMAT, encode(value)?.as_slice()])?;
        Ok(())
    }

    pub(in crate::mls) fn append<T: Serialize>(&self, owner: &[u8], kind: Kind, value: &T) -> Result<()> {
        let place: i64 = self
            .connection
            .prepare_cached("SELECT COUNT(*) FROM mls_values WHERE owner = ?1 AND kind = ?2")?
            .query_row(params![owner, kind as u8], |row| row.get(0))?;
        self.put(owner, kind, &place.to_be_bytes(), value)
    }

    pub(in crate::mls) fn get<T: DeserializeOwned>(&self, owner: &[u8], kind: Kind) -> Result<Option<T>> {
        self.get_item(owner, kind, &[])
    }

    pub(in crate::mls) fn get_item<T: DeserializeOwned>(
        &self,
        owner: &[u8],
        kind: Kind,
        item: &[u8],
    ) -> Result<Option<T>> {
        self.connection
            .prepare_cached("SELECT format, value FROM mls_values WHERE owner = ?1 AND kind = ?2 AND item = ?3")?
            .query_row(params![owner, kind as u8, item], |row| {
                Ok((row.get(0)?, Zeroizing::new(row.get::<_, Vec<u8>>(1)?)))
            })
            .optional()?
            .map(|(format, value)| decode(format, &value))
            .transpose()
    }

    /// The values of a list, in the order in which they came.
    pub(in crate::mls) fn list<T: DeserializeOwned>(&self, owner: &[u8], kind: Kind) -> Result<Vec<T>> {
        let mut query = self
            .connection
            .prepare_cached("SELECT format, value FROM mls_values WHERE owner = ?1 AND kind = ?2 ORDER BY rowid")?;
        let rows = query.query_map(params![owner, kind as u8], |row| {
            Ok((row.get(0)?, Zeroizing::new(row.get::<_, Vec<u8>>(1)?)))
        })?;
        rows.map(|row| row.map_err(StorageError::from).and_then(|(format, value)| decode(format, &value))).collect()
    }

    /// The items of a list, in the order in which they came.
    pub(in crate::mls) fn items<T: DeserializeOwned>(&self, owner: &[u8], kind: Kind) -> Result<Vec<T>> {
        let mut query = self
            .connection
            .prepare_cached("SELECT item FROM mls_values WHERE owner = ?1 AND kind = ?2 ORDER BY rowid")?;
        let rows = query.query_map(params![owner, kind as u8], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|row| Ok(serde_json::from_slice(&row?)?)).collect()
    }

    /// Every owner that has a value of a kind, with that value.
    pub(in crate::mls) fn all_of<T: DeserializeOwned>(&self, kind: Kind) -> Result<Vec<(Vec<u8>, T)>> {
        let mut query = self
            .connection
            .prepare_cached("SELECT owner, format, value FROM mls_values WHERE kind = ?1 ORDER BY rowid")?;
        let rows = query.query_map(params![kind as u8], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, Zeroizing::new(row.get::<_, Vec<u8>>(2)?)))
        })?;
        rows.map(|row| {
            let (owner, format, value) = row?;
            Ok((owner, decode(format, &value)?))
        })
        .collect()
    }

    pub(in crate::mls) fn delete(&self, owner: &[u8], kind: Kind) -> Result<()> {
        self.connection
            .prepare_cached("DELETE FROM mls_values WHERE owner = ?1 AND kind = ?2")?
            .execute(params![owner, kind as u8])?;
        Ok(())
    }

    pub(in crate::mls) fn delete_item(&self, owner: &[u8], kind: Kind, item: &[u8]) -> Result<()> {
        self.connection
            .prepare_cached("DELETE FROM mls_values WHERE owner = ?1 AND kind = ?2 AND item = ?3")?
            .execute(params![owner, kind as u8, item])?;
        Ok(())
    }

    /// Deletes everything an owner has, whatever its kind.
    pub(in crate::mls) fn delete_owner(&self, owner: &[u8]) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM mls_values WHERE owner = ?1")?.execute(params![owner])?;
        Ok(())
    }

    /// Runs an operation that leaves nothing behind where it fails, in a savepoint of the
    /// transaction that is open.
    pub(in crate::mls) fn atomically<T, E: From<Fault>>(
        &self,
        operation: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let sql = |sql| self.connection.execute_batch(sql).map_err(|error| Fault::Storage(error.into()));
        sql("SAVEPOINT mls")?;
        let result = operation();
        match &result {
            Ok(_) => sql("RELEASE mls")?,
            Err(_) => sql("ROLLBACK TO mls; RELEASE mls")?,
        }
        result
    }
}
