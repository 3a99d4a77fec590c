//! Messages that disappear: from all devices, of all who were told so, whoever was there or not.

use std::{
    thread,
    time::{Duration, Instant},
};

use qpc_client::api::{Command, Event, Outcome, Role, Search};

use crate::net::{Net, Person, new_group};

/// Seconds that messages stay here: long enough to be seen before.
const SHORT: u32 = 4;

fn lifetime(to: &str, seconds: u32) -> Command {
    Command::Lifetime { to: to.into(), seconds: Some(seconds) }
}

fn stays(who: &Person, with: &str) -> u32 {
    match who.do_it(Command::Lifetime { to: with.into(), seconds: None }) {
        Outcome::Lifetime(lifetime) => lifetime.seconds,
        other => panic!("{other:?}"),
    }
}

fn has(who: &Person, with: &str, text: &str) -> bool {
    who.history_if_any(with).iter().any(|message| message.body == text)
}

fn found(who: &Person, words: &str) -> usize {
    let search = Search { words: words.into(), limit: 10, ..Search::default() };
    match who.do_it(Command::Search(search)) {
        Outcome::Found { found } => found.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_disappear_from_all_devices_and_those_from_before_stay() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.say(&bob, ["stays"]);
    bob.expects(["stays"]);
    bob.do_it(lifetime("alice", SHORT));
    alice.until("told", |alice| stays(alice, "bob") == SHORT);
    let laptop = net.device("alice", "laptop");
    laptop.until("told", |laptop| has(laptop, "bob", "stays"));

    alice.say(&bob, ["a secret"]);
    let sent = Instant::now();
    for (person, with) in [(&alice, "bob"), (&bob, "alice"), (&laptop, "bob")] {
        person.until("it is there", |me| has(me, with, "a secret") && found(me, "secret") == 1);
    }
    // Bob edits nothing, reads it, and it goes; alice's second device sees it go without having been told how long.
    bob.sees("it goes", |event| matches!(event, Event::Disappeared { .. }));
    assert!(sent.elapsed() >= Duration::from_secs(u64::from(SHORT) - 1), "not before its time");
    for (person, with) in [(&alice, "bob"), (&bob, "alice"), (&laptop, "bob")] {
        person.until("it is gone", |me| !has(me, with, "a secret") && found(me, "secret") == 0);
        assert!(has(person, with, "stays"));
    }
    assert_eq!(stays(&laptop, "bob"), SHORT, "learnt from what was said");

    alice.do_it(lifetime("bob", 0));
    bob.until("told", |bob| stays(bob, "alice") == 0);
    bob.say(&alice, ["stays as well"]);
    alice.until("there", |alice| has(alice, "bob", "stays as well"));
    let last = alice.history("bob").pop().unwrap();
    assert_eq!((last.body.as_str(), last.details.disappears), ("stays as well", None));
}

#[test]
fn who_was_away_never_sees_what_has_disappeared() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(lifetime("bob", SHORT));
    bob.until("told", |bob| stays(bob, "alice") == SHORT);
    bob.disconnect();
    alice.say(&bob, ["too late"]);
    alice.until("gone", |alice| alice.status().outbox == 0 && !has(alice, "bob", "too late"));
    // By bob's clock as well.
    thread::sleep(Duration::from_millis(50));
    bob.connect();
    alice.say(&bob, ["in time"]);
    bob.until("in time", |bob| has(bob, "alice", "in time"));
    assert!(!has(&bob, "alice", "too late"));
    assert_eq!((bob.status().alarms, alice.status().alarms), (vec![], vec![]));
}

#[test]
fn what_ends_while_nobody_has_the_home_open_is_gone_when_it_is_opened() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    bob.do_it(lifetime("alice", SHORT));
    alice.until("told", |alice| stays(alice, "bob") == SHORT);
    alice.say(&bob, ["for a moment"]);
    bob.until("there", |bob| has(bob, "alice", "for a moment"));
    bob.disconnect();
    alice.until("gone", |alice| !has(alice, "bob", "for a moment"));
    net.stop_server();
    thread::sleep(Duration::from_millis(50));
    bob.connect();
    assert!(!has(&bob, "alice", "for a moment"));
    net.start_server();
}

#[test]
fn in_a_group_those_say_so_who_describe_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    alice.do_it(new_group("crew", ["bob"]));
    bob.until("in it", |bob| bob.conversations().iter().any(|one| one.title == "crew"));
    assert!(bob.attempt(lifetime("crew", 60)).unwrap_err().to_string().contains("only owners and admins"));
    alice.do_it(lifetime("crew", 3_600));
    bob.until("told", |bob| stays(bob, "crew") == 3_600);
    // Who comes later hears of it from what is said.
    alice.do_it(Command::GroupAdd { group: "crew".into(), members: vec!["carol".into()] });
    carol.until("in it", |carol| carol.conversations().iter().any(|one| one.title == "crew"));
    bob.write("crew", ["hello"]);
    carol.until("learnt", |carol| stays(carol, "crew") == 3_600);
    alice.do_it(Command::GroupRole { group: "crew".into(), member: "bob".into(), role: Role::Admin });
    bob.until("an admin", |bob| bob.attempt(lifetime("crew", 60)).is_ok());
    alice.until("told", |alice| stays(alice, "crew") == 60);
    assert!(alice.attempt(lifetime("crew", 60)).unwrap_err().to_string().contains("already"));
    assert!(alice.attempt(lifetime("crew", 366 * 86_400 + 1)).is_err());
}
