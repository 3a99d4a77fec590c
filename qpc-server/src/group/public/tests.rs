//! Real groups, followed: what honest members do is stored, and everything else is refused by the rule that it breaks.

mod hand;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use openmls::prelude::KeyPackage;
use prost::Message as _;
use qpc_proto::{
    address::Domain,
    id::{ConversationId, Epoch},
    judge::Violation,
    role::{Action, Role},
    transcript, v1,
};

use self::hand::{Hand, Plan};
use super::*;
use crate::store::{CommitBundle, GroupChange};

const HUB_KEY: [u8; 32] = [4; 32];

fn key(seed: &str) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(seed.as_bytes()).as_bytes())
}

/// A certificate of a device, as far as `signer` can make one.
fn certificate(name: &str, device: &str, device_key: &str, signer: &str) -> v1::DeviceCertificate {
    let address = Address::parse(&format!("{name}@a.example")).unwrap();
    let id = DeviceId::new(1, blake3::hash(device.as_bytes()).as_bytes()[..10].try_into().unwrap());
    let account_key = key(&format!("account of {name}")).verifying_key().to_bytes();
    let device_key = key(device_key).verifying_key().to_bytes();
    let signed = transcript::device_certificate(&address, &account_key, id, &device_key);
    v1::DeviceCertificate {
        address: address.to_string(),
        account_key: account_key.to_vec().into(),
        device_id: id.to_bytes(),
        device_key: device_key.to_vec().into(),
        signature: key(signer).sign(&signed).to_vec().into(),
    }
}

fn device(name: &str, device: &str) -> Hand {
    let certificate = certificate(name, device, device, &format!("account of {name}"));
    Hand::new(&certificate, &key(device).to_bytes())
}

fn person(name: &str) -> Hand {
    device(name, name)
}

fn caller(hand: &Hand) -> Caller {
    Caller { address: hand.address.clone(), device: hand.device }
}

fn name() -> ConversationName {
    ConversationName { domain: "a.example".parse().unwrap(), id: ConversationId::new(3, [1; 10]) }
}

/// A bundle with the members that it says it adds and removes.
fn bundle(wire: v1::CommitBundle, added: &[&Hand], removed: &[&Hand]) -> CommitBundle {
    CommitBundle {
        epoch: Epoch(wire.epoch),
        commit: wire.commit,
        welcome: wire.welcome,
        welcome_devices: added.iter().map(|hand| hand.device).collect(),
        group_info: wire.group_info,
        added: added.iter().map(|hand| (hand.address.clone(), Role::Member)).collect(),
        removed: removed.iter().map(|hand| hand.address.clone()).collect(),
        asked: Vec::new(),
        judged: None,
    }
}

/// The server's side: a group as it is followed, stored and loaded again with each change.
struct Server {
    crypto: Crypto,
    state: GroupState,
}

impl Server {
    fn founded(owner: &mut Hand) -> Self {
        let crypto = Crypto::new().unwrap();
        let info = owner.found(&name(), &RoleTable::owned_by(owner.address.clone()));
        let group = found(&crypto, owner, &info).unwrap();
        Self { crypto, state: group.state().unwrap() }
    }

    fn group(&self) -> Followed {
        Followed::load(&name(), &self.state).unwrap()
    }

    fn judge(&self, hand: &Hand, bundle: &CommitBundle) -> Result<(), Refused> {
        self.group().judge_commit(&self.crypto, &caller(hand), bundle).map(drop)
    }

    fn keep(&mut self, state: GroupState) {
        let tree = state.tree.or_else(|| self.state.tree.take());
        self.state = GroupState { core: state.core, tree };
    }

    fn store(&mut self, hand: &Hand, bundle: &CommitBundle) -> GroupChange {
        let mut group = self.group();
        let approved = group.judge_commit(&self.crypto, &caller(hand), bundle).unwrap();
        let made = group.apply(approved).unwrap();
        assert_eq!(group.epoch(), bundle.epoch.next());
        self.keep(made.state.clone());
        assert!(group.rules == self.group().rules, "what is kept in memory is what is stored");
        made
    }

    fn judge_proposal(&self, hand: &Hand, body: &[u8], leave: bool) -> Result<(), Refused> {
        self.group().judge_proposal(&self.crypto, &caller(hand), body, leave).map(drop)
    }

    fn queue(&mut self, hand: &Hand, body: &[u8], leave: bool) {
        let mut group = self.group();
        let approved = group.judge_proposal(&self.crypto, &caller(hand), body, leave).unwrap();
        let state = group.queue(approved).unwrap();
        assert!(state.tree.is_none(), "a proposal changes no tree");
        self.keep(state);
    }
}

fn found(crypto: &Crypto, owner: &Hand, info: &[u8]) -> Result<Followed, Refused> {
    let (name, hub): (_, Domain) = (name(), "a.example".parse().unwrap());
    Followed::found(crypto, &caller(owner), &Founding { name: &name, hub: &hub, hub_key: &HUB_KEY }, info)
}

/// alice, the owner, at leaf 0, and bob and mallory at 1 and 2.
fn three() -> (Server, Hand, Hand, Hand) {
    let (mut alice, mut bob, mut mallory) = (person("alice"), person("bob"), person("mallory"));
    let mut server = Server::founded(&mut alice);
    let add = vec![bob.key_package(), mallory.key_package()];
    let made = bundle(alice.commit(Plan { add, ..Plan::default() }), &[&bob, &mallory], &[]);
    server.store(&alice, &made);
    alice.merge();
    bob.join(&made.welcome);
    mallory.join(&made.welcome);
    (server, alice, bob, mallory)
}

#[test]
fn each_device_is_sent_its_own_part_of_a_welcome() {
    let (mut alice, mut bob, mut carol) = (person("alice"), person("bob"), person("carol"));
    let mut server = Server::founded(&mut alice);
    let add = vec![bob.key_package(), carol.key_package()];
    let made = bundle(alice.commit(Plan { add, ..Plan::default() }), &[&bob, &carol], &[]);
    let change = server.store(&alice, &made);
    alice.merge();
    assert_eq!(change.welcomes.len(), 2);
    let devices = [carol.device, bob.device];
    for (hand, other) in [&mut bob, &mut carol].into_iter().zip(devices) {
        let own = |device| change.welcomes.iter().find(|(of, _)| *of == device).map(|(_, welcome)| welcome).unwrap();
        let (mine, theirs) = (own(hand.device), own(other));
        assert!(mine.len() < made.welcome.len() && mine != theirs);
        let secrets = |bytes: &[u8]| parse::welcome(bytes).unwrap().secrets().len();
        assert_eq!((secrets(mine), secrets(&made.welcome)), (1, 2));
        hand.join(mine);
        assert_eq!(hand.authenticator(), alice.authenticator());
    }
    // One alone is sent it as it is.
    let dave = person("dave");
    let made = bundle(alice.commit(adds(&dave)), &[&dave], &[]);
    assert_eq!(server.store(&alice, &made).welcomes, [(dave.device, made.welcome)]);
}

fn adds(hand: &Hand) -> Plan {
    Plan { add: vec![hand.key_package()], ..Plan::default() }
}

fn names(addresses: &[Address]) -> Vec<&str> {
    addresses.iter().map(|address| address.name.as_str()).collect()
}

#[test]
fn a_group_is_followed_through_its_life() {
    let (mut server, mut alice, mut bob, mut mallory) = three();
    // A second device comes, roles change, somebody leaves and somebody is removed.
    let mut tablet = device("bob", "bob's tablet");
    let wire = bob.commit(adds(&tablet));
    let mut second = bundle(wire, &[], &[]);
    second.welcome_devices = vec![tablet.device];
    let made = server.store(&bob, &second);
    assert!(made.added[0].device == tablet.device && made.removed.is_empty());
    bob.merge();
    tablet.join(&second.welcome);
    alice.follow(&second.commit);
    mallory.follow(&second.commit);

    let mut roles = RoleTable::owned_by(alice.address.clone());
    roles.set(bob.address.clone(), Role::Admin);
    let extensions = Some(alice.settings(&roles));
    let promoted = bundle(alice.commit(Plan { extensions, ..Plan::default() }), &[], &[]);
    assert_eq!(server.store(&alice, &promoted).roles, [(bob.address.clone(), Role::Admin)]);
    alice.merge();
    for hand in [&mut bob, &mut tablet, &mut mallory] {
        hand.follow(&promoted.commit);
    }

    let leave = mallory.leave();
    server.queue(&mallory, &leave, true);
    for hand in [&mut alice, &mut bob, &mut tablet] {
        hand.follow(&leave);
    }
    // Who left is not named, because its access has ended; naming it is no lie either.
    let carried = tablet.commit(Plan::default());
    assert_eq!(server.judge(&tablet, &bundle(carried.clone(), &[], &[&mallory])), Ok(()));
    let carried = bundle(carried, &[], &[]);
    assert_eq!(names(&server.store(&tablet, &carried).removed), ["mallory"]);
    tablet.merge();
    alice.follow(&carried.commit);
    bob.follow(&carried.commit);

    let out = bundle(bob.commit(Plan { remove: vec![3], ..Plan::default() }), &[], &[]);
    let made = server.store(&bob, &out);
    assert!(made.removed.is_empty() && made.roles.is_empty(), "bob has another device");
    assert_eq!(*server.group().roles(), roles);
    bob.merge();
    alice.follow(&out.commit);
    assert_eq!(alice.authenticator(), bob.authenticator());
    assert_eq!(server.group().epoch(), Epoch(alice.epoch()));
}

#[test]
fn a_further_device_of_a_member_joins_by_itself_and_nobody_else_does() {
    let (mut server, mut alice, mut bob, _) = three();
    let mut tablet = device("bob", "bob's tablet");
    let joined = bundle(tablet.join_alone(&alice.group_info()), &[], &[]);
    assert_eq!(server.judge(&alice, &joined), Err(Refused::Sender));
    let made = server.store(&tablet, &joined);
    assert!(made.added[0].device == tablet.device && made.removed.is_empty());
    alice.follow(&joined.commit);
    bob.follow(&joined.commit);
    assert_eq!(alice.authenticator(), tablet.authenticator());

    let mut eve = person("eve");
    let stranger = bundle(eve.join_alone(&alice.group_info()), &[], &[]);
    assert_eq!(server.judge(&eve, &stranger), Err(Violation::Stranger(eve.address.clone()).into()));
}

#[test]
fn what_a_role_does_not_allow_is_refused() {
    let (server, alice, _, mut mallory) = three();
    let friend = person("friend");
    let rule =
        |action| Refused::from(Violation::Role { who: caller(&person("mallory")).address, role: Role::Member, action });
    let mut refused = |plan: Plan, added: &[&Hand], removed: &[&Hand]| {
        let bundle = bundle(mallory.commit(plan), added, removed);
        mallory.discard();
        server.judge(&mallory, &bundle).unwrap_err()
    };
    assert_eq!(refused(adds(&friend), &[&friend], &[]), rule(Action::Add));
    let removes = Plan { remove: vec![0], ..Plan::default() };
    assert_eq!(refused(removes, &[], &[&alice]), rule(Action::Remove(Role::Owner)));
    let mut roles = RoleTable::owned_by(alice.address.clone());
    roles.set(caller(&person("mallory")).address, Role::Admin);
    let extensions = Some(alice.settings(&roles));
    let promotion = refused(Plan { extensions, ..Plan::default() }, &[], &[]);
    assert_eq!(promotion, rule(Action::Promote(Role::Member, Role::Admin)));
}

#[test]
fn a_leaf_that_its_account_did_not_sign_is_refused() {
    let (server, mut alice, _, _) = three();
    let ghosts = [
        // Signed by somebody else than its account.
        Hand::new(&certificate("carol", "ghost", "ghost", "account of mallory"), &key("ghost").to_bytes()),
        // Another's certificate on a key of one's own.
        Hand::new(&certificate("carol", "carol", "carol", "account of carol"), &key("foreign").to_bytes()),
    ];
    let refused = ghosts.map(|ghost| {
        let bundle = bundle(alice.commit(adds(&ghost)), &[&ghost], &[]);
        alice.discard();
        server.judge(&alice, &bundle).unwrap_err()
    });
    use qpc_proto::credential::{CertificateError, LeafError};
    assert_eq!(refused[0], LeafError::Certificate(CertificateError::Signature).into());
    assert!(matches!(&refused[1], Refused::Leaf(LeafError::ForeignKey(_))), "{:?}", refused[1]);
}

#[test]
fn a_commit_of_another_device_epoch_group_or_hand_is_refused() {
    let (mut server, mut alice, bob, mut mallory) = three();
    let good = bundle(alice.commit(Plan::default()), &[], &[]);
    assert_eq!(server.judge(&bob, &good), Err(Refused::Sender));
    let mut altered = good.clone();
    let mut commit = altered.commit.to_vec();
    // Inside the signature of the path's leaf or of the message, wherever it ends.
    let middle = commit.len() / 2;
    commit[middle] ^= 1;
    altered.commit = commit.into();
    assert!(matches!(server.judge(&alice, &altered), Err(Refused::Invalid(_) | Refused::Malformed(_))));
    for other in [Bytes::from_static(b"noise"), good.group_info.clone()] {
        let noise = CommitBundle { commit: other, ..good.clone() };
        assert_eq!(server.judge(&alice, &noise), Err(Refused::Malformed("commit")));
    }
    let future = CommitBundle { epoch: Epoch(2), ..good.clone() };
    assert_eq!(server.judge(&alice, &future), Err(Refused::Malformed("commit")));
    server.store(&alice, &good);
    alice.merge();
    assert_eq!(server.judge(&alice, &CommitBundle { epoch: Epoch(2), ..good }), Err(Refused::Malformed("commit")));
    // One that has not followed commits in the epoch that is over.
    let late = bundle(mallory.commit(Plan::default()), &[], &[]);
    assert_eq!(server.judge(&mallory, &late), Err(Refused::Malformed("commit")));
}

#[test]
fn what_comes_with_a_commit_must_be_what_it_does() {
    let (server, mut alice, bob, mut mallory) = three();
    let (carol, dave) = (person("carol"), person("dave"));
    let good = bundle(alice.commit(adds(&carol)), &[&carol], &[]);
    assert_eq!(server.judge(&alice, &good), Ok(()));
    let earlier = alice.group_info();
    let me = caller(&alice);
    let judged = |change: &dyn Fn(&mut CommitBundle)| {
        let mut changed = good.clone();
        change(&mut changed);
        server.group().judge_commit(&server.crypto, &me, &changed).err().unwrap()
    };
    assert_eq!(judged(&|bundle| bundle.added.clear()), Refused::Members);
    assert_eq!(judged(&|bundle| bundle.added.push((dave.address.clone(), Role::Member))), Refused::Members);
    assert_eq!(judged(&|bundle| bundle.added[0].1 = Role::Admin), Refused::Members);
    assert_eq!(judged(&|bundle| bundle.removed.push(bob.address.clone())), Refused::Members);
    assert_eq!(judged(&|bundle| bundle.welcome = Bytes::new()), Refused::Welcome);
    assert_eq!(judged(&|bundle| bundle.welcome_devices.push(dave.device)), Refused::Welcome);
    assert_eq!(judged(&|bundle| bundle.welcome_devices[0] = dave.device), Refused::Welcome);
    assert_eq!(judged(&|bundle| bundle.welcome = bundle.commit.clone()), Refused::Malformed("welcome"));
    assert_eq!(judged(&|bundle| bundle.group_info = earlier.clone()), Refused::Info("of another group, epoch or tree"));
    assert_eq!(judged(&|bundle| bundle.group_info = Bytes::new()), Refused::Malformed("group_info"));
    let last = good.group_info.len() - 1;
    let unsigned = |bundle: &mut CommitBundle| {
        let mut info = bundle.group_info.to_vec();
        info[last] ^= 1;
        bundle.group_info = info.into();
    };
    assert_eq!(judged(&unsigned), Refused::Info("its signature does not hold"));
    alice.discard();
    // A welcome to another key package than the one that was added.
    let other = alice.commit(adds(&carol));
    assert_eq!(judged(&|bundle| bundle.welcome = other.welcome.clone()), Refused::Welcome);
    // A welcome where nobody is added.
    let nobody = bundle(mallory.commit(Plan::default()), &[], &[]);
    let welcomed = CommitBundle { welcome: good.welcome.clone(), ..nobody };
    assert_eq!(server.judge(&mallory, &welcomed), Err(Refused::Welcome));
}

#[test]
fn proposals_that_wait_are_leaves_and_removals_within_a_role() {
    let (mut server, mut alice, mut bob, mut mallory) = three();
    let removes_bob = mallory.propose_removal(1);
    let rule =
        Violation::Role { who: mallory.address.clone(), role: Role::Member, action: Action::Remove(Role::Member) };
    assert_eq!(server.judge_proposal(&mallory, &removes_bob, false), Err(rule.into()));
    let leave = bob.leave();
    assert_eq!(server.judge_proposal(&mallory, &leave, true), Err(Refused::Sender));
    assert_eq!(server.judge_proposal(&bob, &leave, false), Err(Violation::Proposal.into()));
    server.queue(&bob, &leave, true);
    assert_eq!(server.judge_proposal(&bob, &leave, true), Err(Violation::Proposal.into()));
    let removes = alice.propose_removal(2);
    assert_eq!(server.judge_proposal(&alice, &removes, true), Err(Violation::Proposal.into()));
    server.queue(&alice, &removes, false);
    assert_eq!(server.judge_proposal(&alice, &removes, false), Err(Violation::Proposal.into()));
    // A commit that does not know them is taken, and they are void then.
    let (mut tablet, info) = (device("alice", "alice's tablet"), alice.group_info());
    let joined = bundle(tablet.join_alone(&info), &[], &[]);
    assert!(server.store(&tablet, &joined).removed.is_empty());
    assert!(server.group().pending.is_empty());
}

#[test]
fn a_group_begins_with_its_creator_alone_as_owner() {
    let crypto = Crypto::new().unwrap();
    let mut alice = person("alice");
    let owned = RoleTable::owned_by(alice.address.clone());
    let info = alice.found(&name(), &owned);
    assert!(found(&crypto, &alice, &info).is_ok());
    assert_eq!(found(&crypto, &person("bob"), &info).err(), Some(Refused::Sender));
    let mut roles = owned.clone();
    roles.set(person("bob").address, Role::Owner);
    let mut alice = person("alice");
    let others = alice.found(&name(), &roles);
    assert_eq!(found(&crypto, &alice, &others).err(), Some(Violation::Roles.into()));
    let elsewhere = ConversationName { domain: "b.example".parse().unwrap(), ..name() };
    let foreign = person("alice").found(&elsewhere, &owned);
    assert_eq!(found(&crypto, &alice, &foreign).err(), Some(Refused::Info("of another group or suite")));
    let mut altered = info.to_vec();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    assert!(matches!(found(&crypto, &alice, &altered).err(), Some(Refused::Invalid(_))));
    assert!(matches!(found(&crypto, &alice, b"noise").err(), Some(Refused::Malformed(_))));
}

#[test]
fn groups_of_two_suites_are_followed_and_of_no_other() {
    let made = |suite| {
        let crypto = Crypto::new().unwrap();
        let (mut alice, mut bob) = (person("alice"), person("bob"));
        (alice.suite, bob.suite) = (suite, suite);
        let info = alice.found(&name(), &RoleTable::owned_by(alice.address.clone()));
        let group = found(&crypto, &alice, &info)?;
        let mut server = Server { crypto, state: group.state().unwrap() };
        let commit = bundle(alice.adding(&[&bob]), &[&bob], &[]);
        let change = server.store(&alice, &commit);
        alice.merge();
        let tree = server.group().tree().unwrap();
        // Its next one tells what it made of the first, and welcomes nobody.
        let update = bundle(alice.commit(Plan::default()), &[], &[]);
        assert_eq!(server.store(&alice, &update).welcome_tree, None);
        Ok(change.welcome_tree.map(|kept| kept == tree))
    };
    // Of the post-quantum suite the tree is kept for whom it welcomes; the other one's welcomes carry theirs.
    assert_eq!(made(hand::SUITE), Ok(None));
    assert_eq!(made(hand::POST_QUANTUM), Ok(Some(true)));
    let refused = made(openmls::prelude::Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519);
    assert_eq!(refused, Err(Refused::Info("of another group or suite")));
}

#[test]
fn a_state_of_another_format_is_not_misread() {
    let (server, ..) = three();
    let mut core = server.state.core.to_vec();
    core[0] = 2;
    let state = GroupState { core: core.into(), tree: server.state.tree.clone() };
    assert_eq!(Followed::load(&name(), &state).err(), Some(StateError::Format(2)));
    let torn = GroupState { core: server.state.core.clone(), tree: None };
    assert_eq!(Followed::load(&name(), &torn).err(), Some(StateError::Missing));
}

/// What `fuzz/fuzz_targets/handshake.rs` begins with. `QPC_WRITE_FUZZ` makes it anew.
#[test]
fn the_conversation_that_is_fuzzed_is_sound() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/conversation.bin");
    let (mut alice, bob) = (person("alice"), person("bob"));
    if std::env::var_os("QPC_WRITE_FUZZ").is_some() {
        let group_info = alice.found(&name(), &RoleTable::owned_by(alice.address.clone()));
        let commit = Some(alice.adding(&[&bob]));
        let conversation = v1::CreateConversation { group_info, commit, ..Default::default() };
        std::fs::write(path, conversation.encode_to_vec()).unwrap();
    }
    let kept = v1::CreateConversation::decode(std::fs::read(path).unwrap().as_slice()).unwrap();
    let crypto = Crypto::new().unwrap();
    let group = found(&crypto, &alice, &kept.group_info).unwrap();
    let bundle = bundle(kept.commit.unwrap(), &[&bob], &[]);
    assert!(group.judge_commit(&crypto, &caller(&alice), &bundle).is_ok());
}

/// What the state of a large group weighs, for `docs/limits.md`.
#[test]
fn a_leaf_weighs_what_the_documents_say() {
    let mut alice = person("alice");
    let mut server = Server::founded(&mut alice);
    let many: Vec<Hand> = (0..60).map(|number| person(&format!("m{number:02}"))).collect();
    let add: Vec<KeyPackage> = many.iter().map(Hand::key_package).collect();
    let made = bundle(alice.commit(Plan { add, ..Plan::default() }), &many.iter().collect::<Vec<_>>(), &[]);
    server.store(&alice, &made);
    let each = server.state.tree.as_ref().unwrap().len() / 61;
    assert!((300..400).contains(&each), "{each}");
}
