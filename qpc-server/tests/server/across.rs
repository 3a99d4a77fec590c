//! People of different domains who talk as if they were on one server.

use qpc_client::api::{Command, Event, OutboxState};

use crate::net::{Net, Person};

/// All servers are connected, both ways.
fn connected<const N: usize>(nets: &[Net; N]) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    for net in nets {
        let peers = net.peers();
        while !peers.report().iter().all(|peer| peer.incoming && peer.round_trip_us.is_some()) {
            assert!(std::time::Instant::now() < deadline, "the servers did not connect: {:?}", peers.report());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

fn three() -> [Net; 3] {
    let nets = Net::start_all(["a.example", "b.example", "c.example"]);
    connected(&nets);
    nets
}

fn texts(person: &Person, with: &str) -> Vec<String> {
    person.history_if_any(with).into_iter().filter(|said| said.kind == "text").map(|said| said.body).collect()
}

#[test]
fn two_of_different_domains_talk_whoever_begins() {
    let nets = three();
    let [a, b, _] = &nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    let (dora, ben) = (a.person("dora"), b.person("ben"));
    // The hub is alice's server. Once she begins, once somebody of the other one does.
    for (one, other, to, back) in
        [(&alice, &bob, "bob@b.example", "alice@a.example"), (&ben, &dora, "dora@a.example", "ben@b.example")]
    {
        one.write(to, ["may I?"]);
        other.expects(["may I?"]);
        other.do_it(Command::Accept { who: back.into() });
        one.write(to, ["one", "two"]);
        other.expects(["one", "two"]);
        other.write(back, ["three"]);
        one.expects(["three"]);
        assert_eq!(texts(one, to), ["may I?", "one", "two", "three"]);
        assert_eq!(texts(one, to), texts(other, back));
        assert_eq!((one.status().alarms, other.status().alarms), (vec![], vec![]));
    }
    let _ = Event::Outbox { id: String::new(), state: OutboxState::Sent, reason: None };
}
