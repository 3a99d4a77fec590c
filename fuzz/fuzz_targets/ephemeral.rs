//! Ephemeral events as a server and a client read them, and what is sealed in them: nothing makes either panic, and what
//! is accepted reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qpc_proto::ephemeral::{self, Event, Presently, Sealed};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = Event::decode(bytes.to_vec().into()) {
        assert!(Event::decode(event.encode()) == Ok(event.clone()));
        if let Ok(sealed) = Sealed::parse(&event.sealed) {
            assert_eq!(sealed.header.encode(), event.sealed[..ephemeral::HEADER_LEN]);
        }
    }
    if let Ok(said) = Presently::decode(bytes) {
        assert_eq!(Presently::decode(&said.encode()), Ok(said));
    }
});
