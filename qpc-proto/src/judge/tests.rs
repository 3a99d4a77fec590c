//! Each rule once, on groups of made-up devices.

use ed25519_dalek::{Signer, SigningKey};

use super::*;
use crate::{
    chain::ChainValue,
    continuation::Continued,
    id::{ConversationId, ConversationName, DeviceId, Seq},
    transcript, v1,
};

fn device_with(name: &str, number: u8, account: u8) -> VerifiedDevice {
    let account = SigningKey::from_bytes(&[account; 32]);
    let device_key = SigningKey::from_bytes(&[number; 32]).verifying_key().to_bytes();
    let address = Address::parse(&format!("{name}@a.example")).unwrap();
    let (id, account_key) = (DeviceId::new(1, [number; 10]), account.verifying_key().to_bytes());
    let signature = account.sign(&transcript::device_certificate(&address, &account_key, id, &device_key));
    let wire = v1::DeviceCertificate {
        address: address.to_string(),
        account_key: account_key.to_vec().into(),
        device_id: id.to_bytes(),
        device_key: device_key.to_vec().into(),
        signature: signature.to_vec().into(),
    };
    VerifiedDevice::verify(&wire).unwrap()
}

fn device(name: &str, number: u8) -> VerifiedDevice {
    device_with(name, number, name.as_bytes()[0])
}

/// alice, the owner, at leaf 0; bob, an admin, at 1; carol and mallory, plain members, at 2 and 3.
fn group(leaving: &[u32]) -> Group {
    let members = ["alice", "bob", "carol", "mallory"].iter().zip(1_u8..).map(|(name, number)| device(name, number));
    Group::new((0..).zip(members).collect(), roles(), leaving.iter().copied())
}

fn roles() -> RoleTable {
    let mut roles = RoleTable::owned_by(device("alice", 1).address().clone());
    roles.set(device("bob", 2).address().clone(), Role::Admin);
    roles
}

fn commit(author: u32, proposals: &[(Author, Deed)]) -> Commit {
    let proposals = proposals.to_vec();
    Commit { author: Author::Member(author), path: None, proposals, roles: Some(roles()), settings_kept: true }
}

fn own(author: u32, deed: Deed) -> Commit {
    commit(author, &[(Author::Member(author), deed)])
}

fn names(addresses: &[Address]) -> Vec<&str> {
    addresses.iter().map(|address| address.name.as_str()).collect()
}

#[test]
fn accounts_come_with_their_first_device_and_go_with_their_last() {
    let outcome = group(&[]).commit(own(0, Deed::Add(device("dave", 9)))).unwrap();
    assert_eq!(names(&outcome.accounts_added), ["dave"]);
    let outcome = group(&[]).commit(own(2, Deed::Add(device("carol", 9)))).unwrap();
    assert!(outcome.accounts_added.is_empty() && outcome.added == [device("carol", 9)]);
    let outcome = group(&[]).commit(own(1, Deed::Remove(2))).unwrap();
    assert_eq!(names(&outcome.accounts_removed), ["carol"]);
    let leaves = [(Author::Member(2), Deed::Leave)];
    let outcome = group(&[2]).commit(commit(3, &leaves)).unwrap();
    assert!(outcome.removed[0].left && outcome.unheard.is_empty());
    assert_eq!(names(&group(&[2]).commit(commit(3, &[])).unwrap().unheard), ["carol"]);
}

#[test]
fn a_role_bounds_what_its_holder_does() {
    let refused = |author: u32, deed: Deed| match group(&[]).commit(own(author, deed)) {
        Err(Violation::Role { role, action, .. }) => (role, action),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(3, Deed::Add(device("dave", 9))), (Role::Member, Action::Add));
    assert_eq!(refused(3, Deed::Remove(0)), (Role::Member, Action::Remove(Role::Owner)));
    assert_eq!(refused(1, Deed::Remove(0)), (Role::Admin, Action::Remove(Role::Owner)));
    // Who carries out another's proposal does not lend it a role.
    let theirs = commit(0, &[(Author::Member(3), Deed::Remove(2))]);
    assert!(matches!(group(&[]).commit(theirs), Err(Violation::Role { role: Role::Member, .. })));
    assert!(group(&[2]).commit(own(3, Deed::Remove(2))).is_ok(), "who leaves may be removed by anybody");
}

#[test]
fn roles_are_given_by_owners_to_members() {
    let with = |author: u32, change: &dyn Fn(&mut RoleTable)| {
        let mut roles = roles();
        change(&mut roles);
        let commit = Commit { roles: Some(roles), ..own(author, Deed::Settings) };
        group(&[]).commit(commit)
    };
    let mallory = device("mallory", 4).address().clone();
    let made = with(0, &|roles| roles.set(mallory.clone(), Role::Admin)).unwrap();
    assert_eq!(made.roles_changed, [(mallory.clone(), Role::Admin)]);
    let promotion = Violation::Role {
        who: mallory.clone(),
        role: Role::Member,
        action: Action::Promote(Role::Member, Role::Owner),
    };
    assert_eq!(with(3, &|roles| roles.set(mallory.clone(), Role::Owner)), Err(promotion));
    assert_eq!(with(0, &|roles| roles.set(device("zoe", 9).address().clone(), Role::Admin)), Err(Violation::Roles));
    let unreadable = Commit { roles: None, ..own(0, Deed::Settings) };
    assert_eq!(group(&[]).commit(unreadable), Err(Violation::Roles));
    let settings = Commit { settings_kept: false, ..own(0, Deed::Settings) };
    assert_eq!(group(&[]).commit(settings), Err(Violation::Context));
    let borrowed = commit(0, &[(Author::Member(3), Deed::Settings)]);
    assert_eq!(group(&[]).commit(borrowed), Err(Violation::Proposal));
}

#[test]
fn a_leaf_stays_its_devices_and_an_account_has_one_key() {
    let swapped = Commit { path: Some(device("mallory", 9)), ..commit(3, &[]) };
    assert!(matches!(group(&[]).commit(swapped), Err(Violation::Identity(_))));
    let second = device_with("carol", 9, 200);
    assert!(matches!(group(&[]).commit(own(0, Deed::Add(second))), Err(Violation::TwoKeys(_))));
}

#[test]
fn only_further_devices_of_members_join_by_themselves() {
    let join = |device, deed| Commit {
        author: Author::Joiner,
        path: Some(device),
        ..commit(0, &[(Author::Joiner, Deed::Join), (Author::Joiner, deed)])
    };
    let outcome = group(&[]).commit(join(device("carol", 9), Deed::Join)).unwrap();
    assert!(outcome.joined && outcome.accounts_added.is_empty() && outcome.added == [device("carol", 9)]);
    assert!(group(&[]).commit(join(device("carol", 3), Deed::Remove(2))).is_ok());
    for (device, deed) in [(device("dave", 9), Deed::Join), (device("carol", 9), Deed::Remove(3))] {
        assert!(matches!(group(&[]).commit(join(device, deed)), Err(Violation::Stranger(_))));
    }
}

#[test]
fn only_removals_wait_to_be_committed() {
    let group = group(&[]);
    assert_eq!(group.proposal(Author::Member(3), &Deed::Leave), Ok(()));
    assert_eq!(group.proposal(Author::Member(1), &Deed::Remove(2)), Ok(()));
    assert_eq!(group.proposal(Author::Hub, &Deed::Remove(0)), Ok(()));
    assert!(matches!(group.proposal(Author::Member(3), &Deed::Remove(2)), Err(Violation::Role { .. })));
    assert_eq!(group.proposal(Author::Member(0), &Deed::Remove(7)), Err(Violation::NoLeaf));
    assert_eq!(group.proposal(Author::Member(0), &Deed::Add(device("dave", 9))), Err(Violation::Proposal));
    assert_eq!(group.proposal(Author::Hub, &Deed::Leave), Err(Violation::Hub));
    assert_eq!(group.proposal(Author::Other, &Deed::Remove(2)), Err(Violation::Proposal));
}

#[test]
fn any_member_puts_a_device_in_anew_and_no_other_in_its_place() {
    let anew = |device| commit(3, &[(Author::Member(3), Deed::Remove(2)), (Author::Member(3), Deed::Add(device))]);
    let outcome = group(&[]).commit(anew(device("carol", 3))).unwrap();
    assert!(outcome.accounts_added.is_empty() && outcome.accounts_removed.is_empty());
    assert_eq!(outcome.added, [device("carol", 3)]);
    assert_eq!(outcome.removed.len(), 1);
    // Another device, or one of another key: a member may neither add nor remove.
    for other in [device("carol", 9), device_with("carol", 3, 77), device("dave", 3)] {
        assert!(matches!(group(&[]).commit(anew(other)), Err(Violation::Role { .. } | Violation::TwoKeys(_))));
    }
    // Even the owner's, and not by a proposal of somebody else's.
    let owner = [(Author::Member(3), Deed::Remove(0)), (Author::Member(3), Deed::Add(device("alice", 1)))];
    assert!(group(&[]).commit(commit(3, &owner)).is_ok());
    let split = [(Author::Member(2), Deed::Remove(0)), (Author::Member(3), Deed::Add(device("alice", 1)))];
    assert!(matches!(group(&[]).commit(commit(3, &split)), Err(Violation::Role { .. })));
}

#[test]
fn what_a_group_continues_is_said_when_it_is_made_and_never_changed() {
    let domain = crate::address::Domain::parse("b.example").unwrap();
    let conversation = ConversationName { domain, id: ConversationId::new(1, [1; 10]) };
    let one = Continued { chain: ChainValue::genesis(&conversation), seq: Seq(7), conversation };
    let other = Continued { seq: Seq(8), ..one.clone() };
    let of = |continues: Option<&Continued>| {
        let members = [(0, device("alice", 1)), (1, device("bob", 2))].into_iter().collect();
        Group::new(members, roles().continuing(continues.cloned()), [])
    };
    let to = |continues: Option<&Continued>| {
        let roles = Some(roles().continuing(continues.cloned()));
        Commit { roles, ..own(0, Deed::Settings) }
    };
    for said in [None, Some(&one)] {
        assert!(of(said).commit(to(said)).is_ok());
        for changed in [None, Some(&one), Some(&other)].into_iter().filter(|changed| *changed != said) {
            assert_eq!(of(said).commit(to(changed)).err(), Some(Violation::Context), "{said:?} {changed:?}");
        }
    }
}
