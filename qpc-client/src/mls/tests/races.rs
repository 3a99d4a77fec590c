//! Two commits for one epoch: one wins, the other is made anew.

use super::*;

#[test]
fn the_loser_follows_the_winner_and_tries_again() {
    let [alice, bob, carol, dave] = Person::many(["alice", "bob", "carol", "dave"]);
    let name = group_of(&[&alice, &bob, &carol]);
    commits(&alice, &[&bob, &carol], &name, |group| group.set_role(bob.address(), qpc_proto::role::Role::Admin));
    let package = dave.key_package();
    let lost = alice.on(&name, |group| group.add(&[dave.invitee(&package)]).unwrap());
    let (won, _) = commits(&bob, &[], &name, |group| group.remove(&[carol.address().clone()]));
    assert!(alice.on(&name, |group| group.has_pending_commit().unwrap()));
    alice.follows(&name, &won.commit).unwrap();
    assert!(carol.follows(&name, &won.commit).unwrap().removed_self);
    assert!(!alice.on(&name, |group| group.has_pending_commit().unwrap()));
    assert!(matches!(alice.on(&name, |group| group.merge_pending()), Err(MergeError::NonePending)));
    assert!(matches!(bob.follows(&name, &lost.commit), Err(ProcessError::TooOld { .. })));

    let (staged, _) = commits(&alice, &[&bob], &name, |group| group.add(&[dave.invitee(&package)]));
    dave.with(|mls| mls.join(&name, staged.welcome.as_ref().unwrap(), None).unwrap());
    assert_eq!(dave.authenticator(&name), bob.authenticator(&name));
    // The welcome of the commit that lost opens nothing: its key package is used.
    assert!(dave.with(|mls| mls.join(&name, lost.welcome.as_ref().unwrap(), None)).is_err());
}

#[test]
fn a_leave_survives_a_lost_race() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_of(&[&alice, &bob, &carol]);
    let leave = carol.on(&name, |group| group.leave().unwrap());
    for person in [&alice, &bob] {
        person.process(&name, EntryKind::Proposal, &leave.bytes).unwrap();
    }
    let lost = alice.on(&name, |group| group.commit_proposals().unwrap());
    let (won, _) = commits(&bob, &[], &name, |group| group.commit_proposals());
    assert_ne!(lost.commit, won.commit);
    assert_eq!(names(&alice.follows(&name, &won.commit).unwrap().accounts_removed), ["carol"]);
    assert!(matches!(alice.on(&name, |group| group.commit_proposals()), Err(CommitError::Nothing)));
    assert!(bob.reads(&name, &alice.send(&name, "just us")).is_ok());
}

#[test]
fn our_own_commit_is_applied_when_only_the_log_tells_that_it_won() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let staged = alice.on(&name, |group| group.update().unwrap());
    assert_eq!(alice.follows(&name, &staged.commit).unwrap(), staged.change);
    bob.follows(&name, &staged.commit).unwrap();
    assert!(bob.reads(&name, &alice.send(&name, "hello")).is_ok());
    // And again, after it is applied: nothing to be done.
    assert!(matches!(alice.follows(&name, &staged.commit), Err(ProcessError::TooOld { .. })));
}

#[test]
fn one_commit_waits_at_a_time_and_can_be_dropped() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    let refused = alice.on(&name, |group| group.update().unwrap());
    assert!(matches!(alice.on(&name, |group| group.update()), Err(CommitError::Pending)));
    alice.on(&name, |group| group.discard_pending().unwrap());
    commits(&alice, &[&bob], &name, |group| group.update());
    assert!(bob.follows(&name, &refused.commit).is_err());
}

#[test]
fn two_who_make_the_same_conversation_end_in_one() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let (first, second) = (conversation(1), conversation(2));
    let make = |who: &Person, with: &Person, name: &ConversationName| {
        let package = with.key_package();
        let roles = RoleTable::owned_by(who.address().clone());
        who.with(|mls| {
            mls.create_group(name, Suite::Classical, &roles, None, &[with.invitee(&package)]).unwrap().staged.unwrap()
        })
    };
    let won = make(&alice, &bob, &first);
    make(&bob, &alice, &second);
    alice.merges(&first);
    bob.on(&second, |group| group.delete().unwrap());
    bob.with(|mls| mls.join(&first, won.welcome.as_ref().unwrap(), None).unwrap());
    assert!(alice.reads(&first, &bob.send(&first, "hello")).is_ok());
}
