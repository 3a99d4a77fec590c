//! What is inside a decrypted message, an MLS credential, a failure report or the roles extension: a
//! hostile member can't make a client panic, and what is accepted reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qpc_proto::{
    content::{Content, Kind},
    credential::VerifiedDevice,
    report::Report,
    role::RoleTable,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(content) = Content::decode(bytes) {
        if content.kind != Kind::Unknown {
            assert!(Content::decode(&content.encode().unwrap()).unwrap() == content);
        }
    }
    if let Ok(roles) = RoleTable::decode(bytes) {
        assert_eq!(roles.encode(), bytes);
    }
    drop(VerifiedDevice::verify_encoded(bytes));
    if let Ok(report) = Report::decode(bytes.to_vec().into()) {
        assert_eq!(Report::decode(report.encode()), Ok(report));
    }
});
