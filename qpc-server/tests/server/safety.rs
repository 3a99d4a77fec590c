//! Safety numbers between real clients: compared, marked, taken back; and servers that put another key in somebody's
//! place, before and after that.

use qpc_client::api::{
    Command, CommandError, Compared, Event, Member, OutboxState, Outcome, SafetyNumber, Standing, Verification,
};

use crate::{
    lies::{alarms, plant_ghost},
    net::{Net, Person, new_group},
};

fn number(person: &Person, who: &str) -> SafetyNumber {
    match person.do_it(Command::SafetyNumber { who: who.into() }) {
        Outcome::SafetyNumber(number) => number,
        other => panic!("{other:?}"),
    }
}

fn compare(person: &Person, who: &str, compared: Compared) -> Result<Option<String>, CommandError> {
    match person.attempt(Command::Verify { who: who.into(), compared })? {
        Outcome::Done { note } => Ok(note),
        other => panic!("{other:?}"),
    }
}

fn verify(person: &Person, who: &str, number: &str) -> Result<Option<String>, CommandError> {
    compare(person, who, Compared::Number(number.into()))
}

fn send(person: &Person, to: &str, text: &str) -> Result<Outcome, CommandError> {
    person.attempt(Command::Send { to: to.into(), text: text.into() })
}

fn standing(person: &Person, who: &str) -> Standing {
    person.contact(who).expect("a contact").standing
}

fn word(person: &Person, who: &str) -> Verification {
    standing(person, who).verification
}

/// How things stand in the conversation of two that goes on.
fn between(person: &Person, who: &str) -> Option<Verification> {
    let title = format!("{who}@localhost");
    let listed = person.conversations().into_iter().find(|one| one.title == title && one.active)?;
    listed.standing.map(|standing| standing.verification)
}

fn members(person: &Person, group: &str) -> Vec<Member> {
    match person.do_it(Command::GroupMembers { group: group.into() }) {
        Outcome::Members { members, .. } => members,
        other => panic!("{other:?}"),
    }
}

/// Alice has compared the number with bob, and marked it.
fn verified_pair(net: &Net) -> (Person, Person) {
    let (alice, bob) = net.pair();
    assert_eq!(verify(&alice, "bob", &number(&bob, "alice").number), Ok(None));
    (alice, bob)
}

/// Bob's account is reset, and registered anew by whoever has the token.
fn replaced(net: &Net, alice: &Person, bob: &Person) -> Person {
    let token = net.reset("bob");
    bob.sees("the end", |event| matches!(event, Event::Online { online: false, .. }));
    let another = net.register("bob", "bob's new home", &token);
    alice.until("the new key", |alice| alice.contact("bob").is_some_and(|known| known.key_changed));
    another
}

#[test]
fn two_people_compare_mark_and_take_back() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let (here, there) = (number(&alice, "bob"), number(&bob, "alice"));
    assert_eq!((&here.number, &here.words), (&there.number, &there.words));
    assert_ne!(here.code, there.code);
    assert_eq!(here.standing, Standing::default());

    // One digit wrong is wrong, and what is no number is told from it.
    let slip = if there.number.starts_with('9') { "0" } else { "9" };
    let wrong = verify(&alice, "bob", &format!("{slip}{}", there.number.split_at(1).1));
    assert!(matches!(&wrong, Err(CommandError::KeyDiffers { who, .. }) if who == "bob@localhost"), "{wrong:?}");
    for nonsense in ["", "12345", "yes", &"1".repeat(5_000)] {
        let refused = verify(&alice, "bob", nonsense);
        assert!(matches!(refused, Err(CommandError::Usage { .. })), "{nonsense}: {refused:?}");
    }
    assert_eq!(
        (word(&alice, "bob"), between(&alice, "bob")),
        (Verification::Unverified, Some(Verification::Unverified))
    );

    assert_eq!(verify(&alice, "bob", &there.number.replace(' ', "")), Ok(None));
    let marked = alice.sees("the mark", |event| matches!(event, Event::Verification { .. }));
    assert!(matches!(&marked, Event::Verification { address, .. } if address == "bob@localhost"), "{marked:?}");
    assert_eq!((word(&alice, "bob"), between(&alice, "bob")), (Verification::Verified, Some(Verification::Verified)));
    assert_eq!(word(&bob, "alice"), Verification::Unverified, "it is alice's mark alone");
    // It is kept.
    alice.disconnect();
    alice.connect();
    assert_eq!(word(&alice, "bob"), Verification::Verified);

    alice.do_it(Command::Unverify { who: "bob".into() });
    assert_eq!(standing(&alice, "bob"), Standing::default());
    let again = alice.attempt(Command::Unverify { who: "bob".into() });
    assert!(matches!(again, Err(CommandError::Usage { .. })), "{again:?}");
    assert_eq!(verify(&alice, "bob", &there.words.to_uppercase()), Ok(None));
    assert_eq!(word(&alice, "bob"), Verification::Verified);
    alice.send(["as ever"]);
    bob.expects(["as ever"]);
}

#[test]
fn a_code_is_the_others_and_not_ones_own() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let scan = |code: &str| compare(&alice, "bob", Compared::Code(code.into()));
    let own = scan(&number(&alice, "bob").code);
    assert!(matches!(&own, Err(CommandError::Usage { message }) if message.contains("you show yourself")), "{own:?}");
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    let carols = scan(&number(&carol, "alice").code);
    assert!(matches!(carols, Err(CommandError::KeyDiffers { .. })), "{carols:?}");
    let later = scan(&number(&bob, "alice").code.replace(":1:", ":2:"));
    assert!(matches!(&later, Err(CommandError::Usage { message }) if message.contains("version")), "{later:?}");
    assert_eq!(word(&alice, "bob"), Verification::Unverified);
    assert_eq!(scan(&number(&bob, "alice").code), Ok(None));
    assert_eq!(word(&alice, "bob"), Verification::Verified);
}

#[test]
fn nobody_is_verified_before_their_key_is_known_and_nobody_is_oneself() {
    let net = Net::start();
    let (alice, _bob) = (net.person("alice"), net.person("bob"));
    for (who, why) in [("bob", "not known yet"), ("alice", "that is you")] {
        let refused = alice.attempt(Command::SafetyNumber { who: who.into() });
        assert!(matches!(&refused, Err(CommandError::Usage { message }) if message.contains(why)), "{refused:?}");
        let refused = verify(&alice, who, &"1".repeat(60));
        assert!(matches!(&refused, Err(CommandError::Usage { message }) if message.contains(why)), "{refused:?}");
    }
}

#[test]
fn a_servers_key_in_place_of_a_verified_one_is_refused_and_told() {
    let net = Net::start();
    let (alice, bob) = verified_pair(&net);
    plant_ghost(&net, "bob");
    let made = alice.attempt(new_group("us two", ["bob"]));
    assert!(
        matches!(&made, Err(CommandError::Usage { message }) if message.contains("another account key")),
        "{made:?}"
    );
    let told = alarms(&alice);
    assert!(
        told.iter().any(|one| one.text.contains("bob@localhost") && one.text.contains("You had compared")),
        "{told:?}"
    );
    assert_eq!((word(&alice, "bob"), between(&alice, "bob")), (Verification::Changed, Some(Verification::Changed)));
    assert!(standing(&alice, "bob").verified_at.is_some() && standing(&alice, "bob").changed_at.is_some());

    // Nothing goes out, and no short way leads on.
    let refused = send(&alice, "bob", "is that you?");
    assert!(
        matches!(&refused, Err(CommandError::KeyChanged { verified: true, who, .. }) if who == "bob@localhost"),
        "{refused:?}"
    );
    let refused = alice.attempt(Command::TrustKey { who: "bob".into(), though_verified: false });
    assert!(matches!(&refused, Err(CommandError::KeyChanged { verified: true, .. })), "{refused:?}");
    bob.expects_nothing();
    assert_eq!(word(&alice, "bob"), Verification::Changed);

    // Bob knows of no other key: what he reads is the number of the one that alice had compared.
    assert_ne!(number(&alice, "bob").number, number(&bob, "alice").number);
    let note = verify(&alice, "bob", &number(&bob, "alice").number).unwrap();
    assert!(note.as_ref().is_some_and(|note| note.contains("somebody tried to take their place")), "{note:?}");
    assert_eq!((word(&alice, "bob"), between(&alice, "bob")), (Verification::Verified, Some(Verification::Verified)));
    alice.send(["it was the server"]);
    bob.expects(["it was the server"]);
}

#[test]
fn who_was_verified_and_has_a_new_key_is_written_to_once_that_is_compared() {
    let net = Net::start();
    let (alice, bob) = verified_pair(&net);
    let earlier = number(&bob, "alice").number;
    let bob = replaced(&net, &alice, &bob);
    let refused = send(&alice, "bob", "is that you?");
    assert!(matches!(&refused, Err(CommandError::KeyChanged { verified: true, .. })), "{refused:?}");

    // Bob has not written yet: he compares what he sees when he has.
    bob.write("alice", ["my password was lost"]);
    bob.do_it(Command::Flush);
    alice.until("the refusal", |alice| alice.status().alarms.iter().any(|alarm| alarm.starts_with("Refused")));
    alice.expects_nothing();
    let now = number(&bob, "alice").number;
    assert_ne!(now, earlier);
    assert_eq!(number(&alice, "bob").number, now, "of the new key");
    assert_eq!(verify(&alice, "bob", &now), Ok(None));
    assert_eq!(word(&alice, "bob"), Verification::Verified);
    alice.expects(["my password was lost"]);
    alice.write("bob", ["welcome back"]);
    bob.expects(["welcome back"]);
    assert_eq!(between(&alice, "bob"), Some(Verification::Verified));
}

#[test]
fn a_new_key_that_is_accepted_unseen_is_not_verified() {
    let net = Net::start();
    let (alice, bob) = verified_pair(&net);
    let bob = replaced(&net, &alice, &bob);
    alice.do_it(Command::TrustKey { who: "bob".into(), though_verified: true });
    let now = standing(&alice, "bob");
    assert_eq!(now.verification, Verification::Unverified);
    assert!(now.verified_at.is_some(), "that an earlier one was compared is not forgotten");
    alice.write("bob", ["I hope it is you"]);
    bob.expects(["I hope it is you"]);
}

#[test]
fn what_goes_on_with_an_earlier_key_is_not_written_to_after_another_was_accepted() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.do_it(new_group("we", ["bob"]));
    bob.until("the group", |bob| bob.conversations().iter().any(|one| one.title == "we"));
    let of_bob = |alice: &Person| {
        let bob = members(alice, "we").into_iter().find(|member| member.address == "bob@localhost");
        bob.and_then(|bob| bob.standing).map(|standing| standing.verification)
    };
    assert_eq!(of_bob(&alice), Some(Verification::Unverified));
    assert_eq!(members(&alice, "we")[0].standing, None, "of oneself there is nothing to compare");
    plant_ghost(&net, "bob");
    alice.attempt(new_group("us two", ["bob"])).unwrap_err();
    assert_eq!(of_bob(&alice), Some(Verification::Changed));
    alice.do_it(Command::TrustKey { who: "bob".into(), though_verified: false });

    // Whoever has the key that alice gave up is still in both.
    assert_eq!((of_bob(&alice), between(&alice, "bob")), (Some(Verification::Earlier), Some(Verification::Earlier)));
    alice.send(["for the new key's eyes"]);
    let why = alice.sees_outbox(OutboxState::Refused);
    assert!(why.contains("an earlier key of bob@localhost"), "{why}");
    bob.expects_nothing();
}

#[test]
fn those_with_another_key_are_listed_for_a_person_a_group_or_all() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    alice.do_it(new_group("we", ["bob"]));
    let changed = |to: Option<&str>| match alice.do_it(Command::ChangedKeys { to: to.map(str::to_owned) }) {
        Outcome::Contacts { contacts } => contacts.into_iter().map(|one| one.address).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert!(changed(None).is_empty());
    plant_ghost(&net, "bob");
    alice.attempt(new_group("us two", ["bob"])).unwrap_err();
    for to in [None, Some("bob"), Some("we")] {
        assert_eq!(changed(to), ["bob@localhost"], "{to:?}");
    }
    assert!(changed(Some("carol")).is_empty());
    // The group is with the key that was known; it is written to.
    alice.write("we", ["still us"]);
    bob.until("it", |bob| bob.unshown().iter().any(|message| message.body == "still us"));
}
