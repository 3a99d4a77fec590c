//! Blobs on their way: parts up and ranges down, a few in flight, on a stream of their own (docs/protocol.md section 17).
//!
//! Nothing here reconnects, waits or decides what a refusal means: a transfer goes on where the last one ended.

mod download;
#[cfg(test)]
mod tests;
mod upload;

use std::{io, time::Duration};

use qpc_proto::{
    limits::BLOB_PART,
    v1::{answer::Result as Outcome, request::Method},
};
use tokio::time::{Instant, timeout};

pub(crate) use self::{download::download, upload::upload};
use crate::{
    api::{Direction, Event, Transfer},
    events::Events,
    transport::{CallError, Frames, Link, Requests, request_frame},
};

/// Longest silence of a server that was asked for something.
const SILENCE: Duration = Duration::from_secs(120);
/// Behind the messages of the connection.
const PRIORITY: i32 = -1;
/// Between two words on how far a file has come.
const TOLD_EVERY: Duration = Duration::from_millis(200);

const PART: u64 = BLOB_PART as u64;

/// Why a transfer ended too early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// Of the home.
    #[error("its file in the home: {0}")]
    File(#[from] io::Error),
    /// What came is not what its sender has encrypted.
    #[error("what came is not what its sender has sent")]
    Damaged,
}

/// A stream of requests and answers: the server's, or one that a test has.
pub(crate) trait Pipe: Send {
    /// Sends a request.
    fn ask(&mut self, method: Method) -> impl Future<Output = Result<(), CallError>> + Send;

    /// The next answer, in the order of the requests.
    fn answer(&mut self) -> impl Future<Output = Result<Outcome, CallError>> + Send;
}

/// A stream of a connection.
pub(crate) struct Stream {
    requests: Requests,
    answers: Frames,
}

impl Stream {
    pub(crate) async fn open(link: &Link) -> Result<Self, CallError> {
        let (requests, answers) = link.open().await?;
        // Only a stream that has ended has no priority.
        requests.set_priority(PRIORITY).ok();
        Ok(Self { requests, answers })
    }
}

impl Pipe for Stream {
    async fn ask(&mut self, method: Method) -> Result<(), CallError> {
        let frame = request_frame(method);
        timeout(SILENCE, self.requests.write_chunk(frame)).await.map_err(|_| CallError::Timeout)??;
        Ok(())
    }

    async fn answer(&mut self) -> Result<Outcome, CallError> {
        let answer = timeout(SILENCE, self.answers.next()).await.map_err(|_| CallError::Timeout)??;
        answer.ok_or(CallError::Protocol("a stream of blobs ended"))
    }
}

/// Tells how far a file has come, a few times a second and at its end.
pub(crate) struct Progress {
    events: Events,
    at: Transfer,
    told: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(events: &Events, id: String, direction: Direction, total: u64) -> Self {
        Self { events: events.clone(), at: Transfer { id, direction, done: 0, total }, told: None }
    }

    pub(crate) fn tell(&mut self, done: u64) {
        self.at.done = done;
        let due = self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
        if due || done >= self.at.total {
            self.told = Some(Instant::now());
            self.events.tell(Event::Transfer(self.at.clone()));
        }
    }
}
