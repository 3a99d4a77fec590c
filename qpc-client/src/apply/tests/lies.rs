//! What a hostile hub can do with changes of a group, its members and their key packages, and what comes of it here.

use super::*;
use crate::driver::change::stage;

/// Alice changes the conversation's group: the request with the commit, which waits.
fn changes(log: &Ledger, alice: &mut Desk) -> v1::SubmitCommit {
    let local = alice.conversation(&log.name).local;
    let staged = alice.tx(|tx, me| {
        outbox::remove(tx, outbox::of_conversation(tx, local).unwrap()[0]).unwrap();
        stage(tx, me, local, &(std::sync::Arc::new(|_: &Transaction<'_>, group: &mut Group<'_>| group.update()) as _))
            .unwrap()
            .0
    });
    let request = <v1::Request as prost::Message>::decode(staged.unwrap().request).unwrap();
    let Some(Method::SubmitCommit(submit)) = request.method else { panic!("a commit") };
    submit
}

fn committed(log: &mut Ledger, alice: &mut Desk) -> LogEntry {
    let submit = changes(log, alice);
    let id = MessageId::parse(&submit.message_id).unwrap();
    let commit = submit.commit.unwrap().commit;
    let entry = log.append(EntryKind::Commit, Some(alice.me.identity.device), submit.counter, id, &commit);
    assert!(alarms(&alice.take([item(&entry)]).unwrap()).is_empty());
    entry
}

#[test]
fn a_commit_that_is_left_out_is_noticed() {
    let (mut log, mut alice, mut bob) = met();
    // To bob the hub shows a log of its own making, whose chain holds, without the commit.
    let mut shown = Ledger { name: log.name.clone(), seq: log.seq, chain: log.chain };
    committed(&mut log, &mut alice);
    let after = said(&mut shown, &mut alice, 2, "in the next epoch");
    let applied = bob.take([item(&after)]).unwrap();
    assert!(alarms(&applied)[0].contains("left out a change"), "{:?}", alarms(&applied));
    assert_eq!(applied.gone, [log.name.clone()]);
    assert_eq!(bob.conversation(&log.name).trusted, Trusted::Never);
    assert_eq!(bob.texts(&log.name), Vec::<String>::new());
    // With it, all is well.
    let (mut log, mut alice, mut bob) = met();
    let commit = committed(&mut log, &mut alice);
    let after = said(&mut log, &mut alice, 3, "in the next epoch");
    assert!(alarms(&bob.take([item(&commit), item(&after)]).unwrap()).is_empty());
    assert_eq!(bob.texts(&log.name), ["in the next epoch"]);
}

#[test]
fn a_commit_that_comes_a_second_time_is_not_followed() {
    let (mut log, mut alice, mut bob) = met();
    let commit = committed(&mut log, &mut alice);
    let EntryContent::Body(body) = &commit.content else { panic!("a body") };
    let again = log.append(EntryKind::Commit, commit.sender, 3, fresh::message_id().unwrap(), body);
    let after = said(&mut log, &mut alice, 4, "and on");
    let applied = bob.take([item(&commit), item(&again), item(&after)]).unwrap();
    assert!(alarms(&applied).is_empty(), "of an epoch that has passed: {:?}", alarms(&applied));
    assert_eq!(bob.texts(&log.name), ["and on"]);
}

#[test]
fn entries_in_another_order_are_not_read_and_their_sender_knows() {
    let (mut log, mut alice, mut bob) = met();
    let mut swapped = Ledger { name: log.name.clone(), seq: log.seq, chain: log.chain };
    let local = alice.conversation(&log.name).local;
    let (one, two) = (said(&mut log, &mut alice, 2, "one"), said(&mut log, &mut alice, 3, "two"));
    assert!(matches!(bob.take([item(&two), item(&one)]), Err(ApplyError::Gap)), "the seqs tell");
    // With seqs and a chain of its own making the hub gives them in another order: what it has answered the sender
    // is something else.
    alice.tx(|tx, _| assert!(entry::promise(tx, local, one.seq, &one.chain).unwrap()));
    let body = |entry: &LogEntry| match &entry.content {
        EntryContent::Body(body) => body.clone(),
        EntryContent::Removed(_) => panic!("a body"),
    };
    let first = swapped.append(EntryKind::Message, two.sender, 3, two.id, &body(&two));
    let applied = alice.take([item(&first)]).unwrap();
    assert!(alarms(&applied)[0].contains("rewritten"), "{:?}", alarms(&applied));
}

#[test]
fn a_member_that_nobody_added_is_refused() {
    let (mut log, _, mut bob) = met();
    // Mallory makes a group by the same name, and the hub shows a commit of it, of the epoch in which bob is.
    let mut mallory = Desk::of("mallory");
    let roles = qpc_proto::role::RoleTable::owned_by(mallory.me.address().clone());
    let name = log.name.clone();
    let commit = mallory.tx(|tx, me| {
        me.with_mls(tx, |mls| {
            mls.create_group(&name, Suite::Classical, &roles, None, &[]).unwrap();
            mls.group(&name).update().unwrap();
            mls.group(&name).merge_pending().unwrap();
            mls.group(&name).update().unwrap().commit
        })
    });
    let forged = log.append(EntryKind::Commit, None, 0, fresh::message_id().unwrap(), &commit);
    let applied = bob.take([item(&forged)]).unwrap();
    assert!(
        alarms(&applied)[0].contains("changed it in a way that this device can't follow"),
        "{:?}",
        alarms(&applied)
    );
    assert_eq!(applied.gone, [log.name.clone()]);
    let there = bob.tx(|tx, me| me.with_mls(tx, |mls| members(&mut mls.group(&name)).unwrap()));
    assert!(there.is_empty(), "it has left, and comes back only to where its leaf stands");
}

#[test]
fn a_key_package_of_somebody_else_in_the_place_of_a_contacts_raises_the_alarm() {
    let (mut alice, bob, mut mallory) = (Desk::of("alice"), Desk::of("bob"), Desk::of("mallory"));
    let package = mallory.key_package();
    let (request, applied) = writes_first(&mut alice, &bob, package);
    assert!(request.is_none());
    assert!(alarms(&applied)[0].contains("was presented in place of"), "{:?}", alarms(&applied));
}
