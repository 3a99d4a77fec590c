//! What nobody should send: each is answered by a clear code or a closed stream, and costs nothing that lasts.

use std::{net::SocketAddr, time::Duration};

use qpc_proto::{
    error::{CloseCode, Code},
    limits::{FRAME_MAX, FRAME_MAX_UNAUTHENTICATED, PIPELINE_MAX},
    v1::{self, answer, request::Method},
};
use qpc_server::{
    policy::limits::Rate,
    rng::{Rng, SystemRng},
};

use crate::{
    canary::metrics,
    edge::{House, inbox},
    person::{Device, Person},
    program::{Program, certificate},
    wire::{Dialer, PATIENCE, Wire, code, request_frame, soon},
};

/// Every method with nothing in it.
fn empty_methods() -> Vec<Method> {
    vec![
        Method::Hello(v1::Hello::default()),
        Method::RegisterStart(v1::RegisterStart::default()),
        Method::RegisterFinish(v1::RegisterFinish::default()),
        Method::LoginStart(v1::LoginStart::default()),
        Method::LoginFinish(v1::LoginFinish::default()),
        Method::EnrolDevice(v1::EnrolDevice::default()),
        Method::Authenticate(v1::Authenticate::default()),
        Method::ChangePasswordStart(v1::ChangePasswordStart::default()),
        Method::ChangePasswordFinish(v1::ChangePasswordFinish::default()),
        Method::DeleteAccount(v1::DeleteAccount {}),
        Method::RevokeDevice(v1::RevokeDevice::default()),
        Method::ClaimKeyPackages(v1::ClaimKeyPackages::default()),
        Method::CreateConversation(v1::CreateConversation::default()),
        Method::SubmitCommit(v1::SubmitCommit::default()),
        Method::Send(v1::Send::default()),
        Method::ReadLog(v1::ReadLog::default()),
        Method::ReadGroup(v1::ReadGroup::default()),
        Method::AnswerContact(v1::AnswerContact::default()),
        Method::Follow(v1::Follow::default()),
        Method::Acknowledge(v1::Acknowledge::default()),
    ]
}

/// Methods that need no content to succeed, once there is a device.
fn plain_methods() -> Vec<Method> {
    vec![
        Method::ListDevices(v1::ListDevices {}),
        Method::PublishKeyPackages(v1::PublishKeyPackages::default()),
        Method::CountKeyPackages(v1::CountKeyPackages::default()),
        Method::ListConversations(v1::ListConversations::default()),
        Method::ListContacts(v1::ListContacts::default()),
    ]
}

/// Invariant 10: a length is judged before memory is reserved for it.
#[tokio::test]
async fn invariant_10_a_frame_of_four_gigabytes_is_refused_by_its_length() {
    let house = House::new().await;
    let stranger = house.greeted().await;
    let guest = house.register("alice").await;
    for wire in [&stranger, &guest.wire] {
        let mut call = wire.open().await;
        call.raw(&u32::MAX.to_be_bytes()).await;
        assert_eq!(call.refusal().await, Some(Code::FrameTooLong));
        assert_eq!(call.refusal().await, None);
    }
    house.assert_sound();
}

#[tokio::test]
async fn strangers_have_short_frames_and_guests_long_ones() {
    let house = House::new().await;
    let stranger = house.greeted().await;
    let one_more = u32::try_from(FRAME_MAX_UNAUTHENTICATED + 1).unwrap().to_be_bytes();
    let mut call = stranger.open().await;
    call.raw(&one_more).await;
    assert_eq!(call.refusal().await, Some(Code::FrameTooLong));

    let guest = house.register("alice").await;
    let mut call = guest.wire.open().await;
    let mut frame = u32::try_from(FRAME_MAX).unwrap().to_be_bytes().to_vec();
    frame.resize(4 + FRAME_MAX, 0xff);
    call.raw(&frame).await;
    assert_eq!(call.refusal().await, Some(Code::Malformed));
    house.assert_sound();
}

#[tokio::test]
async fn truncated_frames_and_bytes_that_are_no_request_end_their_stream() {
    let house = House::new().await;
    let stranger = house.greeted().await;
    let guest = house.register("alice").await;
    for wire in [&stranger, &guest.wire] {
        for cut in [1, 3, 4, 9] {
            let whole = request_frame(Method::Hello(v1::Hello { client: "a client's name".into() }));
            let mut call = wire.open().await;
            call.raw(&whole[..cut]).await;
            call.finish();
            assert_eq!(call.refusal().await, Some(Code::Malformed), "cut at {cut}");
            assert_eq!(call.refusal().await, None);
        }
        let mut call = wire.open().await;
        call.raw(&[0, 0, 0, 3, 0xff, 0xff, 0xff]).await;
        assert_eq!(call.refusal().await, Some(Code::Malformed));
        assert_eq!(call.refusal().await, None);
    }
    house.assert_sound();
}

#[tokio::test]
async fn an_unknown_method_is_said_and_the_stream_goes_on() {
    let house = House::new().await;
    let guest = house.register("alice").await;
    let mut call = guest.wire.open().await;
    // Field 9999, which no version has; and an empty frame, which has no method at all.
    call.raw(&[0, 0, 0, 4, 0xfa, 0xf0, 0x04, 0x00]).await;
    call.raw(&[0, 0, 0, 0]).await;
    call.request(Method::CountKeyPackages(v1::CountKeyPackages::default())).await;
    assert_eq!(call.refusal().await, Some(Code::UnknownMethod));
    assert_eq!(call.refusal().await, Some(Code::UnknownMethod));
    assert!(matches!(call.answer().await, Some(answer::Result::CountKeyPackages(_))));
    call.finish();
    assert!(call.answer().await.is_none());
}

/// Random bytes behind a true length, and random bytes alone, on fresh streams.
async fn babble(wire: &Wire, rounds: usize, length_max: usize) {
    for round in 0..rounds {
        let mut bytes = vec![0; 1 + round * 3701 % length_max];
        SystemRng.fill(&mut bytes);
        if round % 2 == 0 {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            bytes.splice(0..0, length);
        }
        let Ok(Ok((mut send, mut recv))) = tokio::time::timeout(PATIENCE, wire.connection.open_bi()).await else {
            return;
        };
        // The server may have had enough of it before the end.
        drop(send.write_all(&bytes).await);
        drop(send.finish());
        drop(soon(recv.read_to_end(64 * 1024)).await);
    }
}

/// Memory of a process that is in use, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// The server is a process of its own, so that nothing else is counted: what it keeps of the 20 MiB that are sent here,
/// or of what they announce, shows.
#[tokio::test]
async fn random_bytes_leave_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let server = Program::start(temp.path());
    let certificate = certificate(temp.path());
    let (alice, device) = (Person::at("alice", "localhost"), Device::new());
    let guest = Wire::connect(server.listen, &certificate).await;
    guest.register(&alice, server.invite.as_ref().unwrap(), &device).await.unwrap();
    guest.authenticate(&alice, &device).await.unwrap();
    let round = async || {
        for _ in 0..10 {
            let stranger = Wire::connect(server.listen, &certificate).await;
            babble(&stranger, 30, 8 * 1024).await;
            stranger.connection.close(0u32.into(), b"");
        }
        babble(&guest, 200, 64 * 1024).await;
    };
    round().await;
    let before = resident(server.pid());
    for _ in 0..3 {
        round().await;
    }
    let grown = resident(server.pid()).saturating_sub(before);
    assert!(grown < 2 * 1024, "{grown} KiB more than before");
    // The server still serves, and has forgotten the strangers.
    assert!(matches!(
        guest.call(Method::CountKeyPackages(v1::CountKeyPackages::default())).await,
        answer::Result::CountKeyPackages(_)
    ));
    let forgotten = async {
        while !page(server.metrics).contains("\nqpc_connections_active 1\n") {
            tokio::task::yield_now().await;
        }
    };
    soon(forgotten).await;
    assert!(
        page(server.metrics)
            .lines()
            .filter(|line| line.starts_with("qpc_panic_total"))
            .all(|line| line.ends_with(" 0"))
    );
}

/// What the server shows of itself.
fn page(address: SocketAddr) -> String {
    String::from_utf8(metrics(address)).unwrap()
}

#[tokio::test]
async fn methods_are_refused_where_they_do_not_belong() {
    let house = House::with(|limits| limits.admission.requests = u32::MAX).await;
    let silent = house.wire().await;
    for method in empty_methods().into_iter().skip(1) {
        let answer = silent.call(method.clone()).await;
        let expected = match method {
            Method::RegisterStart(_)
            | Method::RegisterFinish(_)
            | Method::LoginStart(_)
            | Method::LoginFinish(_)
            | Method::EnrolDevice(_)
            | Method::Authenticate(_) => Code::WrongState,
            _ => Code::Unauthenticated,
        };
        assert_eq!(code(&answer), Some(expected), "{method:?}");
    }
    let stranger = house.greeted().await;
    for method in empty_methods().into_iter().chain(plain_methods()) {
        let answer = stranger.call(method.clone()).await;
        assert!(code(&answer).is_some_and(|code| !code.retryable()), "{method:?}: {answer:?}");
    }
    let guest = house.register("alice").await;
    for method in empty_methods() {
        let answer = guest.wire.call(method.clone()).await;
        assert!(code(&answer).is_some_and(|code| !code.retryable()), "{method:?}: {answer:?}");
    }
    for method in plain_methods() {
        let answer = guest.wire.call(method.clone()).await;
        assert!(code(&answer).is_none(), "{method:?}: {answer:?}");
    }
    house.assert_sound();
}

#[tokio::test]
async fn a_stranger_has_two_streams_and_few_requests() {
    let house = House::with(|limits| limits.admission.requests = 5).await;
    let stranger = house.greeted().await;
    let _first = stranger.open().await;
    let _second = stranger.open().await;
    let third = tokio::time::timeout(Duration::from_millis(300), stranger.connection.open_bi()).await;
    assert!(third.is_err(), "a third stream was allowed");

    let talker = house.greeted().await;
    let mut call = talker.open().await;
    for _ in 0..5 {
        drop(call.send.write_all(&request_frame(Method::Hello(v1::Hello::default()))).await);
    }
    assert_eq!(talker.close_code().await, Some(CloseCode::ProtocolViolation));
}

#[tokio::test]
async fn pipelining_beyond_the_limit_waits_and_is_answered_in_order() {
    let house = House::with(|limits| limits.rates.request = Rate { per_minute: 60_000_000, burst: 100_000 }).await;
    let guest = house.register("alice").await;
    let mut call = guest.wire.open().await;
    let rounds = PIPELINE_MAX * 10;
    let mut frames = Vec::new();
    for n in 0..rounds {
        // Alternately one that succeeds and one that is refused, so that order can be seen.
        let method = if n % 2 == 0 {
            Method::CountKeyPackages(v1::CountKeyPackages::default())
        } else {
            Method::Send(v1::Send::default())
        };
        frames.extend_from_slice(&request_frame(method));
    }
    let writing = async {
        call.send.write_all(&frames).await.unwrap();
        call.send.finish().unwrap();
    };
    soon(writing).await;
    for n in 0..rounds {
        let answer = call.answer().await.unwrap();
        assert_eq!(code(&answer).is_none(), n % 2 == 0, "{n}: {answer:?}");
    }
    assert!(call.answer().await.is_none());
}

#[tokio::test]
async fn a_sync_call_takes_no_other_requests_and_bounded_lists() {
    let house = House::new().await;
    let guest = house.register("alice").await;
    let mut call = guest.sync(vec![]).await;
    call.request(Method::CountKeyPackages(v1::CountKeyPackages::default())).await;
    assert_eq!(call.refusal().await, Some(Code::WrongState));
    assert_eq!(call.refusal().await, None);

    let mut call = guest.sync(vec![inbox(guest.device.id); 257]).await;
    assert_eq!(call.refusal().await, Some(Code::TooLarge));

    let mut call = guest.sync(vec![v1::Cursor::default()]).await;
    assert_eq!(call.refusal().await, Some(Code::Malformed));

    let mut call = guest.sync(vec![]).await;
    call.raw(&[0, 0, 0, 2, 0xff, 0xff]).await;
    assert_eq!(call.refusal().await, Some(Code::Malformed));
    house.until(|context| context.metrics.syncs_active.get() == 0).await;
    house.assert_sound();
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_leave_nothing_behind() {
    let house = House::new().await;
    let guest = house.register("alice").await;
    for round in 0..2_000u32 {
        let mut call = guest.wire.open().await;
        if round % 2 == 0 {
            call.raw(&[0, 0, 0, 9, 1]).await;
        }
        call.send.reset(round.into()).unwrap();
        drop(call);
    }
    let count = guest.wire.call(Method::CountKeyPackages(v1::CountKeyPackages::default())).await;
    assert!(matches!(count, answer::Result::CountKeyPackages(_)));
    // The endpoint, the book of cursors, who is read of for ephemeral events, and this one connection.
    house.until(|context| context.tasks.running() <= 5).await;
    house.assert_sound();
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_read_no_further() {
    let house = House::with(|limits| {
        limits.transport.send_window = 8 * 1024;
        limits.rates.request = Rate { per_minute: 60_000_000, burst: 1_000_000 };
    })
    .await;
    let guest = house.register("alice").await;
    let narrow = Dialer::new(house.address, &house.certificate, "127.0.0.1:0", Some(2 * 1024));
    let deaf = house.through(&narrow, &guest).await;
    let mut call = deaf.wire.open().await;
    // Far more than the windows of both sides hold.
    let flood = request_frame(Method::CountKeyPackages(v1::CountKeyPackages::default())).repeat(200_000);
    let written = tokio::time::timeout(Duration::from_millis(1500), call.send.write_all(&flood)).await;
    assert!(written.is_err(), "everything was taken");
    // Its other streams, and other connections, are served.
    let count = guest.wire.call(Method::CountKeyPackages(v1::CountKeyPackages::default())).await;
    assert!(matches!(count, answer::Result::CountKeyPackages(_)));
}

/// D13: a bug that one session meets ends that session.
#[tokio::test]
async fn a_panic_ends_its_session_and_nobody_elses() {
    let house = House::new().await;
    let guest = house.register("alice").await;
    let mut sync = guest.sync(vec![inbox(guest.device.id)]).await;
    assert!(matches!(sync.answer().await, Some(answer::Result::Following(_))));
    let unlucky = house.wire().await;
    house.trap.0.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut call = unlucky.open().await;
    call.request(Method::Hello(v1::Hello::default())).await;
    assert_eq!(unlucky.close_code().await, Some(CloseCode::Internal));
    house.trap.0.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(house.context.metrics.panics("stream"), 1);
    assert!(matches!(sync.answer().await, Some(answer::Result::CaughtUp(_))));
    house.greeted().await;
}
