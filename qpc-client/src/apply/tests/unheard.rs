//! A leave that a change of the group has overtaken: whoever may remove the member does, whatever comes between.

use std::sync::Arc;

use qpc_proto::role::RoleTable;

use super::*;
use crate::{
    driver::{change::stage, proposals},
    mls::Invitee,
    store::{Local, unheard},
};

/// Alice's group with bob and carol, of which her home follows the log.
fn three() -> (Ledger, [Desk; 3], Local) {
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(Desk::of);
    let name = ConversationName { domain: alice.me.address().domain.clone(), id: fresh::conversation_id().unwrap() };
    let packages = [&mut bob, &mut carol].map(|desk| {
        let made = desk.tx(|tx, me| me.with_mls(tx, |mls| mls.make_key_packages(Suite::Classical, 1, false).unwrap()));
        (desk.me.address().clone(), desk.me.identity.device, made.one_time[0].clone())
    });
    let invited =
        packages.each_ref().map(|(address, device, key_package)| Invitee { address, device: *device, key_package });
    let (local, welcome) = alice.tx(|tx, me| {
        let roles = RoleTable::owned_by(me.address().clone());
        let welcome = me.with_mls(tx, |mls| {
            let made = mls.create_group(&name, Suite::Classical, &roles, None, &invited).unwrap();
            mls.group(&name).merge_pending().unwrap();
            made.staged.unwrap().welcome.unwrap()
        });
        let title = "friends".to_owned();
        let new = New { name: Some(name.clone()), kind: Kind::Group, peer: None, title, state: State::Active };
        (conversation::insert(tx, &new).unwrap(), welcome)
    });
    for desk in [&mut bob, &mut carol] {
        desk.tx(|tx, me| me.with_mls(tx, |mls| mls.join(&name, &welcome, None).map(drop).unwrap()));
    }
    (Ledger::of(name), [alice, bob, carol], local)
}

#[test]
fn who_left_unheard_is_removed_by_whoever_may_even_after_a_restart() {
    let (mut log, [mut alice, mut bob, mut carol], local) = three();
    let name = log.name.clone();
    let change = carol.tx(|tx, me| me.with_mls(tx, |mls| mls.group(&name).update().unwrap()));
    let leave = bob.tx(|tx, me| me.with_mls(tx, |mls| mls.group(&name).leave().unwrap()));
    let id = || fresh::message_id().unwrap();
    let left = log.append(EntryKind::Proposal, Some(bob.me.identity.device), 1, id(), &leave.bytes);
    let overtook = log.append(EntryKind::Commit, Some(carol.me.identity.device), 1, id(), &change.commit);
    assert!(alice.take([item(&left), item(&overtook)]).unwrap().proposals, "somebody has to do something");
    assert_eq!(alice.tx(|tx, me| proposals::due(tx, me).unwrap()).len(), 1);

    alice.reopen();
    let mut due = alice.tx(|tx, me| proposals::due(tx, me).unwrap());
    let (of, _) = due.pop().expect("still to be done");
    assert_eq!((of, due.len()), (local, 0));
    let operation = proposals::operation(&alice.me, local);
    let (staged, _) = alice.tx(|tx, me| stage(tx, me, local, &Arc::clone(&operation)).unwrap());
    let staged = staged.unwrap();
    let request = <v1::Request as prost::Message>::decode(staged.request.clone()).unwrap();
    let Some(Method::SubmitCommit(submit)) = request.method else { panic!("a commit") };
    let commit = submit.commit.unwrap().commit;
    let removal = log.append(EntryKind::Commit, Some(alice.me.identity.device), 1, staged.id, &commit);
    let applied = alice.take([item(&removal)]).unwrap();
    let told = |event: &Event| matches!(event, Event::Message(notice) if notice.body == "bob@a.example left.");
    assert!(applied.events.iter().any(told), "{:?}", applied.events);
    assert!(alice.tx(|tx, me| proposals::due(tx, me).unwrap()).is_empty());
    assert!(alice.tx(|tx, _| unheard::of(tx, local).unwrap()).is_empty());
    let members = alice.tx(|tx, me| me.with_mls(tx, |mls| mls.group(&name).members().unwrap()));
    assert!(members.iter().all(|member| member.device.address() != bob.me.address()) && members.len() == 2);
}

#[test]
fn who_may_not_remove_a_member_leaves_it_to_others() {
    let (_, [mut alice, bob, carol], local) = three();
    let gone = [bob.me.address().clone(), alice.me.address().clone()];
    alice.tx(|tx, _| gone.iter().for_each(|address| unheard::put(tx, local, address).unwrap()));
    // The owner may remove bob, and nobody may remove an owner.
    let due = alice.tx(|tx, me| proposals::due(tx, me).unwrap());
    assert_eq!(due, [(local, proposals::Due::removing([bob.me.address().clone()]))]);
    drop(carol);
}
