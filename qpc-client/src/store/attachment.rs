//! Files that messages tell of: where they lie on the server, and how to open them.

use qpc_proto::{id::MessageId, v1};
use rusqlite::{Row, Transaction};

use super::{Local, StoreError, conversation::State, row};
use crate::{api, blob::Key, fresh};

/// Files in one list, at most.
const LIST_MAX: u32 = 1_000;
/// Candidates that are told where a beginning of an id fits several.
const CANDIDATES_MAX: u32 = 4;

/// A file, as its message tells of it.
#[derive(Clone)]
pub(crate) struct Attachment {
    pub(crate) conversation: Local,
    pub(crate) id: MessageId,
    pub(crate) file_name: String,
    pub(crate) size: u64,
    pub(crate) format: u32,
    pub(crate) digest: [u8; 32],
    pub(crate) key: Key,
    pub(crate) blob_size: u64,
}

/// Keeps what a message tells of a file; nothing where that can't be right.
pub(crate) fn put(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
    told: &v1::Attachment,
) -> Result<(), StoreError> {
    if told.digest.len() != 32 || told.key.len() != 32 {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT OR IGNORE INTO attachment \
         (conversation, id, file_name, media_type, size, format, digest, key, blob_size, preview) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        conversation,
        id.as_bytes(),
        &told.file_name,
        &told.media_type,
        row::signed(told.size),
        told.format,
        told.digest.as_ref(),
        told.key.as_ref(),
        row::signed(told.blob_size),
        told.preview.as_ref(),
    ))?;
    Ok(())
}

/// Forgets the file of a message that was deleted: where it lies, its key, its preview.
pub(super) fn remove(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM attachment WHERE conversation = ?1 AND id = ?2")?
        .execute((conversation, id.as_bytes()))?;
    Ok(())
}

/// As another device of the account is told, which has the caption in the message's text.
pub(crate) fn told(tx: &Transaction<'_>, conversation: Local, id: &[u8]) -> Result<Option<v1::Attachment>, StoreError> {
    let mut select = tx.prepare_cached("SELECT * FROM attachment WHERE conversation = ?1 AND id = ?2")?;
    let mut rows = select.query((conversation, id))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(v1::Attachment {
        file_name: row.get("file_name")?,
        media_type: row.get("media_type")?,
        size: row::number(row, "size")?,
        digest: row.get::<_, Vec<u8>>("digest")?.into(),
        key: row.get::<_, Vec<u8>>("key")?.into(),
        preview: row.get::<_, Vec<u8>>("preview")?.into(),
        caption: String::new(),
        format: row.get("format")?,
        blob_size: row::number(row, "blob_size")?,
    }))
}

/// The small picture that came with a file; empty where none did.
pub(crate) fn preview(tx: &Transaction<'_>, conversation: Local, id: MessageId) -> Result<Vec<u8>, StoreError> {
    let mut select = tx.prepare_cached("SELECT preview FROM attachment WHERE conversation = ?1 AND id = ?2")?;
    let mut rows = select.query((conversation, id.as_bytes()))?;
    Ok(rows.next()?.map(|row| row.get("preview")).transpose()?.unwrap_or_default())
}

/// The files of messages whose id, without dashes, begins so; a few where there are several.
pub(crate) fn beginning(tx: &Transaction<'_>, digits: &str) -> Result<Vec<Attachment>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT * FROM attachment WHERE substr(lower(hex(id)), 1, length(?1)) = ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut rows = select.query((digits, CANDIDATES_MAX))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Attachment, StoreError> {
    Ok(Attachment {
        conversation: row.get("conversation")?,
        id: row::message_id(&row.get::<_, Vec<u8>>("id")?)?,
        file_name: row.get("file_name")?,
        size: row::number(row, "size")?,
        format: row.get("format")?,
        digest: row::key(row.get("digest")?)?,
        key: Key::of_bytes(row::key(row.get("key")?)?),
        blob_size: row::number(row, "blob_size")?,
    })
}

/// The last files of a conversation, oldest first.
pub(crate) fn last(tx: &Transaction<'_>, conversation: Local) -> Result<Vec<api::File>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT a.id, a.file_name, a.media_type, a.size, m.sender, m.own, m.time_ms, m.seq, \
             EXISTS (SELECT 1 FROM outbox o WHERE o.id = a.id) AS queued, \
             EXISTS (SELECT 1 FROM upload u WHERE u.id = a.id AND u.over = 0) AS uploading, c.state \
         FROM attachment a JOIN message m ON m.conversation = a.conversation AND m.id = a.id \
         JOIN conversation c ON c.local = a.conversation \
         WHERE a.conversation = ?1 ORDER BY m.local DESC LIMIT ?2",
    )?;
    let mut rows = select.query((conversation, LIST_MAX))?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        let (own, seq) = (row.get("own")?, row::number(row, "seq")?);
        let gone = row.get::<_, i64>("state")? == State::Ended as i64;
        let state = match (row.get("uploading")?, row.get("queued")?) {
            (true, true) => api::FileState::Uploading,
            (false, true) => api::FileState::Queued,
            (_, false) if own && seq == 0 => api::FileState::Refused,
            _ if gone => api::FileState::Gone,
            _ => api::FileState::There,
        };
        files.push(api::File {
            id: row::message_id(&row.get::<_, Vec<u8>>("id")?)?.to_string(),
            name: row.get("file_name")?,
            size: row::number(row, "size")?,
            media_type: row.get("media_type")?,
            sender: row.get("sender")?,
            own,
            time: fresh::rfc3339(row::number(row, "time_ms")?),
            state,
        });
    }
    files.reverse();
    Ok(files)
}
