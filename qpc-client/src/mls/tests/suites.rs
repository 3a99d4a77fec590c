//! Groups of the post-quantum suite live as the others do, and key packages fit groups of their own suite alone.

use qpc_proto::limits::{FRAME_MAX, HANDSHAKE_BODY_MAX};

use super::{
    external::{joins, shown},
    *,
};

#[test]
fn a_post_quantum_group_lives_as_any_other() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_with(Suite::PostQuantum, &[&alice, &bob]);
    for member in [&alice, &bob] {
        assert_eq!(member.on(&name, |group| group.suite().unwrap()), Suite::PostQuantum);
    }
    assert!(bob.reads(&name, &alice.send(&name, "hello")).is_ok());

    let package = carol.key_package_of(Suite::PostQuantum);
    let (staged, _) = commits(&alice, &[&bob], &name, |group| group.add(&[carol.invitee(&package)]));
    let joined = carol.with(|mls| {
        let (welcome, tree) = (staged.welcome.as_ref().unwrap(), shown(&alice, &name).1);
        mls.join(&name, welcome, Some(&tree)).unwrap()
    });
    assert_eq!(joined.suite, Suite::PostQuantum);
    assert!(bob.reads(&name, &carol.send(&name, "hi")).is_ok());
    commits(&bob, &[&alice, &carol], &name, |group| group.update());
    commits(&alice, &[&carol], &name, |group| group.remove(&[bob.address().clone()]));
    assert!(carol.reads(&name, &alice.send(&name, "without bob")).is_ok());
    assert!(bob.reads(&name, &alice.send(&name, "not for bob")).is_err());
}

#[test]
fn a_device_joins_a_post_quantum_group_by_itself() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    let name = group_with(Suite::PostQuantum, &[&alice, &bob]);
    let joining = joins(&tablet, &name, &shown(&alice, &name)).unwrap();
    assert_eq!(joining.joined.suite, Suite::PostQuantum);
    for member in [&alice, &bob] {
        member.follows(&name, &joining.staged.commit).unwrap();
    }
    assert!(alice.reads(&name, &tablet.send(&name, "me too")).is_ok());
    assert!(tablet.reads(&name, &alice.send(&name, "welcome")).is_ok());
}

#[test]
fn a_key_package_of_the_other_suite_is_refused() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let roles = RoleTable::owned_by(alice.address().clone());
    for (suite, other) in [(Suite::PostQuantum, Suite::Classical), (Suite::Classical, Suite::PostQuantum)] {
        let package = bob.key_package_of(other);
        let made = alice.with(|mls| mls.create_group(&conversation(2), suite, &roles, None, &[bob.invitee(&package)]));
        let Err(CreateError::Commit(CommitError::KeyPackage { reason, .. })) = made else { panic!("{made:?}") };
        assert_eq!(reason, "of another suite");
        assert!(!alice.on(&conversation(2), |group| group.exists().unwrap()));
    }
    let name = group_with(Suite::PostQuantum, &[&alice, &bob]);
    let package = carol.key_package();
    let added = alice.on(&name, |group| group.add(&[carol.invitee(&package)]));
    assert!(matches!(added, Err(CommitError::KeyPackage { .. })), "{added:?}");
}

#[test]
fn the_last_resort_of_a_suite_says_which_it_was() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let packages = bob.with(|mls| mls.make_key_packages(Suite::PostQuantum, 0, true).unwrap());
    let roles = RoleTable::owned_by(alice.address().clone());
    let package = packages.last_resort.unwrap();
    assert_eq!(Suite::of_key_package(&package), Some(Suite::PostQuantum));
    let made = alice.with(|mls| {
        mls.create_group(&conversation(1), Suite::PostQuantum, &roles, None, &[bob.invitee(&package)]).unwrap()
    });
    let welcome = made.staged.unwrap().welcome.unwrap();
    alice.merges(&conversation(1));
    let tree = shown(&alice, &conversation(1)).1;
    let joined = bob.with(|mls| mls.join(&conversation(1), &welcome, Some(&tree)).unwrap());
    assert_eq!((joined.suite, joined.last_resort), (Suite::PostQuantum, true));
}

#[test]
fn a_post_quantum_welcome_needs_the_tree_of_its_own_commit() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_with(Suite::PostQuantum, &[&alice, &bob]);
    let before = shown(&alice, &name).1;
    let package = carol.key_package_of(Suite::PostQuantum);
    let (staged, _) = commits(&alice, &[&bob], &name, |group| group.add(&[carol.invitee(&package)]));
    let (welcome, tree) = (staged.welcome.unwrap(), shown(&alice, &name).1);
    // Neither carries it.
    assert!(staged.group_info.len() < 2_500 && welcome.len() < 3_500, "{} {}", staged.group_info.len(), welcome.len());
    commits(&bob, &[&alice], &name, |group| group.update());
    let later = shown(&alice, &name).1;
    for wrong in [None, Some(before.as_slice()), Some(later.as_slice()), Some(b"noise".as_slice())] {
        let refused = carol.with(|mls| mls.join(&name, &welcome, wrong));
        assert!(matches!(refused, Err(JoinError::Invalid(_) | JoinError::Malformed(_))), "{refused:?}");
    }
    carol.with(|mls| mls.join(&name, &welcome, Some(&tree)).unwrap());
}

#[test]
fn a_change_that_no_server_takes_is_none() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let staged = alice.on(&name, |group| group.update().unwrap());
    let (bytes, frame) = (|length| vec![0; length], FRAME_MAX - HANDSHAKE_BODY_MAX);
    let with = |commit, welcome, group_info| Staged {
        commit: bytes(commit),
        welcome: Some(bytes(welcome)),
        group_info: bytes(group_info),
        ..staged.clone()
    };
    assert!(staged.fits() && with(HANDSHAKE_BODY_MAX, 1, 1).fits() && with(1, 1, HANDSHAKE_BODY_MAX).fits());
    for (commit, welcome, group_info) in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
        let over = |part: usize| if part == 1 { HANDSHAKE_BODY_MAX + 1 } else { 10 };
        assert!(!with(over(commit), over(welcome), over(group_info)).fits());
    }
    // Each fits, and together they are longer than a frame.
    assert!(with(HANDSHAKE_BODY_MAX, frame - 2_000, 10).fits());
    assert!(!with(HANDSHAKE_BODY_MAX, frame - 1_000, 10).fits());
}
