//! The calls by which a connection becomes a session, one after the other on one stream: a stream for each would
//! cost both sides more than what it carries.
//!
//! Where a call fails, its stream is given up and the next call opens another, so that no call reads the answer of one before.

use std::time::Duration;

use quinn::Connection;
use tokio::{sync::Mutex, time::timeout};

use super::call::{Ask, CallError, Frames, Requests, read_answer, request_frame};

/// Whether a call is the last one on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

/// The stream that these calls share, while there is one.
#[derive(Debug, Default)]
pub(super) struct Door(Mutex<Option<(Requests, Frames)>>);

impl Door {
    /// One call, when those before it are answered.
    pub(super) async fn call<A: Ask>(
        &self,
        connection: &Connection,
        longest: Duration,
        request: A,
        last: Last,
    ) -> Result<A::Answer, CallError> {
        let frame = request_frame(request.method());
        let exchange = async {
            let mut shared = self.0.lock().await;
            let (mut requests, mut answers) = stream(connection, &mut shared).await?;
            requests.write_chunk(frame).await?;
            if last == Last::Yes {
                // Only a stream that was reset can't be finished, and then the answer says so.
                requests.finish().ok();
            }
            let answer = read::<A>(&mut answers).await?;
            if last == Last::No {
                *shared = Some((requests, answers));
            }
            Ok(answer)
        };
        timeout(longest, exchange).await.unwrap_or(Err(CallError::Timeout))
    }

    /// The last two calls, the second without waiting for the first. Gives the second answer where the first is one.
    pub(super) async fn both<A: Ask, B: Ask>(
        &self,
        connection: &Connection,
        longest: Duration,
        first: A,
        second: B,
    ) -> Result<(A::Answer, Result<B::Answer, CallError>), CallError> {
        let mut frames = [request_frame(first.method()), request_frame(second.method())];
        let exchange = async {
            let (mut requests, mut answers) = stream(connection, &mut *self.0.lock().await).await?;
            requests.write_all_chunks(&mut frames).await?;
            requests.finish().ok();
            let first = read::<A>(&mut answers).await?;
            Ok((first, read::<B>(&mut answers).await))
        };
        timeout(longest, exchange).await.unwrap_or(Err(CallError::Timeout))
    }
}

/// The stream, taken out until the answer is here: who is cancelled leaves none behind.
async fn stream(
    connection: &Connection,
    shared: &mut Option<(Requests, Frames)>,
) -> Result<(Requests, Frames), CallError> {
    if let Some(stream) = shared.take() {
        return Ok(stream);
    }
    let (requests, answers) = connection.open_bi().await?;
    Ok((requests, Frames::new(answers)))
}

async fn read<A: Ask>(answers: &mut Frames) -> Result<A::Answer, CallError> {
    read_answer::<A>(answers.next().await?.ok_or(CallError::Protocol("a call without an answer"))?)
}
