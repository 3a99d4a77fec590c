//! The verbs' decisions, once for all adapters: each looks first, then writes.
//!
//! A verb runs inside one transaction of its adapter. A refusal leaves no trace, because every check comes before the
//! first write. What an account and a conversation take is kept beside their rows, in the same transaction.

mod read;
mod sweep;
mod upload;

pub(crate) use self::read::{Piece, pieces};
pub(super) use self::{
    read::{figures, joined, locate, places, read, used},
    sweep::{release, sweep},
    upload::{begin, discard, finish, fitting, locate_part, part, put_part, ready},
};
use super::{
    Place, Upload,
    tables::{BlobTables, Fallible, Owner, ReferenceRow, UploadRow, Usage},
};
use crate::store::StoreFault;
use qpc_proto::{
    id::{AccountId, ConversationName},
    limits::BLOB_PART,
};

/// Parts that a content may have, so that place and number fit into one key: 256 GiB.
pub(super) const PARTS_PER_BLOB: u64 = 1 << PART_BITS;
/// Bits of a part's number.
pub(super) const PART_BITS: u32 = 20;
/// Bytes of each part but the last.
const PART: u64 = BLOB_PART as u64;

/// How many parts a blob has.
pub(crate) fn parts(size: u64) -> u64 {
    size.div_ceil(PART)
}

/// How long a part is; `None` for one that the blob does not have.
pub(crate) fn part_len(size: u64, number: u32) -> Option<usize> {
    let rest = size.checked_sub(u64::from(number).checked_mul(PART)?)?;
    usize::try_from(rest.min(PART)).ok().filter(|len| *len > 0)
}

/// A part that a finished blob must have is not there.
fn missing() -> StoreFault {
    StoreFault::Engine("a stored part is missing".into())
}

/// Changes what somebody takes.
fn change(tables: &mut dyn BlobTables, owner: &Owner, change: impl Fn(&mut Usage)) -> Fallible<()> {
    let mut usage = tables.usage(owner)?;
    change(&mut usage);
    tables.set_usage(owner, usage)
}

/// Changes what an account and a conversation take.
fn change_both(
    tables: &mut dyn BlobTables,
    account: AccountId,
    conversation: &ConversationName,
    by: impl Fn(&mut Usage),
) -> Fallible<()> {
    change(tables, &Owner::Account(account), &by)?;
    change(tables, &Owner::Conversation(conversation.clone()), &by)
}

impl Usage {
    /// One blob more.
    fn add(&mut self, size: u64) {
        self.bytes = self.bytes.saturating_add(size);
        self.blobs = self.blobs.saturating_add(1);
    }

    /// One less.
    fn subtract(&mut self, size: u64) {
        self.bytes = self.bytes.saturating_sub(size);
        self.blobs = self.blobs.saturating_sub(1);
    }
}

/// Throws an unfinished upload away and takes its charge back.
fn drop_upload(tables: &mut dyn BlobTables, upload: &Upload, row: &UploadRow) -> Fallible<()> {
    tables.remove_upload(upload)?;
    fail::fail_point!("blobs::upload_removed");
    tables.discard_content(row.content)?;
    change_both(tables, upload.account, &upload.place.conversation, |usage| {
        usage.subtract(row.size);
        usage.uploads = usage.uploads.saturating_sub(1);
    })
}

/// Takes a blob out of a conversation; its bytes are nobody's if it was in no other.
pub(super) fn drop_reference(tables: &mut dyn BlobTables, place: &Place, row: &ReferenceRow) -> Fallible<()> {
    tables.remove_reference(place)?;
    fail::fail_point!("blobs::reference_removed");
    change_both(tables, row.account, &place.conversation, |usage| usage.subtract(row.size))?;
    if tables.places_of(row.content, 1)?.is_empty() {
        tables.discard_content(row.content)?;
        change(tables, &Owner::Everybody, |usage| usage.subtract(row.size))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_but_the_last_is_whole_and_nothing_overflows() {
        let lens = |size: u64| (0..4).map(|number| part_len(size, number)).collect::<Vec<_>>();
        assert_eq!(lens(0), [None; 4]);
        assert_eq!(lens(1), [Some(1), None, None, None]);
        assert_eq!(lens(PART), [Some(BLOB_PART), None, None, None]);
        assert_eq!(lens(2 * PART + 7), [Some(BLOB_PART), Some(BLOB_PART), Some(7), None]);
        assert_eq!((parts(0), parts(1), parts(PART), parts(PART + 1)), (0, 1, 1, 2));
        assert_eq!(part_len(u64::MAX, u32::MAX), Some(BLOB_PART));
        assert_eq!(parts(u64::MAX), u64::MAX / PART + 1);
    }
}
