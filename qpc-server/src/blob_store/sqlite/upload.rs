//! Uploads and usage.

use qpc_proto::id::ConversationName;
use rusqlite::{Row, params};

use super::rows::{Rows, place};
use crate::{
    blob_store::{
        Budget, Upload,
        tables::{ContentId, Fallible, Owner, UploadRow, UploadTables, Usage},
    },
    store::sqlite::{
        error::{int, size},
        statements::{Statements, id, number},
    },
};

/// Whose row it is.
fn key(owner: &Owner) -> Vec<u8> {
    match owner {
        Owner::Account(account) => [b"a".as_slice(), account.as_bytes()].concat(),
        Owner::Conversation(conversation) => [b"c".as_slice(), &conversation.canonical()].concat(),
        Owner::Everybody => b"e".to_vec(),
    }
}

/// The columns from one on.
fn upload_row(row: &Row<'_>, column: usize) -> rusqlite::Result<UploadRow> {
    let at = |n: usize| column.saturating_add(n);
    Ok(UploadRow {
        content: ContentId(number(row, at(0))?),
        size: number(row, at(1))?,
        gapless: row.get(at(2))?,
        stored: number(row, at(3))?,
        touched_ms: number(row, at(4))?,
    })
}

impl UploadTables for Rows<'_> {
    fn usage(&mut self, owner: &Owner) -> Fallible<Usage> {
        let sql = "SELECT bytes, blobs, uploads FROM usage WHERE owner = ?1";
        let usage = self.connection.one(sql, [key(owner)], |row| {
            Ok(Usage { bytes: number(row, 0)?, blobs: number(row, 1)?, uploads: number(row, 2)? })
        })?;
        Ok(usage.unwrap_or_default())
    }

    fn set_usage(&mut self, owner: &Owner, usage: Usage) -> Fallible<()> {
        if usage == Usage::default() {
            self.connection.run("DELETE FROM usage WHERE owner = ?1", [key(owner)])?;
        } else {
            let sql = "INSERT OR REPLACE INTO usage (owner, bytes, blobs, uploads) VALUES (?1, ?2, ?3, ?4)";
            let Usage { bytes, blobs, uploads } = usage;
            self.connection.run(sql, params![key(owner), int(bytes), int(blobs), int(uploads)])?;
        }
        Ok(())
    }

    fn upload(&mut self, upload: &Upload) -> Fallible<Option<UploadRow>> {
        let sql = "SELECT content, size, gapless, stored, touched_ms FROM uploads \
                   WHERE account = ?1 AND domain = ?2 AND conversation = ?3 AND digest = ?4";
        let ConversationName { domain, id } = &upload.place.conversation;
        let key = params![upload.account.as_bytes(), domain.as_str(), id.as_bytes(), upload.place.digest.0];
        self.connection.one(sql, key, |row| upload_row(row, 0))
    }

    fn set_upload(&mut self, upload: &Upload, row: UploadRow) -> Fallible<()> {
        let sql = "INSERT INTO uploads (account, domain, conversation, digest, content, size, gapless, stored, touched_ms) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET content = ?5, size = ?6, \
                   gapless = ?7, stored = ?8, touched_ms = ?9";
        let ConversationName { domain, id } = &upload.place.conversation;
        let UploadRow { content, size, gapless, stored, touched_ms } = row;
        let row = params![
            upload.account.as_bytes(),
            domain.as_str(),
            id.as_bytes(),
            upload.place.digest.0,
            int(content.0),
            int(size),
            gapless,
            int(stored),
            int(touched_ms),
        ];
        self.connection.run(sql, row)?;
        Ok(())
    }

    fn remove_upload(&mut self, upload: &Upload) -> Fallible<()> {
        let sql = "DELETE FROM uploads WHERE account = ?1 AND domain = ?2 AND conversation = ?3 AND digest = ?4";
        let ConversationName { domain, id } = &upload.place.conversation;
        let key = params![upload.account.as_bytes(), domain.as_str(), id.as_bytes(), upload.place.digest.0];
        self.connection.run(sql, key)?;
        Ok(())
    }

    fn uploads_before(&mut self, before_ms: u64, limit: usize) -> Fallible<Vec<(Upload, UploadRow)>> {
        let sql = "SELECT account, domain, conversation, digest, content, size, gapless, stored, touched_ms FROM uploads \
                   WHERE touched_ms < ?1 ORDER BY touched_ms LIMIT ?2";
        self.connection.many(sql, params![int(before_ms), size(limit)], |row| {
            Ok((Upload { account: id(row, 0)?, place: place(row, 1)? }, upload_row(row, 4)?))
        })
    }

    fn unfinished(&mut self) -> Fallible<Budget> {
        // There are never more than some hours' uploads.
        let sql = "SELECT coalesce(sum(stored), 0), count(*) FROM uploads";
        let sum = self.connection.one(sql, [], |row| Ok(Budget { bytes: number(row, 0)?, blobs: number(row, 1)? }))?;
        Ok(sum.unwrap_or_default())
    }
}
