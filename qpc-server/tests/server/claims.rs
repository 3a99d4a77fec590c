//! Key packages across servers: handed out once, to whom they may be, by whom they are of.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    error::Code,
    frame,
    id::{ConversationId, ConversationName, DeviceId, MessageId},
    limits::{FRAME_MAX, KEY_PACKAGE_MAX},
    suite::Suite,
    v1::{self, answer::Result as Outcome, peer_answer::Result as PeerOutcome, peer_request, request::Method},
};
use qpc_server::{
    config::Rate,
    remote::{Remote, RemoteError},
};

use tokio::task::JoinSet;

use crate::{
    house::House,
    peer::{Authority, Claims, Hand, Side, Stream, hello, place, request},
    person::{Device, Person},
    wire::{Wire, soon},
};

/// What begins like a key package of the classical suite.
fn package(number: u8) -> Bytes {
    Bytes::copy_from_slice(&[0, 1, 0, 5, 0, 1, 0, 3, number])
}

async fn publish(wire: &Wire, numbers: std::ops::Range<u8>) {
    let packages = v1::PublishKeyPackages { key_packages: numbers.map(package).collect(), ..Default::default() };
    let answer = wire.call(Method::PublishKeyPackages(packages)).await;
    assert!(matches!(answer, Outcome::PublishKeyPackages(_)), "{answer:?}");
}

async fn left(wire: &Wire) -> u32 {
    let Outcome::CountKeyPackages(count) = wire.call(Method::CountKeyPackages(Default::default())).await else {
        panic!("no count")
    };
    count.key_packages
}

async fn claim(wire: &Wire, whose: &str) -> Result<v1::ClaimKeyPackagesAnswer, v1::Error> {
    let claim = v1::ClaimKeyPackages { address: whose.into(), suite: 0 };
    match wire.call(Method::ClaimKeyPackages(claim)).await {
        Outcome::ClaimKeyPackages(claimed) => Ok(claimed),
        Outcome::Error(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn is(error: &v1::Error, code: Code) -> bool {
    error.code == code as u32
}

async fn until_connected(house: &House) {
    let peers = house.running.peers.clone().unwrap();
    soon(async {
        while !peers.report().iter().all(|peer| peer.incoming && peer.round_trip_us.is_some()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn key_packages_come_from_a_persons_own_server_and_each_once() {
    let authority = Authority::new();
    let (at_a, at_b) = (place(), place());
    let a = House::start_among(&authority, ("a.example", at_a), &[("b.example", at_b)], |_| ()).await;
    let b = House::start_among(&authority, ("b.example", at_b), &[("a.example", at_a)], |_| ()).await;
    until_connected(&a).await;
    until_connected(&b).await;
    let (_, _, alice) = a.newcomer("alice").await;
    // The same name at another domain is somebody else.
    let (_, _, other_bob) = a.newcomer("bob").await;
    let (_, device, bob) = b.newcomer("bob").await;
    let (_, _, carol) = b.newcomer("carol").await;
    publish(&other_bob, 50..51).await;
    assert!(is(&claim(&alice, "bob@b.example").await.unwrap_err(), Code::NotFound), "none yet");
    publish(&bob, 1..4).await;
    let claimed = claim(&alice, "bob@b.example").await.unwrap();
    let wanted = |number| v1::ClaimedKeyPackage { device_id: device.id.to_bytes(), key_package: package(number) };
    assert_eq!((claimed.key_packages, claimed.devices_without), (vec![wanted(1)], vec![]));
    assert_eq!(claim(&carol, "bob@b.example").await.unwrap().key_packages, [wanted(2)]);
    assert_eq!(claim(&alice, "Bob@B.example").await.unwrap().key_packages, [wanted(3)]);
    assert!(is(&claim(&alice, "bob@b.example").await.unwrap_err(), Code::NotFound), "no more");
    assert!(is(&claim(&alice, "nobody@b.example").await.unwrap_err(), Code::NotFound));
    assert_eq!(left(&other_bob).await, 1);
    assert!(is(&claim(&alice, "dave@c.example").await.unwrap_err(), Code::DomainUnknown));

    // A server that is away is told of as such, and its absence costs nobody else anything.
    b.running.drain().await.unwrap();
    let away = soon(async {
        loop {
            match claim(&alice, "bob@b.example").await {
                Err(error) if is(&error, Code::DomainUnreachable) => return error,
                other => assert!(other.is_err(), "{other:?}"),
            }
        }
    })
    .await;
    assert!(away.retry_after_ms > 0);
    assert_eq!(claim(&alice, "bob@a.example").await.unwrap().key_packages.len(), 1);
    a.running.drain().await.unwrap();
}

#[tokio::test]
async fn a_server_without_federation_knows_no_other_domain() {
    let house = House::start().await;
    let (_, _, alice) = house.newcomer("alice").await;
    assert!(is(&claim(&alice, "bob@b.example").await.unwrap_err(), Code::DomainUnknown));
    house.running.drain().await.unwrap();
}

/// What a peer may be asked for by hand, on a connection that has proved to be `b.example`.
struct Asker {
    stream: Stream,
    _hand: Hand,
}

impl Asker {
    async fn connect(authority: &Authority, to: SocketAddr) -> Self {
        let hand = Hand::new(authority.sign(&Claims::of("b.example")), &authority.root);
        let connection = hand.connect_to(to, "a.example").await.unwrap();
        let mut stream = Stream::open(&connection).await;
        stream.say(&hello("b.example", "a.example")).await;
        stream.next::<v1::PeerAnswer>().await.unwrap();
        Self { stream, _hand: hand }
    }

    async fn claim(&mut self, requester: &str, target: &str, suite: u32) -> Result<Bytes, Code> {
        let claim = Some(v1::ClaimKeyPackages { address: target.into(), suite });
        self.ask(v1::PeerClaimKeyPackages { requester: requester.into(), claim }).await
    }

    async fn ask(&mut self, asked: v1::PeerClaimKeyPackages) -> Result<Bytes, Code> {
        self.stream.say(&request(peer_request::Method::ClaimKeyPackages(asked))).await;
        match self.stream.next::<v1::PeerAnswer>().await.unwrap().result.unwrap() {
            PeerOutcome::ClaimKeyPackages(answer) => Ok(answer.claimed.unwrap().key_packages.remove(0).key_package),
            PeerOutcome::Error(error) => Err(Code::from_wire(error.code).unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

/// Senders of our domain and of a third one, targets that are not ours, variants of domains: none gets anything.
#[tokio::test]
async fn a_peer_speaks_for_its_own_people_about_ours_and_nobody_else() {
    let authority = Authority::new();
    let peers = [("b.example", place())];
    let a = House::start_among(&authority, ("a.example", place()), &peers, |_| ()).await;
    let (_, _, alice) = a.newcomer("alice").await;
    publish(&alice, 1..4).await;
    let mut asker = Asker::connect(&authority, a.running.federation_listen.unwrap()).await;
    let good = ("bob@b.example", "alice@a.example");
    for (requester, target, code) in [
        ("alice@a.example", good.1, Code::Forbidden),
        ("carol@c.example", good.1, Code::Forbidden),
        ("bob@sub.b.example", good.1, Code::Forbidden),
        ("bob@b.example.", good.1, Code::Malformed),
        ("bob@B.example", good.1, Code::Malformed),
        ("bob@b\u{2024}example", good.1, Code::Malformed),
        ("bob", good.1, Code::Malformed),
        ("", good.1, Code::Malformed),
        (good.0, "alice@b.example", Code::Forbidden),
        (good.0, "alice@c.example", Code::Forbidden),
        (good.0, "alice@A.example", Code::Malformed),
        (good.0, "ALICE@a.example", Code::Malformed),
        (good.0, "alice@a.example.", Code::Malformed),
        (good.0, "alice", Code::Malformed),
        (good.0, "nobody@a.example", Code::NotFound),
    ] {
        assert_eq!(asker.claim(requester, target, 0).await, Err(code), "{requester} {target}");
    }
    assert_eq!(asker.claim(good.0, good.1, 7).await, Err(Code::Malformed), "no suite");
    let nothing = v1::PeerClaimKeyPackages { requester: good.0.into(), claim: None };
    assert_eq!(asker.ask(nothing).await, Err(Code::Malformed));
    let long = format!("{}@b.example", "b".repeat(6_000));
    assert_eq!(asker.claim(&long, good.1, 0).await, Err(Code::Malformed));
    assert_eq!(left(&alice).await, 3);
    // Who says the same again gets another one: nothing is handed out twice.
    assert_eq!(asker.claim(good.0, good.1, 0).await, Ok(package(1)));
    assert_eq!(asker.claim(good.0, good.1, 3).await, Ok(package(2)));
    assert_eq!(left(&alice).await, 1);
    a.running.drain().await.unwrap();
}

#[tokio::test]
async fn a_peer_asks_as_often_as_it_may() {
    let authority = Authority::new();
    let peers = [("b.example", place())];
    let a = House::start_among(&authority, ("a.example", place()), &peers, |config| {
        config.limits.peer_request = Rate { rate: 1, burst: 3 };
    });
    let a = a.await;
    let (_, _, alice) = a.newcomer("alice").await;
    publish(&alice, 1..10).await;
    let mut asker = Asker::connect(&authority, a.running.federation_listen.unwrap()).await;
    for number in 1..4 {
        assert_eq!(asker.claim("bob@b.example", "alice@a.example", 0).await, Ok(package(number)));
    }
    assert_eq!(asker.claim("bob@b.example", "alice@a.example", 0).await, Err(Code::RateLimited));
    // Nor on another connection, nor for somebody else.
    let mut again = Asker::connect(&authority, a.running.federation_listen.unwrap()).await;
    assert_eq!(again.claim("ben@b.example", "alice@a.example", 0).await, Err(Code::RateLimited));
    assert_eq!(left(&alice).await, 6);
    a.running.drain().await.unwrap();
}

#[tokio::test]
async fn a_person_of_a_peer_asks_as_often_as_one_of_ours() {
    let authority = Authority::new();
    let peers = [("b.example", place())];
    let a = House::start_among(&authority, ("a.example", place()), &peers, |config| {
        config.limits.claim_requester = Rate { rate: 1, burst: 2 };
    });
    let a = a.await;
    let (_, _, alice) = a.newcomer("alice").await;
    publish(&alice, 1..10).await;
    let mut asker = Asker::connect(&authority, a.running.federation_listen.unwrap()).await;
    for _ in 0..2 {
        assert!(asker.claim("bob@b.example", "alice@a.example", 0).await.is_ok());
    }
    assert_eq!(asker.claim("bob@b.example", "alice@a.example", 0).await, Err(Code::RateLimited));
    assert!(asker.claim("ben@b.example", "alice@a.example", 0).await.is_ok());
    assert_eq!(left(&alice).await, 6);
    a.running.drain().await.unwrap();
}

/// A real side that asks, and a peer by hand that answers as it likes.
pub(crate) async fn asked_by_hand(
    change: impl FnOnce(&mut qpc_server::federation::Settings),
) -> (Side, Hand, quinn::Connection) {
    let authority = Authority::new();
    let hand = Hand::new(authority.sign(&Claims::of("b.example")), &authority.root);
    let material = authority.material(&Claims::of("a.example"));
    let side = Side::start_with(("a.example", place()), material, &[("b.example", hand.listen)], change);
    let connection = hand.welcome("b.example").await;
    side.until("b.example", |report| report.round_trip_us.is_some()).await;
    (side, hand, connection)
}

pub(crate) fn asks(
    remote: &Arc<dyn Remote>,
) -> impl Future<Output = Result<v1::PeerClaimKeyPackagesAnswer, RemoteError>> + use<> {
    let [requester, target] = ["alice@a.example", "bob@b.example"].map(|text| Address::parse(text).unwrap());
    remote.claim_key_packages(&requester, &target, Suite::Classical)
}

fn claimed(devices: &[u8], without: &[u8]) -> v1::PeerClaimKeyPackagesAnswer {
    let id = |device: &u8| DeviceId::new(1, [*device; 10]).to_bytes();
    let with = |device| v1::ClaimedKeyPackage { device_id: id(device), key_package: package(1) };
    let claimed = v1::ClaimKeyPackagesAnswer {
        key_packages: devices.iter().map(with).collect(),
        devices_without: without.iter().map(id).collect(),
    };
    v1::PeerClaimKeyPackagesAnswer { claimed: Some(claimed), devices: Vec::new() }
}

fn saying(result: PeerOutcome) -> Bytes {
    frame::encode(&v1::PeerAnswer { result: Some(result) })
}

/// Whatever a peer answers, it is what was asked for or nothing, and the next request is asked all the same.
#[tokio::test]
async fn an_answer_that_is_none_is_not_passed_on() {
    let (side, _hand, connection) = asked_by_hand(|_| ()).await;
    let error = |code: u32| PeerOutcome::Error(v1::Error { code, retry_after_ms: u32::MAX, ..Default::default() });
    let with = |key_package: Bytes| {
        let mut answer = claimed(&[1], &[]);
        answer.claimed.as_mut().unwrap().key_packages[0].key_package = key_package;
        saying(PeerOutcome::ClaimKeyPackages(answer))
    };
    let classical = [0, 1, 0, 5, 0, 1, 0, 3];
    let post_quantum = Bytes::from_static(&[0, 1, 0, 5, 0, 1, 0, 0x4D, 1]);
    let many: Vec<u8> = (1..18).collect();
    let lies = [
        (saying(PeerOutcome::Hello(v1::PeerHelloAnswer::default())), RemoteError::Unfit),
        (frame::encode(&v1::PeerAnswer::default()), RemoteError::Unfit),
        (saying(PeerOutcome::ClaimKeyPackages(v1::PeerClaimKeyPackagesAnswer::default())), RemoteError::Unfit),
        (saying(PeerOutcome::ClaimKeyPackages(claimed(&[], &[]))), RemoteError::Unfit),
        (saying(PeerOutcome::ClaimKeyPackages(claimed(&[1, 1], &[]))), RemoteError::Unfit),
        (saying(PeerOutcome::ClaimKeyPackages(claimed(&[1], &[1]))), RemoteError::Unfit),
        (saying(PeerOutcome::ClaimKeyPackages(claimed(&many, &[]))), RemoteError::Unfit),
        (with(post_quantum), RemoteError::Unfit),
        (with(Bytes::new()), RemoteError::Unfit),
        (with([&classical[..], &[0; KEY_PACKAGE_MAX]].concat().into()), RemoteError::Unfit),
        // Of a client's own standing nothing is believed from another server.
        (saying(error(Code::Unauthenticated as u32)), RemoteError::Unfit),
        (saying(error(9_999)), RemoteError::Unfit),
        (saying(error(Code::NotFound as u32)), RemoteError::NotFound),
        (saying(error(Code::Busy as u32)), RemoteError::Wait(Duration::from_secs(60))),
        // A frame that is longer than any, one that is cut off, one that is no message.
        (Bytes::copy_from_slice(&u32::try_from(FRAME_MAX + 1).unwrap().to_be_bytes()), RemoteError::Unfit),
        (Bytes::from_static(&[0, 0, 0, 9, 1]), RemoteError::Unfit),
        (Bytes::from_static(&[0, 0, 0, 3, 255, 255, 255]), RemoteError::Unfit),
        (Bytes::new(), RemoteError::Unfit),
    ];
    for (number, (lie, told)) in lies.into_iter().enumerate() {
        let lying = async {
            let mut stream = Stream::accept(&connection).await;
            stream.next::<v1::PeerRequest>().await.unwrap();
            stream.send.write_all(&lie).await.unwrap();
            stream.send.finish().unwrap();
        };
        let (answer, ()) = tokio::join!(soon(asks(&side.remote)), lying);
        assert_eq!(answer, Err(told), "lie {number}");
    }
    let answering = async {
        let mut stream = Stream::accept(&connection).await;
        let request = stream.next::<v1::PeerRequest>().await.unwrap();
        let Some(peer_request::Method::ClaimKeyPackages(wanted)) = request.method else { panic!("another request") };
        let claim = wanted.claim.unwrap();
        assert_eq!((wanted.requester.as_str(), claim.address.as_str()), ("alice@a.example", "bob@b.example"));
        stream.say(&v1::PeerAnswer { result: Some(PeerOutcome::ClaimKeyPackages(claimed(&[1], &[2]))) }).await;
    };
    let (answer, ()) = tokio::join!(soon(asks(&side.remote)), answering);
    assert_eq!(answer, Ok(claimed(&[1], &[2])));
    assert_eq!((side.asked("answered"), side.asked("refused"), side.asked("unfit")), (1, 4, 14));
    side.stop().await;
}

/// Devices are those that an account's key has signed, each with an id of its own; nothing else is passed on.
#[tokio::test]
async fn a_peer_is_believed_of_its_people_what_their_account_has_signed() {
    let authority = Authority::new();
    let b = Hand::new(authority.sign(&Claims::of("b.example")), &authority.root);
    let a = House::start_among(&authority, ("a.example", place()), &[("b.example", b.listen)], |_| ()).await;
    let connection = b.welcome("b.example").await;
    let (_, hers, alice) = a.newcomer("alice").await;
    let (bob, ben, elsewhere) =
        (Person::at("bob", "b.example"), Person::at("ben", "b.example"), Person::at("bob", "c.example"));
    let (phone, tablet) = (Device::new(), Device::new());
    let taken = Device { id: hers.id, ..Device::new() };
    let reset = Person::at("bob", "b.example");
    let cut = v1::DeviceCertificate { signature: vec![1; 64].into(), ..bob.certify(&phone) };
    for (device, devices, believed) in [
        (&phone, vec![], false),
        (&phone, vec![ben.certify(&phone)], false),
        (&phone, vec![elsewhere.certify(&phone)], false),
        (&phone, vec![cut], false),
        (&phone, vec![bob.certify(&phone), reset.certify(&tablet)], false),
        (&phone, vec![bob.certify(&tablet)], false),
        (&taken, vec![bob.certify(&taken)], false),
        (&phone, vec![bob.certify(&phone)], true),
        (&phone, vec![bob.certify(&phone), bob.certify(&tablet)], true),
        // An id that was a device's is no other's, of the same account neither.
        (&phone, vec![reset.certify(&phone)], false),
        (&tablet, vec![bob.certify(&tablet)], true),
        (&phone, vec![bob.certify(&phone)], false),
    ] {
        let package = v1::ClaimedKeyPackage { device_id: device.id.to_bytes(), key_package: package(1) };
        let claimed = v1::ClaimKeyPackagesAnswer { key_packages: vec![package], ..Default::default() };
        let answer = v1::PeerClaimKeyPackagesAnswer { claimed: Some(claimed.clone()), devices };
        let said = format!("{answer:?}");
        let answering = async {
            let mut stream = Stream::accept(&connection).await;
            stream.next::<v1::PeerRequest>().await.unwrap();
            stream.say(&v1::PeerAnswer { result: Some(PeerOutcome::ClaimKeyPackages(answer)) }).await;
        };
        match tokio::join!(claim(&alice, "bob@b.example"), answering).0 {
            Ok(given) => assert!(believed && given == claimed, "{said}"),
            Err(error) => assert!(!believed && is(&error, Code::DomainUnreachable), "{error:?} {said}"),
        }
    }
    a.running.drain().await.unwrap();
}

/// A list of devices is older than the one that was asked for after it: so the second is asked for when the first is there.
#[tokio::test]
async fn one_question_about_an_account_is_asked_at_a_time() {
    let authority = Authority::new();
    let b = Hand::new(authority.sign(&Claims::of("b.example")), &authority.root);
    let a = House::start_among(&authority, ("a.example", place()), &[("b.example", b.listen)], |_| ()).await;
    let connection = b.welcome("b.example").await;
    let (_, _, alice) = a.newcomer("alice").await;
    let people = ["bob", "ben"].map(|name| (Person::at(name, "b.example"), Device::new()));
    let answer = async |mut stream: Stream, whose: &str| {
        let (person, device) = people.iter().find(|(person, _)| person.address().to_string() == whose).unwrap();
        let package = v1::ClaimedKeyPackage { device_id: device.id.to_bytes(), key_package: package(1) };
        let claimed = Some(v1::ClaimKeyPackagesAnswer { key_packages: vec![package], ..Default::default() });
        let answer = v1::PeerClaimKeyPackagesAnswer { claimed, devices: vec![person.certify(device)] };
        stream.say(&v1::PeerAnswer { result: Some(PeerOutcome::ClaimKeyPackages(answer)) }).await;
    };
    let asked = async || {
        let mut stream = Stream::accept(&connection).await;
        let request = stream.next::<v1::PeerRequest>().await.unwrap();
        let Some(peer_request::Method::ClaimKeyPackages(claim)) = request.method else { panic!("another request") };
        (claim.claim.unwrap().address, stream)
    };
    let answering = async {
        let (first, one) = asked().await;
        let (second, other) = asked().await;
        assert_ne!(first, second, "about two accounts at once, and about each once");
        answer(one, &first).await;
        answer(other, &second).await;
        let (third, last) = asked().await;
        assert_eq!(third, "bob@b.example");
        answer(last, &third).await;
    };
    let claims = async {
        tokio::join!(claim(&alice, "bob@b.example"), claim(&alice, "bob@b.example"), claim(&alice, "ben@b.example"))
    };
    let ((one, two, three), ()) = tokio::join!(claims, answering);
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    a.running.drain().await.unwrap();
}

/// Of two domains one orders the conversation of two people, whoever begins it: that of the smaller address.
#[tokio::test]
async fn a_conversation_of_two_is_made_at_its_hub_alone() {
    let house = House::start_with(|config| config.server.domain = "b.example".into()).await;
    let (_, _, bob) = house.newcomer("bob").await;
    let create = |peer: &str| {
        let id = ConversationId::new(1, [1; 10]);
        let create = v1::CreateConversation {
            conversation: Some(ConversationName { domain: "b.example".parse().unwrap(), id }.to_wire()),
            kind: v1::ConversationKind::Direct.into(),
            peer: peer.into(),
            message_id: MessageId::new(1, [1; 10]).to_bytes(),
            ..Default::default()
        };
        let wire = bob.clone();
        async move {
            let Outcome::Error(error) = wire.call(Method::CreateConversation(create)).await else { panic!("made") };
            (Code::from_wire(error.code).unwrap(), error.detail)
        }
    };
    for at_hub in ["carol@a.example", "carol@c.example", "alice@b.example"] {
        assert_ne!(create(at_hub).await.0, Code::Malformed, "{at_hub}");
    }
    for elsewhere in ["alice@c.example", "bob@a.example", "bob.x@c.example"] {
        assert_eq!(create(elsewhere).await, (Code::Malformed, "conversation".into()), "{elsewhere}");
    }
    house.running.drain().await.unwrap();
}

#[tokio::test]
async fn requests_to_a_peer_are_so_many_and_take_so_long() {
    // Four may be under way (`Side`).
    let (side, _hand, connection) = asked_by_hand(|settings| settings.limits.answer = Duration::from_secs(4)).await;
    let mut waiting: JoinSet<_> = (0..4).map(|_| asks(&side.remote)).collect();
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = Stream::accept(&connection).await;
        stream.next::<v1::PeerRequest>().await.unwrap();
        streams.push(stream);
    }
    assert_eq!(side.in_flight(), 4);
    assert_eq!(soon(asks(&side.remote)).await, Err(RemoteError::Busy));
    while let Some(answer) = soon(waiting.join_next()).await {
        assert_eq!(answer.unwrap(), Err(RemoteError::Unreachable));
    }
    assert_eq!((side.asked("busy"), side.asked("slow"), side.in_flight()), (1, 4, 0));
    // Who gives up makes room.
    for _ in 0..5 {
        let mut asking = std::pin::pin!(asks(&side.remote));
        tokio::select! {
            answer = &mut asking => panic!("{answer:?}"),
            mut stream = Stream::accept(&connection) => drop(stream.next::<v1::PeerRequest>().await.unwrap()),
        }
    }
    assert_eq!(side.in_flight(), 0);
    // A peer that is gone is not waited for.
    connection.close(0_u32.into(), b"");
    side.until("b.example", |report| report.failures > 0).await;
    assert_eq!(soon(asks(&side.remote)).await, Err(RemoteError::Unreachable));
    side.stop().await;
}

#[tokio::test]
async fn only_peers_are_asked() {
    let authority = Authority::new();
    let side = Side::start_with(
        ("a.example", place()),
        authority.material(&Claims::of("a.example")),
        &[("b.example", place()), ("d.example", place())],
        |settings| settings.access.denied = [crate::peer::domain("d.example")].into(),
    );
    let requester = Address::parse("alice@a.example").unwrap();
    for (target, told) in [
        ("bob@b.example", RemoteError::Unreachable),
        ("carol@c.example", RemoteError::Unknown),
        ("dave@d.example", RemoteError::Unknown),
        ("alice@a.example", RemoteError::Unknown),
    ] {
        let target = Address::parse(target).unwrap();
        let told_so = soon(side.remote.claim_key_packages(&requester, &target, Suite::Classical)).await;
        assert_eq!(told_so, Err(told), "{target}");
    }
    side.stop().await;
}
