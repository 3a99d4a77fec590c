//! Somebody in a conversation who puts blobs there and reads them, in parts and ranges as the client does.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use qpc_client::wire::Wire;
use qpc_proto::{
    id::ConversationName,
    limits::BLOB_PART,
    v1::{self, answer::Result as Answer, request::Method},
};

/// Parts of one upload without an answer, and ranges of one download, as the client has them.
pub(crate) const PARTS_IN_FLIGHT: usize = 4;
pub(crate) const RANGES_IN_FLIGHT: usize = 3;

/// A conversation with somebody who puts blobs there.
#[derive(Clone)]
pub(crate) struct Seat {
    /// Authenticated.
    pub(crate) wire: Wire,
    /// The conversation.
    pub(crate) room: ConversationName,
}

impl Seat {
    fn blob(&self, digest: &blake3::Hash) -> v1::Blob {
        v1::Blob { conversation: Some(self.room.to_wire()), digest: digest.as_bytes().to_vec().into() }
    }

    /// Sends a blob of its own.
    pub(crate) async fn upload(&self, content: &Bytes) -> anyhow::Result<()> {
        let blob = self.blob(&blake3::hash(content));
        let begin = v1::BeginUpload { blob: Some(blob.clone()), size: u64::try_from(content.len())? };
        match self.wire.call(Method::BeginUpload(begin)).await.context("beginning an upload")? {
            Answer::BeginUpload(begun) if begun.parts == 0 && !begun.complete => {}
            other => bail!("an upload that is not new: {other:?}"),
        }
        let (mut requests, mut answers) = self.wire.open().await?;
        let parts = content.len().div_ceil(BLOB_PART);
        let (mut sent, mut answered) = (0, 0);
        while answered < parts {
            while sent < parts && sent.saturating_sub(answered) < PARTS_IN_FLIGHT {
                let from = sent.saturating_mul(BLOB_PART);
                let data = content.slice(from..from.saturating_add(BLOB_PART).min(content.len()));
                let part = v1::UploadPart { blob: Some(blob.clone()), number: u32::try_from(sent)?, data };
                requests.send(Method::UploadPart(part)).await?;
                sent = sent.saturating_add(1);
            }
            match answers.next().await?.context("the stream has ended")? {
                Answer::UploadPart(_) => answered = answered.saturating_add(1),
                other => bail!("a part was refused: {other:?}"),
            }
        }
        let finish = Method::FinishUpload(v1::FinishUpload { blob: Some(blob) });
        match self.wire.call(finish).await.context("finishing an upload")? {
            Answer::FinishUpload(_) => Ok(()),
            other => bail!("an upload was not finished: {other:?}"),
        }
    }

    /// Reads a blob, and compares it.
    pub(crate) async fn download(&self, content: &Bytes) -> anyhow::Result<()> {
        let digest = blake3::hash(content);
        let blob = self.blob(&digest);
        let (mut requests, mut answers) = self.wire.open().await?;
        let ranges = content.len().div_ceil(BLOB_PART);
        let (mut sent, mut answered) = (0, 0);
        let mut hasher = blake3::Hasher::new();
        while answered < ranges {
            while sent < ranges && sent.saturating_sub(answered) < RANGES_IN_FLIGHT {
                let offset = u64::try_from(sent.saturating_mul(BLOB_PART))?;
                let read = v1::ReadBlob { blob: Some(blob.clone()), offset, length: u32::try_from(BLOB_PART)? };
                requests.send(Method::ReadBlob(read)).await?;
                sent = sent.saturating_add(1);
            }
            match answers.next().await?.context("the stream has ended")? {
                Answer::ReadBlob(range) => hasher.update(&range.data),
                other => bail!("a range was refused: {other:?}"),
            };
            answered = answered.saturating_add(1);
        }
        ensure!(hasher.finalize() == digest, "other bytes came than were sent");
        Ok(())
    }

    /// Takes it out again.
    pub(crate) async fn release(&self, content: &Bytes) -> anyhow::Result<()> {
        let blob = Some(self.blob(&blake3::hash(content)));
        match self.wire.call(Method::ReleaseBlob(v1::ReleaseBlob { blob })).await? {
            Answer::ReleaseBlob(_) => Ok(()),
            other => bail!("a blob was not released: {other:?}"),
        }
    }
}

/// Numbers the blobs of a run.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Bytes that no two blobs share.
pub(crate) fn content(size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    let seed = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    blake3::Hasher::new().update(&seed).finalize_xof().fill(&mut bytes);
    bytes.into()
}
