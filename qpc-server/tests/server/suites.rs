//! Groups of the post-quantum suite: made where all devices of all members know it, and lived in as any other.

use qpc_client::api::{Command, CommandError, GroupSuite, Outcome};

use crate::{
    lies::plant_ghost,
    net::{Net, Person, new_group},
};

const GROUP: &str = "the group";

fn made_of(suite: GroupSuite, members: &[&str]) -> Command {
    let members = members.iter().map(|&member| member.to_owned()).collect();
    Command::GroupCreate { name: GROUP.into(), members, suite }
}

fn add(who: &str) -> Command {
    Command::GroupAdd { group: GROUP.into(), members: vec![who.into()] }
}

/// Is this person in the group, and is it post-quantum?
fn post_quantum(person: &Person) -> Option<bool> {
    let conversations = person.conversations();
    conversations.iter().find(|one| one.title == GROUP && one.active).map(|one| one.post_quantum)
}

fn heard(person: &Person, text: &str) -> bool {
    person.history_if_any(GROUP).iter().any(|said| said.body == text)
}

#[test]
fn a_post_quantum_group_works_among_people_with_several_devices() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    let desk = net.device("alice", "desk");
    alice.do_it(made_of(GroupSuite::PostQuantum, &["bob"]));
    let all = |people: &[&Person], text: &str| {
        people[0].write(GROUP, [text]);
        for person in people {
            person.until(text, |person| heard(person, text));
            assert_eq!(post_quantum(person), Some(true));
        }
    };
    for person in [&bob, &desk] {
        person.until("the group", |person| post_quantum(person) == Some(true));
    }
    all(&[&alice, &bob, &desk], "from the laptop");
    all(&[&desk, &bob, &alice], "from the desk");
    // One that comes by itself, one that is added, and both of them out again.
    let tablet = net.device("bob", "tablet");
    tablet.until("the group", |person| post_quantum(person) == Some(true));
    all(&[&tablet, &alice, &bob, &desk], "from the tablet");
    alice.do_it(add("carol"));
    carol.until("the group", |person| post_quantum(person) == Some(true));
    all(&[&carol, &tablet, &alice, &bob, &desk], "from carol");
    bob.do_it(Command::GroupLeave { group: GROUP.into() });
    for person in [&alice, &carol, &desk] {
        person.until("bob's leaving", |person| person.members(GROUP) == ["alice", "carol"]);
    }
    all(&[&alice, &carol, &desk], "without bob");
    for person in [&alice, &bob, &carol, &desk, &tablet] {
        assert!(person.status().alarms.is_empty(), "{:?}", person.status().alarms);
    }
}

#[test]
fn whose_device_does_not_know_the_suite_is_named_and_nothing_is_made() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    // A device of carol's with classical key packages alone, as of an earlier release.
    plant_ghost(&net, "carol");
    let refused = alice.attempt(made_of(GroupSuite::PostQuantum, &["bob", "carol"])).unwrap_err();
    let CommandError::Usage { message } = &refused else { panic!("{refused:?}") };
    assert!(message.contains("carol@localhost (1 device)") && !message.contains("bob@localhost"), "{message}");
    assert_eq!(post_quantum(&alice), None);

    alice.do_it(made_of(GroupSuite::PostQuantum, &["bob"]));
    let refused = alice.attempt(add("carol")).unwrap_err();
    assert!(
        matches!(&refused, CommandError::Usage { message } if message.contains("carol@localhost (1 device)")),
        "{refused:?}"
    );
    bob.until("the group", |bob| post_quantum(bob) == Some(true));
    assert_eq!(alice.members(GROUP), ["alice", "bob"]);
}

#[test]
fn a_suite_is_agreed_on_by_what_all_devices_know() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let made = alice.do_it(made_of(GroupSuite::Auto, &["bob"]));
    assert!(matches!(made, Outcome::Done { note: None }), "{made:?}");
    bob.until("the group", |bob| post_quantum(bob) == Some(true));
    alice.do_it(new_group("another", ["bob"]));
    let classical =
        |person: &Person| person.conversations().iter().any(|one| one.title == "another" && !one.post_quantum);
    bob.until("the other group", classical);

    // A device of alice's own that does not know it: then it is not that suite, and she is told. (That nobody has signed
    // it keeps it out of the group, too.)
    plant_ghost(&net, "alice");
    alice.do_it(Command::GroupDescribe {
        group: GROUP.into(),
        name: Some("the first".into()),
        topic: None,
        picture: None,
    });
    let made = alice.do_it(made_of(GroupSuite::Auto, &["bob"]));
    let Outcome::Done { note: Some(note) } = &made else { panic!("{made:?}") };
    assert!(note.contains("classical") && note.contains("you (1 device besides this one)"), "{note}");
    assert_eq!(post_quantum(&alice), Some(false));
}
