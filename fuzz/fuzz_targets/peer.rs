//! What another server sends: decoding never panics, and what decodes can be encoded and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use qpc_proto::v1::{PeerAnswer, PeerRequest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = PeerRequest::decode(bytes) {
        assert!(PeerRequest::decode(request.encode_to_vec().as_slice()).unwrap() == request);
    }
    if let Ok(answer) = PeerAnswer::decode(bytes) {
        assert!(PeerAnswer::decode(answer.encode_to_vec().as_slice()).unwrap() == answer);
    }
});
