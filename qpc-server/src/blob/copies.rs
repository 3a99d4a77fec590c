//! Blobs of conversations that another domain orders: kept by its server, read there once for all people of here, and kept
//! here for as long as there (D11).
//!
//! Whoever reads a range has each part of it that is not here asked for. Parts become a blob of this server's as those of an
//! upload do, with the digest compared, charged to the domain. What can't be kept is passed on all the same: a copy only
//! saves the way. The other side is here as well: what other domains are given of this one's blobs.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use qpc_proto::{address::Domain, id::AccountId, limits::BLOB_PART, v1};

use super::{Asked, BlobError, Blobs};
use crate::{
    blob_store::{self, Begun, Budget, Kept, NewUpload, Piece, Place, Quota, ReadBlobError, Upload, UploadError},
    metrics::labels::Direction,
    policy::limits::FederationLimits,
    remote::{PeerRange, Remote, RemoteError},
    store::Actor,
    turns::Turns,
};

/// Where the turn is to make a blob of all parts: no part has this number.
const WHOLE: u32 = u32::MAX;

/// What it takes to have copies.
pub(super) struct Copies {
    remote: Arc<dyn Remote>,
    /// Of one domain.
    quota: Quota,
    /// A part is asked for by one at a time; whoever waits finds it here. Bounded by the transfers of those who wait.
    turns: Turns<(Place, u32)>,
}

/// Who is charged for copies of a domain's blobs: an account that nobody has, because it would have been made in 1970.
fn charged(domain: &Domain) -> AccountId {
    let digest = blake3::hash(domain.as_str().as_bytes());
    let mut random = [0; 10];
    random.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    AccountId::new(0, random)
}

impl Blobs {
    /// With other domains that can be asked.
    #[must_use]
    pub fn with_remote(self, remote: Arc<dyn Remote>, limits: &FederationLimits) -> Self {
        let quota = Quota {
            account: Budget { bytes: limits.copied_bytes, blobs: limits.copied_blobs },
            conversation: Budget { bytes: u64::MAX, blobs: u64::MAX },
            uploads: limits.copies_begun,
        };
        Self { copies: Some(Copies { remote, quota, turns: Turns::default() }), ..self }
    }

    /// Some of a blob in a conversation that another domain orders, for members.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn read_elsewhere(&self, actor: &Actor, request: v1::ReadBlob) -> Result<v1::ReadBlobAnswer, BlobError> {
        let read = async {
            let asked = Asked::parse(&request)?;
            self.store.presence(actor, &asked.place.conversation).await?;
            let _transfer = self.metrics.transfer(Direction::Out);
            let (size, data) = self.find(asked).await?;
            self.metrics.blob_bytes(Direction::Out, data.len());
            Ok(v1::ReadBlobAnswer { size, data })
        };
        read.await.inspect_err(|error| self.reject(error))
    }

    async fn find(&self, Asked { place, offset, length }: Asked) -> Result<(u64, Bytes), BlobError> {
        match self.blobs.read(place.clone(), offset, length).await {
            Ok(range) => return Ok((range.size, range.data)),
            Err(ReadBlobError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        let copies = self.copies.as_ref().ok_or(RemoteError::Unknown)?;
        let mut size = None;
        let mut found: Vec<Bytes> = Vec::with_capacity(2);
        for Piece { number, range } in blob_store::pieces(offset, length) {
            // The blob may end before the second one.
            if size.is_some_and(|size| blob_store::part_len(size, number).is_none()) {
                break;
            }
            let (whole, part) = self.part(copies, &place, number).await?;
            let until = range.end.min(part.len());
            if range.start < until {
                found.push(part.slice(range.start..until));
            }
            size = Some(whole);
        }
        match (size, found.pop(), found.pop()) {
            (Some(size), Some(only), None) => Ok((size, only)),
            (Some(size), Some(second), Some(first)) => {
                let mut both = BytesMut::from(first);
                both.extend_from_slice(&second);
                Ok((size, both.freeze()))
            }
            _ => Err(BlobError::Range),
        }
    }

    /// A part, behind the size of the blob: from here, or from its domain.
    async fn part(&self, copies: &Copies, place: &Place, number: u32) -> Result<(u64, Bytes), BlobError> {
        let name = (place.clone(), number);
        let _turn = copies.turns.take(&name).await;
        let upload = Upload { account: charged(&place.conversation.domain), place: place.clone() };
        match self.blobs.part(upload.clone(), number).await {
            Ok(part) => return Ok(part),
            Err(UploadError::Fault(fault)) => return Err(fault.into()),
            Err(_) => {}
        }
        let offset = u64::from(number).saturating_mul(u64::try_from(BLOB_PART).unwrap_or(u64::MAX));
        // It may have become whole while somebody else had the turn.
        match self.blobs.read(place.clone(), offset, BLOB_PART).await {
            Ok(range) => return Ok((range.size, range.data)),
            Err(ReadBlobError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        let range = copies.remote.read_blob(place, offset, BLOB_PART).await?;
        if blob_store::part_len(range.size, number) != Some(range.data.len()) {
            return Err(RemoteError::Unfit.into());
        }
        if let Err(error) = self.keep(copies, upload, number, &range).await {
            // Whoever reads goes on: they find out for themselves what they were given.
            self.reject(&error);
            let peer = &place.conversation.domain;
            match error {
                BlobError::DigestDiffers => tracing::warn!(%peer, "a peer has given other bytes than a file's"),
                error => tracing::debug!(%peer, %error, "a part of a peer's file is not kept"),
            }
        }
        Ok((range.size, range.data))
    }

    async fn keep(&self, copies: &Copies, upload: Upload, number: u32, range: &PeerRange) -> Result<(), BlobError> {
        let now_ms = self.clock.unix_ms();
        let put = || self.blobs.put_part(upload.clone(), number, range.data.clone(), now_ms);
        let stored = match put().await {
            // None has begun, or one of another size.
            Err(UploadError::Unknown | UploadError::PartInvalid) => {
                let new = NewUpload {
                    upload: upload.clone(),
                    size: range.size,
                    quota: copies.quota,
                    readable_in: None,
                    now_ms,
                };
                match self.blobs.begin(new).await? {
                    Begun::Complete => return Ok(()),
                    Begun::Parts(_) => put().await?,
                }
            }
            stored => stored?,
        };
        self.metrics.blob_bytes(Direction::In, range.data.len());
        if let Some(content) = stored {
            self.digests.add(content, number, &range.data);
        }
        let whole = (upload.place.clone(), WHOLE);
        let _turn = copies.turns.take(&whole).await;
        match self.blobs.ready(upload.clone()).await {
            Ok(Some(whole)) => {
                let until_ms = if range.kept_ms == 0 { 0 } else { now_ms.saturating_add(range.kept_ms) };
                self.complete(upload, whole, until_ms).await
            }
            Ok(None) | Err(UploadError::PartsMissing | UploadError::Unknown) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Some of a blob for a domain that has people in its conversation.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn read_for_peer(&self, peer: &Domain, request: &v1::ReadBlob) -> Result<PeerRange, BlobError> {
        let read = async {
            let Asked { place, offset, length } = Asked::parse(request)?;
            if !self.store.follows(peer, &place.conversation).await? {
                return Err(BlobError::NotFound);
            }
            let _transfer = self.metrics.transfer(Direction::Out);
            let range = self.blobs.read(place, offset, length).await?;
            self.metrics.blob_bytes(Direction::Out, range.data.len());
            let kept_ms = self.kept_ms(&range.kept);
            Ok(PeerRange { size: range.size, data: range.data, kept_ms })
        };
        read.await.inspect_err(|error| self.reject(error))
    }

    /// For how much longer a blob is kept, in milliseconds; 0 where that has no end.
    fn kept_ms(&self, kept: &Kept) -> u64 {
        let kept_for = u64::try_from(self.kept.as_millis()).unwrap_or(u64::MAX);
        let expires = (kept_for > 0).then(|| kept.added_ms.saturating_add(kept_for));
        let until = [expires, (kept.until_ms > 0).then_some(kept.until_ms)].into_iter().flatten().min();
        until.map_or(0, |until| until.saturating_sub(self.clock.unix_ms()).max(1))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests;
