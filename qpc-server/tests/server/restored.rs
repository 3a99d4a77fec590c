//! A server that was brought back from a backup, under people who have seen more than it knows.

use std::{fs, path::PathBuf, time::Duration};

use qpc_client::api::{Command, Outcome};
use qpc_server::{
    clock::{Clock, SystemClock},
    data_dir::DataDir,
    rng::SystemRng,
    store::{
        Restored, Store,
        sqlite::{DbKey, Dropped, after_restore},
    },
};

use crate::net::{Net, Person, new_group};

/// How long conversations wait here for those who do not come.
const WAIT: Duration = Duration::from_secs(600);

fn saved(net: &Net) -> PathBuf {
    net.home_dir("saved")
}

/// Keeps what the server has now. It is stopped for that, so that its files are whole.
fn back_up(net: &Net) {
    net.stop_server();
    fs::copy(DataDir::database(&net.server_dir()), saved(net)).unwrap();
    net.start_server();
}

/// Brings the server back as it was kept.
fn restore(net: &Net) -> Dropped {
    net.stop_server();
    let dir = net.server_dir();
    let database = DataDir::database(&dir);
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.clone().into_os_string();
        beside.push(suffix);
        fs::remove_file(beside).ok();
    }
    fs::copy(saved(net), &database).unwrap();
    let key = DbKey::parse(DataDir::open(&dir).unwrap().database_key(&SystemRng).unwrap().expose()).unwrap();
    let at_ms = SystemClock.unix_ms();
    let until_ms = at_ms + u64::try_from(WAIT.as_millis()).unwrap();
    let dropped = after_restore(&database, &key, Restored { at_ms, until_ms }).unwrap();
    net.start_server();
    dropped
}

/// What people were told by alarms, without what every restore says.
fn alarms(person: &Person) -> Vec<String> {
    let alarms = person.status().alarms;
    alarms.into_iter().filter(|text| !text.starts_with("The server was restored")).collect()
}

fn was_told(person: &Person) -> bool {
    person.status().alarms.iter().any(|text| text.starts_with("The server was restored"))
}

#[test]
fn what_a_restored_server_lacks_comes_back_from_those_who_have_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    net.acquaint(&bob, &carol);
    alice.do_it(new_group("crew", ["bob"]));
    bob.until("in the crew", |bob| bob.conversations().iter().any(|one| one.title == "crew"));
    back_up(&net);

    // Since then: messages, a change of the group, and something that bob has not read.
    alice.say(&bob, ["one"]);
    bob.expects(["one"]);
    bob.say(&alice, ["two"]);
    alice.expects(["two"]);
    alice.do_it(Command::GroupAdd { group: "crew".into(), members: vec!["carol".into()] });
    carol.until("in the crew", |carol| carol.conversations().iter().any(|one| one.title == "crew"));
    alice.write("crew", ["welcome"]);
    bob.expects(["welcome"]);
    carol.expects(["welcome"]);
    bob.disconnect();
    alice.say(&bob, ["three"]);
    carol.write("crew", ["hello all"]);
    alice.expects(["hello all"]);

    let dropped = restore(&net);
    assert!(dropped.awaited.devices == 3 && dropped.awaited.conversations >= 4, "{dropped:?}");
    bob.connect();
    bob.expects_among("three");
    bob.expects_among("hello all");
    bob.do_it(Command::MarkShown { to: None, local: bob.unshown().last().unwrap().local });
    // It goes on in both, and for everybody.
    bob.say(&alice, ["four"]);
    alice.expects(["four"]);
    alice.write("crew", ["five"]);
    bob.expects(["five"]);
    carol.expects(["five"]);
    // What the server tells devices goes on as well, though it has told them more than it knows.
    alice.do_it(new_group("second crew", ["bob", "carol"]));
    for person in [&bob, &carol] {
        person.until("in the second crew", |me| me.conversations().iter().any(|one| one.title == "second crew"));
    }
    for person in [&alice, &bob, &carol] {
        assert_eq!(alarms(person), Vec::<String>::new(), "{}", person.name);
    }
    assert!(was_told(&alice));
    assert_eq!(net.block(net.store().awaited()).unwrap().devices, 0);
}

#[test]
fn a_restored_conversation_waits_for_those_who_may_have_more_of_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    back_up(&net);
    alice.say(&bob, ["one"]);
    bob.expects(["one"]);
    bob.say(&alice, ["two"]);
    bob.disconnect();
    alice.disconnect();
    restore(&net);
    alice.connect();
    // She has not read the second one: if hers went in now, bob's would be lost.
    alice.write("bob", ["three"]);
    match alice.do_it(Command::Flush) {
        Outcome::Flushed { waiting } => assert!(waiting[0].reason.contains("was restored"), "{waiting:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(alice.status().outbox, 1);
    bob.connect();
    alice.expects(["two"]);
    bob.expects(["three"]);
    assert_eq!((alarms(&alice), alarms(&bob)), (vec![], vec![]));
}

#[test]
fn a_restored_conversation_waits_no_longer_than_it_was_told_to() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    back_up(&net);
    bob.disconnect();
    restore(&net);
    alice.write("bob", ["three"]);
    alice.until("waiting", |alice| alice.status().outbox == 1);
    net.pass(WAIT);
    alice.until("sent", |alice| alice.status().outbox == 0);
    bob.connect();
    bob.expects(["three"]);
}
