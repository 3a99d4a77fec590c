//! A blob from the server: each chunk is checked as it arrives, before it is kept.

use std::collections::VecDeque;

use qpc_proto::v1::{self, request::Method};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{PART, Pipe, TransferError};
use crate::{
    blob::Checker,
    transport::{CallError, read_answer},
};

/// Ranges that may be unanswered.
const IN_FLIGHT_MAX: usize = 3;

/// Reads a blob of this size from where `from` says to its end; `checker` has seen what is before. `told` hears how many
/// bytes are there.
pub(crate) async fn download(
    pipe: &mut impl Pipe,
    blob: &v1::Blob,
    (from, size): (u64, u64),
    checker: &mut Checker<'_>,
    part: &mut (impl AsyncWrite + Unpin + Send),
    mut told: impl FnMut(u64) + Send,
) -> Result<(), TransferError> {
    let (mut there, mut next) = (from, from);
    let mut asked: VecDeque<u64> = VecDeque::new();
    told(there);
    while there < size {
        if next < size && asked.len() < IN_FLIGHT_MAX {
            let length = size.saturating_sub(next).min(PART);
            let wire = u32::try_from(length).map_err(|_| CallError::Protocol("a range of no size"))?;
            let request = v1::ReadBlob { blob: Some(blob.clone()), offset: next, length: wire };
            pipe.ask(Method::ReadBlob(request)).await?;
            asked.push_back(length);
            next = next.saturating_add(length);
            continue;
        }
        let range = read_answer::<v1::ReadBlob>(pipe.answer().await?)?;
        let length = asked.pop_front().ok_or(CallError::Protocol("more answers than requests"))?;
        // A blob of another size is another blob than the message tells of.
        if range.size != size || u64::try_from(range.data.len()).ok() != Some(length) || !checker.push(&range.data) {
            return Err(TransferError::Damaged);
        }
        part.write_all(&range.data).await?;
        there = there.saturating_add(length);
        told(there);
    }
    part.flush().await?;
    Ok(())
}
