//! A commit with nonsense for half of the group: who can't process it reports it, and one commit puts all of them in anew.

use std::time::Instant;

use openmls::{
    group::MlsGroup,
    prelude::{MlsMessageOut, OpenMlsProvider, tls_codec::Serialize as _},
};
use qpc_proto::{
    chain::ChainValue,
    credential::VerifiedDevice,
    id::{Epoch, Seq},
    report::Report,
};

use super::*;

#[path = "../../../../qpc-server/src/group/public/tests/sabotage.rs"]
mod sabotage;

/// Somebody's provider, with cryptography that sends nonsense to some.
struct Hostile<'p, 't> {
    honest: &'p Provider<'t>,
    crypto: sabotage::Crypto,
}

impl<'t> OpenMlsProvider for Hostile<'_, 't> {
    type CryptoProvider = sabotage::Crypto;
    type RandProvider = <Provider<'t> as OpenMlsProvider>::RandProvider;
    type StorageProvider = <Provider<'t> as OpenMlsProvider>::StorageProvider;

    fn storage(&self) -> &Self::StorageProvider {
        self.honest.storage()
    }

    fn crypto(&self) -> &Self::CryptoProvider {
        &self.crypto
    }

    fn rand(&self) -> &Self::RandProvider {
        self.honest.rand()
    }
}

/// A commit of `mallory` that these devices can't process.
fn sabotages(mallory: &Person, name: &ConversationName, victims: &[&VerifiedDevice]) -> Vec<u8> {
    mallory.with(|mls| {
        let hostile = Hostile { honest: &mls.provider, crypto: sabotage::Crypto::default() };
        let mut group = MlsGroup::load(hostile.storage(), &group::group_id(name)).unwrap().unwrap();
        let hit = group.members().filter(|leaf| victims.iter().any(|victim| leaf.signature_key == victim.device_key()));
        hostile.crypto.spoil(hit.map(|leaf| leaf.encryption_key).collect::<Vec<_>>());
        let builder = group.commit_builder().force_self_update(true).load_psks(hostile.storage()).unwrap();
        let built = builder.build(hostile.rand(), hostile.crypto(), mls.device.signer(), |_| true).unwrap();
        let commit: MlsMessageOut = built.stage_commit(&hostile).unwrap().into_commit();
        assert_eq!(hostile.crypto.spoil([]), victims.len(), "each victim is encrypted to by itself");
        commit.tls_serialize_detached().unwrap()
    })
}

/// The commit, the reports and the repair in a group of so many, half of whom are the victims.
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
fn half_of(size: usize) {
    let people: Vec<_> = (0..size).map(|number| Person::new(&format!("person{number}"))).collect();
    let everybody: Vec<_> = people.iter().collect();
    let name = group_of(&everybody);
    let (alice, mallory) = (&people[0], &people[1]);
    let (victims, others) = people[2..].split_at(size / 2);
    let hit: Vec<_> = victims.iter().map(|victim| victim.device.verified()).collect();
    let bad = sabotages(mallory, &name, &hit);
    let at = (Seq(2), ChainValue([5; 32]));
    let mut reports = Vec::new();
    for victim in victims {
        let refused = victim.follows(&name, &bad);
        assert!(matches!(refused, Err(ProcessError::Unprocessable(_))), "{refused:?}");
        let report = victim.with(|mls| mls.report(&name, Suite::Classical, at).unwrap());
        assert_eq!(report.verify(&name, victim.device.verified().device_key()), Ok(()));
        reports.push(Report::decode(report.encode()).unwrap());
        victim.on(&name, |group| group.delete().unwrap());
    }
    for other in others.iter().chain([alice]) {
        other.follows(&name, &bad).unwrap();
    }
    let waiting: Vec<_> =
        victims.iter().zip(&reports).map(|(victim, said)| victim.invitee(&said.key_package)).collect();
    let began = Instant::now();
    let staged = alice.on(&name, |group| group.repair(&waiting, &[mallory.address().clone()]).unwrap());
    let took = began.elapsed();
    alice.merges(&name);
    let welcome = staged.welcome.as_ref().unwrap();
    println!(
        "{size} members, {} of them put in anew by one commit: {took:.0?}, commit {} bytes, welcome {}, each report {}",
        victims.len(),
        staged.commit.len(),
        welcome.len(),
        reports[0].encode().len(),
    );
    assert_eq!(staged.change.accounts_removed, [mallory.address().clone()]);
    assert!(staged.change.accounts_added.is_empty());
    for other in others {
        other.follows(&name, &staged.commit).unwrap();
    }
    let tree = external::shown(alice, &name).1;
    let tree = (!config::carries_tree(Suite::Classical, victims.len(), size - 1)).then_some(tree.as_slice());
    let coming = Coming::Again { after: Epoch(1) };
    for victim in victims {
        victim.with(|mls| mls.join_coming(&name, coming, welcome, tree).unwrap());
    }
    // Two epochs after the one in which all was well, for everybody but who did it.
    let authenticator = alice.authenticator(&name);
    for member in victims.iter().chain(others) {
        assert_eq!(member.on(&name, |group| group.epoch().unwrap()), Epoch(3));
        assert_eq!(member.authenticator(&name), authenticator);
    }
    let text = victims[0].send(&name, "I am back");
    for member in others.iter().chain([alice, &victims[1]]) {
        assert_eq!(member.reads(&name, &text).unwrap().1, "I am back");
    }
}

#[test]
fn half_of_a_group_that_can_not_follow_is_put_in_anew_by_one_commit() {
    half_of(24);
}

#[test]
#[ignore = "a thousand members take minutes: make torture"]
fn five_hundred_of_a_thousand_are_put_in_anew_by_one_commit() {
    half_of(1_000);
}

#[test]
fn a_plain_member_repairs_and_takes_nobody_out() {
    let people = Person::many(["alice", "mallory", "bob", "carol"]);
    let [alice, mallory, bob, carol] = &people;
    let name = group_of(&[alice, mallory, bob, carol]);
    let bad = sabotages(mallory, &name, &[carol.device.verified()]);
    assert!(carol.follows(&name, &bad).is_err());
    let report = carol.with(|mls| mls.report(&name, Suite::Classical, (Seq(2), ChainValue([5; 32]))).unwrap());
    for member in [alice, bob] {
        member.follows(&name, &bad).unwrap();
    }
    let waiting = [carol.invitee(&report.key_package)];
    let staged = bob.on(&name, |group| group.repair(&waiting, &[mallory.address().clone()]).unwrap());
    assert!(staged.change.accounts_removed.is_empty());
    bob.merges(&name);
    alice.follows(&name, &staged.commit).unwrap();
    carol.on(&name, |group| group.delete().unwrap());
    // Bob may not add people: only who was in the group before takes his welcome, in a later epoch.
    let join = |coming| carol.with(|mls| mls.join_coming(&name, coming, staged.welcome.as_ref().unwrap(), None));
    for wrong in [Coming::First, Coming::Again { after: Epoch(3) }] {
        assert!(matches!(join(wrong), Err(JoinError::NotAllowed(Violation::Role { .. }))));
    }
    join(Coming::Again { after: Epoch(1) }).unwrap();
    assert_eq!(carol.authenticator(&name), alice.authenticator(&name));
    // Who is in already, or was never, is passed over, and so is a key package that is none.
    let nobody = Person::new("nobody");
    let package = nobody.key_package();
    let useless = [nobody.invitee(&package), carol.invitee(b"no key package")];
    assert!(matches!(alice.on(&name, |group| group.repair(&useless, &[])), Err(CommitError::Nothing)));
}
