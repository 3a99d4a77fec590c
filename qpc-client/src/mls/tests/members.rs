//! Who comes and who goes.

use super::*;

#[test]
fn members_are_added_and_removed() {
    let [alice, bob, carol, dave] = Person::many(["alice", "bob", "carol", "dave"]);
    let name = group_of(&[&alice, &bob]);
    let before = alice.send(&name, "before carol");

    let package = carol.key_package();
    let (staged, change) = commits(&alice, &[&bob], &name, |group| group.add(&[carol.invitee(&package)]));
    assert_eq!(names(&change.accounts_added), ["carol"]);
    assert_eq!(staged.welcome_devices, [carol.device.verified().device()]);
    let joined = carol.with(|mls| mls.join(&name, staged.welcome.as_ref().unwrap(), None).unwrap());
    assert_eq!(joined.inviter.address(), alice.address());
    assert_eq!(joined.members.len(), 3);
    assert!(!joined.last_resort);
    assert_eq!(joined.epoch, change.epoch);
    assert!(carol.reads(&name, &before).is_err());
    let hello = carol.send(&name, "hello");
    assert!(alice.reads(&name, &hello).is_ok() && bob.reads(&name, &hello).is_ok());

    let (staged, change) = commits(&alice, &[&carol], &name, |group| group.remove(&[bob.address().clone()]));
    assert_eq!(names(&change.accounts_removed), ["bob"]);
    assert!(!change.removed[0].left);
    assert_eq!(staged.to_wire().removed, ["bob@a.example"]);
    assert_eq!(alice.sees(&name), ["alice", "carol"]);
    let seen = bob.follows(&name, &staged.commit).unwrap();
    assert!(seen.removed_self);
    let secret = alice.send(&name, "without bob");
    assert!(matches!(bob.reads(&name, &secret), Err(ProcessError::Group(GroupError::Removed))));
    assert!(carol.reads(&name, &secret).is_ok());

    // And back again, on the same device.
    let (package, other) = (bob.key_package(), dave.key_package());
    let (staged, _) =
        commits(&alice, &[&carol], &name, |group| group.add(&[bob.invitee(&package), dave.invitee(&other)]));
    let welcome = staged.welcome.unwrap();
    bob.with(|mls| mls.join(&name, &welcome, None).unwrap());
    dave.with(|mls| mls.join(&name, &welcome, None).unwrap());
    assert!(bob.reads(&name, &dave.send(&name, "hi")).is_ok());
}

#[test]
fn who_leaves_is_committed_by_any_member_with_all_its_devices() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    let name = group_of(&[&alice, &bob, &tablet, &carol]);
    let leave = bob.on(&name, |group| group.leave().unwrap());
    // It is the server's word that counts: until then bob goes on as if nothing had been.
    assert!(!bob.on(&name, |group| group.has_proposals().unwrap()));
    assert!(carol.reads(&name, &bob.send(&name, "still here")).is_ok());

    for person in [&alice, &carol, &bob, &tablet] {
        let Processed::Proposal(proposed) = person.process(&name, EntryKind::Proposal, &leave.bytes).unwrap() else {
            panic!("not a proposal")
        };
        assert_eq!(proposed.kind, ProposalKind::Leave);
        assert_eq!(proposed.from == Proposer::Own, std::ptr::eq(person, &bob));
        assert!(matches!(person.process(&name, EntryKind::Proposal, &leave.bytes), Err(ProcessError::Replayed)));
    }
    assert!(matches!(carol.on(&name, |g| g.encrypt(message_id(""), b"")), Err(EncryptError::ProposalsPending)));
    assert!(matches!(tablet.on(&name, |group| group.update()), Err(CommitError::Leaving)));

    let (staged, change) = commits(&carol, &[&alice], &name, |group| group.commit_proposals());
    assert_eq!(names(&change.accounts_removed), ["bob"]);
    assert!(change.removed.len() == 2 && change.removed.iter().all(|gone| gone.left));
    assert!(staged.to_wire().removed.is_empty());
    for device in [&bob, &tablet] {
        assert!(device.follows(&name, &staged.commit).unwrap().removed_self);
    }
    assert!(alice.reads(&name, &carol.send(&name, "bye bob")).is_ok());
    // The queue of proposals is not kept in the store beyond its epoch.
    assert_eq!(alice.rows(Some(storage::Kind::QueuedProposal)), 0);
}

#[test]
fn a_leave_that_a_commit_has_overtaken_is_named() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_of(&[&alice, &bob, &carol]);
    let staged = alice.on(&name, |group| group.update().unwrap());
    let leave = bob.on(&name, |group| group.leave().unwrap());
    for person in [&alice, &carol] {
        person.process(&name, EntryKind::Proposal, &leave.bytes).unwrap();
    }
    assert_eq!(names(&carol.follows(&name, &staged.commit).unwrap().unheard), ["bob"]);
    assert_eq!(names(&alice.merges(&name).unheard), ["bob"]);
    commits(&alice, &[&carol], &name, |group| group.remove(&[bob.address().clone()]));
}

#[test]
fn the_only_owner_does_not_leave_a_group_to_itself() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    assert!(matches!(alice.on(&name, |group| group.leave()), Err(CommitError::LastOwner)));
    assert!(bob.on(&name, |group| group.leave()).is_ok());
    commits(&alice, &[&bob], &name, |group| group.set_role(bob.address(), qpc_proto::role::Role::Owner));
    assert!(alice.on(&name, |group| group.leave()).is_ok());
    // Another owner who is about to leave is none who stays.
    let leave = bob.on(&name, |group| group.leave().unwrap());
    alice.process(&name, EntryKind::Proposal, &leave.bytes).unwrap();
    assert!(alice.on(&name, |group| group.leave()).is_ok(), "nobody else stays");
    commits(&alice, &[], &name, |group| group.commit_proposals());
    assert!(alice.on(&name, |group| group.leave()).is_ok(), "alone in it");
}

#[test]
fn a_device_of_ones_own_is_added_and_removed_by_anybody() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    let name = group_of(&[&alice, &bob]);
    let package = tablet.key_package();
    let (staged, change) = commits(&bob, &[&alice], &name, |group| group.add(&[tablet.invitee(&package)]));
    assert!(change.accounts_added.is_empty() && staged.to_wire().added.is_empty());
    tablet.with(|mls| mls.join(&name, staged.welcome.as_ref().unwrap(), None).unwrap());
    assert!(alice.reads(&name, &tablet.send(&name, "from my tablet")).is_ok());
    let gone = tablet.device.verified().device();
    let (_, change) = commits(&bob, &[&alice], &name, |group| group.remove_devices(&[gone]));
    assert!(change.accounts_removed.is_empty() && change.removed.len() == 1);
}

#[test]
fn the_last_resort_key_package_is_used_again_and_a_one_time_one_is_not() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let packages = bob.with(|mls| mls.make_key_packages(Suite::Classical, 1, true).unwrap());
    let (once, last_resort) = (&packages.one_time[0], packages.last_resort.as_ref().unwrap());
    let invite = |who: &Person, name: &ConversationName, package: &[u8]| {
        let roles = RoleTable::owned_by(who.address().clone());
        who.with(|mls| {
            mls.create_group(name, Suite::Classical, &roles, None, &[bob.invitee(package)])
                .unwrap()
                .staged
                .unwrap()
                .welcome
                .unwrap()
        })
    };
    for (n, who) in [&alice, &carol].into_iter().enumerate() {
        let name = conversation(u8::try_from(n).unwrap() + 10);
        let welcome = invite(who, &name, last_resort);
        assert!(bob.with(|mls| mls.join(&name, &welcome, None).unwrap()).last_resort);
    }
    let (first, second) = (conversation(20), conversation(21));
    let welcome = invite(&alice, &first, once);
    assert!(!bob.with(|mls| mls.join(&first, &welcome, None).unwrap()).last_resort);
    let again = invite(&carol, &second, once);
    assert!(matches!(bob.with(|mls| mls.join(&second, &again, None)), Err(JoinError::NoKeyPackage)));
}

#[test]
fn a_welcome_is_to_its_conversation_and_counts_once() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let (name, other) = (conversation(1), conversation(2));
    let package = bob.key_package();
    let roles = RoleTable::owned_by(alice.address().clone());
    let staged = alice.with(|mls| {
        mls.create_group(&name, Suite::Classical, &roles, None, &[bob.invitee(&package)]).unwrap().staged.unwrap()
    });
    let welcome = staged.welcome.unwrap();
    assert!(matches!(bob.with(|mls| mls.join(&other, &welcome, None)), Err(JoinError::Malformed(_))));
    assert!(matches!(bob.with(|mls| mls.join(&name, &staged.commit, None)), Err(JoinError::Malformed(_))));
    // The refusals have not used the key package up.
    bob.with(|mls| mls.join(&name, &welcome, None).unwrap());
    assert!(matches!(bob.with(|mls| mls.join(&name, &welcome, None)), Err(JoinError::AlreadyMember)));
    assert!(matches!(
        alice.with(|mls| mls.create_group(&name, Suite::Classical, &roles, None, &[])),
        Err(CreateError::Exists)
    ));
}

#[test]
fn a_deleted_group_leaves_nothing() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    bob.reads(&name, &alice.send(&name, "hello")).unwrap();
    commits(&bob, &[&alice], &name, |group| group.update());
    for person in [&alice, &bob] {
        person.on(&name, |group| group.delete().unwrap());
        assert_eq!(person.rows(None), 0);
        assert!(!person.on(&name, |group| group.exists().unwrap()));
    }
}

#[test]
fn old_key_packages_are_forgotten_and_the_newest_kept() {
    let bob = Person::new("bob");
    bob.with(|mls| mls.make_key_packages(Suite::Classical, 5, true).unwrap());
    assert_eq!(bob.with(|mls| mls.forget_key_packages(0, 0).unwrap()), 0);
    assert_eq!(bob.with(|mls| mls.forget_key_packages(u64::MAX, 2).unwrap()), 4);
    assert_eq!(bob.rows(Some(storage::Kind::KeyPackage)), 2);
}
