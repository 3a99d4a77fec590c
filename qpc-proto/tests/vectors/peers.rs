//! One request and one answer of every kind between servers: what does not stand here does not compile.

use std::collections::BTreeSet;

use qpc_proto::v1::{self, peer_answer::Result as Ans, peer_done::Result as Done, peer_request::Method as Req};

/// Every request; the match below does not compile when one is missing.
pub(crate) fn requests() -> Vec<(&'static str, v1::PeerRequest)> {
    let hello =
        v1::PeerHello { domain: "a.example".into(), peer: "b.example".into(), server: "qpc-server/0.1.0".into() };
    let claim = v1::PeerClaimKeyPackages {
        requester: "alice@a.example".into(),
        claim: Some(v1::ClaimKeyPackages { address: "bob@b.example".into(), suite: 3 }),
    };
    let base = v1::PeerBase {
        kind: v1::ConversationKind::Direct.into(),
        seq: 1,
        chain: vec![4; 32].into(),
        group_info: b"group info".as_slice().into(),
        tree: b"tree".as_slice().into(),
        tree_size: 4,
    };
    let log = v1::PeerLog {
        log: Some(conversation()),
        base: Some(base),
        entries: vec![entry()],
        group_info: b"group info".as_slice().into(),
    };
    let tree = v1::PeerReadTree { conversation: Some(conversation()), offset: 262_144 };
    let deed = |deed: v1::peer_deed::Deed| v1::PeerDeed {
        sender: "bob@b.example".into(),
        device_id: vec![7; 16].into(),
        devices: vec![device()],
        deed: Some(deed),
    };
    let accept = v1::AnswerContact { address: "alice@a.example".into(), answer: v1::ContactAnswer::Accept.into() };
    let create = v1::CreateConversation { conversation: Some(conversation()), ..Default::default() };
    let commit = v1::SubmitCommit { conversation: Some(conversation()), ..Default::default() };
    let send = v1::Send { conversation: Some(conversation()), counter: 7, ..Default::default() };
    let deeds = vec![
        deed(v1::peer_deed::Deed::Send(send)),
        deed(v1::peer_deed::Deed::CreateConversation(create)),
        deed(v1::peer_deed::Deed::SubmitCommit(commit)),
        deed(v1::peer_deed::Deed::AnswerContact(accept)),
        deed(v1::peer_deed::Deed::DevicesChanged(v1::PeerDevices { gone: false })),
    ];
    let blob = || Some(v1::Blob { conversation: Some(conversation()), digest: vec![8; 32].into() });
    let part = v1::UploadPart { blob: blob(), number: 1, data: b"sealed".as_slice().into() };
    let files = vec![
        deed(v1::peer_deed::Deed::BeginUpload(v1::BeginUpload { blob: blob(), size: 262_150 })),
        deed(v1::peer_deed::Deed::UploadPart(part)),
        deed(v1::peer_deed::Deed::FinishUpload(v1::FinishUpload { blob: blob() })),
        deed(v1::peer_deed::Deed::ReleaseBlob(v1::ReleaseBlob { blob: blob() })),
    ];
    let read = v1::ReadBlob { blob: blob(), offset: 262_144, length: 262_144 };
    let all = [
        Req::Hello(hello),
        Req::ClaimKeyPackages(claim),
        Req::Push(v1::PeerPush { logs: vec![log] }),
        Req::ReadTree(tree),
        Req::Act(v1::PeerAct { deeds }),
        Req::Act(v1::PeerAct { deeds: files }),
        Req::ReadBlob(v1::PeerReadBlob { read: Some(read) }),
        Req::ReadCopy(v1::PeerReadCopy { conversation: Some(conversation()), after: 7 }),
    ];
    named(all.into_iter().map(|method| {
        let name = match &method {
            Req::Hello(_) => "PeerHello",
            Req::ClaimKeyPackages(_) => "PeerClaimKeyPackages",
            Req::Push(_) => "PeerPush",
            Req::ReadTree(_) => "PeerReadTree",
            Req::Act(act) if act.deeds.len() == 4 => "PeerAct, of files",
            Req::Act(_) => "PeerAct",
            Req::ReadBlob(_) => "PeerReadBlob",
            Req::ReadCopy(_) => "PeerReadCopy",
        };
        (name, v1::PeerRequest { method: Some(method) })
    }))
}

/// Every answer, likewise.
pub(crate) fn answers() -> Vec<(&'static str, v1::PeerAnswer)> {
    let error = v1::Error { code: 3, ..v1::Error::default() };
    let hello = v1::PeerHelloAnswer { domain: "b.example".into(), server: "qpc-server/0.1.0".into(), restored_ms: 0 };
    let package =
        v1::ClaimedKeyPackage { device_id: vec![7; 16].into(), key_package: b"key package".as_slice().into() };
    let claimed = v1::ClaimKeyPackagesAnswer { key_packages: vec![package], devices_without: vec![vec![8; 16].into()] };
    let claimed = v1::PeerClaimKeyPackagesAnswer { claimed: Some(claimed), devices: vec![device()] };
    let pushed = |seq, code| v1::PeerPushed { seq, code, ends_at: None };
    let (seq, chain) = (3, bytes::Bytes::from(vec![4; 32]));
    let sent = v1::SendAnswer { seq, chain: chain.clone(), stored_ms: 1_700_000_000_003, queued: false };
    let results = [
        Done::Error(error.clone()),
        Done::Send(sent),
        Done::CreateConversation(v1::CreateConversationAnswer { seq, chain: chain.clone() }),
        Done::SubmitCommit(v1::SubmitCommitAnswer { seq, chain }),
        Done::AnswerContact(v1::AnswerContactAnswer {}),
        Done::DevicesChanged(v1::PeerDevicesAnswer {}),
    ];
    let done = results.map(|result| v1::PeerDone { result: Some(result) }).into();
    let files = [
        Done::BeginUpload(v1::BeginUploadAnswer { parts: 1, complete: false }),
        Done::UploadPart(v1::UploadPartAnswer {}),
        Done::FinishUpload(v1::FinishUploadAnswer {}),
        Done::ReleaseBlob(v1::ReleaseBlobAnswer {}),
    ];
    let files = files.map(|result| v1::PeerDone { result: Some(result) }).into();
    let range = v1::ReadBlobAnswer { size: 262_150, data: b"sealed".as_slice().into() };
    let all = [
        Ans::Error(error),
        Ans::Hello(v1::PeerHelloAnswer { restored_ms: 1_700_000_000_003, ..hello.clone() }),
        Ans::Hello(hello),
        Ans::ClaimKeyPackages(claimed),
        Ans::Push(v1::PeerPushAnswer { logs: vec![pushed(3, 0), pushed(2, 41)] }),
        Ans::Push(v1::PeerPushAnswer { logs: vec![v1::PeerPushed { ends_at: Some(2), ..pushed(0, 41) }] }),
        Ans::ReadTree(v1::PeerReadTreeAnswer { tree: b"tree".as_slice().into() }),
        Ans::Act(v1::PeerActAnswer { done }),
        Ans::Act(v1::PeerActAnswer { done: files }),
        Ans::ReadBlob(v1::PeerReadBlobAnswer { range: Some(range), kept_ms: 86_400_000 }),
        Ans::ReadCopy(v1::PeerReadCopyAnswer { entries: vec![entry()] }),
    ];
    named(all.into_iter().map(|result| {
        let name = match &result {
            Ans::Error(_) => "Error, to a peer",
            Ans::Hello(hello) if hello.restored_ms > 0 => "PeerHelloAnswer, of a restored server",
            Ans::Hello(_) => "PeerHelloAnswer",
            Ans::ClaimKeyPackages(_) => "PeerClaimKeyPackagesAnswer",
            Ans::Push(answer) if answer.logs.len() == 1 => "PeerPushAnswer, of a copy that ends before",
            Ans::Push(_) => "PeerPushAnswer",
            Ans::ReadTree(_) => "PeerReadTreeAnswer",
            Ans::Act(answer) if answer.done.len() == 4 => "PeerActAnswer, of files",
            Ans::Act(_) => "PeerActAnswer",
            Ans::ReadBlob(_) => "PeerReadBlobAnswer",
            Ans::ReadCopy(_) => "PeerReadCopyAnswer",
        };
        (name, v1::PeerAnswer { result: Some(result) })
    }))
}

fn conversation() -> v1::ConversationName {
    v1::ConversationName { domain: "a.example".into(), id: vec![9; 16].into() }
}

fn device() -> v1::DeviceCertificate {
    v1::DeviceCertificate {
        address: "bob@b.example".into(),
        account_key: vec![1; 32].into(),
        device_id: vec![7; 16].into(),
        device_key: vec![2; 32].into(),
        signature: vec![3; 64].into(),
    }
}

fn entry() -> v1::Entry {
    v1::Entry {
        conversation: Some(conversation()),
        seq: 1,
        kind: v1::EntryKind::Commit.into(),
        sender_device: vec![7; 16].into(),
        counter: 1,
        message_id: vec![6; 16].into(),
        stored_ms: 1_700_000_000_003,
        chain: vec![5; 32].into(),
        content: Some(v1::entry::Content::Body(b"commit".as_slice().into())),
        ..Default::default()
    }
}

fn named<T>(all: impl Iterator<Item = (&'static str, T)>) -> Vec<(&'static str, T)> {
    let all: Vec<_> = all.collect();
    assert_eq!(all.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), all.len());
    all
}
