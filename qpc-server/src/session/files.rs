//! What is asked about a file: done here, or by the server that orders its conversation and keeps its files.

use std::sync::Arc;

use qpc_proto::{
    error::Code,
    id::ConversationName,
    v1::{self, answer::Result as Answer, peer_deed::Deed, peer_done::Result as Done, request::Method},
};

use super::{
    Context,
    calls::{Outcome, Work},
    dispatch::{beside, later},
    wire_error::WireError,
};
use crate::{remote::RemoteError, store::Actor};

/// Begins such a request.
pub(super) fn start(context: &Arc<Context>, actor: &Actor, method: Method) -> Result<Work, WireError> {
    let (blobs, actor) = (Arc::clone(&context.blobs), actor.clone());
    if matches!(method, Method::BeginUpload(_) | Method::FinishUpload(_) | Method::ReleaseBlob(_)) {
        context.policy.blob(actor.account())?;
    }
    if let Some(name) = conversation(&method).filter(|name| context.groups.is_elsewhere(name)) {
        return elsewhere(context, actor, name, method);
    }
    Ok(match method {
        Method::BeginUpload(request) => {
            later(async move { Ok(Answer::BeginUpload(blobs.begin(&actor, request).await?)) })
        }
        Method::UploadPart(request) => beside(async move {
            blobs.put_part(&actor, request).await?;
            Ok(Answer::UploadPart(v1::UploadPartAnswer {}))
        }),
        Method::FinishUpload(request) => later(async move {
            blobs.finish(&actor, request).await?;
            Ok(Answer::FinishUpload(v1::FinishUploadAnswer {}))
        }),
        Method::ReadBlob(request) => beside(async move { Ok(Answer::ReadBlob(blobs.read(&actor, request).await?)) }),
        Method::ReleaseBlob(request) => later(async move {
            blobs.release(&actor, request).await?;
            Ok(Answer::ReleaseBlob(v1::ReleaseBlobAnswer {}))
        }),
        _ => return Err(no_file()),
    })
}

/// Which conversation a request is about; one that is malformed is refused as everything here is.
fn conversation(method: &Method) -> Option<ConversationName> {
    let blob = match method {
        Method::BeginUpload(v1::BeginUpload { blob, .. })
        | Method::UploadPart(v1::UploadPart { blob, .. })
        | Method::FinishUpload(v1::FinishUpload { blob })
        | Method::ReadBlob(v1::ReadBlob { blob, .. })
        | Method::ReleaseBlob(v1::ReleaseBlob { blob }) => blob,
        _ => return None,
    };
    ConversationName::parse(blob.as_ref()?.conversation.as_ref()).ok()
}

fn elsewhere(context: &Arc<Context>, actor: Actor, name: ConversationName, method: Method) -> Result<Work, WireError> {
    let (blobs, groups) = (Arc::clone(&context.blobs), Arc::clone(&context.groups));
    let (deed, waits) = match method {
        Method::ReadBlob(request) => {
            return Ok(beside(async move { Ok(Answer::ReadBlob(blobs.read_elsewhere(&actor, request).await?)) }));
        }
        Method::BeginUpload(request) => (Deed::BeginUpload(request), true),
        Method::UploadPart(request) => (Deed::UploadPart(request), false),
        Method::FinishUpload(request) => (Deed::FinishUpload(request), true),
        Method::ReleaseBlob(request) => (Deed::ReleaseBlob(request), true),
        _ => return Err(no_file()),
    };
    let done = async move { answer(groups.transfer(&actor, &name, deed).await?) };
    Ok(if waits { later(done) } else { beside(done) })
}

/// What a hub has done, as it is said to a client.
fn answer(done: Done) -> Outcome {
    Ok(match done {
        Done::BeginUpload(answer) => Answer::BeginUpload(answer),
        Done::UploadPart(answer) => Answer::UploadPart(answer),
        Done::FinishUpload(answer) => Answer::FinishUpload(answer),
        Done::ReleaseBlob(answer) => Answer::ReleaseBlob(answer),
        _ => return Err(RemoteError::Unfit.into()),
    })
}

/// Whoever dispatches sends only requests about files here.
fn no_file() -> WireError {
    WireError::new(Code::UnknownMethod, "not a request about a file")
}
