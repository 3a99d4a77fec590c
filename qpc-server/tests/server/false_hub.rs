//! A hub that lies to those who follow it: by hand, with the hub's own certificate, to a real server that has a copy of a real
//! conversation.

use bytes::Bytes;
use qpc_client::api::Outcome;
use qpc_proto::{
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    error::Code,
    id::{ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    limits::LOG_PAGE_MAX,
    v1::{self, peer_answer::Result as PeerOutcome, peer_request},
};
use qpc_server::store::{CopyPlace, Store};

use crate::{
    across::{acquaint, connected},
    net::{Net, Person},
    peer::{Hand, Stream, request},
};

/// A conversation of alice's, at a.example, with bob, at b.example; whose hub has gone, and comes back as somebody else.
struct Scene {
    b: Net,
    bob: Person,
    talk: ConversationName,
    alices: DeviceId,
    bobs: DeviceId,
    connection: quinn::Connection,
    _hand: Hand,
    _others: (Net, Person),
}

fn device(person: &Person) -> DeviceId {
    person.status().whoami.device.parse().unwrap()
}

impl Scene {
    fn set() -> Self {
        let [a, b] = Net::start_all(["a.example", "b.example"]);
        let nets = [a, b];
        connected(&nets);
        let [a, b] = nets;
        let (alice, bob) = (a.person("alice"), b.person("bob"));
        acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
        let talk = bob.conversations().into_iter().find(|one| one.conversation.ends_with("@a.example")).unwrap();
        let (alices, bobs) = (device(&alice), device(&bob));
        alice.disconnect();
        a.stop_server();
        let (hand, connection) = b.impostor("a.example");
        let talk = talk.conversation.parse().unwrap();
        Self { b, bob, talk, alices, bobs, connection, _hand: hand, _others: (a, alice) }
    }

    fn place(&self) -> CopyPlace {
        self.b.block(self.b.store().copy_place(&self.talk)).unwrap().unwrap()
    }

    fn push(&self, logs: Vec<v1::PeerLog>) -> Result<Vec<(u64, Option<Code>)>, Code> {
        self.b.block(async {
            let mut stream = Stream::open(&self.connection).await;
            stream.say(&request(peer_request::Method::Push(v1::PeerPush { logs }))).await;
            match stream.next::<v1::PeerAnswer>().await.unwrap().result.unwrap() {
                PeerOutcome::Push(answer) => {
                    Ok(answer.logs.into_iter().map(|log| (log.seq, Code::from_wire(log.code))).collect())
                }
                PeerOutcome::Error(error) => Err(Code::from_wire(error.code).unwrap()),
                other => panic!("{other:?}"),
            }
        })
    }

    /// What may be said next: a message of alice's.
    fn next(&self, change: impl FnOnce(&mut LogEntry)) -> LogEntry {
        let place = self.place();
        let mut entry = LogEntry {
            conversation: self.talk.clone(),
            seq: place.head.next(),
            kind: EntryKind::Message,
            epoch: Epoch(1),
            sender: Some(self.alices),
            counter: Counter(50),
            id: MessageId::new(place.head.0, [7; 10]),
            stored_ms: 1,
            chain: place.chain,
            content: EntryContent::Body(Bytes::from_static(b"sealed")),
        };
        change(&mut entry);
        entry.chain = place.chain.after(&entry.header());
        entry
    }

    fn log(&self, entries: &[LogEntry]) -> v1::PeerLog {
        v1::PeerLog {
            log: Some(self.talk.to_wire()),
            base: None,
            entries: entries.iter().map(LogEntry::to_wire).collect(),
            group_info: Bytes::new(),
        }
    }
}

#[test]
fn of_a_hub_that_lies_a_follower_takes_nothing() {
    let scene = Scene::set();
    let before = scene.place();
    let one = |log: v1::PeerLog| scene.push(vec![log]).map(|mut pushed| pushed.remove(0));
    let entry = |change: &dyn Fn(&mut LogEntry)| scene.log(&[scene.next(change)]);
    let base = |seq: u64| v1::PeerBase {
        kind: v1::ConversationKind::Direct.into(),
        seq,
        chain: before.chain.to_bytes(),
        group_info: Bytes::from_static(b"noise"),
        tree: Bytes::from_static(b"tree"),
        tree_size: 4,
    };
    let far = Seq((1 << 63) - 1);
    let lies: Vec<(&str, v1::PeerLog, Code)> = vec![
        ("bob has not sent it", entry(&|it| it.sender = Some(scene.bobs)), Code::HandshakeSender),
        ("nobody of the group", entry(&|it| it.sender = Some(DeviceId::new(1, [9; 10]))), Code::HandshakeSender),
        ("nobody at all", entry(&|it| it.sender = None), Code::HandshakeSender),
        ("an earlier epoch", entry(&|it| it.epoch = Epoch(0)), Code::HandshakeMalformed),
        ("a later epoch", entry(&|it| it.epoch = Epoch(2)), Code::HandshakeMalformed),
        ("a report of what has not passed", entry(&|it| it.kind = EntryKind::Report), Code::HandshakeMalformed),
        ("no commit", entry(&|it| it.kind = EntryKind::Commit), Code::HandshakeMalformed),
        ("no proposal", entry(&|it| it.kind = EntryKind::Proposal), Code::HandshakeMalformed),
        (
            "a proposal of nobody's",
            entry(&|it| (it.kind, it.sender) = (EntryKind::Proposal, None)),
            Code::HandshakeMalformed,
        ),
        ("what belongs into an inbox", entry(&|it| it.kind = EntryKind::Welcome), Code::HandshakeMalformed),
        ("a gap", entry(&|it| it.seq = it.seq.next()), Code::CounterGap),
        ("the end of all numbers", entry(&|it| it.seq = far), Code::CounterGap),
        ("no number", entry(&|it| it.seq = Seq(0)), Code::Malformed),
        (
            "another chain",
            scene.log(&[LogEntry { chain: ChainValue([3; 32]), ..scene.next(|_| ()) }]),
            Code::DigestDiffers,
        ),
        ("nothing", scene.log(&[]), Code::Malformed),
        ("too much", scene.log(&vec![scene.next(|_| ()); LOG_PAGE_MAX + 1]), Code::TooLarge),
        ("out of order", scene.log(&[scene.next(|_| ()), scene.next(|_| ())]), Code::Malformed),
        (
            "entries of another log",
            scene.log(&[scene.next(|it| it.conversation.id = ConversationId::new(1, [1; 10]))]),
            Code::Malformed,
        ),
        (
            "another group to begin with",
            v1::PeerLog { base: Some(base(before.head.0 + 5)), ..entry(&|it| it.seq = Seq(before.head.0 + 5)) },
            Code::HandshakeMalformed,
        ),
        (
            "a tree of terabytes",
            v1::PeerLog {
                base: Some(v1::PeerBase { tree_size: 1 << 40, ..base(before.head.0 + 5) }),
                ..entry(&|it| it.seq = Seq(before.head.0 + 5))
            },
            Code::TooLarge,
        ),
        (
            "a conversation of nobody here",
            v1::PeerLog {
                log: Some(ConversationName { id: ConversationId::new(1, [2; 10]), ..scene.talk.clone() }.to_wire()),
                ..scene.log(&[scene.next(|it| it.conversation.id = ConversationId::new(1, [2; 10]))])
            },
            Code::NotFound,
        ),
    ];
    for (what, log, code) in lies {
        assert_eq!(one(log), Ok((0, Some(code))), "{what}");
        assert_eq!(scene.place(), before, "{what}");
    }
    // Names that are somebody else's, or nobody's: a third domain's, ours, and what only looks like the hub's.
    for domain in ["c.example", "b.example.a.example", "A.example", "a.example.", "a\u{2024}example", ""] {
        let mut log = entry(&|_| ());
        log.log = Some(v1::ConversationName { domain: domain.into(), id: scene.talk.id.to_bytes() });
        assert_eq!(one(log), Ok((0, Some(Code::Malformed))), "{domain:?}");
    }
    let own = scene.bob.conversations().into_iter().find(|one| one.conversation.ends_with("@b.example"));
    if let Some(own) = own {
        let name: ConversationName = own.conversation.parse().unwrap();
        let held = |name| scene.b.block(scene.b.store().copy_place(name)).unwrap();
        let was = held(&name);
        let log =
            v1::PeerLog { log: Some(name.to_wire()), ..scene.log(&[scene.next(|it| it.conversation = name.clone())]) };
        assert!(one(log).is_ok());
        assert_eq!(held(&name), was, "a conversation of ours");
    }
    assert_eq!(scene.push(vec![entry(&|_| ()), entry(&|_| ())]), Err(Code::Malformed), "one twice");
    assert_eq!(scene.push(vec![entry(&|_| ()); 65]), Err(Code::TooLarge));
    assert_eq!(scene.place(), before);

    // What is good is taken, whatever stands beside it, and once.
    let good = scene.next(|_| ());
    let mut foreign = scene.log(std::slice::from_ref(&good));
    foreign.log = Some(ConversationName { id: ConversationId::new(1, [3; 10]), ..scene.talk.clone() }.to_wire());
    let pushed = scene.push(vec![foreign, scene.log(std::slice::from_ref(&good))]).unwrap();
    assert_eq!(pushed, [(0, Some(Code::Malformed)), (good.seq.0, None)]);
    assert_eq!(one(scene.log(std::slice::from_ref(&good))), Ok((good.seq.0, None)), "the same again");
    assert_eq!((scene.place().head, scene.place().chain), (good.seq, good.chain));
    // The client finds that nobody of the group has sealed it, and shows nothing.
    let shown = |scene: &Scene| match scene.bob.do_it(qpc_client::api::Command::CatchUp) {
        Outcome::Done { .. } => scene.bob.unshown(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(&scene), []);
}

/// A hub that has shown one order and then another is found out by the chain: the follower does not take the second, and its
/// people go on with the first.
#[test]
fn a_hub_that_shows_two_orders_is_found_out() {
    let scene = Scene::set();
    let before = scene.place();
    let (one, other) =
        (scene.next(|it| it.id = MessageId::new(1, [1; 10])), scene.next(|it| it.id = MessageId::new(2, [2; 10])));
    assert_eq!(scene.push(vec![scene.log(std::slice::from_ref(&one))]), Ok(vec![(one.seq.0, None)]));
    // The other one in its place is no news, and what would follow it does not fit.
    assert_eq!(scene.push(vec![scene.log(std::slice::from_ref(&other))]), Ok(vec![(one.seq.0, None)]));
    let mut third = LogEntry { seq: other.seq.next(), ..scene.next(|it| it.id = MessageId::new(3, [3; 10])) };
    third.chain = other.chain.after(&third.header());
    assert_eq!(scene.push(vec![scene.log(&[other, third])]), Ok(vec![(0, Some(Code::DigestDiffers))]));
    assert_eq!((scene.place().head, scene.place().chain), (before.head.next(), one.chain));
}
