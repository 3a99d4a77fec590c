//! What the roles forbid is neither made nor followed. Members who go round this engine are
//! played by OpenMLS itself.

use openmls::{
    group::{CommitBuilder, Initial, MlsGroup},
    key_packages::KeyPackage,
    messages::group_info::VerifiableGroupInfo,
    prelude::{
        Extension, Extensions, GroupContext, LeafNodeIndex, LeafNodeParameters, MlsMessageBodyIn, MlsMessageIn,
        MlsMessageOut, RatchetTreeIn, UnknownExtension,
        tls_codec::{DeserializeBytes as _, Serialize as _},
    },
};
use openmls_traits::OpenMlsProvider as _;
use qpc_proto::role::{Action, ROLES_EXTENSION, Role};

use super::*;

/// What OpenMLS does with a group, whatever our rules say.
pub(super) fn raw(mls: &Mls<'_>, name: &ConversationName, act: impl FnOnce(&mut MlsGroup) -> MlsMessageOut) -> Vec<u8> {
    let mut group = MlsGroup::load(mls.provider.storage(), &group::group_id(name)).unwrap().unwrap();
    act(&mut group).tls_serialize_detached().unwrap()
}

type Building<'g> = CommitBuilder<'g, Initial, &'g mut MlsGroup>;

fn raw_bundle(
    mls: &Mls<'_>,
    group: &mut MlsGroup,
    plan: impl FnOnce(Building<'_>) -> Building<'_>,
) -> openmls::group::CommitMessageBundle {
    plan(group.commit_builder().force_self_update(true))
        .load_psks(mls.provider.storage())
        .unwrap()
        .build(mls.provider.rand(), mls.provider.crypto(), mls.device.signer(), |_| true)
        .unwrap()
        .stage_commit(&mls.provider)
        .unwrap()
}

/// A commit that nothing has judged.
pub(super) fn raw_commit(
    mls: &Mls<'_>,
    name: &ConversationName,
    plan: impl FnOnce(Building<'_>) -> Building<'_>,
) -> Vec<u8> {
    raw(mls, name, |group| raw_bundle(mls, group, plan).into_commit())
}

/// A welcome that nothing has judged.
pub(super) fn raw_welcome<const N: usize>(mls: &Mls<'_>, name: &ConversationName, adds: [KeyPackage; N]) -> Vec<u8> {
    raw(mls, name, |group| raw_bundle(mls, group, |builder| builder.propose_adds(adds)).into_welcome_msg().unwrap())
}

/// The group context of a group with one extension replaced.
fn context_with(mls: &Mls<'_>, name: &ConversationName, extension: Extension) -> Extensions<GroupContext> {
    let group = MlsGroup::load(mls.provider.storage(), &group::group_id(name)).unwrap().unwrap();
    let mut extensions = group.extensions().clone();
    extensions.add_or_replace(extension).unwrap();
    extensions
}

#[test]
fn what_a_role_does_not_allow_is_not_committed() {
    let [alice, bob, carol, dave] = Person::many(["alice", "bob", "carol", "dave"]);
    let name = group_of(&[&alice, &bob, &carol]);
    let package = dave.key_package();
    let forbidden = |result: Result<Staged, CommitError>| {
        assert!(matches!(result, Err(CommitError::NotAllowed(Violation::Role { .. }))), "{result:?}");
    };
    forbidden(bob.on(&name, |group| group.add(&[dave.invitee(&package)])));
    forbidden(bob.on(&name, |group| group.remove(&[carol.address().clone()])));
    forbidden(bob.on(&name, |group| group.set_role(bob.address(), Role::Owner)));

    let (_, change) = commits(&alice, &[&bob, &carol], &name, |group| group.set_role(bob.address(), Role::Admin));
    assert_eq!(change.roles_changed, [(bob.address().clone(), Role::Admin)]);
    forbidden(bob.on(&name, |group| group.remove(&[alice.address().clone()])));
    forbidden(bob.on(&name, |group| group.set_role(carol.address(), Role::Admin)));
    commits(&bob, &[&alice], &name, |group| group.remove(&[carol.address().clone()]));

    // Who is gone has no role any more.
    commits(&alice, &[], &name, |group| group.remove(&[bob.address().clone()]));
    assert_eq!(alice.on(&name, |group| group.roles().unwrap()), RoleTable::owned_by(alice.address().clone()));
    assert!(matches!(alice.on(&name, |group| group.remove(&[bob.address().clone()])), Err(CommitError::NotMember(_))));
    assert!(matches!(
        alice.on(&name, |group| group.set_role(bob.address(), Role::Admin)),
        Err(CommitError::NotMember(_))
    ));
    assert!(matches!(alice.on(&name, |group| group.set_role(alice.address(), Role::Owner)), Err(CommitError::Nothing)));
}

#[test]
fn an_admin_who_leaves_takes_its_role_along_whoever_commits() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_of(&[&alice, &bob, &carol]);
    commits(&alice, &[&bob, &carol], &name, |group| group.set_role(bob.address(), Role::Admin));
    let leave = bob.on(&name, |group| group.leave().unwrap());
    for person in [&alice, &carol] {
        person.process(&name, EntryKind::Proposal, &leave.bytes).unwrap();
    }
    commits(&carol, &[&alice], &name, |group| group.commit_proposals());
    assert_eq!(alice.on(&name, |group| group.roles().unwrap()), RoleTable::owned_by(alice.address().clone()));
}

#[test]
fn what_a_role_does_not_allow_is_not_followed() {
    let [alice, bob, mallory, friend] = Person::many(["alice", "bob", "mallory", "friend"]);
    let name = group_of(&[&alice, &bob, &mallory]);
    let package = friend.key_package();
    let leaf_of_alice = LeafNodeIndex::new(0);
    let promoted = {
        let mut roles = RoleTable::owned_by(alice.address().clone());
        roles.set(mallory.address().clone(), Role::Admin);
        config::roles_extension(&roles)
    };
    let strangers = {
        let mut roles = RoleTable::owned_by(alice.address().clone());
        roles.set(friend.address().clone(), Role::Admin);
        config::roles_extension(&roles)
    };
    let unreadable = Extension::Unknown(ROLES_EXTENSION, UnknownExtension(b"noise".to_vec()));
    let senders = Extension::ExternalSenders(vec![]);
    let context = |extension: &Extension| {
        mallory.with(|mls| {
            let extensions = context_with(mls, &name, extension.clone());
            let commit =
                raw_commit(mls, &name, |builder| builder.propose_group_context_extensions(extensions).unwrap());
            mls.group(&name).discard_pending().unwrap();
            commit
        })
    };
    let adds = mallory.with(|mls| {
        let (_, key_package) = mls.check_invitee(Suite::Classical, &friend.invitee(&package)).unwrap();
        raw_commit(mls, &name, |builder| builder.propose_adds([key_package]))
    });
    mallory.on(&name, |group| group.discard_pending().unwrap());
    let removes = mallory.with(|mls| raw_commit(mls, &name, |builder| builder.propose_removals([leaf_of_alice])));
    mallory.on(&name, |group| group.discard_pending().unwrap());
    let role = |action| Violation::Role { who: mallory.address().clone(), role: Role::Member, action };
    let cases = [
        (adds, role(Action::Add)),
        (removes, role(Action::Remove(Role::Owner))),
        (context(&promoted), role(Action::Promote(Role::Member, Role::Admin))),
        (context(&strangers), Violation::Roles),
        (context(&unreadable), Violation::Roles),
        (context(&senders), Violation::Context),
    ];
    for (commit, violation) in cases {
        let refused = bob.follows(&name, &commit);
        assert!(matches!(&refused, Err(ProcessError::NotAllowed(found)) if *found == violation), "{refused:?}");
    }
    commits(&alice, &[&bob, &mallory], &name, |group| group.update());
}

#[test]
fn a_proposal_beyond_the_proposers_role_is_not_queued() {
    let [alice, bob, mallory] = Person::many(["alice", "bob", "mallory"]);
    let name = group_of(&[&alice, &bob, &mallory]);
    let remove = mallory.with(|mls| {
        raw(mls, &name, |group| {
            group.propose_remove_member(&mls.provider, mls.device.signer(), LeafNodeIndex::new(1)).unwrap().0
        })
    });
    let refused = alice.process(&name, EntryKind::Proposal, &remove).map(|_| ());
    assert!(matches!(refused, Err(ProcessError::NotAllowed(Violation::Role { .. }))), "{refused:?}");
    let update = mallory.with(|mls| {
        raw(mls, &name, |group| {
            group.propose_self_update(&mls.provider, mls.device.signer(), LeafNodeParameters::default()).unwrap().0
        })
    });
    let refused = alice.process(&name, EntryKind::Proposal, &update).map(|_| ());
    assert!(matches!(refused, Err(ProcessError::NotAllowed(Violation::Proposal))), "{refused:?}");
    assert!(!alice.on(&name, |group| group.has_proposals().unwrap()));
}

#[test]
fn a_removal_that_was_proposed_is_committed_by_somebody_else() {
    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = group_of(&[&alice, &bob, &carol]);
    let remove = alice.with(|mls| {
        raw(mls, &name, |group| {
            group.propose_remove_member(&mls.provider, mls.device.signer(), LeafNodeIndex::new(1)).unwrap().0
        })
    });
    for person in [&bob, &carol] {
        assert!(person.process(&name, EntryKind::Proposal, &remove).is_ok());
    }
    assert!(matches!(bob.on(&name, |group| group.commit_proposals()), Err(CommitError::Leaving)));
    let (_, change) = commits(&carol, &[&alice], &name, |group| group.commit_proposals());
    assert_eq!(names(&change.accounts_removed), ["bob"]);
    assert!(!change.removed[0].left);
}

#[test]
fn every_leaf_says_what_it_can_from_the_first_release_on() {
    let [alice, bob] = Person::many(["alice", "bob"]);
    let name = group_of(&[&alice, &bob]);
    commits(&bob, &[&alice], &name, |group| group.update());
    alice.with(|mls| {
        let group = MlsGroup::load(mls.provider.storage(), &group::group_id(&name)).unwrap().unwrap();
        for leaf in group.members().map(|member| group.public_group().leaf(member.index).unwrap()) {
            let suites: Vec<u16> = leaf.capabilities().ciphersuites().iter().map(|suite| suite.value()).collect();
            assert_eq!(suites, [0x0003, 0x004D]);
            assert_eq!(leaf.capabilities().extensions()[0], ROLES_EXTENSION.into());
            assert_eq!(leaf.capabilities().proposals(), [openmls::prelude::ProposalType::SelfRemove]);
        }
    });
}

#[test]
fn who_may_not_add_may_not_welcome() {
    let [alice, mallory, friend] = Person::many(["alice", "mallory", "friend"]);
    let name = group_of(&[&alice, &mallory]);
    let package = friend.key_package();
    let welcome = mallory.with(|mls| {
        let (_, key_package) = mls.check_invitee(Suite::Classical, &friend.invitee(&package)).unwrap();
        raw_welcome(mls, &name, [key_package])
    });
    let refused = friend.with(|mls| mls.join(&name, &welcome, None));
    assert!(matches!(refused, Err(JoinError::NotAllowed(Violation::Role { .. }))), "{refused:?}");
}

/// A commit by which a device joins by itself.
fn joins_by_itself(who: &Person, (group_info, tree): &(Vec<u8>, Vec<u8>)) -> Vec<u8> {
    who.with(|mls| {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(group_info).unwrap();
        let MlsMessageBodyIn::GroupInfo(info) = message.extract() else { panic!("no group info") };
        let info: VerifiableGroupInfo = info;
        let leaf = LeafNodeParameters::builder().with_capabilities(config::capabilities()).build();
        let (_, bundle) = MlsGroup::external_commit_builder()
            .with_config(config::join())
            .with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact_bytes(tree).unwrap())
            .build_group(&mls.provider, info, mls.device.credential())
            .unwrap()
            .leaf_node_parameters(leaf)
            .load_psks(mls.provider.storage())
            .unwrap()
            .build(mls.provider.rand(), mls.provider.crypto(), mls.device.signer(), |_| true)
            .unwrap()
            .finalize(&mls.provider)
            .unwrap();
        bundle.into_commit().tls_serialize_detached().unwrap()
    })
}

#[test]
fn a_new_device_of_a_member_may_join_by_itself_and_a_stranger_may_not() {
    let [alice, bob, mallory] = Person::many(["alice", "bob", "mallory"]);
    let tablet = Person::with_device("bob", "bob's tablet");
    let ghost = Person::with_account_key("bob", "ghost", &secret("account of the server"));
    let name = group_of(&[&alice, &bob]);
    commits(&alice, &[&bob], &name, |group| group.update());
    let shown = external::shown(&alice, &name);
    let join = |who: &Person| joins_by_itself(who, &shown);
    let refused = alice.follows(&name, &join(&mallory));
    assert!(matches!(refused, Err(ProcessError::NotAllowed(Violation::Stranger(_)))), "{refused:?}");
    let refused = alice.follows(&name, &join(&ghost));
    assert!(matches!(refused, Err(ProcessError::Refused(Refusal::AccountKeyChanged(_)))), "{refused:?}");
    let change = alice.follows(&name, &join(&tablet)).unwrap();
    assert_eq!(&change.committer, tablet.device.verified());
    assert_eq!(change.added, [tablet.device.verified().clone()]);
    assert!(change.accounts_added.is_empty());
}

#[test]
fn the_hub_proposes_removals_and_nothing_else() {
    use openmls::prelude::{ExternalProposal, SenderExtensionIndex};
    use openmls_basic_credential::SignatureKeyPair;
    use openmls_traits::types::SignatureScheme;

    let [alice, bob, carol] = Person::many(["alice", "bob", "carol"]);
    let name = conversation(1);
    let key = secret("the hub");
    let public = key.verifying_key().to_bytes();
    let hub = HubSender { domain: name.domain.clone(), signature_key: public };
    let signer = SignatureKeyPair::from_raw(SignatureScheme::ED25519, key.to_bytes().to_vec(), public.to_vec());
    let packages = [bob.key_package(), carol.key_package()];
    let roles = RoleTable::owned_by(alice.address().clone());
    let staged = alice.with(|mls| {
        let invitees = [bob.invitee(&packages[0]), carol.invitee(&packages[1])];
        mls.create_group(&name, Suite::Classical, &roles, Some(&hub), &invitees).unwrap().staged.unwrap()
    });
    alice.merges(&name);
    for person in [&bob, &carol] {
        person.with(|mls| mls.join(&name, staged.welcome.as_ref().unwrap(), None).unwrap());
    }
    let epoch = alice.on(&name, |group| group.epoch().unwrap());
    let index = SenderExtensionIndex::new(0);
    let id = || group::group_id(&name);
    let remove =
        ExternalProposal::new_remove::<Provider<'_>>(LeafNodeIndex::new(2), id(), epoch.0.into(), &signer, index);
    let remove = remove.unwrap().tls_serialize_detached().unwrap();
    for person in [&alice, &bob] {
        let Processed::Proposal(proposed) = person.process(&name, EntryKind::Proposal, &remove).unwrap() else {
            panic!("not a proposal")
        };
        assert_eq!(proposed.from, Proposer::Hub);
        assert_eq!(proposed.kind, ProposalKind::Remove(carol.device.verified().clone()));
    }
    // A plain member carries it out: what the hub may, it may propose to anybody.
    let (_, change) = commits(&bob, &[&alice], &name, |group| group.commit_proposals());
    assert_eq!(names(&change.accounts_removed), ["carol"]);

    let friend = Person::new("friend");
    let package = friend.key_package();
    let add = alice.with(|mls| {
        let (_, key_package) = mls.check_invitee(Suite::Classical, &friend.invitee(&package)).unwrap();
        let epoch = mls.group(&name).epoch().unwrap();
        let add = ExternalProposal::new_add::<Provider<'_>>(key_package, id(), epoch.0.into(), &signer, index);
        add.unwrap().tls_serialize_detached().unwrap()
    });
    let refused = alice.process(&name, EntryKind::Proposal, &add).map(|_| ());
    assert!(matches!(refused, Err(ProcessError::NotAllowed(Violation::Hub))), "{refused:?}");
}
