//! Handshake messages as a server reads them, against a group that it follows: parsing and judging never panic, and
//! no proposal that nobody signed is taken.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use qpc_proto::{
    address::Address,
    id::{ConversationId, ConversationName, DeviceId, Epoch},
    role::Role,
    v1,
};
use qpc_server::{
    group::public::{Caller, Crypto, Followed},
    store::CommitBundle,
};

/// A conversation of alice, made with bob, as its creator showed it; a test of the server writes it.
const CONVERSATION: &[u8] = include_bytes!("../conversation.bin");

struct Scene {
    crypto: Crypto,
    name: ConversationName,
    alice: Caller,
    group: Followed,
    adds_bob: CommitBundle,
}

fn scene() -> Scene {
    let kept = v1::CreateConversation::decode(CONVERSATION).unwrap();
    let commit = kept.commit.unwrap();
    let name = ConversationName { domain: "a.example".parse().unwrap(), id: ConversationId::new(3, [1; 10]) };
    let alice = Caller { address: Address::parse("alice@a.example").unwrap(), device: device("alice") };
    let crypto = Crypto::new().unwrap();
    let group = Followed::rebuild(&crypto, &name, &kept.group_info).unwrap();
    let adds_bob = CommitBundle {
        epoch: Epoch(0),
        commit: commit.commit,
        welcome: commit.welcome,
        welcome_devices: vec![device("bob")],
        group_info: commit.group_info,
        added: vec![(Address::parse("bob@a.example").unwrap(), Role::Member)],
        removed: Vec::new(),
        asked: Vec::new(),
        judged: None,
    };
    assert!(group.judge_commit(&crypto, &alice, &adds_bob).is_ok());
    Scene { crypto, name, alice, group, adds_bob }
}

/// The device that the server's test gives a name.
fn device(name: &str) -> DeviceId {
    DeviceId::new(1, blake3::hash(name.as_bytes()).as_bytes()[..10].try_into().unwrap())
}

thread_local! {
    static SCENE: Scene = scene();
}

fuzz_target!(|bytes: &[u8]| {
    SCENE.with(|Scene { crypto, name, alice, group, adds_bob }| {
        drop(Followed::rebuild(crypto, name, bytes));
        for leave in [false, true] {
            assert!(group.judge_proposal(crypto, alice, bytes, leave).is_err());
        }
        let bytes = Bytes::copy_from_slice(bytes);
        for part in 0..3 {
            let mut altered = adds_bob.clone();
            *match part {
                0 => &mut altered.commit,
                1 => &mut altered.welcome,
                _ => &mut altered.group_info,
            } = bytes.clone();
            drop(group.judge_commit(crypto, alice, &altered));
        }
    });
});
