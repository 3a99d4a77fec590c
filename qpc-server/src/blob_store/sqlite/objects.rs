//! What the index of objects is asked besides: how the objects of a content are called, and whose are to be removed.

use std::fmt;

use rusqlite::params;

use super::{SqliteBlobs, content::OBJECTS_LEFT, rows::Rows};
use crate::{
    blob_store::{
        Place, ReadBlobError, Upload, UploadError,
        tables::{ContentId, ContentTables, Fallible, ReferenceRow},
        verbs,
    },
    store::{
        Reply, StoreFault,
        sqlite::{
            error::{corrupt, int, size},
            statements::{Statements, number},
        },
    },
};

/// What the objects of a content are called: random, and told to nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::blob_store) struct ObjectName(pub(in crate::blob_store) [u8; 16]);

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectName")
    }
}

impl Rows<'_> {
    fn name(&self, content: ContentId) -> Fallible<ObjectName> {
        let sql = "SELECT name FROM contents WHERE id = ?1";
        let name = self.connection.one(sql, [int(content.0)], |row| row.get(0).map(ObjectName))?;
        name.ok_or_else(|| corrupt("content"))
    }
}

impl SqliteBlobs {
    /// Where a part of an upload is to be, and whether it is there already.
    pub(in crate::blob_store) fn slot(
        &self,
        upload: Upload,
        part: u32,
        len: usize,
    ) -> Reply<(ContentId, ObjectName, bool), UploadError> {
        self.engine.read(move |rows| {
            let row = verbs::fitting(rows, &upload, part, len)?;
            Ok((row.content, rows.name(row.content)?, rows.has_part(row.content, part)?))
        })
    }

    /// Where a part of an upload is, how large the blob is, and how long the part.
    pub(in crate::blob_store) fn part_at(
        &self,
        upload: Upload,
        part: u32,
    ) -> Reply<(ObjectName, u64, usize), UploadError> {
        self.engine.read(move |rows| {
            let (row, len) = verbs::locate_part(rows, &upload, part)?;
            Ok((rows.name(row.content)?, row.size, len))
        })
    }

    /// Where a range of a blob is: its name, what is known of the blob, and how many bytes the range has.
    pub(in crate::blob_store) fn range_at(
        &self,
        place: Place,
        offset: u64,
        length: usize,
    ) -> Reply<(ObjectName, ReferenceRow, usize), ReadBlobError> {
        self.engine.read(move |rows| {
            let (blob, len) = verbs::locate(rows, &place, offset, length)?;
            Ok((rows.name(blob.content)?, blob, len))
        })
    }

    /// Contents of which nothing is left but objects.
    pub(in crate::blob_store) fn objects_left(&self, limit: usize) -> Reply<Vec<(ContentId, ObjectName)>, StoreFault> {
        self.engine.read(move |rows| {
            let sql = "SELECT id, name FROM contents WHERE state > 1 AND state = ?1 ORDER BY id LIMIT ?2";
            rows.connection.many(sql, params![OBJECTS_LEFT, size(limit)], |row| {
                Ok((ContentId(number(row, 0)?), ObjectName(row.get(1)?)))
            })
        })
    }

    /// Their objects are gone as well.
    pub(in crate::blob_store) fn forget(&self, contents: Vec<ContentId>) -> Reply<(), StoreFault> {
        self.engine.write(0, move |rows| contents.iter().try_for_each(|content| rows.forget(*content)))
    }
}
