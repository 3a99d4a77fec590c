//! Blobs of refused messages, taken off the server again: nobody could read them, and the account would be charged for them.

use std::time::Duration;

use qpc_proto::v1;

use super::session::End;
use crate::{
    core::Core,
    fresh,
    store::release::{self, Release},
    transport::{CallError, Link},
};

/// Pause after a refusal that passes, where the server names no longer one.
const PAUSE: Duration = Duration::from_secs(5);

/// Releases these. Gives the time after which to go on, where the server can't now.
pub(super) async fn run(core: &Core, link: &Link, due: Vec<Release>) -> Result<Option<Duration>, End> {
    for release in due {
        match link.call(v1::ReleaseBlob { blob: Some(release.blob()) }).await {
            Ok(_) => {}
            // A server that does not want to will not either when it is asked again: the blob goes with time.
            Err(error) if error.is_final() => tracing::debug!(%error, "a blob was not released"),
            Err(CallError::Refused(refused)) => {
                return Ok(Some(refused.retry_after.max(PAUSE).saturating_add(fresh::jitter(PAUSE))));
            }
            Err(error) => return Err(error.into()),
        }
        let id = release.id;
        core.store.run(move |tx| release::remove(tx, id)).await?;
    }
    Ok(None)
}
