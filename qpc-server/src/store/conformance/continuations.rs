//! Groups that continue those of a hub that is gone: who may be added without being asked.

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    id::{ConversationId, ConversationName, Counter, DeviceId, Epoch, Seq},
    role::Role,
    v1::{self, WelcomeNotice},
};

use super::{
    Backend,
    copies::accepts,
    world::{World, inbox_of, state, wait},
};
use crate::store::*;

fn outer(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn hub(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// People of here, with their roles.
type Own<'o> = &'o [(&'o Actor, Role)];
/// People of elsewhere, by their addresses.
type Others<'o> = &'o [(&'o str, Role)];

/// A copy of another hub's conversation with people of here, by their addresses, and of elsewhere.
fn copied(
    world: &World,
    (hub, kind, continues): (&str, ConversationKind, Option<&ConversationName>),
    (own, others): (Own<'_>, Others<'_>),
) -> ConversationName {
    let id = ConversationId::new(1, world.new_device().id.as_bytes()[6..].try_into().unwrap());
    let name = ConversationName { domain: self::hub(hub), id };
    let chain = ChainValue::genesis(&name);
    let mut entry = LogEntry {
        conversation: name.clone(),
        seq: Seq(1),
        kind: EntryKind::Commit,
        epoch: Epoch(0),
        sender: Some(DeviceId::new(1, [1; 10])),
        counter: Counter(1),
        id: world.message_id(),
        stored_ms: 7,
        chain,
        content: EntryContent::Body(Bytes::from_static(b"commit")),
    };
    entry.chain = chain.after(&entry.header());
    let added = |(own, _): &(&Actor, Role)| (own.address().clone(), [9; 32], Seq(1));
    let member = |(own, role): &(&Actor, Role)| (own.address().clone(), *role);
    let other = |(who, role): &(&str, Role)| (outer(who), *role);
    let change = CopyChange {
        version: GroupVersion { epoch: Epoch(1), proposals: 0 },
        state: state("begun", Some("tree")),
        added: own.iter().map(added).collect(),
        ended: Vec::new(),
        members: own.iter().map(member).chain(others.iter().map(other)).collect(),
        trees: Vec::new(),
    };
    let met = Met {
        id: world.new_account("x", Admission::Open).id,
        address: outer(&format!("met@{hub}")),
        account_key: [5; 32],
    };
    let met = (kind == ConversationKind::Direct).then_some(met);
    let append = CopyAppend {
        log: name.clone(),
        from: CopyFrom::Base { kind, after: Seq(0), chain, met, continues: continues.cloned() },
        entries: vec![CopiedEntry { entry, sender: Some(outer(&format!("alice@{hub}"))), own: false }],
        change: Some(change),
        group_info: Bytes::from_static(b"info"),
        now_ms: 8,
    };
    for (own, _) in own.iter().filter(|_| kind == ConversationKind::Group) {
        accepts(world, own, &format!("alice@{hub}"));
    }
    wait(world.store.copy(append)).unwrap();
    name
}

/// A group with some first members, that says it continues something.
fn continuing(world: &World, members: &[&Actor], before: &ConversationName) -> NewConversation {
    NewConversation { continues: Some(before.clone()), ..world.new_group(members) }
}

fn made(world: &World, by: &Actor, new: NewConversation) -> Result<ConversationName, CreateConversationError> {
    let name = new.conversation.clone();
    wait(world.store.create_conversation(by, new)).map(|_| name)
}

const NOT_ASKED: CreateConversationError = CreateConversationError::Append(AppendError::NotContact);

pub fn who_is_in_what_a_group_continues_has_agreed_to_be_added(backend: &dyn Backend) {
    let world = World::new(backend);
    let (bob, ben, eve, dave) = (world.person("bob"), world.person("ben"), world.person("eve"), world.person("dave"));
    let led = [(&bob, Role::Admin), (&ben, Role::Member), (&eve, Role::Member)];
    let alice = [("alice@a.example", Role::Owner)];
    let before = copied(&world, ("a.example", ConversationKind::Group, None), (&led, &alice));
    // Nobody of them is anybody's contact.
    let plain = world.new_group(&[&ben]);
    assert_eq!(made(&world, &bob, plain), Err(NOT_ASKED));
    let to_stranger = continuing(&world, &[&ben, &dave], &before);
    assert_eq!(made(&world, &bob, to_stranger), Err(NOT_ASKED), "dave was not in it");
    let by_stranger = continuing(&world, &[&ben], &before);
    assert_eq!(made(&world, &dave, by_stranger), Err(NOT_ASKED), "nor can dave say that he was");
    let by_member = continuing(&world, &[&eve], &before);
    assert_eq!(made(&world, &ben, by_member), Err(NOT_ASKED), "bob is there for that");
    let unknown = ConversationName { id: ConversationId::new(9, [9; 10]), ..before.clone() };
    let of_nothing = continuing(&world, &[&ben], &unknown);
    assert_eq!(made(&world, &bob, of_nothing), Err(NOT_ASKED));
    let name = made(&world, &bob, continuing(&world, &[&ben], &before)).unwrap();
    // Whoever comes later, too, and no stranger.
    assert_eq!(world.commit(&bob, &world.next_commit(&bob, &name, &[&dave], &[])), Err(AppendError::NotContact));
    world.commit(&bob, &world.next_commit(&bob, &name, &[&eve], &[])).unwrap();
    assert_eq!(world.info(&bob, &name).members.len(), 3);
    // Who is out of this one has not agreed to come back.
    world.commit(&bob, &world.next_commit(&bob, &name, &[], &[&eve])).unwrap();
    assert_eq!(world.commit(&bob, &world.next_commit(&bob, &name, &[&eve], &[])), Err(AppendError::NotContact));

    // Any member, where nobody is left who leads; no conversation of two, and nothing that this domain orders itself.
    let plain = [(&bob, Role::Member), (&ben, Role::Member)];
    let orphaned = copied(&world, ("a.example", ConversationKind::Group, None), (&plain, &alice));
    made(&world, &ben, continuing(&world, &[&bob], &orphaned)).unwrap();
    let led_elsewhere = [("alice@a.example", Role::Owner), ("carol@c.example", Role::Admin)];
    let led = copied(&world, ("a.example", ConversationKind::Group, None), (&plain, &led_elsewhere));
    assert_eq!(made(&world, &ben, continuing(&world, &[&bob], &led)), Err(NOT_ASKED), "carol is there for that");
    let direct = copied(&world, ("a.example", ConversationKind::Direct, None), (&plain, &alice));
    assert_eq!(made(&world, &ben, continuing(&world, &[&bob], &direct)), Err(NOT_ASKED));
    world.friends(&dave, &bob);
    world.friends(&dave, &ben);
    let own = world.create(&dave, world.new_group(&[&bob, &ben]));
    wait(world.store.commit(&dave, {
        let mut promote = world.next_commit(&dave, &own, &[], &[]);
        promote.bundle.judged.as_mut().unwrap().change.roles = vec![(bob.address().clone(), Role::Admin)];
        promote
    }))
    .unwrap();
    assert_eq!(made(&world, &bob, continuing(&world, &[&ben], &own)), Err(NOT_ASKED), "its hub is here");
}

pub fn what_a_group_continues_is_known_as_long_as_it_is(backend: &dyn Backend) {
    let world = World::new(backend);
    let (bob, ben, eve) = (world.person("bob"), world.person("ben"), world.person("eve"));
    let led = [(&bob, Role::Admin), (&ben, Role::Member), (&eve, Role::Member)];
    let before = copied(&world, ("a.example", ConversationKind::Group, None), (&led, &[]));
    // A block holds the welcome, as anywhere.
    world.answer(&ben, &bob, Consent::Block).unwrap();
    let inbox = world.inbox(&ben).len();
    let name = made(&world, &bob, continuing(&world, &[&ben], &before)).unwrap();
    assert_eq!(world.inbox(&ben).len(), inbox, "held");
    let Some(world) = world.reopened(backend) else { return };
    world.commit(&bob, &world.next_commit(&bob, &name, &[&eve], &[])).unwrap();
}

pub fn a_device_is_welcomed_by_whom_it_has_agreed_with_elsewhere(backend: &dyn Backend) {
    let world = World::new(backend);
    let (bob, ben) = (world.person("bob"), world.person("ben"));
    let before = copied(
        &world,
        ("a.example", ConversationKind::Group, None),
        (&[(&bob, Role::Member)], &[("alice@a.example", Role::Owner), ("carol@c.example", Role::Admin)]),
    );
    let at_c = |continues: Option<&ConversationName>| {
        let own = [(&bob, Role::Member), (&ben, Role::Member)];
        copied(&world, ("c.example", ConversationKind::Group, continues), (&own, &[("carol@c.example", Role::Owner)]))
    };
    let seq = std::cell::Cell::new(0);
    let taken = |to: &Actor, into: &ConversationName, from: &str| {
        seq.set(seq.get() + 1);
        let body = WelcomeNotice {
            conversation: Some(into.to_wire()),
            kind: v1::ConversationKind::Group.into(),
            seq: 1,
            chain: vec![1; 32].into(),
            welcome: Bytes::from_static(b"welcome"),
            from: from.into(),
            ..Default::default()
        };
        let inbox = inbox_of(to);
        let notice = LogEntry {
            conversation: ConversationName { domain: hub("c.example"), ..inbox },
            seq: Seq(seq.get()),
            kind: EntryKind::Welcome,
            epoch: Epoch(0),
            sender: Some(DeviceId::new(1, [2; 10])),
            counter: Counter(0),
            id: world.message_id(),
            stored_ms: 7,
            chain: ChainValue([0; 32]),
            content: EntryContent::Body(body.encode_to_vec().into()),
        };
        let count = world.inbox(to).len();
        wait(world.store.take_notices(&hub("c.example"), to.device(), vec![notice], 5)).unwrap();
        world.inbox(to).len() > count
    };
    let (plain, continued) = (at_c(None), at_c(Some(&before)));
    assert!(!taken(&bob, &plain, "carol@c.example"), "bob has accepted nobody");
    assert!(!taken(&ben, &continued, "carol@c.example"), "ben was not in it");
    assert!(!taken(&bob, &continued, "dora@c.example"), "nor was dora");
    assert!(!taken(&bob, &continued, "alice@a.example.c.example"));
    assert!(taken(&bob, &continued, "carol@c.example"));
    let same_hub = copied(
        &world,
        ("c.example", ConversationKind::Group, None),
        (&[(&bob, Role::Member)], &[("carol@c.example", Role::Owner)]),
    );
    assert!(!taken(&bob, &at_c(Some(&same_hub)), "carol@c.example"), "the same domain orders both");
}
