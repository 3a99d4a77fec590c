//! Links into groups: who may make them, who comes in by them, and when nobody does any more.

use prost::Message;
use qpc_proto::{
    chain::{EntryContent, EntryKind},
    error::Code,
    id::ConversationName,
    limits::{JOIN_REQUESTS_MAX, JOINS_ASKED_MAX, LINKS_MAX},
    link::{Asker, InviteLink, JoinRequest},
    role::Role,
    v1::{self, ContactEvent},
};

use super::{
    Backend,
    contacts::last_welcome,
    upkeep::retain,
    world::{World, wait},
};
use crate::store::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Makes a link that lasts a day.
fn open(world: &World, actor: &Actor, link: &InviteLink, uses: u32) -> Result<(), LinkError> {
    set(world, actor, link, LinkTerms::Open { expires_ms: world.now_ms.get() + DAY_MS, uses })
}

fn set(world: &World, actor: &Actor, link: &InviteLink, terms: LinkTerms) -> Result<(), LinkError> {
    let (conversation, now_ms) = (link.conversation().clone(), world.now_ms.get());
    wait(world.store.set_link(actor, LinkSetting { conversation, link: link.key(), terms, now_ms }))
}

pub fn request(world: &World, actor: &Actor, link: &InviteLink) -> JoinRequest {
    let asker = Asker { address: actor.address(), account_key: &[9; 32], device: actor.device() };
    JoinRequest::verify(&link.ask(&asker, world.now_ms.get())).unwrap()
}

fn ask(world: &World, actor: &Actor, link: &InviteLink) -> Result<u64, AskError> {
    let request = request(world, actor, link);
    wait(world.store.ask_to_join(actor, Ask { request, now_ms: world.now_ms.get() }))
}

fn listed(world: &World, actor: &Actor, group: &ConversationName) -> Result<Vec<JoinRequest>, LinkError> {
    let found = wait(world.store.join_requests(actor, group, world.now_ms.get()))?;
    Ok(found.iter().map(|bytes| JoinRequest::verify_encoded(bytes).unwrap()).collect())
}

/// The next commit of a device, which lets in these because they have asked.
pub fn admitting(world: &World, actor: &Actor, group: &ConversationName, asked: &[&Actor]) -> CommitAppend {
    let mut commit = world.next_commit(actor, group, asked, &[]);
    commit.bundle.asked = asked.iter().map(|asker| asker.address().clone()).collect();
    commit
}

/// A group of alice's with bob in it, and a link into it.
pub fn group_with_link(world: &World, uses: u32) -> (Actor, Actor, InviteLink) {
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let link = InviteLink::new(world.group(&alice, &[&bob]), &[5; 32]);
    open(world, &alice, &link, uses).unwrap();
    (alice, bob, link)
}

/// The contact notices about links in somebody's inbox: what happened, who asks, and the code.
fn notices(world: &World, actor: &Actor) -> Vec<(ContactEvent, String, u32)> {
    let entries = world.inbox(actor).into_iter().filter(|entry| entry.kind == EntryKind::Contact);
    let notices = entries.filter_map(|entry| match entry.content {
        EntryContent::Body(body) => v1::ContactNotice::decode(body).ok(),
        EntryContent::Removed(_) => None,
    });
    let about = notices.filter(|notice| notice.conversation.is_some());
    about.map(|notice| (notice.event(), notice.address, notice.code)).collect()
}

pub fn a_link_lets_in_whoever_asks_by_it_as_often_as_it_says(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, link) = group_with_link(&world, 2);
    let group = link.conversation().clone();
    let [carol, dave, erin] = ["carol", "dave", "erin"].map(|name| world.person(name));
    let ends = world.now_ms.get() + DAY_MS;
    assert_eq!(ask(&world, &carol, &link), Ok(ends));
    // Told once, however often it is sent.
    assert_eq!(ask(&world, &carol, &link), Ok(ends));
    assert_eq!(notices(&world, &alice), [(ContactEvent::AskedToJoin, "carol@localhost".to_owned(), 0)]);
    assert!(notices(&world, &bob).is_empty(), "who may not add is told nothing");
    assert_eq!(listed(&world, &alice, &group).unwrap(), [request(&world, &carol, &link)]);
    let world = if backend.persistent() { world.reopened(backend).unwrap() } else { world };
    assert_eq!(listed(&world, &alice, &group).unwrap(), [request(&world, &carol, &link)]);
    // They are no contacts: only the request lets them in, and only the one who asked.
    let uninvited = world.next_commit(&alice, &group, &[&carol], &[]);
    assert_eq!(world.commit(&alice, &uninvited), Err(AppendError::NotContact));
    let nobody = admitting(&world, &alice, &group, &[&dave]);
    assert_eq!(world.commit(&alice, &nobody), Err(AppendError::Link(LinkRefusal::Unknown)));
    let mut beside = admitting(&world, &alice, &group, &[&carol]);
    beside.bundle.asked.push(dave.address().clone());
    assert_eq!(world.commit(&alice, &beside), Err(AppendError::Membership));
    world.commit(&alice, &admitting(&world, &alice, &group, &[&carol])).unwrap();
    assert_eq!(last_welcome(&world, &carol).from, "alice@localhost");
    assert!(listed(&world, &alice, &group).unwrap().is_empty());
    assert_eq!(ask(&world, &carol, &link), Err(AskError::Member));

    // Two ask for what is left, and a third who comes too late.
    for person in [&dave, &erin] {
        assert_eq!(ask(&world, person, &link), Ok(ends));
    }
    let both = admitting(&world, &alice, &group, &[&dave, &erin]);
    assert_eq!(world.commit(&alice, &both), Err(AppendError::Link(LinkRefusal::UsedUp)));
    assert_eq!(listed(&world, &alice, &group).unwrap().len(), 2, "a refusal leaves no trace");
    world.commit(&alice, &admitting(&world, &alice, &group, &[&dave])).unwrap();
    let late = admitting(&world, &alice, &group, &[&erin]);
    assert_eq!(world.commit(&alice, &late), Err(AppendError::Link(LinkRefusal::Unknown)));
    assert_eq!(notices(&world, &erin), [(ContactEvent::JoinRefused, String::new(), Code::LinkUsedUp as u32)]);
    assert_eq!(ask(&world, &erin, &link), Err(LinkRefusal::UsedUp.into()));
    assert_eq!(world.info(&alice, &group).members.len(), 4);
}

pub fn two_who_race_for_the_last_use_are_not_both_let_in(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, _, link) = group_with_link(&world, 1);
    let group = link.conversation().clone();
    let (carol, dave) = (world.person("carol"), world.person("dave"));
    for person in [&carol, &dave] {
        ask(&world, person, &link).unwrap();
    }
    let first = admitting(&world, &alice, &group, &[&carol]);
    let mut second = admitting(&world, &alice, &group, &[&dave]);
    // Made as if it knew of the first, and sent before that was answered.
    second.counter = first.counter.next();
    second.bundle.epoch = first.bundle.epoch.next();
    second.bundle.judged.as_mut().unwrap().basis = GroupVersion { epoch: first.bundle.epoch.next(), proposals: 0 };
    let (first, second) = (world.store.commit(&alice, first), world.store.commit(&alice, second));
    wait(first).unwrap();
    assert_eq!(wait(second), Err(AppendError::Link(LinkRefusal::Unknown)));
    assert_eq!(world.info(&alice, &group).members.len(), 3);
    assert_eq!(notices(&world, &dave), [(ContactEvent::JoinRefused, String::new(), Code::LinkUsedUp as u32)]);
}

pub fn a_link_ends_with_its_time(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, _, link) = group_with_link(&world, 5);
    let group = link.conversation().clone();
    let (carol, dave) = (world.person("carol"), world.person("dave"));
    ask(&world, &carol, &link).unwrap();
    world.now_ms.set(world.now_ms.get() + DAY_MS - 1);
    assert_eq!(listed(&world, &alice, &group).unwrap().len(), 1);
    world.now_ms.set(world.now_ms.get() + 1);
    assert_eq!(ask(&world, &dave, &link), Err(LinkRefusal::Expired.into()));
    assert!(listed(&world, &alice, &group).unwrap().is_empty());
    let late = admitting(&world, &alice, &group, &[&carol]);
    assert_eq!(world.commit(&alice, &late), Err(AppendError::Link(LinkRefusal::Expired)));
    // Upkeep forgets it, and who has waited.
    retain(&world, world.now_ms.get() + 1, 0);
    assert_eq!(ask(&world, &dave, &link), Err(LinkRefusal::Unknown.into()));
    assert_eq!(
        world.commit(&alice, &admitting(&world, &alice, &group, &[&carol])),
        Err(AppendError::Link(LinkRefusal::Unknown))
    );
}

pub fn a_link_that_is_withdrawn_refuses_who_waits(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, link) = group_with_link(&world, 5);
    let group = link.conversation().clone();
    let (carol, dave) = (world.person("carol"), world.person("dave"));
    let other = InviteLink::new(group.clone(), &[6; 32]);
    assert_eq!(set(&world, &alice, &other, LinkTerms::Withdrawn), Err(LinkError::NotFound));
    open(&world, &alice, &other, 1).unwrap();
    ask(&world, &carol, &link).unwrap();
    ask(&world, &dave, &other).unwrap();
    assert_eq!(set(&world, &bob, &link, LinkTerms::Withdrawn), Err(LinkError::Forbidden));
    set(&world, &alice, &link, LinkTerms::Withdrawn).unwrap();
    set(&world, &alice, &link, LinkTerms::Withdrawn).unwrap();
    assert_eq!(notices(&world, &carol), [(ContactEvent::JoinRefused, String::new(), Code::LinkWithdrawn as u32)]);
    assert_eq!(ask(&world, &carol, &link), Err(LinkRefusal::Withdrawn.into()));
    // The one who waits by another link goes on waiting, and no request of before opens this one again.
    assert_eq!(listed(&world, &alice, &group).unwrap(), [request(&world, &dave, &other)]);
    open(&world, &alice, &link, 5).unwrap();
    assert_eq!(ask(&world, &carol, &link), Err(LinkRefusal::Withdrawn.into()));
    // Who has another link asks by that.
    ask(&world, &carol, &other).unwrap();
    world.commit(&alice, &admitting(&world, &alice, &group, &[&carol])).unwrap();
}

pub fn links_are_made_and_requests_read_by_who_may_add(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, link) = group_with_link(&world, 1);
    let group = link.conversation().clone();
    let carol = world.person("carol");
    let other = InviteLink::new(group.clone(), &[6; 32]);
    assert_eq!(open(&world, &bob, &other, 1), Err(LinkError::Forbidden));
    assert_eq!(listed(&world, &bob, &group), Err(LinkError::Forbidden));
    assert_eq!(open(&world, &carol, &other, 1), Err(LinkError::NotFound));
    assert_eq!(listed(&world, &carol, &group), Err(LinkError::NotFound));
    let talk = InviteLink::new(world.friends(&alice, &carol), &[6; 32]);
    assert_eq!(open(&world, &alice, &talk, 1), Err(LinkError::Forbidden));
    assert_eq!(ask(&world, &bob, &talk), Err(LinkRefusal::Unknown.into()));
    let mut commit = world.next_commit(&alice, &group, &[], &[]);
    commit.bundle.judged.as_mut().unwrap().change.roles = vec![(bob.address().clone(), Role::Admin)];
    world.commit(&alice, &commit).unwrap();
    open(&world, &bob, &other, 1).unwrap();
    // Both are told now, on all devices.
    let desk = world.another_device(&bob);
    ask(&world, &carol, &other).unwrap();
    for told in [&alice, &bob, &desk] {
        assert_eq!(notices(&world, told), [(ContactEvent::AskedToJoin, "carol@localhost".to_owned(), 0)]);
    }
}

pub fn nobody_asks_for_somebody_else(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, _, link) = group_with_link(&world, 5);
    let (carol, mallory) = (world.person("carol"), world.person("mallory"));
    let forwarded = Ask { request: request(&world, &carol, &link), now_ms: world.now_ms.get() };
    assert_eq!(wait(world.store.ask_to_join(&mallory, forwarded)), Err(LinkRefusal::Unknown.into()));
    // Nor with another key than the account's.
    let asker = Asker { address: mallory.address(), account_key: &[8; 32], device: mallory.device() };
    let request = JoinRequest::verify(&link.ask(&asker, 1)).unwrap();
    let other_key = Ask { request, now_ms: world.now_ms.get() };
    assert_eq!(wait(world.store.ask_to_join(&mallory, other_key)), Err(LinkRefusal::Unknown.into()));
    let unknown = InviteLink::new(link.conversation().clone(), &[7; 32]);
    assert_eq!(ask(&world, &mallory, &unknown), Err(LinkRefusal::Unknown.into()));
    assert_eq!(ask(&world, &mallory, &InviteLink::new(world.name(), &[5; 32])), Err(LinkRefusal::Unknown.into()));
    assert!(listed(&world, &alice, link.conversation()).unwrap().is_empty());
}

pub fn who_was_removed_comes_again_by_a_link_that_has_uses(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, bob, link) = group_with_link(&world, 2);
    let group = link.conversation().clone();
    world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&bob])).unwrap();
    for round in 0..3 {
        world.now_ms.set(world.now_ms.get() + 1);
        if round == 2 {
            assert_eq!(ask(&world, &bob, &link), Err(LinkRefusal::UsedUp.into()));
            continue;
        }
        ask(&world, &bob, &link).unwrap();
        world.commit(&alice, &admitting(&world, &alice, &group, &[&bob])).unwrap();
        world.say(&bob, &group, "back again");
        world.commit(&alice, &world.next_commit(&alice, &group, &[], &[&bob])).unwrap();
    }
    // A contact who waits and is added as such uses no link, and waits no more.
    let other = InviteLink::new(group.clone(), &[6; 32]);
    open(&world, &alice, &other, 1).unwrap();
    ask(&world, &bob, &other).unwrap();
    world.commit(&alice, &world.next_commit(&alice, &group, &[&bob], &[])).unwrap();
    assert!(listed(&world, &alice, &group).unwrap().is_empty());
    let carol = world.person("carol");
    ask(&world, &carol, &other).unwrap();
}

pub fn who_has_asked_is_welcomed_whomever_they_block(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, _, link) = group_with_link(&world, 2);
    let carol = world.person("carol");
    world.answer(&carol, &alice, Consent::Block).unwrap();
    ask(&world, &carol, &link).unwrap();
    world.commit(&alice, &admitting(&world, &alice, link.conversation(), &[&carol])).unwrap();
    assert_eq!(last_welcome(&world, &carol).from, "alice@localhost");
    world.say(&carol, link.conversation(), "here");
}

pub fn links_and_requests_are_so_many(backend: &dyn Backend) {
    let world = World::new(backend);
    let (alice, _, link) = group_with_link(&world, 1_000);
    let group = link.conversation().clone();
    let another = |seed| InviteLink::new(group.clone(), &[seed; 32]);
    for seed in 100..100 + u8::try_from(LINKS_MAX).unwrap() - 1 {
        open(&world, &alice, &another(seed), 1).unwrap();
    }
    assert_eq!(open(&world, &alice, &another(99), 1), Err(LinkError::TooMany));
    set(&world, &alice, &another(100), LinkTerms::Withdrawn).unwrap();
    open(&world, &alice, &another(99), 1).unwrap();

    let people: Vec<_> = (0..=JOIN_REQUESTS_MAX).map(|number| world.person(&format!("p{number}"))).collect();
    let (last, rest) = people.split_last().unwrap();
    for person in rest {
        ask(&world, person, &link).unwrap();
    }
    assert_eq!(ask(&world, last, &link), Err(AskError::TooMany));
    // A newer one of somebody who waits takes the place of theirs.
    world.now_ms.set(world.now_ms.get() + 1);
    ask(&world, &rest[0], &another(99)).unwrap();
    assert_eq!(listed(&world, &alice, &group).unwrap().len(), JOIN_REQUESTS_MAX);

    let groups: Vec<_> = (0..JOINS_ASKED_MAX)
        .map(|_| {
            let link = InviteLink::new(world.create(&alice, world.new_group(&[])), &[5; 32]);
            open(&world, &alice, &link, 1).unwrap();
            link
        })
        .collect();
    let (end, more) = groups.split_last().unwrap();
    for link in more {
        ask(&world, &rest[0], link).unwrap();
    }
    assert_eq!(ask(&world, &rest[0], end), Err(AskError::TooMany));
    // What waits by a link that is over counts no more; nor does it for an account that is gone.
    world.now_ms.set(world.now_ms.get() + DAY_MS);
    open(&world, &alice, end, 1).unwrap();
    let fresh = InviteLink::new(end.conversation().clone(), &[7; 32]);
    open(&world, &alice, &fresh, 1).unwrap();
    ask(&world, &rest[0], &fresh).unwrap();
    wait(world.store.delete_account(&rest[0], world.now_ms.get())).unwrap();
    assert!(listed(&world, &alice, end.conversation()).unwrap().is_empty());
}
