//! A link that somebody typed, and a request by one that a server passes on: read or refused, and what is read is written
//! again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qpc_proto::link::{InviteLink, JoinRequest, LinkKey};

fuzz_target!(|bytes: &[u8]| {
    drop(LinkKey::parse(bytes));
    if let Ok(request) = JoinRequest::verify_encoded(bytes) {
        assert_eq!(JoinRequest::verify_encoded(&request.encode()), Ok(request));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(link) = InviteLink::parse(text)
    {
        let again = InviteLink::parse(&link.text()).expect("a link that was written reads back");
        assert!(again.key() == link.key() && again.conversation() == link.conversation());
    }
});
