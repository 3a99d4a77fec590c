//! The wire's frozen bytes: one frame of every kind, canonical headers, chain values and
//! transcripts, compared with `docs/test-vectors.md`, which readers of the protocol use.
//!
//! A change of any byte is a change of the protocol. `QPC_WRITE_VECTORS=1` writes the file anew.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "vectors/frames.rs"]
mod frames;
#[path = "vectors/peers.rs"]
mod peers;

use std::{fmt::Write as _, fs, path::PathBuf};

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, Digest, EntryContent, EntryKind, Header, LogEntry},
    content::{Content, Kind, Mention, Words},
    continuation::Continued,
    ephemeral::{Header as EphemeralHeader, Presently},
    frame,
    id::{ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    link::{Asker, InviteLink},
    role::{Role, RoleTable},
    safety::{self, Code, Party, SafetyNumber},
    transcript, v1,
};

use self::frames::{answer_name, answers, request_name, requests};

fn b(byte: u8, len: usize) -> Bytes {
    Bytes::from(vec![byte; len])
}

fn domain() -> Domain {
    Domain::parse("chat.example").unwrap()
}

fn alice() -> Address {
    Address::parse("alice@chat.example").unwrap()
}

fn device() -> DeviceId {
    DeviceId::new(1_700_000_000_001, [0xd1; 10])
}

fn message() -> MessageId {
    MessageId::new(1_700_000_000_002, [0x3e; 10])
}

fn name() -> ConversationName {
    ConversationName { domain: domain(), id: ConversationId::new(1_700_000_000_000, [0xc0; 10]) }
}

fn cursor() -> v1::Cursor {
    v1::Cursor { conversation: Some(name().to_wire()), seq: 41 }
}

/// What is sealed in an ephemeral event, and its header.
fn presently() -> (EphemeralHeader, Presently) {
    let header = EphemeralHeader { epoch: Epoch(3), leaf: 2, counter: 1_700_000_000_000_000, salt: [0x5a; 12] };
    let availability = v1::Availability::Online;
    (header, Presently { typing: true, delivered: Seq(41), read: Seq(40), availability, asks: true })
}

fn ephemeral() -> v1::Ephemeral {
    let (header, said) = presently();
    // Not encrypted: the tag is made up.
    let sealed = [header.encode().as_slice(), &said.encode(), &[0x7a; 16]].concat();
    v1::Ephemeral { conversation: Some(name().to_wire()), sealed: sealed.into(), sender_device: device().to_bytes() }
}

fn blob() -> v1::Blob {
    v1::Blob { conversation: Some(name().to_wire()), digest: b(0xb3, 32) }
}

fn certificate() -> v1::DeviceCertificate {
    v1::DeviceCertificate {
        address: alice().to_string(),
        account_key: b(0xaa, 32),
        device_id: device().to_bytes(),
        device_key: b(0xdd, 32),
        signature: b(0x51, 64),
    }
}

fn link() -> InviteLink {
    InviteLink::new(name(), &[0x11; 32])
}

/// Bob asks alice's group, by the link.
fn join_request() -> v1::JoinRequest {
    let bob = Address::parse("bob@chat.example").unwrap();
    link().ask(&Asker { address: &bob, account_key: &[0xbb; 32], device: device() }, 1_700_000_000_004)
}

fn bundle() -> v1::CommitBundle {
    v1::CommitBundle {
        epoch: 3,
        commit: b(0xc1, 4),
        welcome: b(0xe1, 4),
        welcome_devices: vec![device().to_bytes()],
        group_info: b(0x91, 4),
        added: vec![v1::Member { address: "bob@chat.example".into(), role: v1::Role::Member.into() }],
        removed: vec!["carol@chat.example".into()],
        asked: Vec::new(),
    }
}

fn continued() -> Continued {
    Continued { conversation: name(), seq: Seq(41), chain: ChainValue::genesis(&name()) }
}

fn log_entry() -> LogEntry {
    let mut entry = LogEntry {
        conversation: name(),
        seq: Seq(1),
        kind: EntryKind::Message,
        epoch: Epoch(3),
        sender: Some(device()),
        counter: Counter(7),
        id: message(),
        stored_ms: 1_700_000_000_003,
        chain: ChainValue::genesis(&name()),
        content: EntryContent::Body(Bytes::from_static(b"opaque")),
    };
    entry.chain = entry.chain.after(&entry.header());
    entry
}

/// What is inside logs, inboxes, messages and group contexts.
fn inner() -> Vec<(&'static str, Vec<u8>)> {
    let content =
        |kind| Content { reply_to: Some(message()), ..Content::new(1_700_000_000_000, kind) }.encode().unwrap();
    let mut roles = RoleTable::owned_by(alice());
    roles.set(Address::parse("bob@chat.example").unwrap(), Role::Admin);
    vec![
        ("DeviceCertificate", certificate().encode_to_vec()),
        (
            "WelcomeNotice",
            v1::WelcomeNotice {
                conversation: Some(name().to_wire()),
                kind: v1::ConversationKind::Direct.into(),
                seq: 1,
                chain: b(0xcc, 32),
                welcome: b(0xe1, 4),
                from: alice().to_string(),
                contact_request: true,
                without_tree: true,
            }
            .encode_to_vec(),
        ),
        (
            "ContactNotice",
            v1::ContactNotice {
                address: alice().to_string(),
                event: v1::ContactEvent::Accepted.into(),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            "AccountNotice",
            v1::AccountNotice {
                address: alice().to_string(),
                event: v1::AccountEvent::Reset.into(),
                account_key: b(0xab, 32),
            }
            .encode_to_vec(),
        ),
        (
            "OutcomeNotice",
            v1::OutcomeNotice {
                conversation: Some(name().to_wire()),
                message_id: message().to_bytes(),
                error: Some(v1::Error { code: 32, epoch: 4, ..Default::default() }),
                body_digest: b(0xdd, 32),
            }
            .encode_to_vec(),
        ),
        (
            "FailureReport",
            v1::FailureReport { seq: 7, chain: b(0xcc, 32), key_package: b(0x4e, 4), signature: b(0x51, 64) }
                .encode_to_vec(),
        ),
        ("Content.text", content(Kind::Text("hello".into()))),
        (
            "Content.text forwarded",
            Content { forwarded: true, ..Content::new(1_700_000_000_000, Kind::Text("hello".into())) }
                .encode()
                .unwrap(),
        ),
        (
            "Content.text with mention",
            content(Kind::Text(Words {
                text: "hello @alice".into(),
                mentions: vec![Mention { address: alice(), place: 6..12 }],
            })),
        ),
        ("Content.edit", content(Kind::Edit(message(), "hallo".into()))),
        ("Content.delete", content(Kind::Delete(message()))),
        ("Content.reaction", content(Kind::Reaction { to: message(), emoji: "👍".into(), removed: false })),
        ("Content.pin", content(Kind::Pin { id: message(), removed: false })),
        (
            "Content.poll",
            content(Kind::Poll(v1::Poll {
                question: "tea?".into(),
                options: vec!["yes".into(), "no".into()],
                several: false,
            })),
        ),
        ("Content.vote", content(Kind::Vote(message(), vec![1]))),
        ("Content.poll_close", content(Kind::PollClose(message()))),
        ("Content.lifetime", content(Kind::Lifetime(86_400))),
        (
            "Content.text that disappears",
            Content { lifetime_s: 60, ..Content::new(1_700_000_000_000, Kind::Text("hello".into())) }.encode().unwrap(),
        ),
        ("Content.receipt", content(Kind::Receipt(message(), v1::ReceiptKind::Read))),
        (
            "Content.attachment",
            content(Kind::Attachment(v1::Attachment {
                file_name: "plan.pdf".into(),
                media_type: "application/pdf".into(),
                size: 1024,
                digest: b(0xb3, 32),
                key: b(0x4e, 32),
                preview: Bytes::new(),
                caption: "the plan".into(),
                format: 1,
                blob_size: 1040,
            })),
        ),
        (
            "Content.group_state",
            content(Kind::GroupState(v1::GroupState {
                name: "team".into(),
                topic: "work".into(),
                picture: Bytes::new(),
            })),
        ),
        (
            "WelcomeNotice without a welcome",
            v1::WelcomeNotice {
                conversation: Some(name().to_wire()),
                kind: v1::ConversationKind::Personal.into(),
                seq: 0,
                chain: b(0xcc, 32),
                welcome: Bytes::new(),
                from: alice().to_string(),
                contact_request: false,
                without_tree: false,
            }
            .encode_to_vec(),
        ),
        (
            "ContactNotice of another device",
            v1::ContactNotice {
                address: alice().to_string(),
                event: v1::ContactEvent::Changed.into(),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            "Content.own_devices",
            content(Kind::OwnDevices(v1::OwnDevices {
                read: vec![v1::ReadUpTo { conversation: name().to_string(), seq: 7 }],
                marks: vec![v1::VerificationMark {
                    address: alice().to_string(),
                    account_key: b(0xaa, 32),
                    verified: true,
                    changed_ms: 1_700_000_000_000,
                    device_id: device().to_bytes(),
                }],
                history_wanted: b(0x11, 16),
                history: Some(v1::HistoryPage {
                    request: b(0x22, 16),
                    conversations: vec![v1::HistoryConversation {
                        conversation: name().to_string(),
                        kind: v1::ConversationKind::Direct.into(),
                        title: alice().to_string(),
                        peer: alice().to_string(),
                        lifetime_s: 0,
                    }],
                    messages: vec![v1::HistoryMessage {
                        conversation: name().to_string(),
                        seq: 7,
                        message_id: message().to_bytes(),
                        sender: alice().to_string(),
                        sent_ms: 1_700_000_000_000,
                        kind: "text".into(),
                        body: "hello".into(),
                        unread: true,
                        content: Bytes::new(),
                        state: None,
                    }],
                    last: true,
                    in_part: false,
                }),
            })),
        ),
        (
            "Content.own_devices with what became of a message",
            content(Kind::OwnDevices(v1::OwnDevices {
                history: Some(v1::HistoryPage {
                    messages: vec![v1::HistoryMessage {
                        state: Some(v1::MessageState {
                            edited_ms: 1_700_000_000_000,
                            deleted_by: alice().to_string(),
                            reply_to: message().to_bytes(),
                            forwarded: true,
                            mentions: vec![v1::Mention { address: alice().to_string(), start: 6, length: 6 }],
                            reactions: vec![v1::EmojiState {
                                emoji: "👍".into(), accounts: vec![alice().to_string()]
                            }],
                            pinned: true,
                            votes: vec![v1::VoteState { account: alice().to_string(), choices: vec![1] }],
                            poll_closed: true,
                            ..Default::default()
                        }),
                        ..Default::default()
                    }],
                    ..Default::default()
                }),
                ..Default::default()
            })),
        ),
        (
            "Content.own_devices in part",
            content(Kind::OwnDevices(v1::OwnDevices {
                history: Some(v1::HistoryPage {
                    request: b(0x22, 16),
                    last: true,
                    in_part: true,
                    ..Default::default()
                }),
                ..Default::default()
            })),
        ),
        ("RoleList", roles.encode()),
        ("RoleList of a group that continues another", roles.continuing(Some(continued())).encode()),
        (
            "ContactNotice of somebody who asks to join",
            v1::ContactNotice {
                address: "bob@chat.example".into(),
                event: v1::ContactEvent::AskedToJoin.into(),
                conversation: Some(name().to_wire()),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            "LoginFinishAnswer to a password that is to be registered anew",
            v1::LoginFinishAnswer {
                address: alice().to_string(),
                account_key: b(0xaa, 32),
                wrapped_account_secret: b(3, 73),
                register_anew: true,
            }
            .encode_to_vec(),
        ),
        (
            "ContactNotice of a request that was refused",
            v1::ContactNotice {
                address: String::new(),
                event: v1::ContactEvent::JoinRefused.into(),
                conversation: Some(name().to_wire()),
                code: 67,
                link_key: link().key().to_bytes(),
            }
            .encode_to_vec(),
        ),
        (
            "Content.group_links",
            content(Kind::GroupLinks(v1::GroupLinks {
                links: vec![v1::GroupLink {
                    key: link().key().to_bytes(),
                    maker: alice().to_string(),
                    expires_ms: 1_700_604_800_000,
                    uses: 10,
                    used: 3,
                    withdrawn: true,
                }],
            })),
        ),
        ("JoinRequest", join_request().encode_to_vec()),
        (
            "CommitBundle that lets in who has asked",
            v1::CommitBundle { asked: vec!["bob@chat.example".into()], ..bundle() }.encode_to_vec(),
        ),
    ]
}

/// Canonical bytes, chain values and transcripts.
fn derived() -> Vec<(&'static str, Vec<u8>)> {
    let genesis = ChainValue::genesis(&name());
    let entry = log_entry();
    let mut sealed = log_entry();
    sealed.seq = Seq(2);
    sealed.sender = None;
    sealed.content = EntryContent::Removed(Digest::of(b"opaque"));
    let second: Header<'_> = sealed.header();
    let authentication = transcript::DeviceAuthentication {
        binding: &[0xb1; 32],
        server: &domain(),
        nonce: &[12; 32],
        address: &alice(),
        device: device(),
    };
    vec![
        ("conversation name, canonical (MLS group id)", name().canonical()),
        ("digest of the body \"opaque\"", Digest::of(b"opaque").0.to_vec()),
        ("header of entry 1", entry.header().canonical()),
        ("header of entry 2 (sender sealed)", second.canonical()),
        ("chain value before entry 1", genesis.0.to_vec()),
        ("chain value after entry 1", entry.chain.0.to_vec()),
        ("chain value after entry 2", entry.chain.after(&second).0.to_vec()),
        ("device authentication transcript", authentication.bytes()),
        ("device certificate transcript", transcript::device_certificate(&alice(), &[0xaa; 32], device(), &[0xdd; 32])),
        (
            "failure report transcript",
            transcript::failure_report(&name(), Seq(7), &ChainValue([0xcc; 32]), &b(0x4e, 4)),
        ),
        ("what is sealed in an ephemeral event, padded", presently().1.encode().to_vec()),
        ("header of an ephemeral event", presently().0.encode().to_vec()),
        ("nonce of an ephemeral event", presently().0.nonce().to_vec()),
        ("associated data of an ephemeral event", presently().0.associated_data(&name())),
        ("OPAQUE context", transcript::opaque_context(&[0xb1; 32], &domain())),
    ]
}

/// What alice (key aa…) and bob (key bb…) compare; the transcripts in hex.
fn compared() -> Vec<(&'static str, String)> {
    let (alice, bob) = (alice(), Address::parse("bob@chat.example").unwrap());
    let (alice, bob) =
        (Party { address: &alice, account_key: &[0xaa; 32] }, Party { address: &bob, account_key: &[0xbb; 32] });
    let half = |party: &Party<'_>| {
        hex::encode(transcript::safety_number_half(safety::VERSION, party.address, party.account_key))
    };
    let number = SafetyNumber::of(&alice, &bob);
    vec![
        ("transcript of alice's half", half(&alice)),
        ("transcript of bob's half", half(&bob)),
        ("number, digits", number.to_string()),
        ("number, words", number.words().join(" ")),
        (
            "transcript of the code that alice shows",
            hex::encode(transcript::verification_code(safety::VERSION, &alice, &bob)),
        ),
        ("code that alice shows", Code::of(&alice, &bob).to_string()),
        ("code that bob shows", Code::of(&bob, &alice).to_string()),
    ]
}

/// The link (secret 11…) by which bob asks, and what is signed with it.
fn asked() -> Vec<(&'static str, String)> {
    let bob = Address::parse("bob@chat.example").unwrap();
    let asker = Asker { address: &bob, account_key: &[0xbb; 32], device: device() };
    let signed = transcript::join_request(&name(), &link().key(), &asker, 1_700_000_000_004);
    vec![("link", link().text().to_string()), ("transcript of the request to join", hex::encode(signed))]
}

fn document() -> String {
    let mut text = String::from(
        "# Test vectors of `qpc/1`\n\n\
         Written by `qpc-proto/tests/vectors.rs`, which fails when a byte changes. `docs/protocol.md` says what the\n\
         parts mean; the values of the fields can be read back with any Protobuf decoder and `qpc-proto/proto`.\n",
    );
    let mut written = |title: &str, rows: Vec<(&str, String)>| {
        writeln!(text, "\n## {title}\n").unwrap();
        for (name, value) in rows {
            writeln!(text, "- {name}\n  `{value}`").unwrap();
        }
    };
    let mut section = |title: &str, rows: Vec<(&'static str, Vec<u8>)>| {
        written(title, rows.into_iter().map(|(name, bytes)| (name, hex::encode(bytes))).collect());
    };
    section(
        "Frames from a client",
        requests()
            .into_iter()
            .map(|method| (request_name(&method), frame::encode(&v1::Request { method: Some(method) }).to_vec()))
            .collect(),
    );
    section(
        "Frames from the server",
        answers()
            .into_iter()
            .map(|result| (answer_name(&result), frame::encode(&v1::Answer { result: Some(result) }).to_vec()))
            .collect(),
    );
    let peers = peers::requests().into_iter().map(|(name, request)| (name, frame::encode(&request)));
    let peers = peers.chain(peers::answers().into_iter().map(|(name, answer)| (name, frame::encode(&answer))));
    section("Frames between servers", peers.map(|(name, frame)| (name, frame.to_vec())).collect());
    section("Inside entries, messages and groups", inner());
    section("Canonical bytes, chain values, transcripts", derived());
    written("Safety number of alice (account key aa…) and bob (bb…)", compared());
    written("A link into a group", asked());
    text
}

#[test]
fn the_wire_stays_the_wire() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/test-vectors.md");
    let now = document();
    if std::env::var_os("QPC_WRITE_VECTORS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let frozen = fs::read_to_string(&path).unwrap();
    for (frozen, now) in frozen.lines().zip(now.lines()) {
        assert_eq!(frozen, now, "the bytes of the wire changed");
    }
    assert_eq!(frozen.lines().count(), now.lines().count());
}

#[test]
fn every_frame_reads_back() {
    for method in requests() {
        let request = v1::Request { method: Some(method) };
        let frame = frame::encode(&request);
        assert!(v1::Request::decode(&frame[frame::PREFIX..]).unwrap() == request);
    }
    for result in answers() {
        let answer = v1::Answer { result: Some(result) };
        let frame = frame::encode(&answer);
        assert!(v1::Answer::decode(&frame[frame::PREFIX..]).unwrap() == answer);
    }
    for (_, request) in peers::requests() {
        assert!(v1::PeerRequest::decode(&frame::encode(&request)[frame::PREFIX..]).unwrap() == request);
    }
    for (_, answer) in peers::answers() {
        assert!(v1::PeerAnswer::decode(&frame::encode(&answer)[frame::PREFIX..]).unwrap() == answer);
    }
}

#[test]
fn a_method_of_a_later_version_is_no_method() {
    // Field 200 of Request.
    assert!(v1::Request::decode(&[0xc2, 0x0c, 0x00][..]).unwrap().method.is_none());
}
