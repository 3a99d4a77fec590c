//! Messages: in order, out of order, missing, twice, and over a change of epoch.

use super::*;

#[test]
fn two_people_chat() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    for round in 0..3 {
        let (hello, answer) = (format!("hello {round}"), format!("answer {round}"));
        assert_eq!(bob.reads(&name, &alice.send(&name, &hello)).unwrap(), ("alice".into(), hello));
        assert_eq!(alice.reads(&name, &bob.send(&name, &answer)).unwrap(), ("bob".into(), answer));
    }
    assert_eq!(alice.authenticator(&name), bob.authenticator(&name));
    let secret = |person: &Person| person.on(&name, |group| group.export_secret("test", b"context", 32).unwrap());
    assert_eq!(secret(&alice), secret(&bob));
}

#[test]
fn five_people_chat() {
    let people = Person::many(["alice", "bob", "carol", "dave", "eve"]);
    let name = group_of(&people.each_ref());
    for sender in &people {
        let text = format!("from {}", sender.address());
        let message = sender.send(&name, &text);
        for reader in people.iter().filter(|reader| reader.address() != sender.address()) {
            assert_eq!(reader.reads(&name, &message).unwrap().1, text);
        }
        assert!(matches!(sender.process(&name, EntryKind::Message, &message), Ok(Processed::OwnMessage)));
    }
}

#[test]
fn one_handle_takes_a_page_of_entries_and_survives_a_bad_one() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let page: Vec<_> = (0..20).map(|n| alice.send(&name, &format!("{n}"))).collect();
    let read = bob.on(&name, |group| {
        let mut read = 0;
        for (n, body) in page.iter().enumerate() {
            let mut spoilt = body.clone();
            *spoilt.last_mut().unwrap() ^= 1;
            assert!(matches!(group.process(EntryKind::Message, &spoilt), Err(ProcessError::Undecryptable(_))), "{n}");
            assert!(matches!(group.process(EntryKind::Message, body), Ok(Processed::Message { .. })), "{n}");
            read += 1;
        }
        read
    });
    assert_eq!(read, 20);
}

#[test]
fn the_same_ciphertext_is_read_once() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let message = alice.send(&name, "once");
    bob.reads(&name, &message).unwrap();
    assert!(matches!(bob.reads(&name, &message), Err(ProcessError::Replayed)));
    let later = alice.send(&name, "later");
    bob.reads(&name, &later).unwrap();
    assert!(matches!(bob.reads(&name, &message), Err(ProcessError::Replayed)));
}

#[test]
fn missing_and_late_messages_do_not_break_later_ones() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let messages: Vec<_> = (0..100).map(|n| alice.send(&name, &format!("{n}"))).collect();
    bob.reads(&name, &messages[99]).unwrap();
    let window = usize::try_from(config::OUT_OF_ORDER).unwrap();
    for late in (100 - window..99).rev() {
        assert_eq!(bob.reads(&name, &messages[late]).unwrap().1, late.to_string());
    }
    // Keys of older ones are gone: forward secrecy bounds how late a message may be.
    assert!(matches!(bob.reads(&name, &messages[99 - window]), Err(ProcessError::Undecryptable(_))));
    assert!(bob.reads(&name, &alice.send(&name, "after all that")).is_ok());
}

#[test]
fn thousands_may_be_missing() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let last = alice.on(&name, |group| {
        (0..2_000).map(|n| group.encrypt(message_id(&format!("{n}")), format!("{n}").as_bytes()).unwrap()).last()
    });
    assert_eq!(bob.reads(&name, &last.unwrap().bytes).unwrap().1, "1999");
}

#[test]
fn messages_of_the_epoch_before_are_still_read() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let in_flight = alice.send(&name, "in flight");
    for _ in 0..PAST_EPOCHS_MAX {
        commits(&bob, &[&alice], &name, |group| group.update());
    }
    assert_eq!(bob.reads(&name, &in_flight).unwrap().1, "in flight");
    let too_late = alice.send(&name, "too late");
    for _ in 0..=PAST_EPOCHS_MAX {
        commits(&bob, &[&alice], &name, |group| group.update());
    }
    assert!(matches!(bob.reads(&name, &too_late), Err(ProcessError::TooOld { .. })));
}

#[test]
fn an_epoch_that_has_not_come_is_told_apart() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let (staged, _) = commits(&alice, &[], &name, |group| group.update());
    let early = alice.send(&name, "early");
    let error = bob.reads(&name, &early).unwrap_err();
    assert!(matches!(error, ProcessError::TooNew { epoch, current } if epoch == current.next()), "{error}");
    bob.follows(&name, &staged.commit).unwrap();
    assert!(bob.reads(&name, &early).is_ok());
    assert!(matches!(bob.follows(&name, &staged.commit), Err(ProcessError::TooOld { .. })));
}

#[test]
fn what_is_no_message_of_the_group_is_malformed() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let message = alice.send(&name, "hello");
    let cases: [(&ConversationName, EntryKind, &[u8]); 5] = [
        (&name, EntryKind::Message, b"noise"),
        (&name, EntryKind::Message, &message[..message.len() - 1]),
        (&name, EntryKind::Commit, &message),
        (&name, EntryKind::Welcome, &message),
        (&conversation(9), EntryKind::Message, &message),
    ];
    for (name, kind, body) in cases {
        assert!(matches!(bob.process(name, kind, body), Err(ProcessError::Malformed(_))), "{kind:?}");
    }
    // A message without an id of ours, by somebody who goes round this engine.
    let unnamed = alice.with(|mls| {
        rules::raw(mls, &name, |group| group.create_message(&mls.provider, mls.device.signer(), b"no id").unwrap())
    });
    assert!(matches!(bob.process(&name, EntryKind::Message, &unnamed), Err(ProcessError::Malformed(_))));
}

#[test]
fn short_messages_look_alike() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let (ok, longer) = (alice.send(&name, "ok"), alice.send(&name, "see you at the station at eight"));
    assert_eq!(ok.len(), longer.len());
}

#[test]
fn no_single_byte_that_is_changed_on_the_way_is_taken() {
    let [alice, bob, carol, dave] = Person::many(["alice", "bob", "carol", "dave"]);
    let name = group_of(&[&alice, &bob, &carol]);
    let package = dave.key_package();
    let leave = carol.on(&name, |group| group.leave().unwrap()).bytes;
    let message = alice.send(&name, "hello");
    let staged = alice.on(&name, |group| group.add(&[dave.invitee(&package)]).unwrap());
    let entries = [(EntryKind::Message, message), (EntryKind::Proposal, leave), (EntryKind::Commit, staged.commit)];
    for (kind, body) in &entries {
        for place in (0..body.len()).step_by(5) {
            let mut spoilt = body.clone();
            spoilt[place] ^= 0x10;
            assert!(bob.process(&name, *kind, &spoilt).is_err(), "{kind:?} byte {place} of {}", body.len());
        }
    }
    let welcome = staged.welcome.unwrap();
    for place in (0..welcome.len()).step_by(11) {
        let mut spoilt = welcome.clone();
        spoilt[place] ^= 0x10;
        assert!(dave.with(|mls| mls.join(&name, &spoilt, None)).is_err(), "welcome byte {place} of {}", welcome.len());
    }
    // None of that has done any harm.
    assert!(bob.process(&name, entries[0].0, &entries[0].1).is_ok());
    assert!(bob.process(&name, entries[2].0, &entries[2].1).is_ok());
    assert!(dave.with(|mls| mls.join(&name, &welcome, None)).is_ok());
}
