//! What was said before this device came: asked for here, and told to others.

use qpc_proto::{
    content::{Content, Kind as Said},
    id::{DeviceId, MessageId},
    v1,
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{
    Local, StoreError, attachment,
    conversation::Kind,
    details,
    due::{self, What},
    missed, orphan, row,
};
use crate::fresh;

/// Names a question.
pub(crate) type Request = [u8; 16];

/// This device has asked.
pub(crate) fn ask(tx: &Transaction<'_>, request: &Request) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO history_wanted (one, request, asked_ms) VALUES (1, ?1, ?2)",
        (request, row::signed(fresh::now_ms())),
    )?;
    Ok(())
}

/// Its question that is not answered, or not to the end, and when it was asked.
pub(crate) fn wanted(tx: &Transaction<'_>) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
    let mut select = tx.prepare_cached("SELECT request, asked_ms FROM history_wanted")?;
    let mut rows = select.query([])?;
    rows.next()?.map(|row| Ok((row.get("request")?, row::number(row, "asked_ms")?))).transpose()
}

/// Was this device told what was said before it came, or is there nothing to be told?
pub(crate) fn is_whole(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(due::get(tx, What::History)?.is_none() && wanted(tx)?.is_none())
}

/// Its question is answered. Others that wait for it are told everything from then on.
pub(crate) fn answered(tx: &Transaction<'_>, begin_ms: u64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM history_wanted", [])?;
    tx.execute("DELETE FROM history_in_part", [])?;
    missed::told(tx)?;
    orphan::forget(tx)?;
    tx.execute(
        "UPDATE history_asked SET conversation = 0, message = NULL, begin_ms = max(begin_ms, ?1)",
        [row::signed(begin_ms)],
    )?;
    Ok(())
}

/// Another device has told what it has, and waits itself.
pub(crate) fn told_in_part(tx: &Transaction<'_>, device: DeviceId) -> Result<(), StoreError> {
    tx.execute("INSERT OR IGNORE INTO history_in_part (device) VALUES (?1)", [device.as_bytes()])?;
    Ok(())
}

/// Have all of these devices done so?
pub(crate) fn all_in_part(tx: &Transaction<'_>, devices: &[DeviceId]) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached("SELECT 1 FROM history_in_part WHERE device = ?1")?;
    for device in devices {
        if !select.exists([device.as_bytes()])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Another device has asked; this one begins to answer then, if it has not heard another do so. Who asks again has given up
/// what it asked before, and still has what it was told.
pub(crate) fn put_asked(
    tx: &Transaction<'_>,
    request: &[u8],
    asker: DeviceId,
    begin_ms: u64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO history_asked (request, asker, begin_ms, in_part) \
         SELECT ?1, ?2, ?3, coalesce(max(in_part), 0) FROM history_asked WHERE asker = ?2",
        (request, asker.as_bytes(), row::signed(begin_ms)),
    )?;
    tx.execute("DELETE FROM history_asked WHERE asker = ?1 AND request <> ?2", (asker.as_bytes(), request))?;
    Ok(())
}

/// Another one answers: this one need not, if it has not begun.
pub(crate) fn leave_to_others(tx: &Transaction<'_>, request: &[u8]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM history_asked WHERE request = ?1 AND conversation = 0 AND message IS NULL", [request])?;
    Ok(())
}

/// A question that this device answers, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) request: Vec<u8>,
    pub(crate) begin_ms: u64,
    conversation: Local,
    message: Option<i64>,
}

/// The next one. Who was told what there is here while this device waits is told no more before it has been told itself.
pub(crate) fn asked(tx: &Transaction<'_>) -> Result<Option<Asked>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT * FROM history_asked WHERE in_part = 0 OR ?1 ORDER BY begin_ms LIMIT 1")?;
    let mut rows = select.query([is_whole(tx)?])?;
    rows.next()?
        .map(|row| {
            Ok(Asked {
                request: row.get("request")?,
                begin_ms: row::number(row, "begin_ms")?,
                conversation: row.get("conversation")?,
                message: row.get("message")?,
            })
        })
        .transpose()
}

/// The next page of the answer, of at most so many bytes, and that it was made.
pub(crate) fn page(tx: &Transaction<'_>, asked: &Asked, bytes: usize) -> Result<v1::HistoryPage, StoreError> {
    let in_part = !is_whole(tx)?;
    let mut page = v1::HistoryPage { request: asked.request.clone().into(), in_part, ..Default::default() };
    let mut room = Room(bytes);
    let mut at = asked.clone();
    if at.message.is_none() && conversations(tx, &mut at, &mut page, &mut room)? {
        at.message = Some(i64::MAX);
    }
    if at.message.is_some() {
        page.last = messages(tx, &mut at, &mut page, &mut room)?;
    }
    if page.last && in_part {
        tx.execute(
            "UPDATE history_asked SET in_part = 1, conversation = 0, message = NULL WHERE request = ?1",
            [&at.request],
        )?;
    } else if page.last {
        tx.execute("DELETE FROM history_asked WHERE request = ?1", [&at.request])?;
    } else {
        tx.execute(
            "UPDATE history_asked SET conversation = ?2, message = ?3 WHERE request = ?1",
            (&at.request, at.conversation, at.message),
        )?;
    }
    Ok(page)
}

/// Bytes that are left in a page.
struct Room(usize);

impl Room {
    /// Takes a part, if it fits or if it is the first.
    fn take(&mut self, part: &impl prost::Message, first: bool) -> bool {
        // With its field's number and length.
        let size = part.encoded_len().saturating_add(8);
        let fits = size <= self.0 || first;
        self.0 = self.0.saturating_sub(size);
        fits
    }
}

/// Says whether these were the last.
fn conversations(
    tx: &Transaction<'_>,
    at: &mut Asked,
    page: &mut v1::HistoryPage,
    room: &mut Room,
) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT local, name, kind, title, peer, lifetime_s FROM conversation \
         WHERE local > ?1 AND kind IN (1, 2) AND name IS NOT NULL ORDER BY local",
    )?;
    let mut rows = select.query([at.conversation])?;
    while let Some(row) = rows.next()? {
        let told = v1::HistoryConversation {
            conversation: row.get("name")?,
            kind: Kind::read(row.get("kind")?)?.to_wire().into(),
            title: row.get("title")?,
            peer: row.get::<_, Option<String>>("peer")?.unwrap_or_default(),
            lifetime_s: row.get("lifetime_s")?,
        };
        if !room.take(&told, page.conversations.is_empty()) {
            return Ok(false);
        }
        at.conversation = row.get("local")?;
        page.conversations.push(told);
    }
    Ok(true)
}

/// The message with the file that it tells of, if it does. What would be too long goes without the preview.
fn with_file(
    tx: &Transaction<'_>,
    conversation: Local,
    mut told: v1::HistoryMessage,
) -> Result<v1::HistoryMessage, StoreError> {
    /// Longest text beside a preview, in bytes.
    const TEXT: usize = 8 * 1024;
    let Some(mut file) = attachment::told(tx, conversation, &told.message_id)? else { return Ok(told) };
    if told.body.len() > TEXT {
        file.preview.clear();
    }
    told.content = Content::new(told.sent_ms, Said::Attachment(file)).encode().unwrap_or_default().into();
    Ok(told)
}

/// What is read of a message that is told.
const TOLD: &str = "SELECT m.local, m.conversation, m.seq, m.id, m.sender, m.time_ms, m.kind, m.body, m.shown, c.name, \
                        m.reply_to, m.forwarded, m.mentions, m.edited_ms, m.deleted_by, m.expires_ms FROM message m \
                    JOIN conversation c ON c.local = m.conversation";

fn told(tx: &Transaction<'_>, row: &Row<'_>) -> Result<v1::HistoryMessage, StoreError> {
    let told = v1::HistoryMessage {
        conversation: row.get::<_, Option<String>>("name")?.unwrap_or_default(),
        seq: row::number(row, "seq")?,
        message_id: row.get::<_, Vec<u8>>("id")?.into(),
        sender: row.get("sender")?,
        sent_ms: row::number(row, "time_ms")?,
        kind: row.get("kind")?,
        body: row.get("body")?,
        unread: !row.get::<_, bool>("shown")?,
        ..Default::default()
    };
    let mut told = with_file(tx, row.get("conversation")?, told)?;
    details::told(tx, row.get("conversation")?, row, &mut told)?;
    Ok(told)
}

/// One message as it would be told, if it is there.
pub(crate) fn one(tx: &Transaction<'_>, message: i64) -> Result<Option<v1::HistoryMessage>, StoreError> {
    let mut select = tx.prepare_cached(&format!("{TOLD} WHERE m.local = ?1"))?;
    let mut rows = select.query([message])?;
    rows.next()?.map(|row| told(tx, row)).transpose()
}

/// Newest first; says whether these were the last.
fn messages(
    tx: &Transaction<'_>,
    at: &mut Asked,
    page: &mut v1::HistoryPage,
    room: &mut Room,
) -> Result<bool, StoreError> {
    let filter = "WHERE m.local < ?1 AND m.seq > 0 AND c.name IS NOT NULL ORDER BY m.local DESC";
    let mut select = tx.prepare_cached(&format!("{TOLD} {filter}"))?;
    let mut rows = select.query([at.message])?;
    while let Some(row) = rows.next()? {
        let told = told(tx, row)?;
        if !room.take(&told, page.conversations.is_empty() && page.messages.is_empty()) {
            return Ok(false);
        }
        at.message = Some(row.get("local")?);
        page.messages.push(told);
    }
    Ok(true)
}

/// Puts what was told into the order of the logs. What is here already keeps its own: a message stands after what was here when
/// it came or was written, and a notice after what it follows.
pub(crate) fn in_order(tx: &Transaction<'_>) -> Result<(), StoreError> {
    // Far below all others, because no two may have one place in between.
    const ASIDE: i64 = 1 << 48;
    tx.execute(
        "WITH told AS (SELECT DISTINCT conversation FROM message WHERE told = 2), \
              here AS (SELECT conversation, local, \
                           nullif(max(seq) OVER (PARTITION BY conversation ORDER BY local), 0) AS latest, \
                           min(nullif(seq, 0)) OVER (PARTITION BY conversation) AS first \
                       FROM message JOIN told USING (conversation) WHERE told < 2), \
              stands AS (SELECT conversation, local, coalesce(latest, first - 1, ?2) AS at, 1 AS here FROM here \
                         UNION ALL SELECT conversation, local, seq, 0 FROM message WHERE told = 2), \
              place AS (SELECT conversation, local, row_number() OVER (PARTITION BY conversation ORDER BY local) AS n \
                        FROM stands), \
              wanted AS (SELECT conversation, local, \
                             row_number() OVER (PARTITION BY conversation ORDER BY at, here, local) AS n FROM stands) \
         UPDATE message SET local = moved.to_place - ?1 \
         FROM (SELECT wanted.local AS from_place, place.local AS to_place \
               FROM wanted JOIN place USING (conversation, n) WHERE from_place <> to_place) AS moved \
         WHERE message.local = moved.from_place",
        (ASIDE, i64::MAX),
    )?;
    tx.execute("UPDATE message SET local = local + ?1 WHERE local < ?1 / -2", [ASIDE])?;
    tx.execute("UPDATE message SET told = 1 WHERE told = 2", [])?;
    Ok(())
}

/// Whether the message of another device's answer is new here; it is placed before all that is here, until it is put in order. One that is known
/// and was read there is read here.
pub(crate) fn take(
    tx: &Transaction<'_>,
    conversation: Local,
    id: MessageId,
    (own, me): (bool, &str),
    told: &v1::HistoryMessage,
) -> Result<bool, StoreError> {
    let before: Option<i64> =
        tx.prepare_cached("SELECT min(local) FROM message")?.query_one([], |row| row.get(0)).optional()?.flatten();
    let local = before.unwrap_or(0).min(0).saturating_sub(1);
    let inserted = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO message (local, conversation, seq, id, sender, own, time_ms, kind, body, shown, told) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 2)",
        )?
        .execute((
            local,
            conversation,
            row::signed(told.seq),
            id.as_bytes(),
            &told.sender,
            own,
            row::signed(told.sent_ms),
            &told.kind,
            &told.body,
            own || !told.unread,
        ))?;
    if let Ok(Content { kind: Said::Attachment(file), .. }) = Content::decode(&told.content)
        && inserted > 0
    {
        attachment::put(tx, conversation, id, &file)?;
    }
    if inserted > 0 {
        details::take(tx, conversation, (local, id), told, me)?;
    }
    if inserted == 0 && !told.unread {
        tx.prepare_cached("UPDATE message SET shown = 1 WHERE conversation = ?1 AND id = ?2")?
            .execute((conversation, id.as_bytes()))?;
    }
    Ok(inserted > 0)
}
