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

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, Digest, EntryContent, EntryKind, Header, LogEntry},
    content::{Content, Kind},
    frame,
    id::{ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::{Role, RoleTable},
    safety::{self, Code, Party, SafetyNumber},
    transcript,
    v1::{self, answer::Result as Ans, request::Method as Req},
};

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

fn certificate() -> v1::DeviceCertificate {
    v1::DeviceCertificate {
        address: alice().to_string(),
        account_key: b(0xaa, 32),
        device_id: device().to_bytes(),
        device_key: b(0xdd, 32),
        signature: b(0x51, 64),
    }
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
    }
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

/// Every request; the match below does not compile when one is missing.
fn requests() -> Vec<Req> {
    let all = vec![
        Req::Hello(v1::Hello { client: "qpc-client/0.1.0".into() }),
        Req::RegisterStart(v1::RegisterStart {
            name: "alice".into(),
            token: "invite".into(),
            registration_request: b(1, 32),
        }),
        Req::RegisterFinish(v1::RegisterFinish {
            registration_record: b(2, 192),
            wrapped_account_secret: b(3, 73),
            ksf_version: 1,
            device: Some(certificate()),
            device_name: "laptop".into(),
        }),
        Req::LoginStart(v1::LoginStart { name: "alice".into(), ke1: b(4, 96) }),
        Req::LoginFinish(v1::LoginFinish { ke3: b(5, 64) }),
        Req::EnrolDevice(v1::EnrolDevice { device: Some(certificate()), device_name: "phone".into() }),
        Req::Authenticate(v1::Authenticate { device_id: device().to_bytes(), binding: 1, signature: b(6, 64) }),
        Req::ChangePasswordStart(v1::ChangePasswordStart { registration_request: b(7, 32) }),
        Req::ChangePasswordFinish(v1::ChangePasswordFinish {
            registration_record: b(8, 192),
            wrapped_account_secret: b(9, 73),
            ksf_version: 1,
        }),
        Req::DeleteAccount(v1::DeleteAccount {}),
        Req::ListDevices(v1::ListDevices {}),
        Req::RevokeDevice(v1::RevokeDevice { device_id: device().to_bytes() }),
        Req::PublishKeyPackages(v1::PublishKeyPackages { key_packages: vec![b(10, 4)], last_resort: b(11, 4) }),
        Req::ClaimKeyPackages(v1::ClaimKeyPackages { address: alice().to_string(), suite: 0x4d }),
        Req::CountKeyPackages(v1::CountKeyPackages { suite: 0x4d }),
        Req::CreateConversation(v1::CreateConversation {
            conversation: Some(name().to_wire()),
            kind: v1::ConversationKind::Direct.into(),
            peer: "bob@chat.example".into(),
            message_id: message().to_bytes(),
            commit: Some(bundle()),
            group_info: Bytes::new(),
        }),
        Req::SubmitCommit(v1::SubmitCommit {
            conversation: Some(name().to_wire()),
            message_id: message().to_bytes(),
            counter: 8,
            commit: Some(bundle()),
        }),
        Req::Send(v1::Send {
            conversation: Some(name().to_wire()),
            message_id: message().to_bytes(),
            counter: 7,
            epoch: 3,
            kind: v1::EntryKind::Message.into(),
            body: Bytes::from_static(b"opaque"),
            leave: false,
        }),
        Req::ReadLog(v1::ReadLog { conversation: Some(name().to_wire()), after_seq: 41, limit: 50 }),
        Req::ListConversations(v1::ListConversations { after_id: name().id.to_bytes() }),
        Req::ReadGroup(v1::ReadGroup {
            conversation: Some(name().to_wire()),
            offset: 262_144,
            epoch: 3,
            welcome_seq: 7,
        }),
        Req::AnswerContact(v1::AnswerContact {
            address: "bob@chat.example".into(),
            answer: v1::ContactAnswer::Accept.into(),
        }),
        Req::ListContacts(v1::ListContacts { after: "bob@chat.example".into() }),
        Req::Sync(v1::Sync { cursors: vec![cursor()] }),
        Req::Follow(v1::Follow { cursors: vec![cursor()] }),
        Req::Acknowledge(v1::Acknowledge { cursors: vec![cursor()] }),
    ];
    let kinds: BTreeSet<&str> = all.iter().map(request_name).collect();
    assert_eq!(kinds.len(), all.len());
    assert_eq!(all.len(), 26, "as many as request_name has arms");
    all
}

fn request_name(request: &Req) -> &'static str {
    match request {
        Req::Hello(_) => "Hello",
        Req::RegisterStart(_) => "RegisterStart",
        Req::RegisterFinish(_) => "RegisterFinish",
        Req::LoginStart(_) => "LoginStart",
        Req::LoginFinish(_) => "LoginFinish",
        Req::EnrolDevice(_) => "EnrolDevice",
        Req::Authenticate(_) => "Authenticate",
        Req::ChangePasswordStart(_) => "ChangePasswordStart",
        Req::ChangePasswordFinish(_) => "ChangePasswordFinish",
        Req::DeleteAccount(_) => "DeleteAccount",
        Req::ListDevices(_) => "ListDevices",
        Req::RevokeDevice(_) => "RevokeDevice",
        Req::PublishKeyPackages(_) => "PublishKeyPackages",
        Req::ClaimKeyPackages(_) => "ClaimKeyPackages",
        Req::CountKeyPackages(_) => "CountKeyPackages",
        Req::CreateConversation(_) => "CreateConversation",
        Req::SubmitCommit(_) => "SubmitCommit",
        Req::Send(_) => "Send",
        Req::ReadLog(_) => "ReadLog",
        Req::ListConversations(_) => "ListConversations",
        Req::ReadGroup(_) => "ReadGroup",
        Req::AnswerContact(_) => "AnswerContact",
        Req::ListContacts(_) => "ListContacts",
        Req::Sync(_) => "Sync",
        Req::Follow(_) => "Follow",
        Req::Acknowledge(_) => "Acknowledge",
    }
}

/// Every answer; as above.
fn answers() -> Vec<Ans> {
    let chain = b(0xcc, 32);
    let all = vec![
        Ans::Error(v1::Error {
            code: 33,
            detail: "the last counter is 6".into(),
            retry_after_ms: 0,
            conversation: Some(name().to_wire()),
            epoch: 3,
            counter: 6,
        }),
        Ans::Hello(v1::HelloAnswer {
            server: "qpc-server/0.1.0".into(),
            domain: "chat.example".into(),
            nonce: b(12, 32),
            ksf_version: 1,
            hub_key: b(0x4b, 32),
            suites: vec![3, 0x4d],
        }),
        Ans::RegisterStart(v1::RegisterStartAnswer { registration_response: b(13, 64) }),
        Ans::RegisterFinish(v1::RegisterFinishAnswer { address: alice().to_string() }),
        Ans::LoginStart(v1::LoginStartAnswer { ke2: b(14, 320), ksf_version: 1 }),
        Ans::LoginFinish(v1::LoginFinishAnswer {
            address: alice().to_string(),
            account_key: b(0xaa, 32),
            wrapped_account_secret: b(3, 73),
        }),
        Ans::EnrolDevice(v1::EnrolDeviceAnswer {}),
        Ans::Authenticate(v1::AuthenticateAnswer {
            address: alice().to_string(),
            key_packages: 20,
            post_quantum_key_packages: 5,
        }),
        Ans::ChangePasswordStart(v1::ChangePasswordStartAnswer { registration_response: b(15, 64) }),
        Ans::ChangePasswordFinish(v1::ChangePasswordFinishAnswer {}),
        Ans::DeleteAccount(v1::DeleteAccountAnswer {}),
        Ans::ListDevices(v1::ListDevicesAnswer {
            devices: vec![v1::Device {
                device_id: device().to_bytes(),
                name: "laptop".into(),
                enrolled_ms: 1_700_000_000_000,
                last_seen_ms: 1_699_920_000_000,
                current: true,
            }],
        }),
        Ans::RevokeDevice(v1::RevokeDeviceAnswer {}),
        Ans::PublishKeyPackages(v1::PublishKeyPackagesAnswer { key_packages: 20 }),
        Ans::ClaimKeyPackages(v1::ClaimKeyPackagesAnswer {
            key_packages: vec![v1::ClaimedKeyPackage { device_id: device().to_bytes(), key_package: b(10, 4) }],
            devices_without: vec![DeviceId::new(1_700_000_000_001, [0xd2; 10]).to_bytes()],
        }),
        Ans::CountKeyPackages(v1::CountKeyPackagesAnswer { key_packages: 20, last_resort: true }),
        Ans::CreateConversation(v1::CreateConversationAnswer { seq: 1, chain: chain.clone() }),
        Ans::SubmitCommit(v1::SubmitCommitAnswer { seq: 2, chain: chain.clone() }),
        Ans::Send(v1::SendAnswer { seq: 3, chain: chain.clone(), stored_ms: 1_700_000_000_003 }),
        Ans::ReadLog(v1::LogPage {
            entries: vec![log_entry().to_wire()],
            head_seq: 1,
            floor_seq: 0,
            floor_chain: chain.clone(),
        }),
        Ans::ListConversations(v1::ListConversationsAnswer {
            conversations: vec![v1::Conversation {
                conversation: Some(name().to_wire()),
                kind: v1::ConversationKind::Group.into(),
                members: vec![v1::Member { address: alice().to_string(), role: v1::Role::Owner.into() }],
                epoch: 3,
                head_seq: 41,
                counter: 7,
            }],
            more: false,
        }),
        Ans::ReadGroup(v1::ReadGroupAnswer { epoch: 3, group_info: b(0x91, 4), tree: b(0x7e, 4), tree_size: 262_148 }),
        Ans::AnswerContact(v1::AnswerContactAnswer {}),
        Ans::ListContacts(v1::ListContactsAnswer {
            contacts: vec![v1::Contact {
                address: "bob@chat.example".into(),
                state: v1::ContactState::Accepted.into(),
                conversation: Some(name().to_wire()),
            }],
            more: false,
        }),
        Ans::Entry(log_entry().to_wire()),
        Ans::Following(v1::Following { conversation: Some(name().to_wire()), head_seq: 42, after_seq: 41, chain }),
        Ans::CaughtUp(v1::CaughtUp { conversation: Some(name().to_wire()) }),
        Ans::NotFollowed(v1::NotFollowed { conversation: Some(name().to_wire()) }),
        Ans::GoAway(v1::GoAway { reconnect_after_ms: 2_500 }),
    ];
    let kinds: BTreeSet<&str> = all.iter().map(answer_name).collect();
    assert_eq!(kinds.len(), all.len());
    assert_eq!(all.len(), 29, "as many as answer_name has arms");
    all
}

fn answer_name(answer: &Ans) -> &'static str {
    match answer {
        Ans::Error(_) => "Error",
        Ans::Hello(_) => "HelloAnswer",
        Ans::RegisterStart(_) => "RegisterStartAnswer",
        Ans::RegisterFinish(_) => "RegisterFinishAnswer",
        Ans::LoginStart(_) => "LoginStartAnswer",
        Ans::LoginFinish(_) => "LoginFinishAnswer",
        Ans::EnrolDevice(_) => "EnrolDeviceAnswer",
        Ans::Authenticate(_) => "AuthenticateAnswer",
        Ans::ChangePasswordStart(_) => "ChangePasswordStartAnswer",
        Ans::ChangePasswordFinish(_) => "ChangePasswordFinishAnswer",
        Ans::DeleteAccount(_) => "DeleteAccountAnswer",
        Ans::ListDevices(_) => "ListDevicesAnswer",
        Ans::RevokeDevice(_) => "RevokeDeviceAnswer",
        Ans::PublishKeyPackages(_) => "PublishKeyPackagesAnswer",
        Ans::ClaimKeyPackages(_) => "ClaimKeyPackagesAnswer",
        Ans::CountKeyPackages(_) => "CountKeyPackagesAnswer",
        Ans::CreateConversation(_) => "CreateConversationAnswer",
        Ans::SubmitCommit(_) => "SubmitCommitAnswer",
        Ans::Send(_) => "SendAnswer",
        Ans::ReadLog(_) => "LogPage",
        Ans::ListConversations(_) => "ListConversationsAnswer",
        Ans::ReadGroup(_) => "ReadGroupAnswer",
        Ans::AnswerContact(_) => "AnswerContactAnswer",
        Ans::ListContacts(_) => "ListContactsAnswer",
        Ans::Entry(_) => "Entry",
        Ans::Following(_) => "Following",
        Ans::CaughtUp(_) => "CaughtUp",
        Ans::NotFollowed(_) => "NotFollowed",
        Ans::GoAway(_) => "GoAway",
    }
}

/// What is inside logs, inboxes, messages and group contexts.
fn inner() -> Vec<(&'static str, Vec<u8>)> {
    let content = |kind| Content { sent_ms: 1_700_000_000_000, reply_to: Some(message()), kind }.encode().unwrap();
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
            v1::ContactNotice { address: alice().to_string(), event: v1::ContactEvent::Accepted.into() }
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
            "FailureReport",
            v1::FailureReport { seq: 7, chain: b(0xcc, 32), key_package: b(0x4e, 4), signature: b(0x51, 64) }
                .encode_to_vec(),
        ),
        ("Content.text", content(Kind::Text("hello".into()))),
        ("Content.edit", content(Kind::Edit(message(), "hallo".into()))),
        ("Content.delete", content(Kind::Delete(message()))),
        ("Content.reaction", content(Kind::Reaction { to: message(), emoji: "👍".into(), removed: false })),
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
            v1::ContactNotice { address: alice().to_string(), event: v1::ContactEvent::Changed.into() }.encode_to_vec(),
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
                    }],
                    last: true,
                    in_part: false,
                }),
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
    section("Inside entries, messages and groups", inner());
    section("Canonical bytes, chain values, transcripts", derived());
    written("Safety number of alice (account key aa…) and bob (bb…)", compared());
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
}

#[test]
fn a_method_of_a_later_version_is_no_method() {
    // Field 200 of Request.
    assert!(v1::Request::decode(&[0xc2, 0x0c, 0x00][..]).unwrap().method.is_none());
}
