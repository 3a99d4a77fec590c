//! Files across servers: their hub keeps them, takes them from whoever sends one, and gives them to the domains that have
//! people in the conversation.

use qpc_proto::{
    address::Domain,
    error::Code,
    v1::{self, peer_answer, peer_deed::Deed, peer_done::Result as Done, peer_request},
};

use super::{Hall, House};
use crate::{
    blob_store::Place,
    field::{self, FieldError},
    policy::access::Pace,
    remote::{PeerRange, RemoteError},
    session::WireError,
    store::Actor,
};

/// Whether a request carries a part of a file, or asks for one.
pub(super) fn is_transfer(method: &peer_request::Method) -> bool {
    match method {
        peer_request::Method::ReadBlob(_) => true,
        peer_request::Method::Act(act) => act.deeds.iter().any(|deed| matches!(deed.deed, Some(Deed::UploadPart(_)))),
        _ => false,
    }
}

/// Whether a deed is about a file.
pub(super) fn is_of_file(deed: &Deed) -> bool {
    matches!(deed, Deed::BeginUpload(_) | Deed::UploadPart(_) | Deed::FinishUpload(_) | Deed::ReleaseBlob(_))
}

/// Whether a hub says this to such a deed.
pub(super) fn answers(deed: &Deed, done: &Done) -> bool {
    matches!(
        (deed, done),
        (Deed::BeginUpload(_), Done::BeginUpload(_))
            | (Deed::UploadPart(_), Done::UploadPart(_))
            | (Deed::FinishUpload(_), Done::FinishUpload(_))
            | (Deed::ReleaseBlob(_), Done::ReleaseBlob(_))
    )
}

impl Hall {
    /// Asks a hub for some of a blob.
    pub(super) async fn read_blob(&self, place: Place, offset: u64, length: usize) -> Result<PeerRange, RemoteError> {
        let domain = place.conversation.domain.clone();
        let blob =
            v1::Blob { conversation: Some(place.conversation.to_wire()), digest: place.digest.0.to_vec().into() };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let request = v1::PeerReadBlob { read: Some(v1::ReadBlob { blob: Some(blob), offset, length }) };
        let read = |answer| match answer {
            peer_answer::Result::ReadBlob(v1::PeerReadBlobAnswer { range: Some(range), kept_ms }) => {
                Some(PeerRange { size: range.size, data: range.data, kept_ms })
            }
            _ => None,
        };
        self.ask(&domain, peer_request::Method::ReadBlob(request), read).await
    }
}

fn here(own: &Domain, blob: Option<&v1::Blob>) -> Result<(), WireError> {
    let conversation = field::conversation(blob.and_then(|blob| blob.conversation.as_ref()))?;
    if conversation.domain == *own {
        Ok(())
    } else {
        Err(WireError::new(Code::Forbidden, "a conversation of another domain"))
    }
}

/// Gives a peer some of a blob.
pub(super) async fn answer(
    house: &House,
    (own, peer): (&Domain, &Domain),
    request: v1::PeerReadBlob,
) -> Result<peer_answer::Result, WireError> {
    let read = request.read.ok_or(FieldError::Malformed("read"))?;
    here(own, read.blob.as_ref())?;
    let PeerRange { size, data, kept_ms } = house.blobs.read_for_peer(peer, &read).await?;
    let range = Some(v1::ReadBlobAnswer { size, data });
    Ok(peer_answer::Result::ReadBlob(v1::PeerReadBlobAnswer { range, kept_ms }))
}

/// Does what somebody of a peer's does with a file here.
pub(super) async fn act(house: &House, own: &Domain, actor: &Actor, deed: Deed) -> Result<Done, WireError> {
    let (blobs, account) = (&house.blobs, actor.account());
    match deed {
        Deed::BeginUpload(request) => {
            here(own, request.blob.as_ref())?;
            house.policy.blob(account)?;
            Ok(Done::BeginUpload(blobs.begin(actor, request).await?))
        }
        Deed::UploadPart(request) => {
            here(own, request.blob.as_ref())?;
            house.policy.pace(Pace::Transfer, account)?;
            blobs.put_part(actor, request).await?;
            Ok(Done::UploadPart(v1::UploadPartAnswer {}))
        }
        Deed::FinishUpload(request) => {
            here(own, request.blob.as_ref())?;
            house.policy.blob(account)?;
            blobs.finish(actor, request).await?;
            Ok(Done::FinishUpload(v1::FinishUploadAnswer {}))
        }
        Deed::ReleaseBlob(request) => {
            here(own, request.blob.as_ref())?;
            house.policy.blob(account)?;
            blobs.release(actor, request).await?;
            Ok(Done::ReleaseBlob(v1::ReleaseBlobAnswer {}))
        }
        _ => Err(FieldError::Malformed("deed").into()),
    }
}
