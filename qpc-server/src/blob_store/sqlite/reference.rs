//! Blobs in conversations.

use qpc_proto::id::ConversationName;
use rusqlite::{Row, params};

use super::rows::{Rows, conversation, place};
use crate::{
    blob_store::{
        Kept, Place,
        tables::{ContentId, Fallible, ReferenceRow, ReferenceTables},
    },
    store::sqlite::{
        error::{int, size},
        statements::{Statements, id, number},
    },
};

/// The columns from one on.
fn reference_row(row: &Row<'_>, column: usize) -> rusqlite::Result<ReferenceRow> {
    let at = |n: usize| column.saturating_add(n);
    Ok(ReferenceRow {
        content: ContentId(number(row, at(0))?),
        size: number(row, at(1))?,
        account: id(row, at(2))?,
        kept: Kept { added_ms: number(row, at(3))?, until_ms: number(row, at(4))? },
    })
}

/// A place, and the columns behind it.
fn in_place(row: &Row<'_>) -> rusqlite::Result<(Place, ReferenceRow)> {
    Ok((place(row, 0)?, reference_row(row, 3)?))
}

impl ReferenceTables for Rows<'_> {
    fn reference(&mut self, place: &Place) -> Fallible<Option<ReferenceRow>> {
        let sql = "SELECT content, size, account, added_ms, until_ms FROM blobs \
                   WHERE domain = ?1 AND conversation = ?2 AND digest = ?3";
        let ConversationName { domain, id } = &place.conversation;
        self.connection.one(sql, params![domain.as_str(), id.as_bytes(), place.digest.0], |row| reference_row(row, 0))
    }

    fn add_reference(&mut self, place: &Place, row: ReferenceRow) -> Fallible<()> {
        let sql = "INSERT INTO blobs (domain, conversation, digest, content, size, account, added_ms, until_ms) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let ConversationName { domain, id } = &place.conversation;
        let ReferenceRow { content, size, account, kept } = row;
        let row = params![
            domain.as_str(),
            id.as_bytes(),
            place.digest.0,
            int(content.0),
            int(size),
            account.as_bytes(),
            int(kept.added_ms),
            int(kept.until_ms),
        ];
        self.connection.run(sql, row)?;
        Ok(())
    }

    fn remove_reference(&mut self, place: &Place) -> Fallible<()> {
        let sql = "DELETE FROM blobs WHERE domain = ?1 AND conversation = ?2 AND digest = ?3";
        let ConversationName { domain, id } = &place.conversation;
        self.connection.run(sql, params![domain.as_str(), id.as_bytes(), place.digest.0])?;
        Ok(())
    }

    fn references_before(&mut self, before_ms: u64, limit: usize) -> Fallible<Vec<(Place, ReferenceRow)>> {
        let sql = "SELECT domain, conversation, digest, content, size, account, added_ms, until_ms FROM blobs \
                   WHERE added_ms < ?1 ORDER BY added_ms LIMIT ?2";
        self.connection.many(sql, params![int(before_ms), size(limit)], in_place)
    }

    fn references_until(&mut self, now_ms: u64, limit: usize) -> Fallible<Vec<(Place, ReferenceRow)>> {
        let sql = "SELECT domain, conversation, digest, content, size, account, added_ms, until_ms FROM blobs \
                   WHERE until_ms > 0 AND until_ms <= ?1 ORDER BY until_ms LIMIT ?2";
        self.connection.many(sql, params![int(now_ms), size(limit)], in_place)
    }

    fn places_of(&mut self, content: ContentId, limit: usize) -> Fallible<Vec<ConversationName>> {
        let sql = "SELECT domain, conversation FROM blobs WHERE content = ?1 LIMIT ?2";
        self.connection.many(sql, params![int(content.0), size(limit)], |row| conversation(row, 0))
    }
}
