//! Links into groups: whoever has one comes in, as often as it says and while it counts, and nobody else does, whatever
//! the server says.

use std::{
    io::Write,
    process::Stdio,
    time::{Duration, Instant},
};

use qpc_client::api::{Command, CommandError, GroupLink, LinkText, Outcome, Role};
use qpc_proto::{
    address::Address,
    error::Code,
    id::{ConversationId, ConversationName},
    link::{Asker, InviteLink, JoinRequest},
    role::RoleTable,
    v1::{self, answer::Result as Answer, request::Method},
};
use qpc_server::{
    clock::{Clock, SystemClock},
    rng::{self, SystemRng},
    store::{Actor, Ask, LinkSetting, LinkTerms, Store},
};
use serde_json::Value;

use crate::{
    edge::{House, message_id},
    lies::{alarms, plant_ghost},
    net::{Net, Person, new_group},
    people::{Somebody, Town},
    person::domain,
    wire::code,
};

const GROUP: &str = "tea";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn invite(person: &Person, uses: u32) -> LinkText {
    match person.do_it(Command::GroupInvite { group: GROUP.into(), lifetime_s: 7 * DAY.as_secs(), uses }) {
        Outcome::Link(link) => link.link,
        other => panic!("{other:?}"),
    }
}

fn join(person: &Person, link: &LinkText) -> Result<bool, String> {
    match person.attempt(Command::GroupJoin { link: link.clone() }) {
        Ok(Outcome::Joining { joined, .. }) => Ok(joined),
        Ok(other) => panic!("{other:?}"),
        Err(CommandError::Denied { message } | CommandError::Usage { message }) => Err(message),
        Err(other) => panic!("{other:?}"),
    }
}

fn links(person: &Person) -> Vec<GroupLink> {
    match person.do_it(Command::GroupInvites { group: GROUP.into() }) {
        Outcome::Links { links } => links,
        other => panic!("{other:?}"),
    }
}

fn is_in(person: &Person) -> bool {
    person.conversations().iter().any(|one| one.title == GROUP && one.active)
}

fn was_told(person: &Person, text: &str) -> bool {
    person.history_if_any(GROUP).iter().any(|one| one.kind == "notice" && one.body == text)
}

/// Somebody as the server knows them.
fn actor(net: &Net, person: &Person) -> Actor {
    let Outcome::Whoami(whoami) = person.do_it(Command::Whoami) else { panic!("who am I?") };
    let (address, device) = (Address::parse(&whoami.address).unwrap(), whoami.device.parse().unwrap());
    let record = net.block(net.store().login_record(&address.name)).unwrap();
    Actor::authenticated(record.account.unwrap(), device, address)
}

fn now_ms() -> u64 {
    SystemClock.unix_ms()
}

fn said(somebody: &Somebody<'_>, kind: &str) -> Vec<String> {
    let lines = somebody.does(&["history", GROUP, "--json"]);
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).map(|line| line["body"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn people_come_in_by_a_link_and_everybody_is_told_by_whose() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    alice.does(&["group", "create", GROUP, "bob"]);
    bob.does(&["listen"]);
    let made: Value = serde_json::from_str(&alice.does(&["group", "invite", GROUP, "--json"])).unwrap();
    assert_eq!((&made["number"], &made["uses"], &made["uses_left"]), (&1.into(), &10.into(), &10.into()));
    let link = made["link"].as_str().unwrap();
    assert!(link.starts_with("qpc://localhost/join/"), "{link}");
    let (code, _, stderr) = bob.tries(&["group", "invite", GROUP]);
    assert!(code == 2 && stderr.contains("only owners and admins"), "{stderr}");

    // Carol is nobody's contact. Alice is connected, and so lets her in.
    let carol = town.newcomer("carol");
    let at_alice = alice.follows();
    assert_eq!(carol.does(&["group", "join", link]).trim(), "you are in tea");
    drop(at_alice);
    assert_eq!(said(&carol, "notice"), ["alice@localhost let you in by your link."]);
    assert!(said(&alice, "notice").contains(&"You let carol@localhost in by a link of yours.".to_owned()));
    bob.does(&["listen"]);
    let told = "alice@localhost let carol@localhost in by a link of alice@localhost.".to_owned();
    assert!(said(&bob, "notice").contains(&told), "{:?}", said(&bob, "notice"));
    carol.does(&["send", GROUP, "hello everybody"]);
    assert_eq!(bob.hears(1)[0]["sender"], "carol@localhost");
    // Everybody in it knows the links, and what they are worth still.
    for person in [&alice, &bob, &carol] {
        let listed = person.does(&["group", "invites", GROUP]);
        assert!(listed.contains("9 of 10") && listed.contains("alice"), "{}: {listed}", person.name);
    }

    let dave = town.newcomer("dave");
    let mut wrong = link.to_owned();
    let last = wrong.pop();
    wrong.push(if last == Some('0') { '1' } else { '0' });
    for (person, words, code, why) in [
        (&carol, link, 2, "in the group \"tea\" already"),
        (&dave, wrong.as_str(), 77, "no such link"),
        (&dave, "qpc://localhost/join/1", 2, "no link into a group"),
        (&dave, &link.replace("localhost", "elsewhere.example"), 2, "another server"),
    ] {
        let (exit, _, stderr) = person.tries(&["group", "join", words]);
        assert!(exit == code && stderr.contains(why), "{words}: {exit} {stderr}");
    }
    // Nobody is there: it waits, and is done when somebody comes.
    let mut waits = dave.command(&["group", "join", "-", "--json"]);
    let mut waits = waits.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(waits.stdin.take().unwrap(), "{link}").unwrap();
    let waits: Value = serde_json::from_slice(&waits.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!((&waits["result"], &waits["joined"]), (&"joining".into(), &false.into()));
    let (at_alice, deadline) = (alice.follows(), Instant::now() + Duration::from_secs(60));
    while !dave.does(&["listen"]).contains("alice let you in") && !dave.does(&["group", "list"]).contains("#tea") {
        assert!(Instant::now() < deadline, "{}", dave.does(&["group", "list"]));
    }
    drop(at_alice);

    let erin = town.newcomer("erin");
    alice.does(&["group", "uninvite", GROUP, "1"]);
    let (exit, _, stderr) = erin.tries(&["group", "join", link]);
    assert!(exit == 77 && stderr.contains("withdrawn"), "{exit} {stderr}");
    assert!(alice.does(&["group", "invites", GROUP, "--json"]).is_empty());
    let (exit, _, stderr) = alice.tries(&["group", "uninvite", GROUP, "1"]);
    assert!(exit == 2 && stderr.contains("no link 1"), "{exit} {stderr}");
}

#[test]
fn a_request_waits_for_whoever_may_answer_it_through_restarts() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    alice.do_it(new_group(GROUP, ["bob"]));
    bob.until("the group", is_in);
    let link = invite(&alice, 1);
    alice.do_it(Command::Flush);
    alice.disconnect();
    assert_eq!(join(&carol, &link), Ok(false));
    // Asked again it is still one request.
    assert_eq!(join(&carol, &link), Ok(false));
    carol.disconnect();
    net.stop_server();
    net.start_server();
    // A plain member lets nobody in.
    bob.do_it(Command::CatchUp);
    carol.connect();
    assert!(!is_in(&carol));
    alice.connect();
    carol.until("the group", is_in);
    carol.until("the words", |carol| was_told(carol, "alice@localhost let you in by your link."));
    let by = "alice@localhost let carol@localhost in by a link of alice@localhost.";
    bob.until("who came", |bob| was_told(bob, by));
    carol.write(GROUP, ["here I am"]);
    bob.until("carol's words", |bob| bob.history(GROUP).iter().any(|one| one.body == "here I am"));
    assert!(links(&alice).is_empty(), "it is used up");
}

#[test]
fn a_link_lets_in_as_many_as_it_says_however_they_race() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let askers = ["carol", "dave", "erin", "frank"].map(|name| net.person(name));
    alice.do_it(new_group(GROUP, ["bob"]));
    bob.until("the group", is_in);
    alice.do_it(Command::GroupRole { group: GROUP.into(), member: "bob".into(), role: Role::Admin });
    let link = invite(&alice, 2);
    bob.until("the link", |bob| links(bob).len() == 1);
    for admin in [&alice, &bob] {
        admin.disconnect();
    }
    for asker in &askers {
        assert_eq!(join(asker, &link), Ok(false));
    }
    // Both who may let people in come at once, and each finds all four.
    for admin in [&alice, &bob] {
        admin.connect();
    }
    let refused = |asker: &Person| alarms(asker).iter().any(|alarm| alarm.text.contains("As many people have come in"));
    for asker in &askers {
        asker.until("an answer", |asker| is_in(asker) || refused(asker));
    }
    assert_eq!(askers.iter().filter(|asker| is_in(asker)).count(), 2);
    assert_eq!(askers.iter().filter(|asker| refused(asker)).count(), 2);
    for admin in [&alice, &bob] {
        admin.until("both", |admin| admin.members(GROUP).len() == 4 && links(admin).is_empty());
    }
    let late = net.person("grace");
    assert!(join(&late, &link).unwrap_err().contains("used up"));
}

#[test]
fn a_link_that_is_over_lets_nobody_in() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let [carol, dave, erin] = ["carol", "dave", "erin"].map(|name| net.person(name));
    alice.do_it(new_group(GROUP, ["bob"]));
    let (first, second) = (invite(&alice, 5), invite(&alice, 5));
    alice.do_it(Command::GroupRole { group: GROUP.into(), member: "bob".into(), role: Role::Admin });
    bob.until("the links", |bob| links(bob).len() == 2);
    alice.do_it(Command::Flush);
    for admin in [&alice, &bob] {
        admin.disconnect();
    }
    assert_eq!(join(&carol, &first), Ok(false));
    // One is withdrawn while somebody waits by it, by another than who made it.
    assert_eq!(join(&erin, &second), Ok(false));
    net.pass(8 * DAY);
    assert!(join(&dave, &first).unwrap_err().contains("expired"));
    bob.connect();
    let refused = bob.attempt(Command::GroupUninvite { group: GROUP.into(), number: 9 });
    assert!(matches!(refused, Err(CommandError::Usage { .. })), "{refused:?}");
    bob.do_it(Command::GroupUninvite { group: GROUP.into(), number: 2 });
    let withdrawn = |erin: &Person| alarms(erin).iter().any(|alarm| alarm.text.contains("withdrawn by somebody"));
    erin.until("the refusal", withdrawn);
    alice.connect();
    alice.until("the end of the second", |alice| links(alice).len() == 1);
    assert!(join(&erin, &second).unwrap_err().contains("withdrawn"));
    // By a link that counts people still come; those who wait by the others do not.
    net.pass(Duration::ZERO);
    let third = invite(&alice, 1);
    net.pass(8 * DAY);
    assert!(join(&dave, &third).unwrap_err().contains("expired"));
    net.pass(Duration::ZERO);
    assert_eq!(join(&dave, &third), Ok(true));
    assert!(!is_in(&erin));
    assert!(!alice.members(GROUP).contains(&"erin".to_owned()));
}

#[test]
fn who_asks_by_another_link_meanwhile_is_not_told_of_the_first() {
    let net = Net::start();
    let (alice, carol) = (net.person("alice"), net.person("carol"));
    alice.do_it(new_group(GROUP, Vec::<String>::new()));
    let (first, second) = (invite(&alice, 1), invite(&alice, 1));
    let owner = actor(&net, &alice);
    alice.do_it(Command::Flush);
    alice.disconnect();
    assert_eq!(join(&carol, &first), Ok(false));
    carol.disconnect();
    let link = InviteLink::parse(&first.0).unwrap();
    let (conversation, link) = (link.conversation().clone(), link.key());
    let withdrawn = LinkSetting { conversation, link, terms: LinkTerms::Withdrawn, now_ms: now_ms() };
    net.block(net.store().set_link(&owner, withdrawn)).unwrap();
    alice.connect();
    carol.connect();
    assert_eq!(join(&carol, &second), Ok(true));
    assert!(is_in(&carol));
}

#[test]
fn who_was_removed_comes_again_only_by_asking_anew() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let (carol, dave) = (net.person("carol"), net.person("dave"));
    alice.do_it(new_group(GROUP, ["bob"]));
    let link = invite(&alice, 3);
    alice.do_it(Command::Flush);
    let as_alice = actor(&net, &alice);
    let as_carol = actor(&net, &carol);
    alice.disconnect();
    assert_eq!(join(&carol, &link), Ok(false));
    let group = InviteLink::parse(&link.0).unwrap().conversation().clone();
    let waiting = net.block(net.store().join_requests(&as_alice, &group, now_ms())).unwrap();
    let request = JoinRequest::verify_encoded(&waiting[0]).unwrap();
    alice.connect();
    carol.until("the group", is_in);
    let remove = || alice.do_it(Command::GroupRemove { group: GROUP.into(), members: vec!["carol".into()] });
    remove();
    carol.until("the end", |carol| !is_in(carol));
    // The server shows the request of before once more, and then lets an honest one wait beside it.
    net.block(net.store().ask_to_join(&as_carol, Ask { request, now_ms: now_ms() })).unwrap();
    assert_eq!(join(&dave, &link), Ok(true));
    alice.do_it(Command::CatchUp);
    assert_eq!(alice.members(GROUP), ["alice", "bob", "dave"]);
    assert!(!is_in(&carol));
    // Who asks anew, by a link that has uses, comes in again; then it has none.
    assert_eq!(join(&carol, &link), Ok(true));
    remove();
    carol.until("the end", |carol| !is_in(carol));
    assert!(join(&carol, &link).unwrap_err().contains("used up"));
    drop(bob);
}

#[test]
fn what_the_server_makes_up_lets_nobody_in() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let (mallory, dave) = (net.person("mallory"), net.person("dave"));
    alice.do_it(new_group(GROUP, ["bob"]));
    let link = invite(&alice, 3);
    alice.do_it(Command::Flush);
    let group = InviteLink::parse(&link.0).unwrap().conversation().clone();
    // The server lies: it says that the group has another link, and lets somebody ask by it.
    let made_up = InviteLink::new(group.clone(), &[7; 32]);
    let as_alice = actor(&net, &alice);
    let terms = LinkTerms::Open { expires_ms: now_ms() + 1_000_000, uses: 9 };
    let setting = LinkSetting { conversation: group.clone(), link: made_up.key(), terms, now_ms: now_ms() };
    net.block(net.store().set_link(&as_alice, setting)).unwrap();
    assert_eq!(join(&mallory, &LinkText(made_up.text().to_string())), Ok(false));
    // And it gives key packages of a device that another key than the asker's has signed.
    let carol = net.person("carol");
    plant_ghost(&net, "carol");
    assert_eq!(join(&carol, &link), Ok(false));
    alice.until("the alarm", |alice| alarms(alice).iter().any(|alarm| alarm.text.contains("carol@localhost")));
    // An honest request is answered all the same.
    assert_eq!(join(&dave, &link), Ok(true));
    alice.do_it(Command::CatchUp);
    assert_eq!(alice.members(GROUP), ["alice", "bob", "dave"]);
    assert!(!is_in(&mallory) && !is_in(&carol));
    drop(bob);
}

#[tokio::test]
async fn the_server_takes_requests_that_the_link_has_signed_for_who_asks() {
    let house = House::new().await;
    let (alice, bob) = (house.register("alice").await, house.register("bob").await);
    let id = ConversationId::new(SystemClock.unix_ms(), rng::bytes(&SystemRng));
    let name = ConversationName { domain: domain(), id };
    let create = v1::CreateConversation {
        conversation: Some(name.to_wire()),
        kind: v1::ConversationKind::Group.into(),
        message_id: message_id(),
        group_info: alice.hand().found(&name, &RoleTable::owned_by(alice.person.address())),
        ..Default::default()
    };
    assert_eq!(code(&alice.wire.call(Method::CreateConversation(create)).await), None);
    let link = InviteLink::new(name.clone(), &[3; 32]);
    let set = |expires_ms, uses| {
        let (conversation, link_key) = (Some(name.to_wire()), link.key().to_bytes());
        Method::SetLink(v1::SetLink { conversation, link_key, expires_ms, uses, withdrawn: false })
    };
    let soon = now_ms() + 60_000;
    for (expires_ms, uses) in [(now_ms() - 1, 1), (now_ms() + 367 * 86_400_000, 1), (soon, 0), (soon, 1_001)] {
        assert_eq!(code(&alice.wire.call(set(expires_ms, uses)).await), Some(Code::Malformed));
    }
    assert_eq!(code(&bob.wire.call(set(soon, 1)).await), Some(Code::NotFound));
    assert_eq!(code(&alice.wire.call(set(soon, 1)).await), None);

    let address = bob.person.address();
    let account_key = bob.person.account.verifying_key().to_bytes();
    let asker = Asker { address: &address, account_key: &account_key, device: bob.device.id };
    let signed = link.ask(&asker, now_ms());
    let ask = |request: v1::JoinRequest| Method::AskToJoin(v1::AskToJoin { request: Some(request) });
    let alter = |alter: &dyn Fn(&mut v1::JoinRequest)| {
        let mut altered = signed.clone();
        alter(&mut altered);
        ask(altered)
    };
    let other = InviteLink::new(name.clone(), &[4; 32]);
    for (request, refusal) in [
        (alter(&|request| request.asked_ms += 1), Code::LinkUnknown),
        (alter(&|request| request.signature = vec![0; 64].into()), Code::LinkUnknown),
        (alter(&|request| request.signature = vec![0; 63].into()), Code::Malformed),
        (alter(&|request| request.address = "carol@chat.example".into()), Code::LinkUnknown),
        (alter(&|request| request.device_id = alice.device.id.to_bytes()), Code::LinkUnknown),
        (ask(other.ask(&asker, now_ms())), Code::LinkUnknown),
        (ask(link.ask(&Asker { device: alice.device.id, ..asker }, 1)), Code::Malformed),
        (ask(link.ask(&Asker { account_key: &[9; 32], ..asker }, 1)), Code::LinkUnknown),
        (Method::AskToJoin(v1::AskToJoin::default()), Code::Malformed),
    ] {
        assert_eq!(code(&bob.wire.call(request).await), Some(refusal));
    }
    // Somebody else who was given the request has nothing of it.
    assert_eq!(code(&alice.wire.call(ask(signed.clone())).await), Some(Code::Malformed));
    let answer = bob.wire.call(ask(signed.clone())).await;
    assert_eq!(answer, Answer::AskToJoin(v1::AskToJoinAnswer { expires_ms: soon }));
    let list = || Method::ListJoinRequests(v1::ListJoinRequests { conversation: Some(name.to_wire()) });
    assert_eq!(code(&bob.wire.call(list()).await), Some(Code::NotFound));
    let listed = alice.wire.call(list()).await;
    assert_eq!(listed, Answer::ListJoinRequests(v1::ListJoinRequestsAnswer { requests: vec![signed] }));
    assert_eq!(house.context.metrics.joins_asked.get(), 3, "those that somebody has signed");
    house.assert_sound();
}
