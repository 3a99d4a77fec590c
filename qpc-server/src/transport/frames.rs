//! Frames from a stream, each judged by its length before memory is reserved for it (invariant 10)
//! and by the time that it takes.

use bytes::Bytes;
use qpc_proto::frame::{FrameDecoder, FrameError};
use quinn::{ReadError, RecvStream, VarInt};
use tokio::time::{Duration, Instant, timeout_at};

/// Why no more frames come from a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FramesEnd {
    /// It is not made of frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame took too long from its first byte to its last.
    #[error("a frame took too long")]
    Slow,
    /// The stream or its connection is gone.
    #[error(transparent)]
    Lost(#[from] ReadError),
}

/// Reads one stream.
pub(crate) struct Frames {
    recv: RecvStream,
    decoder: FrameDecoder,
    /// When the frame that is half here began.
    began: Option<Instant>,
    patience: Duration,
}

impl Frames {
    pub(crate) fn new(recv: RecvStream, max: usize, patience: Duration) -> Self {
        Self { recv, decoder: FrameDecoder::new(max), began: None, patience }
    }

    /// Longer frames are allowed from here on.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.decoder.set_max(max);
    }

    /// The next frame; `None` where the client has finished. Dropping the future loses nothing: what has been
    /// read stays here.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FramesEnd> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                self.began = None;
                return Ok(Some(frame));
            }
            let chunk = if self.decoder.finish().is_err() {
                let now = Instant::now();
                let deadline = self.began.get_or_insert(now).checked_add(self.patience).unwrap_or(now);
                timeout_at(deadline, self.recv.read_chunk(usize::MAX, true)).await.map_err(|_| FramesEnd::Slow)?
            } else {
                self.recv.read_chunk(usize::MAX, true).await
            };
            match chunk? {
                Some(chunk) => self.decoder.push(chunk.bytes),
                None => {
                    self.decoder.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Tells the client that nothing more is read here.
    pub(crate) fn stop(&mut self, code: VarInt) {
        // A stream that is over already needs no telling.
        drop(self.recv.stop(code));
    }
}
