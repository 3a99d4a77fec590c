//! Requests to other servers: a stream for each, so many under way, each with a deadline.

use std::{sync::Arc, time::Duration};

use prometheus::IntGauge;
use prost::Message;
use qpc_proto::{
    address::Domain,
    error::Code,
    frame,
    limits::FRAME_MAX,
    v1::{self, peer_answer, peer_request},
};
use tokio::{sync::SemaphorePermit, time::timeout};

use super::{Hall, blob, circle::Reach};
use crate::{
    metrics::labels::Asked,
    remote::RemoteError,
    transport::frames::{Frames, FramesEnd},
};

/// The longest that a peer can have this server's people wait before they ask again.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Who asks for this server's people. What can be asked stands beside how it is answered.
pub(super) struct Caller {
    pub(super) hall: Arc<Hall>,
}

impl Hall {
    /// Asks a domain for something; `read` gives what was asked for, where an answer is that. Dropping the future gives up:
    /// its stream is reset.
    pub(super) async fn ask<T>(
        &self,
        domain: &Domain,
        method: peer_request::Method,
        read: impl FnOnce(peer_answer::Result) -> Option<T>,
    ) -> Result<T, RemoteError> {
        let peer = self.reach(domain).filter(|_| self.allows(domain)).ok_or(RemoteError::Unknown)?;
        let (outcome, result) = match self.exchange(domain, &peer, method).await {
            Ok(peer_answer::Result::Error(error)) => (Asked::Refused, Err(refused(&error))),
            Ok(answer) => match read(answer) {
                Some(wanted) => (Asked::Answered, Ok(wanted)),
                None => (Asked::Unfit, Err(RemoteError::Unfit)),
            },
            Err(outcome) => (outcome, Err(without_answer(outcome))),
        };
        self.metrics.asked(domain.as_str(), outcome);
        result
    }

    /// Sends a request and reads its answer, whatever it is; says why there is none.
    async fn exchange(
        &self,
        domain: &Domain,
        peer: &Reach,
        method: peer_request::Method,
    ) -> Result<peer_answer::Result, Asked> {
        let is_transfer = blob::is_transfer(&method);
        let patience = if is_transfer { self.limits.transfer } else { self.limits.answer };
        let place = if is_transfer { peer.waits_for_transfer(patience).await } else { peer.places.try_acquire().ok() };
        let _place = place.ok_or(Asked::Busy)?;
        let connection = self.links().get(&(domain.clone(), false)).cloned().ok_or(Asked::Unreachable)?;
        let _under_way = UnderWay::begin(self.metrics.in_flight(domain.as_str()));
        let exchange = async {
            let (mut send, recv) = connection.open_bi().await.map_err(|_| Asked::Unreachable)?;
            let request = frame::encode(&v1::PeerRequest { method: Some(method) });
            send.write_chunk(request).await.map_err(|_| Asked::Unreachable)?;
            // Only a stream that was reset can't be finished, and then no answer comes.
            drop(send.finish());
            let mut frames = Frames::new(recv, FRAME_MAX, self.limits.frame);
            let answer = frames.next().await.map_err(|end| match end {
                FramesEnd::Frame(_) => Asked::Unfit,
                FramesEnd::Slow => Asked::Slow,
                FramesEnd::Lost(_) => Asked::Unreachable,
            });
            let answer = answer?.ok_or(Asked::Unfit)?;
            v1::PeerAnswer::decode(answer).ok().and_then(|answer| answer.result).ok_or(Asked::Unfit)
        };
        timeout(patience, exchange).await.unwrap_or(Err(Asked::Slow))
    }
}

impl Reach {
    /// A place among the parts of files that may be on their way.
    async fn waits_for_transfer(&self, patience: Duration) -> Option<SemaphorePermit<'_>> {
        timeout(patience, self.transfers.acquire()).await.ok()?.ok()
    }
}

/// What the asker is told of a refusal. Codes that speak of a client, its connection or its device are not passed on: the
/// peer speaks to this server.
fn refused(error: &v1::Error) -> RemoteError {
    match Code::from_wire(error.code) {
        Some(Code::NotFound) => RemoteError::NotFound,
        Some(Code::RangeInvalid) => RemoteError::Range,
        Some(Code::RateLimited | Code::Busy) => {
            RemoteError::Wait(Duration::from_millis(error.retry_after_ms.into()).min(WAIT_MAX))
        }
        _ => RemoteError::Unfit,
    }
}

/// What the asker is told where no answer came.
fn without_answer(outcome: Asked) -> RemoteError {
    match outcome {
        Asked::Busy => RemoteError::Busy,
        Asked::Unreachable | Asked::Slow => RemoteError::Unreachable,
        Asked::Answered | Asked::Refused | Asked::Unfit => RemoteError::Unfit,
    }
}

/// One more is under way, until this is dropped.
struct UnderWay(IntGauge);

impl UnderWay {
    fn begin(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_can_not_speak_to_a_client() {
        let told = |code: u32, wait: u32| refused(&v1::Error { code, retry_after_ms: wait, ..v1::Error::default() });
        assert_eq!(told(Code::NotFound as u32, 0), RemoteError::NotFound);
        assert_eq!(told(Code::RangeInvalid as u32, 0), RemoteError::Range);
        assert_eq!(told(Code::RateLimited as u32, 1_500), RemoteError::Wait(Duration::from_millis(1_500)));
        assert_eq!(told(Code::Busy as u32, u32::MAX), RemoteError::Wait(WAIT_MAX));
        for &code in Code::ALL {
            let passed = matches!(code, Code::NotFound | Code::RangeInvalid | Code::RateLimited | Code::Busy);
            assert_eq!(told(code as u32, 0) == RemoteError::Unfit, !passed, "{code}");
        }
        assert_eq!(told(9_999, 0), RemoteError::Unfit);
    }
}
