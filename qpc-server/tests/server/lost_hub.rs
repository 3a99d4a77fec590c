//! A group whose server is gone for good goes on at another one, by one command of one of its members.

use std::{thread::sleep, time::Duration};

use bytes::Bytes;
use qpc_client::api::{Command, CommandError, Conversation, Moved, Outcome, Picture, Role};
use qpc_proto::{
    chain::{EntryContent, EntryKind, LogEntry},
    id::{ConversationName, Counter, DeviceId, MessageId},
    v1::{self, peer_answer::Result as PeerOutcome, peer_request},
};
use qpc_server::{config::Rate, store::Store};

use crate::{
    across::{acquaint, connected},
    net::{Net, Person, new_group},
    peer::{Stream, request},
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nof the crew";

/// Alice, at the hub, is acquainted with everybody; the others are strangers to each other.
struct Scene {
    nets: [Net; 3],
    alice: Person,
    bob: Person,
    carol: Person,
}

fn group(name: &str) -> String {
    name.to_owned()
}

fn role(of: &str, role: Role) -> Command {
    Command::GroupRole { group: group("crew"), member: of.into(), role }
}

fn move_it(what: &str) -> Command {
    Command::GroupMove { group: what.into(), force: false }
}

fn moved(outcome: Outcome) -> Moved {
    match outcome {
        Outcome::Moved(moved) => moved,
        other => panic!("{other:?}"),
    }
}

fn told(attempt: Result<Outcome, CommandError>) -> String {
    attempt.expect_err("it is refused").to_string()
}

fn texts(person: &Person, with: &str) -> Vec<String> {
    person.history_if_any(with).into_iter().filter(|said| said.kind == "text").map(|said| said.body).collect()
}

fn notices(person: &Person, with: &str) -> String {
    let all = person.history_if_any(with).into_iter().filter(|said| said.kind == "notice");
    all.map(|said| said.body).collect::<Vec<_>>().join("\n")
}

fn named(person: &Person, name: &str) -> Conversation {
    person.conversations().into_iter().find(|one| one.conversation == name).expect("a conversation of that name")
}

fn continuing(person: &Person, before: &str) -> Vec<Conversation> {
    person.conversations().into_iter().filter(|one| one.continues.as_deref() == Some(before)).collect()
}

fn no_alarms(people: &[&Person]) {
    for person in people {
        assert!(person.status().alarms.is_empty(), "{}: {:?}", person.name, person.status().alarms);
    }
}

impl Scene {
    fn set() -> Self {
        let nets = Net::start_all(["a.example", "b.example", "c.example"]);
        connected(&nets);
        let [a, b, c] = &nets;
        let (alice, bob, carol) = (a.person("alice"), b.person("bob"), c.person("carol"));
        acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
        acquaint((&alice, "alice@a.example"), (&carol, "carol@c.example"));
        alice.do_it(new_group("crew", ["bob@b.example", "carol@c.example"]));
        alice.write("crew", ["before"]);
        bob.expects(["before"]);
        carol.expects(["before"]);
        Self { nets, alice, bob, carol }
    }

    fn crew(&self) -> String {
        self.bob.conversations().into_iter().find(|one| one.title == "crew").unwrap().conversation
    }

    /// Everybody has what the others have of it.
    fn settle(&self) {
        let name: ConversationName = self.crew().parse().unwrap();
        let place = |net: &Net| net.block(net.store().copy_place(&name)).unwrap().unwrap();
        let [a, b, c] = &self.nets;
        self.alice.until("the same everywhere", |_| place(a) == place(b) && place(a) == place(c));
        self.bob.do_it(Command::CatchUp);
        self.carol.do_it(Command::CatchUp);
    }

    fn lose_the_hub(&self) {
        self.settle();
        self.alice.disconnect();
        self.nets[0].stop_server();
    }
}

#[test]
fn a_group_whose_hub_is_gone_goes_on_elsewhere_by_one_command() {
    let scene = Scene::set();
    let Scene { nets: [_, b, c], alice, bob, carol } = &scene;
    let (ben, dave, dora) = (b.person("ben"), c.person("dave"), scene.nets[0].person("dora"));
    acquaint((alice, "alice@a.example"), (&ben, "ben@b.example"));
    acquaint((alice, "alice@a.example"), (&dora, "dora@a.example"));
    let members = vec!["ben@b.example".into(), "dora@a.example".into()];
    alice.do_it(Command::GroupAdd { group: group("crew"), members });
    alice.do_it(role("bob@b.example", Role::Admin));
    alice.do_it(role("carol@c.example", Role::Admin));
    let (topic, picture) = (Some("the sea".into()), Some(Picture(PNG.to_vec())));
    alice.do_it(Command::GroupDescribe { group: group("crew"), name: None, topic, picture });
    let tablet = c.device("carol", "tablet");
    tablet.until("in the group", |tablet| tablet.conversations().iter().any(|one| one.title == "crew"));
    bob.until("told what it is about", |bob| {
        bob.conversations().iter().any(|one| one.topic == "the sea" && one.picture)
    });
    let old = scene.crew();
    assert!(told(bob.attempt(move_it("crew"))).contains("the server of a.example, which orders crew, can be reached"));
    assert!(told(bob.attempt(move_it("alice@a.example"))).contains("a conversation of two"));
    assert!(told(bob.attempt(move_it("nothing"))).contains("there is no group"));
    dora.disconnect();
    scene.lose_the_hub();

    let refused = told(ben.attempt(move_it("crew")));
    assert!(refused.contains("ask bob@b.example or carol@c.example"), "{refused}");
    let result = moved(bob.do_it(move_it("crew")));
    assert_eq!(result.members, ["ben@b.example", "bob@b.example", "carol@c.example"]);
    let left_out: Vec<_> = result.left_out.iter().map(|left| left.address.as_str()).collect();
    assert_eq!(left_out, ["alice@a.example", "dora@a.example"]);
    assert_eq!((result.conversation.as_str(), result.title.as_str()), (old.as_str(), "crew"));
    let new = result.continued_in;
    assert!(new.ends_with("@b.example"));

    // Everybody gets it, though only alice had accepted each of them; and a name that meant the old one means this.
    bob.write("crew", ["after"]);
    for person in [&ben, carol, &tablet] {
        person.expects_among("after");
        let group = named(person, &new);
        assert_eq!((group.title.as_str(), group.topic.as_str(), group.picture), ("crew", "the sea", true));
        assert_eq!((group.continues.as_deref(), group.continued_in), (Some(old.as_str()), None));
        assert_eq!(named(person, &old).continued_in.as_deref(), Some(new.as_str()));
        assert!(notices(person, &new).contains("This group continues crew"), "{}", notices(person, &new));
        assert!(notices(person, &old).contains(&format!("was continued in crew ({new})")));
    }
    carol.write("crew", ["aye"]);
    bob.expects_among("aye");
    ben.expects_among("aye");
    // Roles are kept; whoever moves it owns it.
    let roles = || match bob.do_it(Command::GroupMembers { group: group("crew") }) {
        Outcome::Members { members, .. } => members.into_iter().map(|one| (one.address, one.role)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let kept = [("ben@b.example", "member"), ("bob@b.example", "owner"), ("carol@c.example", "admin")];
    assert_eq!(roles(), kept.map(|(who, role)| (who.to_owned(), role.to_owned())));
    // What was said before is read there, and nothing more is said.
    for person in [bob, carol] {
        assert_eq!(texts(person, &old), ["before"]);
        let refused = told(person.attempt(Command::Send { to: old.clone(), text: "lost?".into() }));
        assert!(refused.contains(&format!("crew was continued in crew ({new}): write there")), "{refused}");
        assert!(told(person.attempt(move_it(&old))).contains(&format!("continued already, in crew ({new})")));
    }
    assert!(told(bob.attempt(move_it("crew"))).contains(&format!("continued already, in crew ({new})")));
    assert_eq!(continuing(bob, &old).len(), 1);
    // Who was never in the old one has agreed to nothing, whoever asks.
    for person in [bob, carol] {
        let members = vec!["dave@c.example".to_owned()];
        let refused = told(person.attempt(Command::GroupAdd { group: group("crew"), members }));
        assert!(refused.contains("only people who have accepted you can be added"), "{refused}");
    }
    dave.expects_nothing();
    no_alarms(&[bob, carol, &ben, &tablet]);
    // When the hub comes back, its people can be added, though dora has never heard of bob but in the old one.
    scene.nets[0].start_server();
    dora.connect();
    dora.until("reached again", |_| {
        let members = vec!["dora@a.example".to_owned()];
        bob.attempt(Command::GroupAdd { group: group("crew"), members }).is_ok()
    });
    dora.until("in it", |dora| continuing(dora, &old).len() == 1);
    dora.write("crew", ["back"]);
    bob.expects_among("back");
    // Who has left this one has agreed to nothing more.
    dora.do_it(Command::GroupLeave { group: new.clone() });
    bob.until("dora gone", |bob| !named(bob, &new).members.contains(&"dora@a.example".to_owned()));
    let members = vec!["dora@a.example".to_owned()];
    let refused = told(bob.attempt(Command::GroupAdd { group: group("crew"), members }));
    assert!(refused.contains("only people who have accepted you can be added"), "{refused}");
    no_alarms(&[bob, carol, &dora]);
}

#[test]
fn a_member_goes_on_with_a_group_that_nobody_else_leads_and_leaves_out_who_is_away() {
    let scene = Scene::set();
    let Scene { nets: [_, _, c], bob, carol, .. } = &scene;
    let old = scene.crew();
    scene.lose_the_hub();
    carol.disconnect();
    c.stop_server();
    let result = moved(bob.do_it(move_it("crew")));
    let left_out: Vec<_> = result.left_out.iter().map(|left| (left.address.as_str(), left.reason.as_str())).collect();
    assert_eq!(result.members, ["bob@b.example"]);
    assert!(left_out[0].0 == "alice@a.example" && left_out[1].0 == "carol@c.example", "{left_out:?}");
    assert!(left_out[1].1.contains("the server of c.example can't be reached now"), "{left_out:?}");
    c.start_server();
    carol.connect();
    bob.until("carol added", |bob| {
        let members = vec!["carol@c.example".to_owned()];
        bob.attempt(Command::GroupAdd { group: group("crew"), members }).is_ok()
    });
    carol.until("in it", |carol| continuing(carol, &old).len() == 1);
    bob.write("crew", ["there you are"]);
    carol.expects_among("there you are");
    no_alarms(&[bob, carol]);
}

#[test]
fn a_move_that_is_cut_off_anywhere_goes_on_and_makes_one_group() {
    let scene = Scene::set();
    let Scene { bob, carol, .. } = &scene;
    let old = scene.crew();
    scene.lose_the_hub();
    for delay in (0..40).map(|step| Duration::from_millis(step * 4)) {
        let answered = bob.cut_off(move_it("crew"), delay);
        bob.disconnect();
        bob.connect();
        if answered {
            break;
        }
    }
    bob.until("moved", |bob| match bob.attempt(move_it("crew")) {
        Ok(_) => true,
        Err(refused) => refused.to_string().contains("continued already"),
    });
    let made = continuing(bob, &old);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0].members, ["bob@b.example", "carol@c.example"]);
    carol.until("in it", |carol| continuing(carol, &old).len() == 1);
    bob.write("crew", ["one group"]);
    carol.expects_among("one group");
    assert_eq!(notices(bob, &old).matches("was continued in").count(), 1);
    no_alarms(&[bob, carol]);
}

#[test]
fn a_move_waits_where_too_many_key_packages_were_taken() {
    let scene = Scene::set();
    let Scene { nets: [_, b, _], bob, carol, .. } = &scene;
    let old = scene.crew();
    scene.lose_the_hub();
    bob.disconnect();
    b.stop_server();
    // One for the other devices of his own, and each second another one.
    b.start_server_with(|config| config.limits.claim_requester = Rate { rate: 60, burst: 1 });
    bob.connect();
    bob.until("connected", |bob| bob.status().online);
    connected_but(&scene.nets[1..]);
    let result = moved(bob.do_it(Command::GroupMove { group: group("crew"), force: true }));
    assert_eq!(result.members, ["bob@b.example", "carol@c.example"], "{:?}", result.left_out);
    carol.until("in it", |carol| continuing(carol, &old).len() == 1);
    no_alarms(&[bob, carol]);
}

/// All of these are connected with each other again, whoever else is gone.
fn connected_but(nets: &[Net]) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    for net in nets {
        let peers = net.peers();
        let up = || peers.report().iter().filter(|peer| peer.incoming && peer.round_trip_us.is_some()).count();
        while up() < nets.len() - 1 {
            assert!(std::time::Instant::now() < deadline, "{:?}", peers.report());
            sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn of_two_who_move_a_group_at_the_same_moment_everybody_names_one() {
    let scene = Scene::set();
    let Scene { nets: [_, b, c], bob, carol, .. } = &scene;
    let old = scene.crew();
    scene.lose_the_hub();
    carol.disconnect();
    c.stop_server();
    let his = moved(bob.do_it(move_it("crew"))).continued_in;
    bob.disconnect();
    b.stop_server();
    c.start_server();
    carol.connect();
    let hers = loop {
        // Until its server has given the other one up.
        match carol.attempt(move_it("crew")) {
            Ok(outcome) => break moved(outcome).continued_in,
            Err(CommandError::Unreachable { .. } | CommandError::TryLater { .. }) => sleep(Duration::from_millis(50)),
            Err(other) => panic!("{other:?}"),
        }
    };
    b.start_server();
    bob.connect();
    for (person, own, other) in [(bob, &his, "carol@c.example"), (carol, &hers, "bob@b.example")] {
        person.until("the other one added", |person| {
            person.attempt(Command::GroupAdd { group: own.clone(), members: vec![other.into()] }).is_ok()
        });
    }
    let (first, second) = if his < hers { (his, hers) } else { (hers, his) };
    for person in [bob, carol] {
        person.until("in both", |person| continuing(person, &old).len() == 2);
        assert_eq!(named(person, &old).continued_in.as_ref(), Some(&first), "{}", person.name);
        assert_eq!(named(person, &second).continued_in.as_ref(), Some(&first), "{}", person.name);
        assert_eq!(named(person, &first).continued_in, None, "{}", person.name);
        assert!(notices(person, &second).contains("this is the second one"), "{}", notices(person, &second));
    }
    bob.write("crew", ["which one?"]);
    carol.expects_among("which one?");
    assert_eq!(texts(carol, &first), ["which one?"]);
    no_alarms(&[bob, carol]);
}

/// What nobody can open, of alice's, as the hub shows it to one follower.
fn shown_by_a_liar(scene: &Scene, at: &Net, sealed: &'static [u8]) {
    let name: ConversationName = scene.crew().parse().unwrap();
    let place = at.block(at.store().copy_place(&name)).unwrap().unwrap();
    let group = at.block(at.store().hub_group(&name, None)).unwrap().unwrap();
    let alices: DeviceId = scene.alice.status().whoami.device.parse().unwrap();
    let (_hand, connection) = at.impostor("a.example");
    let mut entry = LogEntry {
        conversation: name.clone(),
        seq: place.head.next(),
        kind: EntryKind::Message,
        epoch: group.version.epoch,
        sender: Some(alices),
        counter: Counter(50),
        id: MessageId::new(1, [7; 10]),
        stored_ms: 1,
        chain: place.chain,
        content: EntryContent::Body(Bytes::from_static(sealed)),
    };
    entry.chain = place.chain.after(&entry.header());
    let log =
        v1::PeerLog { log: Some(name.to_wire()), base: None, entries: vec![entry.to_wire()], group_info: Bytes::new() };
    let pushed = at.block(async {
        let mut stream = Stream::open(&connection).await;
        stream.say(&request(peer_request::Method::Push(v1::PeerPush { logs: vec![log] }))).await;
        stream.next::<v1::PeerAnswer>().await.unwrap().result.unwrap()
    });
    let PeerOutcome::Push(answer) = pushed else { panic!("{pushed:?}") };
    assert_eq!(answer.logs[0].seq, place.head.0 + 1, "{answer:?}");
}

#[test]
fn two_who_were_shown_two_histories_find_it_out_when_one_goes_on_with_the_group() {
    let scene = Scene::set();
    let Scene { nets: [a, b, c], alice, bob, carol } = &scene;
    let old = scene.crew();
    scene.settle();
    alice.until("known", |_| true);
    let device = alice.status().whoami.device;
    assert!(!device.is_empty());
    let liars = [(b, &b"one"[..]), (c, &b"another"[..])];
    let crew: ConversationName = old.parse().unwrap();
    a.stop_server();
    for (net, sealed) in liars {
        shown_by_a_liar(&scene, net, sealed);
    }
    for (person, net) in [(bob, b), (carol, c)] {
        let head = net.block(net.store().copy_place(&crew)).unwrap().unwrap().head;
        person.do_it(Command::CatchUp);
        assert!(head.0 > 1);
    }
    let result = moved(bob.do_it(move_it("crew")));
    carol.until("alarmed", |carol| carol.status().alarms.iter().any(|alarm| alarm.contains("another history")));
    assert_eq!(named(carol, &old).continued_in, None);
    assert_eq!(named(carol, &result.continued_in).continues, None);
    // She can still talk there, knowing what she knows.
    bob.write(&result.continued_in, ["who showed you that?"]);
    carol.expects_among("who showed you that?");
}
