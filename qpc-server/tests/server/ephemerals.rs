//! What is ephemeral, as the server hands it on: to whom, by which way, and what goes first when there is too much.

use std::time::Duration;

use bytes::Bytes;
use qpc_proto::{
    ephemeral::Event,
    v1::{self, answer::Result as Outcome, request::Method},
};
use qpc_server::metrics::labels::EphemeralDrop;

use crate::{
    edge::{Guest, House, Room},
    wire::{Call, Dialer, soon},
};

impl Guest {
    /// Says something in a datagram.
    fn whispers(&self, room: &Room, sealed: &'static str) {
        let event = Event { conversation: room.name.clone(), sealed: sealed.into(), sender: None };
        self.wire.connection.send_datagram(event.encode()).unwrap();
    }

    /// The next datagram.
    async fn hears_next(&self) -> Event {
        Event::decode(soon(self.wire.connection.read_datagram()).await.unwrap()).unwrap()
    }

    async fn answers(&self, other: &Self, answer: v1::ContactAnswer) {
        let answer = v1::AnswerContact { address: other.person.address().to_string(), answer: answer.into() };
        assert!(matches!(self.wire.call(Method::AnswerContact(answer)).await, Outcome::AnswerContact(_)));
    }
}

impl House {
    fn dropped(&self, reason: EphemeralDrop) -> u64 {
        self.context.metrics.ephemeral.dropped(reason)
    }

    async fn until_dropped(&self, reason: EphemeralDrop, times: u64) {
        self.until(|context| context.metrics.ephemeral.dropped(reason) >= times).await;
        assert_eq!(self.dropped(reason), times);
    }

    async fn until_heard_by(&self, sessions: i64) {
        self.until(|context| context.metrics.syncs_active.get() == sessions).await;
    }
}

/// The next event of a sync call that is ephemeral.
async fn on_stream(call: &mut Call) -> Event {
    loop {
        if let Outcome::Ephemeral(event) = call.answer().await.expect("the call goes on") {
            return Event::parse(event).unwrap();
        }
    }
}

#[tokio::test]
async fn who_is_in_the_conversation_hears_it_and_nobody_else_says_anything_there() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let carol = house.register("carol").await;
    let _calls = [bob.hears(vec![]).await, carol.hears(vec![]).await];
    house.until_heard_by(2).await;
    carol.whispers(&room, "I am not in there");
    house.until_dropped(EphemeralDrop::Forbidden, 1).await;
    // Whatever a client says of who it is.
    let forged =
        Event { conversation: room.name.clone(), sealed: Bytes::from_static(b"sealed"), sender: Some(carol.device.id) };
    alice.wire.connection.send_datagram(forged.encode()).unwrap();
    let heard = bob.hears_next().await;
    assert_eq!((heard.sender, &heard.sealed[..]), (Some(alice.device.id), &b"sealed"[..]));
    let delivered = house.context.metrics.ephemeral.delivered.get();
    assert_eq!(delivered, 1, "a stranger was told, or the sender");
    house.assert_sound();
}

#[tokio::test]
async fn without_datagrams_the_same_goes_on_the_sync_stream() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let dialer = Dialer::new(house.address, &house.certificate, "127.0.0.1:0", None).without_datagrams();
    let bob = house.through(&dialer, &bob).await;
    assert!(bob.wire.connection.max_datagram_size().is_some(), "the server takes them all the same");
    let mut of_bob = bob.hears(vec![]).await;
    let _of_alice = alice.hears(vec![]).await;
    house.until_heard_by(2).await;
    alice.whispers(&room, "to bob");
    assert_eq!(on_stream(&mut of_bob).await.sealed, "to bob");
    let event = Event { conversation: room.name.clone(), sealed: "to alice".into(), sender: None };
    of_bob.request(Method::Ephemeral(event.to_wire())).await;
    let heard = alice.hears_next().await;
    assert_eq!((heard.sealed, heard.sender), ("to alice".into(), Some(bob.device.id)));
    // On any other stream it is refused.
    let answer = bob.wire.call(Method::Ephemeral(event.to_wire())).await;
    assert_eq!(crate::wire::code(&answer), Some(qpc_proto::error::Code::WrongState));
}

#[tokio::test]
async fn a_block_and_a_request_that_is_not_answered_end_it_both_ways_at_once() {
    let house = House::new().await;
    let (alice, bob) = (house.register("alice").await, house.register("bob").await);
    let _calls = [alice.hears(vec![]).await, bob.hears(vec![]).await];
    house.until_heard_by(2).await;
    let room = alice.asks_to_talk(&bob).await;
    alice.whispers(&room, "may I?");
    house.until_dropped(EphemeralDrop::Forbidden, 1).await;
    bob.whispers(&room, "who is that?");
    house.until_dropped(EphemeralDrop::Forbidden, 2).await;
    bob.answers(&alice, v1::ContactAnswer::Accept).await;
    alice.whispers(&room, "accepted");
    assert_eq!(bob.hears_next().await.sealed, "accepted");
    bob.answers(&alice, v1::ContactAnswer::Block).await;
    alice.whispers(&room, "blocked");
    house.until_dropped(EphemeralDrop::Forbidden, 3).await;
    bob.whispers(&room, "you are blocked");
    house.until_dropped(EphemeralDrop::Forbidden, 4).await;
    bob.answers(&alice, v1::ContactAnswer::Unblock).await;
    alice.whispers(&room, "again");
    assert_eq!(bob.hears_next().await.sealed, "again");
}

#[tokio::test]
async fn what_is_no_event_or_too_long_is_dropped_and_costs_nobody_the_connection() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let _call = bob.hears(vec![]).await;
    house.until_heard_by(1).await;
    for garbage in [&b""[..], b"garbage", &[0x0a; 600]] {
        alice.wire.connection.send_datagram(Bytes::copy_from_slice(garbage)).unwrap();
    }
    house.until_dropped(EphemeralDrop::Malformed, 3).await;
    let stranger = house.greeted().await;
    stranger.connection.send_datagram(Bytes::from_static(b"garbage")).unwrap();
    stranger.call(Method::ListDevices(v1::ListDevices {})).await;
    assert_eq!(house.dropped(EphemeralDrop::Malformed), 3, "a stranger's is looked at");
    alice.whispers(&room, "sealed");
    assert_eq!(bob.hears_next().await.sealed, "sealed");
    house.assert_sound();
}

#[tokio::test]
async fn a_server_that_hands_none_on_says_so_and_takes_none() {
    let house = House::with(|limits| limits.ephemerals.enabled = false).await;
    let (alice, bob, room) = house.pair().await;
    let _of_bob = bob.hears(vec![]).await;
    let mut of_alice = alice.hears(vec![]).await;
    assert_eq!(alice.wire.connection.max_datagram_size(), None);
    let event = Event { conversation: room.name.clone(), sealed: "sealed".into(), sender: None };
    of_alice.request(Method::Ephemeral(event.to_wire())).await;
    house.until_dropped(EphemeralDrop::Off, 1).await;
    let hello = house.wire().await.call(Method::Hello(v1::Hello { client: "test".into() })).await;
    assert!(matches!(hello, Outcome::Hello(hello) if !hello.ephemerals));
    assert_eq!(house.context.metrics.ephemeral.delivered.get(), 0);
}

#[tokio::test]
async fn a_slow_reader_loses_what_is_ephemeral_and_no_message() {
    const MESSAGES: u64 = 200;
    let house = House::with(|limits| {
        limits.session.offers = 8;
        limits.ephemerals.waiting = 4;
        limits.transport.send_window = 16 * 1024;
    })
    .await;
    let (alice, bob, room) = house.pair().await;
    let narrow = Dialer::new(house.address, &house.certificate, "127.0.0.1:0", Some(2 * 1024));
    let bob = house.through(&narrow, &bob).await;
    let mut of_bob = bob.hears(vec![room.cursor(0)]).await;
    house.until_heard_by(1).await;
    let mut sends = alice.wire.open().await;
    for number in 0..MESSAGES {
        sends.request(room.message(number + 2, vec![7; 1_000])).await;
        assert!(matches!(sends.answer().await, Some(Outcome::Send(_))));
    }
    house.until(|context| context.metrics.behind.get() > 0).await;
    let before = house.context.metrics.ephemeral.delivered.get();
    for _ in 0..20 {
        alice.whispers(&room, "sealed");
    }
    // All of one device in one conversation: the newest waits at most, and is dropped when its turn comes.
    house
        .until(|context| {
            let dropped = |reason| context.metrics.ephemeral.dropped(reason);
            dropped(EphemeralDrop::Behind) + dropped(EphemeralDrop::Replaced) >= 19
        })
        .await;
    assert_eq!(house.context.metrics.ephemeral.delivered.get(), before, "it went before messages");
    let mut next = 1;
    while next <= MESSAGES + 1 {
        match of_bob.answer().await.expect("the call goes on") {
            Outcome::Entry(entry) => {
                assert_eq!(entry.seq, next);
                next += 1;
            }
            Outcome::Ephemeral(_) => panic!("it came on the stream, before messages"),
            _ => {}
        }
    }
    // Whoever keeps up hears again.
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            alice.whispers(&room, "now");
            let heard = tokio::time::timeout(Duration::from_millis(100), bob.wire.connection.read_datagram()).await;
            if heard.is_ok_and(|heard| Event::decode(heard.unwrap()).unwrap().sealed == "now") {
                return;
            }
        }
    })
    .await
    .unwrap();
}
