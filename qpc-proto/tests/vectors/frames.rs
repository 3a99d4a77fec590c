//! One request and one answer of every kind: what does not stand here does not compile.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    id::DeviceId,
    v1::{self, answer::Result as Ans, request::Method as Req},
};

use crate::{
    alice, b, blob, bundle, certificate, cursor, device, ephemeral, join_request, link, log_entry, message, name,
};

/// Every request; the match below does not compile when one is missing.
pub(crate) fn requests() -> Vec<Req> {
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
            again: false,
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
        Req::SetLink(v1::SetLink {
            conversation: Some(name().to_wire()),
            link_key: link().key().to_bytes(),
            expires_ms: 1_700_604_800_000,
            uses: 10,
            withdrawn: false,
        }),
        Req::AskToJoin(v1::AskToJoin { request: Some(join_request()) }),
        Req::ListJoinRequests(v1::ListJoinRequests { conversation: Some(name().to_wire()) }),
        Req::Offer(v1::Offer {
            conversation: Some(name().to_wire()),
            entries: vec![log_entry().to_wire()],
            complete: true,
        }),
        Req::AnswerContact(v1::AnswerContact {
            address: "bob@chat.example".into(),
            answer: v1::ContactAnswer::Accept.into(),
        }),
        Req::ListContacts(v1::ListContacts { after: "bob@chat.example".into() }),
        Req::Sync(v1::Sync { cursors: vec![cursor()], ephemerals: true }),
        Req::Follow(v1::Follow { cursors: vec![cursor()] }),
        Req::Acknowledge(v1::Acknowledge { cursors: vec![cursor()] }),
        Req::Ephemeral(v1::Ephemeral { sender_device: Bytes::new(), ..ephemeral() }),
        Req::BeginUpload(v1::BeginUpload { blob: Some(blob()), size: 600_000 }),
        Req::UploadPart(v1::UploadPart { blob: Some(blob()), number: 2, data: b(0xb1, 4) }),
        Req::FinishUpload(v1::FinishUpload { blob: Some(blob()) }),
        Req::ReadBlob(v1::ReadBlob { blob: Some(blob()), offset: 262_144, length: 65_536 }),
        Req::ReleaseBlob(v1::ReleaseBlob { blob: Some(blob()) }),
    ];
    let kinds: BTreeSet<&str> = all.iter().map(request_name).collect();
    assert_eq!(kinds.len(), all.len());
    assert_eq!(all.len(), 36, "as many as request_name has arms");
    all
}

pub(crate) fn request_name(request: &Req) -> &'static str {
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
        Req::SetLink(_) => "SetLink",
        Req::AskToJoin(_) => "AskToJoin",
        Req::ListJoinRequests(_) => "ListJoinRequests",
        Req::Offer(_) => "Offer",
        Req::AnswerContact(_) => "AnswerContact",
        Req::ListContacts(_) => "ListContacts",
        Req::Sync(_) => "Sync",
        Req::Follow(_) => "Follow",
        Req::Acknowledge(_) => "Acknowledge",
        Req::Ephemeral(_) => "Ephemeral",
        Req::BeginUpload(_) => "BeginUpload",
        Req::UploadPart(_) => "UploadPart",
        Req::FinishUpload(_) => "FinishUpload",
        Req::ReadBlob(_) => "ReadBlob",
        Req::ReleaseBlob(_) => "ReleaseBlob",
    }
}

/// Every answer; as above.
pub(crate) fn answers() -> Vec<Ans> {
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
            ephemerals: true,
        }),
        Ans::RegisterStart(v1::RegisterStartAnswer { registration_response: b(13, 64) }),
        Ans::RegisterFinish(v1::RegisterFinishAnswer { address: alice().to_string() }),
        Ans::LoginStart(v1::LoginStartAnswer { ke2: b(14, 320), ksf_version: 1 }),
        Ans::LoginFinish(v1::LoginFinishAnswer {
            address: alice().to_string(),
            account_key: b(0xaa, 32),
            wrapped_account_secret: b(3, 73),
            register_anew: false,
        }),
        Ans::EnrolDevice(v1::EnrolDeviceAnswer {}),
        Ans::Authenticate(v1::AuthenticateAnswer {
            address: alice().to_string(),
            key_packages: 20,
            post_quantum_key_packages: 5,
            restored_ms: 0,
            read_only_until_ms: 0,
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
        Ans::Send(v1::SendAnswer { seq: 3, chain: chain.clone(), stored_ms: 1_700_000_000_003, queued: false }),
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
        Ans::SetLink(v1::SetLinkAnswer {}),
        Ans::AskToJoin(v1::AskToJoinAnswer { expires_ms: 1_700_604_800_000 }),
        Ans::ListJoinRequests(v1::ListJoinRequestsAnswer { requests: vec![join_request()] }),
        Ans::Offer(v1::OfferAnswer { head_seq: 42, chain: b(0xc4, 32) }),
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
        Ans::Ephemeral(ephemeral()),
        Ans::BeginUpload(v1::BeginUploadAnswer { parts: 2, complete: false }),
        Ans::UploadPart(v1::UploadPartAnswer {}),
        Ans::FinishUpload(v1::FinishUploadAnswer {}),
        Ans::ReadBlob(v1::ReadBlobAnswer { size: 600_000, data: b(0xb1, 4) }),
        Ans::ReleaseBlob(v1::ReleaseBlobAnswer {}),
    ];
    let kinds: BTreeSet<&str> = all.iter().map(answer_name).collect();
    assert_eq!(kinds.len(), all.len());
    assert_eq!(all.len(), 39, "as many as answer_name has arms");
    all
}

pub(crate) fn answer_name(answer: &Ans) -> &'static str {
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
        Ans::SetLink(_) => "SetLinkAnswer",
        Ans::AskToJoin(_) => "AskToJoinAnswer",
        Ans::ListJoinRequests(_) => "ListJoinRequestsAnswer",
        Ans::Offer(_) => "OfferAnswer",
        Ans::AnswerContact(_) => "AnswerContactAnswer",
        Ans::ListContacts(_) => "ListContactsAnswer",
        Ans::Entry(_) => "Entry",
        Ans::Following(_) => "Following",
        Ans::CaughtUp(_) => "CaughtUp",
        Ans::NotFollowed(_) => "NotFollowed",
        Ans::GoAway(_) => "GoAway",
        Ans::Ephemeral(_) => "Ephemeral",
        Ans::BeginUpload(_) => "BeginUploadAnswer",
        Ans::UploadPart(_) => "UploadPartAnswer",
        Ans::FinishUpload(_) => "FinishUploadAnswer",
        Ans::ReadBlob(_) => "ReadBlobAnswer",
        Ans::ReleaseBlob(_) => "ReleaseBlobAnswer",
    }
}

/// A field that came later: requests of before it stay the same bytes, and what it adds is these.
#[test]
fn a_creation_that_is_repeated_says_so_in_a_field_of_its_own() {
    let create = v1::CreateConversation { again: true, ..Default::default() };
    assert_eq!(create.encode_to_vec(), [0x38, 1]);
    assert!(v1::CreateConversation::decode(&[][..]).is_ok_and(|before| !before.again));
}
