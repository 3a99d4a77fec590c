//! Several devices of one account: they are in everything together, by themselves, and out of it when they are revoked.

use qpc_client::api::{Command, Compared, Conversation, ConversationKind, Outcome, Verification};
use qpc_server::{
    clock::{Clock, SystemClock},
    store::{Retention, Store},
};

use crate::net::{Net, Person, new_group};

fn active(person: &Person, title: &str) -> Option<Conversation> {
    person.conversations().into_iter().find(|one| one.active && one.title.trim_end_matches("@localhost") == title)
}

/// Waits until a device is in this many conversations.
#[track_caller]
fn is_in(person: &Person, number: usize) {
    person
        .until("the conversations", |person| person.conversations().iter().filter(|one| one.active).count() == number);
}

/// Devices of an account in a group, by what another member sees.
fn devices(member: &Person, group: &str, of: &str) -> u32 {
    match member.do_it(Command::GroupMembers { group: group.into() }) {
        Outcome::Members { members, .. } => {
            members.iter().find(|one| one.address == format!("{of}@localhost")).map_or(0, |one| one.devices)
        }
        other => panic!("{other:?}"),
    }
}

fn notices(person: &Person, with: &str) -> Vec<String> {
    person.history(with).into_iter().filter(|one| one.kind == "notice").map(|one| one.body).collect()
}

fn id(person: &Person) -> String {
    match person.do_it(Command::Whoami) {
        Outcome::Whoami(who) => who.device,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_device_joins_every_conversation_by_itself_and_the_others_see_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("team", ["bob"]));
    bob.until("the group", |bob| active(bob, "team").is_some());
    alice.send(["before the laptop"]);
    bob.expects(["before the laptop"]);

    let laptop = net.device("alice", "laptop");
    is_in(&laptop, 2);
    bob.until("the device in the group", |bob| devices(bob, "team", "alice") == 2);
    for with in ["alice", "team"] {
        bob.until("the news", |bob| notices(bob, with).contains(&"alice@localhost added a device.".to_owned()));
    }
    assert!(notices(&alice, "bob").contains(&"You added a device.".to_owned()));

    // Everybody hears everybody, and what one device says is on the other as its own.
    bob.send(["to both"]);
    alice.expects(["to both"]);
    laptop.expects(["to both"]);
    laptop.write("bob", ["from the laptop"]);
    bob.expects(["from the laptop"]);
    alice.until("the other device's words", |alice| {
        alice.history("bob").iter().any(|one| one.body == "from the laptop" && one.own)
    });
    assert!(alice.unshown().is_empty(), "what one has said oneself is no news");
    let team = laptop.conversations().into_iter().find(|one| one.kind == ConversationKind::Group).unwrap();
    laptop.write(&team.conversation, ["to the group"]);
    bob.expects(["to the group"]);
    assert!(laptop.status().alarms.is_empty() && bob.status().alarms.is_empty());
}

#[test]
fn what_begins_on_one_device_is_on_the_other_at_once_and_no_news_to_anybody() {
    let net = Net::start();
    let (alice, bob) = (net.person("alice"), net.person("bob"));
    let laptop = net.device("alice", "laptop");
    alice.say(&bob, ["may we?"]);
    bob.expects(["may we?"]);
    laptop.until("the conversation", |laptop| laptop.history_if_any("bob").iter().any(|one| one.body == "may we?"));
    assert_eq!(laptop.contact("bob").map(|bob| bob.state), Some("requested".to_owned()));
    bob.do_it(Command::Accept { who: "alice".into() });
    laptop.until("accepted", |laptop| laptop.contact("bob").is_some_and(|bob| bob.state == "accepted"));
    laptop.write("bob", ["from the laptop"]);
    bob.expects(["from the laptop"]);
    assert_eq!(notices(&bob, "alice"), Vec::<String>::new());

    laptop.do_it(new_group("team", ["bob"]));
    alice.until("the group", |alice| active(alice, "team").is_some());
    alice.write("team", ["hello team"]);
    bob.expects(["hello team"]);
    assert_eq!(devices(&bob, "team", "alice"), 2);
    laptop
        .until("the other device's words", |laptop| laptop.history("team").iter().any(|one| one.body == "hello team"));
}

#[test]
fn a_request_that_one_device_answers_is_answered_on_the_other() {
    let net = Net::start();
    let (alice, bob) = (net.person("alice"), net.person("bob"));
    let laptop = net.device("bob", "laptop");
    alice.say(&bob, ["may I?"]);
    for device in [&bob, &laptop] {
        device.expects(["may I?"]);
        assert!(active(device, "alice").is_some_and(|one| one.request));
    }
    laptop.write("alice", ["gladly"]);
    alice.expects(["gladly"]);
    bob.until("the answer", |bob| {
        active(bob, "alice").is_some_and(|one| !one.request)
            && bob.contact("alice").is_some_and(|alice| alice.state == "accepted")
    });
}

#[test]
fn a_revoked_device_is_taken_out_of_every_group() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let laptop = net.device("alice", "laptop");
    is_in(&laptop, 1);
    alice.do_it(new_group("team", ["bob"]));
    laptop.until("the group", |laptop| active(laptop, "team").is_some());
    let before = id(&laptop);
    alice.do_it(Command::DeviceRevoke { device: before });
    // Without anybody doing anything more.
    bob.until("the removal", |bob| devices(bob, "team", "alice") == 1);
    for with in ["alice", "team"] {
        bob.until("the news", |bob| notices(bob, with).contains(&"alice@localhost removed a device.".to_owned()));
    }
    bob.say(&alice, ["it is gone"]);
    alice.expects(["it is gone"]);
    assert_eq!(laptop.history("bob").iter().filter(|one| one.body == "it is gone").count(), 0);
}

#[test]
fn a_device_that_was_away_for_longer_than_entries_are_kept_is_taken_out_and_comes_back() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let tablet = net.device("bob", "tablet");
    is_in(&tablet, 1);
    alice.do_it(new_group("team", ["bob"]));
    tablet.until("the group", |tablet| active(tablet, "team").is_some());
    tablet.disconnect();
    alice.write("team", ["while it is away"]);
    let reads = |me: &Person, text: &str| me.until(text, |me| me.history("team").iter().any(|said| said.body == text));
    reads(&bob, "while it is away");
    let before_ms = SystemClock.unix_ms();
    // Whoever comes again says what it has read, and when the server stops that is written down.
    for round in ["one", "two"] {
        net.stop_server();
        net.start_server();
        for (says, other) in [(&alice, &bob), (&bob, &alice)] {
            let text = format!("{} is here for round {round}", says.name);
            says.write("team", [text.as_str()]);
            reads(other, &text);
        }
    }
    let old = Retention { bodies_before_ms: before_ms, entries_before_ms: before_ms, batch: 100 };
    while net.block(net.store().retention_step(old)).unwrap() {}
    // Whenever a device has come into a group, those are looked at that should be out.
    let laptop = net.device("alice", "laptop");
    is_in(&laptop, 2);
    alice.until("its end", |alice| devices(alice, "team", "bob") == 1);
    reads(&alice, "bob@localhost removed a device.");
    tablet.connect();
    alice.until("its return", |alice| devices(alice, "team", "bob") == 2);
    alice.write("team", ["welcome back"]);
    reads(&tablet, "welcome back");
    tablet.write("team", ["thank you"]);
    reads(&alice, "thank you");
}

#[test]
fn who_logs_out_of_the_only_device_finds_everything_again() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("team", ["bob"]));
    bob.until("the group", |bob| active(bob, "team").is_some());
    alice.log_out();
    bob.send(["while nobody is there"]);
    let alice = net.device("alice", "alice");
    is_in(&alice, 2);
    bob.until("the old device's end", |bob| devices(bob, "team", "alice") == 1);
    bob.send(["welcome back"]);
    alice.expects(["welcome back"]);
    alice.write("bob", ["thank you"]);
    bob.expects(["thank you"]);
    assert!(bob.status().alarms.is_empty() && alice.status().alarms.is_empty());
}

#[test]
fn a_new_device_has_the_whole_history_in_order() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("team", ["bob"]));
    bob.until("the group", |bob| active(bob, "team").is_some());
    let texts: Vec<String> = (0..300).map(|number| format!("{number} {}", "word ".repeat(100))).collect();
    let (first, second) = texts.split_at(150);
    alice.send_all_to("team", first);
    bob.expects_all(first);
    bob.send_all_to("team", second);
    alice.expects_all(second);
    bob.write("alice", ["unread so far"]);
    alice.until("the news", |alice| alice.unshown().len() == 1);

    let laptop = net.device("alice", "laptop");
    is_in(&laptop, 2);
    // It need not know yet what the group is called.
    let team = laptop.conversations().into_iter().find(|one| one.kind == ConversationKind::Group).unwrap();
    laptop.write(&team.conversation, ["meanwhile"]);
    // The oldest of all comes last.
    let complete = |device: &Person| device.history_if_any("bob").iter().any(|one| one.body == "may I?");
    laptop.until("the history", complete);
    let said = |person: &Person, with: &str| -> Vec<_> {
        let all = person.history(with).into_iter().filter(|one| one.seq > 0 && one.kind != "notice");
        all.map(|one| (one.seq, one.sender, one.own, one.body)).collect()
    };
    bob.expects(["meanwhile"]);
    for with in ["team", "bob"] {
        alice.until("the same", |alice| said(alice, with).len() == said(&laptop, with).len());
        assert_eq!(said(&laptop, with), said(&alice, with), "{with}");
    }
    let unread: Vec<_> = laptop.unshown().into_iter().map(|one| one.body).collect();
    assert_eq!(unread, ["unread so far"]);
    assert!(active(&laptop, "team").is_some(), "the group has its name");

    // A third one hears it from either, though one of them is away.
    alice.disconnect();
    let phone = net.device("alice", "phone");
    phone.until("the history", complete);
    assert_eq!(said(&phone, "team"), said(&laptop, "team"));
}

#[test]
fn what_is_read_on_one_device_is_read_on_the_other() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let laptop = net.device("alice", "laptop");
    is_in(&laptop, 1);
    bob.send(["one", "two"]);
    for device in [&alice, &laptop] {
        device.until("the news", |device| device.unshown().len() == 2);
    }
    let first = alice.unshown()[0].local;
    alice.do_it(Command::MarkShown { to: Some("bob".into()), local: first });
    laptop.until("the mark", |laptop| laptop.unshown().len() == 1);
    assert_eq!(laptop.unshown()[0].body, "two");
    laptop.expects(["two"]);
    alice.until("the mark", |alice| alice.unshown().is_empty());
}

#[test]
fn who_was_verified_on_one_device_is_verified_on_all() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let laptop = net.device("alice", "laptop");
    is_in(&laptop, 1);
    let number = match bob.do_it(Command::SafetyNumber { who: "alice".into() }) {
        Outcome::SafetyNumber(number) => number.number,
        other => panic!("{other:?}"),
    };
    let verified =
        |person: &Person| person.contact("bob").is_some_and(|bob| bob.standing.verification == Verification::Verified);
    laptop.do_it(Command::Verify { who: "bob".into(), compared: Compared::Number(number) });
    alice.until("the mark", verified);
    // One that comes later hears of it as well.
    let phone = net.device("alice", "phone");
    phone.until("the mark", verified);
    alice.do_it(Command::Unverify { who: "bob".into() });
    for device in [&laptop, &phone] {
        device.until("that it was taken back", |device| !verified(device));
    }
}

#[test]
fn a_device_that_was_interrupted_while_it_joined_goes_on() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    for group in ["one", "two", "three"] {
        alice.do_it(new_group(group, ["bob"]));
    }
    let laptop = net.device("alice", "laptop");
    net.stop_server();
    laptop.disconnect();
    net.start_server();
    laptop.connect();
    is_in(&laptop, 4);
    bob.until("both devices", |bob| ["one", "two", "three"].iter().all(|group| devices(bob, group, "alice") == 2));
}

#[test]
fn members_who_change_a_group_while_devices_join_it_lose_no_message() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("team", ["bob"]));
    bob.until("the group", |bob| active(bob, "team").is_some());
    let texts: Vec<String> = (0..60).map(|number| format!("{number}")).collect();
    bob.send_all_to("team", &texts);
    let others: Vec<_> = ["two", "three", "four"].iter().map(|home| net.device("alice", home)).collect();
    alice.expects_all(&texts);
    for other in &others {
        is_in(other, 2);
    }
    bob.write("team", ["the end"]);
    for other in &others {
        other.until("the end", |other| other.unshown().iter().any(|one| one.body == "the end"));
        // From where it joined on, in order and without a gap.
        let read: Vec<_> = other.unshown().into_iter().filter(|one| one.kind == "text").map(|one| one.body).collect();
        let all: Vec<_> = texts.iter().cloned().chain(["the end".to_owned()]).collect();
        assert!(all.ends_with(&read), "{read:?}");
    }
    // Last, because what is shown at one device is soon read at the others.
    alice.expects(["the end"]);
}

#[test]
fn who_leaves_on_one_device_is_out_on_the_others_and_has_what_was_said_before() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("team", ["bob"]));
    bob.until("the group", |bob| active(bob, "team").is_some());
    let laptop = net.device("bob", "laptop");
    laptop.until("the group", |laptop| active(laptop, "team").is_some());
    bob.disconnect();
    alice.write("team", ["before you go"]);
    laptop.until("the words", |laptop| laptop.history("team").iter().any(|one| one.body == "before you go"));
    laptop.do_it(Command::GroupLeave { group: "team".into() });
    bob.connect();
    bob.until("the end", |bob| active(bob, "team").is_none());
    assert!(bob.history("team").iter().any(|one| one.body == "before you go"));
    assert!(notices(&bob, "team").contains(&"You left on another device.".to_owned()));
}

#[test]
fn who_is_added_again_has_on_all_devices_what_was_said_before() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("team", ["bob"]));
    bob.until("the group", |bob| active(bob, "team").is_some());
    let laptop = net.device("bob", "laptop");
    is_in(&laptop, 2);
    laptop.until("its name", |laptop| active(laptop, "team").is_some());
    alice.write("team", ["one"]);
    laptop.until("the words", |laptop| laptop.history("team").iter().any(|one| one.body == "one"));
    laptop.disconnect();
    alice.write("team", ["two", "three"]);
    bob.expects(["one", "two", "three"]);
    bob.do_it(Command::GroupLeave { group: "team".into() });
    alice.until("the leaving", |alice| devices(alice, "team", "bob") == 0);
    alice.do_it(Command::GroupAdd { group: "team".into(), members: vec!["bob".into()] });
    alice.write("team", ["four"]);
    bob.until("the words", |bob| bob.history("team").iter().any(|one| one.body == "four"));
    laptop.connect();
    let said = |person: &Person| -> Vec<String> {
        let all = person.history("team").into_iter().filter(|one| one.seq > 0 && one.kind == "text");
        all.map(|one| one.body).collect()
    };
    laptop.until("everything", |laptop| said(laptop) == ["one", "two", "three", "four"]);
    assert_eq!(said(&bob), ["one", "two", "three", "four"]);
}
