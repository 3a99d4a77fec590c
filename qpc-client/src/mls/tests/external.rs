//! Devices that come into a group by themselves.

use openmls::prelude::tls_codec::Serialize as _;
use openmls_traits::OpenMlsProvider as _;
use qpc_proto::id::Epoch;

use super::*;

/// A group as a server shows it: the group info without a tree, and the tree.
pub(super) fn shown(person: &Person, name: &ConversationName) -> (Vec<u8>, Vec<u8>) {
    person.with(|mls| {
        let mut group = mls.group(name);
        let active = group.active().unwrap();
        let info = active.export_group_info(mls.provider.crypto(), mls.device.signer(), false).unwrap();
        (info.tls_serialize_detached().unwrap(), group.ratchet_tree().unwrap())
    })
}

pub(super) fn joins(
    device: &Person,
    name: &ConversationName,
    shown: &(Vec<u8>, Vec<u8>),
) -> Result<Joining, JoinError> {
    device.with(|mls| mls.join_by_commit(name, Coming::First, &shown.0, &shown.1))
}

#[test]
fn another_device_of_a_member_joins_and_everybody_follows() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    let name = group_of(&[&alice, &bob]);
    let before = alice.send(&name, "before");
    let joining = joins(&tablet, &name, &shown(&alice, &name)).unwrap();
    assert_eq!((joining.staged.welcome.as_ref(), joining.staged.welcome_devices.len()), (None, 0));
    assert_eq!(joining.staged.epoch.next(), joining.joined.epoch);
    assert_eq!(joining.joined.members.len(), 3);
    for member in [&alice, &bob] {
        let change = member.follows(&name, &joining.staged.commit).unwrap();
        assert_eq!(change, joining.staged.change);
        assert_eq!(member.authenticator(&name), tablet.authenticator(&name));
    }
    assert!(tablet.reads(&name, &before).is_err(), "it reads from its commit on");
    let hello = tablet.send(&name, "hello");
    assert_eq!(alice.reads(&name, &hello).unwrap(), ("bob".to_owned(), "hello".to_owned()));
    assert!(tablet.reads(&name, &bob.send(&name, "welcome")).is_ok());
    assert!(matches!(joins(&tablet, &name, &shown(&alice, &name)), Err(JoinError::AlreadyMember)));
    // The group info of its own commit serves the next one.
    let phone = Person::with_device("alice", "alice's phone");
    let tree = shown(&bob, &name).1;
    let next = joins(&phone, &name, &(joining.staged.group_info.clone(), tree)).unwrap();
    assert!(bob.follows(&name, &next.staged.commit).is_ok());
}

#[test]
fn a_commit_to_join_that_lost_is_undone_and_made_anew() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    tablet.crashes.set(true);
    let name = group_of(&[&alice, &bob]);
    let lost = joins(&tablet, &name, &shown(&alice, &name)).unwrap();
    commits(&alice, &[&bob], &name, |group| group.update());
    assert!(matches!(bob.follows(&name, &lost.staged.commit), Err(ProcessError::TooOld { .. })));
    tablet.on(&name, |group| group.delete().unwrap());
    assert_eq!(tablet.rows(None), 0, "nothing is left of it");
    let joining = joins(&tablet, &name, &shown(&alice, &name)).unwrap();
    assert!(bob.follows(&name, &joining.staged.commit).is_ok());
    assert!(bob.reads(&name, &tablet.send(&name, "here I am")).is_ok());
}

#[test]
fn a_device_joins_no_group_with_a_ghost_in_it() {
    for (certificate, signer, expected) in ghosts::ghosts() {
        let [alice, mallory] = Person::many(["alice", "mallory"]);
        let tablet = Person::with_device("mallory", "mallory's tablet");
        // The tablet knows alice's key.
        tablet.pins.judge(alice.device.verified());
        let name = group_of(&[&mallory]);
        mallory.with(|mls| {
            let ghost = ghosts::forge(mls, certificate.clone(), signer);
            rules::raw_commit(mls, &name, |builder| builder.propose_adds([ghost.clone()]));
            let mut group = mls.group(&name);
            group.active().unwrap().merge_pending_commit(&mls.provider).unwrap();
        });
        let refused = joins(&tablet, &name, &shown(&mallory, &name));
        let Err(JoinError::Refused(refusal)) = refused else { panic!("a ghost was let in: {refused:?}") };
        assert!(expected(&refusal), "{refusal}");
        assert_eq!(tablet.rows(None), 0);
    }
}

#[test]
fn a_device_joins_no_group_of_strangers() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_of(&[&bob, &carol]);
    let refused = joins(&alice, &name, &shown(&bob, &name));
    assert!(matches!(refused, Err(JoinError::NotAllowed(Violation::Stranger(_)))), "{refused:?}");
    assert_eq!(alice.rows(None), 0);
    // Another account key makes another account, whatever the name is.
    let false_bob = Person::with_account_key("bob", "bob's tablet", &secret("somebody else"));
    let refused = joins(&false_bob, &name, &shown(&bob, &name));
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn what_is_no_group_is_not_joined() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    let name = group_of(&[&alice, &bob]);
    let (info, tree) = shown(&alice, &name);
    let refused = |name: &ConversationName, info: &[u8], tree: &[u8]| {
        let refused = joins(&tablet, name, &(info.to_vec(), tree.to_vec()));
        assert!(matches!(refused, Err(JoinError::Malformed(_) | JoinError::Invalid(_))), "{refused:?}");
        assert_eq!(tablet.rows(None), 0);
    };
    refused(&conversation(2), &info, &tree);
    refused(&name, b"noise", &tree);
    refused(&name, &info, b"noise");
    refused(&name, &info, &[]);
    refused(&name, &alice.send(&name, "a message"), &tree);
    let (mut forged, mut other) = (info.clone(), tree.clone());
    *forged.last_mut().unwrap() ^= 1;
    refused(&name, &forged, &tree);
    let middle = other.len() / 2;
    other[middle] ^= 1;
    refused(&name, &info, &other);
    // The tree of an earlier epoch.
    commits(&alice, &[&bob], &name, |group| group.update());
    refused(&name, &shown(&alice, &name).0, &tree);
}

/// Gives somebody other epoch secrets than the group's: what they commit next is right in all that a server can check,
/// and nobody can follow it.
fn poison(mallory: &Person, name: &ConversationName) {
    let secrets = |person: &Person| -> Vec<u8> {
        let sql = "SELECT value FROM mls_values WHERE kind = ?1";
        person.store.query_row(sql, [storage::Kind::EpochSecrets as u8], |row| row.get(0)).unwrap()
    };
    // The exporter and the public group stay; those of another group will do.
    let other = Person::new("mallory");
    group_of(&[&other]);
    let changed = mallory.store.execute(
        "UPDATE mls_values SET value = ?1 WHERE kind = ?2",
        rusqlite::params![secrets(&other), storage::Kind::EpochSecrets as u8],
    );
    assert_eq!(changed.unwrap(), 1, "{name}");
}

/// Comes into a group again, after a commit that this device can't follow.
fn comes_again(device: &Person, name: &ConversationName, shown: &(Vec<u8>, Vec<u8>)) -> Result<Joining, JoinError> {
    let after = device.on(name, |group| group.epoch()).unwrap_or(Epoch(0));
    device.on(name, |group| group.delete().unwrap());
    device.with(|mls| mls.join_by_commit(name, Coming::Again { after }, &shown.0, &shown.1))
}

#[test]
fn who_was_shut_out_by_a_commit_comes_back_by_themselves() {
    let [mallory, alice, bob] = Person::many(["mallory", "alice", "bob"]);
    let name = group_of(&[&mallory, &alice, &bob]);
    poison(&mallory, &name);
    let (staged, _) = commits(&mallory, &[], &name, |group| group.update());
    for member in [&alice, &bob] {
        let refused = member.follows(&name, &staged.commit);
        assert!(matches!(refused, Err(ProcessError::Unprocessable(_))), "{refused:?}");
    }
    // Neither has another device in it; each replaces its own leaf.
    let first = comes_again(&alice, &name, &shown(&mallory, &name)).unwrap();
    assert_eq!(first.joined.members.len(), 3);
    assert_eq!((first.staged.change.accounts_added.len(), first.staged.change.accounts_removed.len()), (0, 0));
    let refused = bob.follows(&name, &first.staged.commit);
    assert!(refused.is_err(), "{refused:?}");
    let second = comes_again(&bob, &name, &shown(&alice, &name)).unwrap();
    assert_eq!(alice.follows(&name, &second.staged.commit).unwrap(), second.staged.change);
    assert_eq!(alice.reads(&name, &bob.send(&name, "back")).unwrap(), ("bob".to_owned(), "back".to_owned()));
    assert_eq!(bob.reads(&name, &alice.send(&name, "me too")).unwrap(), ("alice".to_owned(), "me too".to_owned()));
}

#[test]
fn a_device_comes_again_only_where_its_leaf_stands() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_of(&[&alice, &bob, &carol]);
    let (removal, _) = commits(&alice, &[&bob], &name, |group| group.remove(&[carol.address().clone()]));
    assert!(carol.follows(&name, &removal.commit).unwrap().removed_self);
    let refused = comes_again(&carol, &name, &shown(&alice, &name));
    assert!(matches!(refused, Err(JoinError::NotAllowed(Violation::Stranger(_)))), "{refused:?}");
    assert_eq!(carol.rows(Some(storage::Kind::Tree)), 0);
}

#[test]
fn a_device_comes_again_only_into_a_later_epoch() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_of(&[&alice, &bob, &carol]);
    // With carol, who is removed then: the server shows it once more.
    let before = shown(&alice, &name);
    commits(&alice, &[&bob], &name, |group| group.remove(&[carol.address().clone()]));
    let after = bob.on(&name, |group| group.epoch().unwrap());
    let now = shown(&alice, &name);
    bob.on(&name, |group| group.delete().unwrap());
    for outdated in [&before, &now] {
        let refused = bob.with(|mls| mls.join_by_commit(&name, Coming::Again { after }, &outdated.0, &outdated.1));
        assert!(matches!(refused, Err(JoinError::Outdated)), "{refused:?}");
    }
    commits(&alice, &[], &name, |group| group.update());
    let shown = shown(&alice, &name);
    assert!(bob.with(|mls| mls.join_by_commit(&name, Coming::Again { after }, &shown.0, &shown.1)).is_ok());
}

#[test]
fn a_wrong_external_key_shuts_nobody_out_for_long() {
    let [mallory, alice, bob] = Person::many(["mallory", "alice", "bob"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    let name = group_of(&[&mallory, &alice, &bob]);
    // Mallory shows the group with an external key of his own: by it the tablet comes into an epoch that nobody else knows.
    poison(&mallory, &name);
    let alone = joins(&tablet, &name, &shown(&mallory, &name)).unwrap();
    for member in [&alice, &bob] {
        let refused = member.follows(&name, &alone.staged.commit);
        assert!(matches!(refused, Err(ProcessError::Unprocessable(_))), "{refused:?}");
    }
    // Its own group info is right.
    let alices = comes_again(&alice, &name, &shown(&tablet, &name)).unwrap();
    tablet.follows(&name, &alices.staged.commit).unwrap();
    let bobs = comes_again(&bob, &name, &shown(&tablet, &name)).unwrap();
    for member in [&tablet, &alice] {
        member.follows(&name, &bobs.staged.commit).unwrap();
    }
    let hello = bob.send(&name, "all here");
    assert!(alice.reads(&name, &hello).is_ok() && tablet.reads(&name, &hello).is_ok());
}
