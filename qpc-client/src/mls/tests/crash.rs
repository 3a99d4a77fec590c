//! A crash before the commit of any transaction loses nothing but the transaction.

use super::*;

/// Every kind of operation, in one story.
fn story(people: &[Person; 4]) {
    let [alice, bob, carol, dave] = people;
    let name = group_of(&[alice, bob, carol]);
    for round in 0..3 {
        let text = format!("round {round}");
        let message = alice.send(&name, &text);
        assert_eq!(bob.reads(&name, &message).unwrap().1, text);
        assert_eq!(carol.reads(&name, &message).unwrap().1, text);
    }
    let package = dave.key_package();
    let (staged, _) = commits(alice, &[bob, carol], &name, |group| group.add(&[dave.invitee(&package)]));
    dave.with(|mls| mls.join(&name, staged.welcome.as_ref().unwrap(), None).unwrap());

    let lost = alice.on(&name, |group| group.update().unwrap());
    let (won, _) = commits(bob, &[carol, dave], &name, |group| group.update());
    alice.follows(&name, &won.commit).unwrap();
    assert!(bob.follows(&name, &lost.commit).is_err());

    let leave = carol.on(&name, |group| group.leave().unwrap());
    for person in [alice, bob, dave] {
        person.process(&name, EntryKind::Proposal, &leave.bytes).unwrap();
    }
    carol.on(&name, |group| group.delete().unwrap());
    let refused = dave.on(&name, |group| group.commit_proposals().unwrap());
    dave.on(&name, |group| group.discard_pending().unwrap());
    commits(alice, &[bob, dave], &name, |group| group.commit_proposals());
    assert!(dave.follows(&name, &refused.commit).is_err());
    commits(alice, &[dave], &name, |group| group.remove(&[bob.address().clone()]));
    let last = dave.send(&name, "two are left");
    assert_eq!(alice.reads(&name, &last).unwrap(), ("dave".into(), "two are left".into()));
    assert_eq!(alice.sees(&name), ["alice", "dave"]);
}

#[test]
fn a_crash_before_every_commit_changes_nothing() {
    let people = Person::many(["alice", "bob", "carol", "dave"]);
    for person in &people {
        person.crashes.set(true);
    }
    story(&people);
}

#[test]
fn a_failed_operation_in_a_transaction_that_is_kept_leaves_nothing() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let state = |person: &Person| -> Vec<(Vec<u8>, i64, Vec<u8>)> {
        let mut query = person.store.prepare("SELECT owner, kind, value FROM mls_values ORDER BY 1, 2, item").unwrap();
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap().map(Result::unwrap).collect()
    };
    let before = state(&bob);
    bob.with(|mls| {
        let mut group = mls.group(&name);
        assert!(group.process(EntryKind::Commit, b"noise").is_err());
        assert!(group.add(&[alice.invitee(b"noise")]).is_err());
        assert!(group.remove(&[alice.address().clone()]).is_err());
        assert!(group.leave().is_ok());
        assert!(mls.join(&conversation(3), b"noise", None).is_err());
    });
    assert_eq!(state(&bob), before);
}

#[test]
fn the_state_survives_closing_and_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.db");
    let alice = Person::new("alice");
    let open = || {
        let store = Connection::open(&path).unwrap();
        store.pragma_update(None, "key", "correct horse battery staple").unwrap();
        store
    };
    let mut bob = Person::new("bob");
    bob.store = open();
    bob.store.execute_batch(SCHEMA).unwrap();
    let name = group_of(&[&alice, &bob]);
    let lost = alice.send(&name, "never seen");
    for round in 0..3 {
        let text = format!("round {round}");
        assert_eq!(bob.reads(&name, &alice.send(&name, &text)).unwrap().1, text);
        let staged = bob.on(&name, |group| group.update().unwrap());
        bob.store = open();
        bob.merges(&name);
        alice.follows(&name, &staged.commit).unwrap();
        assert!(alice.reads(&name, &bob.send(&name, &text)).is_ok());
        bob.store = open();
    }
    assert!(matches!(bob.reads(&name, &lost), Err(ProcessError::TooOld { .. })));
}

#[test]
fn a_value_of_another_format_is_refused() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    bob.store.execute("UPDATE mls_values SET format = 2", []).unwrap();
    let error = bob.on(&name, |group| group.epoch().unwrap_err());
    assert!(matches!(error, GroupError::Fault(Fault::Storage(StorageError::Format(2)))), "{error}");
}
