//! Uploads: they begin, take parts, and end as a blob or as nothing.

use bytes::Bytes;

use super::{PARTS_PER_BLOB, change, change_both, drop_upload, part_len, parts};
use crate::blob_store::{
    BeginError, Begun, Budget, Content, Kept, NewUpload, Place, Upload, UploadError,
    tables::{BlobTables, Body, ContentId, Fallible, Owner, ReferenceRow, UploadRow, Usage},
};
use crate::store::StoreFault;

/// See [`crate::blob_store::BlobStore::begin`].
pub(in crate::blob_store) fn begin(tables: &mut dyn BlobTables, new: &NewUpload) -> Result<Begun, BeginError> {
    let (upload, place) = (&new.upload, &new.upload.place);
    let unfinished = tables.upload(upload)?;
    let there = tables.reference(place)?;
    if there.is_some_and(|blob| blob.size == new.size) {
        // Somebody else was faster, perhaps.
        if let Some(row) = unfinished {
            drop_upload(tables, upload, &row)?;
        }
        return Ok(Begun::Complete);
    }
    let readable = match &new.readable_in {
        Some(conversation) if there.is_none() => {
            let elsewhere = Place { conversation: conversation.clone(), digest: place.digest };
            tables.reference(&elsewhere)?.filter(|blob| blob.size == new.size)
        }
        _ => None,
    };
    if let (None, Some(row)) = (readable, unfinished.filter(|row| row.size == new.size)) {
        tables.set_upload(upload, touched(row, new.now_ms))?;
        return Ok(Begun::Parts(row.gapless));
    }
    check_room(tables, new, unfinished.as_ref(), readable.is_none())?;
    if let Some(row) = unfinished {
        drop_upload(tables, upload, &row)?;
    }
    let uploads = u64::from(readable.is_none());
    change_both(tables, upload.account, &place.conversation, |usage| {
        usage.add(new.size);
        usage.uploads = usage.uploads.saturating_add(uploads);
    })?;
    fail::fail_point!("blobs::charged");
    if let Some(blob) = readable {
        let kept = Kept { added_ms: new.now_ms, until_ms: 0 };
        tables.add_reference(place, ReferenceRow { account: upload.account, kept, ..blob })?;
        return Ok(Begun::Complete);
    }
    let content = tables.new_content(place.digest, new.size)?;
    fail::fail_point!("blobs::content_made");
    let row = UploadRow { content, size: new.size, gapless: 0, stored: 0, touched_ms: new.now_ms };
    tables.set_upload(upload, row)?;
    Ok(Begun::Parts(0))
}

/// Is there room for one more, without the one that it replaces?
fn check_room(
    tables: &mut dyn BlobTables,
    new: &NewUpload,
    replaced: Option<&UploadRow>,
    stays_unfinished: bool,
) -> Result<(), BeginError> {
    if parts(new.size) > PARTS_PER_BLOB {
        return Err(BeginError::AccountQuota);
    }
    let mut taken = |owner| -> Fallible<Usage> {
        let mut usage = tables.usage(&owner)?;
        if let Some(row) = replaced {
            usage.subtract(row.size);
            usage.uploads = usage.uploads.saturating_sub(1);
        }
        Ok(usage)
    };
    let fits = |usage: Usage, budget: Budget| {
        usage.bytes.checked_add(new.size).is_some_and(|bytes| bytes <= budget.bytes) && usage.blobs < budget.blobs
    };
    let account = taken(Owner::Account(new.upload.account))?;
    if !fits(account, new.quota.account) {
        return Err(BeginError::AccountQuota);
    }
    if !fits(taken(Owner::Conversation(new.upload.place.conversation.clone()))?, new.quota.conversation) {
        return Err(BeginError::ConversationQuota);
    }
    if stays_unfinished && account.uploads >= new.quota.uploads {
        return Err(BeginError::TooManyUploads);
    }
    Ok(())
}

/// A clock that was set back makes nothing older.
fn touched(row: UploadRow, now_ms: u64) -> UploadRow {
    UploadRow { touched_ms: row.touched_ms.max(now_ms), ..row }
}

/// The upload as it is, if the part is one of it: what is checked before anything of a part is stored.
pub(in crate::blob_store) fn fitting(
    tables: &mut dyn BlobTables,
    upload: &Upload,
    number: u32,
    len: usize,
) -> Result<UploadRow, UploadError> {
    let row = tables.upload(upload)?.ok_or(UploadError::Unknown)?;
    if part_len(row.size, number) == Some(len) { Ok(row) } else { Err(UploadError::PartInvalid) }
}

/// See [`crate::blob_store::BlobStore::put_part`]. Where the bytes are stored elsewhere, the content for which they were
/// must still be the upload's.
pub(in crate::blob_store) fn put_part(
    tables: &mut dyn BlobTables,
    upload: &Upload,
    number: u32,
    (content, body): (Option<ContentId>, Body<'_>),
    now_ms: u64,
) -> Result<Option<Content>, UploadError> {
    let row = fitting(tables, upload, number, body.len())?;
    if content.is_some_and(|content| content != row.content) {
        return Err(UploadError::Unknown);
    }
    let mut row = touched(row, now_ms);
    let new = !tables.has_part(row.content, number)?;
    if new {
        tables.add_part(row.content, number, body)?;
        fail::fail_point!("blobs::part_added");
        row.stored = row.stored.saturating_add(u64::try_from(body.len()).unwrap_or(u64::MAX));
        if row.gapless == number {
            row.gapless = row.gapless.saturating_add(1);
            while tables.has_part(row.content, row.gapless)? {
                row.gapless = row.gapless.saturating_add(1);
            }
        }
    }
    tables.set_upload(upload, row)?;
    Ok(new.then_some(Content { size: row.size, id: row.content }))
}

/// The upload, and how many bytes a part of it has, which is there.
pub(in crate::blob_store) fn locate_part(
    tables: &mut dyn BlobTables,
    upload: &Upload,
    number: u32,
) -> Result<(UploadRow, usize), UploadError> {
    let row = tables.upload(upload)?.ok_or(UploadError::Unknown)?;
    let len = part_len(row.size, number).ok_or(UploadError::PartInvalid)?;
    if tables.has_part(row.content, number)? { Ok((row, len)) } else { Err(UploadError::PartsMissing) }
}

/// See [`crate::blob_store::BlobStore::part`].
pub(in crate::blob_store) fn part(
    tables: &mut dyn BlobTables,
    upload: &Upload,
    number: u32,
) -> Result<(u64, Bytes), UploadError> {
    let (row, len) = locate_part(tables, upload, number)?;
    Ok((row.size, tables.read_part(row.content, number, 0..len)?.ok_or_else(super::missing)?))
}

fn is_whole(row: &UploadRow) -> bool {
    u64::from(row.gapless) >= parts(row.size)
}

/// See [`crate::blob_store::BlobStore::ready`].
pub(in crate::blob_store) fn ready(
    tables: &mut dyn BlobTables,
    upload: &Upload,
) -> Result<Option<Content>, UploadError> {
    let there = tables.reference(&upload.place)?;
    match (tables.upload(upload)?, there) {
        (None, None) => Err(UploadError::Unknown),
        (None, Some(_)) => Ok(None),
        (Some(row), Some(blob)) if row.size == blob.size => Ok(None),
        (Some(row), _) if is_whole(&row) => Ok(Some(Content { size: row.size, id: row.content })),
        (Some(_), _) => Err(UploadError::PartsMissing),
    }
}

/// See [`crate::blob_store::BlobStore::finish`].
pub(in crate::blob_store) fn finish(
    tables: &mut dyn BlobTables,
    upload: &Upload,
    whole: Content,
    kept: Kept,
) -> Result<(), UploadError> {
    let place = &upload.place;
    let there = tables.reference(place)?;
    let row = match (tables.upload(upload)?, there) {
        (None, None) => return Err(UploadError::Unknown),
        (None, Some(_)) => return Ok(()),
        (Some(row), Some(_)) => return Ok(drop_upload(tables, upload, &row)?),
        (Some(row), None) if row.content == whole.id => row,
        // Nobody has compared what is there now.
        (Some(_), None) => return Err(UploadError::Unknown),
    };
    if !is_whole(&row) {
        return Err(UploadError::PartsMissing);
    }
    let content = if let Some(known) = tables.finished(place.digest, row.size)? {
        tables.discard_content(row.content)?;
        known
    } else {
        tables.finish_content(row.content)?;
        change(tables, &Owner::Everybody, |usage| usage.add(row.size))?;
        row.content
    };
    fail::fail_point!("blobs::content_finished");
    tables.remove_upload(upload)?;
    change_both(tables, upload.account, &place.conversation, |usage| {
        usage.uploads = usage.uploads.saturating_sub(1);
    })?;
    fail::fail_point!("blobs::upload_finished");
    let reference = ReferenceRow { content, size: row.size, account: upload.account, kept };
    Ok(tables.add_reference(place, reference)?)
}

/// See [`crate::blob_store::BlobStore::discard`].
pub(in crate::blob_store) fn discard(tables: &mut dyn BlobTables, upload: &Upload) -> Result<(), StoreFault> {
    tables.upload(upload)?.map_or(Ok(()), |row| drop_upload(tables, upload, &row))
}
