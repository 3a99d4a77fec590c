//! Peers that come and go while the server runs.

use std::net::SocketAddr;

use qpc_client::api::Command;
use qpc_proto::{
    address::Address,
    error::CloseCode,
    v1::{self, peer_answer::Result as Outcome},
};
use qpc_server::{federation::Access, peers::LinkState, store::Store};
use quinn::Connection;

use crate::{
    across::{acquaint, connected},
    net::{Net, new_group},
    peer::{Authority, Claims, Hand, Side, Stream, closed, domain, hello, place},
    wire::soon,
};

fn pair(authority: &Authority, place_b: SocketAddr) -> (Side, Side) {
    let a = Side::start(authority.material(&Claims::of("a.example")), &[("b.example", place_b)]);
    let material = authority.material(&Claims::of("b.example"));
    let b = Side::start_with(("b.example", place_b), material, &[("a.example", a.listen)], |_| ());
    (a, b)
}

/// A connection by hand that has said hello.
async fn greeted(a: &Side, hand: &Hand, own: &str) -> Connection {
    let connection = hand.connect(a, "a.example").await.unwrap();
    let mut stream = Stream::open(&connection).await;
    stream.say(&hello(own, "a.example")).await;
    let answer = stream.next::<v1::PeerAnswer>().await.unwrap().result;
    assert!(matches!(answer, Some(Outcome::Hello(_))));
    connection
}

async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_is_taken_out_is_cut_off_both_ways_and_one_that_is_put_in_is_called() {
    let authority = Authority::new();
    let place_b = place();
    let (a, b) = pair(&authority, place_b);
    a.until_connected("b.example").await;
    b.until_connected("a.example").await;

    // What stays as it is notices nothing.
    let since = a.report("b.example").unwrap().since_ms;
    a.change(&[("b.example", place_b), ("c.example", place())], Access::default());
    a.until("c.example", |report| report.outgoing == LinkState::Connecting).await;
    let kept = a.report("b.example").unwrap();
    assert!(kept.since_ms == since && kept.incoming && kept.outgoing == LinkState::Connected, "{kept:?}");

    a.change(&[], Access::default());
    let told = |report: &qpc_server::peers::PeerReport| {
        let problem = report.problem.as_deref().unwrap_or_default();
        !report.incoming && report.outgoing != LinkState::Connected && problem.contains("does not federate")
    };
    b.until("a.example", told).await;
    // It tries again, and is refused each time.
    let refused = a.refused("not_allowed");
    until(|| a.refused("not_allowed") > refused).await;
    until(|| a.peers.report().is_empty()).await;
    let page = a.metrics.text().unwrap();
    assert!(!page.contains("b.example") && !page.contains("c.example"), "{page}");
    assert!(!a.remote.knows(&domain("b.example")));

    a.change(&[("b.example", place_b)], Access::default());
    a.until_connected("b.example").await;
    b.until_connected("a.example").await;
    assert!(a.remote.knows(&domain("b.example")));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_peer_with_another_address_is_called_there() {
    let authority = Authority::new();
    let (place_b, elsewhere) = (place(), place());
    let (a, b) = pair(&authority, place_b);
    a.until_connected("b.example").await;
    a.change(&[("b.example", elsewhere)], Access::default());
    // The connection with its old place is no more; it may still come here.
    let moved = a.until("b.example", |report| report.outgoing == LinkState::Connecting && report.incoming).await;
    assert_eq!(moved.address, Some(elsewhere.to_string()));
    b.until("a.example", |report| !report.incoming && report.outgoing == LinkState::Connected).await;
    a.change(&[("b.example", place_b)], Access::default());
    a.until_connected("b.example").await;
    // There and back again in one moment: one of the two is left.
    for _ in 0..20 {
        a.change(&[], Access::default());
        a.change(&[("b.example", place_b)], Access::default());
    }
    a.until_connected("b.example").await;
    b.until_connected("a.example").await;
    assert_eq!(a.peers.report().len(), 1);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_door_is_opened_and_closed_and_who_is_denied_has_to_go() {
    let authority = Authority::new();
    let hand = |name| Hand::new(authority.sign(&Claims::of(name)), &authority.root);
    let (c, d) = (hand("c.example"), hand("d.example"));
    let a = Side::start(authority.material(&Claims::of("a.example")), &[]);
    let outside = c.connect(&a, "a.example").await.unwrap();
    assert_eq!(closed(&outside).await, Some(CloseCode::NotAllowed));
    let open = |denied: &[&str]| Access { open: true, denied: denied.iter().map(|name| domain(name)).collect() };
    a.change(&[], open(&[]));
    let (of_c, of_d) = (greeted(&a, &c, "c.example").await, greeted(&a, &d, "d.example").await);
    a.change(&[], open(&["c.example"]));
    assert_eq!(closed(&of_c).await, Some(CloseCode::NotAllowed));
    assert!(of_d.close_reason().is_none());
    a.change(&[], Access::default());
    assert_eq!(closed(&of_d).await, Some(CloseCode::NotAllowed));
    until(|| a.peers.report().is_empty()).await;
    a.stop().await;
}

/// Of messages that people say to each other meanwhile none is lost.
#[test]
fn what_waits_for_a_peer_that_is_taken_out_is_sent_when_it_is_back() {
    let nets = Net::start_all(["a.example", "b.example"]);
    connected(&nets);
    let [a, b] = &nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    alice.do_it(new_group("crew", ["bob@b.example"]));
    bob.until("in the group", |bob| bob.conversations().iter().any(|one| one.title == "crew"));

    // The hub takes the other one out, and its people go on.
    a.federates_with(&[]);
    alice.write("bob@b.example", ["one"]);
    alice.write("crew", ["two"]);
    alice.do_it(Command::Flush);
    let waiting = || b.block(b.store().backlog(&"x@a.example".parse::<Address>().unwrap().domain)).unwrap().outgoing;
    bob.write("alice@a.example", ["three", "four"]);
    bob.until("kept by the server", |_| waiting() == 2);
    bob.expects_nothing();
    // The other one follows. What waits is still there.
    b.federates_with(&[]);
    bob.until("no peer is left", |_| b.peers().report().is_empty());
    assert_eq!(waiting(), 2);

    b.federates_with(&["a.example"]);
    a.federates_with(&["b.example"]);
    connected(&nets);
    bob.expects(["one", "two"]);
    alice.expects(["three", "four"]);
    bob.until("nothing waits any more", |_| waiting() == 0);
    alice.write("bob@b.example", ["five"]);
    bob.expects(["five"]);
    for person in [&alice, &bob] {
        assert!(person.status().alarms.is_empty(), "{:?}", person.status());
    }
}
