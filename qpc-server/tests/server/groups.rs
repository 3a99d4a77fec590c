//! Groups whose members leave: an owner always stays, and who leaves is out, whatever crosses it on the way.

use qpc_client::{
    Session,
    api::{Command, CommandError, Role},
};

use crate::net::{Net, Person, new_group};

const GROUP: &str = "the group";

fn role(member: &Person, role: Role) -> Command {
    Command::GroupRole { group: GROUP.into(), member: member.name.clone(), role }
}

fn leave() -> Command {
    Command::GroupLeave { group: GROUP.into() }
}

fn is_in(person: &Person) -> bool {
    person.conversations().iter().any(|one| one.title == GROUP && one.active)
}

#[test]
fn a_group_is_called_and_about_what_was_said_last_for_who_comes_later_too() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("tea", ["bob"]));
    let describe = |group: &str, name: Option<&str>, topic: Option<&str>| Command::GroupDescribe {
        group: group.into(),
        name: name.map(Into::into),
        topic: topic.map(Into::into),
        picture: None,
    };
    let is = |person: &Person, title: &str, topic: &str| {
        person.conversations().iter().any(|one| one.title == title && one.topic == topic)
    };
    bob.until("the name", |bob| is(bob, "tea", ""));
    let refused = bob.attempt(describe("tea", Some("coffee"), None)).unwrap_err();
    assert!(
        matches!(&refused, CommandError::Usage { message } if message.contains("only owners and admins")),
        "{refused:?}"
    );
    alice.do_it(describe("tea", None, Some("leaves in water")));
    bob.until("the topic", |bob| is(bob, "tea", "leaves in water"));
    alice.do_it(describe("tea", Some("strong tea"), None));
    bob.until("the new name", |bob| is(bob, "strong tea", "leaves in water"));
    assert!(is(&alice, "strong tea", "leaves in water"));
    let refused = alice.attempt(describe("strong tea", Some(""), None)).unwrap_err();
    assert!(matches!(refused, CommandError::Usage { .. }));

    // A device that comes by itself hears it from another member, though no other device of its account is there.
    bob.disconnect();
    let desk = net.device("bob", "desk");
    desk.until("the name", |desk| is(desk, "strong tea", "leaves in water"));
    // It is no news to those who knew.
    let named = alice.history("strong tea").into_iter().filter(|one| one.kind == "group_state").count();
    assert_eq!(named, 0, "what one has said oneself");
    bob.connect();
    bob.do_it(Command::CatchUp);
    let named = bob.history("strong tea").into_iter().filter(|one| one.kind == "group_state").count();
    assert_eq!(named, 2, "its topic, and strong tea");
}

#[test]
fn the_only_owner_makes_another_before_leaving() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group(GROUP, ["bob"]));
    bob.until("the group", is_in);
    let refused = alice.attempt(leave());
    assert!(
        matches!(&refused, Err(CommandError::Usage { message }) if message.contains("group role GROUP MEMBER owner")),
        "{refused:?}"
    );
    assert!(is_in(&alice));
    let refused = bob.attempt(role(&alice, Role::Admin));
    assert!(matches!(refused, Err(CommandError::Usage { .. })), "{refused:?}");
    alice.do_it(role(&bob, Role::Owner));
    bob.until("the role", |bob| bob.history(GROUP).iter().any(|said| said.body.contains("made bob@localhost owner")));
    alice.do_it(leave());
    assert!(!is_in(&alice));
    bob.until("alice's leaving", |bob| bob.members(GROUP) == ["bob"]);
    // Who is alone may go.
    bob.do_it(leave());
    assert!(!is_in(&bob));
}

#[test]
fn who_leaves_while_the_group_changes_is_out_all_the_same() {
    let net = Net::start();
    let (alice, stays) = net.pair();
    let leavers = ["carol", "dave", "erin", "frank"].map(|name| net.person(name));
    for person in &leavers {
        net.acquaint(&alice, person);
    }
    let names = |people: &[Person]| people.iter().map(|person| person.name.clone()).collect::<Vec<_>>();
    let members = [names(std::slice::from_ref(&stays)), names(&leavers)].concat();
    alice.do_it(new_group(GROUP, members));
    let at_alice = net.block(Session::open(net.home("alice"), net.options())).unwrap();
    let mut role_of_bob = [Role::Admin, Role::Member].into_iter().cycle();
    for (gone, leaver) in (1..).zip(&leavers) {
        leaver.until("the group", is_in);
        let at_leaver = net.block(Session::open(net.home(&leaver.name), net.options())).unwrap();
        // The change is made before the leave is known, and more often than not stored after it.
        let change = role(&stays, role_of_bob.next().unwrap());
        let (changed, left) = net.block(async { tokio::join!(at_alice.execute(change), at_leaver.execute(leave())) });
        assert!(changed.is_ok() && left.is_ok(), "{changed:?} {left:?}");
        assert!(!is_in(leaver));
        let rest = [vec!["alice".to_owned(), "bob".to_owned()], names(&leavers[gone..])].concat();
        for person in [&alice, &stays] {
            person.until(&format!("{}'s leaving", leaver.name), |person| person.members(GROUP) == rest);
        }
    }
    assert_eq!((alice.status().alarms, stays.status().alarms), (vec![], vec![]));
}

#[test]
fn who_left_and_is_added_again_reads_on_over_the_same_connection() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group(GROUP, ["bob"]));
    for round in ["one", "two", "three"] {
        bob.until("the group", is_in);
        alice.write(GROUP, [round]);
        bob.until("the message", |bob| bob.history(GROUP).iter().any(|said| said.body == round));
        bob.do_it(leave());
        alice.until("bob's leaving", |alice| alice.members(GROUP) == ["alice"]);
        alice.do_it(Command::GroupAdd { group: GROUP.into(), members: vec!["bob".into()] });
    }
    bob.until("the group", is_in);
    assert_eq!(bob.status().alarms, Vec::<String>::new());
}

/// The server knows a role from the commit that gives it, and a group from its files; a refusal leaves nothing behind at
/// the client that made the change.
#[test]
fn who_was_made_an_admin_adds_people_also_after_a_restart_and_a_refusal() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let (carol, dave) = (net.person("carol"), net.person("dave"));
    net.acquaint(&bob, &carol);
    alice.do_it(new_group(GROUP, ["bob"]));
    bob.until("the group", is_in);
    alice.do_it(role(&bob, Role::Admin));
    bob.until("the role", |bob| bob.history(GROUP).iter().any(|said| said.body.contains("made bob@localhost admin")));
    for person in [&alice, &bob, &carol, &dave] {
        person.disconnect();
    }
    net.stop_server();
    net.start_server();
    for person in [&alice, &bob, &carol, &dave] {
        person.connect();
    }
    let add = |who: &str| Command::GroupAdd { group: GROUP.into(), members: vec![who.into()] };
    let refused = bob.attempt(add("dave"));
    assert!(matches!(refused, Err(CommandError::Usage { .. })), "{refused:?}");
    bob.do_it(add("carol"));
    carol.until("the group", is_in);
    alice.until("carol", |alice| alice.members(GROUP) == ["alice", "bob", "carol"]);
    carol.write(GROUP, ["hello"]);
    alice.until("the message", |alice| alice.history(GROUP).iter().any(|said| said.body == "hello"));
    assert_eq!((alice.status().alarms, bob.status().alarms), (vec![], vec![]));
}

#[test]
fn who_is_removed_and_added_again_while_away_is_in_it_when_they_come_back() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("team", ["bob"]));
    bob.until("the group", |bob| bob.conversations().iter().any(|one| one.title == "team"));
    bob.disconnect();
    alice.write("team", ["never read"]);
    alice.do_it(Command::GroupRemove { group: "team".into(), members: vec!["bob".into()] });
    alice.do_it(Command::GroupAdd { group: "team".into(), members: vec!["bob".into()] });
    alice.write("team", ["welcome back"]);
    bob.connect();
    bob.until("what is said since", |bob| bob.history("team").iter().any(|one| one.body == "welcome back"));
    assert!(bob.history("team").iter().any(|one| one.body.contains("did not reach this device")));
    bob.write("team", ["here I am"]);
    alice.until("the answer", |alice| alice.history("team").iter().any(|one| one.body == "here I am"));
    assert!(bob.status().alarms.is_empty() && alice.status().alarms.is_empty());
    let again = alice.attempt(Command::GroupAdd { group: "team".into(), members: vec!["bob".into()] });
    assert!(matches!(again, Err(CommandError::Usage { message }) if message.contains("a member already")));
}
