//! People who chat, through real clients and a real server: what the whole is for.

use qpc_client::{
    Client, Session,
    api::{Command, CommandError, Event, OutboxState, Outcome},
};

use qpc_server::store::Store;

use crate::net::{Net, Person, new_group};

#[test]
fn offline_device_gets_its_backlog_in_order() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    bob.disconnect();
    alice.send(["one", "two"]);
    alice.do_it(Command::Flush);
    bob.connect();
    bob.expects(["one", "two"]);
}

#[test]
fn messages_go_live_both_ways() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.send(["ping"]);
    bob.expects(["ping"]);
    bob.send(["pong"]);
    alice.expects(["pong"]);
    let said = |history: Vec<qpc_client::api::Message>| {
        history.into_iter().filter(|m| m.kind == "text").map(|m| m.body).collect::<Vec<_>>()
    };
    assert_eq!(said(alice.history("bob")), ["may I?", "ping", "pong"]);
    assert_eq!(said(bob.history("alice")), ["may I?", "ping", "pong"]);
    assert_eq!(alice.status().key_exchange.as_deref(), Some("X25519MLKEM768"));
}

#[test]
fn what_was_acknowledged_is_written_down_when_the_server_stops() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.send(["one", "two", "three"]);
    bob.expects(["one", "two", "three"]);
    net.stop_server();
    net.start_server();
    // They say where they are when they come back, which is written down much later, or when the server stops.
    alice.say(&bob, ["four"]);
    bob.expects(["four"]);
    net.stop_server();
    net.start_server();
    let undelivered = net.block(net.store().figures(0, 0)).unwrap().undelivered;
    assert!(undelivered <= 2, "{undelivered}: more than the last message for each of the two");
}

#[test]
fn two_who_write_first_at_the_same_moment_end_in_one_conversation() {
    let net = Net::start();
    let (alice, bob, _carol) = (net.person("alice"), net.person("bob"), net.person("carol"));
    // Each may make one conversation, and makes that with somebody else: the next is refused for now, when its maker
    // has a group for it already.
    net.stop_server();
    net.start_server_with(|config| (config.limits.contact.rate, config.limits.contact.burst) = (1, 1));
    for person in [&alice, &bob] {
        person.write("carol", ["hello"]);
        person.sees_outbox(OutboxState::Sent);
    }
    let with = |person: &Person, title: &str| {
        let all = person.conversations().into_iter().filter(|one| one.title == format!("{title}@localhost"));
        all.map(|one| one.conversation).collect::<Vec<_>>()
    };
    alice.say(&bob, ["from alice"]);
    bob.say(&alice, ["from bob"]);
    let made = |person: &Person, title: &str| {
        person.until("a group of their own", |person| with(person, title).iter().any(|name| !name.is_empty()));
        with(person, title)
    };
    assert_ne!(made(&alice, "bob"), made(&bob, "alice"), "one has learned of the other's");
    net.stop_server();
    net.start_server();
    alice.expects(["from bob"]);
    bob.expects(["from alice"]);
    let (hers, his) = (with(&alice, "bob"), with(&bob, "alice"));
    assert_eq!(hers.len(), 1);
    assert_eq!(hers, his);
    for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
        let texts = person.history(other).into_iter().filter(|message| message.kind == "text");
        let mut texts: Vec<_> = texts.map(|message| message.body).collect();
        texts.sort();
        assert_eq!(texts, ["from alice", "from bob"], "{}", person.name);
    }
    alice.say(&bob, ["still there?"]);
    bob.expects(["still there?"]);
    assert_eq!((alice.status().alarms, bob.status().alarms), (vec![], vec![]));
}

#[test]
fn a_stranger_may_place_one_message_until_accepted() {
    let net = Net::start();
    let (alice, bob) = (net.person("alice"), net.person("bob"));
    alice.say(&bob, ["hello", "are you there?"]);
    assert!(alice.sees_outbox(OutboxState::Waiting).contains("not accepted"));
    match alice.do_it(Command::Flush) {
        Outcome::Flushed { waiting } => assert_eq!((waiting.len(), waiting[0].messages), (1, 1)),
        other => panic!("{other:?}"),
    }
    bob.expects(["hello"]);
    assert!(bob.conversations()[0].request);
    assert_eq!(bob.contact("alice").unwrap().state, "pending");
    bob.do_it(Command::Accept { who: "alice".into() });
    bob.expects(["are you there?"]);
}

#[test]
fn whoever_answers_a_request_accepts_it() {
    let net = Net::start();
    let (alice, bob) = (net.person("alice"), net.person("bob"));
    alice.say(&bob, ["hello", "are you there?"]);
    bob.expects(["hello"]);
    bob.say(&alice, ["yes"]);
    alice.expects(["yes"]);
    bob.expects(["are you there?"]);
    assert_eq!(alice.contact("bob").unwrap().state, "accepted");
}

#[test]
fn a_decline_looks_like_no_answer() {
    let net = Net::start();
    let (alice, bob) = (net.person("alice"), net.person("bob"));
    alice.say(&bob, ["hello"]);
    bob.expects(["hello"]);
    bob.do_it(Command::Decline { who: "alice".into() });
    alice.do_it(Command::Flush);
    assert_eq!(alice.contact("bob").unwrap().state, "requested");
    alice.say(&bob, ["please"]);
    alice.sees_outbox(OutboxState::Waiting);
    bob.expects_nothing();
}

#[test]
fn a_blocked_person_notices_nothing_and_is_not_heard() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    bob.do_it(Command::Block { who: "alice".into() });
    alice.send(["can you hear me?"]);
    alice.do_it(Command::Flush);
    bob.expects_nothing();
    assert_eq!(alice.contact("bob").unwrap().state, "accepted");
    bob.do_it(Command::Unblock { who: "alice".into() });
    alice.send(["and now?"]);
    bob.expects(["and now?"]);
}

#[test]
fn a_message_to_nobody_is_refused_in_words() {
    let net = Net::start();
    let alice = net.person("alice");
    alice.write("nobody", ["hello?"]);
    assert!(alice.sees_outbox(OutboxState::Refused).contains("nobody@localhost"));
}

#[test]
fn one_can_note_something_for_oneself() {
    let net = Net::start();
    let alice = net.person("alice");
    assert!(alice.conversations().is_empty());
    alice.write("alice", ["buy milk", "and bread"]);
    alice.do_it(Command::Flush);
    let noted: Vec<_> = alice.history("alice").into_iter().map(|note| (note.body, note.own, note.seq > 0)).collect();
    assert_eq!(noted, [("buy milk".to_owned(), true, true), ("and bread".to_owned(), true, true)]);
    assert_eq!(alice.conversations().len(), 1);
    // Another device of hers reads it, and what it notes is hers as well.
    let laptop = net.device("alice", "laptop");
    laptop.until("the notes", |laptop| laptop.history_if_any("alice").len() >= 2);
    laptop.write("alice", ["and tea"]);
    alice.until("the note", |alice| alice.history("alice").iter().any(|note| note.body == "and tea"));
}

#[test]
fn a_group_is_made_grows_shrinks_and_is_left() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    alice.do_it(new_group("Friends of tea", ["bob"]));
    alice.write("Friends of tea", ["welcome"]);
    bob.expects(["welcome"]);
    bob.until("the title", |bob| bob.conversations().iter().any(|one| one.title == "Friends of tea"));
    alice.do_it(Command::GroupAdd { group: "Friends of tea".into(), members: vec!["carol".into()] });
    carol.until("the title", |carol| carol.conversations().iter().any(|one| one.title == "Friends of tea"));
    carol.write("Friends of tea", ["hi, I am carol"]);
    alice.expects(["hi, I am carol"]);
    bob.expects(["hi, I am carol"]);
    assert_eq!(alice.members("Friends of tea"), ["alice", "bob", "carol"]);
    assert_eq!(carol.members("Friends of tea"), ["alice", "bob", "carol"]);

    // Who is no admin may not.
    let error = bob.attempt(Command::GroupRemove { group: "Friends of tea".into(), members: vec!["carol".into()] });
    assert!(matches!(error, Err(CommandError::Usage { .. })), "{error:?}");

    alice.do_it(Command::GroupRemove { group: "Friends of tea".into(), members: vec!["carol".into()] });
    carol
        .until("the end", |carol| carol.conversations().iter().any(|one| one.title == "Friends of tea" && !one.active));
    alice.write("Friends of tea", ["carol does not read this"]);
    bob.expects(["carol does not read this"]);
    carol.expects_nothing();

    bob.do_it(Command::GroupLeave { group: "Friends of tea".into() });
    alice.until("bob's leaving", |alice| alice.members("Friends of tea") == ["alice"]);
    alice.write("Friends of tea", ["alone"]);
    alice.do_it(Command::Flush);
    bob.expects_nothing();
}

#[test]
fn only_who_has_accepted_can_be_added() {
    let net = Net::start();
    let (alice, _carol) = (net.person("alice"), net.person("carol"));
    let error = alice.attempt(new_group("us", ["carol"])).unwrap_err();
    assert!(matches!(&error, CommandError::Usage { message } if message.contains("accepted")), "{error:?}");
    assert_eq!(alice.conversations().len(), 0, "nothing is left of it");
}

#[test]
fn a_restart_of_the_server_loses_nothing_and_clients_come_back() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    net.stop_server();
    alice.sees("the loss", |event| matches!(event, Event::Online { online: false, .. }));
    alice.send(["sent while nobody was there"]);
    net.start_server();
    bob.expects(["sent while nobody was there"]);
    bob.send(["got it"]);
    alice.expects(["got it"]);
    assert_eq!(alice.status().alarms, Vec::<String>::new());
}

#[test]
fn a_thousand_messages_come_in_order_once() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let texts: Vec<String> = (0..1_000).map(|number| format!("number {number}")).collect();
    bob.disconnect();
    alice.send_all(&texts);
    alice.do_it(Command::Flush);
    bob.connect();
    bob.expects_all(&texts);
    // And once more with bob there from the first one on.
    alice.send_all(&texts);
    bob.expects_all(&texts);
    // A history of more than one answer goes on before its oldest message.
    let page = |before| match bob.do_it(Command::History { to: "alice".into(), limit: 5_000, before }) {
        Outcome::Messages { messages } => messages,
        other => panic!("{other:?}"),
    };
    let newest = page(None);
    let older = page(newest.first().map(|oldest| oldest.local));
    // And onwards from one.
    let after = newest.first().map_or(0, |oldest| oldest.local);
    let onwards = match bob.do_it(Command::HistoryAfter { to: "alice".into(), after, limit: 10 }) {
        Outcome::Messages { messages } => messages,
        other => panic!("{other:?}"),
    };
    let expected: Vec<_> = newest.iter().skip(1).take(10).map(|message| message.local).collect();
    assert_eq!(onwards.iter().map(|message| message.local).collect::<Vec<_>>(), expected);
    for messages in [newest, older] {
        assert_eq!(messages.iter().map(|message| &message.body).collect::<Vec<_>>(), texts.iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_server_that_stops_in_the_middle_loses_and_doubles_nothing() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let texts: Vec<String> = (0..600).map(|number| format!("number {number}")).collect();
    alice.send_all(&texts);
    for _ in 0..3 {
        alice.sees_outbox(OutboxState::Sent);
        net.stop_server();
        net.start_server();
    }
    bob.expects_all(&texts);
    bob.expects_nothing();
    assert_eq!((alice.status().alarms, bob.status().alarms), (vec![], vec![]));
}

#[test]
fn messages_and_changes_of_a_group_cross_without_harm() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let (carol, dave) = (net.person("carol"), net.person("dave"));
    net.acquaint(&alice, &carol);
    net.acquaint(&alice, &dave);
    alice.do_it(new_group("the group", ["bob"]));
    bob.until("the title", |bob| bob.conversations().iter().any(|one| one.title == "the group"));
    let texts: Vec<String> = (0..200).map(|number| format!("number {number}")).collect();
    let (first, rest) = texts.split_at(50);
    bob.send_all_to("the group", first);
    alice.do_it(Command::GroupAdd { group: "the group".into(), members: vec!["carol".into()] });
    bob.send_all_to("the group", rest);
    alice.do_it(Command::GroupAdd { group: "the group".into(), members: vec!["dave".into()] });
    alice.do_it(Command::GroupRemove { group: "the group".into(), members: vec!["carol".into()] });
    alice.expects_all(&texts);
    bob.write("the group", ["the last one"]);
    alice.expects(["the last one"]);
    dave.until("the last one", |dave| dave.unshown().iter().any(|message| message.body == "the last one"));
    assert_eq!(alice.members("the group"), ["alice", "bob", "dave"]);
    assert_eq!(bob.members("the group"), ["alice", "bob", "dave"]);
    assert_eq!((alice.status().alarms, bob.status().alarms), (vec![], vec![]));
}

#[test]
fn what_is_in_the_outbox_survives_the_program() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    net.stop_server();
    alice.send(["kept"]);
    alice.disconnect();
    net.start_server();
    alice.connect();
    bob.expects(["kept"]);
}

#[test]
fn an_outbox_takes_as_many_messages_as_it_may_and_again_when_some_have_gone() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.disconnect();
    net.stop_server();
    let small = qpc_client::Options { outbox_max: 3, ..net.options() };
    let client = net.block(Client::open(net.home("alice"), small)).unwrap();
    let send = |text: &str| net.block(client.execute(Command::Send { to: "bob".into(), text: text.into() }));
    for text in ["one", "two", "three"] {
        send(text).unwrap();
    }
    let full = send("one too many");
    assert!(
        matches!(&full, Err(CommandError::TryLater { message }) if message.contains("3 messages wait")),
        "{full:?}"
    );
    net.start_server();
    bob.expects(["one", "two", "three"]);
    net.block(client.execute(Command::Flush)).unwrap();
    send("four").unwrap();
    bob.expects(["four"]);
}

#[test]
fn a_second_program_on_the_same_home_joins_the_first() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let second = net.block(Session::open(net.home("alice"), net.options())).unwrap();
    assert!(!second.drives());
    let send = Command::Send { to: "bob".into(), text: "from the other terminal".into() };
    net.block(second.execute(send)).unwrap();
    net.block(second.execute(Command::Flush)).unwrap();
    bob.expects(["from the other terminal"]);
    alice.sees(
        "what the other terminal said",
        |event| matches!(event, Event::Message(message) if message.own && message.body == "from the other terminal"),
    );
    bob.send(["heard you"]);
    alice.expects(["heard you"]);
}

#[test]
fn a_server_with_another_key_is_refused() {
    let net = Net::start();
    let alice = net.person("alice");
    alice.disconnect();
    net.stop_server();
    net.forget_certificate();
    let before = net.options();
    net.start_server();
    let client = net.block(Client::open(net.home("alice"), before)).unwrap();
    let error = net.block(client.execute(Command::CatchUp)).unwrap_err();
    assert!(
        matches!(&error, CommandError::Denied { message } if message.contains("not the one asked for")),
        "{error:?}"
    );
}

#[test]
fn a_lost_password_is_of_no_use_to_others_and_a_new_one_works() {
    let net = Net::start();
    let alice = net.person("alice");
    let (old, new) = (crate::net::PASSWORD, "a new one");
    let change = |old: &str, new: &str| Command::PasswordChange {
        old: qpc_client::api::Password(old.into()),
        new: qpc_client::api::Password(new.into()),
    };
    let error = alice.attempt(change("wrong", new)).unwrap_err();
    assert!(matches!(error, CommandError::Denied { .. }), "{error:?}");
    alice.do_it(change(old, new));
    alice.do_it(change(new, old));
    let laptop = net.device("alice", "laptop");
    assert!(matches!(laptop.do_it(Command::Devices), Outcome::Devices { devices } if devices.len() == 2));
}

#[test]
fn a_revoked_device_stays_away() {
    let net = Net::start();
    let alice = net.person("alice");
    let laptop = net.device("alice", "laptop");
    let Outcome::Whoami(who) = laptop.do_it(Command::Whoami) else { panic!("whoami") };
    alice.do_it(Command::DeviceRevoke { device: who.device });
    laptop.sees("the end", |event| matches!(event, Event::Online { online: false, .. }));
    let error = laptop.attempt(Command::CatchUp).unwrap_err();
    assert!(matches!(error, CommandError::Denied { .. }), "{error:?}");
}
