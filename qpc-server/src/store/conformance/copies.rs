//! Copies of other domains' conversations, what their inboxes hold, and what is on its way to them.

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::Domain,
    chain::{ChainValue, Digest, EntryContent, EntryKind, LogEntry},
    error::Code,
    id::{ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
    v1::{self, AccountEvent, AccountNotice, ContactEvent, ContactNotice, OutcomeNotice, WelcomeNotice},
};

use super::{
    Backend,
    theirs::{Theirs, address, copy, hub},
    world::{World, inbox_of, state, wait},
};
use crate::store::*;

fn outgoing(world: &World, name: &ConversationName, counter: u64, body: &[u8]) -> Outgoing {
    Outgoing {
        conversation: name.clone(),
        id: world.message_id(),
        counter: Counter(counter),
        kind: EntryKind::Message,
        epoch: Epoch(1),
        digest: Digest::of(body),
        request: Bytes::copy_from_slice(body),
        founds: false,
        most: (3, 4),
        now_ms: 20,
    }
}

fn queue(world: &World, actor: &Actor, outgoing: &Outgoing) -> Result<Queued, QueueError> {
    wait(world.store.queue(actor, outgoing.clone()))
}

fn waiting(world: &World) -> Vec<Bytes> {
    wait(world.store.due(&hub(), 0, 100)).unwrap().waiting.into_iter().map(|waiting| waiting.request).collect()
}

/// Lets somebody of another domain bring somebody of here into groups: after a request of theirs.
pub(super) fn accepts(world: &World, own: &Actor, who: &str) {
    let who = address(who);
    let contacts = wait(world.store.list_contacts(own, None, 100)).unwrap();
    if contacts.iter().any(|contact| contact.address == who) {
        return;
    }
    let mut talk = Theirs::new(world);
    talk.name.domain = who.domain.clone();
    talk.chain = ChainValue::genesis(&talk.name);
    let mut beginning = talk.beginning(ConversationKind::Direct, own);
    if let CopyFrom::Base { met: Some(met), .. } = &mut beginning.from {
        met.address = who.clone();
    }
    beginning.entries[0].sender = Some(who.clone());
    beginning.change.as_mut().unwrap().members[0].0 = who.clone();
    copy(world, beginning).unwrap();
    wait(world.store.answer_contact(own, ContactDecision { peer: who, answer: Consent::Accept, now_ms: 6 })).unwrap();
}

/// A copy that has begun, and what goes on with it and changes its group.
pub fn going_on(world: &World) -> (Actor, CopyAppend) {
    let bob = world.person("bob");
    accepts(world, &bob, "alice@a.example");
    let mut log = Theirs::new(world);
    let beginning = log.beginning(ConversationKind::Group, &bob);
    copy(world, beginning).unwrap();
    let said = log.said("bob goes");
    let mut append = log.append(vec![said]);
    append.change = Some(CopyChange {
        version: GroupVersion { epoch: Epoch(2), proposals: 0 },
        state: state("without bob", None),
        added: Vec::new(),
        ended: vec![(bob.address().clone(), Seq(2))],
        members: vec![(address("alice@a.example"), Role::Owner)],
        trees: Vec::new(),
    });
    (bob, append)
}

pub fn a_copy_takes_what_follows_and_nothing_else(backend: &dyn Backend) {
    let world = World::new(backend);
    let bob = world.person("bob");
    accepts(&world, &bob, "alice@a.example");
    let mut log = Theirs::new(&world);
    assert_eq!(wait(world.store.copy_place(&log.name)).unwrap(), None);
    let beginning = log.beginning(ConversationKind::Group, &bob);
    assert_eq!(copy(&world, beginning), Ok(Seq(1)));
    let place = wait(world.store.copy_place(&log.name)).unwrap().unwrap();
    assert_eq!((place.head, place.chain, place.kind), (Seq(1), log.chain, ConversationKind::Group));
    // Its people are told, read and list it as any other.
    let told = world.told();
    assert!(told.iter().all(|committed| committed.followers.is_none()));
    let said = log.said("hello");
    assert_eq!(copy(&world, log.append(vec![said.clone()])), Ok(Seq(2)));
    assert_eq!(world.told()[0].audience, Audience::Members(vec![bob.account()].into()));
    assert_eq!(world.entries(&bob, &log.name).iter().map(|entry| entry.chain).next_back(), Some(log.chain));
    let info = world.info(&bob, &log.name);
    let members: Vec<_> = info.members.iter().map(|(who, role)| (who.to_string(), *role)).collect();
    assert_eq!(members, [("alice@a.example".into(), Role::Owner), ("bob@localhost".into(), Role::Admin)]);
    assert_eq!((info.epoch, info.head), (Epoch(1), Seq(2)));
    let group = wait(world.store.public_group(&bob, &log.name, None)).unwrap();
    assert_eq!((group.group_info.as_ref(), group.version), (&b"info"[..], log.version));
    assert_eq!(wait(world.store.welcome_tree(&bob, &log.name, Seq(1), (0, 9))).unwrap().bytes.as_ref(), b"tree");

    // The same again, or what was judged on another state.
    assert_eq!(copy(&world, log.append(vec![said])), Err(CopyError::Moved));
    let other = CopyFrom::Place(Seq(2), GroupVersion { epoch: Epoch(2), proposals: 0 });
    let next = log.said("more");
    let refused = CopyAppend { from: other, ..log.append(vec![next.clone()]) };
    assert_eq!(copy(&world, refused), Err(CopyError::Moved));
    assert_eq!(copy(&world, log.append(vec![next])), Ok(Seq(3)));

    // Whose access ends reads that entry, and nothing later.
    let last = log.said("bob goes");
    let mut append = log.append(vec![last.clone()]);
    append.change = Some(CopyChange {
        version: GroupVersion { epoch: Epoch(2), proposals: 0 },
        state: state("without bob", None),
        added: Vec::new(),
        ended: vec![(bob.address().clone(), Seq(4))],
        members: vec![(address("alice@a.example"), Role::Owner)],
        trees: Vec::new(),
    });
    assert_eq!(copy(&world, append), Ok(Seq(4)));
    log.version = GroupVersion { epoch: Epoch(2), proposals: 0 };
    let after = log.said("without him");
    assert_eq!(copy(&world, log.append(vec![after])), Ok(Seq(5)));
    assert_eq!(world.page(&bob, &log.name, 0).unwrap().head, Seq(4));

    // It begins anew where its people come in again.
    log.version.epoch = Epoch(3);
    let anew = log.beginning(ConversationKind::Group, &bob);
    assert_eq!(copy(&world, anew), Ok(Seq(6)));
    let page = world.page(&bob, &log.name, 0).unwrap();
    assert_eq!((page.floor, page.head, page.entries.len()), (Seq(5), Seq(6), 1));
    let name = log.name;
    if let Some(world) = world.reopened(backend) {
        assert_eq!(world.entries(&bob, &name).len(), 1);
        assert_eq!(wait(world.store.copy_place(&name)).unwrap().unwrap().head, Seq(6));
    }
}

pub fn a_copy_takes_of_people_of_here_what_they_have_sent(backend: &dyn Backend) {
    let world = World::new(backend);
    let (bob, ben) = (world.person("bob"), world.person("ben"));
    accepts(&world, &bob, "alice@a.example");
    let mut log = Theirs::new(&world);
    let beginning = log.beginning(ConversationKind::Group, &bob);
    copy(&world, beginning).unwrap();
    let sent = outgoing(&world, &log.name, 1, b"mine");
    assert_eq!(queue(&world, &ben, &sent), Err(QueueError::Append(AppendError::NotFound)), "no member");
    assert_eq!(queue(&world, &bob, &sent), Ok(Queued::Waits));
    let own = |entry: LogEntry| CopiedEntry { entry, sender: Some(bob.address().clone()), own: true };
    let forged = |log: &mut Theirs<'_>, device: &Actor, counter: u64, id: MessageId, body: &[u8]| {
        let before = (log.head, log.chain);
        let entry = log.entry(EntryKind::Message, (device.device(), counter), id, body);
        let append = log.append(vec![own(entry)]);
        (log.head, log.chain) = before;
        assert_eq!(copy(&world, append), Err(CopyError::Forged(id)));
    };
    forged(&mut log, &bob, 1, world.message_id(), b"mine");
    forged(&mut log, &bob, 1, sent.id, b"not mine");
    forged(&mut log, &bob, 2, sent.id, b"mine");
    forged(&mut log, &ben, 1, sent.id, b"mine");
    let entry = log.entry(EntryKind::Message, (bob.device(), 1), sent.id, b"mine");
    assert_eq!(copy(&world, log.append(vec![own(entry.clone())])), Ok(Seq(2)));
    assert!(waiting(&world).is_empty(), "it has arrived");
    // Once it is in the log it is answered from there.
    let stored = rules_answer(&entry);
    assert_eq!(queue(&world, &bob, &sent), Ok(Queued::Stored(stored)));
    let other = Outgoing { digest: Digest::of(b"other"), ..sent };
    assert_eq!(queue(&world, &bob, &other), Err(QueueError::Append(AppendError::IdConflict)));
    assert_eq!(world.info(&bob, &log.name).counter, Counter(1));
}

pub fn who_has_not_agreed_is_in_no_group_of_another_domain(backend: &dyn Backend) {
    let world = World::new(backend);
    let (bob, ben) = (world.person("bob"), world.person("ben"));
    let mut log = Theirs::new(&world);
    let before = (log.head, log.chain);
    let beginning = log.beginning(ConversationKind::Group, &bob);
    assert_eq!(copy(&world, beginning), Err(CopyError::Nobody), "nobody of here wants to be in it");
    assert_eq!(wait(world.store.copy_place(&log.name)).unwrap(), None);
    accepts(&world, &bob, "alice@a.example");
    (log.head, log.chain) = before;
    let mut by_stranger = log.beginning(ConversationKind::Group, &bob);
    by_stranger.entries[0].sender = Some(address("dora@a.example"));
    assert_eq!(copy(&world, by_stranger), Err(CopyError::Nobody), "he has accepted alice");
    (log.head, log.chain) = before;
    let beginning = log.beginning(ConversationKind::Group, &bob);
    assert_eq!(copy(&world, beginning), Ok(Seq(1)));

    // Who is brought in later has to have agreed as well: the group has their leaf, and they don't see it.
    let welcomed = |seq: u64, kind: v1::ConversationKind| {
        let welcome = WelcomeNotice {
            conversation: Some(log.name.to_wire()),
            kind: kind.into(),
            seq: 9,
            welcome: Bytes::from_static(b"welcome"),
            from: "alice@a.example".into(),
            ..Default::default()
        };
        let notice = notice(seq, &ben, EntryKind::Welcome, welcome.encode_to_vec());
        let before = world.inbox(&ben).len();
        wait(world.store.take_notices(&hub(), ben.device(), vec![notice], 5)).unwrap();
        world.inbox(&ben).len() > before
    };
    let name = log.name.clone();
    let mut log = Theirs { world: &world, name: name.clone(), head: log.head, chain: log.chain, version: log.version };
    let bring = |log: &mut Theirs<'_>| {
        let said = log.said("ben comes");
        let seq = said.entry.seq;
        let mut append = log.append(vec![said]);
        let version = GroupVersion { epoch: log.version.epoch.next(), proposals: 0 };
        append.change = Some(CopyChange {
            version,
            state: state("with ben", None),
            added: vec![(ben.address().clone(), [9; 32], seq)],
            ended: Vec::new(),
            members: [(address("alice@a.example"), Role::Owner)]
                .into_iter()
                .chain([&bob, &ben].map(|own| (own.address().clone(), Role::Member)))
                .collect(),
            trees: Vec::new(),
        });
        log.version = version;
        copy(&world, append)
    };
    assert_eq!(bring(&mut log), Ok(Seq(2)));
    assert_eq!(world.page(&ben, &name, 0).err(), Some(ReadError::NotFound));
    assert!(wait(world.store.list_conversations(&ben, None, 9)).unwrap().is_empty());
    assert!(!welcomed(1, v1::ConversationKind::Group));
    assert!(!welcomed(2, v1::ConversationKind::Direct), "the copy says what it is");
    assert_eq!(world.info(&bob, &name).members.len(), 3, "as it is");
    accepts(&world, &ben, "alice@a.example");
    assert_eq!(world.page(&ben, &name, 0).err(), Some(ReadError::NotFound), "it was not about this one");
    assert_eq!(bring(&mut log), Ok(Seq(3)));
    assert_eq!(world.page(&ben, &name, 0).unwrap().entries.len(), 1);
    assert!(welcomed(3, v1::ConversationKind::Group));
}

fn rules_answer(entry: &LogEntry) -> Appended {
    Appended { seq: entry.seq, chain: entry.chain, stored_ms: entry.stored_ms }
}

pub fn what_waits_for_a_hub_waits_in_order_until_it_has_said_something(backend: &dyn Backend) {
    let world = World::new(backend);
    let bob = world.person("bob");
    let tablet = world.another_device(&bob);
    accepts(&world, &bob, "alice@a.example");
    let mut log = Theirs::new(&world);
    let beginning = log.beginning(ConversationKind::Group, &bob);
    copy(&world, beginning).unwrap();
    let all: Vec<_> = (1..=3_u8).map(|n| outgoing(&world, &log.name, n.into(), &[b'0' + n])).collect();
    for sent in &all {
        assert_eq!(queue(&world, &bob, sent), Ok(Queued::Waits));
        assert_eq!(queue(&world, &bob, sent), Ok(Queued::Waits), "the same again");
    }
    // At the limits, and one past them.
    assert_eq!(queue(&world, &bob, &outgoing(&world, &log.name, 4, b"4")), Err(QueueError::Full), "of a device");
    let last = outgoing(&world, &log.name, 1, b"t");
    assert_eq!(queue(&world, &tablet, &last), Ok(Queued::Waits));
    assert_eq!(queue(&world, &tablet, &outgoing(&world, &log.name, 2, b"u")), Err(QueueError::Full), "of a domain");
    let late = Outgoing { epoch: Epoch(0), most: (9, 9), ..outgoing(&world, &log.name, 5, b"late") };
    let wrong_epoch = Err(QueueError::Append(AppendError::WrongEpoch(Epoch(1))));
    assert_eq!(queue(&world, &bob, &late), wrong_epoch);
    assert_eq!(waiting(&world), ["1", "2", "3", "t"].map(Bytes::from));
    assert_eq!(wait(world.store.backlog(&hub())).unwrap(), Backlog { outgoing: 4, oldest_ms: Some(20) });
    assert!(wait(world.store.due(&Domain::parse("c.example").unwrap(), 0, 9)).unwrap().waiting.is_empty());

    // The first is taken, the second refused: what the same device has queued behind it goes with it.
    let rows = wait(world.store.due(&hub(), 0, 100)).unwrap().waiting;
    assert_eq!((rows[0].sender.clone(), rows[0].device), (bob.address().clone(), bob.device()));
    let line = |of: &[(Domain, Waiting)]| -> Vec<_> {
        of.iter()
            .map(|(domain, one)| (domain.clone(), one.row, one.sender.clone(), one.device, one.request.clone()))
            .collect()
    };
    let stored: Vec<_> = rows.iter().map(|waiting| (hub(), waiting.clone())).collect();
    assert_eq!(line(&world.sink.queued.lock().unwrap()), line(&stored), "each was told of once");
    let error = v1::Error { code: Code::WrongEpoch as u32, epoch: 2, ..Default::default() };
    let settled = vec![
        Settled { row: rows[0].row, refusal: None },
        Settled { row: rows[1].row, refusal: Some(error.encode_to_vec().into()) },
        Settled { row: rows[2].row, refusal: Some(error.encode_to_vec().into()) },
    ];
    let before = world.inbox(&bob).len();
    assert_eq!(wait(world.store.settle(settled, 30)), Ok(false));
    assert_eq!(waiting(&world), [Bytes::from("t")]);
    let inbox = world.inbox(&bob);
    assert_eq!((inbox.len() - before, inbox.last().unwrap().kind), (1, EntryKind::Outcome));
    let EntryContent::Body(body) = &inbox.last().unwrap().content else { panic!("no body") };
    let notice = OutcomeNotice::decode(body.clone()).unwrap();
    assert_eq!((notice.message_id, notice.error), (all[1].id.to_bytes(), Some(error)));
    assert_eq!(notice.body_digest.as_ref(), all[1].digest.0);
    // Made anew, under the same id. What was taken is still known, until the copy shows it.
    let anew = Outgoing { digest: Digest::of(b"anew"), request: Bytes::from_static(b"anew"), ..all[1].clone() };
    assert_eq!(queue(&world, &bob, &anew), Ok(Queued::Waits));
    assert_eq!(queue(&world, &bob, &all[1]), Err(QueueError::Full), "the older one, while the newer waits");
    assert_eq!(queue(&world, &bob, &all[0]), Ok(Queued::Waits));
    // What a device that is gone has not sent goes with it.
    wait(world.store.revoke_device(&bob, tablet.device())).unwrap();
    assert_eq!(waiting(&world), [Bytes::from("anew")]);
    // It may have been on its way: then the hub shows it, and it was sent.
    let entry = log.entry(EntryKind::Message, (tablet.device(), 1), last.id, b"t");
    let shown = CopiedEntry { entry, sender: Some(bob.address().clone()), own: true };
    let append = log.append(vec![shown]);
    assert_eq!(copy(&world, append), Ok(log.head));
    if let Some(world) = world.reopened(backend) {
        assert_eq!(waiting(&world), [Bytes::from("anew")]);
    }
}

pub fn what_is_sent_at_once_is_known_until_it_is_refused(backend: &dyn Backend) {
    let world = World::new(backend);
    let bob = world.person("bob");
    let name = Theirs::new(&world).name;
    let first = Outgoing { request: Bytes::new(), founds: true, ..outgoing(&world, &name, 1, b"commit") };
    assert_eq!(queue(&world, &bob, &first), Ok(Queued::Waits));
    assert!(waiting(&world).is_empty());
    let other = Outgoing { digest: Digest::of(b"other"), ..first.clone() };
    assert_eq!(queue(&world, &bob, &other), Err(QueueError::Append(AppendError::IdConflict)));
    wait(world.store.unqueue(&world.person("ben"), &name, first.id)).unwrap();
    assert_eq!(queue(&world, &bob, &other), Err(QueueError::Append(AppendError::IdConflict)), "not theirs");
    wait(world.store.unqueue(&bob, &name, first.id)).unwrap();
    assert_eq!(queue(&world, &bob, &other), Ok(Queued::Waits));
}

fn notice(seq: u64, device: &Actor, kind: EntryKind, body: Vec<u8>) -> LogEntry {
    LogEntry {
        conversation: inbox_of(device),
        seq: Seq(seq),
        kind,
        epoch: Epoch(0),
        sender: Some(DeviceId::new(1, [1; 10])),
        counter: Counter(0),
        id: MessageId::new(seq, [3; 10]),
        stored_ms: 1,
        chain: ChainValue([0; 32]),
        content: EntryContent::Body(body.into()),
    }
}

pub fn of_another_domains_inbox_a_device_is_told_what_that_domain_may_say(backend: &dyn Backend) {
    let world = World::new(backend);
    let bob = world.person("bob");
    let mut log = Theirs::new(&world);
    let beginning = log.beginning(ConversationKind::Direct, &bob);
    copy(&world, beginning).unwrap();
    let contacts = || wait(world.store.list_contacts(&bob, None, 9)).unwrap();
    assert_eq!(contacts()[0].state, v1::ContactState::Pending);
    assert_eq!(
        (contacts()[0].address.to_string().as_str(), contacts()[0].conversation.as_ref()),
        ("alice@a.example", Some(&log.name))
    );
    let take = |entries: &[LogEntry]| {
        let before = world.inbox(&bob).len();
        let taken = wait(world.store.take_notices(&hub(), bob.device(), entries.to_vec(), 5)).unwrap();
        (taken.0.0, world.inbox(&bob).len() - before)
    };
    let welcome = |to: &ConversationName, kind: v1::ConversationKind, from: &str| {
        WelcomeNotice {
            conversation: Some(to.to_wire()),
            kind: kind.into(),
            seq: 1,
            chain: vec![1; 32].into(),
            welcome: Bytes::from_static(b"welcome"),
            from: from.into(),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let (direct, group) = (v1::ConversationKind::Direct, v1::ConversationKind::Group);
    let first = notice(1, &bob, EntryKind::Welcome, welcome(&log.name, direct, "alice@a.example"));
    assert_eq!(take(std::slice::from_ref(&first)), (1, 1));
    assert_eq!(take(&[first]), (1, 0), "once");
    let inbox = world.inbox(&bob);
    let EntryContent::Body(body) = &inbox.last().unwrap().content else { panic!("no body") };
    assert!(WelcomeNotice::decode(body.clone()).unwrap().contact_request, "whatever the hub says of it");

    // Into a group only by whom bob has accepted; and nothing of another domain's.
    let room = ConversationName { id: ConversationId::new(9, [9; 10]), ..log.name.clone() };
    let own = ConversationName { domain: bob.address().domain.clone(), ..room.clone() };
    let said = |event: AccountEvent, who: &str| {
        AccountNotice { address: who.into(), event: event.into(), ..Default::default() }.encode_to_vec()
    };
    let contact = |event: ContactEvent, who: &str| {
        ContactNotice { address: who.into(), event: event.into(), ..Default::default() }.encode_to_vec()
    };
    let lies = [
        (EntryKind::Welcome, welcome(&room, group, "alice@a.example")),
        (EntryKind::Welcome, welcome(&own, direct, "alice@a.example")),
        (EntryKind::Welcome, b"noise".to_vec()),
        (EntryKind::Account, said(AccountEvent::Reset, "carol@c.example")),
        (EntryKind::Account, said(AccountEvent::Deleted, "ben@localhost")),
        (EntryKind::Contact, contact(ContactEvent::Accepted, "ben@localhost")),
        (EntryKind::Contact, contact(ContactEvent::Accepted, "carol@c.example")),
        (EntryKind::Contact, contact(ContactEvent::Changed, "alice@a.example")),
        (EntryKind::Outcome, OutcomeNotice::default().encode_to_vec()),
        (EntryKind::Message, b"message".to_vec()),
    ];
    for (number, (kind, body)) in lies.into_iter().enumerate() {
        let seq = 2 + number as u64;
        assert_eq!(take(&[notice(seq, &bob, kind, body)]), (seq, 0), "lie {number}");
    }
    let alice = address("alice@a.example");
    let decide = |answer| {
        wait(world.store.answer_contact(&bob, ContactDecision { peer: alice.clone(), answer, now_ms: 6 })).unwrap();
    };
    decide(Consent::Accept);
    assert_eq!(take(&[notice(20, &bob, EntryKind::Welcome, welcome(&room, group, "alice@a.example"))]), (20, 1));
    assert_eq!(take(&[notice(21, &bob, EntryKind::Account, said(AccountEvent::Deleted, "alice@a.example"))]), (21, 1));
    // A block holds what comes, and the copy withholds it.
    decide(Consent::Block);
    assert_eq!(take(&[notice(22, &bob, EntryKind::Welcome, welcome(&room, group, "alice@a.example"))]), (22, 0));
    let rude = log.said("rude");
    copy(&world, log.append(vec![rude])).unwrap();
    assert!(matches!(world.entries(&bob, &log.name).last().unwrap().content, EntryContent::Removed(_)));
    let before = world.inbox(&bob).len();
    decide(Consent::Unblock);
    assert_eq!(world.inbox(&bob).len(), before + 1);
    // A device that is gone is told nothing, and holds nothing up.
    let nobody = DeviceId::new(3, [8; 10]);
    let taken =
        wait(world.store.take_notices(&hub(), nobody, vec![notice(1, &bob, EntryKind::Account, Vec::new())], 5));
    assert_eq!(taken.unwrap().0, Seq(1));
}

pub fn a_hub_is_told_of_devices_and_accounts_that_are_gone(backend: &dyn Backend) {
    let world = World::new(backend);
    let (bob, ben) = (world.person("bob"), world.person("ben"));
    let tablet = world.another_device(&bob);
    {
        accepts(&world, &bob, "alice@a.example");
        let mut log = Theirs::new(&world);
        let beginning = log.beginning(ConversationKind::Group, &bob);
        copy(&world, beginning).unwrap();
    }
    let due = || wait(world.store.due(&hub(), 0, 9)).unwrap().announcements;
    // Who is in nothing of theirs is none of their concern; what is of here has its own hub.
    world.group(&ben, &[]);
    let third = world.another_device(&ben);
    wait(world.store.revoke_device(&ben, third.device())).unwrap();
    assert!(due().is_empty());
    wait(world.store.revoke_device(&bob, tablet.device())).unwrap();
    let departures = wait(world.store.departures(9)).unwrap();
    assert!(departures.iter().all(|gone| gone.conversation.domain != hub()), "the hub proposes it");
    let told = due();
    assert_eq!((told.len(), told[0].address.clone(), told[0].certificates.len()), (1, bob.address().clone(), 1));
    assert!(wait(world.store.due(&Domain::parse("c.example").unwrap(), 0, 9)).unwrap().announcements.is_empty());
    // What changes while it is told is told again.
    let tablet = world.another_device(&bob);
    wait(world.store.revoke_device(&bob, tablet.device())).unwrap();
    wait(world.store.announced(vec![told[0].row])).unwrap();
    let again = due();
    assert_eq!(again.len(), 1);
    wait(world.store.announced(vec![again[0].row])).unwrap();
    assert!(due().is_empty());
    wait(world.store.delete_account(&bob, 1)).unwrap();
    let gone = due();
    assert_eq!((gone.len(), gone[0].certificates.len()), (1, 0));
    if let Some(world) = world.reopened(backend) {
        assert_eq!(wait(world.store.due(&hub(), 0, 9)).unwrap().announcements, gone);
    }
}

pub fn what_a_hub_refused_before_it_heard_of_an_acceptance_is_sent_again(backend: &dyn Backend) {
    let world = World::new(backend);
    let pending = v1::Error { code: Code::ContactPending as u32, ..Default::default() }.encode_to_vec();
    for alice_has_accepted in [true, false] {
        let own = world.person(if alice_has_accepted { "bob" } else { "ben" });
        let mut log = Theirs::new(&world);
        let mut beginning = log.beginning(ConversationKind::Direct, &own);
        if !alice_has_accepted {
            // Whoever makes it has accepted, and asks the other one.
            beginning.entries[0].sender = Some(own.address().clone());
        }
        copy(&world, beginning).unwrap();
        let all = [outgoing(&world, &log.name, 1, b"one"), outgoing(&world, &log.name, 2, b"two")];
        for sent in &all {
            assert_eq!(queue(&world, &own, sent), Ok(Queued::Waits));
        }
        let rows = wait(world.store.due(&hub(), 0, 9)).unwrap().waiting;
        let refused = |waiting: &Waiting| Settled { row: waiting.row, refusal: Some(pending.clone().into()) };
        let before = world.inbox(&own).len();
        let settled = rows.iter().map(refused).collect();
        assert_eq!(wait(world.store.settle(settled, 30)), Ok(alice_has_accepted));
        let (told, left) = (world.inbox(&own).len() - before, waiting(&world).len());
        assert_eq!((told, left), if alice_has_accepted { (0, 2) } else { (1, 0) });
        if alice_has_accepted {
            let taken = rows.iter().map(|waiting| Settled { row: waiting.row, refusal: None }).collect();
            wait(world.store.settle(taken, 31)).unwrap();
        }
    }
}
