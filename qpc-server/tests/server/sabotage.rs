//! A member whose commit some can process and some can't: those who can't say so, and one of the others puts them in anew.

use std::convert::Infallible;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use qpc_client::api::{Command, Role};
use qpc_proto::{
    chain::ChainValue,
    id::{ConversationName, Seq},
    report::Report,
    v1::{self, answer, request::Method},
};
use qpc_server::store::Store;

use crate::{
    edge::{Guest, message_id},
    hand::{Hand, Plan},
    net::{Net, Person, TOKEN, new_group},
    person,
    wire::{Wire, code},
};

const GROUP: &str = "tea";

/// A member whose hand nothing guides, among people with real clients.
struct Mallory {
    guest: Guest,
    hand: Hand,
}

impl Mallory {
    fn of(net: &Net) -> Self {
        let certificate = std::fs::read(net.server_dir().join("server-cert.der")).unwrap().into();
        let (person, device) = (person::Person::at("mallory", "localhost"), person::Device::new());
        net.block(async {
            let wire = Wire::connect(net.address(), &certificate).await;
            wire.register(&person, TOKEN, &device).await.unwrap();
            wire.authenticate(&person, &device).await.unwrap();
            let guest = Guest { person, device, wire };
            let hand = guest.hand();
            let publish = v1::PublishKeyPackages {
                key_packages: (0..2).map(|_| hand.encoded_key_package()).collect(),
                ..Default::default()
            };
            let answer = guest.wire.call(Method::PublishKeyPackages(publish)).await;
            assert!(code(&answer).is_none(), "{answer:?}");
            Self { guest, hand }
        })
    }

    /// Accepts whoever asks.
    fn accepts(&self, net: &Net, other: &Person) {
        let address = format!("{}@localhost", other.name);
        let accept = v1::AnswerContact { address, answer: v1::ContactAnswer::Accept.into() };
        other.until("the request", |_| {
            code(&net.block(self.guest.wire.call(Method::AnswerContact(accept.clone())))).is_none()
        });
    }

    /// What a log holds of a kind.
    fn bodies(&self, net: &Net, log: &ConversationName, kind: v1::EntryKind) -> Vec<Bytes> {
        self.entries(net, log, kind).into_iter().map(|(_, body)| body).collect()
    }

    fn entries(&self, net: &Net, log: &ConversationName, kind: v1::EntryKind) -> Vec<(v1::Entry, Bytes)> {
        let read = v1::ReadLog { conversation: Some(log.to_wire()), ..Default::default() };
        let answer::Result::ReadLog(page) = net.block(self.guest.wire.call(Method::ReadLog(read))) else {
            panic!("no log")
        };
        let entries = page.entries.into_iter().filter(|entry| entry.kind() == kind);
        let entries = entries.filter_map(|entry| match &entry.content {
            Some(v1::entry::Content::Body(body)) => Some((entry.clone(), body.clone())),
            _ => None,
        });
        entries.collect()
    }

    /// Joins the group that it was welcomed to.
    fn joins(&mut self, net: &Net) -> ConversationName {
        let inbox = ConversationName::inbox("localhost".parse().unwrap(), self.guest.device.id);
        let notices = self.bodies(net, &inbox, v1::EntryKind::Welcome);
        let mut notices = notices.into_iter().map(|body| <v1::WelcomeNotice as prost::Message>::decode(body).unwrap());
        let notice = notices.find(|notice| notice.kind() == v1::ConversationKind::Group).unwrap();
        self.hand.join(&notice.welcome);
        ConversationName::parse(notice.conversation.as_ref()).unwrap()
    }

    /// Sends a report.
    fn sends(&self, net: &Net, name: &ConversationName, counter: u64, epoch: u64, body: Bytes) {
        let request = v1::Send {
            conversation: Some(name.to_wire()),
            message_id: message_id(),
            counter,
            epoch,
            kind: v1::EntryKind::Report.into(),
            body,
            leave: false,
        };
        let answer = net.block(self.guest.wire.call(Method::Send(request)));
        assert!(matches!(answer, answer::Result::Send(_)), "{answer:?}");
    }

    fn shows(&mut self, net: &Net, name: &ConversationName, commit: v1::CommitBundle) -> (u64, ChainValue) {
        let request = v1::SubmitCommit {
            conversation: Some(name.to_wire()),
            message_id: message_id(),
            counter: 1,
            commit: Some(commit),
        };
        match net.block(self.guest.wire.call(Method::SubmitCommit(request))) {
            answer::Result::SubmitCommit(answer) => (answer.seq, ChainValue::parse(&answer.chain).unwrap()),
            other => panic!("not stored: {other:?}"),
        }
    }
}

/// Everybody reads everybody.
fn all_talk(people: &[&Person], about: &str) {
    for person in people {
        let text = format!("{} {about}", person.name);
        person.write(GROUP, [text.as_str()]);
        for other in people {
            let read = |me: &Person| me.history_if_any(GROUP).iter().any(|said| said.body == text);
            other.until(&text, read);
        }
    }
}

fn told(person: &Person, what: &str) -> bool {
    person.history_if_any(GROUP).iter().any(|said| said.body.contains(what))
}

/// alice, the owner, has a group with mallory at leaf 1 and these behind her: between two of them there is no node of the
/// tree that has keys, so that mallory encrypts to each by itself.
fn group_with(net: &Net, alice: &Person, others: &[&Person]) -> (Mallory, ConversationName) {
    let mut mallory = Mallory::of(net);
    alice.write("mallory", ["may I?"]);
    mallory.accepts(net, alice);
    alice.until("accepted", |alice| alice.contact("mallory").is_some_and(|known| known.state == "accepted"));
    alice.do_it(new_group(GROUP, ["mallory"]));
    let name = mallory.joins(net);
    let members = others.iter().map(|other| other.name.clone()).collect();
    alice.do_it(Command::GroupAdd { group: GROUP.into(), members });
    mallory.hand.follow(mallory.bodies(net, &name, v1::EntryKind::Commit).last().unwrap());
    let everybody: Vec<_> = std::iter::once(alice).chain(others.iter().copied()).collect();
    all_talk(&everybody, "is here");
    (mallory, name)
}

#[test]
fn who_can_not_follow_a_commit_is_put_in_anew_and_its_maker_taken_out() {
    let net = Net::start();
    let people = ["alice", "bob", "carol", "dave", "erin"].map(|name| net.person(name));
    let [alice, bob, carol, dave, erin] = &people;
    for other in &people[1..] {
        net.acquaint(alice, other);
    }
    let (mut mallory, name) = group_with(&net, alice, &people[1..].iter().collect::<Vec<_>>());
    let epoch = mallory.hand.epoch();
    let victims = [carol, dave].map(|victim| format!("{}@localhost", victim.name).parse().unwrap());
    let bundle = mallory.hand.sabotaging(&victims);
    mallory.shows(&net, &name, bundle);
    for victim in [carol, dave] {
        victim.until("its place", |me| told(me, "has put this device in anew."));
        let alarm = |me: &Person| me.status().alarms.iter().any(|alarm| alarm.contains("mallory@localhost changed it"));
        victim.until("the alarm", alarm);
    }
    for other in [alice, bob, erin] {
        assert!(told(other, "can't follow a change that mallory@localhost made"), "{:?}", other.history(GROUP));
        assert!(!other.status().alarms.iter().any(|alarm| alarm.contains("mallory")));
    }
    // Two accounts say the same, and alice, who owns the group, may remove her.
    alice.until("mallory's end", |alice| alice.members(GROUP) == ["alice", "bob", "carol", "dave", "erin"]);
    all_talk(&[alice, bob, carol, dave, erin], "goes on");
    let now = net.block(net.store().hub_group(&name, None)).unwrap().unwrap().version.epoch.0;
    assert!(now <= epoch + 3, "repaired within three epochs: from {epoch} to {now}");
}

#[test]
fn a_report_of_one_plain_member_takes_nobody_out() {
    let net = Net::start();
    let people = ["alice", "bob", "carol"].map(|name| net.person(name));
    let [alice, bob, carol] = &people;
    for other in [bob, carol] {
        net.acquaint(alice, other);
    }
    let (mallory, name) = group_with(&net, alice, &[bob, carol]);
    // A commit of bob's, in which there is nothing wrong.
    alice.do_it(Command::GroupRole { group: GROUP.into(), member: "bob".into(), role: Role::Admin });
    alice.do_it(Command::GroupRole { group: GROUP.into(), member: "bob".into(), role: Role::Member });
    let commits = mallory.entries(&net, &name, v1::EntryKind::Commit);
    let (commit, _) = commits.last().unwrap();
    let (at, epoch) = ((Seq(commit.seq), ChainValue::parse(&commit.chain).unwrap()), commit.epoch);
    let lie = |at, key: &SigningKey| {
        let sign = |signed: &[u8]| Ok::<_, Infallible>(key.sign(signed).to_vec());
        Report::new(&name, at, mallory.hand.encoded_key_package(), sign).unwrap().encode()
    };
    let other = SigningKey::from_bytes(&[7; 32]);
    let forged = [lie(at, &other), lie((at.0, ChainValue([9; 32])), &mallory.guest.device.key)];
    let honest = lie(at, &mallory.guest.device.key);
    for (counter, body) in (1..).zip(forged) {
        mallory.sends(&net, &name, counter, epoch, body);
    }
    let before = net.block(net.store().hub_group(&name, None)).unwrap().unwrap().version.epoch;
    all_talk(&[alice, bob, carol], "saw nothing");
    assert!(!told(carol, "can't follow"), "{:?}", carol.history(GROUP));
    // What she signs is done, for herself.
    mallory.sends(&net, &name, 3, epoch, honest);
    carol.until("her repair", |carol| told(carol, "put devices in anew, of mallory@localhost."));
    assert!(told(carol, "A device of mallory@localhost can't follow a change that alice@localhost made."));
    let now = net.block(net.store().hub_group(&name, None)).unwrap().unwrap().version.epoch;
    assert_eq!(now, before.next());
    all_talk(&[alice, bob, carol], "goes on");
    assert_eq!(alice.members(GROUP), ["alice", "bob", "carol", "mallory"]);
}

#[test]
fn who_came_in_by_a_wrong_group_info_is_not_to_blame_and_the_group_goes_on() {
    let net = Net::start();
    let people = ["alice", "bob", "carol"].map(|name| net.person(name));
    let [alice, bob, carol] = &people;
    for other in [bob, carol] {
        net.acquaint(alice, other);
    }
    let (mut mallory, name) = group_with(&net, alice, &[bob, carol]);
    let epoch = mallory.hand.epoch();
    let mut bundle = mallory.hand.commit(Plan::default());
    mallory.hand.merge();
    bundle.group_info = mallory.hand.misleading(&bundle.group_info);
    mallory.shows(&net, &name, bundle);
    let tablet = net.device("carol", "carol's tablet");
    tablet.until("its place", |me| told(me, "has joined") || told(me, "put this device in anew"));
    // Nobody but the tablet is in the epoch that it has made.
    for person in &people {
        person.until("its place", |me| told(me, "has put this device in anew.") || told(me, "This device was added."));
    }
    all_talk(&[alice, bob, carol, &tablet], "goes on");
    assert_eq!(alice.members(GROUP), ["alice", "bob", "carol", "mallory"]);
    let now = net.block(net.store().hub_group(&name, None)).unwrap().unwrap().version.epoch.0;
    assert!(now <= epoch + 4, "her commit, the joiner's, and the repair: from {epoch} to {now}");
}
