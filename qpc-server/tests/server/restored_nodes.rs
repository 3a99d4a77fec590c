//! Servers that talk with each other, of which one was brought back from a backup: what it lacks the others have.

use qpc_client::api::Command;
use qpc_proto::id::ConversationName;
use qpc_server::store::Store;

use crate::{
    across::{acquaint, connected},
    net::{Net, Person, new_group},
    restored::{alarms, back_up, restore},
};

const ALICE: &str = "alice@a.example";
const BOB: &str = "bob@b.example";

/// Alice's server orders what the two say to each other.
struct Scene {
    nets: [Net; 2],
    alice: Person,
    bob: Person,
}

fn texts(person: &Person, with: &str) -> Vec<String> {
    person.history_if_any(with).into_iter().filter(|said| said.kind == "text").map(|said| said.body).collect()
}

fn is_in(person: &Person, title: &str) {
    person.until(title, |me| me.conversations().iter().any(|one| one.title == title));
}

impl Scene {
    fn set() -> Self {
        let nets = Net::start_all(["a.example", "b.example"]);
        connected(&nets);
        let [a, b] = &nets;
        let (alice, bob) = (a.person("alice"), b.person("bob"));
        acquaint((&alice, ALICE), (&bob, BOB));
        Self { nets, alice, bob }
    }

    /// Both servers have the same of every conversation of somebody who is there.
    fn settle(&self, who: &Person) {
        let [a, b] = &self.nets;
        for one in who.conversations() {
            let name: ConversationName = one.conversation.parse().unwrap();
            let place = |net: &Net| net.block(net.store().copy_place(&name)).unwrap();
            who.until("the same on both servers", |_| place(a) == place(b));
        }
    }

    /// It goes on both ways, and nobody was alarmed.
    fn goes_on(&self, said_before: &[&str]) {
        let Self { alice, bob, .. } = self;
        bob.write(ALICE, ["and so on"]);
        alice.expects_among("and so on");
        alice.write(BOB, ["to the end"]);
        bob.expects_among("to the end");
        let all: Vec<_> = said_before.iter().chain(&["and so on", "to the end"]).copied().collect();
        for (person, with) in [(alice, BOB), (bob, ALICE)] {
            assert_eq!(texts(person, with), all, "{}", person.name);
            assert_eq!(alarms(person), Vec::<String>::new(), "{}", person.name);
        }
        alice.do_it(new_group("later crew", [BOB]));
        is_in(bob, "later crew");
    }
}

#[test]
fn a_restored_hub_has_back_what_only_another_domains_people_have() {
    let scene = Scene::set();
    let Scene { nets: [a, b], alice, bob } = &scene;
    alice.do_it(new_group("crew", [BOB]));
    is_in(bob, "crew");
    scene.settle(alice);
    back_up(a);
    connected(&scene.nets);
    alice.write(BOB, ["one"]);
    bob.expects(["one"]);
    // Somebody comes into the group since, and what is said then alice's server alone passes on: she has not read it.
    let ben = b.person("ben");
    acquaint((alice, ALICE), (&ben, "ben@b.example"));
    alice.do_it(Command::GroupAdd { group: "crew".into(), members: vec!["ben@b.example".into()] });
    is_in(&ben, "crew");
    alice.do_it(Command::CatchUp);
    alice.disconnect();
    bob.write(ALICE, ["two"]);
    ben.write("crew", ["hello"]);
    bob.expects(["hello"]);
    scene.settle(bob);

    let dropped = restore(a);
    assert!(dropped.awaited.domains == 1, "{dropped:?}");
    alice.connect();
    alice.expects_among("two");
    alice.expects_among("hello");
    scene.goes_on(&["may I?", "thanks", "one", "two"]);
    ben.write("crew", ["and on"]);
    alice.expects_among("and on");
    bob.expects_among("and on");
    assert_eq!(alarms(&ben), Vec::<String>::new());
    alice.until("asked everybody", |_| a.block(a.store().awaited()).unwrap().domains == 0);
}

#[test]
fn a_restored_follower_is_handed_again_what_it_has_lost() {
    let scene = Scene::set();
    let Scene { nets: [_, b], alice, bob } = &scene;
    scene.settle(alice);
    back_up(b);
    connected(&scene.nets);
    alice.write(BOB, ["one"]);
    bob.expects(["one"]);
    bob.write(ALICE, ["two"]);
    alice.expects(["two"]);
    // A group that the restored server has never heard of.
    alice.do_it(new_group("crew", [BOB]));
    is_in(bob, "crew");
    alice.write("crew", ["first"]);
    bob.expects(["first"]);
    bob.disconnect();
    alice.write(BOB, ["three"]);
    alice.write("crew", ["second"]);
    scene.settle(alice);

    restore(b);
    bob.connect();
    bob.expects_among("three");
    bob.expects_among("second");
    scene.goes_on(&["may I?", "thanks", "one", "two", "three"]);
    bob.write("crew", ["third"]);
    alice.expects_among("third");
    assert_eq!(texts(bob, "crew"), ["first", "second", "third"]);
}
