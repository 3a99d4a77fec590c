//! The door: deadlines of strangers, caps on handshakes and connections.

use std::{net::SocketAddr, time::Duration};

use qpc_proto::{
    error::{CloseCode, Code},
    v1::{self, request::Method},
};
use qpc_server::metrics::labels::Limit;
use quinn::ConnectionError;

use crate::{
    edge::House,
    house,
    person::{Device, Person},
    wire::{Dialer, Wire, code, request_frame, soon},
};

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let house = House::with(|limits| limits.admission.first_request = Duration::from_millis(200)).await;
    let silent = house.wire().await;
    assert_eq!(silent.close_code().await, Some(CloseCode::TooSlow));
    house.until(|context| context.metrics.connections_active.get() == 0).await;
}

#[tokio::test]
async fn a_connection_that_never_proves_itself_is_closed_however_busy_it_is() {
    let house = House::with(|limits| limits.admission.authentication = Duration::from_millis(400)).await;
    let slow = house.greeted().await;
    // A stream that is never finished keeps nobody alive.
    let mut call = slow.open().await;
    call.raw(&request_frame(Method::Hello(v1::Hello::default()))[..3]).await;
    assert_eq!(slow.close_code().await, Some(CloseCode::TooSlow));
}

#[tokio::test]
async fn a_session_outlives_the_deadlines_of_strangers() {
    let house = House::with(|limits| {
        limits.admission.first_request = Duration::from_secs(2);
        limits.admission.authentication = Duration::from_secs(2);
        limits.session.frame = Duration::from_millis(200);
    })
    .await;
    let guest = house.register("alice").await;
    // A frame that was begun has a deadline of its own, which ends its stream alone.
    let mut call = guest.wire.open().await;
    call.raw(&[0, 0]).await;
    assert_eq!(call.refusal().await, Some(Code::Malformed));
    assert_eq!(call.refusal().await, None);
    let closed = tokio::time::timeout(Duration::from_millis(2500), guest.wire.connection.closed()).await;
    assert!(closed.is_err(), "{closed:?}");
}

#[tokio::test]
async fn one_address_has_few_strangers_and_as_many_guests_as_it_likes() {
    let house = House::with(|limits| limits.admission.unauthenticated_per_prefix = 2).await;
    let _guests = [house.register("alice").await, house.register("bob").await, house.register("carol").await];
    let _strangers = [house.wire().await, house.wire().await];
    let refused = house.dialer.connect().await;
    assert!(matches!(refused, Err(ConnectionError::ConnectionClosed(_))), "{:?}", refused.err());
    let elsewhere = Dialer::new(house.address, &house.certificate, "127.0.0.2:0", None);
    elsewhere.connect().await.unwrap().greet().await;
}

#[tokio::test]
async fn a_full_house_refuses_and_has_room_again() {
    let house = House::with(|limits| limits.transport.max_connections = 1).await;
    let first = house.greeted().await;
    assert!(house.dialer.connect().await.is_err());
    first.connection.close(0u32.into(), b"");
    house.until(|context| context.metrics.connections_active.get() == 0).await;
    house.greeted().await;
}

#[tokio::test]
async fn under_load_addresses_are_proved_first_and_people_still_get_in() {
    let house = House::with(|limits| limits.admission.handshakes_retry = 0).await;
    house.register("alice").await;
    let page = house.context.metrics.text().unwrap();
    assert!(page.contains("qpc_handshake_refused_total{reason=\"retry\"} 1"), "{page}");
    let shut = House::with(|limits| limits.admission.handshakes_max = 0).await;
    assert!(shut.dialer.connect().await.is_err());
}

#[tokio::test]
async fn guessing_a_password_is_limited_by_name_known_or_not() {
    let house = House::with(|limits| {
        limits.rates.login_account = qpc_server::policy::limits::Rate { per_minute: 1, burst: 2 };
    })
    .await;
    house.register("alice").await;
    for name in ["alice", "nobody"] {
        let wire = house.greeted().await;
        let mut codes = Vec::new();
        for _ in 0..3 {
            let (start, _) = Person::new(name).login();
            codes.push(code(&wire.call(Method::LoginStart(start)).await));
        }
        assert_eq!(codes, [None, None, Some(Code::RateLimited)], "{name}");
    }
    assert_eq!(house.context.metrics.rate_limit_hits(Limit::LoginAccount), 2);
}

/// Early data could be replayed, and a resumed connection would prove less than a new one.
#[tokio::test]
async fn no_ticket_is_given_and_so_no_early_data_taken() {
    let house = House::new().await;
    // The answer to Hello comes after anything that the handshake leaves behind.
    let _first = house.greeted().await;
    assert!(!house.dialer.has_early_data());
}

/// Bytes that a client may send ahead on a new stream at this moment.
async fn ahead(wire: &Wire) -> usize {
    let mut call = wire.open().await;
    // A write takes as much as the windows have room for; nothing of it has been read yet.
    soon(call.send.write(&[0xff; 60_000])).await.unwrap()
}

#[tokio::test]
async fn a_stranger_may_send_little_ahead_and_a_guest_more() {
    let house = House::new().await;
    let stranger = house.greeted().await;
    let little = ahead(&stranger).await;
    assert!((1..=32 * 1024).contains(&little), "{little} bytes");
    let guest = house.register("alice").await;
    let more = async {
        // The larger window was announced before the answer to Authenticate, but may come after it.
        while ahead(&guest.wire).await < 60_000 {
            tokio::task::yield_now().await;
        }
    };
    soon(more).await;
}

#[tokio::test]
async fn people_come_over_both_versions_of_ip() {
    if let Err(error) = std::net::UdpSocket::bind("[::1]:0") {
        eprintln!("skipped: this machine has no IPv6 ({error})");
        return;
    }
    let house = house::House::start_with(|config| config.server.listen = "[::]:0".parse().unwrap()).await;
    let port = house.running.listen.port();
    for (host, name) in [("::1", "alice"), ("127.0.0.1", "bob")] {
        let address = SocketAddr::new(host.parse().unwrap(), port);
        let wire = Wire::connect(address, &house.certificate).await;
        let (person, device) = (Person::new(name), Device::new());
        wire.register(&person, house::TOKEN, &device).await.unwrap();
        wire.authenticate(&person, &device).await.unwrap();
    }
}

#[tokio::test]
async fn clients_are_asked_once_to_acknowledge_less_often() {
    let house = House::new().await;
    let guest = house.register("alice").await;
    for _ in 0..20 {
        guest.wire.call(Method::ListDevices(v1::ListDevices::default())).await;
    }
    assert_eq!(guest.wire.connection.stats().frame_rx.ack_frequency, 1);
}
