//! What a person typed or scanned to compare keys: it is read or refused, and what is
//! read is shown again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qpc_proto::safety::{Code, Typed};

fuzz_target!(|text: &str| {
    drop(Typed::parse(text));
    if let Ok(code) = Code::parse(text) {
        assert_eq!(code.to_string(), text.trim().to_ascii_uppercase());
    }
});
