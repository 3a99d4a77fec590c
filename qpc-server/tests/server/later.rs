//! Messages that wait for their time in their sender's home.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qpc_client::api::{Command, Outcome, Scheduled};

use crate::net::{Net, Person};

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn schedule(who: &Person, to: &str, text: &str, after: Duration) -> Scheduled {
    let at_ms = now_ms() + u64::try_from(after.as_millis()).unwrap();
    let command = Command::Schedule { to: to.into(), text: text.into(), message: None, at_ms };
    match who.do_it(command) {
        Outcome::Scheduled { mut scheduled } => scheduled.pop().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn waiting(who: &Person) -> Vec<Scheduled> {
    match who.do_it(Command::Scheduled) {
        Outcome::Scheduled { scheduled } => scheduled,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_sent_when_it_is_time_and_not_if_it_was_taken_back() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    schedule(&alice, "bob", "second", Duration::from_secs(3));
    let taken_back = schedule(&alice, "bob", "never", Duration::from_secs(2));
    schedule(&alice, "bob", "in an hour", Duration::from_secs(3_600));
    alice.do_it(Command::Unschedule { number: taken_back.number });
    assert!(alice.attempt(Command::Unschedule { number: taken_back.number }).is_err());
    assert_eq!(waiting(&alice).len(), 2);
    alice.say(&bob, ["first"]);
    bob.expects(["first", "second"]);
    let left = waiting(&alice);
    assert_eq!(left.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["in an hour"]);
    assert_eq!(alice.status().outbox, 0, "what waits for its time is not in the outbox");
}

#[test]
fn what_was_due_while_nobody_had_the_home_open_is_sent_when_it_is_opened() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    schedule(&alice, "bob", "good morning", Duration::from_secs(2));
    alice.disconnect();
    bob.expects_nothing();
    std::thread::sleep(Duration::from_secs(2));
    alice.connect();
    bob.expects(["good morning"]);
    assert!(waiting(&alice).is_empty());
}

#[test]
fn what_can_not_be_sent_when_it_is_time_is_kept_and_said() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(crate::net::new_group("crew", ["bob"]));
    bob.until("in it", |bob| bob.conversations().iter().any(|one| one.title == "crew"));
    schedule(&bob, "crew", "too late", Duration::from_secs(2));
    bob.do_it(Command::GroupLeave { group: "crew".into() });
    bob.until("not sent", |bob| waiting(bob)[0].problem.is_some());
    assert!(waiting(&bob)[0].problem.as_deref().unwrap().contains("no longer in crew"));
    for (text, at_ms) in [("", now_ms() + 10), ("too far", now_ms() + 367 * 86_400_000)] {
        let command = Command::Schedule { to: "alice".into(), text: text.into(), message: None, at_ms };
        assert!(alice.attempt(command).is_err());
    }
}
