//! Requests as a server reads them: decoding never panics, and what decodes can be
//! encoded and read back; the parts a server parses at its edge parse or refuse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use qpc_proto::{
    address::{AccountName, Address},
    credential::VerifiedDevice,
    id::{ConversationName, DeviceId, MessageId},
    v1::{Request, request::Method},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = Request::decode(bytes) else { return };
    assert!(Request::decode(request.encode_to_vec().as_slice()).unwrap() == request);
    match request.method {
        Some(Method::RegisterStart(start)) => drop(AccountName::parse(&start.name)),
        Some(Method::RegisterFinish(finish)) => drop(finish.device.map(|device| VerifiedDevice::verify(&device))),
        Some(Method::EnrolDevice(enrol)) => drop(enrol.device.map(|device| VerifiedDevice::verify(&device))),
        Some(Method::Authenticate(authenticate)) => drop(DeviceId::parse(&authenticate.device_id)),
        Some(Method::Send(send)) => {
            drop(ConversationName::parse(send.conversation.as_ref()));
            drop(MessageId::parse(&send.message_id));
        }
        Some(Method::ClaimKeyPackages(claim)) => {
            if let Ok(address) = Address::parse(&claim.address) {
                assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }
        _ => {}
    }
});
