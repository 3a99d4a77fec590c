//! A blob to the server: from where it says that an earlier attempt ended.

use bytes::Bytes;
use qpc_proto::v1::{self, request::Method};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, SeekFrom};

use super::{PART, Pipe, TransferError};
use crate::transport::{CallError, read_answer};

/// Parts that may be unanswered.
const IN_FLIGHT_MAX: u64 = 4;

/// Sends a blob; afterwards everybody in the conversation can read it. `told` hears how many bytes are there.
pub(crate) async fn upload(
    pipe: &mut impl Pipe,
    blob: &v1::Blob,
    size: u64,
    spool: &mut (impl AsyncRead + AsyncSeek + Unpin + Send),
    mut told: impl FnMut(u64) + Send,
) -> Result<(), TransferError> {
    pipe.ask(Method::BeginUpload(v1::BeginUpload { blob: Some(blob.clone()), size })).await?;
    let begun = read_answer::<v1::BeginUpload>(pipe.answer().await?)?;
    if begun.complete {
        told(size);
        return Ok(());
    }
    let parts = size.div_ceil(PART);
    let mut there = u64::from(begun.parts);
    if there > parts {
        return Err(CallError::Protocol("more parts than the blob has").into());
    }
    told(there.saturating_mul(PART).min(size));
    spool.seek(SeekFrom::Start(there.saturating_mul(PART))).await?;
    let mut next = there;
    while there < parts {
        if next < parts && next.saturating_sub(there) < IN_FLIGHT_MAX {
            let left = size.saturating_sub(next.saturating_mul(PART));
            let data = read_part(spool, left.min(PART)).await?;
            let number = u32::try_from(next).map_err(|_| CallError::Protocol("more parts than can be counted"))?;
            pipe.ask(Method::UploadPart(v1::UploadPart { blob: Some(blob.clone()), number, data })).await?;
            next = next.saturating_add(1);
        } else {
            read_answer::<v1::UploadPart>(pipe.answer().await?)?;
            there = there.saturating_add(1);
            told(there.saturating_mul(PART).min(size));
        }
    }
    pipe.ask(Method::FinishUpload(v1::FinishUpload { blob: Some(blob.clone()) })).await?;
    read_answer::<v1::FinishUpload>(pipe.answer().await?)?;
    Ok(())
}

async fn read_part(spool: &mut (impl AsyncRead + Unpin), length: u64) -> Result<Bytes, TransferError> {
    let length = usize::try_from(length).map_err(|_| CallError::Protocol("a part of no size"))?;
    let mut data = vec![0; length];
    spool.read_exact(&mut data).await?;
    Ok(data.into())
}
