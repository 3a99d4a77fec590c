//! A server that lies to a hub about what its people do: by hand, with its own certificate.

use bytes::Bytes;
use qpc_client::api::Command;
use qpc_proto::{
    chain::LogEntry,
    error::Code,
    id::{ConversationId, ConversationName, DeviceId, MessageId, Seq},
    limits::BLOB_PART,
    v1::{self, peer_answer::Result as PeerOutcome, peer_deed::Deed, peer_done::Result as Done, peer_request},
};
use qpc_server::store::Store;

use crate::{
    across::{acquaint, connected},
    net::{Net, Person, new_group},
    peer::{Stream, request},
    restored::{back_up, restore},
};

fn device(person: &Person) -> DeviceId {
    person.status().whoami.device.parse().unwrap()
}

/// Asks a server by hand.
fn ask(net: &Net, connection: &quinn::Connection, method: peer_request::Method) -> PeerOutcome {
    net.block(async {
        let mut stream = Stream::open(connection).await;
        stream.say(&request(method)).await;
        stream.next::<v1::PeerAnswer>().await.unwrap().result.unwrap()
    })
}

#[test]
fn a_server_speaks_for_its_own_people_in_what_they_are_in_and_nothing_else() {
    let nets = Net::start_all(["a.example", "b.example"]);
    connected(&nets);
    let [a, b] = nets;
    let (alice, dora, bob) = (a.person("alice"), a.person("dora"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    alice.do_it(new_group("private", Vec::<String>::new()));
    let named = |title: &str| -> ConversationName {
        alice.conversations().into_iter().find(|one| one.title == title).unwrap().conversation.parse().unwrap()
    };
    let (talk, private) = (named("bob@b.example"), named("private"));
    let (bobs, alices) = (device(&bob), device(&alice));
    let _ = dora;
    bob.disconnect();
    b.stop_server();
    let (_hand, connection) = a.impostor("b.example");
    let ask = |method: peer_request::Method| ask(&a, &connection, method);
    let act = |deeds: Vec<v1::PeerDeed>| match ask(peer_request::Method::Act(v1::PeerAct { deeds })) {
        PeerOutcome::Act(answer) => Ok(answer.done.into_iter().map(|done| done.result.unwrap()).collect::<Vec<_>>()),
        PeerOutcome::Error(error) => Err(Code::from_wire(error.code).unwrap()),
        other => panic!("{other:?}"),
    };
    let code = |deed: v1::PeerDeed| match act(vec![deed]).unwrap().remove(0) {
        Done::Error(error) => Code::from_wire(error.code),
        other => panic!("{other:?}"),
    };
    let send = |conversation: &ConversationName, counter: u64| v1::Send {
        conversation: Some(conversation.to_wire()),
        message_id: MessageId::new(counter, [5; 10]).to_bytes(),
        counter,
        epoch: 1,
        kind: v1::EntryKind::Message.into(),
        body: Bytes::from_static(b"sealed"),
        leave: false,
    };
    let deed = |sender: &str, device: DeviceId, deed: Deed| v1::PeerDeed {
        sender: sender.into(),
        device_id: device.to_bytes(),
        devices: Vec::new(),
        deed: Some(deed),
    };
    let says = |sender: &str, device: DeviceId| deed(sender, device, Deed::Send(send(&talk, 1)));
    let before = a.block(a.store().copy_place(&talk)).unwrap().unwrap();
    for (what, lie, refused) in [
        ("somebody of the hub's", says("alice@a.example", alices), Code::Forbidden),
        ("somebody of a third domain", says("carol@c.example", bobs), Code::Forbidden),
        ("a domain below", says("bob@sub.b.example", bobs), Code::Forbidden),
        ("capitals", says("bob@B.example", bobs), Code::Malformed),
        ("a dot at its end", says("bob@b.example.", bobs), Code::Malformed),
        ("a dot of another script", says("bob@b\u{2024}example", bobs), Code::Malformed),
        ("nobody", says("", bobs), Code::Malformed),
        ("somebody unknown", says("ben@b.example", bobs), Code::DeviceNotEnrolled),
        ("with alice's device", says("bob@b.example", alices), Code::DeviceNotEnrolled),
        ("with a device that is unknown", says("bob@b.example", DeviceId::new(1, [1; 10])), Code::DeviceNotEnrolled),
        (
            "with certificates that are none",
            v1::PeerDeed {
                devices: vec![v1::DeviceCertificate::default()],
                ..says("bob@b.example", DeviceId::new(1, [1; 10]))
            },
            Code::DeviceInvalid,
        ),
        ("what bob is not in", deed("bob@b.example", bobs, Deed::Send(send(&private, 1))), Code::NotFound),
        (
            "a conversation of another domain",
            deed(
                "bob@b.example",
                bobs,
                Deed::Send(send(&ConversationName { domain: crate::peer::domain("b.example"), ..talk.clone() }, 1)),
            ),
            Code::Forbidden,
        ),
        ("a counter of later", deed("bob@b.example", bobs, Deed::Send(send(&talk, 1 << 62))), Code::CounterGap),
        (
            "a block",
            deed(
                "bob@b.example",
                bobs,
                Deed::AnswerContact(v1::AnswerContact {
                    address: "alice@a.example".into(),
                    answer: v1::ContactAnswer::Block.into(),
                }),
            ),
            Code::Forbidden,
        ),
        (
            "an acceptance of nobody here",
            deed(
                "bob@b.example",
                bobs,
                Deed::AnswerContact(v1::AnswerContact {
                    address: "ben@b.example".into(),
                    answer: v1::ContactAnswer::Accept.into(),
                }),
            ),
            Code::Forbidden,
        ),
        (
            "an acceptance of who has not asked",
            deed(
                "bob@b.example",
                bobs,
                Deed::AnswerContact(v1::AnswerContact {
                    address: "dora@a.example".into(),
                    answer: v1::ContactAnswer::Accept.into(),
                }),
            ),
            Code::NotFound,
        ),
        (
            "a group of here",
            deed(
                "bob@b.example",
                bobs,
                Deed::CreateConversation(v1::CreateConversation {
                    conversation: Some(
                        ConversationName { id: ConversationId::new(1, [4; 10]), ..talk.clone() }.to_wire(),
                    ),
                    kind: v1::ConversationKind::Group.into(),
                    message_id: MessageId::new(9, [9; 10]).to_bytes(),
                    ..Default::default()
                }),
            ),
            Code::HandshakeMalformed,
        ),
        ("nothing", v1::PeerDeed { deed: None, ..says("bob@b.example", bobs) }, Code::Malformed),
    ] {
        assert_eq!(code(lie), Some(refused), "{what}");
    }
    assert_eq!(act(vec![says("bob@b.example", bobs); 65]), Err(Code::TooLarge));
    let tree = |conversation: &ConversationName| {
        let conversation = Some(conversation.to_wire());
        match ask(peer_request::Method::ReadTree(v1::PeerReadTree { conversation, offset: 0 })) {
            PeerOutcome::Error(error) => Err(Code::from_wire(error.code).unwrap()),
            PeerOutcome::ReadTree(answer) => Ok(!answer.tree.is_empty()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((tree(&private), tree(&talk)), (Err(Code::NotFound), Ok(true)), "it may have lost its copy");
    // And what a hub has lost it asks for of its own.
    let copied = |conversation: v1::ConversationName| {
        let read = v1::PeerReadCopy { conversation: Some(conversation), after: 0 };
        match ask(peer_request::Method::ReadCopy(read)) {
            PeerOutcome::Error(error) => Code::from_wire(error.code).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let of = |domain: &str| v1::ConversationName { domain: domain.into(), ..talk.to_wire() };
    assert_eq!((copied(talk.to_wire()), copied(of("c.example"))), (Code::Forbidden, Code::Forbidden));
    assert_eq!((copied(of("B.example")), copied(of("b.example"))), (Code::Forbidden, Code::NotFound));
    assert_eq!(a.block(a.store().copy_place(&talk)).unwrap().unwrap(), before);
    // What is bob's is stored, once, and beside refusals.
    let mine = || says("bob@b.example", bobs);
    let done = act(vec![mine(), says("carol@c.example", bobs), mine()]).unwrap();
    let seqs = done.iter().map(|done| match done {
        Done::Send(answer) => Ok(answer.seq),
        Done::Error(error) => Err(error.code),
        other => panic!("{other:?}"),
    });
    let next = before.head.0 + 1;
    assert_eq!(seqs.collect::<Vec<_>>(), [Ok(next), Err(Code::Forbidden as u32), Ok(next)]);
    // Whom it says to be gone is nobody here from then on.
    let gone = v1::PeerDeed { deed: Some(Deed::DevicesChanged(v1::PeerDevices { gone: true })), ..mine() };
    assert!(matches!(act(vec![gone]).unwrap()[0], Done::DevicesChanged(_)));
    assert_eq!(code(mine()), Some(Code::DeviceNotEnrolled));
}

#[test]
fn a_guest_says_as_much_as_anybody_may_and_so_many_become_guests() {
    let nets = Net::start_all(["a.example", "b.example"]);
    connected(&nets);
    let [a, b] = nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    let talk = alice.conversations().into_iter().find(|one| one.title == "bob@b.example").unwrap();
    let (talk, bobs): (ConversationName, _) = (talk.conversation.parse().unwrap(), device(&bob));
    bob.disconnect();
    b.stop_server();
    a.stop_server();
    a.start_server_with(|config| {
        (config.limits.message.rate, config.limits.message.burst) = (1, 2);
        (config.limits.peer_guest.rate, config.limits.peer_guest.burst) = (1, 2);
    });
    let (_hand, connection) = a.impostor("b.example");
    let deed = |counter: u64| {
        let send = v1::Send {
            conversation: Some(talk.to_wire()),
            message_id: MessageId::new(counter, [5; 10]).to_bytes(),
            counter,
            epoch: 1,
            kind: v1::EntryKind::Message.into(),
            body: Bytes::from_static(b"sealed"),
            leave: false,
        };
        let (sender, device_id) = ("bob@b.example".into(), bobs.to_bytes());
        v1::PeerDeed { sender, device_id, devices: Vec::new(), deed: Some(Deed::Send(send)) }
    };
    let codes = |deeds: Vec<v1::PeerDeed>| {
        let answer = ask(&a, &connection, peer_request::Method::Act(v1::PeerAct { deeds }));
        let PeerOutcome::Act(answer) = answer else { panic!("{answer:?}") };
        let code = |done: v1::PeerDone| match done.result.unwrap() {
            Done::Error(error) => Code::from_wire(error.code),
            _ => None,
        };
        answer.done.into_iter().map(code).collect::<Vec<_>>()
    };
    assert_eq!(codes((1..=3).map(deed).collect()), [None, None, Some(Code::RateLimited)]);
    // And their server makes so many known who are new, or says it of them, and no more.
    let new = |name: &str| v1::PeerDeed { sender: format!("{name}@b.example"), ..deed(1) };
    let changed = v1::PeerDeed { deed: Some(Deed::DevicesChanged(v1::PeerDevices { gone: true })), ..new("ben") };
    let expected = [Some(Code::DeviceNotEnrolled), None, Some(Code::RateLimited), Some(Code::RateLimited)];
    assert_eq!(codes(vec![new("ben"), changed.clone(), new("bill"), changed]), expected);
}

#[test]
fn files_are_given_to_those_in_their_conversation_and_taken_from_them() {
    let nets = Net::start_all(["a.example", "b.example"]);
    connected(&nets);
    let [a, b] = nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    for (group, members) in [("crew", vec!["bob@b.example"]), ("private", vec![]), ("former", vec!["bob@b.example"])] {
        alice.do_it(new_group(group, members));
    }
    bob.until("in the groups", |bob| bob.conversations().len() == 3);
    alice.do_it(Command::GroupRemove { group: "former".into(), members: vec!["bob@b.example".into()] });
    bob.until("out of one", |bob| bob.conversations().iter().any(|one| one.title == "former" && !one.active));
    let named = |title: &str| -> ConversationName {
        alice.conversations().into_iter().find(|one| one.title == title).unwrap().conversation.parse().unwrap()
    };
    let (crew, private, former) = (named("crew"), named("private"), named("former"));
    let (bobs, alices) = (device(&bob), device(&alice));
    bob.disconnect();
    b.stop_server();
    let (_hand, connection) = a.impostor("b.example");
    let ask = |method: peer_request::Method| ask(&a, &connection, method);
    let content = crate::blobs::bytes(3, BLOB_PART + 9);
    // There it is, for those who are there.
    for conversation in [&private, &former] {
        crate::released::upload_elsewhere(&a, "alice", conversation.clone(), &content);
    }
    let blob_in = |conversation: &ConversationName| v1::Blob {
        conversation: Some(conversation.to_wire()),
        digest: blake3::hash(&content).as_bytes().to_vec().into(),
    };
    let act = |(sender, device): (&str, DeviceId), deed: Deed| {
        let deed =
            v1::PeerDeed { sender: sender.into(), device_id: device.to_bytes(), devices: Vec::new(), deed: Some(deed) };
        match ask(peer_request::Method::Act(v1::PeerAct { deeds: vec![deed] })) {
            PeerOutcome::Act(mut answer) => match answer.done.remove(0).result.unwrap() {
                Done::Error(error) => Err(Code::from_wire(error.code).unwrap()),
                done => Ok(done),
            },
            other => panic!("{other:?}"),
        }
    };
    let his = ("bob@b.example", bobs);
    let size = content.len() as u64;
    let begin = |blob: v1::Blob, size: u64| Deed::BeginUpload(v1::BeginUpload { blob: Some(blob), size });
    let part = |blob: v1::Blob, number: u32, data: &Bytes| {
        Deed::UploadPart(v1::UploadPart { blob: Some(blob), number, data: data.clone() })
    };
    let finish = |blob: v1::Blob| Deed::FinishUpload(v1::FinishUpload { blob: Some(blob) });
    let theirs = ConversationName { domain: crate::peer::domain("b.example"), ..crew.clone() };
    let (first, last) = (content.slice(..BLOB_PART), content.slice(BLOB_PART..));
    for (what, who, deed, refused) in [
        ("of somebody of the hub's", ("alice@a.example", alices), begin(blob_in(&crew), size), Code::Forbidden),
        ("with alice's device", ("bob@b.example", alices), begin(blob_in(&crew), size), Code::DeviceNotEnrolled),
        ("where bob is not", his, begin(blob_in(&private), size), Code::NotFound),
        ("where bob is no more", his, begin(blob_in(&former), size), Code::NotFound),
        ("in another domain", his, begin(blob_in(&theirs), size), Code::Forbidden),
        ("a part in another domain", his, part(blob_in(&theirs), 0, &first), Code::Forbidden),
        ("an end in another domain", his, finish(blob_in(&theirs)), Code::Forbidden),
        (
            "out of another domain",
            his,
            Deed::ReleaseBlob(v1::ReleaseBlob { blob: Some(blob_in(&theirs)) }),
            Code::Forbidden,
        ),
        ("nothing", his, begin(blob_in(&crew), 0), Code::Malformed),
        ("too much", his, begin(blob_in(&crew), 1 << 60), Code::BlobTooLarge),
        ("what has not begun", his, part(blob_in(&crew), 0, &first), Code::UploadUnknown),
        ("no blob", his, Deed::FinishUpload(v1::FinishUpload { blob: None }), Code::Malformed),
    ] {
        assert_eq!(act(who, deed), Err(refused), "{what}");
    }
    assert!(act(his, begin(blob_in(&crew), size)).is_ok());
    assert_eq!(act(his, part(blob_in(&crew), 1, &first)), Err(Code::PartInvalid));
    assert!(act(his, part(blob_in(&crew), 1, &last)).is_ok());
    assert_eq!(act(his, finish(blob_in(&crew))), Err(Code::PartsMissing));
    assert!(act(his, part(blob_in(&crew), 0, &first)).is_ok());
    assert!(act(his, finish(blob_in(&crew))).is_ok());
    let read = |blob: v1::Blob, offset: u64, length: u32| {
        let read = v1::ReadBlob { blob: Some(blob), offset, length };
        match ask(peer_request::Method::ReadBlob(v1::PeerReadBlob { read: Some(read) })) {
            PeerOutcome::ReadBlob(answer) => Ok(answer),
            PeerOutcome::Error(error) => Err(Code::from_wire(error.code).unwrap()),
            other => panic!("{other:?}"),
        }
    };
    let most = u32::try_from(BLOB_PART).unwrap();
    let other = v1::Blob { digest: vec![1; 32].into(), ..blob_in(&crew) };
    let short = v1::Blob { digest: vec![1; 31].into(), ..blob_in(&crew) };
    for (what, blob, offset, length, refused) in [
        ("where nobody of theirs is", blob_in(&private), 0, most, Code::NotFound),
        ("where nobody of theirs is any more", blob_in(&former), 0, most, Code::NotFound),
        ("of another domain", blob_in(&theirs), 0, most, Code::Forbidden),
        ("what there is not", other, 0, most, Code::NotFound),
        ("no digest", short, 0, most, Code::Malformed),
        ("nothing", blob_in(&crew), 0, 0, Code::RangeInvalid),
        ("more than a part", blob_in(&crew), 0, most + 1, Code::RangeInvalid),
        ("behind its end", blob_in(&crew), size, 1, Code::RangeInvalid),
    ] {
        assert_eq!(read(blob, offset, length), Err(refused), "{what}");
    }
    assert!(matches!(
        ask(peer_request::Method::ReadBlob(v1::PeerReadBlob { read: None })),
        PeerOutcome::Error(error) if error.code == Code::Malformed as u32
    ));
    let answer = read(blob_in(&crew), BLOB_PART as u64, most).unwrap();
    let range = answer.range.unwrap();
    assert_eq!((range.size, range.data), (size, last));
    let days = answer.kept_ms as f64 / (24.0 * 60.0 * 60.0 * 1_000.0);
    assert!((89.9..=90.0).contains(&days), "{days}");
}

#[test]
fn a_hub_goes_back_once_for_a_follower_that_says_it_lacks_something() {
    let nets = Net::start_all(["a.example", "b.example"]);
    connected(&nets);
    let [a, b] = nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    alice.do_it(new_group("crew", ["bob@b.example"]));
    bob.until("in the crew", |bob| bob.conversations().iter().any(|one| one.title == "crew"));
    let named = |title: &str| -> ConversationName {
        alice.conversations().into_iter().find(|one| one.title == title).unwrap().conversation.parse().unwrap()
    };
    let (talk, crew) = (named("bob@b.example"), named("crew"));
    alice.until("the same on both servers", |_| {
        let place = |net: &Net, name| net.block(net.store().copy_place(name)).unwrap();
        [&talk, &crew].iter().all(|name| place(&a, name) == place(&b, name))
    });
    let head = a.block(a.store().copy_place(&talk)).unwrap().unwrap().head.0;
    bob.disconnect();
    b.stop_server();
    let (connection, _hand) = b.stand_in();
    // What comes next of one log, and what is said to that.
    let next = |log: &ConversationName, said: v1::PeerPushed| -> Vec<u64> {
        b.block(async {
            let (send, recv) = connection.accept_bi().await.unwrap();
            let mut stream = Stream::new(send, recv);
            let request = stream.next::<v1::PeerRequest>().await.unwrap();
            let Some(peer_request::Method::Push(push)) = request.method else { panic!("{request:?}") };
            let [pushed] = &push.logs[..] else { panic!("{push:?}") };
            assert_eq!(pushed.log, Some(log.to_wire()));
            let answer = v1::PeerPushAnswer { logs: vec![said] };
            stream.say(&v1::PeerAnswer { result: Some(PeerOutcome::Push(answer)) }).await;
            pushed.entries.iter().map(|entry| entry.seq).collect()
        })
    };
    let ends_at = |seq: u64| v1::PeerPushed { seq: 0, code: Code::CounterGap as u32, ends_at: Some(seq) };
    alice.write("bob@b.example", ["one"]);
    assert_eq!(next(&talk, ends_at(head - 1)), [head + 1]);
    assert_eq!(next(&talk, ends_at(head - 2)), [head, head + 1], "it goes back to where the copy is said to end");
    // It is set aside for now, and the others go on.
    alice.write("crew", ["two"]);
    assert_eq!(next(&crew, v1::PeerPushed { seq: u64::MAX, ..v1::PeerPushed::default() }).len(), 1);
}

#[test]
fn a_restored_hub_does_not_listen_for_ever_to_who_gives_what_it_has() {
    asked_until_nothing_is_awaited(2, |entries| {
        PeerOutcome::ReadCopy(v1::PeerReadCopyAnswer { entries: entries.to_vec() })
    });
}

#[test]
fn a_restored_hub_goes_on_with_who_can_not_be_asked() {
    asked_until_nothing_is_awaited(1, |_| {
        PeerOutcome::Error(v1::Error { code: Code::UnknownMethod as u32, ..v1::Error::default() })
    });
}

/// A restored hub asks for the one conversation that it has with a domain so often, until it waits for nothing more, if it is
/// answered like this; the answer is made of what it has.
fn asked_until_nothing_is_awaited(times: usize, answer: impl Fn(&[v1::Entry]) -> PeerOutcome) {
    let nets = Net::start_all(["a.example", "b.example"]);
    connected(&nets);
    let [a, b] = nets;
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    let talk: ConversationName = alice.conversations()[0].conversation.parse().unwrap();
    let page = |net: &Net| net.block(net.store().read_copy(&talk, Seq(0), (100, usize::MAX))).unwrap();
    alice.until("the same on both servers", |_| page(&a) == page(&b));
    let entries: Vec<_> = page(&b).iter().map(LogEntry::to_wire).collect();
    bob.disconnect();
    b.stop_server();
    back_up(&a);
    restore(&a);
    let (connection, _hand) = b.stand_in();
    let mut asked = 0;
    while a.block(a.store().awaited()).unwrap().domains > 0 {
        b.block(async {
            let (send, recv) = connection.accept_bi().await.unwrap();
            let mut stream = Stream::new(send, recv);
            let result = match stream.next::<v1::PeerRequest>().await.unwrap().method.unwrap() {
                peer_request::Method::ReadCopy(_) => {
                    asked += 1;
                    answer(&entries)
                }
                peer_request::Method::Push(push) => {
                    let all = v1::PeerPushed { seq: u64::MAX, ..v1::PeerPushed::default() };
                    PeerOutcome::Push(v1::PeerPushAnswer { logs: vec![all; push.logs.len()] })
                }
                other => panic!("{other:?}"),
            };
            stream.say(&v1::PeerAnswer { result: Some(result) }).await;
        });
        assert!(asked <= times, "it asks on and on");
        if asked == times {
            alice.until("enough", |_| a.block(a.store().awaited()).unwrap().domains == 0);
        }
    }
    assert_eq!(asked, times);
}
