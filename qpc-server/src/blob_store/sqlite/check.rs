//! Verifies a database of blobs from the outside: pages, tables, and that every blob is there whole and is what its digest
//! says.
//!
//! It reads only and may run beside a server, so it keeps no snapshot, which would keep the write-ahead log from being folded
//! back: what is found wrong is looked at again before it is told, because it may have been removed meanwhile.

use std::path::Path;

use qpc_proto::id::ConversationName;
use rusqlite::{Connection, OptionalExtension, params};

use super::{LAYOUT, content::keys, objects::ObjectName, rows::conversation};
use crate::{
    blob_store::{
        tables::ContentId,
        verbs::{PARTS_PER_BLOB, part_len, parts},
    },
    store::sqlite::{
        CheckError, DbKey, FileProblem,
        check::{list, open},
        error::int,
        statements::number,
    },
};

/// What was looked at and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobReport {
    /// Finished blobs, each once.
    pub blobs: u64,
    /// Bytes of theirs.
    pub bytes: u64,
    /// Uploads that have begun and not ended.
    pub uploads: u64,
    /// What is wrong, at most a hundred.
    pub problems: Vec<BlobProblem>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobProblem {
    /// The file itself.
    #[error("blobs: {0}")]
    File(#[from] FileProblem),
    /// A blob can't be read, or is not what was sent.
    #[error(
        "blob {blob}: {what}. Restore it from a backup; without one nobody can fetch it any more, and whoever sent it has to \
         send it again"
    )]
    Blob {
        /// Which.
        blob: BlobName,
        /// What is wrong with it.
        what: BlobFault,
    },
    /// A conversation has a blob of which nothing is known.
    #[error(
        "blob {0}: its row is missing. Restore qpc-blobs.db from a backup; without one nobody can fetch it any more, and \
         whoever sent it has to send it again"
    )]
    Row(BlobName),
    /// An unfinished upload lacks something that was acknowledged.
    #[error(
        "an upload into {0}: {1}. Its client begins anew once it has expired (blobs.upload_expiry); nothing is to be done"
    )]
    Upload(ConversationName, BlobFault),
}

/// A blob, for an operator: whose it is, and enough of its digest to tell it from others there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobName {
    /// A conversation that it belongs to.
    pub conversation: ConversationName,
    /// The beginning of its digest.
    pub digest: [u8; 4],
}

impl std::fmt::Display for BlobName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.. of {}", hex::encode(self.digest), self.conversation)
    }
}

/// What is wrong with bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobFault {
    /// A part has no row.
    #[error("the row of part {0} is missing")]
    NoPart(u32),
    /// A part is longer or shorter than it must be.
    #[error("part {0} has another size than it must have")]
    PartSize(u32),
    /// The bytes are in no row, or are in one where they should be an object.
    #[error("part {0} is not where blobs.backend says")]
    Elsewhere(u32),
    /// An object is gone.
    #[error("the object {0} is missing")]
    NoObject(String),
    /// It has another size than its part.
    #[error("the object {0} has another size than it must have")]
    ObjectSize(String),
    /// The bytes are not those that were sent.
    #[error("its bytes are not those of its digest")]
    Digest,
}

/// Where the bytes are that are in no row.
pub(in crate::blob_store) trait Elsewhere {
    /// Looks at the objects of a content of this size that has so many parts, and adds their bytes where they are wanted.
    fn look(
        &mut self,
        name: ObjectName,
        size_and_parts: (u64, u32),
        hasher: &mut blake3::Hasher,
    ) -> Result<Option<BlobFault>, CheckError>;

    /// Are bytes added?
    fn reads(&self) -> bool;
}

/// Checks the database at a path. `told` hears how many bytes of how many have been looked at.
///
/// # Errors
/// [`CheckError`], where it can't even be looked at. What is found wrong is in the report.
pub(in crate::blob_store) fn check(
    path: &Path,
    key: &DbKey,
    mut elsewhere: Option<&mut dyn Elsewhere>,
    told: &mut dyn FnMut(u64, u64),
) -> Result<BlobReport, CheckError> {
    let (connection, problems) = open(path, key, &LAYOUT)?;
    let mut report =
        BlobReport { problems: problems.into_iter().map(BlobProblem::from).collect(), ..BlobReport::default() };
    if !report.problems.is_empty() {
        return Ok(report);
    }
    let connection = &connection;
    let total: u64 =
        connection
            .query_row("SELECT coalesce(sum(size), 0) FROM contents WHERE state = 1", [], |row| number(row, 0))?;
    let mut after = ContentId(0);
    while let Some(content) = next(connection, after)? {
        after = content.id;
        let looked = look(connection, &content, &mut elsewhere)?;
        // It may be gone by now, or have been finished.
        let fault = match looked {
            Some(_) if at(connection, content.id)?.is_some_and(|now| now.finished == content.finished) => looked,
            _ => None,
        };
        if content.finished {
            report.blobs = report.blobs.saturating_add(1);
            report.bytes = report.bytes.saturating_add(content.size);
            told(report.bytes, total.max(report.bytes));
        } else {
            report.uploads = report.uploads.saturating_add(1);
        }
        if let Some(problem) = fault.map(|what| content.problem(connection, what)).transpose()?.flatten() {
            list(&mut report.problems, problem);
        }
    }
    for name in strays(connection)? {
        list(&mut report.problems, BlobProblem::Row(name));
    }
    Ok(report)
}

/// Bytes of a blob, or of an upload.
struct Content {
    id: ContentId,
    digest: [u8; 32],
    size: u64,
    finished: bool,
    name: ObjectName,
    /// Parts that must be there.
    parts: u32,
}

impl Content {
    /// As it is told; nothing where it belongs to nobody.
    fn problem(&self, connection: &Connection, what: BlobFault) -> rusqlite::Result<Option<BlobProblem>> {
        let table = if self.finished { "blobs" } else { "uploads" };
        let sql = format!("SELECT domain, conversation FROM {table} WHERE content = ?1 LIMIT 1");
        let found = connection.query_row(&sql, [int(self.id.0)], |row| conversation(row, 0)).optional()?;
        Ok(found.map(|conversation| {
            if self.finished {
                BlobProblem::Blob { blob: BlobName::new(conversation, &self.digest), what }
            } else {
                BlobProblem::Upload(conversation, what)
            }
        }))
    }
}

impl BlobName {
    fn new(conversation: ConversationName, digest: &[u8; 32]) -> Self {
        let [a, b, c, d, ..] = *digest;
        Self { conversation, digest: [a, b, c, d] }
    }
}

const CONTENTS: &str = "SELECT c.id, c.digest, c.size, c.state, c.name, coalesce(u.gapless, 0) FROM contents c \
                        LEFT JOIN uploads u ON u.content = c.id WHERE c.state < 2";

fn content(row: &rusqlite::Row<'_>) -> rusqlite::Result<Content> {
    let (size, finished) = (number(row, 2)?, row.get::<_, i64>(3)? == 1);
    let wanted = if finished { parts(size) } else { number(row, 5)? };
    Ok(Content {
        id: ContentId(number(row, 0)?),
        digest: row.get(1)?,
        size,
        finished,
        name: ObjectName(row.get(4)?),
        parts: u32::try_from(wanted.min(PARTS_PER_BLOB)).unwrap_or(u32::MAX),
    })
}

/// The first one with a higher number.
fn next(connection: &Connection, after: ContentId) -> rusqlite::Result<Option<Content>> {
    let mut select = connection.prepare_cached(&format!("{CONTENTS} AND c.id > ?1 ORDER BY c.id LIMIT 1"))?;
    select.query_row([int(after.0)], content).optional()
}

fn at(connection: &Connection, id: ContentId) -> rusqlite::Result<Option<Content>> {
    let mut select = connection.prepare_cached(&format!("{CONTENTS} AND c.id = ?1"))?;
    select.query_row([int(id.0)], content).optional()
}

/// What is wrong with its bytes: the first thing that is.
fn look(
    connection: &Connection,
    content: &Content,
    elsewhere: &mut Option<&mut dyn Elsewhere>,
) -> Result<Option<BlobFault>, CheckError> {
    let mut hasher = blake3::Hasher::new();
    if let Some(fault) = rows(connection, content, elsewhere.is_none().then_some(&mut hasher))? {
        return Ok(Some(fault));
    }
    let read = match elsewhere {
        Some(elsewhere) => {
            if let Some(fault) = elsewhere.look(content.name, (content.size, content.parts), &mut hasher)? {
                return Ok(Some(fault));
            }
            elsewhere.reads()
        }
        None => true,
    };
    let differs = content.finished && read && *hasher.finalize().as_bytes() != content.digest;
    Ok(differs.then_some(BlobFault::Digest))
}

/// Looks at the rows of its parts; where their bytes are in them, at those as well.
fn rows(
    connection: &Connection,
    content: &Content,
    mut hasher: Option<&mut blake3::Hasher>,
) -> Result<Option<BlobFault>, CheckError> {
    let (first, last) = keys(content.id).map_err(|_| rusqlite::Error::InvalidQuery)?;
    let mut select = connection
        .prepare_cached("SELECT place, size, data FROM parts WHERE place BETWEEN ?1 AND ?2 ORDER BY place")?;
    let mut rows = select.query(params![first, last])?;
    for part in 0..content.parts {
        let Some(row) = rows.next()? else { return Ok(Some(BlobFault::NoPart(part))) };
        if row.get::<_, i64>(0)? != first.saturating_add(part.into()) {
            return Ok(Some(BlobFault::NoPart(part)));
        }
        let size = usize::try_from(number(row, 1)?).ok();
        let Ok(data) = row.get_ref(2)?.as_blob_or_null() else { return Ok(Some(BlobFault::Elsewhere(part))) };
        if size != part_len(content.size, part) || data.is_some_and(|data| Some(data.len()) != size) {
            return Ok(Some(BlobFault::PartSize(part)));
        }
        match (&mut hasher, data) {
            (Some(hasher), Some(data)) => drop(hasher.update(data)),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => return Ok(Some(BlobFault::Elsewhere(part))),
        }
    }
    Ok(None)
}

/// Blobs in conversations that have no bytes, or those of another blob.
fn strays(connection: &Connection) -> rusqlite::Result<Vec<BlobName>> {
    let mut select = connection.prepare(
        "SELECT b.domain, b.conversation, b.digest FROM blobs b WHERE NOT EXISTS (SELECT 1 FROM contents c \
         WHERE c.id = b.content AND c.state = 1 AND c.digest = b.digest AND c.size = b.size)",
    )?;
    select.query_map([], |row| Ok(BlobName::new(conversation(row, 0)?, &row.get(2)?)))?.collect()
}
