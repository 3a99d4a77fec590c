//! Contents and their parts: bytes, and how they go.

use std::ops::Range;

use bytes::Bytes;
use rusqlite::params;

use super::rows::Rows;
use crate::{
    blob_store::{
        BlobDigest,
        tables::{Body, ContentId, ContentTables, Fallible},
        verbs::{PART_BITS, PARTS_PER_BLOB},
    },
    store::sqlite::{
        error::{corrupt, int, num, size},
        statements::{Statements, number},
    },
};

const FINISHED: i64 = 1;
const DISCARDED: i64 = 2;
/// Its rows are gone, its objects are not.
pub(super) const OBJECTS_LEFT: i64 = 3;

/// Pages that a part has.
const PAGES: usize = 17;
/// Free pages that are not worth moving others for: the next upload takes them.
const FREE_PAGES_KEPT: u64 = 64;

/// The key of a part.
fn key(content: ContentId, part: u32) -> Fallible<i64> {
    let part = u64::from(part);
    let base = content.0.checked_mul(PARTS_PER_BLOB).filter(|_| part < PARTS_PER_BLOB);
    let key = base.and_then(|base| base.checked_add(part)).and_then(|key| i64::try_from(key).ok());
    key.ok_or_else(|| corrupt("content id"))
}

/// The keys of all parts that a content may have: the first and the last.
pub(super) fn keys(content: ContentId) -> Fallible<(i64, i64)> {
    let last = u32::try_from(PARTS_PER_BLOB.saturating_sub(1)).unwrap_or(u32::MAX);
    Ok((key(content, 0)?, key(content, last)?))
}

impl ContentTables for Rows<'_> {
    fn new_content(&mut self, digest: BlobDigest, bytes: u64) -> Fallible<ContentId> {
        // SQLite's generator is seeded by the system: nobody can tell or ask for a name.
        let sql = "INSERT INTO contents (digest, size, name) VALUES (?1, ?2, randomblob(16))";
        self.connection.run(sql, params![digest.0, int(bytes)])?;
        Ok(ContentId(num(self.connection.last_insert_rowid())))
    }

    fn finish_content(&mut self, content: ContentId) -> Fallible<()> {
        self.set_state(content, FINISHED)
    }

    fn finished(&mut self, digest: BlobDigest, bytes: u64) -> Fallible<Option<ContentId>> {
        // The state is written out, because that lets SQLite use the index.
        let sql = "SELECT id FROM contents WHERE digest = ?1 AND size = ?2 AND state = 1";
        self.connection.one(sql, params![digest.0, int(bytes)], |row| number(row, 0).map(ContentId))
    }

    fn discard_content(&mut self, content: ContentId) -> Fallible<()> {
        self.set_state(content, DISCARDED)
    }

    fn has_part(&mut self, content: ContentId, part: u32) -> Fallible<bool> {
        if u64::from(part) >= PARTS_PER_BLOB {
            return Ok(false);
        }
        let found = self.connection.one("SELECT 1 FROM parts WHERE place = ?1", [key(content, part)?], |_| Ok(()))?;
        Ok(found.is_some())
    }

    fn add_part(&mut self, content: ContentId, part: u32, body: Body<'_>) -> Fallible<()> {
        let data = match body {
            Body::Here(bytes) => Some(bytes.as_ref()),
            Body::Elsewhere(_) => None,
        };
        let sql = "INSERT INTO parts (place, size, data) VALUES (?1, ?2, ?3)";
        self.connection.run(sql, params![key(content, part)?, size(body.len()), data])?;
        Ok(())
    }

    fn read_part(&mut self, content: ContentId, part: u32, range: Range<usize>) -> Fallible<Option<Bytes>> {
        let bytes = self.connection.one("SELECT data FROM parts WHERE place = ?1", [key(content, part)?], |row| {
            let data = row.get_ref(0)?.as_blob_or_null()?;
            Ok(data.and_then(|data| data.get(range)).map(Bytes::copy_from_slice))
        })?;
        Ok(bytes.flatten())
    }

    fn collect(&mut self, limit: usize) -> Fallible<bool> {
        let mut left = limit;
        while left > 0 {
            // The first half lets SQLite use the index.
            let sql = "SELECT id FROM contents WHERE state > 1 AND state = ?1 ORDER BY id LIMIT 1";
            let Some(content) = self.connection.one(sql, [DISCARDED], |row| number(row, 0).map(ContentId))? else {
                break;
            };
            let (first, last) = keys(content)?;
            let sql = "DELETE FROM parts WHERE place IN \
                       (SELECT place FROM parts WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3)";
            let removed = self.connection.run(sql, params![first, last, size(left)])?;
            if removed < left {
                fail::fail_point!("blobs::parts_removed");
                match self.bytes {
                    super::Bytes::Here => self.forget(content)?,
                    super::Bytes::Elsewhere => self.set_state(content, OBJECTS_LEFT)?,
                }
            }
            // A content without parts is work as well.
            left = left.saturating_sub(removed.max(1));
        }
        Ok(self.give_space_back(limit)? || left == 0)
    }
}

impl Rows<'_> {
    fn set_state(&self, content: ContentId, state: i64) -> Fallible<()> {
        self.connection.run("UPDATE contents SET state = ?2 WHERE id = ?1", params![int(content.0), state])?;
        Ok(())
    }

    /// Nothing of a content is left anywhere.
    pub(super) fn forget(&self, content: ContentId) -> Fallible<()> {
        self.connection.run("DELETE FROM contents WHERE id = ?1", [int(content.0)])?;
        Ok(())
    }

    /// A step of shortening the file, by as many pages as so many parts have. Says whether it is worth another.
    fn give_space_back(&self, parts: usize) -> Fallible<bool> {
        let free = || self.connection.one("PRAGMA freelist_count", [], |row| number(row, 0));
        if free()?.unwrap_or_default() <= FREE_PAGES_KEPT {
            return Ok(false);
        }
        self.connection.give_pages_back(parts.saturating_mul(PAGES))?;
        Ok(free()?.unwrap_or_default() > FREE_PAGES_KEPT)
    }
}

const _: () = assert!(PART_BITS < 32, "a part's number has 32 bits");
