//! Servers find each other, and only those that prove their domains.

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use qpc_proto::{
    error::{CloseCode, Code},
    limits::FRAME_MAX_UNAUTHENTICATED,
    v1::{self, peer_answer::Result as Outcome},
};
use qpc_server::{clock::DAY_MS, federation::Material, peers::LinkState};
use rcgen::ExtendedKeyUsagePurpose;

use crate::{
    peer::{Authority, Claims, Hand, Shown, Side, Stream, closed, domain, hello, place, request, self_signed},
    wire::soon,
};

/// Two real sides, each configured with the other.
fn pair(authority: &Authority) -> (Side, Side) {
    let place_b = place();
    let a = Side::start(authority.material(&Claims::of("a.example")), &[("b.example", place_b)]);
    let b = other(authority, place_b, &a);
    (a, b)
}

/// `b.example` at a place, configured with the one that is there.
fn other(authority: &Authority, at: SocketAddr, a: &Side) -> Side {
    let material = authority.material(&Claims::of("b.example"));
    Side::start_with(("b.example", at), material, &[("a.example", a.listen)], |_| ())
}

#[tokio::test]
async fn two_servers_connect_in_both_directions_and_again_after_one_was_away() {
    let authority = Authority::new();
    let (a, b) = pair(&authority);
    a.until_connected("b.example").await;
    b.until_connected("a.example").await;
    assert!(a.until("b.example", |report| report.round_trip_us.is_some()).await.problem.is_none());
    let place = b.listen;
    b.stop().await;
    let gone = a.until("b.example", |report| report.failures > 0 && !report.incoming).await;
    assert!(
        gone.outgoing != LinkState::Connected && gone.problem.is_some() && gone.round_trip_us.is_none(),
        "{gone:?}"
    );
    let b = other(&authority, place, &a);
    a.until_connected("b.example").await;
    b.until_connected("a.example").await;
    a.stop().await;
    b.stop().await;
}

/// A peer that comes here can be reached again: nobody waits for the end of a long pause.
#[tokio::test]
async fn who_comes_back_is_called_back_at_once() {
    let authority = Authority::new();
    let place_b = place();
    let material = authority.material(&Claims::of("a.example"));
    let a = Side::start_with(("a.example", place()), material, &[("b.example", place_b)], |settings| {
        settings.limits.handshake = Duration::from_secs(3);
        // Longer than this test may last.
        settings.limits.retry_min = Duration::from_secs(3600);
        settings.limits.retry_max = Duration::from_secs(3600);
    });
    a.until("b.example", |report| report.outgoing == LinkState::Waiting).await;
    let b = other(&authority, place_b, &a);
    a.until_connected("b.example").await;
    a.stop().await;
    b.stop().await;
}

/// Each certificate that is not exactly the domain's own, shown by a peer that comes and by one that is called.
#[tokio::test]
async fn the_certificate_matrix_lets_only_the_domain_itself_connect() {
    let authority = Authority::new();
    let good = Claims::of("b.example");
    let named = |names: &[&'static str]| Claims { names: names.to_vec(), ..good.clone() };
    let used = |uses: &[ExtendedKeyUsagePurpose]| Claims { uses: uses.to_vec(), ..good.clone() };
    let mut long = Authority::new();
    let trusted_long = long.root.clone();
    for number in 0..49 {
        long = long.below(&format!("authority {number}"));
    }
    let other_key = authority.sign(&good).key;
    let rows: Vec<(&str, Shown, bool)> = vec![
        ("as issued", authority.sign(&good), true),
        ("issued again with another key", authority.sign(&good), true),
        ("through one authority between", authority.below("between").sign(&good), true),
        ("without a word on its use", authority.sign(&used(&[])), true),
        ("expired", authority.sign(&Claims { years: (2020, 2025), ..good.clone() }), false),
        ("not yet valid", authority.sign(&Claims { years: (2090, 2096), ..good.clone() }), false),
        ("of another domain", authority.sign(&named(&["c.example"])), false),
        ("of the other side's domain", authority.sign(&named(&["a.example"])), false),
        ("a wildcard", authority.sign(&named(&["*.example"])), false),
        ("of two domains", authority.sign(&named(&["b.example", "c.example"])), false),
        ("of a domain and a wildcard", authority.sign(&named(&["b.example", "*.b.example"])), false),
        ("in capitals", authority.sign(&named(&["B.example"])), false),
        ("with a dot at the end", authority.sign(&named(&["b.example."])), false),
        ("of a look-alike", authority.sign(&named(&["xn--b-7fc.example"])), false),
        ("of a name below", authority.sign(&named(&["x.b.example"])), false),
        ("of no domain", authority.sign(&named(&[])), false),
        ("for servers alone", authority.sign(&used(&[ExtendedKeyUsagePurpose::ServerAuth])), false),
        ("for clients alone", authority.sign(&used(&[ExtendedKeyUsagePurpose::ClientAuth])), false),
        ("for code", authority.sign(&used(&[ExtendedKeyUsagePurpose::CodeSigning])), false),
        ("of another authority", Authority::new().sign(&good), false),
        ("signed by itself", self_signed(&good), false),
        ("a chain of fifty", long.sign(&good), false),
        ("with another certificate's key", Shown { key: other_key, ..authority.sign(&good) }, false),
    ];
    for (row, shown, connects) in rows {
        let hand = Hand::new(shown, &authority.root);
        let mut material = authority.material(&Claims::of("a.example"));
        // The long chain is refused for its length, not for its end.
        material.authorities.push(trusted_long.clone());
        let a = Side::start(material, &[("b.example", hand.listen)]);

        // a calls.
        let called = hand.accept().await;
        match called {
            Ok((said, mut stream, _connection)) => {
                assert!(connects, "{row}: a called and said hello");
                assert_eq!((said.domain.as_str(), said.peer.as_str()), ("a.example", "b.example"), "{row}");
                let answer = v1::PeerHelloAnswer { domain: "b.example".into(), server: String::new(), restored_ms: 0 };
                stream.say(&v1::PeerAnswer { result: Some(Outcome::Hello(answer)) }).await;
                a.until("b.example", |report| report.outgoing == LinkState::Connected).await;
            }
            Err(error) => {
                assert!(!connects, "{row}: a did not say hello: {error}");
                let report = a.until("b.example", |report| report.outgoing == LinkState::Waiting).await;
                assert!(report.problem.is_some(), "{row}");
            }
        }

        // a is called.
        let heard = match hand.connect(&a, "a.example").await {
            Ok(connection) => {
                let mut stream = Stream::open(&connection).await;
                stream.say(&hello("b.example", "a.example")).await;
                let answer = stream.next::<v1::PeerAnswer>().await;
                if answer.is_none() && row == "of another domain" {
                    assert_eq!(closed(&connection).await, Some(CloseCode::NotAllowed));
                }
                answer
            }
            Err(_) => None,
        };
        assert_eq!(heard.is_some(), connects, "{row}: a answered a hello");
        if let Some(answer) = heard {
            assert!(matches!(answer.result, Some(Outcome::Hello(hello)) if hello.domain == "a.example"), "{row}");
        }
        assert_eq!(a.report("b.example").unwrap().incoming, connects, "{row}");
        a.stop().await;
    }
}

#[tokio::test]
async fn without_a_certificate_or_with_the_clients_protocol_nobody_comes_in() {
    let authority = Authority::new();
    let a = Side::start(authority.material(&Claims::of("a.example")), &[]);
    let hand = Hand::without_certificate(&authority.root, b"qpc-fed/1");
    // TLS 1.3 tells a client late that its certificate is missed.
    if let Ok(connection) = hand.connect(&a, "a.example").await {
        assert_eq!(closed(&connection).await, None);
    }
    let hand = Hand::without_certificate(&authority.root, b"qpc/1");
    hand.connect(&a, "a.example").await.unwrap_err();
    soon(async {
        while a.refused("failed") < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    a.stop().await;
}

/// A hello by hand, and how the connection ends; `None` where it was answered.
async fn greeted(a: &Side, hand: &Hand, say: v1::PeerRequest) -> Option<CloseCode> {
    let connection = hand.connect(a, "a.example").await.unwrap();
    let mut stream = Stream::open(&connection).await;
    stream.say(&say).await;
    match stream.next::<v1::PeerAnswer>().await {
        Some(v1::PeerAnswer { result: Some(Outcome::Hello(_)) }) => None,
        Some(other) => panic!("{other:?}"),
        None => Some(closed(&connection).await.unwrap()),
    }
}

#[tokio::test]
async fn a_hello_is_believed_only_what_the_certificate_says() {
    let authority = Authority::new();
    let b = Hand::new(authority.sign(&Claims::of("b.example")), &authority.root);
    let a = Side::start(authority.material(&Claims::of("a.example")), &[("b.example", b.listen)]);
    let violation = Some(CloseCode::ProtocolViolation);
    for (said, meant) in [
        ("c.example", "a.example"),
        ("a.example", "a.example"),
        ("B.example", "a.example"),
        ("b.example.", "a.example"),
        ("b.exampl\u{435}", "a.example"),
        ("", "a.example"),
        ("b.example", "c.example"),
        ("b.example", "A.example"),
        ("b.example", ""),
    ] {
        assert_eq!(greeted(&a, &b, hello(said, meant)).await, violation, "{said:?} to {meant:?}");
    }
    let long = v1::PeerHello { domain: "b.example".into(), peer: "a.example".into(), server: "x".repeat(65) };
    assert_eq!(greeted(&a, &b, request(v1::peer_request::Method::Hello(long))).await, violation);
    assert_eq!(greeted(&a, &b, v1::PeerRequest { method: None }).await, violation);
    assert!(!a.report("b.example").unwrap().incoming);
    assert_eq!(greeted(&a, &b, hello("b.example", "a.example")).await, None);
    assert_eq!(a.refused("protocol"), 11);
    a.stop().await;
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection_and_what_is_unknown_does_not() {
    let authority = Authority::new();
    let b = Hand::new(authority.sign(&Claims::of("b.example")), &authority.root);
    let a = Side::start(authority.material(&Claims::of("a.example")), &[("b.example", b.listen)]);
    let too_long = (u32::try_from(FRAME_MAX_UNAUTHENTICATED).unwrap() + 1).to_be_bytes();
    for garbage in [&[0, 0, 0, 2, 0xff, 0xff][..], &too_long] {
        // As the first words, and after the hello.
        for first in [true, false] {
            let connection = b.connect(&a, "a.example").await.unwrap();
            let mut stream = Stream::open(&connection).await;
            if !first {
                stream.say(&hello("b.example", "a.example")).await;
                stream.next::<v1::PeerAnswer>().await.unwrap();
            }
            stream.send.write_all(garbage).await.unwrap();
            assert_eq!(closed(&connection).await, Some(CloseCode::ProtocolViolation));
        }
    }
    let connection = b.connect(&a, "a.example").await.unwrap();
    let mut first = Stream::open(&connection).await;
    first.say(&hello("b.example", "a.example")).await;
    first.next::<v1::PeerAnswer>().await.unwrap();
    for (request, code) in
        [(hello("b.example", "a.example"), Code::WrongState), (v1::PeerRequest { method: None }, Code::UnknownMethod)]
    {
        let mut other = Stream::open(&connection).await;
        for stream in [&mut first, &mut other] {
            stream.say(&request).await;
            let answer = stream.next::<v1::PeerAnswer>().await.unwrap();
            assert!(matches!(answer.result, Some(Outcome::Error(error)) if error.code == code as u32));
        }
    }
    a.stop().await;
}

#[tokio::test]
async fn a_newer_connection_of_a_peer_takes_the_place_of_the_older() {
    let authority = Authority::new();
    let b = Hand::new(authority.sign(&Claims::of("b.example")), &authority.root);
    let a = Side::start(authority.material(&Claims::of("a.example")), &[("b.example", b.listen)]);
    let mut connections = Vec::new();
    for _ in 0..2 {
        let connection = b.connect(&a, "a.example").await.unwrap();
        let mut stream = Stream::open(&connection).await;
        stream.say(&hello("b.example", "a.example")).await;
        stream.next::<v1::PeerAnswer>().await.unwrap();
        connections.push(connection);
    }
    assert_eq!(closed(&connections[0]).await, Some(CloseCode::Replaced));
    assert!(a.report("b.example").unwrap().incoming);
    connections[1].close(0_u32.into(), b"");
    a.until("b.example", |report| !report.incoming).await;
    a.stop().await;
}

#[tokio::test]
async fn who_is_not_on_the_list_stays_outside_and_who_is_denied_does_so_with_an_open_door() {
    let authority = Authority::new();
    let hand = |name| Hand::new(authority.sign(&Claims::of(name)), &authority.root);
    let (b, c, d) = (hand("b.example"), hand("c.example"), hand("d.example"));
    let closed_door = Side::start(authority.material(&Claims::of("a.example")), &[("b.example", b.listen)]);
    assert_eq!(greeted(&closed_door, &b, hello("b.example", "a.example")).await, None);
    assert_eq!(greeted(&closed_door, &c, hello("c.example", "a.example")).await, Some(CloseCode::NotAllowed));
    assert_eq!(closed_door.refused("not_allowed"), 1);
    closed_door.stop().await;

    let material = authority.material(&Claims::of("a.example"));
    let open_door = Side::start_with(("a.example", place()), material, &[], |settings| {
        settings.access.open = true;
        settings.access.denied.insert(domain("c.example"));
        settings.limits.strangers = 1;
    });
    assert_eq!(greeted(&open_door, &c, hello("c.example", "a.example")).await, Some(CloseCode::NotAllowed));
    // At the limit and one past it.
    let stays = b.connect(&open_door, "a.example").await.unwrap();
    let mut stream = Stream::open(&stays).await;
    stream.say(&hello("b.example", "a.example")).await;
    stream.next::<v1::PeerAnswer>().await.unwrap();
    open_door.until("b.example", |report| report.incoming && report.outgoing == LinkState::None).await;
    let past = d.connect(&open_door, "a.example").await.unwrap();
    let mut stream = Stream::open(&past).await;
    stream.say(&hello("d.example", "a.example")).await;
    assert_eq!(closed(&past).await, Some(CloseCode::NotAllowed));
    // Only what the operator wrote is on the page.
    assert!(!open_door.metrics.text().unwrap().contains("b.example"));
    open_door.stop().await;
}

#[tokio::test]
async fn who_says_nothing_takes_a_place_for_a_while_and_no_more_places_than_there_are() {
    let authority = Authority::new();
    let material = authority.material(&Claims::of("a.example"));
    let b = Hand::new(authority.sign(&Claims::of("b.example")), &authority.root);
    let others = ["b.example", "c.example", "d.example"];
    let nowhere = others.map(|name| (name, place()));
    let a = Side::start_with(("a.example", place()), material, &nowhere, |settings| {
        settings.limits.handshakes = 2;
        settings.limits.handshake = Duration::from_secs(5);
    });
    let silent = [b.connect(&a, "a.example").await.unwrap(), b.connect(&a, "a.example").await.unwrap()];
    b.connect(&a, "a.example").await.unwrap_err();
    assert_eq!(a.refused("handshakes"), 1);
    for connection in silent {
        assert_eq!(closed(&connection).await, Some(CloseCode::TooSlow));
    }
    // Who has said hello takes none.
    let mut stay = Vec::new();
    for name in others {
        let hand = Hand::new(authority.sign(&Claims::of(name)), &authority.root);
        let connection = hand.connect(&a, "a.example").await.unwrap();
        let mut stream = Stream::open(&connection).await;
        stream.say(&hello(name, "a.example")).await;
        stream.next::<v1::PeerAnswer>().await.unwrap();
        stay.push((hand, connection));
    }
    a.stop().await;
}

#[tokio::test]
async fn new_certificates_count_without_a_restart_and_bad_ones_change_nothing() {
    let authority = Authority::new();
    let (a, b) = pair(&authority);
    a.until_connected("b.example").await;
    b.until_connected("a.example").await;

    // Unreadable, of another domain, of an authority that others don't know, with another's key: what was there goes on.
    let good = Claims::of("a.example");
    let mixed = Material { key: authority.sign(&good).key, ..authority.material(&good) };
    let mut unknown = Authority::new().material(&good);
    unknown.authorities = vec![authority.root.clone()];
    for bad in [None, Some(authority.material(&Claims::of("c.example"))), Some(unknown), Some(mixed)] {
        a.replace_files(bad).await;
        assert_eq!(greeted(&a, &by_hand(&authority), hello("b.example", "a.example")).await, None);
        a.until_connected("b.example").await;
    }

    // What is watched follows.
    let until_2090 = Claims { years: (2020, 2090), ..good };
    a.replace_files(Some(authority.material(&until_2090))).await;
    let page = a.metrics.text().unwrap();
    assert!(page.contains("\nqpc_federation_certificate_expires_timestamp_seconds 3786912000\n"), "{page}");

    // Both move to another authority: first all know both, then all are of the new one, then the old one is forgotten.
    let newer = Authority::new();
    let sides = [(&a, Claims::of("a.example")), (&b, Claims::of("b.example"))];
    let both = |of: &Authority, claims| {
        let authorities = vec![authority.root.clone(), newer.root.clone()];
        Some(Material { authorities, ..of.material(claims) })
    };
    for (side, claims) in &sides {
        side.replace_files(both(&authority, claims)).await;
    }
    for (side, claims) in &sides {
        side.replace_files(both(&newer, claims)).await;
    }
    by_hand(&authority).connect(&a, "a.example").await.unwrap_err();
    let old = Hand::new(authority.sign(&Claims::of("b.example")), &newer.root);
    assert_eq!(greeted(&a, &old, hello("b.example", "a.example")).await, None);
    for (side, claims) in &sides {
        side.replace_files(Some(newer.material(claims))).await;
    }
    if let Ok(connection) = old.connect(&a, "a.example").await {
        // Ended by TLS, which says late that a client's certificate is not believed.
        assert_eq!(closed(&connection).await, None);
    }
    a.until_connected("b.example").await;
    b.until_connected("a.example").await;
    a.stop().await;
    b.stop().await;
}

fn by_hand(authority: &Authority) -> Hand {
    Hand::new(authority.sign(&Claims::of("b.example")), &authority.root)
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let authority = Authority::new();
    let until_2090 = Claims { years: (2020, 2090), ..Claims::of("b.example") };
    let b = Hand::new(authority.sign(&until_2090), &authority.root);
    let a = Side::start(authority.material(&Claims::of("a.example")), &[("b.example", b.listen)]);
    let (_, mut called, out) = b.accept().await.unwrap();
    let answer = v1::PeerHelloAnswer { domain: "b.example".into(), server: String::new(), restored_ms: 0 };
    called.say(&v1::PeerAnswer { result: Some(Outcome::Hello(answer)) }).await;
    a.until("b.example", |report| report.outgoing == LinkState::Connected).await;
    let connection = b.connect(&a, "a.example").await.unwrap();
    let mut stream = Stream::open(&connection).await;
    stream.say(&hello("b.example", "a.example")).await;
    stream.next::<v1::PeerAnswer>().await.unwrap();
    a.clock.0.store(66 * 365 * DAY_MS, Ordering::Relaxed);
    assert_eq!(closed(&connection).await, Some(CloseCode::CertificateRefused));
    assert_eq!(closed(&out).await, Some(CloseCode::CertificateRefused));
    let report = a.until("b.example", |report| !report.incoming && report.problem.is_some()).await;
    assert!(report.problem.unwrap().contains("certificate"));
    a.stop().await;
}
