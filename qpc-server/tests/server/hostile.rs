//! What a hostile member shows to a server that follows the group: each attempt is refused by a code of its own, and
//! the group goes on.

use bytes::Bytes;
use qpc_proto::{
    address::Domain,
    chain::ChainValue,
    continuation::Continued,
    error::Code,
    id::{ConversationId, ConversationName, Seq},
    role::{Role, RoleTable},
    v1::{self, answer, request::Method},
};
use qpc_server::{
    clock::{Clock, SystemClock},
    metrics::labels::Limit,
    policy::limits::Rate,
    rng::{self, SystemRng},
};

use crate::{
    edge::{Guest, House, message_id},
    hand::{Hand, Plan},
    person::{Device, Person, domain},
    wire::code,
};

/// Somebody in the group: a connection, what its device does in MLS, and its last counter.
struct Member {
    guest: Guest,
    hand: Hand,
    counter: u64,
}

impl Member {
    fn of(guest: Guest) -> Self {
        Self { hand: guest.hand(), guest, counter: 0 }
    }

    fn address(&self) -> String {
        self.guest.person.address().to_string()
    }

    /// Shows a bundle under its next counter.
    async fn shows(&mut self, name: &ConversationName, bundle: &v1::CommitBundle) -> Result<(), Code> {
        let request = v1::SubmitCommit {
            conversation: Some(name.to_wire()),
            message_id: message_id(),
            counter: self.counter + 1,
            commit: Some(bundle.clone()),
        };
        self.stored(Method::SubmitCommit(request)).await
    }

    /// Shows a proposal under its next counter.
    async fn proposes(&mut self, name: &ConversationName, body: Bytes, leave: bool) -> Result<(), Code> {
        let request = v1::Send {
            conversation: Some(name.to_wire()),
            message_id: message_id(),
            counter: self.counter + 1,
            epoch: self.hand.epoch(),
            kind: v1::EntryKind::Proposal.into(),
            body,
            leave,
        };
        self.stored(Method::Send(request)).await
    }

    async fn stored(&mut self, request: Method) -> Result<(), Code> {
        let answer = self.guest.wire.call(request).await;
        match code(&answer) {
            Some(code) => Err(code),
            None => {
                self.counter += 1;
                Ok(())
            }
        }
    }
}

/// A group of alice, its owner, at leaf 0, and bob and mallory at 1 and 2; carol is a contact of alice and of mallory.
struct Scene {
    house: House,
    name: ConversationName,
    alice: Member,
    bob: Member,
    mallory: Member,
    carol: Member,
}

fn name() -> ConversationName {
    ConversationName { domain: domain(), id: ConversationId::new(SystemClock.unix_ms(), rng::bytes(&SystemRng)) }
}

async fn creates(creator: &mut Member, others: &mut [&mut Member], peer: &str) -> ConversationName {
    let name = name();
    let group_info = creator.hand.found(&name, &RoleTable::owned_by(creator.guest.person.address()));
    let hands: Vec<&Hand> = others.iter().map(|other| &other.hand).collect();
    let commit = creator.hand.adding(&hands);
    let welcome = commit.welcome.clone();
    let kind = if peer.is_empty() { v1::ConversationKind::Group } else { v1::ConversationKind::Direct };
    let create = v1::CreateConversation {
        conversation: Some(name.to_wire()),
        kind: kind.into(),
        peer: peer.into(),
        message_id: message_id(),
        commit: Some(commit),
        group_info,
        again: false,
    };
    let answer = creator.guest.wire.call(Method::CreateConversation(create)).await;
    assert!(matches!(answer, answer::Result::CreateConversation(_)), "{answer:?}");
    creator.hand.merge();
    for other in others {
        other.hand.join(&welcome);
    }
    name
}

/// The other accepts what one asks.
async fn befriend(one: &Guest, other: &Guest) {
    let (mut asks, mut asked) = (Member::of(one.clone()), Member::of(other.clone()));
    let address = asked.address();
    creates(&mut asks, &mut [&mut asked], &address).await;
    let accept = v1::AnswerContact { address: asks.address(), answer: v1::ContactAnswer::Accept.into() };
    let answer = other.wire.call(Method::AnswerContact(accept)).await;
    assert!(matches!(answer, answer::Result::AnswerContact(_)), "{answer:?}");
}

impl Scene {
    async fn new() -> Self {
        let house = House::new().await;
        let mut guests = Vec::new();
        for name in ["alice", "bob", "mallory", "carol"] {
            guests.push(house.register(name).await);
        }
        let [alice, bob, mallory, carol] = guests.try_into().ok().unwrap();
        for (one, other) in [(&alice, &bob), (&alice, &mallory), (&alice, &carol), (&mallory, &carol)] {
            befriend(one, other).await;
        }
        let [mut alice, mut bob, mut mallory, carol] = [alice, bob, mallory, carol].map(Member::of);
        let name = creates(&mut alice, &mut [&mut bob, &mut mallory], "").await;
        alice.counter = 1;
        Self { house, name, alice, bob, mallory, carol }
    }

    /// mallory makes a commit, and shows it after it was altered.
    async fn mallory(&mut self, plan: Plan, alter: impl FnOnce(&mut v1::CommitBundle)) -> Result<(), Code> {
        let mut bundle = self.mallory.hand.commit(plan);
        self.mallory.hand.discard();
        alter(&mut bundle);
        self.mallory.shows(&self.name, &bundle).await
    }

    /// alice adds somebody, or says so.
    async fn alice_adds(&mut self, hand: &Hand, alter: impl FnOnce(&mut v1::CommitBundle)) -> Result<(), Code> {
        let mut bundle = self.alice.hand.adding(&[hand]);
        self.alice.hand.discard();
        alter(&mut bundle);
        self.alice.shows(&self.name, &bundle).await
    }

    /// Everybody is in one epoch, and the next commit of each is stored and followed.
    async fn goes_on(mut self) {
        for turn in 0..3 {
            let members = [&mut self.alice, &mut self.bob, &mut self.mallory];
            let mut committed = None;
            for (at, member) in members.into_iter().enumerate() {
                if at == turn {
                    let bundle = member.hand.commit(Plan::default());
                    assert_eq!(member.shows(&self.name, &bundle).await, Ok(()));
                    member.hand.merge();
                    committed = Some(bundle.commit);
                }
            }
            let commit = committed.unwrap();
            let members = [&mut self.alice, &mut self.bob, &mut self.mallory];
            for (at, member) in members.into_iter().enumerate() {
                if at != turn {
                    member.hand.follow(&commit);
                }
            }
            assert_eq!(self.alice.hand.authenticator(), self.mallory.hand.authenticator());
        }
        self.house.assert_sound();
    }
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

#[tokio::test]
async fn a_hostile_bundle_is_refused_by_the_rule_that_it_breaks_and_the_group_goes_on() {
    let mut scene = Scene::new().await;
    let (alice, bob) = (scene.alice.address(), scene.bob.address());
    let carol = Hand::new(
        &scene.carol.guest.person.certify(&scene.carol.guest.device),
        &scene.carol.guest.device.key.to_bytes(),
    );
    let carols = |bundle: &mut v1::CommitBundle| {
        bundle.welcome_devices = vec![carol.device.to_bytes()];
        bundle.added = vec![v1::Member { address: carol.address.to_string(), role: v1::Role::Member.into() }];
    };
    let plain = Plan::default;
    let promotion = {
        let mut roles = RoleTable::owned_by(scene.alice.guest.person.address());
        roles.set(scene.mallory.guest.person.address(), Role::Owner);
        Plan { extensions: Some(scene.mallory.hand.settings(&roles)), ..Plan::default() }
    };
    let strangers = {
        let mut roles = RoleTable::owned_by(scene.alice.guest.person.address());
        roles.set(carol.address.clone(), Role::Admin);
        Plan { extensions: Some(scene.mallory.hand.settings(&roles)), ..Plan::default() }
    };

    let bad_signature = |bundle: &mut v1::CommitBundle| {
        // Behind the signature stand the confirmation and the membership tag, 33 bytes each.
        let at = bundle.commit.len() - 2 * 33 - 10;
        bundle.commit = flipped(&bundle.commit, at);
    };
    assert_eq!(scene.mallory(plain(), bad_signature).await, Err(Code::HandshakeInvalid));
    let noise = |bundle: &mut v1::CommitBundle| bundle.commit = Bytes::from_static(b"noise");
    assert_eq!(scene.mallory(plain(), noise).await, Err(Code::HandshakeMalformed));
    for epoch in [0, 2] {
        assert_eq!(scene.mallory(plain(), |bundle| bundle.epoch = epoch).await, Err(Code::WrongEpoch));
    }
    let adds_carol = Plan { add: vec![carol.key_package()], ..Plan::default() };
    assert_eq!(scene.mallory(adds_carol, carols).await, Err(Code::AddForbidden));
    let removes_alice = Plan { remove: vec![0], ..Plan::default() };
    assert_eq!(scene.mallory(removes_alice, |bundle| bundle.removed = vec![alice]).await, Err(Code::RemoveForbidden));
    assert_eq!(scene.mallory(promotion, |_| ()).await, Err(Code::PromoteForbidden));
    assert_eq!(scene.mallory(strangers, |_| ()).await, Err(Code::SettingsForbidden));

    // What comes with a commit.
    assert_eq!(scene.mallory(plain(), |bundle| bundle.removed = vec![bob.clone()]).await, Err(Code::MembershipDiffers));
    let info = scene.alice.hand.group_info();
    assert_eq!(scene.mallory(plain(), |bundle| bundle.group_info = info).await, Err(Code::GroupInfoDiffers));
    let without_commit = |bundle: &mut v1::CommitBundle| bundle.commit = Bytes::new();
    assert_eq!(scene.alice_adds(&carol, without_commit).await, Err(Code::Malformed));
    let welcomed = |bundle: &mut v1::CommitBundle| bundle.welcome_devices = vec![scene_device()];
    assert_eq!(scene.alice_adds(&carol, welcomed).await, Err(Code::WelcomeDiffers));
    assert_eq!(scene.alice_adds(&carol, |bundle| bundle.added.clear()).await, Err(Code::MembershipDiffers));

    // Whom a commit brings in.
    let person = scene.carol.guest.person.clone();
    let ghost = Device::new();
    let unsigned = Person { account: scene.mallory.guest.person.account.clone(), ..person.clone() }.certify(&ghost);
    let mut unsigned_hand = unsigned.clone();
    unsigned_hand.account_key = person.certify(&ghost).account_key;
    let unsigned_hand = Hand::new(&unsigned_hand, &ghost.key.to_bytes());
    assert_eq!(scene.alice_adds(&unsigned_hand, |_| ()).await, Err(Code::LeafUnsigned));
    let foreign = Hand::new(&person.certify(&scene.carol.guest.device), &ghost.key.to_bytes());
    assert_eq!(scene.alice_adds(&foreign, |_| ()).await, Err(Code::LeafForeign));
    let unknown = Hand::new(&person.certify(&ghost), &ghost.key.to_bytes());
    assert_eq!(scene.alice_adds(&unknown, |_| ()).await, Err(Code::DeviceNotEnrolled));
    let another_account = Hand::new(&unsigned, &ghost.key.to_bytes());
    assert_eq!(scene.alice_adds(&another_account, |_| ()).await, Err(Code::DeviceNotEnrolled));
    let bobs = Person { account: scene.mallory.guest.person.account.clone(), ..scene.bob.guest.person.clone() };
    let second_key = Hand::new(&bobs.certify(&ghost), &ghost.key.to_bytes());
    assert_eq!(scene.alice_adds(&second_key, |bundle| bundle.added.clear()).await, Err(Code::TwoAccountKeys));

    // Another's commit, and somebody who was never asked.
    let bobs = scene.bob.hand.commit(Plan::default());
    scene.bob.hand.discard();
    assert_eq!(scene.mallory.shows(&scene.name, &bobs).await, Err(Code::HandshakeSender));
    let stranger = scene.carol.hand.join_alone(&scene.alice.hand.group_info());
    let name = scene.name.clone();
    assert_eq!(scene.carol.shows(&name, &stranger).await, Err(Code::NotFound));

    // Proposals.
    let removal = scene.mallory.hand.propose_removal(1);
    assert_eq!(scene.mallory.proposes(&name, removal, false).await, Err(Code::RemoveForbidden));
    let leave = scene.bob.hand.leave();
    assert_eq!(scene.bob.proposes(&name, leave, false).await, Err(Code::ProposalForbidden));
    let noise = Bytes::from_static(b"noise");
    assert_eq!(scene.bob.proposes(&name, noise, true).await, Err(Code::HandshakeMalformed));

    scene.forget_proposals();
    scene.goes_on().await;
}

/// A device that nobody has added.
fn scene_device() -> Bytes {
    Device::new().id.to_bytes()
}

impl Scene {
    /// What was proposed and refused is not carried out.
    fn forget_proposals(&mut self) {
        self.mallory.hand.forget_proposals();
        self.bob.hand.forget_proposals();
    }
}

/// A group info that is not the creator's own, and a conversation that begins with more than its creator.
#[tokio::test]
async fn a_conversation_begins_with_the_group_of_its_creator() {
    let house = House::new().await;
    let (alice, bob) = (house.register("alice").await, house.register("bob").await);
    let attempt = async |found: &dyn Fn(&mut Hand, &ConversationName) -> Bytes| {
        let name = name();
        let mut hand = alice.hand();
        let create = v1::CreateConversation {
            conversation: Some(name.to_wire()),
            kind: v1::ConversationKind::Group.into(),
            message_id: message_id(),
            group_info: found(&mut hand, &name),
            ..Default::default()
        };
        code(&alice.wire.call(Method::CreateConversation(create)).await)
    };
    let (mine, theirs) = (alice.person.address(), bob.person.address());
    assert_eq!(attempt(&|hand, name| hand.found(name, &RoleTable::owned_by(mine.clone()))).await, None);
    assert_eq!(attempt(&|_, _| Bytes::new()).await, Some(Code::HandshakeMalformed));
    let of_bob = |_: &mut Hand, name: &ConversationName| bob.hand().found(name, &RoleTable::owned_by(theirs.clone()));
    assert_eq!(attempt(&of_bob).await, Some(Code::HandshakeSender));
    let elsewhere_name = name();
    let elsewhere =
        |hand: &mut Hand, _: &ConversationName| hand.found(&elsewhere_name, &RoleTable::owned_by(mine.clone()));
    assert_eq!(attempt(&elsewhere).await, Some(Code::GroupInfoDiffers));
    let given_away = |hand: &mut Hand, name: &ConversationName| hand.found(name, &RoleTable::owned_by(theirs.clone()));
    assert_eq!(attempt(&given_away).await, Some(Code::SettingsForbidden));
    // A group may say that it continues one of another hub's, and none of this one's.
    let after = |hub: &str| {
        let conversation = ConversationName { domain: Domain::parse(hub).unwrap(), ..elsewhere_name.clone() };
        Some(Continued { chain: ChainValue::genesis(&conversation), seq: Seq(7), conversation })
    };
    let roles = |hub: &str| RoleTable::owned_by(mine.clone()).continuing(after(hub));
    assert_eq!(attempt(&|hand, name| hand.found(name, &roles("gone.example"))).await, None);
    let of_here = elsewhere_name.domain.to_string();
    assert_eq!(attempt(&|hand, name| hand.found(name, &roles(&of_here))).await, Some(Code::SettingsForbidden));
    let (name, mut hand, bobs) = (name(), alice.hand(), bob.hand());
    let group_info = hand.found(&name, &roles("gone.example"));
    let two = v1::CreateConversation {
        conversation: Some(name.to_wire()),
        kind: v1::ConversationKind::Direct.into(),
        peer: theirs.to_string(),
        message_id: message_id(),
        commit: Some(hand.adding(&[&bobs])),
        group_info,
        again: false,
    };
    let two = alice.wire.call(Method::CreateConversation(two)).await;
    assert_eq!(code(&two), Some(Code::SettingsForbidden), "no conversation of two");
    house.assert_sound();
}

/// What was stored is answered alike, though its group has moved on: an unknown outcome is asked about again.
#[tokio::test]
async fn a_change_that_is_shown_again_is_answered_alike() {
    let mut scene = Scene::new().await;
    let bundle = scene.alice.hand.commit(Plan::default());
    let commit = Method::SubmitCommit(v1::SubmitCommit {
        conversation: Some(scene.name.to_wire()),
        message_id: message_id(),
        counter: 2,
        commit: Some(bundle.clone()),
    });
    let first = scene.alice.guest.wire.call(commit.clone()).await;
    assert!(matches!(first, answer::Result::SubmitCommit(_)), "{first:?}");
    assert_eq!(scene.alice.guest.wire.call(commit).await, first);
    scene.bob.hand.follow(&bundle.commit);
    let leave = Method::Send(v1::Send {
        conversation: Some(scene.name.to_wire()),
        message_id: message_id(),
        counter: 1,
        epoch: 2,
        kind: v1::EntryKind::Proposal.into(),
        body: scene.bob.hand.leave(),
        leave: true,
    });
    let first = scene.bob.guest.wire.call(leave.clone()).await;
    assert!(matches!(first, answer::Result::Send(_)), "{first:?}");
    assert_eq!(scene.bob.guest.wire.call(leave).await, first);
}

/// A further device of a member joins by itself, by a commit that its account's other devices need not make.
#[tokio::test]
async fn a_further_device_joins_by_itself() {
    let mut scene = Scene::new().await;
    let (person, device) = (scene.bob.guest.person.clone(), Device::new());
    let mut tablet = Hand::new(&person.certify(&device), &device.key.to_bytes());
    let read = |offset, epoch| {
        Method::ReadGroup(v1::ReadGroup {
            conversation: Some(scene.name.to_wire()),
            offset,
            epoch,
            ..Default::default()
        })
    };
    let answer = scene.bob.guest.wire.call(read(0, 0)).await;
    let answer::Result::ReadGroup(group) = answer else { panic!("{answer:?}") };
    assert_eq!((group.epoch, group.tree_size), (1, group.tree.len() as u64));
    let answer = scene.bob.guest.wire.call(read(10, 1)).await;
    let answer::Result::ReadGroup(rest) = answer else { panic!("{answer:?}") };
    assert_eq!((rest.group_info, rest.tree), (Bytes::new(), group.tree.slice(10..)));
    assert_eq!(code(&scene.bob.guest.wire.call(read(10, 0)).await), Some(Code::WrongEpoch));
    assert_eq!(code(&scene.carol.guest.wire.call(read(0, 0)).await), Some(Code::NotFound));
    let joined = tablet.join_by(&group.group_info, Some(&group.tree));
    assert_eq!(scene.bob.shows(&scene.name.clone(), &joined).await, Err(Code::HandshakeSender));
    let wire = scene.house.greeted().await;
    wire.login(&person).await.unwrap();
    let enrol = v1::EnrolDevice { device: Some(person.certify(&device)), device_name: "tablet".into() };
    let enrolled = wire.call(Method::EnrolDevice(enrol)).await;
    assert!(matches!(enrolled, answer::Result::EnrolDevice(_)), "{enrolled:?}");
    wire.authenticate(&person, &device).await.unwrap();
    let mut tablet = Member { guest: Guest { person, device, wire }, hand: tablet, counter: 0 };
    assert_eq!(tablet.shows(&scene.name, &joined).await, Ok(()));
    scene.alice.hand.follow(&joined.commit);
    assert_eq!(scene.alice.hand.authenticator(), tablet.hand.authenticator());
}

/// The group that is followed is the one that is stored, whatever is shown under the same name afterwards.
#[tokio::test]
async fn a_creation_that_is_shown_again_with_another_group_changes_nothing() {
    let house = House::new().await;
    let mut alice = Member::of(house.register("alice").await);
    let (name, id, roles) = (name(), message_id(), RoleTable::owned_by(alice.guest.person.address()));
    let create = |group_info| {
        Method::CreateConversation(v1::CreateConversation {
            conversation: Some(name.to_wire()),
            kind: v1::ConversationKind::Group.into(),
            message_id: id.clone(),
            group_info,
            ..Default::default()
        })
    };
    let (first, other) = (alice.hand.found(&name, &roles), alice.guest.hand().found(&name, &roles));
    for group_info in [first, other] {
        let answer = alice.guest.wire.call(create(group_info)).await;
        assert!(matches!(answer, answer::Result::CreateConversation(_)), "{answer:?}");
    }
    let bundle = alice.hand.commit(Plan::default());
    assert_eq!(alice.shows(&name, &bundle).await, Ok(()));
    house.assert_sound();
}

/// Judging costs a thread: whoever changes groups all the time waits, and is not refused.
#[tokio::test]
async fn an_account_above_its_rate_of_changes_is_slowed_down() {
    let house = House::with(|limits| limits.rates.change = Rate { per_minute: 20, burst: 3 }).await;
    let mut alice = Member::of(house.register("alice").await);
    let name = creates(&mut alice, &mut [], "").await;
    alice.counter = 1;
    let hits = || house.context.metrics.rate_limit_hits(Limit::Change);
    for change in 1..=4 {
        assert_eq!(hits(), 0, "before change {change}");
        let bundle = alice.hand.commit(Plan::default());
        assert_eq!(alice.shows(&name, &bundle).await, Ok(()));
        alice.hand.merge();
    }
    assert!(hits() > 0);
    house.assert_sound();
}
