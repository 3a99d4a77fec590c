//! What a backup asks of the database of blobs beside a server: which finished blobs it names, and what their objects are
//! called. And what a restored one is told: which of them it has not.
//!
//! It keeps no snapshot, for the reason that `check` gives. An id is never used again and a finished blob never changes, so
//! what is read at one time holds as long as the row does.

use std::{fmt, path::Path};

use rusqlite::{Connection, OptionalExtension, params};

use super::{LAYOUT, SqliteBlobs, rows::place};
use crate::{
    blob_store::{
        BlobStore, Sweep,
        tables::{ContentId, ReferenceTables},
        verbs,
    },
    store::{
        StoreFault,
        sqlite::{
            CheckError, DbKey, OpenError,
            check::read,
            error::int,
            statements::{Statements, number},
        },
    },
};

/// Into how many parts the catalogue is cut, by the first digit of the objects' names.
pub const SHARDS: u8 = 16;
/// About as many rows in one step of taking out what is lost.
const BATCH: usize = 500;

/// A finished blob.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredBlob {
    id: ContentId,
    /// What its objects are called.
    pub name: [u8; 16],
    /// Its bytes.
    pub size: u64,
    /// Their BLAKE3.
    pub(crate) digest: [u8; 32],
}

/// Whoever knows the digest could ask for the blob: it is not for logs.
impl fmt::Debug for StoredBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredBlob")
    }
}

/// The finished blobs of a database.
pub struct Catalogue(Connection);

impl Catalogue {
    /// Opens it to be read. A server may run on it.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn open(path: &Path, key: &DbKey) -> Result<Self, CheckError> {
        Ok(Self(read(path, key, &LAYOUT)?))
    }

    /// Bytes of all of them.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn bytes(&self) -> Result<u64, CheckError> {
        let sql = "SELECT coalesce(sum(size), 0) FROM contents WHERE state = 1";
        Ok(self.0.query_row(sql, [], |row| number(row, 0))?)
    }

    /// Those of which the first digit of the name is this, by their names: at most so many.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn shard(&self, digit: u8, limit: usize) -> Result<Vec<StoredBlob>, CheckError> {
        let first = |digit: u8| digit.checked_mul(SHARDS).map(|byte| [byte]);
        // All names are shorter than this one.
        let end = first(digit.saturating_add(1)).map_or_else(|| vec![u8::MAX; 17], Vec::from);
        let mut select = self.0.prepare_cached(
            "SELECT id, name, size, digest FROM contents WHERE state = 1 AND name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let blob = |row: &rusqlite::Row<'_>| {
            Ok(StoredBlob {
                id: ContentId(number(row, 0)?),
                name: row.get(1)?,
                size: number(row, 2)?,
                digest: row.get(3)?,
            })
        };
        let found = select.query_map(params![first(digit).unwrap_or_default(), end, limit], blob)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Is it there still?
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn has(&self, blob: &StoredBlob) -> Result<bool, CheckError> {
        let mut select = self.0.prepare_cached("SELECT 1 FROM contents WHERE id = ?1 AND state = 1")?;
        Ok(select.query_row([int(blob.id.0)], |_| Ok(())).optional()?.is_some())
    }
}

/// A restored database whose bytes are objects, to be told which of them are not there.
pub struct Losing(SqliteBlobs);

impl Losing {
    /// Opens it, and ends all unfinished uploads in it: a backup has no bytes of theirs. Clients begin them anew.
    ///
    /// # Errors
    /// [`OpenError`], and [`StoreFault`] within it.
    pub async fn begin(path: &Path, key: &DbKey) -> Result<Self, LosingError> {
        let index = SqliteBlobs::open_index(path, key.clone(), SqliteBlobs::options())?;
        let all = Sweep { uploads_before_ms: u64::MAX, blobs_before_ms: 0, now_ms: 0, batch: BATCH };
        while index.sweep(all).await? {}
        Ok(Self(index))
    }

    /// No conversation has these any more.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn lose(&self, blobs: &[StoredBlob]) -> Result<(), LosingError> {
        for some in blobs.chunks(BATCH) {
            let contents: Vec<ContentId> = some.iter().map(|blob| blob.id).collect();
            let lose = move |rows: &mut super::Rows<'_>| -> Result<(), StoreFault> {
                for content in &contents {
                    let sql = "SELECT domain, conversation, digest FROM blobs WHERE content = ?1";
                    let places = rows.connection.many(sql, [int(content.0)], |row| place(row, 0))?;
                    for place in &places {
                        if let Some(row) = rows.reference(place)? {
                            verbs::drop_reference(rows, place, &row)?;
                        }
                    }
                }
                Ok(())
            };
            self.0.engine.write(0, lose).await?;
        }
        Ok(())
    }

    /// Ends its threads.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn end(self) -> Result<(), LosingError> {
        Ok(self.0.close().await?)
    }
}

/// Why a restored database was not told.
#[derive(Debug, thiserror::Error)]
pub enum LosingError {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}
