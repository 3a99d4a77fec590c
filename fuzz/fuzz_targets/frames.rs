//! The frame decoder: any bytes in any cutting. No panic, no frame above the limit, and what
//! comes out is what went in.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use qpc_proto::frame::{FrameDecoder, PREFIX};

const MAX: usize = 512;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (stream, cuts) = input;
    let mut decoder = FrameDecoder::new(MAX);
    let mut rest = stream.as_slice();
    let mut cuts = cuts.iter().cycle();
    let mut taken = 0;
    while !rest.is_empty() {
        let at = usize::from(*cuts.next().unwrap_or(&64)).clamp(1, rest.len());
        let (chunk, after) = rest.split_at(at);
        rest = after;
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= MAX);
                    assert_eq!(frame, stream[taken + PREFIX..taken + PREFIX + frame.len()]);
                    taken += PREFIX + frame.len();
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert_eq!(decoder.finish().is_ok(), taken == stream.len());
});
