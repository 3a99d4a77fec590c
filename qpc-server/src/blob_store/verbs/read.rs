//! Reading: where blobs are, ranges of them, and how many there are.

use bytes::{Bytes, BytesMut};
use qpc_proto::{
    id::{AccountId, ConversationName},
    limits::BLOB_PART,
};

use super::{PART, missing};
use crate::blob_store::{
    BlobDigest, BlobFigures, Budget, Place, Range, ReadBlobError,
    tables::{BlobTables, Owner, ReferenceRow},
};
use crate::store::StoreFault;

/// See [`crate::blob_store::BlobStore::places`].
pub(in crate::blob_store) fn places(
    tables: &mut dyn BlobTables,
    digest: BlobDigest,
    size: u64,
    limit: usize,
) -> Result<Vec<ConversationName>, StoreFault> {
    tables.finished(digest, size)?.map_or(Ok(Vec::new()), |content| tables.places_of(content, limit))
}

/// Bytes of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Of which part.
    pub(crate) number: u32,
    /// Where in it.
    pub(crate) range: std::ops::Range<usize>,
}

/// What a range consists of: at most two pieces, because it is at most as long as a part.
pub(crate) fn pieces(offset: u64, len: usize) -> Vec<Piece> {
    let (Ok(number), Ok(from)) = (u32::try_from(offset / PART), usize::try_from(offset % PART)) else {
        return Vec::new();
    };
    let until = from.saturating_add(len);
    let first = Piece { number, range: from..until.min(BLOB_PART) };
    let second = Piece { number: number.saturating_add(1), range: 0..until.saturating_sub(BLOB_PART).min(BLOB_PART) };
    [first, second].into_iter().filter(|piece| !piece.range.is_empty()).collect()
}

/// A blob, and how many bytes a range has there.
pub(in crate::blob_store) fn locate(
    tables: &mut dyn BlobTables,
    place: &Place,
    offset: u64,
    length: usize,
) -> Result<(ReferenceRow, usize), ReadBlobError> {
    let blob = tables.reference(place)?.ok_or(ReadBlobError::NotFound)?;
    let rest = blob.size.checked_sub(offset).filter(|rest| *rest > 0).ok_or(ReadBlobError::Range)?;
    let len = usize::try_from(rest).unwrap_or(usize::MAX).min(length).min(BLOB_PART);
    Ok((blob, len))
}

/// See [`crate::blob_store::BlobStore::read`].
pub(in crate::blob_store) fn read(
    tables: &mut dyn BlobTables,
    place: &Place,
    offset: u64,
    length: usize,
) -> Result<Range, ReadBlobError> {
    let (ReferenceRow { content, size, kept, .. }, len) = locate(tables, place, offset, length)?;
    let mut read = |piece: Piece| tables.read_part(content, piece.number, piece.range)?.ok_or_else(missing);
    let parts = pieces(offset, len).into_iter().map(&mut read).collect::<Result<Vec<_>, _>>()?;
    Ok(Range { size, kept, data: joined(parts) })
}

/// One piece is not copied.
pub(in crate::blob_store) fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_default();
    }
    pieces
        .iter()
        .fold(BytesMut::new(), |mut all, piece| {
            all.extend_from_slice(piece);
            all
        })
        .freeze()
}

/// See [`crate::blob_store::BlobStore::figures`].
pub(in crate::blob_store) fn figures(tables: &mut dyn BlobTables) -> Result<BlobFigures, StoreFault> {
    let finished = tables.usage(&Owner::Everybody)?;
    let blobs = Budget { bytes: finished.bytes, blobs: finished.blobs };
    Ok(BlobFigures { blobs, uploads: tables.unfinished()? })
}

/// See [`crate::blob_store::BlobStore::used`].
pub(in crate::blob_store) fn used(tables: &mut dyn BlobTables, account: AccountId) -> Result<Budget, StoreFault> {
    let usage = tables.usage(&Owner::Account(account))?;
    Ok(Budget { bytes: usage.bytes, blobs: usage.blobs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_piece_or_two() {
        let piece = |number, range| Piece { number, range };
        assert_eq!(pieces(0, 10), [piece(0, 0..10)]);
        assert_eq!(pieces(0, BLOB_PART), [piece(0, 0..BLOB_PART)]);
        assert_eq!(pieces(PART, 1), [piece(1, 0..1)]);
        assert_eq!(pieces(3 * PART - 1, 3), [piece(2, BLOB_PART - 1..BLOB_PART), piece(3, 0..2)]);
        assert_eq!(pieces(7, 0), []);
        assert_eq!(pieces(u64::MAX, 5), []);
    }
}
