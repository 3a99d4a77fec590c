//! People of different domains who talk as if they were on one server.

use std::time::{Duration, Instant};

use qpc_client::api::{Command, CommandError, OutboxState, Outcome, Password};
use qpc_proto::{address::Address, id::ConversationName};
use qpc_server::store::Store;

use crate::net::{Net, PASSWORD, Person, new_group};

/// All servers are connected, both ways.
pub(crate) fn connected(nets: &[Net]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    for net in nets {
        let peers = net.peers();
        while !peers.report().iter().all(|peer| peer.incoming && peer.round_trip_us.is_some()) {
            assert!(Instant::now() < deadline, "the servers did not connect: {:?}", peers.report());
            std::thread::sleep(Duration::from_millis(5));
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

/// One asks, the other accepts.
pub(crate) fn acquaint((one, address): (&Person, &str), (other, to): (&Person, &str)) {
    one.write(to, ["may I?"]);
    other.expects(["may I?"]);
    other.do_it(Command::Accept { who: address.into() });
    one.write(to, ["thanks"]);
    other.expects(["thanks"]);
}

fn no_alarms(people: &[&Person]) {
    for person in people {
        assert!(person.status().alarms.is_empty(), "{}: {:?}", person.name, person.status());
    }
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
        acquaint((one, back), (other, to));
        other.write(back, ["three"]);
        one.expects(["three"]);
        assert_eq!(texts(one, to), ["may I?", "thanks", "three"]);
        assert_eq!(texts(one, to), texts(other, back));
    }
    no_alarms(&[&alice, &bob, &dora, &ben]);
}

#[test]
fn two_of_two_domains_who_write_first_at_the_same_moment_end_in_one_conversation() {
    let nets = three();
    let [a, b, _] = &nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    alice.write("bob@b.example", ["from alice"]);
    bob.write("alice@a.example", ["from bob"]);
    alice.expects(["from bob"]);
    bob.expects(["from alice"]);
    let named = |person: &Person| -> Vec<String> {
        person
            .conversations()
            .into_iter()
            .map(|one| one.conversation)
            .filter(|name| name.contains("a.example"))
            .collect()
    };
    let (hers, his) = (named(&alice), named(&bob));
    assert_eq!(hers.len(), 1);
    assert_eq!(hers, his);
    alice.write("bob@b.example", ["still there?"]);
    bob.expects(["still there?"]);
    no_alarms(&[&alice, &bob]);
}

#[test]
fn a_group_of_three_domains_changes_like_any_other() {
    let nets = three();
    let [a, b, c] = &nets;
    let (alice, bob, carol) = (a.person("alice"), b.person("bob"), c.person("carol"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    acquaint((&carol, "carol@c.example"), (&alice, "alice@a.example"));
    alice.do_it(new_group("crew", ["bob@b.example"]));
    alice.write("crew", ["two of us"]);
    bob.expects(["two of us"]);
    alice.do_it(Command::GroupAdd { group: "crew".into(), members: vec!["carol@c.example".into()] });
    bob.write("crew", ["welcome"]);
    carol.expects(["welcome"]);
    alice.expects(["welcome"]);
    carol.write("crew", ["hello all"]);
    alice.expects(["hello all"]);
    bob.expects(["hello all"]);
    let everybody = ["alice@a.example", "bob@b.example", "carol@c.example"];
    for person in [&alice, &bob, &carol] {
        assert_eq!(person.members("crew"), everybody, "{}", person.name);
    }
    // A second device, whose server has no welcome for it, comes in by itself.
    let tablet = b.device("bob", "tablet");
    tablet.until("in the group", |tablet| tablet.conversations().iter().any(|one| one.title == "crew"));
    tablet.until("able to write there", |tablet| {
        tablet.attempt(Command::Send { to: "crew".into(), text: "from the tablet".into() }).is_ok()
    });
    alice.expects(["from the tablet"]);
    carol.expects(["from the tablet"]);
    // Who is removed reads no further, and their server holds nothing more.
    alice.do_it(Command::GroupRemove { group: "crew".into(), members: vec!["carol@c.example".into()] });
    alice.write("crew", ["without carol"]);
    bob.until("all that was said", |bob| texts(bob, "crew").last().is_some_and(|last| last == "without carol"));
    carol.until("out of it", |carol| carol.conversations().iter().any(|one| one.title == "crew" && !one.active));
    no_alarms(&[&alice, &bob, &carol, &tablet]);
    let crew: ConversationName =
        alice.conversations().into_iter().find(|one| one.title == "crew").unwrap().conversation.parse().unwrap();
    let at_a = a.block(a.store().copy_place(&crew)).unwrap().unwrap();
    let at_b = b.block(b.store().copy_place(&crew)).unwrap().unwrap();
    let at_c = c.block(c.store().copy_place(&crew)).unwrap().unwrap();
    assert_eq!(at_a, at_b);
    assert!(at_c.head < at_a.head);
}

#[test]
fn what_is_said_to_a_hub_that_is_away_waits_at_ones_own_server() {
    let nets = three();
    let [a, b, _] = &nets;
    let (alice, bob, dora) = (a.person("alice"), b.person("bob"), a.person("dora"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    alice.do_it(new_group("crew", ["bob@b.example"]));
    bob.until("in the group", |bob| bob.conversations().iter().any(|one| one.title == "crew"));
    dora.disconnect();
    a.stop_server();
    bob.write("alice@a.example", ["one", "two", "three"]);
    let waiting = || b.block(b.store().backlog(&"x@a.example".parse::<Address>().unwrap().domain)).unwrap().outgoing;
    bob.until("kept by the server", |_| waiting() == 3);
    // Whoever waits for it is told who has it.
    match bob.do_it(Command::Flush) {
        Outcome::Flushed { waiting } => {
            assert!(waiting.len() == 1 && waiting[0].queued && waiting[0].messages == 3, "{waiting:?}");
            assert!(waiting[0].reason.contains("a.example has not taken it yet"), "{waiting:?}");
        }
        other => panic!("{other:?}"),
    }
    let members = vec!["dora@a.example".to_owned()];
    let refused = bob.attempt(Command::GroupAdd { group: "crew".into(), members });
    assert!(
        matches!(&refused, Err(CommandError::TryLater { message }) if message.contains("a.example")),
        "{refused:?}"
    );
    // What begins a conversation waits at the client, which says so.
    bob.write("dora@a.example", ["hello"]);
    assert!(bob.sees_outbox(OutboxState::Waiting).contains("a.example can't be reached"));
    // The client may go: its own server has what it said.
    bob.disconnect();
    a.start_server();
    alice.expects(["one", "two", "three"]);
    alice.until("nothing waits any more", |_| waiting() == 0);
    bob.connect();
    dora.connect();
    dora.expects(["hello"]);
    alice.write("bob@b.example", ["got it"]);
    bob.expects(["got it"]);
    assert_eq!(bob.status().outbox, 0);
    no_alarms(&[&alice, &bob]);
}

#[test]
fn a_follower_that_was_away_gets_everything_in_order() {
    let nets = three();
    let [a, b, _] = &nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    bob.disconnect();
    b.stop_server();
    let said: Vec<String> = (0..250).map(|number| format!("number {number}")).collect();
    alice.send_all_to("bob@b.example", &said);
    alice.do_it(Command::Flush);
    b.start_server();
    bob.connect();
    bob.expects_all(&said);
    no_alarms(&[&alice, &bob]);
}

/// A device that is gone at home is gone everywhere its account is, and so is an account.
#[test]
fn what_is_gone_at_home_is_gone_at_the_hub() {
    let nets = three();
    let [a, b, _] = &nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    let tablet = b.device("bob", "tablet");
    let in_it = |person: &Person| person.conversations().iter().any(|one| one.title == "alice@a.example" && one.active);
    tablet.until("in the conversation", in_it);
    let id = tablet.status().whoami.device.parse().unwrap();
    let known = || a.block(a.store().device(id)).unwrap().is_some();
    assert!(known());
    // The hub can't be told at once, and is told when it is back.
    alice.disconnect();
    a.stop_server();
    tablet.log_out();
    a.start_server();
    alice.connect();
    alice.until("one device fewer", |_| !known());
    // The hub proposes to take its leaf out, and the next commit does so.
    let devices =
        |person: &Person| person.history("alice@a.example").iter().filter(|said| said.body.contains("device")).count();
    bob.until("told that it is out", |bob| devices(bob) >= 2);
    bob.write("alice@a.example", ["just me"]);
    alice.expects(["just me"]);
    bob.do_it(Command::AccountDelete { password: Password(PASSWORD.into()) });
    let over = |person: &Person| !person.conversations().iter().any(|one| one.title == "bob@b.example" && one.active);
    alice.until("told that bob is gone", over);
    no_alarms(&[&alice]);
}

/// What waits for a hub whose group goes on meanwhile is refused there, made anew by its author, and arrives once, in order.
#[test]
fn what_was_queued_before_the_group_has_changed_is_made_anew() {
    let nets = three();
    let [a, b, _] = &nets;
    let (alice, bob, dora) = (a.person("alice"), b.person("bob"), a.person("dora"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    acquaint((&alice, "alice@a.example"), (&dora, "dora@a.example"));
    alice.do_it(new_group("crew", ["bob@b.example"]));
    bob.until("in the group", |bob| bob.conversations().iter().any(|one| one.title == "crew"));
    let domain = crate::peer::domain("a.example");
    alice.disconnect();
    dora.disconnect();
    a.stop_server();
    bob.write("crew", ["late one", "late two"]);
    bob.until("kept by the server", |_| b.block(b.store().backlog(&domain)).unwrap().outgoing == 2);
    bob.disconnect();
    b.stop_server();
    a.start_server();
    alice.connect();
    alice.do_it(Command::GroupAdd { group: "crew".into(), members: vec!["dora@a.example".into()] });
    b.start_server();
    bob.connect();
    alice.expects(["late one", "late two"]);
    dora.connect();
    dora.expects(["late one", "late two"]);
    bob.until("nothing waits", |bob| bob.status().outbox == 0);
    assert_eq!(texts(&bob, "crew"), ["late one", "late two"]);
    no_alarms(&[&alice, &bob, &dora]);
}
