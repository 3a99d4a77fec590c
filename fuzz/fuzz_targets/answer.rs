//! Answers as a client reads them: a hostile server can't make it panic, and an entry
//! that parses goes back to the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use qpc_proto::{
    chain::{ChainValue, LogEntry},
    error::Code,
    v1::{Answer, answer::Result},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(answer) = Answer::decode(bytes) else { return };
    assert!(Answer::decode(answer.encode_to_vec().as_slice()).unwrap() == answer);
    let entries = match answer.result {
        Some(Result::Entry(entry)) => vec![entry],
        Some(Result::ReadLog(page)) => page.entries,
        Some(Result::Error(error)) => return drop(Code::from_wire(error.code)),
        _ => return,
    };
    for entry in entries {
        let Ok(parsed) = LogEntry::parse(entry) else { continue };
        assert!(LogEntry::parse(parsed.to_wire()).unwrap() == parsed);
        drop(parsed.follows(&ChainValue::genesis(&parsed.conversation)));
    }
});
