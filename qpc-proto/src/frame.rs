//! Frames: a length of four bytes, big endian, then that many bytes of Protobuf.
//!
//! The length is judged before any memory is reserved for what it announces
//! (invariant 10). There is no I/O here: chunks go in as they come from a stream, frames
//! come out, and a frame that lies in one chunk is a slice of it, not a copy.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// Bytes of the length before each frame.
pub const PREFIX: usize = 4;

/// A stream that is not made of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The announced length is above the limit.
    #[error("a frame of {length} bytes, where {max} are allowed")]
    TooLong {
        /// What the prefix says.
        length: u32,
        /// What is allowed here.
        max: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
}

/// Cuts a stream's chunks into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    max: usize,
    chunk: Bytes,
    partial: BytesMut,
}

impl FrameDecoder {
    /// A decoder that accepts frames of up to `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, chunk: Bytes::new(), partial: BytesMut::new() }
    }

    /// Changes the limit for the frames that follow.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Takes the next chunk of the stream. Call [`Self::next_frame`] until it gives `None` before
    /// the next chunk, so that no more than one frame and one chunk are ever held.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.partial.unsplit(BytesMut::from(std::mem::replace(&mut self.chunk, chunk)));
        }
    }

    /// The next whole frame, without its prefix.
    ///
    /// # Errors
    /// [`FrameError::TooLong`], as soon as the prefix is there; the stream is of no use after that.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.partial.is_empty() {
            let Some(length) = self.length(&self.chunk)? else {
                self.keep(PREFIX);
                return Ok(None);
            };
            let whole = PREFIX.saturating_add(length);
            if self.chunk.len() >= whole {
                let mut frame = self.chunk.split_to(whole);
                frame.advance(PREFIX);
                return Ok(Some(frame));
            }
            self.keep(whole);
            return Ok(None);
        }
        self.keep(PREFIX);
        let Some(length) = self.length(&self.partial)? else { return Ok(None) };
        let whole = PREFIX.saturating_add(length);
        self.keep(whole);
        if self.partial.len() < whole {
            return Ok(None);
        }
        let mut frame = self.partial.split_to(whole).freeze();
        frame.advance(PREFIX);
        Ok(Some(frame))
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.partial.is_empty() && self.chunk.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }

    fn length(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix);
        match usize::try_from(length) {
            Ok(length) if length <= self.max => Ok(Some(length)),
            _ => Err(FrameError::TooLong { length, max: self.max }),
        }
    }

    /// Moves bytes from the chunk until `partial` holds `target`, or the chunk is used up.
    /// Memory grows with what has arrived, never with what is announced.
    fn keep(&mut self, target: usize) {
        let take = target.saturating_sub(self.partial.len()).min(self.chunk.len());
        let moved = self.chunk.split_to(take);
        self.partial.extend_from_slice(&moved);
    }
}

/// Encodes a message with its prefix.
///
/// A message is built by our own code within the limits of this crate, which are far below 4 GiB;
/// one that were not would be cut short and refused by every decoder.
#[must_use]
pub fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX.saturating_add(length));
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A BytesMut grows as needed, so there is no error to meet here.
    message.encode_raw(&mut frame);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(max: usize, chunks: &[&[u8]]) -> Result<Vec<Bytes>, FrameError> {
        let mut decoder = FrameDecoder::new(max);
        let mut frames = Vec::new();
        for chunk in chunks {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame);
            }
        }
        decoder.finish()?;
        Ok(frames)
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_memory_is_reserved() {
        let mut decoder = FrameDecoder::new(100);
        decoder.push(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1]));
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong { length: u32::MAX, max: 100 }));
        assert!(decoder.partial.capacity() < 64);
    }

    #[test]
    fn the_limit_itself_is_allowed_and_one_more_is_not() {
        assert_eq!(decode_all(3, &[&framed(b"abc")]).unwrap(), [Bytes::from_static(b"abc")]);
        assert!(decode_all(3, &[&framed(b"abcd")]).is_err());
    }

    #[test]
    fn an_announced_frame_reserves_nothing() {
        let mut decoder = FrameDecoder::new(1 << 20);
        decoder.push(Bytes::copy_from_slice(&(1u32 << 20).to_be_bytes()));
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.partial.capacity() < 1024);
        assert_eq!(decoder.finish(), Err(FrameError::Truncated));
    }

    #[test]
    fn a_frame_within_a_chunk_is_not_copied() {
        let chunk = Bytes::from(framed(b"body"));
        let mut decoder = FrameDecoder::new(100);
        decoder.push(chunk.clone());
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.as_ptr(), chunk[PREFIX..].as_ptr());
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(1usize..30, 1..200),
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
            let mut chunks = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            let frames = decode_all(64, &chunks).unwrap();
            prop_assert_eq!(frames, bodies.into_iter().map(Bytes::from).collect::<Vec<_>>());
        }

        #[test]
        fn no_input_makes_the_decoder_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            // Any outcome is fine, as long as there is one.
            drop(decode_all(1000, &chunks));
        }
    }
}
