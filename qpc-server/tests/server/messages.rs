//! Messages from one session to another: order, push, backlog, slow readers, revocation, drain.

use std::time::Duration;

use bytes::Bytes;
use qpc_proto::{
    chain::{ChainValue, EntryContent, LogEntry},
    error::{CloseCode, Code},
    id::Seq,
    v1::{self, answer, request::Method},
};
use qpc_server::{metrics::labels::Limit, policy::limits::Rate};

use crate::{
    edge::{Guest, House, Room, inbox, message_id},
    hand::Plan,
    wire::{Call, Dialer, code, request_frame, soon},
};

/// What a sync call says, read into what a client would keep.
struct Reader {
    call: Call,
    /// The chain as far as it has been read, and seqs of a room.
    chain: ChainValue,
    seq: Seq,
    bodies: Vec<Bytes>,
}

impl Reader {
    async fn begin(guest: &Guest, room: &Room) -> Self {
        Self::on(guest.sync(vec![room.cursor(0)]).await, room)
    }

    fn on(call: Call, room: &Room) -> Self {
        Self { call, chain: room.genesis(), seq: Seq(0), bodies: Vec::new() }
    }

    async fn event(&mut self) -> answer::Result {
        let event = self.call.answer().await.expect("the sync call goes on");
        if let answer::Result::Entry(entry) = &event {
            let entry = LogEntry::parse(entry.clone()).unwrap();
            // Invariants 3 and 4: no gaps, and one chain for all readers.
            assert_eq!(entry.seq, self.seq.next());
            assert!(entry.follows(&self.chain));
            (self.seq, self.chain) = (entry.seq, entry.chain);
            if let EntryContent::Body(body) = entry.content {
                self.bodies.push(body);
            }
        }
        event
    }

    async fn until_caught_up(&mut self) {
        while !matches!(self.event().await, answer::Result::CaughtUp(_)) {}
    }

    async fn until(&mut self, seq: u64) {
        while self.seq.0 < seq {
            self.event().await;
        }
    }
}

/// Sends many messages through one stream without waiting, and reads the answers.
async fn send_all(guest: &Guest, room: &Room, counters: std::ops::Range<u64>, body: usize) {
    let Call { mut send, mut answers } = guest.wire.open().await;
    let count = counters.clone().count();
    let writing = async {
        for counter in counters {
            let mut content = counter.to_string().into_bytes();
            content.resize(content.len().max(body), b'.');
            send.write_all(&request_frame(room.message(counter, content))).await.unwrap();
        }
        send.finish().unwrap();
    };
    let reading = async {
        let mut seqs = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                answer::Result::Send(stored) => seqs.push(stored.seq),
                other => panic!("{other:?}"),
            }
        }
        seqs
    };
    let ((), seqs) = soon(async { tokio::join!(writing, reading) }).await;
    assert_eq!(seqs.len(), count);
    assert!(seqs.is_sorted());
}

/// Invariant 3: what was sent comes in the order in which it was sent, to who was there and to who was not.
#[tokio::test]
async fn invariant_3_pipelined_messages_arrive_in_order_live_and_later() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let mut live = Reader::begin(&bob, &room).await;
    live.until_caught_up().await;
    send_all(&alice, &room, 2..302, 0).await;
    live.until(301).await;
    let expected: Vec<Bytes> = (2..302).map(|n: u64| n.to_string().into()).collect();
    assert_eq!(live.bodies[1..], expected);

    let mut later = Reader::begin(&house.again(&bob).await, &room).await;
    later.until_caught_up().await;
    assert_eq!(later.bodies[1..], expected);
    assert_eq!(later.chain, live.chain);
    house.assert_sound();
}

/// Invariant 8: one reader that takes nothing delays neither the sender nor another reader, and gets everything
/// once it reads.
#[tokio::test]
async fn invariant_8_a_slow_reader_costs_nobody_and_misses_nothing() {
    let house = House::with(|limits| {
        limits.session.offers = 4;
        limits.transport.send_window = 8 * 1024;
    })
    .await;
    let (alice, bob, room) = house.pair().await;
    let narrow = Dialer::new(house.address, &house.certificate, "127.0.0.1:0", Some(2 * 1024));
    let slow = house.through(&narrow, &bob).await;
    let mut slow = Reader::begin(&slow, &room).await;
    slow.until_caught_up().await;
    let mut other = Reader::begin(&alice, &room).await;
    other.until_caught_up().await;

    // The slow one reads nothing until all is sent, acknowledged, and read by the other.
    let sending = send_all(&alice, &room, 2..802, 200);
    let reading = other.until(801);
    soon(async { tokio::join!(sending, reading) }).await;
    assert!(house.context.metrics.behind.get() > 0, "it never was behind");
    let fetched = house.context.metrics.fetch.get();
    slow.until(801).await;
    assert!(house.context.metrics.fetch.get() > fetched, "it never caught up from the store");
    assert_eq!(slow.chain, other.chain);
    house.assert_sound();
}

#[tokio::test]
async fn a_sender_above_its_rate_is_slowed_down_and_not_refused() {
    let house = House::with(|limits| limits.rates.message = Rate { per_minute: 1_200, burst: 5 }).await;
    let (alice, _bob, room) = house.pair().await;
    let began = std::time::Instant::now();
    send_all(&alice, &room, 2..22, 0).await;
    // Fifteen of the twenty had to wait 50 ms each.
    assert!(began.elapsed() > Duration::from_millis(600), "{:?}", began.elapsed());
    assert!(house.context.metrics.rate_limit_hits(Limit::Message) > 0);
}

/// Invariant 2: the same bytes again give the same answer.
#[tokio::test]
async fn invariant_2_a_message_sent_again_is_answered_alike() {
    let house = House::new().await;
    let (alice, _bob, room) = house.pair().await;
    let message = room.message(2, "once");
    let first = alice.wire.call(message.clone()).await;
    let again = house.again(&alice).await.wire.call(message).await;
    assert!(matches!(first, answer::Result::Send(_)));
    assert_eq!(format!("{first:?}"), format!("{again:?}"));
    assert_eq!(code(&alice.wire.call(room.message(2, "another")).await), Some(Code::IdConflict));
    assert_eq!(code(&alice.wire.call(room.message(9, "too far")).await), Some(Code::CounterGap));
}

/// Invariant 11: what one device sends into one conversation is stored in the order it made them, or not at all,
/// whatever the streams and however many wait for their answers.
#[tokio::test]
async fn invariant_11_a_devices_own_order_holds_across_streams() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let (mut one, mut two) = (alice.wire.open().await, alice.wire.open().await);
    // All at once: 2 and 3 here, 4 and 5 there; on each stream one that comes too early.
    for counter in [2, 9, 3] {
        one.request(room.message(counter, counter.to_string())).await;
    }
    assert!(matches!(one.answer().await, Some(answer::Result::Send(_))));
    assert_eq!(one.refusal().await, Some(Code::CounterGap));
    assert!(matches!(one.answer().await, Some(answer::Result::Send(_))));
    for counter in [7, 4, 5] {
        two.request(room.message(counter, counter.to_string())).await;
    }
    assert_eq!(two.refusal().await, Some(Code::CounterGap));
    assert!(matches!(two.answer().await, Some(answer::Result::Send(_))));
    assert!(matches!(two.answer().await, Some(answer::Result::Send(_))));
    let mut reader = Reader::begin(&bob, &room).await;
    reader.until_caught_up().await;
    assert_eq!(reader.bodies[1..], ["2", "3", "4", "5"].map(Bytes::from));
}

/// Invariant 5: what was delivered and acknowledged stays in the log, and is not sent again to who has it.
#[tokio::test]
async fn invariant_5_acknowledging_removes_nothing_and_nothing_comes_twice() {
    let house = House::with(|limits| limits.session.cursor_flush = Duration::from_millis(1)).await;
    let (alice, bob, room) = house.pair().await;
    send_all(&alice, &room, 2..5, 0).await;
    let mut first = Reader::begin(&bob, &room).await;
    first.until_caught_up().await;
    first.call.request(Method::Acknowledge(v1::Acknowledge { cursors: vec![room.cursor(4)] })).await;
    first.call.finish();
    assert!(first.call.answer().await.is_none());

    let mut again = bob.sync(vec![room.cursor(4)]).await;
    assert!(matches!(again.answer().await, Some(answer::Result::Following(_))));
    assert!(matches!(again.answer().await, Some(answer::Result::CaughtUp(_))));
    // A reader that has lost everything gets everything.
    let mut anew = Reader::begin(&bob, &room).await;
    anew.until_caught_up().await;
    assert_eq!((anew.seq, anew.chain), (first.seq, first.chain));
    assert_eq!(anew.bodies, first.bodies);
}

/// Invariant 6: of two commits for one epoch one is stored, and the other hears which epoch it is now.
#[tokio::test]
async fn invariant_6_one_commit_for_each_epoch() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let commit = |whose: usize, counter| {
        let bundle = room.hands.lock().unwrap()[whose].commit(Plan::default());
        Method::SubmitCommit(v1::SubmitCommit {
            conversation: Some(room.name.to_wire()),
            message_id: message_id(),
            counter,
            commit: Some(bundle),
        })
    };
    let answers = tokio::join!(alice.wire.call(commit(0, 2)), bob.wire.call(commit(1, 1)));
    let answers = [answers.0, answers.1];
    let stored = answers.iter().filter(|answer| matches!(answer, answer::Result::SubmitCommit(_))).count();
    assert_eq!(stored, 1, "{answers:?}");
    let epochs: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            answer::Result::Error(error) => Some((Code::from_wire(error.code), error.epoch)),
            _ => None,
        })
        .collect();
    assert_eq!(epochs, [(Some(Code::WrongEpoch), 2)]);
    // A message of the old epoch comes too late as well.
    assert_eq!(code(&alice.wire.call(room.message(3, "late")).await), Some(Code::WrongEpoch));
}

/// Invariant 9: a body is bytes. What is in it changes nothing, and shows nowhere.
#[tokio::test]
async fn invariant_9_bodies_are_opaque() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let canary = "canary-5f0c2b";
    let bodies: Vec<Bytes> = vec![
        Bytes::from(canary),
        Bytes::from_static(&[0]),
        Bytes::from_static(&[0xff; 300]),
        request_frame(Method::DeleteAccount(v1::DeleteAccount {})),
        Bytes::from(vec![b'x'; 64 * 1024]),
    ];
    for (counter, body) in (2..).zip(&bodies) {
        let answer = alice.wire.call(room.message(counter, body.clone())).await;
        assert!(matches!(answer, answer::Result::Send(_)), "{answer:?}");
        assert!(!format!("{answer:?}").contains(canary));
    }
    let mut reader = Reader::begin(&bob, &room).await;
    reader.until_caught_up().await;
    assert_eq!(reader.bodies[1..], bodies);
    assert!(!house.context.metrics.text().unwrap().contains(canary));
}

#[tokio::test]
async fn logs_are_followed_by_who_may_read_them() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let eve = house.register("eve").await;
    let mut call = eve.sync(vec![room.cursor(0), inbox(bob.device.id)]).await;
    for _ in 0..2 {
        assert!(matches!(call.answer().await, Some(answer::Result::NotFollowed(_))));
    }
    alice.wire.call(room.message(2, "not for eve")).await;
    // The inbox of eve's own device is the next thing she hears of.
    call.request(Method::Follow(v1::Follow { cursors: vec![inbox(eve.device.id)] })).await;
    assert!(matches!(call.answer().await, Some(answer::Result::Following(_))));
    assert!(matches!(call.answer().await, Some(answer::Result::CaughtUp(_))));

    // Bob finds the welcome there.
    let mut call = bob.sync(vec![inbox(bob.device.id)]).await;
    assert!(matches!(call.answer().await, Some(answer::Result::Following(_))));
    match call.answer().await {
        Some(answer::Result::Entry(entry)) => assert_eq!(entry.kind, i32::from(v1::EntryKind::Welcome)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_not_counted_as_undelivered() {
    let house = House::with(|limits| limits.session.cursor_flush = Duration::from_millis(20)).await;
    let (alice, bob, room) = house.pair().await;
    let depth = async || {
        house.context.delivery.measure(house.context.limits.session.seen).await.unwrap();
        let page = house.context.metrics.text().unwrap();
        let figure = |state: &str| {
            let name = format!("qpc_delivery_queue_depth{{state=\"{state}\"}} ");
            page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse::<u64>().unwrap()
        };
        (figure("online"), figure("offline"))
    };
    let mut reader = Reader::begin(&bob, &room).await;
    reader.until_caught_up().await;
    send_all(&alice, &room, 2..12, 0).await;
    reader.until(11).await;
    assert_eq!(depth().await.0, 11);
    reader.call.request(Method::Acknowledge(v1::Acknowledge { cursors: vec![room.cursor(11)] })).await;
    // Bob is here and has all of it. Others have not: alice nothing of the eleven nor of her inbox, bob nothing of his.
    let others = (0, 11 + 1 + 1);
    soon(async {
        while depth().await != others {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // It was written down as well: with bob gone, nothing of it is counted as undelivered.
    drop(reader);
    bob.wire.connection.close(0u32.into(), b"");
    house.until(|context| context.metrics.syncs_active.get() == 0).await;
    assert_eq!(depth().await, others);
}

#[tokio::test]
async fn a_newer_sync_call_of_the_device_ends_the_older() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let mut first = bob.sync(vec![]).await;
    let mut second = Reader::begin(&bob, &room).await;
    assert!(first.answer().await.is_none());
    second.until_caught_up().await;
    alice.wire.call(room.message(2, "still here")).await;
    second.until(2).await;

    let elsewhere = house.again(&bob).await;
    let mut third = Reader::begin(&elsewhere, &room).await;
    assert_eq!(bob.wire.close_code().await, Some(CloseCode::Replaced));
    third.until_caught_up().await;
    house.assert_sound();
}

/// Invariant 12: a revoked device is cut everywhere, is told nothing more, and can not come back.
#[tokio::test]
async fn invariant_12_nothing_outlives_a_revoked_device() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let elsewhere = house.again(&alice).await;
    let _sync = elsewhere.sync(vec![room.cursor(0)]).await;
    let mut call = alice.wire.open().await;
    call.request(Method::RevokeDevice(v1::RevokeDevice { device_id: alice.device.id.to_bytes() })).await;
    call.request(room.message(2, "after the end")).await;
    // The device that revokes itself hears that it was done, and nothing of what it does afterwards succeeds.
    assert!(matches!(call.answer().await, Some(answer::Result::RevokeDevice(_))));
    assert_eq!(call.refusal().await, Some(Code::Unauthenticated));
    let began = std::time::Instant::now();
    assert_eq!(elsewhere.wire.close_code().await, Some(CloseCode::Revoked));
    assert_eq!(alice.wire.close_code().await, Some(CloseCode::Revoked));
    assert!(began.elapsed() < Duration::from_secs(1));

    let refused = house.greeted().await.authenticate(&alice.person, &alice.device).await.unwrap_err();
    assert_eq!(Code::from_wire(refused.code), Some(Code::Unauthenticated));
    // Others go on.
    assert!(matches!(bob.wire.call(room.message(1, "hello?")).await, answer::Result::Send(_)));
    house.assert_sound();
}

#[tokio::test]
async fn a_stopping_server_finishes_what_runs_and_says_when_to_come_back() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let mut reader = Reader::begin(&bob, &room).await;
    reader.until_caught_up().await;
    let idle = house.greeted().await;
    let mut call = alice.wire.open().await;
    call.request(room.message(2, "the last word")).await;
    assert!(matches!(call.answer().await, Some(answer::Result::Send(_))));

    let finished = house.context.tasks.finish(Duration::from_secs(10));
    let farewell = async {
        reader.until(2).await;
        let wait = match reader.event().await {
            answer::Result::GoAway(go) => go.reconnect_after_ms,
            other => panic!("{other:?}"),
        };
        assert!((1000..=5000).contains(&wait), "{wait}");
        assert!(reader.call.answer().await.is_none());
        for wire in [&alice.wire, &bob.wire, &idle] {
            assert_eq!(wire.close_code().await, Some(CloseCode::ShuttingDown));
        }
    };
    let (all_ended, ()) = soon(async { tokio::join!(finished, farewell) }).await;
    assert!(all_ended);
    assert_eq!(house.context.registry.sessions(), 0);
}

#[tokio::test]
async fn history_comes_in_pages_that_fit_into_frames() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    send_all(&alice, &room, 2..42, 60_000).await;
    let (mut after, mut pages, mut seen) = (0, 0, Vec::new());
    loop {
        let read = v1::ReadLog { conversation: Some(room.name.to_wire()), after_seq: after, limit: 0 };
        let answer::Result::ReadLog(page) = bob.wire.call(Method::ReadLog(read)).await else { panic!() };
        let Some(last) = page.entries.last() else { break };
        (after, pages) = (last.seq, pages + 1);
        seen.extend(page.entries.into_iter().map(|entry| entry.seq));
    }
    assert_eq!(seen, (1..=41).collect::<Vec<_>>());
    assert!(pages > 5, "{pages}");
    let foreign =
        v1::Send { message_id: message_id(), body: Bytes::from(vec![0; 64 * 1024 + 1]), ..Default::default() };
    let foreign = v1::Send { kind: v1::EntryKind::Message.into(), counter: 1, ..foreign };
    assert_eq!(code(&alice.wire.call(Method::Send(foreign)).await), Some(Code::TooLarge));
}
