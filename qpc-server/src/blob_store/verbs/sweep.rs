//! What is kept no longer: released, expired, or nobody's.

use super::{drop_reference, drop_upload};
use crate::blob_store::{Sweep, Upload, tables::BlobTables};
use crate::store::StoreFault;

/// See [`crate::blob_store::BlobStore::release`].
pub(in crate::blob_store) fn release(tables: &mut dyn BlobTables, upload: &Upload) -> Result<(), StoreFault> {
    super::discard(tables, upload)?;
    let place = &upload.place;
    let own = tables.reference(place)?.filter(|blob| blob.account == upload.account);
    own.map_or(Ok(()), |blob| drop_reference(tables, place, &blob))
}

/// See [`crate::blob_store::BlobStore::sweep`].
pub(in crate::blob_store) fn sweep(tables: &mut dyn BlobTables, sweep: &Sweep) -> Result<bool, StoreFault> {
    let batch = sweep.batch.max(1);
    let uploads = tables.uploads_before(sweep.uploads_before_ms, batch)?;
    for (upload, row) in &uploads {
        drop_upload(tables, upload, row)?;
    }
    let blobs = tables.references_before(sweep.blobs_before_ms, batch)?;
    for (place, row) in &blobs {
        drop_reference(tables, place, row)?;
    }
    let copies = tables.references_until(sweep.now_ms, batch)?;
    for (place, row) in &copies {
        drop_reference(tables, place, row)?;
    }
    fail::fail_point!("blobs::expired");
    let garbage = tables.collect(batch)?;
    Ok(garbage || uploads.len() >= batch || blobs.len() >= batch || copies.len() >= batch)
}
